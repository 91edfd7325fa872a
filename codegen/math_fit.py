#!/usr/bin/env python3
"""Makes codegen/math_tables.h: polynomial coefficients of the vector maths, and the bits of 2/pi.

Each function is interpolated at Chebyshev nodes in 80-digit arithmetic, which is within a small factor of the
best polynomial of its degree; the degree is the smallest whose error is below the bound asked for. Needs mpmath:

    python3 codegen/math_fit.py > codegen/math_tables.h
"""
import struct
from mpmath import mp, mpf, cos, sin, exp, expm1, log, log1p, erf, erfc, pi, sqrt, floor, chebyt, matrix, lu_solve

mp.dps = 80


def fit(f, low, high, bound):
    """Coefficients, constant first, of a polynomial within `bound` (absolute) of f on [low, high]."""
    for degree in range(1, 40):
        nodes = [(low + high) / 2 + (high - low) / 2 * cos(pi * (2 * i + 1) / (2 * degree + 2))
                 for i in range(degree + 1)]
        a = matrix([[x**j for j in range(degree + 1)] for x in nodes])
        c = list(lu_solve(a, matrix([f(x) for x in nodes])))
        points = [low + (high - low) * mpf(i) / 400 for i in range(401)]
        worst = max(abs(sum(c[j] * x**j for j in range(degree + 1)) - f(x)) for x in points)
        if worst <= bound:
            return c
    raise SystemExit("no polynomial")


def f32(x):
    return struct.unpack("f", struct.pack("f", float(x)))[0]


def table(name, comment, coefficients, single):
    values = [f32(c) if single else float(c) for c in coefficients]
    lines, line = [], "   "
    for v in values:
        text = f" {v.hex()},"
        if len(line) + len(text) > 108:
            lines.append(line)
            line = "   "
        line += text
    lines.append(line)
    print(f"/// {comment}")
    print(f"inline constexpr double {name}[] = {{\n" + "\n".join(lines) + "\n};")


def taylor_safe(direct, series, x):
    """The series near 0, where the direct formula would divide 0 by 0."""
    return series if abs(x) < mpf(10)**-30 else direct(x)


half = log(mpf(2)) / 2 * mpf("1.001")
z_log = ((sqrt(mpf(2)) - 1) / (sqrt(mpf(2)) + 1))**2 * mpf("1.001")
z_trig = (pi / 4)**2 * mpf("1.01")


def exp_tail(r):
    return taylor_safe(lambda r: (expm1(r) - r) / r**2, mpf(1) / 2, r)


def atanh_tail(z):
    s = sqrt(z)
    return taylor_safe(lambda z: (log((1 + s) / (1 - s)) / s - 2) / z, mpf(2) / 3, z)


def atanh_tail2(z):
    s = sqrt(z)
    return taylor_safe(lambda z: (log((1 + s) / (1 - s)) / s - 2 - 2 * z / 3) / z**2, mpf(2) / 5, z)


def erf_small(z):
    x = sqrt(z)
    return taylor_safe(lambda z: erf(x) / x - 1, 2 / sqrt(pi) - 1, z)


def sin_tail(z):
    r = sqrt(z)
    return taylor_safe(lambda z: (sin(r) - r) / r**3, -mpf(1) / 6, z)


def cos_tail(z):
    return taylor_safe(lambda z: (cos(sqrt(z)) - 1 + z / 2) / z**2, mpf(1) / 24, z)


print("""#pragma once
#include <cstdint>

/// Made by codegen/math_fit.py; change it there. Polynomials, constant coefficient first.
namespace kiln::codegen::tables {
""")
for suffix, bits, single in (("f32", 24, True), ("f64", 53, False)):
    eps = mpf(2)**-bits
    table(f"exp_{suffix}", "(e^r - 1 - r) / r^2, |r| <= ln(2) / 2", fit(exp_tail, -half, half, eps / 2), single)
    table(f"log_{suffix}", "(log(1 + f) / s - 2) / s^2 in s^2, s = f / (2 + f), 1 + f in [sqrt(1/2), sqrt(2)]",
          fit(atanh_tail, mpf(0), z_log, eps * 2), single)
    table(f"erf_small_{suffix}", "erf(x) / x - 1 in x^2, |x| <= 1", fit(erf_small, mpf(0), mpf(1), eps / 8), single)
    top, middle = (mpf(4), mpf("2.5")) if single else (mpf(6), mpf("3.5"))
    # The error of erf is erfc's relative error times erfc <= 0.16.
    table(f"erf_large_{suffix}", f"log(erfc(x)) in x - {float(middle)}, 1 <= x <= {float(top)}",
          fit(lambda t: log(erfc(t + middle)), 1 - middle, top - middle, eps / 2), single)
    table(f"sin_{suffix}", "(sin(r) - r) / r^3 in r^2, |r| <= pi / 4", fit(sin_tail, mpf(0), z_trig, eps / 4), single)
    table(f"cos_{suffix}", "(cos(r) - 1 + r^2 / 2) / r^4 in r^2, |r| <= pi / 4",
          fit(cos_tail, mpf(0), z_trig, eps / 4), single)
table("log_tail_f64", "(log(1 + f) / s - 2 - 2 s^2 / 3) / s^4 in s^2: for pow, after two terms in double-double",
      fit(atanh_tail2, mpf(0), z_log, mpf(2)**-56), False)


def pieces(name, comment, value, count):
    """value as a sum of doubles, each the rounded rest."""
    rest, parts = value, []
    for _ in range(count):
        parts.append(float(rest))
        rest -= mpf(parts[-1])
    print(f"/// {comment}")
    print(f"inline constexpr double {name}[] = {{" + ", ".join(p.hex() for p in parts) + "};")


pieces("half_pi", "pi / 2 as a sum", pi / 2, 3)
pieces("two_thirds", "2 / 3 as a sum", mpf(2) / 3, 2)

# log(2) in a head of few bits, so that its products with exponents are exact (without a fused multiply-add,
# too), and a tail.
for suffix, bits, single in (("f32", 15, True), ("f64", 41, False)):
    head = floor(log(mpf(2)) * mpf(2)**bits) / mpf(2)**bits
    tail = log(mpf(2)) - head
    print(f"/// log(2) as a head of {bits} bits and a tail")
    print(f"inline constexpr double ln2_split_{suffix}[] = {{{float(head).hex()}, "
          f"{(f32(tail) if single else float(tail)).hex()}}};")

mp.dps = 450
words, rest = [], 2 / pi
for _ in range(21):
    rest *= 2**64
    words.append(int(floor(rest)))
    rest -= words[-1]
print("/// The bits of 2/pi behind the point, 64 in a word, most significant first. The exponents of f64 need 1,216.")
print("inline constexpr std::uint64_t two_over_pi[] = {")
for i in range(0, len(words), 4):
    print("    " + " ".join(f"0x{w:016x}," for w in words[i:i + 4]))
print("};\n\n}  // namespace kiln::codegen::tables")
