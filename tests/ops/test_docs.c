// SPDX-License-Identifier: MIT OR Apache-2.0
/* test_docs.c - docs/operations.md is written from the table of cases, by "make docs",
 * and has every public operation in it. */
#include "../test.h"
#include "cases.h"

#include "../../src/base/base.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char PATH[] = "docs/operations.md";

/* ---- Writing it --------------------------------------------------------- */

/* Source text as a cell in code type: x[0] by its name, K(1.5) as 1.5, | escaped. */
static void add_code(wk_buf *b, const char *s, bool two)
{
    wk_buf_char(b, '`');
    for (int depth = 0, word = 0; *s; word = isalnum((unsigned char)*s++))
        if (!strncmp(s, "x[0]", 4) || !strncmp(s, "x[1]", 4)) {
            wk_buf_char(b, s[2] == '1' ? 'b' : two ? 'a' : 'x');
            s += 3;
        } else if (!word && (!strncmp(s, "K(", 2) || !strncmp(s, "int(", 4))) {
            s = strchr(s, '('); /* up to its ), which no number has within */
            depth++;
        } else if (depth && *s == ')') {
            depth--;
        } else {
            wk_buf_printf(b, *s == '|' ? "\\%c" : "%c", *s);
        }
    wk_buf_char(b, '`');
}

static const char *const times[] = { "no", "once", "twice" };

static void add_function(wk_buf *b, const op_row *f)
{
    static const char *const integers[][2] = {
        { "KEEP", "stay" }, { "FLOAT", "give f32" }, { "TRUTH", "give bool" }, { "INTEGER", "only" }
    };
    const op_row *e = op_element(f->name);
    const char   *operands = f->of2 ? "a, b" : f->of_ab ? "x, a, b" : f->of_a ? "x, a" : "x";
    wk_buf_printf(b, "| `wk_%s(%s)` | ", f->name, operands);
    if (e && *e->torch)
        add_code(b, e->torch, f->of2);
    else
        wk_buf_printf(b, "`torch.%s(%s)`", f->name, operands);
    wk_buf_str(b, WK_STR(" | "));
    add_code(b, f->text, f->of2);
    for (int i = 0; i < 4; i++)
        if (!strcmp(f->integers, integers[i][0]))
            wk_buf_printf(b, " | %s", integers[i][1]);
    wk_buf_printf(b, " | %s |\n", times[f->gradient]);
}

static void add_functions(wk_buf *b, bool two)
{
    int           count;
    const op_row *rows = op_rows(&count);
    wk_buf_str(b, WK_STR("| wick | PyTorch | value | integers | gradient |\n"
                         "|---|---|---|---|---|\n"));
    for (int i = 0; i < count; i++)
        if (rows[i].kind == ROW_FUNCTION && (rows[i].of2 != NULL) == two)
            add_function(b, &rows[i]);
}

static void add_operation(wk_buf *b, const op_row *o)
{
    wk_buf_printf(b, "| `");
    for (const char *s = o->call; *s; s++) /* each way to call it in code type of its own */
        if (!strncmp(s, "), wk_", 6))
            wk_buf_str(b, WK_STR(")`, `")), s += 2;
        else
            wk_buf_char(b, *s);
    wk_buf_printf(b, *o->torch ? "` | `%s` | " : "`%s | | ", o->torch);
    for (const char *s = o->text; *s; s++)
        wk_buf_printf(b, *s == '|' ? "\\%c" : "%c", *s);
    wk_buf_printf(b, " | %s |\n", times[o->gradient]);
}

static wk_buf written(void)
{
    int           count;
    const op_row *rows = op_rows(&count);
    wk_buf        b = { 0 };
    bool          open = false; /* the table's head is written */
    wk_buf_str(
        &b,
        WK_STR("# Operations\n\n"
               "Written by `make docs` from `tests/ops/cases.def`, `include/wick/unary.def` and\n"
               "`include/wick/binary.def`, which also drive the tests; the headers say the rest.\n"
               "*Gradient* is how often an operation can be differentiated; `sig`, `splus`, `ncdf` "
               "and\n"
               "`select(condition, yes, no)` are explained in `unary.def`.\n"));
    for (int i = 0; i < count; i++) {
        const op_row *r = &rows[i];
        if (r->kind == ROW_HEADING) {
            wk_buf_printf(&b, "\n## %s\n\n", r->text);
            open = false;
        } else if (r->kind == ROW_ELEMENTWISE) {
            add_functions(&b, !strcmp(r->text, "BINARY"));
        } else if (r->kind == ROW_OPERATION) {
            if (!open)
                wk_buf_str(&b, WK_STR("| wick | PyTorch | what it is | gradient |\n"
                                      "|---|---|---|---|\n"));
            open = true;
            add_operation(&b, r);
        }
    }
    return b;
}

