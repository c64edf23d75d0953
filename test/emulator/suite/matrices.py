# ldmatrix, stmatrix, movmatrix, mma.sync: matrix.cu.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np

from .case import Case, In, Out, poison
from .data import decode, encode, normal, octets, words
from .fragments import Precision, a_fragment, b_fragment, d_fragment, rounded_range


def rows(data):
    """Row i of the 32 rows of 16 bytes is at the address of lane i."""
    return data[(np.arange(32) * 5 + 3) % 32]


def fragment(matrix, trans):
    """An 8 x 8 matrix of 16 bits: lane 4g + t has columns 2t and 2t + 1 of row g."""
    matrix = matrix.T if trans else matrix
    return np.ascontiguousarray(matrix).view(np.uint32).ravel()


def load():
    data = octets(61, 512).reshape(32, 16)
    matrices = np.ascontiguousarray(rows(data)).view(np.uint16).reshape(4, 8, 8)
    want = [fragment(matrices[m], trans) for trans in (False, True) for count in (1, 2, 4) for m in range(count)]
    return Case('load_matrices', 'load_matrices', [In(data), Out(poison((14, 32)), np.array(want))], shared=1024 + 512)


def store():
    registers, want = words(62, 128).reshape(4, 32), []
    for trans in (False, True):
        for count in (1, 2, 4):
            image = poison((32, 16), np.uint8)
            for m in range(count):
                matrix = registers[m].view(np.uint16).reshape(8, 8)
                image[(np.arange(8 * m, 8 * m + 8) * 5 + 3) % 32] = np.ascontiguousarray(matrix.T if trans else matrix).view(np.uint8)
            want.append(image)
    want = np.array(want)
    return Case('store_matrices', 'store_matrices', [In(registers), Out(poison(want.shape, np.uint8), want)], shared=1024 + 512)


def move():
    x = words(63, 32)
    return Case('move_matrix', 'move_matrix', [In(x), Out(poison(32), fragment(x.view(np.uint16).reshape(8, 8), True))])


def accumulator(c, kind, threads=32):
    """C in the format of D, as registers, and its values."""
    if kind == 's32':
        codes = np.rint(c).astype(np.int64).astype(np.int32)
    else:
        codes = c.astype(np.float16 if kind == 'f16' else np.float32)
    return d_fragment(codes, threads), codes.astype(np.float64)


def result(total, error, kind, saturates, threads=32):
    """What must come out: integers exactly."""
    if kind == 's32':
        total = np.clip(total, -2.0 ** 31, 2.0 ** 31 - 1).astype(np.int64) if saturates else total.astype(np.int64)
        want = d_fragment(total.astype(np.uint64).astype(np.uint32), threads)
        return Out(poison(want.shape), want)
    if kind == 'f16':  # two columns to a register: a register is two elements
        pairs = d_fragment(np.arange(total.size, dtype=np.uint16).reshape(total.shape), threads).view(np.uint16)
        return Out(poison(pairs.shape, np.float16), rounded_range(total).ravel()[pairs], (error + 2.0 ** -11 * np.abs(total)).ravel()[pairs], sums=True)
    want = d_fragment(total, threads)
    return Out(poison(want.shape, np.float32), want, d_fragment(error, threads), sums=True)


def values(kind, seed, shape):
    codes = encode(kind, normal(seed, shape))
    return codes, decode(kind, codes)


def spread(kind, seed, shape, power):
    """Numbers whose size varies by 2^+-power: what a tensor core cuts off then shows."""
    scale = 2.0 ** (normal(seed + 50, shape, 0) * power / 3)
    codes = encode(kind, normal(seed, shape) * np.clip(scale, 2.0 ** -power, 2.0 ** power))
    return codes, decode(kind, codes)


def mma(name, a, b, d, k, seed, saturates=False, power=0):
    """power: of the spread of A and B; the case is another one of kernel `name`."""
    x, x_values = spread(a, seed, (16, k), power) if power else values(a, seed, (16, k))
    y, y_values = spread(b, seed + 1, (8, k), power) if power else values(b, seed + 1, (8, k))
    c = normal(seed + 2, (16, 8)) * (2.0 ** 28 if saturates else 1000 if d == 's32' else 1)
    c, c_values = accumulator(c, d)
    total, error = Precision(a, False, d == 'f16').product(c_values, x_values, y_values, k)
    out = result(total, error, d, saturates)
    return Case(name + ('_spread' if power else ''), name, [In(a_fragment(x)), In(b_fragment(y)), In(c), out])


def mma_f64():
    x, y, c = normal(95, (8, 4)), normal(96, (8, 4)), normal(97, (8, 8))
    lane = np.arange(32)
    place = lambda m: np.array([m[lane // 4, lane % 4 * 2], m[lane // 4, lane % 4 * 2 + 1]])  # noqa: E731
    total = c + x @ y.T
    error = 5 * 2.0 ** -53 * (np.abs(c) + np.abs(x) @ np.abs(y.T))  # a chain of roundings, in any order
    return Case('mma_f64', 'mma_f64', [In(x.ravel()), In(y.ravel()), In(place(c)), Out(poison((2, 32), np.float64), place(total), place(error))])


def cases():
    table = [('mma_f16', 'f16', 'f16', 'f32', 16), ('mma_f16_f16', 'f16', 'f16', 'f16', 16), ('mma_f16_k8', 'f16', 'f16', 'f32', 8),
             ('mma_bf16', 'bf16', 'bf16', 'f32', 16), ('mma_tf32', 'tf32', 'tf32', 'f32', 8), ('mma_tf32_k4', 'tf32', 'tf32', 'f32', 4),
             ('mma_e4m3', 'e4m3', 'e4m3', 'f32', 32), ('mma_e5m2_e4m3', 'e5m2', 'e4m3', 'f32', 32), ('mma_s8', 's8', 's8', 's32', 32),
             ('mma_u8_s8_sat', 'u8', 's8', 's32', 32, True), ('mma_s8_k16', 's8', 'u8', 's32', 16)]
    wide = [mma(*row[:5], 170 + 3 * i, power=power) for i, (row, power) in enumerate(zip(table, [5, 3, 5, 8, 8, 8, 8, 11]))]
    return [load(), store(), move(), mma_f64(), *(mma(*row[:5], 70 + 3 * i, *row[5:]) for i, row in enumerate(table)), *wide]

