# mbarriers and clusters: cluster.cu.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np

from .case import Case, In, Out, Scalar, poison
from .data import words
from .tensors import combine


def phases():
    """By hand, from PTX ISA, mbarrier: a state has the pending count from before the arrival."""
    want = [5, 4, 0, 0, 1,  # two arrivals of 3 in all; parity 1 is that of the phase before the first
            2, 1, 1, 1, 0,  # the third ends phase 0
            5, 3, 1, 0, 1,  # two drop, three arrive: phase 1 ends, 3 are expected now
            3, 0, 0, 1, 1, 0,  # bytes are missing, then not
            3, 1, 0, 1, 2,  # noComplete, drop with bytes, the last; then 2 are expected
            1, 1, 1]
    return Case('phases', 'phases', [Out(poison(len(want)), np.array(want, np.uint32))], block=1, shared=1024)


def ping_pong(rounds):
    word = np.arange(32, dtype=np.uint32)
    for i in range(rounds):
        word = (word * np.uint32(5) + np.uint32(i))
        word = word * np.uint32(5) + np.uint32(i)
    return Case(f'ping_pong_{rounds}', 'ping_pong', [Out(poison(64), np.tile(word, 2)), Scalar('s32', rounds)], block=64, shared=1024 + 128)


def ranks():
    rows = []
    for y in range(4):
        for x in range(6):
            rank = x % 2 + 2 * (y % 2)
            rows.append([x // 2, y // 2, 3, 2, x % 2, y % 2, 2, 2, rank, 4, 2, 1])
    return Case('ranks', 'ranks', [Out(poison(288), np.array(rows, np.uint32).ravel())], grid=(6, 4, 1), shared=1024)


def bins(count):
    x = words(51, count)
    total = np.bincount(x % 128, minlength=128).astype(np.uint32).reshape(4, 32)
    want = np.tile(np.roll(total, -1, 0).ravel(), 2)
    return Case('bins', 'bins', [In(x), Out(poison(256), want), Scalar('s32', count)], grid=(8, 1, 1), block=64, shared=1024 + 128)


def gather():
    x = words(52, 256).reshape(8, 32)
    want = np.roll(x, -5, 1)
    return Case('gather', 'gather', [In(x), Out(poison((8, 32)), want)], grid=(8, 1, 1), shared=1024 + 512)


def sent():
    x, want = words(53, 512).reshape(4, 32, 4), np.zeros((4, 16, 32), np.uint32)
    for c in range(4):
        a, b, d, e = x[c ^ 1].T
        want[c, 0] = a
        want[c, 1:3] = np.stack([b, a], 1).reshape(2, 32)
        want[c, 4:8] = np.stack([e, d, b, a], 1).reshape(4, 32)
        want[c, 8:10] = np.stack([d, b], 1).reshape(2, 32)
        want[c, 12:16] = np.stack([d, b, a, e], 1).reshape(4, 32)
    return Case('sent', 'sent', [In(x), Out(poison(want.shape), want)], grid=(4, 1, 1), shared=1024 + 2048)


def reduced():
    x = words(54, 384 + 128)
    want = []
    for c in range(4):
        cells, b = x[:384].reshape(12, 32).copy(), x[384 + 32 * (c ^ 1):416 + 32 * (c ^ 1)]
        for slot, op in enumerate('add add min max min max inc dec and or'.split()):
            dtype = np.int32 if slot in (1, 4, 5) else np.uint32
            cells[slot] = combine(op, cells[slot].view(dtype), b.view(dtype)).view(np.uint32)
        wide = cells[10:].ravel().view(np.uint64)
        wide += b.astype(np.uint64) << np.uint64(16)
        want.append(cells)
    return Case('reduced', 'reduced', [In(x), Out(poison((4, 12, 32)), np.array(want))], grid=(4, 1, 1), shared=1024 + 1536)


def cases():
    return [phases(), ping_pong(1), ping_pong(40), ranks(), bins(1000), gather(), sent(), reduced()]
