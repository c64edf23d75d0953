# Where matrices lie in the registers of a warp or warpgroup (PTX ISA, matrix fragments of mma and wgmma), and errors of products.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np

from .data import SIZES


def lanes(count=32):
    t = np.arange(count)
    return t // 32 * 16 + t % 32 // 4, t % 4  # row within the tile, thread of a quad


def _pack(parts):
    """Elements [.., n] of one register, the first in the lowest bits, as u32."""
    return np.ascontiguousarray(parts).view(np.uint32)[..., 0]


def a_fragment(codes, threads=32):
    """A (rows x K, K of 32 bytes or 16) as [register][thread]: rows g and g + 8, bytes 4t.. and 16 + 4t.."""
    row, quad = lanes(threads)
    per = 4 // codes.dtype.itemsize
    registers = codes.shape[1] * codes.dtype.itemsize // 16 * 2
    out = []
    for r in range(registers):
        first = quad * per + r // 2 * 4 * per
        out.append(_pack(codes[(row + 8 * (r % 2))[:, None], first[:, None] + np.arange(per)]))
    return np.array(out)


def b_fragment(codes):
    """B^T (8 columns x K) as [register][lane]."""
    lane = np.arange(32)
    per = 4 // codes.dtype.itemsize
    registers = codes.shape[1] * codes.dtype.itemsize // 16
    return np.array([_pack(codes[(lane // 4)[:, None], (lane % 4 * per + 4 * per * r)[:, None] + np.arange(per)]) for r in range(registers)])


def d_fragment(matrix, threads=32):
    """C or D of 32 bits (rows x N) as [register][thread]; of 16 bits two columns to a register."""
    row, quad = lanes(threads)
    out = []
    for n in range(0, matrix.shape[1], 8):
        for half in range(2):
            pair = matrix[(row + 8 * half)[:, None], (n + 2 * quad)[:, None] + np.arange(2)]
            if matrix.dtype.itemsize == 2:
                out.append(_pack(pair))
            else:
                out += [pair[:, 0], pair[:, 1]]
    return np.array(out)


def rounded_range(total):
    """Numbers that go to f16: beyond its range they become infinite."""
    return np.where(np.abs(total) >= 65520, np.copysign(np.inf, total), total)


class Precision:
    """How tensor cores of an H100 add: products and accumulator are aligned to the largest of them, cut to `fraction` bits behind
    its binary point, added, and the sum is cut to `result` bits of mantissa. (Xie et al., "MMA-Sim: Bit-Accurate Reference Model of
    Tensor Cores and Matrix Cores", 2025; the constants are in tensor/Dot.h.) Products are exact."""

    def __init__(self, kind, wgmma, half=False):
        reduced = wgmma and kind in ('e4m3', 'e5m2')
        self.fraction, self.result, self.half = (13, 13, half) if reduced else (25, 23, half)
        self.parts = not wgmma and kind in ('e4m3', 'e5m2')  # an H100 adds two halves of K before C

    def product(self, c, a, b, k):
        """c + a b^T in double, in steps of k, and the largest error that the model allows; an exact sum that is rounded once
        to nearest is within it, too."""
        total, error = c.copy(), np.zeros(c.shape)
        for s in range(0, a.shape[1], k):
            x, y = a[:, s:s + k], b[:, s:s + k]
            largest = np.maximum(np.abs(total), (np.abs(x)[:, None, :] * np.abs(y)[None]).max(2)) + error
            total = total + x @ y.T
            error = error + (k + 1) * 2.0 ** -self.fraction * largest + 2.0 ** -self.result * (np.abs(total) + error)
            if self.parts:
                error = error + 2.0 ** (-10 if self.half else -22) * (np.abs(x) @ np.abs(y).T)
            if self.half:
                error = error + 2.0 ** -10 * (np.abs(total) + error) + 2.0 ** -24
        return total, error * 1.01


def k_of(kind):
    """K of one wgmma."""
    return 32 // SIZES[kind]
