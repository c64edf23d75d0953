# Writers of one Linear layer in every spelling that exporters of quantized models use.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`linear(g, x, scope, w, fmt, ...)` appends the nodes of y = x W^T to graph `g`. W is float32 [N,K] as in torch.
`FORMATS` maps the name of a spelling to (writer, description). The names, types, shapes, domains, casts and duplicate
constants are those of the exporters; nothing is cleaned up, since an importer has to live with them.

A value is `Val(name, sample)`: sample() gives float32 rows for calibration and is evaluated only when a scale needs it."""
import functools

import numpy as np

import formats as F
from onnxfile import ELEM, FLOATS

TRT = "trt"


class Val:
    """A graph value and, lazily, its float32 value on the calibration sample."""

    def __init__(self, name, sample):
        self.name = name
        self.sample = functools.lru_cache(1)(sample) if sample else None

    def map(self, name, function):
        return Val(name, (lambda: function(self.sample())) if self.sample else None)

    def amax(self):
        return np.abs(self.sample()).max()


class Layer:
    """Context of one Linear: graph, weight name, the type of activations ("f32", "f16", "bf16") and the rank of x."""

    def __init__(self, g, x, scope, w, dtype, rank, bias=None):
        self.g, self.x, self.w, self.dtype, self.rank, self.bias = g, x, w, dtype, rank, bias
        self.weight = scope.strip("/").replace("/", ".") + ".weight"
        self.scope = scope

    def at(self, part):
        """Sets the node name prefix; returns the graph."""
        self.g.scope = f"{self.scope}/{part}" if part else self.scope
        return self.g

    def scalar(self, value, elem=None):
        """Constant node with a scalar in the activations' type (or `elem`)."""
        return self.g.const(np.asarray(value, FLOATS[elem or self.dtype]), elem or self.dtype)

    def round(self, value):
        """Value as stored in the activations' type."""
        return np.float32(np.asarray(value).astype(FLOATS[self.dtype]))

    def to_activation(self, v, have="f32"):
        """Cast of a dequantized value to the activations' type, as exporters insert it; nothing for float32 models."""
        return v if self.dtype == have else self.g.cast(v, self.dtype)

    def matmul(self, x, w_kn):
        """x [..,K] times an operand that is already [K,N]."""
        g = self.at("")
        y = g.node("MatMul", [x, w_kn])
        return y if self.bias is None else g.node("Add", [self.bias_name(), y])

    def matmul_nk(self, x, w_nk, cast=None):
        """x times an [N,K] operand: Transpose + MatMul for rank 3, Gemm(transB=1) for rank 2. `cast` is applied to the
        weight after the Transpose, as Model Optimizer does."""
        cast = cast or (lambda v: v)
        if self.rank == 2:
            inputs = [x, cast(w_nk)] + ([] if self.bias is None else [self.bias_name()])
            return self.at("").node("Gemm", inputs, alpha=1.0, beta=1.0, transB=1)
        return self.matmul(x, cast(self.at("").node("Transpose", [w_nk], perm=[1, 0])))

    def bias_name(self):
        return self.g.init(self.weight.replace(".weight", ".bias"), self.bias.astype(FLOATS[self.dtype]), self.dtype)


# ---- unquantized -----------------------------------------------------------------------------------------------------
def dense(L):
    if L.rank == 2:
        w = L.g.init(L.weight, L.w.astype(FLOATS[L.dtype]), L.dtype)
        return L.matmul_nk(L.x.name, w)
    folded = L.g.init(L.g.unique("onnx::MatMul_" + str(100 + len(L.g._inits))) + "_w", L.w.T.astype(FLOATS[L.dtype]), L.dtype)
    return L.matmul(L.x.name, folded)


# ---- NVFP4 -----------------------------------------------------------------------------------------------------------
def fp4_activation(L, x=None, amax=None, dq_domain="", global_cast=None):
    """Dynamic NVFP4 chain of an activation. Returns the dequantized value (float32, or `global_cast`'s type)."""
    g = L.at("input_quantizer")
    scale = F.nvfp4_global(L.x.amax() if amax is None else amax)
    first = L.scalar(scale, "f32")
    codes, sx = g.node("TRT_FP4DynamicQuantize", [x or L.x.name, first], domain=TRT, n=2, axis=-1, block_size=16, scale_type=17)
    second = g.cast(first, global_cast) if global_cast else L.scalar(scale, "f32")
    s = g.node("DequantizeLinear", [sx, second], domain=dq_domain)
    return g.node("DequantizeLinear", [codes, s], domain=dq_domain, axis=-1, block_size=16)


