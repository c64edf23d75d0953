# cp.async and cp.async.bulk: async.cu.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np

from .case import Case, In, Out, Scalar, poison
from .data import bits, octets, words
from .tensors import combine


def bulk_ring(chunks):
    x = words(31, 2 * chunks * 256)
    return Case(f'bulk_ring_{chunks}', 'bulk_ring', [In(x), Out(poison(len(x)), x * np.uint32(3) + np.uint32(1)), Scalar('s32', chunks)],
                grid=(2, 1, 1), block=128, shared=1024 + 4096)


BULK = ['add.u32', 'add.s32', 'add.u64', 'add.f16', 'add.bf16', 'add.f32', 'add.f64', 'min.u32', 'max.s32', 'min.s64', 'max.u64', 'min.f16',
        'max.bf16', 'inc.u32', 'dec.u32', 'and.b32', 'or.b64', 'xor.b32']
NUMPY = {'u32': np.uint32, 's32': np.int32, 'u64': np.uint64, 's64': np.int64, 'f16': np.float16, 'f32': np.float32, 'f64': np.float64,
         'b32': np.uint32, 'b64': np.uint64}


def bulk_reduce(number):
    """Two blocks meet in 512 bytes; sums of floats are exact, both bring the same to .inc and .dec."""
    op, type = BULK[number].split('.')
    dtype = np.dtype(np.uint16 if type == 'bf16' else NUMPY[type])
    n, rows = 512 // dtype.itemsize, 3

    def numbers(seed):
        raw = bits(seed, n)
        if type == 'bf16':
            return ((raw % np.uint64(64)).astype(np.float32) - 32).view(np.uint32).__rshift__(16).astype(np.uint16)
        if dtype.kind == 'f':
            return ((raw % np.uint64(512)).astype(dtype) - dtype.type(256)) / dtype.type(16)
        return (raw % np.uint64(9) if op in ('inc', 'dec') else raw).astype(dtype)
    start, *sources = [numbers(40 + number * 3 + r) for r in range(rows)]
    if op in ('inc', 'dec'):
        sources[1] = sources[0]
    want = start
    for x in sources:
        if type == 'bf16':
            a, b = ((y.astype(np.uint32) << 16).view(np.float32) for y in (want, x))
            want = (combine(op, a, b).view(np.uint32) >> 16).astype(np.uint16)
        else:
            want = combine(op, want, x)
    return Case(f'bulk_{op}_{type}', 'bulk_reduce', [In(np.concatenate(sources)), Out(start, want), Scalar('u32', number)],
                grid=(2, 1, 1), block=64, shared=1024 + 512)


def bulk_send():
    x = words(33, 4 * 256).reshape(4, 256)
    want = np.array([np.concatenate([x[0] + x[c ^ 1], x[c ^ 1], poison(64)]) for c in range(4)])
    return Case('bulk_send', 'bulk_send', [In(x), Out(poison((4, 576)), want)], grid=(4, 1, 1), block=64, shared=1024 + 3328)


def small_ring(rounds):
    x = octets(34, rounds * 2048)
    total = np.zeros(64, np.uint32)
    t = np.arange(64)
    for c in range(rounds):
        slot = x[2048 * c:2048 * (c + 1)].copy()
        for i in range(64):
            at, left = 1024 + 16 * i, (i + c) % 17
            slot[at + min(left, 8):at + 8] = 0
            slot[at + 12 + i % 5:at + 16] = 0
        slot = slot.view(np.uint32)
        for i in range(8):
            total = total * np.uint32(33) + slot[(t + 3) % 64 + 64 * i]
    return Case(f'small_ring_{rounds}', 'small_ring', [In(x), Out(poison(64), total), Scalar('s32', rounds)], block=64, shared=1024 + 6144)


def copy_arrive():
    x = words(35, 256)
    want = np.concatenate([x[:128][127 - np.arange(64)], x[128:][127 - np.arange(64)]])
    return Case('copy_arrive', 'copy_arrive', [In(x), Out(poison(128), want)], block=64, shared=1024 + 1024)


def cases():
    return [*map(bulk_ring, (1, 2, 3, 13)), *map(bulk_reduce, range(len(BULK))), bulk_send(), *map(small_ring, (2, 3, 11)), copy_arrive()]
