// SPDX-License-Identifier: MIT OR Apache-2.0
/* cases.h - the table of cases.def as data, and the operands of a case.
 *
 * Operands come from a hash of their place, so that tests/golden/make_ops.py has the
 * same ones.  They are odd multiples of 1/64 (or 1/16): exact in every float dtype, and
 * never where a function has a kink. */
#ifndef WK_TEST_CASES_H
#define WK_TEST_CASES_H

#include <wick/nn.h>

enum { NO, ONCE, TWICE }; /* how often an operation can be differentiated */

typedef enum {
    ROW_HEADING,
    ROW_ELEMENTWISE, /* text: UNARY or BINARY */
    ROW_ELEMENT,     /* the oracle or inputs of an element-wise function */
    ROW_FUNCTION,    /* an element-wise function */
    ROW_OPERATION,
    ROW_CASE,
    ROW_PLAIN,
    ROW_WIDE
} op_row_kind;

typedef struct op_row {
    op_row_kind kind;
    const char *name;
    int         gradient;
    const char *call, *torch, *text;
    const char *integers;             /* of an element-wise function: "KEEP" ... */
    const char *inputs, *wick;        /* wick: the expression */
    wk_tensor *(*run)(wk_tensor **x); /* one of these */
    wk_tensor *(*of1)(wk_tensor *x);
    wk_tensor *(*of_a)(wk_tensor *x, double a);
    wk_tensor *(*of_ab)(wk_tensor *x, double a, double b);
    wk_tensor *(*of2)(wk_tensor *x, wk_tensor *y);
    double low, high, a, b;
} op_row;

const op_row *op_rows(int *count);          /* the table as it is written */
const op_row *op_element(const char *name); /* its ELEMENT, or NULL */

typedef struct {
    char          name[48]; /* "sum.3" */
    const op_row *op;       /* its OPERATION or FUNCTION */
    const op_row *row;      /* what runs it */
    const char   *inputs;
    const char   *torch; /* NULL: no oracle */
    int           gradient;
    bool          wide;
} op_case;

const op_case *op_cases(int *count); /* in the order of the table */

/* ---- Operands ----------------------------------------------------------- */

enum { OP_INPUTS = 6 };

typedef enum {
    DENSE,
    STRIDED,  /* transposed, or every second element */
    BROADCAST /* the first axis expanded from 1 */
} op_layout;

typedef struct {
    op_layout  layout;
    int        count;
    char       kind[OP_INPUTS];
    wk_shape   shape[OP_INPUTS]; /* of base */
    int64_t    n[OP_INPUTS];
    double    *value[OP_INPUTS]; /* of base, in its order */
    wk_tensor *base[OP_INPUTS];
    wk_tensor *x[OP_INPUTS]; /* a view of base, or base itself */
} op_inputs;

/* exact: values as above; otherwise any in the same range, without ties. */
void op_inputs_open(op_inputs *in, const op_case *c, op_layout layout, bool exact);
void op_inputs_close(op_inputs *in);
bool op_is_float(const op_inputs *in, int k);

/* Make tensors of the values: floats of a dtype, tracked or not. */
void op_inputs_make(op_inputs *in, wk_dtype floats, bool track);

wk_tensor *op_run(const op_case *c, op_inputs *in);

/* Numbers for y's shape that make a scalar of it: sum(y dy). */
void       op_weights(double *dy, int64_t n);
wk_tensor *op_loss(wk_tensor *y);

#endif
