# IEEE arithmetic: arithmetic.cu. What single instructions give is tested in test/unit/Emulator; here the device decides.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np

from .case import Case, In, Out, poison
from .data import bits, normal


def special(seed, n=1024):
    """Floats of ordinary size, and those where interpretations part."""
    power = (bits(seed + 1, n) % np.uint64(24)).astype(np.float64) - 12
    x = (normal(seed, n) * 2.0 ** power).astype(np.float32)
    odd = np.array([0.0, -0.0, 1, -1, 0.5, 65504, 65520, 448, 464, 480, -448.5, 57344, 61440, 6e-8, -3e-8, 1e-40, -1e-40,
                    3e38, np.inf, -np.inf, 2.5, 3.5, -2.5, 0.0009765625], np.float32)
    places = np.argsort(bits(seed + 2, n), kind='stable')[:96]
    x[places] = np.tile(odd, 4)
    return x


def device(kernel, seed):
    return Case(kernel, kernel, [In(special(seed)), Out(poison(4096))], grid=(4, 1, 1), block=256, device_only=True)


def doubles():
    """f64: NaNs are equal to each other; PTX ISA says nothing of their sign, and an H200 does not clear it in abs."""
    return Case('doubles', 'doubles', [In(special(135)), Out(poison(4096, np.float64), nans=True)], grid=(4, 1, 1), block=256, device_only=True)


def nans():
    """Which NaN comes out, with its bits."""
    odd = np.array([0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8000000001234, 0xFFF8ABCD00000001, 0x7FF0000000000001, 0xFFF4000000000000,
                    0x7FF0000000000000, 0xFFF0000000000000, 0, 0x8000000000000000, 0x3FF0000000000000, 0xC008000000000000], np.uint64)
    x, y = np.resize(odd, 64), np.roll(np.resize(odd, 64), 5) 
    y[::7] = odd[10]
    return Case('nans', 'nans', [In(np.concatenate([x, y])), Out(poison((8, 64), np.float64))], block=64, device_only=True)


def cases():
    return [*(device(k, 131 + i) for i, k in enumerate(['rounding', 'half_math', 'bfloat_math', 'extremes'])), doubles(), nans()]
