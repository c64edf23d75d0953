# Functions that hardware approximates: approximate.cu, with the errors that PTX ISA documents (9.7.3, 9.7.4).
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np

from .case import Case, In, Out, Scalar, poison
from .data import bf16_value, bits, normal

LEAST = 2.0 ** -126


def flush(x):
    return np.where(np.abs(x) < LEAST, np.copysign(0.0, x), x)


def ulp(x, mantissa=23, least=-126):
    """Distance of numbers of a format at x."""
    with np.errstate(divide='ignore', invalid='ignore'):
        exponent = np.where((x == 0) | ~np.isfinite(x), least, np.floor(np.log2(np.abs(x))))
    return 2.0 ** (np.maximum(exponent, least) - mantissa)


def spread(seed, low, high, n=256):
    """Numbers with exponents in a range, both signs, and odd ones."""
    power = low + (bits(seed, n) >> np.uint64(11)).astype(np.float64) / 2.0 ** 53 * (high - low)
    x = (2.0 ** power * np.where(bits(seed + 1, n) & np.uint64(1), 1, -1)).astype(np.float32)
    x[:12] = [0.0, -0.0, np.inf, -np.inf, np.nan, 1, -1, 0.5, 1e-40, -1e-40, 3.4e38, 2]
    return x


def row(x, f, error, flushes=False):
    """The true value in double, limited to the range of f32, and the bound. Flushed results may be 0 or subnormal on the way."""
    with np.errstate(all='ignore'):
        x = flush(x.astype(np.float64)) if flushes else x.astype(np.float64)
        y = f(x)
        bound = error(x, y)
        if flushes:
            bound = np.where(np.abs(y) < LEAST * (1 + 2.0 ** -20), np.maximum(bound, np.abs(y)), bound)
            y = flush(y)
        over = np.abs(y) > 3.4028236e38
        return np.where(over, np.copysign(np.inf, y), y), np.where(over | ~np.isfinite(y), 0, bound)


def case(name, x, rows):
    want, bound = zip(*rows)
    return Case(name, name, [In(x), Out(poison((len(rows), 256), np.float32), np.array(want), np.array(bound))], block=256)


def exponentials():
    x = spread(141, -30, 7)
    two = lambda x, y: 2.5 * ulp(y)  # noqa: E731  2 ulp from the correctly rounded result
    log = lambda x, y: np.where((x > 0.5) & (x < 2), 2.0 ** -22, 2.0 ** -22 * np.abs(y))  # noqa: E731
    return case('exponentials', x, [row(x, np.exp2, two), row(x, np.exp2, two, True), row(x, np.log2, log), row(x, np.log2, log, True),
                                    row(x, np.tanh, lambda x, y: 2.0 ** -11 * np.abs(y))])


def roots():
    x = spread(143, -60, 60)
    z = x[np.arange(256) ^ 1]
    with np.errstate(all='ignore'):
        big = np.abs(z) > 2.0 ** 126
        approximate = np.where(big, np.where(np.isinf(x), np.nan, np.copysign(0, x) * np.sign(z)), x.astype(np.float64) / z)
        full, flushed = x.astype(np.float64) / z, flush(x.astype(np.float64)) / flush(z.astype(np.float64))
    one, two = (lambda x, y: 1.5 * ulp(y)), (lambda x, y: 2.5 * ulp(y))  # noqa: E731
    root = lambda x, y: 2.0 ** -23 * np.abs(y) + 0.5 * ulp(y)  # noqa: E731
    inverse = lambda x, y: 2.0 ** -22.9 * np.abs(y)  # noqa: E731
    rows = [row(x, np.reciprocal, one), row(x, np.reciprocal, one, True), row(x, lambda v: 1 / np.sqrt(v), inverse), row(x, np.sqrt, root),
            row(x, np.sqrt, root, True), row(x, lambda _: approximate, two), row(x, lambda _: full, two), row(x, lambda _: flushed, two, True)]
    # No error is documented where |b| is subnormal or above 2^126: there div.approx is not compared.
    undefined = ~((np.abs(z) >= LEAST) & (np.abs(z) <= 2.0 ** 126))
    rows[5] = rows[5][0], np.where(undefined, np.inf, rows[5][1])
    return case('roots', x, rows)


def waves():
    """The bound within 2 pi; beyond, up to 100 pi, the other one."""
    x = np.concatenate([normal(145, 128, 0) * 2, normal(146, 128, 0) * 80]).astype(np.float32)
    x[:4] = [0.0, -0.0, 1e-40, -1e-40]
    error = lambda x, y: np.where(np.abs(x) <= 2 * np.pi, 2.0 ** -20.5, 2.0 ** -14.7)  # noqa: E731
    return case('waves', x, [row(x, np.sin, error), row(x, np.cos, error), row(x, np.sin, error, True), row(x, np.cos, error, True)])


def pairs():
    """Two to a register: f16 of all sizes; the same bits as bf16. The result is compared as each format."""
    half = np.concatenate([normal(147, 504) * 3, [0, -0.0, np.inf, -np.inf, 1e-6, -1e-6, 12, -20]]).astype(np.float16)
    word = half.view(np.uint32)
    x, b = half.astype(np.float64), bf16_value(word.view(np.uint16))
    with np.errstate(all='ignore'):
        exact = [np.exp2(x), np.tanh(x), np.exp2(flush(b)), np.tanh(b)]
        exact[0] = np.where(exact[0] >= 65520, np.inf, exact[0])
        exact[2] = np.where(exact[2] >= 3.39e38, np.inf, exact[2])
        bounds = [2.0 ** -9.9 * exact[0] + 2.0 ** -25, np.full(512, 2.0 ** -10.987), 2.0 ** -7 * exact[2] + 2.0 ** -126, np.full(512, 2.0 ** -8)]
    start = poison((4, 512), np.uint16)
    return Case('pairs', 'pairs', [In(word), Halves(start, np.array(exact), np.array(bounds))], block=256)


class Halves(Out):
    """Two rows of f16, two of bf16, as numbers."""

    def canonical(self, got):
        got = np.ascontiguousarray(got).view(np.uint16).reshape(4, 512)
        return np.concatenate([got[:2].view(np.float16).astype(np.float32), bf16_value(got[2:]).astype(np.float32)])


def softmax(rows, n):
    """Errors: of the difference times log2(e) (two roundings), of ex2 (2 ulp), of sums (n roundings at most), of the division."""
    x = normal(149, (rows, n)).astype(np.float32)
    d = (x.astype(np.float64) - x.max(1, keepdims=True)) * np.log2(np.e)
    e = np.exp2(d)
    total = e.sum(1, keepdims=True)
    relative = 2.0 ** -23 * (3 * np.abs(d) * np.log(2) + 3)
    sums = (e * relative).sum(1, keepdims=True) / total + n * 2.0 ** -24
    want = np.concatenate([(e / total).ravel(), np.log2(total).ravel()])
    bound = np.concatenate([(e / total * (relative + sums + 2.0 ** -22)).ravel() + 2.0 ** -126, (sums * 1.5 + 2.0 ** -21 * np.log2(total) + 2.0 ** -22).ravel()])
    return Case(f'softmax_{n}', 'softmax', [In(x), Out(poison(rows * n + rows, np.float32), want, bound), Scalar('s32', n)], grid=(rows, 1, 1), block=128)


def cases():
    return [exponentials(), roots(), waves(), pairs(), softmax(5, 333), softmax(3, 1), softmax(2, 4097)]