TEST(operations_md_is_what_make_docs_writes)
{
    wk_buf b = written();
    if (getenv("WICK_WRITE_DOCS"))
        wk_write_file(PATH, b.data, b.size);
    wk_file *f = wk_file_open(PATH);
    if (CHECK(f != NULL))
        CHECK_MSG(f->size == b.size && !memcmp(f->data, b.data, b.size),
                  "%s is out of date: make docs", PATH);
    wk_file_release(f);
    wk_buf_free(&b);
}

/* ---- Is everything in it? ----------------------------------------------- */

static void check_named(const char *docs, const char *header, const char *until)
{
    char     name[80];
    int      found = 0;
    wk_file *f = wk_file_open(header);
    if (!CHECK(f != NULL))
        return;
    char *text = wk_str_copy((wk_str){ f->data, f->size });
    char *end = until ? strstr(text, until) : text + f->size;
    CHECK(end != NULL);
    for (char *at = text; (at = strstr(at, "wk_tensor *wk_")) && at < end; at++) {
        size_t n = strcspn(at + 11, "(");
        if (n > 60 || strchr("_#", at[11 + 3]))
            continue; /* the name is made by a macro */
        if (n > 5 && !strncmp(at + 11 + n - 5, "_with", 5))
            n -= 5;
        snprintf(name, sizeof name, "%.*s(", (int)n, at + 11);
        CHECK_MSG(strstr(docs, name) != NULL, "%s..) is not in %s", name, PATH);
        found++;
    }
    CHECK(found > 10);
    wk_free(text);
    wk_file_release(f);
}

TEST(every_public_operation_is_documented)
{
    wk_buf b = written();
    check_named(b.data, "include/wick/ops.h", NULL);
    check_named(b.data, "include/wick/tensor.h", "/* Queries.");
    CHECK(strstr(b.data, "wk_split(") != NULL);
    wk_buf_free(&b);
}

/* Every line of ops.def is an operation of the table, or one behind others. */
TEST(every_operation_has_a_case)
{
    static const char *const ops[] = {
#define OP(name) #name,
#include "../../src/ops/ops.def"
#undef OP
    };
    static const char *const inner[] = {
        "transfer",        "prod_others",        "unslice",     "rand",    "attention_grad",
        "ctc_loss_grad",   "cross_entropy_grad", "randn",       "randint", "conv_weight",
        "max_pool_grad",   "avg_pool_grad",      "adam",        "sgd",     "batch_norm_sums",
        "batch_norm_grad", "recurrent_grad",     "cumprod_grad"
    };
    int            count;
    const op_case *cases = op_cases(&count);
    for (size_t i = 0; i < WK_COUNT(ops); i++) {
        bool   found = false;
        size_t n = strlen(ops[i]);
        for (int k = 0; k < count && !found; k++) {
            const char *name = cases[k].op->name;
            found =
                !strncmp(name, ops[i], n) && (!name[n] || strstr("_to _by _of _over", name + n));
        }
        for (size_t k = 0; k < WK_COUNT(inner); k++)
            found |= !strcmp(ops[i], inner[k]);
        CHECK_MSG(found, "%s has no case in tests/ops/cases.def", ops[i]);
    }
    int           rows;
    const op_row *row = op_rows(&rows);
    for (int i = 0; i < rows; i++) {
        bool found = row[i].kind != ROW_OPERATION && row[i].kind != ROW_FUNCTION;
        for (int k = 0; k < count; k++)
            found |= cases[k].op == &row[i];
        CHECK_MSG(found, "%s has no case", row[i].name);
    }
}