def fp4_weight(L, block=16, global_dims=(1,), divisor=2688, in_inputs=True, w=None):
    """The two-level dequantization of a weight as Model Optimizer writes it; returns float32 [N,K]."""
    w, name, (n, k) = L.w if w is None else w, L.weight, L.w.shape
    codes, scales, gs = F.nvfp4_weight(w, block, divisor)
    g = L.g
    q = g.init(name + "_f4", F.pack4(codes), "e2m1", [n, k], in_inputs)
    s8 = g.init(name + "_f8_scale", scales, "e4m3", None, in_inputs)
    gs = g.init(name + "_f8_scale_f32_scale", np.full(global_dims, gs, np.float32), "f32", None, in_inputs)
    s = g.node("DequantizeLinear", [s8, gs], name=name + "_DequantizeLinear", outputs=[name + "_f32_scale"])
    return g.node("DequantizeLinear", [q, s], name=name + "_DequantizeLinear_1", axis=-1, block_size=block)


def nvfp4(L, global_dims=(1,), x=None, amax=None, w=None):
    xq = fp4_activation(L, x, amax)
    wq = fp4_weight(L, global_dims=global_dims, w=w)
    return L.matmul_nk(L.to_activation(xq), wq, L.to_activation)


def awq_scale(L):
    """Per-channel AWQ factors: activations are multiplied by the returned vector, weights divided by it."""
    amax = np.abs(L.x.sample()).reshape(-1, L.w.shape[1]).max(0)
    s = np.sqrt(np.maximum(amax, 1e-3))
    return (1 / (s / np.exp(np.mean(np.log(s))))).astype(np.float16).astype(np.float32)


def pre_quant(L, pqs):
    name = L.g.init(L.weight.replace(".weight", ".input_quantizer._pre_quant_scale"), pqs.astype(FLOATS[L.dtype]), L.dtype)
    return L.at("input_quantizer").node("Mul", [L.x.name, name])


def nvfp4_awq(L):
    pqs = awq_scale(L)
    x = pre_quant(L, pqs)
    return nvfp4(L, x=x, amax=np.abs(L.x.sample() * pqs).max(), w=L.w / pqs)


def nvfp4_svd(L, lora=32):
    """SVDQuant: quantized residual plus two small unquantized MatMuls."""
    pqs, rng = awq_scale(L), np.random.default_rng(7)
    w = L.w / pqs
    probe = np.linalg.qr(w @ rng.standard_normal((w.shape[1], lora), dtype=np.float32))[0]
    b, a = probe, probe.T @ w  # W ~ b a, a randomized rank-`lora` approximation
    a, b = L.round16(a), L.round16(b)
    x = pre_quant(L, pqs)
    y = nvfp4(L, x=x, amax=np.abs(L.x.sample() * pqs).max(), w=w - b @ a)
    base, g = L.weight.replace(".weight", ".weight_quantizer.svdquant_lora"), L.at("")
    a = g.init(base + "_a", a.T.astype(FLOATS[L.dtype]), L.dtype)
    b = g.init(base + "_b", b.T.astype(FLOATS[L.dtype]), L.dtype)
    return g.node("Add", [y, g.node("MatMul", [g.node("MatMul", [x, a]), b])])


Layer.round16 = staticmethod(lambda a: a.astype(np.float16).astype(np.float32))


def nvfp4_edge(L, activations=True):
    """TensorRT-Edge-LLM: checkpoint codes, `trt::DequantizeLinear`, and a global scale rounded to float16."""
    n, k = L.w.shape
    x = fp4_activation(L, dq_domain=TRT, global_cast="f16") if activations else L.x.name
    codes, scales, gs = F.nvfp4_checkpoint(L.w)
    g, base = L.at(""), L.weight
    q, s8 = g.init(base, F.pack4(codes), "e2m1", [n, k]), g.init(base + "_scale", scales, "e4m3")
    s = g.node("DequantizeLinear", [s8, g.init(base + "_scale_2", np.asarray(gs))])
    w = g.node("DequantizeLinear", [q, s], axis=-1, block_size=16)
    w_t = g.node("Transpose", [L.to_activation(w)], perm=[1, 0])
    if activations and L.dtype != "f16":
        x = g.cast(x, L.dtype)
    return L.matmul(x, w_t)


