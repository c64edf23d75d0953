# Quantization recipes against a numpy version that follows the published tools statement by statement.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""usage: recipes-against-numpy.py PROBE.so

Independent of the C++ code: FP4 by search in a table of bounds, FP8 by ml_dtypes, exponents by frexp."""
import sys

import ml_dtypes
import numpy as np

from probe import F32, U8, Checker, Probe

E4M3, E5M2 = ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2
BOUNDS = np.array([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5], F32)
FLOAT_MAX = np.finfo(F32).max


def e4m3(x):
    """(codes, their float32 values), saturating."""
    y = np.clip(x, F32(-448), F32(448)).astype(E4M3)
    return y.view(U8), y.astype(F32)


def e2m1(x, zero_sign):
    """zero_sign: code 8 for negative zero too, else the sign bit is x < 0."""
    magnitude = np.abs(x)
    order = np.searchsorted(BOUNDS, magnitude).astype(U8)
    order += np.isin(magnitude, BOUNDS[[1, 3, 5]])
    sign = np.signbit(x) if zero_sign else x < 0
    return order + (sign.astype(U8) << 3)


def blocks(x, block):
    return x.reshape(x.shape[0], -1, block)


def amax(x):
    return np.abs(x).max(-1).astype(F32)


def zero_unless_positive(codes, divisor):
    return np.where(divisor[..., None] > 0, codes, 0).astype(U8)


# --- NVFP4: each returns (codes, scale codes, global) ---------------------------------------------------------


def modelopt_torch(x, block, g):
    g = F32(np.abs(x).max()) / F32(6.0 * 448.0) if g is None else g
    scale = amax(blocks(x, block)) / (F32(6) * g)
    scale[scale == 0] = 1
    codes, rounded = e4m3(np.clip(scale, F32(2.0**-9), F32(448)))
    return e2m1(blocks(x, block) / (rounded * g)[..., None], False), codes, g


def modelopt_onnx(x, block, g):
    g = F32(np.abs(x).max()) / F32(6) / F32(448) if g is None else g
    per_block = amax(blocks(x, block)) / F32(6)
    scale = per_block / g
    scale[per_block == 0] = 1
    return e2m1(blocks(x, block) / (scale[..., None] * g), False), e4m3(scale)[0], g


def trt_dynamic(x, block, g):
    g = F32(np.abs(x).max()) / F32(6) / F32(448) if g is None else g
    codes, rounded = e4m3(amax(blocks(x, block)) / F32(6) / g)
    combined = rounded * g
    q = blocks(x, block) / np.where(combined > 0, combined, F32(1))[..., None]
    return zero_unless_positive(e2m1(q, True), combined), codes, g


def compressed_tensors(x, block, g):
    g = F32(448.0 * 6.0) / F32(np.abs(x).max()) if g is None else g
    _, rounded = e4m3(g * (amax(blocks(x, block)) / F32(6)))
    rounded = np.where(rounded == 0, F32(0.125), rounded)
    return e2m1(blocks(x, block) / (rounded / g)[..., None], True), e4m3(rounded)[0], g


def transformer_engine(x, block, g):
    encode = min(F32(448) * F32(6) / F32(np.abs(x).max()), FLOAT_MAX) if g is None else g
    decode = F32(1) / encode
    scale = np.minimum(amax(blocks(x, block)) * (encode * (F32(1) / F32(6))), FLOAT_MAX)
    codes, rounded = e4m3(scale)
    factor = np.minimum(F32(1) / (rounded * decode), FLOAT_MAX)
    q = np.clip(blocks(x, block) * factor[..., None], F32(-6), F32(6))
    return e2m1(q, False), codes, encode


def torchao(x, block, g):
    g = F32(np.abs(x).max()) / F32(448.0 * 6.0) if g is None else g
    scale = amax(blocks(x, block)) / F32(6) / g
    codes, rounded = e4m3(np.clip(scale, F32(ml_dtypes.finfo(E4M3).tiny), F32(448)))
    factor = (F32(1) / g) / rounded
    return e2m1(np.clip(blocks(x, block) * factor[..., None], F32(-6), F32(6)), True), codes, g


NVFP4 = {
    "modelopt-torch": modelopt_torch,
    "modelopt-onnx": modelopt_onnx,
    "trt-dynamic": trt_dynamic,
    "compressed-tensors": compressed_tensors,
    "transformer-engine": transformer_engine,
    "torchao": torchao,
}


# --- MX: exponents --------------------------------------------------------------------------------------------

ELEMENTS = {"f8E4M3FN": (448, 8, 3), "f8E5M2": (57344, 15, 2), "f4E2M1FN": (6, 2, 1)}


def floor_log2(a):
    """Of float32 numbers, exact; -inf for 0."""
    _, exponent = np.frexp(a.astype(np.float64))
    return np.where(a == 0, -np.inf, exponent - 1.0)


def ceil_log2(a):
    fraction, exponent = np.frexp(a.astype(np.float64))
    return np.where(a == 0, -np.inf, np.where(fraction == 0.5, exponent - 1.0, exponent))


def rounded_up(a, fraction_of_binade):
    return a.astype(np.float64) + np.exp2(floor_log2(a)) * fraction_of_binade


MX = {
    "modelopt": lambda a, maximum, power, mantissa: ceil_log2(a / F32(maximum)),
    "trt-dynamic": lambda a, maximum, power, mantissa: ceil_log2(a / F32(maximum)),
    "transformer-engine": lambda a, maximum, power, mantissa: ceil_log2(a * (F32(1) / F32(maximum))),
    "torchao-rceil": lambda a, maximum, power, mantissa: ceil_log2(a * F32(1.0 / maximum)),
    "ocp": lambda a, maximum, power, mantissa: floor_log2(a) - power,
    "torchao-ceil": lambda a, maximum, power, mantissa: ceil_log2(a) - power,
    "torchao-even": lambda a, maximum, power, mantissa: floor_log2(rounded_up(a, 2.0 ** (-mantissa - 1))) - power,
    "compressed-tensors": lambda a, maximum, power, mantissa: floor_log2(rounded_up(a, 0.25)) - power,
}


def mx(recipe, storage, x, block):
    maximum, power, mantissa = ELEMENTS[storage]
    exponent = np.clip(MX[recipe](amax(blocks(x, block)), maximum, power, mantissa), -127, 127)
    q = np.ldexp(blocks(x, block).astype(np.float64), -exponent[..., None].astype(np.int64)).astype(F32)
    if storage == "f4E2M1FN":
        codes = modelopt_fp4(q) if recipe == "modelopt" else e2m1(q, True)
    else:
        dtype = E4M3 if storage == "f8E4M3FN" else E5M2
        codes = np.clip(q, F32(-maximum), F32(maximum)).astype(dtype).view(U8)
    return codes, (exponent + 127).astype(U8)


def modelopt_fp4(q):
    order = (np.abs(q)[..., None] - BOUNDS > 0).sum(-1)
    return (((2 - np.sign(q)) // 2) * 8 + order).astype(U8)


# --- Data ---------------------------------------------------------------------------------------------------


def data_sets():
    rng = np.random.default_rng(7)
    gauss = rng.standard_normal((64, 256)).astype(F32)
    yield "gauss", gauss
    yield "f16 weights", (gauss * 0.03).astype(np.float16).astype(F32)
    yield "bf16 weights", (gauss * 5).astype(ml_dtypes.bfloat16).astype(F32)
    outliers = gauss * F32(0.02)
    outliers[:, ::37] *= 300
    yield "outlier channels", outliers.astype(F32)
    sparse = gauss.copy()
    sparse[:, 32:96] = 0
    sparse[5] = 0
    sparse[6, :32] = -0.0
    sparse[7, ::2] = 0
    yield "zeros and zero blocks", sparse
    yield "scales over 80 binades", np.ldexp(gauss, rng.integers(-60, 20, (64, 256))).astype(F32)
    yield "blocks over 80 binades", np.ldexp(gauss, np.repeat(rng.integers(-60, 20, (64, 16)), 16, 1)).astype(F32)
    ties = rng.integers(-48, 49, (64, 256)).astype(F32) / F32(8)
    ties[:, ::16] = 6
    yield "ties", ties
    powers = np.ldexp(F32(1), rng.integers(-20, 20, (64, 256))).astype(F32)
    for shift in (0, 1, -1):
        yield f"powers of two {shift:+} ulp", (powers.view(np.int32) + shift).view(F32)
    yield "448 times powers of two", np.repeat(powers[:, :8] * F32(448), 32, 1)


def tiny_sets():
    rng = np.random.default_rng(8)
    gauss = rng.standard_normal((16, 128)).astype(F32)
    yield "denormals", (gauss * F32(1e-40)).astype(F32)
    yield "some denormals", np.where(gauss > 0, gauss, gauss * F32(1e-42)).astype(F32)
    yield "near the largest float", (gauss * F32(5e37)).astype(F32)


def check_nvfp4(probe, check, name, x):
    for recipe in NVFP4:
        for block in (16, 32):
            for g in (None, F32(0.37) if recipe in ("compressed-tensors", "transformer-engine") else F32(0.0017)):
                check_nvfp4_one(probe, check, recipe, name, x, block, g)


def check_nvfp4_one(probe, check, recipe, name, x, block, g):
    with np.errstate(all="ignore"):
        codes, scales, wanted_global = NVFP4[recipe](x, block, g)
    actual = probe.nvfp4(recipe, x, block, g)
    what = f"{recipe}, {name}, block {block}, global {'computed' if g is None else g}"
    check.equal(f"{what}: global", actual[2], wanted_global)
    check.equal(f"{what}: scales", actual[1], scales, amax(blocks(x, block)))
    check.equal(f"{what}: codes", actual[0], codes, x)


def neighbours(a, ulps=4):
    """Positive float32 numbers and those up to `ulps` beside them, one row each."""
    bits = a.astype(F32).view(np.int32)[:, None] + np.arange(-ulps, ulps + 1)
    return bits.view(F32).reshape(-1)


def blocks_with_amax(a, width):
    """[len(a), width]: the first element of each row is its amax, the others are spread below it."""
    spread = np.linspace(1, -0.99, width).astype(F32)
    return np.ascontiguousarray((a[:, None] * spread).astype(F32))


def check_nvfp4_borders(probe, check):
    """Block scales at the midpoints between E4M3 codes: the order of the operations of a recipe decides there."""
    values = np.arange(1, 127, dtype=U8).view(E4M3).astype(np.float64)
    middle = (values[1:] + values[:-1]) / 2
    rng = np.random.default_rng(9)
    for g in np.exp(rng.uniform(-12, 6, 48)).astype(F32):
        multiplier = {True: 1.0 / float(g), False: float(g)}
        for recipe in NVFP4:
            divides = recipe in ("compressed-tensors", "transformer-engine")
            x = blocks_with_amax(neighbours(middle * 6 * multiplier[divides]), 16)
            check_nvfp4_one(probe, check, recipe, "borders", x, 16, g)


def check_nvfp4_static(probe, check):
    """Calibrated block maxima, of which some exceed the tensor's and some are 0; 256 is four-over-six."""
    values = np.arange(1, 127, dtype=U8).view(E4M3).astype(np.float64)
    middle = (values[1:] + values[:-1]) / 2
    for tensor_amax in np.exp(np.random.default_rng(10).uniform(-9, 9, 48)).astype(F32):
        for scale_max in (448.0, 256.0):
            a = np.append(neighbours(middle * float(tensor_amax) / scale_max), [F32(0), tensor_amax, tensor_amax * 2])
            scale = a.astype(F32) / F32(6)
            scale[scale == 0] = 1
            scale = np.clip(scale * F32(scale_max) / (tensor_amax / F32(6)), F32(2.0**-9), F32(448))
            codes, rounded = e4m3(scale)
            actual = probe.nvfp4_static(a, tensor_amax, scale_max)
            check.equal(f"static scales, amax {tensor_amax}, {scale_max}", actual[0], codes, a)
            check.equal(f"static divisors, amax {tensor_amax}, {scale_max}", actual[1],
                        rounded * (tensor_amax / F32(6.0 * scale_max)), a)


