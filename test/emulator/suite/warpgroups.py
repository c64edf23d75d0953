# wgmma: wgmma.cu. Images of A and B as TMA would write them, and descriptors that lead through them.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np

from .case import Case, In, Scalar
from .data import normal
from .fragments import Precision, a_fragment, k_of
from .matrices import accumulator, result, values
from .tensors import swizzled

CODES = {'none': 0, '128B': 1, '64B': 2, '32B': 3}


def descriptor(start, leading, stride, swizzle):
    return start >> 4 | (leading >> 4) << 16 | (stride >> 4) << 32 | CODES[swizzle] << 62


def image_k(codes, swizzle, wide):
    """Rows x K, K side by side. PTX ISA, canonical layouts, K-major. wide: without a swizzle, chunks of 8 rows of one K lie
    together (the two offsets change places)."""
    rows, size = codes.shape[0], codes.dtype.itemsize
    data = np.ascontiguousarray(codes).view(np.uint8)
    depth = data.shape[1]
    r, b = np.meshgrid(np.arange(rows), np.arange(depth), indexing='ij')
    if swizzle == 'none':
        leading, stride = (128, 128 * (depth // 16)) if wide else (128 * (rows // 8) + 32, 128)
        at = b // 16 * leading + r // 8 * stride + r % 8 * 16 + b % 16
        starts = [2 * s * leading for s in range(depth // 32)]
    else:
        span = int(swizzle[:-1])
        leading, stride = 16, 8 * span
        at = b // span * rows * span + r // 8 * stride + r % 8 * span + b % span
        starts = [32 * s // span * rows * span + 32 * s % span for s in range(depth // 32)]
    image = np.zeros(-(-(at.max() + 1) // 1024) * 1024, np.uint8)
    image[at] = data
    assert size in (1, 2, 4)
    return swizzled(image, swizzle), [descriptor(s, leading, stride, swizzle) for s in starts]


def image_mn(codes, swizzle):
    """Rows x K of 16 bits, rows side by side. PTX ISA, canonical layouts, MN-major."""
    rows, depth = codes.shape
    r, k = np.meshgrid(np.arange(rows), np.arange(depth), indexing='ij')
    span = 16 if swizzle == 'none' else int(swizzle[:-1])
    per = span // 2
    further, deeper = 8 * span * (depth // 8), 8 * span  # to the next `per` rows, to the next 8 of K
    at = r // per * further + k // 8 * deeper + k % 8 * span + r % per * 2
    image = np.zeros(-(-(at.max() + 2) // 1024) * 1024, np.uint8)
    image[at], image[at + 1] = codes & 255, codes >> 8
    leading, stride = (deeper, further) if swizzle == 'none' else (further, deeper)
    return swizzled(image, swizzle), [descriptor(2 * s * deeper, leading, stride, swizzle) for s in range(depth // 16)]


def image_of(codes, swizzle, mn, wide):
    return image_mn(codes, swizzle) if mn else image_k(codes, swizzle, wide)


def wgmma(kernel, a, b, d, n, steps, swizzles, seed, mn=(False, False), registers=False, signs=1, accumulate=1, saturates=False, wide=False):
    k = k_of(a)
    x, x_values = values(a, seed, (64, k * steps))
    y, y_values = values(b, seed + 1, (n, k * steps))
    scale = 1000 if d == 's32' else 1
    c, c_values = accumulator(_start(seed, n, scale, saturates), d, 128)
    total, error = _product(a, d, c_values * accumulate, signs * x_values, y_values, k, saturates)
    if registers:
        image, first = np.array([a_fragment(x[:, s * k:(s + 1) * k], 128) for s in range(steps)]), [0] * steps
        bytes_a = 0
    else:
        image, first = image_of(x, swizzles[0], mn[0], wide)
        bytes_a = len(image)
    other, second = image_of(y, swizzles[1], mn[1], wide)
    out = result(total, error, d, saturates, 128)
    name = f'{kernel}_{swizzles[0]}_{swizzles[1]}_{steps}' + ('_wide' if wide else '') + ('' if accumulate else '_zero')
    return Case(name, kernel, [In(image), Scalar('u32', bytes_a), In(other), Scalar('u32', len(other)),
                In(np.array([first, second], np.uint64).T.copy()), Scalar('s32', steps), Scalar('u32', accumulate), In(c), out],
                block=128, shared=1024 + bytes_a + len(other))


def _start(seed, n, scale, saturates):
    return normal(seed + 2, (64, n)) * (2.0 ** 29 if saturates else scale)


def _product(a, d, c, x, y, k, saturates):
    if not saturates:
        return Precision(a, True, d == 'f16').product(c, x, y, k)
    for s in range(0, x.shape[1], k):  # each operation saturates
        c = np.clip(c + x[:, s:s + k] @ y[:, s:s + k].T, -2.0 ** 31, 2.0 ** 31 - 1)
    return c, np.zeros(c.shape)


def cases():
    all_swizzles = ('none', '32B', '64B', '128B')
    for i, s in enumerate(all_swizzles):
        t = all_swizzles[(i + 1) % 4]
        yield wgmma('f16_n8', 'f16', 'f16', 'f32', 8, 4, (s, t), 100 + i)
        yield wgmma('f16_n64', 'f16', 'f16', 'f32', 64, 8, (t, s), 110 + i)
        yield wgmma('bf16_n128_mm', 'bf16', 'bf16', 'f32', 128, 2, (s, t), 120 + i, mn=(True, True))
        yield wgmma('e4m3_n64', 'e4m3', 'e4m3', 'f32', 64, 4, (s, t), 130 + i)
        yield wgmma('tf32_n24', 'tf32', 'tf32', 'f32', 24, 4, (t, s), 140 + i)
        yield wgmma('s8_n32', 's8', 's8', 's32', 32, 4, (s, t), 150 + i)
    yield wgmma('f16_n8', 'f16', 'f16', 'f32', 8, 2, ('none', 'none'), 160, wide=True)
    yield wgmma('f16_n8', 'f16', 'f16', 'f32', 8, 2, ('none', 'none'), 161, accumulate=0)
    yield wgmma('f16_n256', 'f16', 'f16', 'f32', 256, 2, ('64B', '32B'), 162)
    yield wgmma('f16_n64_mn', 'f16', 'f16', 'f32', 64, 3, ('32B', '128B'), 163, mn=(False, True))
    yield wgmma('f16_n64_mn', 'f16', 'f16', 'f32', 64, 1, ('32B', 'none'), 164, mn=(False, True))
    yield wgmma('f16_n8_m', 'f16', 'f16', 'f32', 8, 2, ('128B', 'none'), 165, mn=(True, False))
    yield wgmma('bf16_n40', 'bf16', 'bf16', 'f32', 40, 4, ('128B', '128B'), 166)
    yield wgmma('f16_f16_n16', 'f16', 'f16', 'f16', 16, 2, ('64B', '64B'), 167)
    yield wgmma('f16_negated', 'f16', 'f16', 'f32', 16, 2, ('64B', '32B'), 168, signs=-1)
    yield wgmma('bf16_negated', 'bf16', 'bf16', 'f32', 16, 2, ('32B', '64B'), 169, signs=-1)
    yield wgmma('e5m2_e4m3_n16', 'e5m2', 'e4m3', 'f32', 16, 4, ('128B', '64B'), 170)
    yield wgmma('e4m3_f16_n32', 'e4m3', 'e4m3', 'f16', 32, 1, ('32B', 'none'), 171)
    yield wgmma('u8_s8_n48', 'u8', 's8', 's32', 48, 2, ('64B', '64B'), 172, saturates=True)
    yield wgmma('f16_registers', 'f16', 'f16', 'f32', 16, 4, ('none', '128B'), 173, registers=True)
    yield wgmma('bf16_registers_n', 'bf16', 'bf16', 'f32', 64, 2, ('none', '128B'), 174, mn=(False, True), registers=True, signs=-1)
    yield wgmma('tf32_registers', 'tf32', 'tf32', 'f32', 8, 2, ('none', '64B'), 175, registers=True)
    yield wgmma('e4m3_registers', 'e4m3', 'e4m3', 'f32', 24, 4, ('none', '128B'), 176, registers=True)
    yield wgmma('s8_registers', 's8', 's8', 's32', 8, 3, ('none', '32B'), 177, registers=True)

