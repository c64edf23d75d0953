# TMA: tma.cu.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import itertools

import numpy as np

from .case import SWIZZLES, Case, In, Out, Scalar, Tensor, poison
from .data import bits, normal, octets, words

NUMPY = {'u8': np.uint8, 'u16': np.uint16, 'u32': np.uint32, 's32': np.int32, 'u64': np.uint64, 's64': np.int64,
         'f16': np.uint16, 'bf16': np.uint16, 'f32': np.uint32, 'f64': np.uint64, 'tf32': np.uint32, 'f32.ftz': np.uint32,
         'tf32.ftz': np.uint32}


def swizzled(image, swizzle):
    """16-byte chunks of an image in shared memory that begins at a multiple of 1024: PTX ISA, swizzling modes."""
    mask = {'none': 0, '32B': 1, '64B': 3, '128B': 7}[swizzle]
    at = np.arange(0, len(image), 16)
    to = at ^ ((at >> 7 & mask) << 4)
    out = image.copy()
    for a, b in zip(at, to):
        out[b:b + 16] = image[a:a + 16]
    return out


SPANS = {'none': 0, '32B': 32, '64B': 64, '128B': 128}


def image_of(values, swizzle):
    """A box as it lies in shared memory: rows at a pitch of the swizzle's span, if they are narrower; what is between them is poison."""
    rows = np.ascontiguousarray(values).view(np.uint8)
    rows = rows.reshape(-1, rows.shape[-1])
    image = poison((len(rows), max(rows.shape[1], SPANS[swizzle])), np.uint8)
    image[:, :rows.shape[1]] = rows
    return swizzled(image.ravel(), swizzle)


def values_of(image, swizzle, row, dtype, shape):
    """The box of an image; row: bytes."""
    rows = swizzled(image, swizzle).reshape(-1, max(row, SPANS[swizzle]))[:, :row]
    return np.ascontiguousarray(rows).view(dtype).reshape(shape)


