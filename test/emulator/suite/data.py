# Numbers for kernels: random bits that are the same everywhere, and formats that numpy lacks.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np


def bits(seed, count):
    """SplitMix64 of a counter: does not depend on the version of numpy."""
    x = (np.arange(count, dtype=np.uint64) + np.uint64(seed * 1000003 + 1)) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


def words(seed, count):
    """u32 of all sizes."""
    x = bits(seed, count)
    return (x.astype(np.uint32) >> (x >> np.uint64(40)).astype(np.uint32) % 25).astype(np.uint32)


def octets(seed, count):
    return bits(seed, (count + 7) // 8).view(np.uint8)[:count].copy()


def normal(seed, shape, outliers=0.02):
    """About normal; some are up to 64 times larger."""
    count = int(np.prod(shape))
    x = bits(seed, count)
    parts = [(x >> np.uint64(s) & np.uint64(0x1FFF)).astype(np.float64) for s in (0, 13, 26, 39)]
    y = (sum(parts) / 8191 - 2) * np.sqrt(3)
    far = bits(seed + 77, count)
    y = np.where(far % np.uint64(1000) < outliers * 1000, y * 2.0 ** (far >> np.uint64(32) & np.uint64(7)).astype(np.float64), y)
    return y.reshape(shape)


def bf16(x):
    """Codes (u16), rounded to nearest even. For numbers."""
    word = np.asarray(x, np.float32).view(np.uint32)
    return (word + np.uint32(0x7FFF) + (word >> np.uint32(16) & np.uint32(1)) >> np.uint32(16)).astype(np.uint16)


def bf16_value(codes):
    return (codes.astype(np.uint32) << np.uint32(16)).view(np.float32).astype(np.float64)


def _table(exponent_bits, mantissa_bits, bias, finite):
    code = np.arange(256)
    mantissa, exponent = code & (1 << mantissa_bits) - 1, code >> mantissa_bits & (1 << exponent_bits) - 1
    value = np.where(exponent == 0, mantissa * 2.0 ** (1 - bias - mantissa_bits),
                     (1 + mantissa * 2.0 ** -mantissa_bits) * 2.0 ** (exponent - float(bias)))
    top = exponent == (1 << exponent_bits) - 1
    value = np.where(top & (mantissa == (1 << mantissa_bits) - 1 if finite else True), np.nan, value)
    return np.where(code & 128, -value, value)


TABLES = {'e4m3': _table(4, 3, 7, True), 'e5m2': _table(5, 2, 15, False)}


def to_bytes(kind, x):
    """Codes of the nearest numbers (any tie): inputs, not conversions."""
    codes = np.flatnonzero(np.isfinite(TABLES[kind]))
    codes = codes[np.argsort(TABLES[kind][codes], kind='stable')]
    values = TABLES[kind][codes]
    at = np.clip(np.searchsorted(values, x), 1, len(values) - 1)
    nearer = np.abs(values[at - 1] - x) < np.abs(values[at] - x)
    return codes[np.where(nearer, at - 1, at)].astype(np.uint8)


def encode(kind, x):
    """Codes of x: an array of unsigned integers, or of s8, u8."""
    if kind == 'f16':
        return np.asarray(x, np.float16).view(np.uint16)
    if kind == 'bf16':
        return bf16(x)
    if kind == 'tf32':  # with the low 13 bits clear: what hardware does with them is not said
        return np.asarray(x, np.float32).view(np.uint32) & np.uint32(0xFFFFE000)
    if kind in TABLES:
        return to_bytes(kind, x)
    return np.clip(np.rint(x * 20), -128 if kind == 's8' else 0, 127 if kind == 's8' else 255).astype(np.int16).astype(np.uint8)


def decode(kind, codes):
    if kind == 'f16':
        return codes.view(np.float16).astype(np.float64)
    if kind == 'bf16':
        return bf16_value(codes)
    if kind == 'tf32':
        return codes.view(np.float32).astype(np.float64)
    if kind in TABLES:
        return TABLES[kind][codes]
    return (codes.view(np.int8) if kind == 's8' else codes).astype(np.float64)


SIZES = {'f16': 2, 'bf16': 2, 'tf32': 4, 'e4m3': 1, 'e5m2': 1, 's8': 1, 'u8': 1}