def fp4_qdq_raw(L, block):
    """Weight fake-quantization left as an un-lowered custom op."""
    w = L.g.init(L.weight, L.w.astype(FLOATS[L.dtype]), L.dtype)
    return L.at("weight_quantizer").node("TRT_FP4QDQ", [w], domain=TRT, block_size=block)


def nvfp4_raw(L, block=16):
    return L.matmul_nk(L.x.name, fp4_qdq_raw(L, block))


def w4a8_raw(L):
    g, s = L.at("input_quantizer"), L.scalar(F.fp8_scale(L.x.amax()))
    q = g.node("TRT_FP8QuantizeLinear", [L.x.name, s], domain=TRT)
    x = g.node("TRT_FP8DequantizeLinear", [q, L.scalar(F.fp8_scale(L.x.amax()))], domain=TRT)
    return L.matmul_nk(x, fp4_qdq_raw(L, 32))


# ---- FP8 -------------------------------------------------------------------------------------------------------------
def fp8_zero(L, dims=(1,)):
    return L.g.const(np.zeros(dims, np.uint8), "e4m3")


def fp8(L, domain=TRT, fold=True):
    """Model Optimizer FP8: zero point only on the QuantizeLinear, separate scale constants, weights transposed in data
    when the consumer is a MatMul (`fold`)."""
    g, s = L.at("input_quantizer"), L.round(F.fp8_scale(L.x.amax()))
    q = g.node("QuantizeLinear", [L.x.name, L.scalar(s), fp8_zero(L)], domain=domain, saturate=1)
    x = g.node("DequantizeLinear", [q, L.scalar(s)], domain=domain)
    g, sw = L.at("weight_quantizer"), L.round(F.fp8_scale(np.abs(L.w).max()))
    fold = fold and L.rank != 2
    codes = F.e4m3(L.w / sw)
    w = g.init(g.scope + "/fp8_weights", codes.T if fold else codes, "e4m3")
    w = g.node("DequantizeLinear", [w, L.scalar(sw)], domain=domain)
    return L.matmul(x, w) if fold else L.matmul_nk(x, w)


def fp8_trt(L):
    """Older exporter and TransformerEngine: custom ops with a float32 scale and casts around them."""
    g, s = L.at("input_quantizer"), F.fp8_scale(L.x.amax())
    x = L.x.name if L.dtype == "f32" else g.cast(L.x.name, "f32")
    q = g.node("TRT_FP8QuantizeLinear", [x, L.scalar(s, "f32")], domain=TRT)
    x = L.to_activation(g.node("TRT_FP8DequantizeLinear", [q, L.scalar(s, "f32")], domain=TRT))
    g, sw = L.at("weight_quantizer"), F.fp8_scale(np.abs(L.w).max())
    w = g.init(g.scope + "/fp8_weights", F.e4m3(L.w / sw), "e4m3")
    w = g.node("TRT_FP8DequantizeLinear", [w, L.scalar(sw, "f32")], domain=TRT)
    return L.matmul_nk(x, w, L.to_activation)


def fp8_cli(L):
    """ONNX-side quantization: INT8 scales times 448/127, zero points on Q and DQ, weight scales per output channel."""
    g, wide = L.at(""), np.float32(448 / 127)
    dtype = FLOATS[L.dtype]
    s = g.init(L.weight + "_x_scale", np.asarray(F.F32(L.x.amax()) / 127 * wide, dtype), L.dtype)
    zp = g.init(L.weight + "_x_zero_point", np.zeros((), np.uint8), "e4m3")
    x = g.node("DequantizeLinear", [g.node("QuantizeLinear", [L.x.name, s, zp]), s, zp])
    amax = np.abs(L.w).max(1)
    sw = (np.where(amax == 0, F.F32(1), amax / F.F32(127)) * wide).astype(dtype)
    codes = F.e4m3(L.w / sw.astype(np.float32)[:, None])
    transposed = L.rank != 2
    w = g.init(L.weight + "_quantized", codes.T if transposed else codes, "e4m3")
    sw = g.init(L.weight + "_scale", sw, L.dtype)
    zw = g.init(L.weight + "_zero_point", np.zeros(L.w.shape[0], np.uint8), "e4m3")
    w = g.node("DequantizeLinear", [w, sw, zw], axis=1 if transposed else 0)
    return L.matmul(x, w) if transposed else L.matmul_nk(x, w)