def check_mx_borders(probe, check):
    """Block maxima at and around max(format) times powers of two and the points where exponents change."""
    for start in (6.0, 448.0, 57344.0, 1.0, 1.75, 1.9375, 1.875):
        a = neighbours(start * np.exp2(np.arange(-140, 100.0)))
        check_mx(probe, check, f"borders of {start}", blocks_with_amax(a, 32))


def check_mx(probe, check, name, x):
    for recipe in MX:
        for storage in ELEMENTS:
            for block in (16, 32):
                codes, scales = mx(recipe, storage, x, block)
                actual = probe.mx(recipe, storage, x, block)
                what = f"MX {recipe} {storage}, {name}, block {block}"
                check.equal(f"{what}: scales", actual[1], scales, amax(blocks(x, block)))
                check.equal(f"{what}: codes", actual[0], codes, x)


def expand(scales, block, shape):
    return np.repeat(np.repeat(scales, block[0], 0), block[1], 1)[: shape[0], : shape[1]]


def check_static(probe, check, name, x):
    limits = {"f8E4M3FN": 448, "f8E5M2": 57344, "si8": 127, "si4": 7}
    for storage, limit in limits.items():
        for block in (x.shape, (1, x.shape[1]), (x.shape[0], 1), (128, 128), (48, 100), (1, 128), (32, 1)):
            scales = probe.scales(storage, x, block)
            pad = [(0, -n % b) for n, b in zip(x.shape, block)]
            padded = np.pad(np.abs(x), pad).reshape(scales.shape[0], block[0], scales.shape[1], block[1])
            largest = padded.max((1, 3))
            floor = F32(2.0**-24) if storage.startswith("f") else F32(0)
            what = f"{storage}, {name}, block {block}"
            check.equal(f"{what}: scales", scales, np.where(largest <= floor, F32(1), largest / F32(limit)), largest)
            q = x / expand(scales, block, x.shape)
            if storage.startswith("f"):
                dtype = E4M3 if storage == "f8E4M3FN" else E5M2
                wanted = np.clip(q, F32(-limit), F32(limit)).astype(dtype).view(U8)
            else:
                wanted = np.clip(np.rint(q), -limit - 1, limit).astype(np.int8).view(U8) & (255 if limit > 7 else 15)
            check.equal(f"{what}: codes", probe.static(storage, x, block, scales), wanted, x)


