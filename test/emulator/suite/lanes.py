# Lanes and warps: lanes.cu.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np

from .case import Case, In, Out, poison
from .data import words


def shuffle(mode, x, b, c):
    """PTX ISA, shfl.sync: lanes in segments that the upper half of c makes."""
    out = np.zeros(32, np.uint32)
    for lane in range(32):
        mask, clamp, val = c >> 8 & 31, c & 31, int(b[lane]) & 31
        most = (lane & mask) | (clamp & ~mask & 31)
        least = lane & mask
        if mode == 'up':
            j = lane - val
            valid = j >= most
        elif mode == 'down':
            j = lane + val
            valid = j <= most
        else:
            j = lane ^ val if mode == 'bfly' else least | (val & ~mask & 31)
            valid = j <= most
        j = j if valid else lane
        out[lane] = int(x[j]) ^ int(valid) << 31
    return out


def shuffles():
    x = words(111, 32)
    t = np.arange(32)
    rows = []
    for mode, b, last in [('up', x % 9, 0), ('down', x % 9, 31), ('bfly', x % 32, 31), ('idx', x % 32, 31)]:
        rows += [shuffle(mode, x, b, c) for c in (last, 16 << 8 | last, 24 << 8 | last, 30 << 8 | last)]
    rows += [shuffle('up', x, 0 * t + 3, 5), shuffle('down', x, 0 * t + 3, 12), shuffle('bfly', x, 0 * t + 5, 20), shuffle('idx', x, t + 1, 20)]
    return Case('shuffles', 'shuffles', [In(x), Out(poison((20, 32)), np.array(rows))])


def collect(x, mask):
    """16 results of each lane in mask."""
    inside = [l for l in range(32) if mask >> l & 1]
    v = x[inside].astype(np.int64)
    signed = x[inside].view(np.int32).astype(np.int64)
    bits = lambda f: sum(1 << l for l in inside if f(int(x[l])))  # noqa: E731
    common = []
    same = len({int(y) // 1000000000 for y in v}) == 1
    common.append((mask if same else 0) + same)
    common.append(mask + 1)
    common += [int(v.sum()), int(signed.min()), int(signed.max()), int(v.min()), int(v.max()), int(np.bitwise_and.reduce(v | 0xFF00FFF0)),
               int(np.bitwise_or.reduce(v & 0x01020408)), int(np.bitwise_xor.reduce(v)), bits(lambda y: y & 1),
               int((v % 7 == 0).any()) + 2 * int((v % 7 < 6).all()), int(len(set(v % 5 > 3)) == 1)]
    out = np.zeros((16, 32), np.int64)
    for lane in inside:
        mine = int(x[lane])
        row = [bits(lambda y: y % 5 == mine % 5), bits(lambda y: y % 3 == mine % 3), *common,
               inside[0] * 2 + (lane == inside[0])]
        out[:, lane] = row
    return (out & 0xFFFFFFFF).astype(np.uint32)


def groups():
    x = words(112, 32)
    x[[3, 9]] = x[6]
    third = 0x49249249
    parts = collect(x, third) + collect(x, ~third & 0xFFFFFFFF)
    return Case('groups', 'groups', [In(x), Out(poison((32, 32)), np.concatenate([collect(x, 0xFFFFFFFF), parts]))])


def named():
    x = words(113, 128)
    t = np.arange(128)
    first = np.where(t < 32, 0, x[:32][(t + 1) % 32] * (t // 32).astype(np.uint32))
    second = int((x & 1).sum()) + 1000 * 1 + 2000 * 0 + 0 * t
    return Case('named', 'named', [In(x), Out(poison(256), np.concatenate([first, second]).astype(np.uint32))], block=128, shared=1024 + 512)


def reduction():
    x = words(114, 1024)
    want = np.zeros(1032, np.uint32)
    start = want.copy()
    blocks = np.cumsum(x.reshape(4, 256), axis=1, dtype=np.uint32)
    want[:1024] = blocks.ravel()
    want[1024], want[1025], want[1028:] = x.max(), blocks[:, -1].sum(dtype=np.uint32), blocks[:, -1]
    return Case('reduction', 'reduction', [In(x), Out(start, want), Out(np.zeros(1, np.uint32), np.array([4], np.uint32))],
                grid=(4, 1, 1), block=256)


def cases():
    return [shuffles(), groups(), named(), reduction()]
