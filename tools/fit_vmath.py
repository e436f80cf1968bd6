# SPDX-License-Identifier: MIT OR Apache-2.0
"""Fits the polynomials of src/cpu/vmath.h: prints each one's coefficients, the highest
power first, and its largest error in units of 2^-24 of the function it stands in."""
import mpmath as mp
import numpy as np

mp.mp.dps = 50


def fit(name, degree, low, high, target, weight, variable=lambda x: x):
    """Minimise the largest |weight(x) (poly(variable(x)) - target(x))|: Lawson's
    iteration, which reweights least squares until the errors are level."""
    n = 400
    nodes = [(low + high) / 2 + (high - low) / 2 * mp.cos(mp.pi * (k + 0.5) / n) for k in range(n)]
    x = np.array([float(v) for v in nodes])
    t = np.array([float(variable(v)) for v in nodes])
    y = np.array([float(target(v)) for v in nodes])
    w = np.array([abs(float(weight(v))) for v in nodes])
    scale = np.max(np.abs(t))
    basis = np.polynomial.polynomial.polyvander(t / scale, degree)
    level = np.ones(n) / n
    for _ in range(300):
        root = np.sqrt(level) * w
        c = np.linalg.lstsq(basis * root[:, None], y * root, rcond=None)[0]
        error = np.abs(basis @ c - y) * w
        level *= error + 1e-30
        level /= level.sum()
    c = (c / scale ** np.arange(degree + 1)).astype(np.float32)
    error = np.abs(np.polynomial.polynomial.polyval(t, c.astype(np.float64)) - y) * w
    print(f"{name}: {error.max() * 2**24:.2f} at {x[error.argmax()]:.3f}")
    print("   ", ", ".join(f"{v:.9g}f" for v in c[::-1]))


half = mp.mpf(1) / 2
fit("2^x = 1 + x p(x)", 5, -half, half, lambda x: mp.expm1(x * mp.log(2)) / x, lambda x: x / 2**x)
fit("e^x = 1 + x + x^2 p(x)", 5, -0.3466, 0.3466, lambda x: (mp.expm1(x) - x) / x**2,
    lambda x: x**2 / mp.expm1(x))
fit("log(1 + x) = x - x^2 / 2 + x^3 p(x)", 8, -0.2929, 0.4143,
    lambda x: (mp.log1p(x) - x + x**2 / 2) / x**3, lambda x: x**3 / mp.log1p(x))
fit("sin x = x + x^3 p(x^2)", 2, -0.7854, 0.7854, lambda x: (mp.sin(x) - x) / x**3,
    lambda x: x**3 / mp.sin(x), lambda x: x * x)
fit("cos x = 1 - x^2 / 2 + x^4 p(x^2)", 2, -0.7854, 0.7854,
    lambda x: (mp.cos(x) - 1 + x * x / 2) / x**4, lambda x: x**4 / mp.cos(x), lambda x: x * x)
fit("sinh x = x + x^3 p(x^2)", 3, -1.0, 1.0, lambda x: (mp.sinh(x) - x) / x**3,
    lambda x: x**3 / mp.sinh(x), lambda x: x * x)
fit("erf x = x + x p(x^2)", 7, 0.001, 1.0, lambda x: mp.erf(x) / x - 1,
    lambda x: x / mp.erf(x), lambda x: x * x)


def tail(x):  # e^(x^2 / 2) ncdf(-x)
    return mp.exp(x * x / 2) * mp.erfc(x / mp.sqrt(2)) / 2


fit("tail(x) = t p(t), t = 1 / (1 + 0.35 x)", 8, 0, 14.5, lambda x: tail(x) * (1 + 0.35 * x),
    lambda x: 1 / (tail(x) * (1 + 0.35 * x)), lambda x: 1 / (1 + 0.35 * x))