def check_zero_points(probe, check, x):
    """Asymmetric groups of 32 along K, as Model Optimizer's ONNX INT4 makes them."""
    for storage, maximum in (("ui4", 15), ("ui8", 255)):
        groups = blocks(x, 32)
        low, high = groups.min(-1), groups.max(-1)
        scale = np.clip(high - low, F32(1e-5), None) / F32(maximum)
        zero = np.clip(-np.round(low / scale), 0, maximum)
        pairs = [probe.asymmetric(storage, a, b) for a, b in zip(low.reshape(-1), high.reshape(-1))]
        check.equal(f"{storage}: asymmetric scales", [pair[0] for pair in pairs], scale)
        check.equal(f"{storage}: zero points", [pair[1] for pair in pairs], zero)
        wanted = np.clip(np.rint(groups / scale[..., None]) + zero[..., None], 0, maximum).astype(U8)
        actual = probe.static(storage, x, (1, 32), scale.astype(F32), zero.astype(U8))
        check.equal(f"{storage}: codes", actual, wanted, x)


def main():
    probe, check = Probe(sys.argv[1]), Checker()
    for name, x in data_sets():
        check_nvfp4(probe, check, name, x)
        check_mx(probe, check, name, x)
        check_static(probe, check, name, x)
        check_zero_points(probe, check, x)
    for name, x in tiny_sets():
        check_mx(probe, check, name, x)
        check_static(probe, check, name, x)
    check_nvfp4_borders(probe, check)
    check_nvfp4_static(probe, check)
    check_mx_borders(probe, check)
    check_nvfp4(probe, check, *next(iter(list(tiny_sets())[1:2])))
    check.finish()


if __name__ == "__main__":
    main()