def fp8_edge(L):
    """Edge-LLM FP8: QuantizeLinear without a zero point, its type given by output_dtype; scales of shape []."""
    g, s = L.at("input_quantizer"), L.round(F.fp8_scale(L.x.amax()))
    name = g.init(L.weight.replace(".weight", ".input_scale"), np.asarray(s, FLOATS[L.dtype]), L.dtype)
    q = g.node("QuantizeLinear", [L.x.name, name], output_dtype=ELEM["e4m3"])
    x = g.node("DequantizeLinear", [q, name])
    sw = L.round(F.fp8_scale(np.abs(L.w).max()))
    w = g.init(L.weight, F.e4m3(L.w / sw), "e4m3")
    w = g.node("DequantizeLinear", [w, g.init(L.weight + "_scale", np.asarray(sw, FLOATS[L.dtype]), L.dtype)])
    return L.matmul_nk(x, w)


def fp8_weight(L):
    """FP8 weights only, per tensor, as dequantize-only ONNX-side quantization writes them; activations untouched."""
    g, sw = L.at(""), L.round(F.fp8_scale(np.abs(L.w).max()))
    codes = F.e4m3(L.w / sw)
    w = g.init(L.weight + "_quantized", codes.T if L.rank != 2 else codes, "e4m3")
    w = g.node("DequantizeLinear", [w, g.init(L.weight + "_scale", np.asarray(sw, FLOATS[L.dtype]), L.dtype)])
    return L.matmul(L.x.name, w) if L.rank != 2 else L.matmul_nk(L.x.name, w)


# ---- MX --------------------------------------------------------------------------------------------------------------
def mxfp8(L, attributes=True):
    """MXFP8 with UINT8 scale bits. TransformerEngine writes the ops without attributes."""
    out = ELEM[L.dtype]
    quant = dict(axis=-1, block_size=32, output_dtype=17) if attributes else {}
    dequant = dict(axis=-1, block_size=32, output_dtype=out) if attributes else {}
    g = L.at("input_quantizer")
    q, s = g.node("TRT_MXFP8DynamicQuantize", [L.x.name], domain=TRT, n=2, **quant)
    x = g.node("TRT_MXFP8DequantizeLinear", [q, s], domain=TRT, **dequant)
    codes, scales = F.mxfp8(L.w)
    g = L.at("weight_quantizer")
    w = g.init(L.weight, codes, "e4m3")
    s = g.init(L.weight + "_scale", scales, "u8")
    return L.matmul_nk(x, g.node("TRT_MXFP8DequantizeLinear", [w, s], domain=TRT, **dequant))


def mxfp4_mxfp8(L):
    """MXFP8 activations next to MXFP4 weights (Model Optimizer's W4A8_MXFP4_FP8); weights as standard ops write them."""
    out, g = ELEM[L.dtype], L.at("input_quantizer")
    q, s = g.node("TRT_MXFP8DynamicQuantize", [L.x.name], domain=TRT, n=2, axis=-1, block_size=32, output_dtype=17)
    x = g.node("TRT_MXFP8DequantizeLinear", [q, s], domain=TRT, axis=-1, block_size=32, output_dtype=out)
    codes, scales = F.mxfp4(L.w)
    g = L.at("weight_quantizer")
    w = g.init(L.weight + "_q", F.pack4(codes), "e2m1", list(L.w.shape))
    s = g.init(L.weight + "_scale", scales, "e8m0")
    w = g.node("DequantizeLinear", [w, s], axis=-1, block_size=32, output_dtype=out)
    return L.matmul_nk(x, w)


def onnx24_mx(L, bits=8):
    """Opset 24: MX weights with FLOAT8E8M0 scales; the activation stays as it is."""
    n, k = L.w.shape
    codes, scales = F.mxfp8(L.w) if bits == 8 else F.mxfp4(L.w)
    g = L.at("")
    w = g.init(L.weight + "_q", codes if bits == 8 else F.pack4(codes), "e4m3" if bits == 8 else "e2m1", [n, k])
    s = g.init(L.weight + "_scale", scales, "e8m0")
    w = g.node("DequantizeLinear", [w, s], axis=-1, block_size=32, output_dtype=ELEM[L.dtype])
    return L.matmul_nk(L.x.name, w)