class Array:
    """A tensor in memory whose rows lie further apart than they are long; between them is poison."""

    def __init__(self, type, sizes, seed, extra=16, content=None):
        self.type, self.sizes, self.dtype = type, sizes, np.dtype(NUMPY[type])
        self.strides, stride = [], sizes[0] * self.dtype.itemsize
        for n in sizes[1:]:
            stride = -(-stride // 16) * 16 + extra
            self.strides.append(stride)
            stride *= n
        self.bytes = poison(-(-stride // 16) * 16, np.uint8)
        values = octets(seed, int(np.prod(sizes)) * self.dtype.itemsize) if content is None else content.view(np.uint8)
        self.view(self.bytes)[...] = values.view(self.dtype).reshape(sizes[::-1])

    def granules(self):
        """Sizes with the innermost one up to the next multiple of 16 bytes: what stores write."""
        unit = 16 // self.dtype.itemsize
        return [-(-self.sizes[0] // unit) * unit, *self.sizes[1:]]

    def view(self, buffer, sizes=None):
        strides = (self.dtype.itemsize, *self.strides)
        return np.ndarray((sizes or self.sizes)[::-1], self.dtype, buffer, 0, strides[::-1])

    def map(self, buffer, box, swizzle='none', steps=None, fill_nan=False):
        return Tensor(buffer, self.type, self.sizes, self.strides, box, swizzle, steps, fill_nan)


def elements(sizes, at, box, steps):
    """Index of each element of a box in the tensor (slowest first) and whether it exists."""
    axes = [at[d] + (steps[d] if d else 1) * np.arange(-(-box[d] // (steps[d] if d else 1))) for d in range(len(sizes))]
    grid = np.meshgrid(*axes[::-1], indexing='ij')
    inside = np.all([(g >= 0) & (g < n) for g, n in zip(grid, sizes[::-1])], axis=0)
    return tuple(np.where(inside, g, 0) for g in grid), inside


def load(name, type, sizes, box, places, swizzle='none', steps=None, fill=None, seed=1, content=None, device_only=False, **kind):
    steps = steps or [1] * len(sizes)
    source = Array(type, sizes, seed, content=content)
    rows = []
    for at in places:
        index, inside = elements(sizes, at, box, steps)
        values = np.where(inside, source.view(source.bytes)[index], np.array(fill or 0, source.dtype))
        image, size = image_of(values, swizzle), values.nbytes
        assert len(image) <= size + 256, 'the kernel looks at no more'
        rows.append(np.concatenate([image, poison(size + 256 - len(image), np.uint8)]))
    want = None if device_only else np.array(rows).ravel().view(np.uint32)
    start = poison(len(places) * (size + 256) // 4)
    return Case(f'{name}', f'load{len(sizes)}', [source.map(In(source.bytes), box, swizzle, steps, fill_nan=fill is not None or kind.get('nan', False)),
                In(np.array(places, np.int32)), Out(start, want), Scalar('u32', size)],
                grid=(len(places), 1, 1), block=64, shared=1024 + size + 256, device_only=device_only)


def loads():
    """Innermost coordinates are multiples of 16 bytes: a device refuses others."""
    edge = [[0, 0], [24, 5], [-8, -3], [56, 30], [64, 0], [0, 37], [40, -9], [-40, 12]]
    for swizzle in SWIZZLES:
        span = {'none': 96, '32B': 32, '64B': 64, '128B': 128}[swizzle]
        for type in ('u8', 'f16', 'f32', 'u64'):
            size = np.dtype(NUMPY[type]).itemsize
            places = [[0, 0], [16, 5], [-16, -3], [48, 30], [64, 0], [0, 37], [32, -9], [-48, 12]] if type == 'u8' else edge
            yield load(f'load_{type}_{swizzle}', type, [72, 37], [span // size, 9], places, swizzle, seed=size)
    for inner, rows, swizzle in [(8, 15, '32B'), (16, 8, '64B'), (24, 9, '64B'), (32, 4, '128B'), (48, 8, '128B'), (56, 13, '128B')]:
        yield load(f'load_narrow_{inner}_{swizzle}', 'bf16', [72, 37], [inner, rows], edge, swizzle, seed=inner)
    yield load('load_narrow_3d', 'u32', [40, 7, 5], [8, 3, 2], [[0, 0, 0], [16, 5, 4], [-8, -1, -1], [36, 6, 3]], '64B')
    yield load('load_odd', 'f16', [67, 37], [32, 9], edge, '64B')
    yield load('load_1d', 'u16', [1000], [256], [[0], [-104], [904], [1000], [744]])
    yield load('load_3d', 'f16', [40, 7, 5], [32, 3, 2], [[0, 0, 0], [16, 5, 4], [-8, -1, -1], [32, 6, 3]], '64B')
    yield load('load_4d', 's32', [20, 5, 4, 3], [8, 2, 3, 2], [[0, 0, 0, 0], [16, 4, 2, 2], [-4, -1, 3, -1]], '32B')
    yield load('load_5d', 'u8', [48, 3, 4, 3, 2], [32, 2, 2, 2, 2], [[0, 0, 0, 0, 0], [32, 2, 3, 2, 1], [-16, -1, -1, 1, 0]])
    yield load('load_strided', 'f16', [64, 40], [32, 13], [[0, 0], [16, 3], [48, 30], [-8, -5]], '64B', steps=[1, 3])
    yield load('load_strided_3d', 'u32', [32, 9, 10], [8, 5, 6], [[0, 0, 0], [8, 4, 5], [-4, -2, 3]], steps=[1, 2, 4])
    for type in ('f16', 'bf16', 'f32', 'f64', 'tf32'):  # every 16 bits are 0x7ff7
        nan = int('7ff7' * (np.dtype(NUMPY[type]).itemsize // 2), 16)
        yield load(f'load_fill_{type}', type, [72, 37], [64 // np.dtype(NUMPY[type]).itemsize, 9], edge, '64B', fill=nan,
                   content=np.zeros(72 * 37, np.uint32) if type == 'tf32' else None)
    odd = (bits(5, 32 * 16) >> np.uint64(9)).astype(np.uint32)
    odd[::7] &= np.uint32(0x807FFFFF)  # subnormal
    odd[3::31] |= np.uint32(0x7F800000)
    for type in ('f32.ftz', 'tf32', 'tf32.ftz'):
        yield load(f'load_{type}', type, [32, 16], [8, 9], [[0, 0], [24, 8]], content=odd, device_only=True)
    ties = np.array([0x3F800000, 0x3F801000, 0x3F802000, 0x3F803000, 0xBF801000, 0xBF803000, 0x3F800FFF, 0x3F801001, 0x7F7FEFFF, 0x7F7FF000,
                     0xFF7FF000, 0x7F7FFFFF, 0x7F800000, 0xFF800000, 0x00001000, 0x00003000, 0x007FF000, 0x80000000, 0x80001000, 0x7FC00000,
                     0xFFC00000, 0x7F800001, 0x000017FF, 0x40490FDB], np.uint32)
    yield load('load_tf32_ties', 'tf32', [24, 1], [24, 1], [[0, 0]], content=ties, device_only=True)


def stored(array, places, box, swizzle, steps, source):
    """Bytes of the tensor after boxes of `source` (images, one after another) have been written."""
    result = array.bytes.copy()
    view = array.view(result, array.granules())
    for at, image in zip(places, source):
        index, inside = elements(array.granules(), at, box, steps)
        values = values_of(image, swizzle, box[0] * array.dtype.itemsize, array.dtype, inside.shape)
        view[tuple(i[inside] for i in index)] = values[inside]
    return result


def store(name, type, sizes, box, places, swizzle='none', steps=None, seed=3, device_only=False):
    steps = steps or [1] * len(sizes)
    array = Array(type, sizes, seed)
    _, inside = elements(sizes, places[0], box, steps)
    row = box[0] * array.dtype.itemsize
    size = inside.size // box[0] * max(row, SPANS[swizzle])
    source = octets(seed + 1, size * len(places)).reshape(len(places), size)
    want = None if device_only else stored(array, places, box, swizzle, steps, source)
    return Case(name, f'store{len(sizes)}', [array.map(Out(array.bytes, want), box, swizzle, steps), In(np.array(places, np.int32)),
                In(source.ravel()), Scalar('u32', size)], grid=(len(places), 1, 1), block=64, shared=1024 + size, device_only=device_only)


def stores():
    """No coordinate is negative: a device refuses those. Boxes do not overlap; some reach beyond the ends, one lies behind them."""
    for swizzle in SWIZZLES:
        span = {'none': 96, '32B': 32, '64B': 64, '128B': 128}[swizzle]
        wide = span // 2
        places = [[0, 0], [8, 9], [72 - wide // 2, 18], [0, 30], [72, 0], [0, 37]]
        yield store(f'store_f16_{swizzle}', 'f16', [72, 37], [wide, 9], places, swizzle)
        yield store(f'store_granule_{swizzle}', 'f16', [67, 37], [wide, 9], places, swizzle)
    for inner, rows, swizzle in [(8, 15, '32B'), (16, 8, '64B'), (24, 9, '64B'), (16, 12, '128B'), (48, 8, '128B')]:
        yield store(f'store_narrow_{inner}_{swizzle}', 'bf16', [67, 37], [inner, rows], [[0, 0], [64, 15], [40, 30]], swizzle)
    yield store('store_granule_u8', 'u8', [73, 20], [32, 5], [[0, 0], [64, 5], [48, 10]])
    yield store('store_granule_f32', 'f32', [18, 9], [8, 3], [[0, 0], [16, 3], [12, 7]], '32B')
    yield store('store_granule_u64', 'u64', [9, 9], [8, 3], [[0, 0], [8, 3], [4, 7]], '64B')
    yield store('store_1d', 'u8', [1000], [256], [[0], [256], [512], [896], [1008]])
    yield store('store_3d', 'f32', [20, 5, 4], [8, 3, 2], [[0, 0, 0], [16, 3, 3], [12, 0, 0]], '32B')
    for type in ('f32.ftz', 'tf32', 'tf32.ftz'):  # whether stores change numbers
        yield store(f'store_{type}', type, [32, 16], [8, 9], [[0, 0], [24, 8]], device_only=True)
    yield store('store_4d', 'u16', [32, 4, 3, 3], [32, 2, 2, 2], [[0, 0, 0, 0], [16, 2, 2, 2]], '64B')
    yield store('store_5d', 'u64', [6, 2, 3, 2, 2], [4, 2, 2, 1, 2], [[0, 0, 0, 0, 0], [4, 1, 2, 1, 1]])
    yield store('store_strided', 'f16', [64, 40], [32, 12], [[0, 0], [32, 5]], '64B', steps=[1, 4])


OPERATIONS = ['add', 'min', 'max', 'inc', 'dec', 'and', 'or', 'xor']


def combine(op, old, new):
    if op == 'inc':
        return np.where(old >= new, 0, old + 1).astype(old.dtype)
    if op == 'dec':
        return np.where((old == 0) | (old > new), new, old - 1).astype(old.dtype)
    with np.errstate(over='ignore'):
        return {'add': np.add, 'min': np.minimum, 'max': np.maximum, 'and': np.bitwise_and, 'or': np.bitwise_or,
                'xor': np.bitwise_xor}[op](old, new)


def reductions():
    """Two boxes that overlap and reach beyond the end; with .inc and .dec they do not overlap, since their order counts."""
    table = [('u32', 'add min max inc dec and or xor'), ('s32', 'add min max'), ('u64', 'add min max and xor'), ('s64', 'min max'),
             ('f16', 'add min max'), ('bf16', 'add'), ('f32', 'add'), ('f64', 'add')]
    for type, ops in table:
        for op in ops.split():
            yield reduction(type, op)
    for type, op in [('u32', 'add'), ('f16', 'add'), ('u64', 'xor'), ('s32', 'max')]:
        yield reduction(type, op, -1)


def reduction(type, op, odd=0):
    floats = {'f16': np.float16, 'f32': np.float32, 'f64': np.float64}
    dtype = np.dtype(NUMPY[type])

    def numbers(seed, count):
        if type in floats:  # sums are exact
            return (np.rint(normal(seed, count, 0) * 64) / 16).astype(floats[type]).view(dtype)
        if type == 'bf16':
            return ((np.rint(normal(seed, count, 0) * 8) / 4).astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        if op in ('inc', 'dec'):
            return (bits(seed, count) % np.uint64(7)).astype(dtype)
        return bits(seed, count).astype(dtype)
    span = 64 // dtype.itemsize
    size, unit = span + 8, 16 // dtype.itemsize
    array = Array(type, [size + odd, 12], 0, content=numbers(11, (size + odd) * 12))
    places = [[2 * unit, 2], [size - span * 3 // 4, 8 if odd else 7]] if op not in ('inc', 'dec') else [[2 * unit, 0], [size - span * 3 // 4, 7]]
    box = [span, 6]
    source = np.array([numbers(13 + b, span * 6) for b in range(2)])
    result = array.bytes.copy()
    for at, image in zip(places, source):
        index, inside = elements(array.granules(), at, box, [1, 1])
        values = swizzled(image.view(np.uint8), '64B').view(dtype).reshape(inside.shape)
        index = tuple(i[inside] for i in index)
        view = array.view(result, array.granules())
        old, new = view[index], values[inside]
        if type == 'bf16':
            old, new = ((x.astype(np.uint32) << 16).view(np.float32) for x in (old, new))
            value = (combine(op, old, new).view(np.uint32) >> 16).astype(np.uint16)
        elif type in floats:
            value = combine(op, old.view(floats[type]), new.view(floats[type])).view(dtype)
        else:
            value = combine(op, old, new)
        view[index] = value
    name = f'reduce_{op}_{type}' + ('_granule' if odd else '')
    return Case(name, 'reduce', [array.map(Out(array.bytes, result), box, '64B'), In(np.array(places, np.int32)),
                In(source.view(np.uint8).ravel()), Scalar('u32', source[0].nbytes), Scalar('u32', OPERATIONS.index(op))],
                grid=(2, 1, 1), block=64, shared=1024 + source[0].nbytes)


def multicast():
    x = words(21, 128 * 32).reshape(128, 32)
    want = []
    for cta in range(8):
        first, rank, image = cta // 4 * 64, cta % 4, poison((64, 32))
        image[:32] = x[first:first + 32]
        for r in (rank, (rank + 3) % 4):
            image[32 + 8 * r:40 + 8 * r] = x[first + 32 + 8 * r:first + 40 + 8 * r]
        want.append(image)
    array = Tensor(In(x), 'u32', [32, 128], [128], [32, 8])
    return Case('multicast', 'multicast', [array, Out(poison((8, 64, 32)), np.array(want))], grid=(8, 1, 1), shared=1024 + 8192)


def ring(tiles):
    x = words(22, 3 * tiles * 8 * 32).reshape(-1, 32)
    total = np.zeros((3, 3, 32), np.uint32)
    for block, part in itertools.product(range(3), range(3)):
        for row in x[block * tiles * 8:(block + 1) * tiles * 8]:
            total[block, part] = total[block, part] * np.uint32(31) + row * np.uint32(1 + part)
    array = Tensor(In(x), 'u32', [32, len(x)], [128], [32, 8], '128B')
    return Case(f'ring_{tiles}', 'ring', [array, Out(poison(288), total.ravel()), Scalar('s32', tiles)], grid=(3, 1, 1), block=128, shared=1024 + 3072)


def cases():
    return [*loads(), *stores(), *reductions(), multicast(), ring(1), ring(3), ring(17)]
