# Atomics: atomics.cu.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np

from .case import Case, In, Out
from .data import bf16, bf16_value, words
from .tensors import combine

THREADS = 512


def reduce_cells(op, start, values):
    """Cell i of 64 meets values i, i + 64, ..."""
    for row in values.reshape(-1, 64):
        start = combine(op, start, row)
    return start


def integers():
    x = words(101, THREADS)
    i = np.arange(THREADS, dtype=np.uint64)
    wide = (x.astype(np.uint64) << np.uint64(20)) | i
    start = np.array([w ^ 0x5A5A for w in words(102, 19 * 128)], np.uint32).reshape(19, 128)
    want = start.copy()
    table = [('add', 'u4', x), ('add', 'i4', x), ('add', 'u8', wide), ('min', 'u4', x), ('max', 'u4', x), ('min', 'i4', x), ('max', 'i4', x),
             ('min', 'u8', wide), ('max', 'u8', wide), ('min', 'i8', wide << np.uint64(12)), ('max', 'i8', wide << np.uint64(12)),
             ('inc', 'u4', x * 0 + 5), ('dec', 'u4', x * 0 + 5), ('and', 'u4', x | np.uint32(0xFF00FF00)), ('or', 'u4', x & np.uint32(0x11111111)),
             ('xor', 'u4', x), ('and', 'u8', wide | np.uint64(0xFFFF)), ('or', 'u8', wide & np.uint64(0x8421084210842108)), ('xor', 'u8', wide)]
    for slot, (op, dtype, values) in enumerate(table):
        cells = want[slot].view(dtype)[:64]
        cells[...] = reduce_cells(op, cells.copy(), values.astype(values.dtype).view(dtype))
    return Case('integers', 'integers', [In(x), Out(start, want)], grid=(2, 1, 1), block=256)


def floats():
    """Sums are exact in any order."""
    x = words(103, THREADS)
    a = ((x % 33).astype(np.int64) - 16) * 0.25
    b = ((x // 64 % 33).astype(np.int64) - 16) * 0.25
    per_cell = lambda v: v.reshape(-1, 64).sum(0)  # noqa: E731
    start = np.zeros(6 * 512 + 6 * 1024, np.uint8)
    want = start.copy()

    def put(at, dtype, values):
        raw = np.ascontiguousarray(values.astype(dtype) if dtype != 'bf16' else bf16(values)).view(np.uint8).ravel()
        want[at:at + len(raw)] = raw
    put(0, np.float32, per_cell(a))
    put(512, np.float64, per_cell(a * 1048577))
    put(1024, np.float16, np.stack([per_cell(b), per_cell(a)], 1))  # cvt puts its first operand into the upper half
    put(1536, 'bf16', np.stack([per_cell(a), per_cell(b)], 1))
    put(2048, np.float16, per_cell(a))
    put(2560, 'bf16', per_cell(a))

    def rows(columns, dtype):
        return np.stack([per_cell(c) for c in columns], 1)
    for slot, columns, dtype in [(0, [a, b, a + b, a - b], np.float32), (1, [b, -a], np.float32),
                                 (2, [b, a, b, -a, b, -a, b, a], np.float16), (3, [a, a, -a, -a, a, -a, a, -a], 'bf16')]:
        sums = rows(columns, dtype)
        full = np.zeros((64, 16 // (4 if dtype == np.float32 else 2)))
        full[:, :sums.shape[1]] = sums
        put(3072 + 1024 * slot, dtype, full)
    half = want[3072 + 4096:3072 + 5120].view(np.float16).reshape(64, 8)
    for n, v in enumerate([b, a, -b, a]):  # with zeros that are there: -0 < +0
        half[:, n] = least(np.zeros(64), v.astype(np.float16).astype(np.float64), min)
    brain = want[3072 + 5120:].view(np.uint16).reshape(64, 8)
    for n, v in enumerate([a, -a, -a, a]):
        brain[:, n] = bf16(least(np.zeros(64), bf16_value(bf16(v)), max))
    return Case('floats', 'floats', [In(x), Out(start, want)], grid=(2, 1, 1), block=256)


def least(start, values, choose):
    """Per cell; of zeros the negative one is less."""
    for row in values.reshape(-1, 64):
        start = np.array([choose(p, q, key=lambda v: (v, -int(np.signbit(v)))) for p, q in zip(start, row)])
    return start


def returned():
    x = words(104, 256) & np.uint32(0xFFFF)
    want = np.zeros(328, np.uint32)
    i = np.arange(256, dtype=np.uint64)
    want[:256] = 1 + 3 * i
    tokens = np.concatenate([[1000], i])  # all but the last come back; the last is added at the end
    want[256] = (tokens.sum() + 7 * 256).astype(np.uint64) & np.uint64(0xFFFFFFFF)
    want[257] = np.bitwise_xor.reduce(i.astype(np.uint32) * np.uint32(0x9E3779B9))
    want[258] = int(x.sum()) & 0xFFFF
    want[259] = 256
    want[260], want[261] = 256, int(x.astype(np.uint64).sum()) & 0xFFFFFFFF
    for k in range(8):
        product = int(x[k]) * 77
        low, high = (0, 0) if k < 4 else (product, k)  # .cas puts the old value, 0, back where it matches
        want[264 + 4 * k:268 + 4 * k] = [low & 0xFFFFFFFF, low >> 32, high, 0]
        want[296 + 4 * k:300 + 4 * k] = [0, 0, product & 0xFFFFFFFF, k]
    return Case('returned', 'returned', [In(x), Out(np.zeros(328, np.uint32), want)], block=256)


def cases():
    return [integers(), floats(), returned()]