# ---- integers --------------------------------------------------------------------------------------------------------
def int4_awq(L, block=128):
    """INT4 AWQ. For Gemm the data stays [N,K] but `axis` is still the quantizer's 0: shapes contradict the attribute."""
    pqs = awq_scale(L)
    x, w, gemm = pre_quant(L, pqs), L.w / pqs, L.rank == 2
    codes, s = F.int4_blocks(w, block)
    if not gemm:
        codes, s = codes.T, s.T
    g = L.at("weight_quantizer")
    q = g.init(L.weight, F.pack4(codes), "i4", list(codes.shape))
    s = g.init(L.weight + "_scale", s.astype(FLOATS[L.dtype]), L.dtype)
    w = g.node("DequantizeLinear", [q, s], domain=TRT, axis=0, block_size=block)
    return L.matmul_nk(x, w) if gemm else L.matmul(x, w)


def int4_cli(L, block=128):
    """ONNX-side UINT4 with zero points, blocks along K of [K,N]."""
    codes, s, zp = F.uint4_blocks(L.w.T, block, axis=0)
    g, dims = L.at(""), list(codes.shape)
    q = g.init(L.weight + "_i4", F.pack4(codes), "u4", dims)
    s4 = g.init(L.weight + "_scale", s.astype(FLOATS[L.dtype]), L.dtype)
    zp = g.init(L.weight + "_zp", F.pack4(zp), "u4", list(s.shape))
    return L.matmul(L.x.name, g.node("DequantizeLinear", [q, s4, zp], axis=0, block_size=block))


def int4_channel(L):
    """INT4 per output channel: a 1-D scale, axis 1, no block_size."""
    codes, s = F.int4_blocks(L.w, L.w.shape[1])
    g = L.at("")
    q = g.init(L.weight + "_i4", F.pack4(codes.T), "i4", list(codes.T.shape))
    s = g.init(L.weight + "_scale", s[:, 0].astype(FLOATS[L.dtype]), L.dtype)
    return L.matmul(L.x.name, g.node("DequantizeLinear", [q, s], axis=1))


def int8(L):
    """INT8 Q/DQ on activations (per tensor) and on float weights (per channel, axis 0); zero points are float constants
    cast to INT8."""
    g, s = L.at("input_quantizer"), L.round(F.F32(L.x.amax()) / 127)
    zero = lambda dims: g.cast(g.const(np.zeros(dims, np.float32)), "i8")
    scale, zp = L.scalar(s), zero(())
    x = g.node("DequantizeLinear", [g.node("QuantizeLinear", [L.x.name, scale, zp]), scale, zp])
    g = L.at("weight_quantizer")
    amax = np.abs(L.w).max(1)
    sw = g.const((np.where(amax == 0, F.F32(127), amax) / F.F32(127)).astype(FLOATS[L.dtype]), L.dtype)
    zp = zero(L.w.shape[0])
    w = g.init(L.weight, L.w.astype(FLOATS[L.dtype]), L.dtype)
    w = g.node("DequantizeLinear", [g.node("QuantizeLinear", [w, sw, zp], axis=0), sw, zp], axis=0)
    return L.matmul_nk(x, w)


def onnx21(L, block=32):
    """Opset 21: FP8 activations through output_dtype, INT4 weights in blocks along K of [K,N]."""
    g, s = L.at(""), L.scalar(L.round(F.fp8_scale(L.x.amax())))
    x = g.node("DequantizeLinear", [g.node("QuantizeLinear", [L.x.name, s], output_dtype=ELEM["e4m3"]), s])
    codes, sw = F.int4_blocks(L.w.T, block, axis=0)
    q = g.init(L.weight + "_q", F.pack4(codes), "i4", list(codes.shape))
    sw = g.init(L.weight + "_scale", sw.astype(FLOATS[L.dtype]), L.dtype)
    return L.matmul(x, g.node("DequantizeLinear", [q, sw], axis=0, block_size=block))


def onnx23(L):
    """Opset 23: NVFP4 weights with standard operators only (nested DQ, output_dtype on DQ), activations untouched."""
    n, k = L.w.shape
    codes, scales, gs = F.nvfp4_weight(L.w)
    g = L.at("")
    q, s8 = g.init(L.weight + "_q", F.pack4(codes), "e2m1", [n, k]), g.init(L.weight + "_scale", scales, "e4m3")
    s = g.node("DequantizeLinear", [s8, g.init(L.weight + "_global", np.asarray(gs))])
    w = g.node("DequantizeLinear", [q, s], axis=1, block_size=16, output_dtype=ELEM[L.dtype])
    return L.matmul_nk(L.x.name, w)


def variant(function, **options):
    return functools.partial(function, **options)


