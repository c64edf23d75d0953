# Every codec against ml_dtypes and numpy, and E8M0 against onnx's own cast.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""usage: formats-against-ml-dtypes.py PROBE.so"""
import sys

import ml_dtypes
import numpy as np
import onnx

from probe import F32, F64, U8, U32, Checker, Probe

FORMATS = {
    "f8E4M3FN": (ml_dtypes.float8_e4m3fn, 8, "FLOAT8E4M3FN"),
    "f8E5M2": (ml_dtypes.float8_e5m2, 8, "FLOAT8E5M2"),
    "f8E4M3FNUZ": (ml_dtypes.float8_e4m3fnuz, 8, "FLOAT8E4M3FNUZ"),
    "f8E5M2FNUZ": (ml_dtypes.float8_e5m2fnuz, 8, "FLOAT8E5M2FNUZ"),
    "f4E2M1FN": (ml_dtypes.float4_e2m1fn, 4, "FLOAT4E2M1"),
    "f16": (np.float16, 16, "FLOAT16"),
    "bf16": (ml_dtypes.bfloat16, 16, "BFLOAT16"),
}
MAX = {"f8E4M3FN": 448, "f8E5M2": 57344, "f8E4M3FNUZ": 240, "f8E5M2FNUZ": 57344, "f4E2M1FN": 6}


def all_codes(bits):
    return np.arange(2**bits, dtype=U32)


def view(dtype, bits, codes):
    return codes.astype(np.uint16 if bits == 16 else U8).view(dtype)


def float32_inputs(dtype, bits):
    """All halves, midpoints of the format and their neighbours, powers of two, random bit patterns."""
    halves = [view(t, 16, all_codes(16)).astype(F32) for t in (np.float16, ml_dtypes.bfloat16)]
    with np.errstate(invalid="ignore"):
        values = np.sort(view(dtype, bits, all_codes(bits)).astype(F64))
    values = values[np.isfinite(values)]
    middle = ((values[1:] + values[:-1]) / 2).astype(F32)
    powers = np.ldexp(F32(1), np.arange(-149, 128)).astype(F32)
    near = np.concatenate([middle, powers, -powers])
    near = np.concatenate([near, np.nextafter(near, F32(np.inf)), np.nextafter(near, F32(-np.inf))])
    patterns = np.random.default_rng(1).integers(0, 2**32, 2**20, dtype=np.uint64).astype(U32).view(F32)
    return np.concatenate([*halves, near, patterns])


def check_decode(probe, check, name, dtype, bits):
    codes = all_codes(bits)
    with np.errstate(invalid="ignore"):
        wanted = view(dtype, bits, codes).astype(F64)
    actual = probe.decode(name, codes)
    check.equal(f"decode {name}", actual, wanted, codes)
    signs = ~np.isnan(wanted)
    check.equal(f"signs of {name}", np.signbit(actual[signs]), np.signbit(wanted[signs]))


def check_encode(probe, check, name, dtype, bits):
    x = float32_inputs(dtype, bits)
    x = x[~np.isnan(x)]  # NaN bits are free, and ml_dtypes' float4 has none
    with np.errstate(all="ignore"):
        raw = x.astype(dtype)
        clipped = np.clip(x, -F32(MAX.get(name, np.inf)), F32(MAX.get(name, np.inf))).astype(dtype)
    code = lambda a: a.view(np.uint16 if bits == 16 else U8).astype(U32) & (2**bits - 1)
    check.equal(f"encode {name}, saturating", probe.encode(name, x), code(clipped), x)
    unsaturated = code(clipped if bits == 4 else raw)
    nan = np.isnan(raw.astype(F32))
    check.equal(f"encode {name}, not saturating", np.where(nan, 0, probe.encode(name, x, False)),
                np.where(nan, 0, unsaturated), x)
    check.equal(f"NaNs of {name}", np.isnan(probe.decode(name, probe.encode(name, x, False)))[nan], nan[nan])
    check.equal(f"encode {name} from f64", probe.encode(name, x.astype(F64)), code(clipped), x)


def check_f16_from_double(probe, check):
    """numpy rounds float64 to float16 once."""
    rng = np.random.default_rng(2)
    x = np.ldexp(rng.uniform(1, 2, 2**18), rng.integers(-27, 17, 2**18)) * rng.choice([-1, 1], 2**18)
    halves = view(np.float16, 16, all_codes(16)).astype(F64)
    halves = np.sort(halves[np.isfinite(halves)])
    middle = (halves[1:] + halves[:-1]) / 2
    x = np.concatenate([x, middle, middle * (1 + 2.0**-45), middle * (1 - 2.0**-45)])
    with np.errstate(over="ignore"):
        wanted = x.astype(np.float16).view(np.uint16)
    check.equal("f16 from f64", probe.encode("f16", x), wanted, x)


def check_e8m0(probe, check):
    values = ml_dtypes.float8_e8m0fnu
    check.equal("decode f8E8M0FNU", probe.decode("f8E8M0FNU", all_codes(8)),
                all_codes(8).astype(U8).view(values).astype(F64))
    x = float32_inputs(np.float16, 16)
    # onnx works on the exponent field: it differs for zero, subnormal and infinite numbers, where the
    # operator's table decides (see FormatsTest.cpp); ml_dtypes rounds to nearest.
    x = x[np.isfinite(x) & (x >= F32(2.0**-126))]
    for mode in ("up", "down", "nearest"):
        wanted = onnx.numpy_helper.to_float8e8m0(x, saturate=True, round_mode=mode).view(U8)
        check.equal(f"E8M0 {mode}", probe.encode_e8m0(x, mode), wanted, x)
    inside = x[x < F32(1.5 * 2.0**127)]
    check.equal("E8M0 nearest (ml_dtypes)", probe.encode_e8m0(inside, "nearest"), inside.astype(values).view(U8), inside)


def check_onnx_numbers(probe, check):
    names = {name: onnx_name for name, (_, _, onnx_name) in FORMATS.items()}
    names.update({"f8E8M0FNU": "FLOAT8E8M0", "f32": "FLOAT", "f64": "DOUBLE", "i1": "BOOL", "si4": "INT4", "ui4": "UINT4"})
    for bits in (8, 16, 32, 64):
        names.update({f"si{bits}": f"INT{bits}", f"ui{bits}": f"UINT{bits}"})
    for name, onnx_name in names.items():
        check.equal(f"ONNX number of {name}", probe.onnx_type(name), onnx.TensorProto.DataType.Value(onnx_name))


def main():
    probe, check = Probe(sys.argv[1]), Checker()
    for name, (dtype, bits, _) in FORMATS.items():
        check_decode(probe, check, name, dtype, bits)
        check_encode(probe, check, name, dtype, bits)
    check_f16_from_double(probe, check)
    check_e8m0(probe, check)
    check_onnx_numbers(probe, check)
    check.finish()


main()
