# Number formats and quantization recipes in numpy: codes, scales and their exact values.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every function is pure. "codes" are uint8 arrays (one code per element, also for 4-bit formats); `pack4`
makes the two-per-byte form of files. Arithmetic that a recipe defines in float32 is done in float32."""
import ml_dtypes
import numpy as np

F32 = np.float32
E4M3, E5M2 = ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2
E2M1, E8M0 = ml_dtypes.float4_e2m1fn, ml_dtypes.float8_e8m0fnu
BF16 = ml_dtypes.bfloat16
E4M3_MAX, E2M1_MAX = F32(448), F32(6)
ROWS = 1024  # rows quantized at a time: bounds the memory of temporaries


def table(dtype, bits=8):
    """Values of all codes of a format, as float64 [2**bits]."""
    return np.arange(2**bits, dtype=np.uint8).view(dtype).astype(np.float64)


E4M3_VALUES, E2M1_VALUES = table(E4M3), table(E2M1, 4)
E8M0_VALUES = np.where(np.arange(256) == 255, np.nan, np.exp2(np.arange(256.0) - 127))


def e4m3(x):
    """Codes of x, round to nearest even, saturating at +-448; NaN stays NaN."""
    return np.clip(x, -E4M3_MAX, E4M3_MAX).astype(E4M3).view(np.uint8)


def e2m1(x, keep_negative_zero=False):
    """Codes of x, round to nearest even, saturating at +-6. -0.0 gives code 0 (Model Optimizer) or 8 (ONNX Cast);
    a tiny negative number gives code 8 in both."""
    codes = np.clip(x, -E2M1_MAX, E2M1_MAX).astype(E2M1).view(np.uint8) & 15
    return codes if keep_negative_zero else np.where(x == 0, np.uint8(0), codes)


def pack4(codes):
    """Two codes per byte over the flattened array, the first one in the low nibble; odd counts are padded with 0."""
    flat = np.ascontiguousarray(codes, np.uint8).reshape(-1)
    if flat.size % 2:
        flat = np.append(flat, np.uint8(0))
    return (flat[0::2] & 15) | (flat[1::2] << 4)


def unpack4(data, shape):
    data = np.frombuffer(data, np.uint8) if isinstance(data, (bytes, memoryview)) else data
    out = np.empty(data.size * 2, np.uint8)
    out[0::2], out[1::2] = data & 15, data >> 4
    return out[: int(np.prod(shape))].reshape(shape)


def signed4(codes):
    """INT4 codes (0..15) to values -8..7."""
    return ((codes.astype(np.int8) ^ 8) - 8).astype(np.int8)


def blocks(x, block):
    return x.reshape(*x.shape[:-1], x.shape[-1] // block, block)


def block_amax(x, block):
    return np.abs(blocks(x, block)).max(-1)


def by_rows(function, x, *outputs):
    """Applies `function(rows) -> tuple of arrays` to slices of rows of x and stores them in `outputs`."""
    for lo in range(0, x.shape[0], ROWS):
        for out, part in zip(outputs, function(x[lo : lo + ROWS])):
            out[lo : lo + ROWS] = part
    return outputs


def nvfp4_global(amax, divisor=2688):
    """Global scale (amax/6)/448 in float32 (amax/448 for W4A8_NVFP4_FP8); 1 for an all-zero tensor."""
    first = F32(amax) / E2M1_MAX if divisor == 2688 else F32(amax)
    g = first / E4M3_MAX
    return F32(1) if g == 0 else F32(g)


def nvfp4_weight(w, block=16, divisor=2688, g=None):
    """The ONNX exporter's recipe for weights [N,K]: (codes [N,K], scale codes [N,K/block], global float32).
    The element code divides by the *unrounded* block scale."""
    g = nvfp4_global(np.abs(w).max(), divisor) if g is None else F32(g)

    def rows(part):
        sixth = block_amax(part, block) / E2M1_MAX
        s = np.where(sixth == 0, F32(1), sixth / g).astype(F32)
        return e2m1(blocks(part, block) / (s * g)[..., None]).reshape(part.shape), e4m3(s)

    n, k = w.shape
    codes, scales = by_rows(rows, w, np.empty((n, k), np.uint8), np.empty((n, k // block), np.uint8))
    return codes, scales, g


def nvfp4_checkpoint(w, block=16, divisor=2688):
    """The checkpoint (torch) recipe: the block scale has a floor of 2^-9, and codes divide by the *rounded* scale."""
    g = F32(np.abs(w).max()) / F32(divisor)
    g = F32(1) if g == 0 else g
    s = block_amax(w, block) / (E2M1_MAX * g)
    s = np.where(s == 0, F32(1), np.clip(s, F32(2.0**-9), E4M3_MAX)).astype(F32)
    scales = e4m3(s)
    rounded = E4M3_VALUES[scales].astype(F32)
    return e2m1(blocks(w, block) / (rounded * g)[..., None]).reshape(w.shape), scales, g


def nvfp4_values(codes, scales, g, block=16, combine=np.float32):
    """Exact float64 values code * s, with s = block_scale * global rounded to `combine`."""
    s = (E4M3_VALUES[scales].astype(F32) * F32(g)).astype(combine).astype(np.float64)
    return E2M1_VALUES[codes] * np.repeat(s, block, -1)


def nvfp4_dynamic(x, g):
    """TRT_FP4DynamicQuantize: (codes, scale codes). Blocks whose scale rounds to 0 get codes 0; -0.0 keeps its sign."""
    scales = e4m3(block_amax(x, 16) / E2M1_MAX / F32(g))
    real = (E4M3_VALUES[scales].astype(F32) * F32(g))[..., None]
    with np.errstate(divide="ignore", invalid="ignore"):
        codes = e2m1(blocks(x, 16) / real, keep_negative_zero=True)
    return np.where(real > 0, codes, np.uint8(0)).reshape(x.shape), scales


def mxfp8_exponent(amax):
    """E8M0 codes ceil(log2(amax/448)) + 127, floor 0 (Model Optimizer, TransformerEngine)."""
    ratio = (amax / E4M3_MAX).astype(F32)
    mantissa, exponent = np.frexp(ratio)
    ceil_log2 = np.where(mantissa == 0.5, exponent - 1, exponent)
    return np.where(ratio == 0, 0, np.clip(ceil_log2 + 127, 0, 254)).astype(np.uint8)


def mxfp8(x, block=32):
    """(codes E4M3, scale codes E8M0)."""
    scales = mxfp8_exponent(block_amax(x, block))
    inverse = np.exp2(127.0 - scales.astype(np.float64))
    scaled = (blocks(x, block).astype(np.float64) * inverse[..., None]).astype(F32)  # exact: a power of two
    return e4m3(scaled).reshape(x.shape), scales


def mxfp4(x, block=32):
    """(codes E2M1, scale codes E8M0): exponent floor(log2 amax) - 2, as in the OCP MX specification."""
    _, exponent = np.frexp(block_amax(x, block))
    scales = np.clip(exponent - 1 - 2 + 127, 0, 254).astype(np.uint8)
    inverse = np.exp2(127.0 - scales.astype(np.float64))
    return e2m1((blocks(x, block) * inverse[..., None]).astype(F32), True).reshape(x.shape), scales


def fp8_scale(amax):
    return F32(1) if amax <= 2.0**-24 else F32(amax) / E4M3_MAX


def int4_blocks(w, block, axis=-1):
    """Symmetric INT4 per group along `axis`: (codes 0..15, float32 scales = amax/7), both in w's axis order."""
    x = np.moveaxis(w, axis, -1)
    s = np.maximum(block_amax(x, block) / F32(7), F32(1e-5)).astype(F32)
    q = np.clip(np.rint(blocks(x, block) / s[..., None]), -8, 7).astype(np.int8).reshape(x.shape)
    return np.moveaxis(q.view(np.uint8) & 15, -1, axis), np.moveaxis(s, -1, axis)


def uint4_blocks(w, block, axis=-1):
    """Asymmetric UINT4 per group: (codes, float32 scales, zero points)."""
    x = blocks(np.moveaxis(w, axis, -1), block)
    low, high = np.minimum(x.min(-1), 0), np.maximum(x.max(-1), 0)
    s = (np.maximum(high - low, F32(1e-5)) / F32(15)).astype(F32)
    zp = np.clip(np.rint(-low / s), 0, 15)
    q = np.clip(np.rint(x / s[..., None]) + zp[..., None], 0, 15).astype(np.uint8)
    q = q.reshape(*q.shape[:-2], -1)
    return np.moveaxis(q, -1, axis), np.moveaxis(s, -1, axis), np.moveaxis(zp.astype(np.uint8), -1, axis)
