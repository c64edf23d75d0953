# A whole matrix product: warpgroup.cu.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np

from .case import Case, In, Out, Scalar, Tensor, poison
from .fragments import Precision, rounded_range
from .matrices import values


def gemm(m, n, k):
    """Sizes that are no multiples of the tiles; what lies outside of A and B is filled with zeros."""
    a, a_values = values('f16', 121, (m, k))
    b, b_values = values('f16', 122, (n, k))
    pad = np.zeros((m, -k % 64)), np.zeros((n, -k % 64))
    total, error = Precision('f16', True).product(np.zeros((m, n)), np.hstack([a_values, pad[0]]), np.hstack([b_values, pad[1]]), 16)
    error = error + 2.0 ** -11 * (np.abs(total) + error) + 2.0 ** -25  # to f16
    out = Out(poison((m, n), np.float16), rounded_range(total), error, sums=True)
    maps = [Tensor(In(x), 'f16', [k, len(x)], [2 * k], [64, rows], '128B') for x, rows in ((a, 128), (b, 64))]
    return Case(f'gemm_{m}_{n}_{k}', 'gemm', [*maps, Tensor(out, 'f16', [n, m], [2 * n], [64, 64], '128B'), Scalar('s32', k)],
                grid=(-(-m // 128), -(-n // 64), 1), block=384, shared=1024 + 2 * 3 * 8192 + 2 * 8192)


def cases():
    return [gemm(128, 64, 64), gemm(200, 120, 104), gemm(136, 72, 328)]
