// SPDX-License-Identifier: MIT OR Apache-2.0
/* cells.h - one unit of a recurrent layer, a step forward and back: for numbers and for
 * vectors of them.  Who includes it defines REAL, K(number), TANH(x), SIG(x), and
 * POSITIVE(x, y), which is y where x > 0 and otherwise 0.
 *
 * x are what the input gives to the gates, w what the last h gives; a unit leaves its
 * planes: the new h first, then what the gradient needs.
 *
 *     plain  h               h' = act(x + w)
 *     LSTM   h c i f g o     c' = f c + i g, h' = o tanh(c'): Hochreiter, Schmidhuber, 1997
 *     GRU    h r z n w       n = tanh(x + r w), h' = (1 - z) n + z h: Cho et al., 2014  */
#ifndef WK_CORE_CELLS_H
#define WK_CORE_CELLS_H

#include <wick/nn.h>

enum { CELL_GATES = 4, CELL_PLANES = 6 };

static inline int cell_gates(int kind) { return kind == WK_LSTM ? 4 : kind == WK_GRU ? 3 : 1; }
static inline int cell_planes(int kind) { return kind == WK_LSTM ? 6 : kind == WK_GRU ? 5 : 1; }

static inline void cell_forward(int kind, const REAL *x, const REAL *w, REAL h, REAL c, REAL *p)
{
    if (kind == WK_LSTM) {
        REAL i = SIG(x[0] + w[0]), f = SIG(x[1] + w[1]);
        REAL g = TANH(x[2] + w[2]), o = SIG(x[3] + w[3]);
        c = f * c + i * g;
        p[0] = o * TANH(c);
        p[1] = c, p[2] = i, p[3] = f, p[4] = g, p[5] = o;
    } else if (kind == WK_GRU) {
        REAL r = SIG(x[0] + w[0]), z = SIG(x[1] + w[1]), n = TANH(x[2] + r * w[2]);
        p[0] = n + z * (h - n);
        p[1] = r, p[2] = z, p[3] = n, p[4] = w[2];
    } else {
        REAL s = x[0] + w[0];
        p[0] = kind == WK_RNN_RELU ? POSITIVE(s, s) : TANH(s);
    }
}

/* From the gradient of the new h and c those of the gates, as w and (of the last gate) as
 * x, and of h and c before; of h the part that does not come through w. */
static inline void cell_backward(int kind, const REAL *p, REAL h, REAL c, REAL *dh, REAL *dc,
                                 REAL *dw, REAL *dx)
{
    if (kind == WK_LSTM) {
        REAL i = p[2], f = p[3], g = p[4], o = p[5], t = TANH(p[1]);
        REAL d = *dc + *dh * o * (K(1) - t * t);
        dw[0] = d * g * i * (K(1) - i);
        dw[1] = d * c * f * (K(1) - f);
        dw[2] = d * i * (K(1) - g * g);
        dw[3] = *dh * t * o * (K(1) - o);
        *dx = dw[3];
        *dc = d * f;
        *dh = K(0);
    } else if (kind == WK_GRU) {
        REAL r = p[1], z = p[2], n = p[3];
        *dx = *dh * (K(1) - z) * (K(1) - n * n);
        dw[0] = *dx * p[4] * r * (K(1) - r);
        dw[1] = *dh * (h - n) * z * (K(1) - z);
        dw[2] = *dx * r;
        *dh = *dh * z;
    } else {
        REAL y = p[0];
        *dx = dw[0] = kind == WK_RNN_RELU ? POSITIVE(y, *dh) : *dh * (K(1) - y * y);
        *dh = K(0);
    }
}

#endif
