# SPDX-License-Identifier: MIT OR Apache-2.0
# docs/adding-an-operation.md, applied to a copy of the tree: what the page adds works, and
# the tests find it without another line.
set -eu
if [ -n "$run" ] || [ "$build" != build ]; then
    echo "skipped: builds for this machine alone, and the same beside any build"
    exit 0
fi
copy=$temporary/adding
mkdir -p "$copy/src" "$copy/tests" "$copy/docs" "$copy/examples"
cp -R include Makefile "$copy"
for folder in base core ops cpu io nn; do # no more than operations need
    cp -R "src/$folder" "$copy/src"
done
cp -R tests/main.c tests/test.h tests/ops tests/golden "$copy/tests"
cp docs/adding-an-operation.md docs/operations.md "$copy/docs"
cd "$copy"

# A block "```c FILE" becomes the file, or goes into it: before the line that ends its list.
awk '
/^```c / { file = $2; text = ""; next }
/^```$/ && file { print file > "blocks"; printf "%s", text > (++n ".block"); file = ""; next }
file { text = text $0 "\n" }' docs/adding-an-operation.md
n=0
while read -r file; do
    n=$((n + 1))
    if [ -f "$file" ]; then
        end=$(grep -n -E '^(#ifdef __cplusplus|// clang-format on)' "$file" | tail -1 | cut -d: -f1)
        [ -n "$end" ] || end=$(($(wc -l < "$file") + 1))
        { head -n $((end - 1)) "$file"; cat $n.block; tail -n "+$end" "$file"; } > new
        mv new "$file"
    else
        cp $n.block "$file"
    fi
done < blocks
[ $n = 6 ] || { echo "$n blocks, not 6"; exit 1; }

quick="make -s CFLAGS=-O0 WERROR=1 ISAS=base"
$quick -j"$(nproc)" build/tests
$quick docs > log
grep -q '`wk_relu_squared(x)` | `torch.relu(x) \*\* 2`' docs/operations.md
grep -q '`wk_products(a, b)` | `torch.outer`' docs/operations.md
build/tests tests/ops/test_docs tests/ops/test_gradients tests/ops/test_errors tests/ops/test_isas
code=0
build/tests the_goldens > log || code=$?
[ $code = 1 ]
[ "$(grep -c 'relu_squared\.[0-4] is .*run tests/golden/make_ops.py' log)" = 5 ]
[ "$(grep -c 'products\.[01] is .*run tests/golden/make_ops.py' log)" = 2 ]

cat > examples/products.c <<'END'
#include <wick/wick.h>
int main(void)
{
    wk_tensor *x = wk_track(wk_arange(WK_F32, -1, 3, 1)), *y = wk_relu_squared(x);
    wk_print(wk_products(y, wk_arange(WK_F32, 1, 3, 1)));
    wk_backward(wk_sum(wk_products(y, y)));
    wk_print(wk_grad(x));
    wk_products(x, wk_ones(2, 3));
    return wk_finish();
}
END
$quick build/examples/products
code=0
build/examples/products > out 2> log || code=$?
[ $code = 1 ]
grep -q 'wick: products: \[4\] f32 and \[2, 3\] f32 must be vectors' log
cmp - out <<'END'
tensor([[0., 0.],
        [0., 0.],
        [1., 2.],
        [4., 8.]])
tensor([ 0.,  0., 20., 40.])
END