# name: (writer, default opset, description). "-gemm" can be appended to any name that has a rank-2 form.
FORMATS = {
    "dense": (dense, 20, "unquantized, in --dtype"),
    "nvfp4": (nvfp4, 20, "Model Optimizer NVFP4, weights and dynamic activations"),
    "nvfp4-old": (variant(nvfp4, global_dims=()), 20, "the same with the older scalar global scale"),
    "nvfp4-awq": (nvfp4_awq, 20, "NVFP4 with a pre_quant_scale Mul"),
    "nvfp4-svd": (nvfp4_svd, 20, "SVDQuant: NVFP4 plus a rank-32 branch"),
    "nvfp4-edge": (nvfp4_edge, 21, "Edge-LLM NVFP4: trt::DequantizeLinear and a float16 global scale"),
    "nvfp4-weight": (variant(nvfp4_edge, activations=False), 21, "NVFP4 weights only, lowered to the DQ chain"),
    "nvfp4-raw": (variant(nvfp4_raw, block=16), 20, "NVFP4 weights only as raw TRT_FP4QDQ, block 16"),
    "nvfp4-raw32": (variant(nvfp4_raw, block=32), 20, "the same with block 32"),
    "w4a8": (w4a8_raw, 20, "W4A8_NVFP4_FP8 left raw: TRT_FP4QDQ block 32, TRT_FP8 Q/DQ"),
    "fp8": (fp8, 20, "Model Optimizer FP8 in domain trt, weights transposed in data"),
    "fp8-std": (variant(fp8, domain=""), 20, "the same in the standard domain"),
    "fp8-unfolded": (variant(fp8, fold=False), 20, "the same with the Transpose kept"),
    "fp8-trt": (fp8_trt, 20, "TRT_FP8QuantizeLinear with float32 scales and casts"),
    "fp8-cli": (fp8_cli, 19, "ONNX-side FP8: zero points on Q and DQ, per-channel weights"),
    "fp8-edge": (fp8_edge, 21, "Edge-LLM FP8: no zero point, output_dtype"),
    "fp8-weight": (fp8_weight, 20, "FP8 weights only"),
    "mxfp8": (mxfp8, 20, "Model Optimizer MXFP8"),
    "mxfp8-te": (variant(mxfp8, attributes=False), 20, "TransformerEngine MXFP8, no attributes"),
    "int4-awq": (int4_awq, 20, "INT4 AWQ, groups of 128"),
    "int4-cli": (int4_cli, 21, "UINT4 with zero points, groups of 128"),
    "int4-channel": (int4_channel, 21, "INT4 per output channel"),
    "int8": (int8, 20, "INT8 Q/DQ, float weights with explicit Q"),
    "onnx21": (onnx21, 21, "standard ops: FP8 activations, blocked INT4 weights"),
    "onnx23": (onnx23, 23, "standard ops: NVFP4 weights"),
    "onnx24-mxfp8": (onnx24_mx, 24, "standard ops: MXFP8 weights, FLOAT8E8M0 scales"),
    "mxfp4-mxfp8": (mxfp4_mxfp8, 24, "MXFP4 weights, MXFP8 activations"),
    "onnx24-mxfp4": (variant(onnx24_mx, bits=4), 24, "standard ops: MXFP4 weights, FLOAT8E8M0 scales"),
    "onnx25": (variant(int4_cli, block=32), 25, "standard ops: blocked UINT4 weights with zero points"),
}
RANK3_ONLY = {"nvfp4-edge", "nvfp4-weight", "int4-cli", "int4-channel", "onnx21", "onnx25"}


def parse_format(text):
    """"nvfp4-gemm" -> ("nvfp4", rank 2); "nvfp4" -> ("nvfp4", rank 3)."""
    base = text.removesuffix("-gemm")
    if base not in FORMATS or (base != text and base in RANK3_ONLY):
        raise SystemExit(f"unknown format '{text}'; known: {', '.join(FORMATS)} (most also with -gemm)")
    return base, 3 if base == text else 2


def linear(g, x, scope, w, fmt, dtype="f32", bias=None):
    """y = x W^T (+ bias). x: Val [..,K]; w float32 [N,K]; fmt as in `FORMATS` (+"-gemm"); returns Val [..,N]."""
    base, rank = parse_format(fmt)
    saved = g.scope
    y = FORMATS[base][0](Layer(g, x, scope, w, dtype, rank, bias))
    g.scope = saved
    return x.map(y, lambda v: v @ w.T + (0 if bias is None else bias))
