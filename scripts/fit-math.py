#!/usr/bin/env python3
"""Prints the coefficient tables of lib/Codegen/CPU/MathFunctions.cpp.

Every table is a minimax polynomial (Remez exchange in 60 digits) of a smooth
function, with the weight that makes its error a relative error of the final
result. Needs mpmath; only the tables are part of the build.
"""

from mpmath import (asin, cos, erfc, exp, expm1, inf, log, lu_solve, matrix, mp,
                    mpf, pi, sqrt)

mp.dps = 60


def remez(f, weight, low, high, degree, rounds=12):
    """P of the given degree that minimizes max weight * |f - P|."""
    n = degree + 2
    low, high = mpf(low), mpf(high)
    xs = [(low + high) / 2 - (high - low) / 2 * cos(pi * i / (n - 1))
          for i in range(n)]
    grid = [low + (high - low) * (1 - cos(pi * i / 600)) / 2 for i in range(601)]
    fs = [(x, f(x), weight(x)) for x in grid]
    best = (inf, None)
    for _ in range(rounds):
        a = matrix(n, n)
        b = matrix(n, 1)
        for i, x in enumerate(xs):
            for j in range(degree + 1):
                a[i, j] = x ** j
            a[i, n - 1] = (-1) ** i / weight(x)
            b[i] = f(x)
        c = lu_solve(a, b)
        errors = []
        for x, y, w in fs:
            p = mpf(0)
            for j in reversed(range(degree + 1)):
                p = p * x + c[j]
            errors.append((w * (y - p), x))
        worst = max(abs(e) for e, _ in errors)
        if worst < best[0]:
            best = (worst, [c[j] for j in range(degree + 1)])
        # One extremum per run of equal sign, the n largest neighbours.
        runs = []
        for e, x in errors:
            if runs and (runs[-1][0] > 0) == (e > 0):
                if abs(e) > abs(runs[-1][0]):
                    runs[-1] = (e, x)
            else:
                runs.append((e, x))
        while len(runs) > n:
            runs.pop(0 if abs(runs[0][0]) < abs(runs[-1][0]) else -1)
        if len(runs) < n:
            break
        xs = [x for _, x in runs]
    return best


def table(name, f, weight, low, high, degrees):
    for kind, degree in zip(("f32", "f64"), degrees):
        if degree is None:
            continue
        error, c = remez(f, weight, low, high, degree)
        print(f"// {name} {kind}: degree {degree}, error 2^{float(log(error, 2)):.1f}")
        digits = 12 if kind == "f32" else 20
        print("{" + ", ".join(mp.nstr(v, digits) for v in c) + "}\n")


def taylor(coefficient, count=40):
    return lambda x: sum(coefficient(k) * x ** k for k in range(count))


def factorial(n):
    return mpf(1) if n < 2 else n * factorial(n - 1)


half_ln2 = log(2) / 2 * mpf("1.01")
table("expm1: (e^r - 1 - r) / r^2", taylor(lambda k: 1 / factorial(k + 2)),
      lambda r: max(r * r, mpf("1e-3")), -half_ln2, half_ln2, (4, 9))

s_max = ((sqrt(2) - 1) / (sqrt(2) + 1)) ** 2 * mpf("1.01")
table("log: (atanh(s) - s) * 2 / s^3 in s^2",
      taylor(lambda k: mpf(2) / (2 * k + 3), 60), lambda z: 1, 0, s_max, (3, 7))

quarter = (pi / 4 * mpf("1.01")) ** 2
table("sin: (sin(r) - r) / r^3 in r^2",
      taylor(lambda k: (-1) ** (k + 1) / factorial(2 * k + 3)),
      lambda z: max(z, mpf("1e-3")), 0, quarter, (2, 5))
table("cos: (cos(r) - 1 + r^2/2) / r^4 in r^2",
      taylor(lambda k: (-1) ** k / factorial(2 * k + 4)),
      lambda z: max(z * z, mpf("1e-4")), 0, quarter, (2, 5))

table("atan: (atan(s) - s) / s^3 in s^2",
      taylor(lambda k: (-1) ** (k + 1) / mpf(2 * k + 3), 120),
      lambda z: max(z, mpf("1e-3")), 0, (sqrt(2) - 1) ** 2 * mpf("1.01"), (4, 11))


def asin_series(z):
    if z > mpf("0.01"):
        s = sqrt(z)
        return (asin(s) - s) / s ** 3
    total, term = mpf(0), mpf(1)
    for k in range(1, 60):
        term *= mpf(2 * k - 1) / (2 * k)
        total += term / (2 * k + 1) * z ** (k - 1)
    return total


table("asin: (asin(s) - s) / s^3 in s^2", asin_series,
      lambda z: max(z, mpf("1e-3")), 0, mpf("0.2525"), (5, 13))


def erf_tail(t):
    """(-log(erfc(t)) / t - 1)."""
    if t < mpf("1e-20"):
        return 2 / sqrt(pi) - 1
    return -log(erfc(t)) / t - 1


def erf_weight(t):
    g = -log(erfc(t)) if t > 0 else mpf(0)
    return mpf(1) if g < mpf("1e-18") else t * exp(-g) / -expm1(-g)


for kind, high, degrees in (("f32", 4, (8, None)), ("f64", 6, (None, 26))):
    table(f"erf: (-log(erfc(t)) - t) / t on [0, {high}]", erf_tail, erf_weight,
          0, high, degrees)
