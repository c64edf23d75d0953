#!/usr/bin/env python3
# Independent numpy evaluator of ONNX models: float64 values, bit-exact formats, scaled operands multiplied exactly.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""reference.py model.onnx --input x=@x.npy --output y=@y.npy

Semantics (the same contract as the compiler's own reference, written twice on purpose):
- float32/float64 typed values are kept in float64, unrounded; float16, bfloat16 and 8/4-bit typed values are rounded to
  their format once per operator;
- a dequantized value is the exact real code * scale; Cast, Transpose and Reshape between it and a MatMul or Gemm do not
  round it; any other consumer sees it rounded to its type;
- the combined scale of a two-level format is block_scale * global rounded once to the global scale's type;
- quantization recipes are float32 arithmetic.
Only operators of the models in this folder are known."""
import argparse
import math
from pathlib import Path

import ml_dtypes
import numpy as np

import formats as F
import onnxfile

NAME = {number: name for name, number in onnxfile.ELEM.items()}
FLOAT = ("f32", "f64", "f16", "bf16")
ERF_STEP = 1 / 256
ERF_GRID = np.arange(0, 6 + ERF_STEP, ERF_STEP)
ERF_TABLE = np.asarray([math.erf(v) for v in ERF_GRID])


def erf(x):
    """erf in float64: five Taylor terms around the nearest of 1537 exact values (error below 1e-16)."""
    a = np.minimum(np.abs(np.asarray(x, np.float64)), 6.0)
    i = np.rint(np.nan_to_num(a) / ERF_STEP).astype(np.int64)
    c = ERF_GRID[i]
    d, slope = a - c, 2 / math.sqrt(math.pi) * np.exp(-c * c)
    series = 1 - d * c + d**2 * (4 * c**2 - 2) / 6 + d**3 * (12 * c - 8 * c**3) / 24 + d**4 * (16 * c**4 - 48 * c**2 + 12) / 120
    return np.copysign(ERF_TABLE[i] + slope * d * series, x)


class Value:
    """data: float64 for float types, codes (uint8) for e4m3/e2m1/e8m0/4-bit, else the integer array.
    exact: data was dequantized and not yet rounded to `elem`."""

    def __init__(self, data, elem, exact=False):
        self.data, self.elem, self.exact = data, elem, exact

    def rounded(self):
        return round_to(self.data, self.elem) if self.exact else self.data


def round_to(x, elem):
    if elem not in ("f16", "bf16"):
        return x
    wide = np.asarray(x, np.float64)
    if elem == "f16":
        with np.errstate(over="ignore"):
            return wide.astype(np.float16).astype(np.float64)
    return round_bf16(wide)


def round_bf16(x):
    """float64 -> bfloat16 with one rounding (a detour over float32 would round twice)."""
    mantissa, exponent = np.frexp(x)
    low = np.maximum(exponent - 8, -126 - 7)
    with np.errstate(invalid="ignore"):
        y = np.where(np.isfinite(x), np.ldexp(np.rint(np.ldexp(x, -low)), low), x)
    return np.where(np.abs(y) > float(ml_dtypes.finfo(ml_dtypes.bfloat16).max), np.copysign(np.inf, y), y)


def from_tensor(t, folder):
    """TensorProto -> Value."""
    elem = NAME[t.data_type]
    raw = t.raw_data
    if t.data_location == 1:
        keys = {e.key: e.value for e in t.external_data}
        with open(Path(folder) / keys["location"], "rb") as f:
            f.seek(int(keys.get("offset", 0)))
            raw = f.read(int(keys.get("length", -1)))
    dims = tuple(t.dims)
    if elem in onnxfile.PACKED:
        return Value(F.unpack4(raw, dims), elem)
    data = np.frombuffer(raw, onnxfile.NUMPY[elem]).reshape(dims) if raw else numeric_fields(t, elem, dims)
    return Value(data.astype(np.float64) if elem in FLOAT else data, elem)


def numeric_fields(t, elem, dims):
    fields = dict(f32=t.float_data, f64=t.double_data, i64=t.int64_data)
    return np.asarray(fields.get(elem, t.int32_data), onnxfile.NUMPY[elem]).reshape(dims)


class Evaluator:
    """Runs one model. `probe`, if given, is called with (node, outputs) after every node."""

    def __init__(self, path, probe=None):
        import onnx
        self.model = onnx.load(str(path), load_external_data=False)
        self.probe, self.folder = probe, Path(path).parent
        self.producer = {o: n for n in self.model.graph.node for o in n.output}
        self.scales = self.scale_values()
        self.w4a8 = self.weights_of_fp8_activations()

    def origin(self, name):
        """The node that made a value, looking through operators that only move or cast it."""
        while name in self.producer and self.producer[name].op_type in ("Cast", "Transpose", "Reshape"):
            name = self.producer[name].input[0]
        return self.producer.get(name)

    def weights_of_fp8_activations(self):
        """Outputs of TRT_FP4QDQ that are multiplied with FP8 activations."""
        found = set()
        for node in self.model.graph.node:
            if node.op_type in ("MatMul", "Gemm"):
                x, w = (self.origin(name) for name in node.input[:2])
                if x is not None and w is not None and w.op_type == "TRT_FP4QDQ" and x.op_type == "TRT_FP8DequantizeLinear":
                    found.add(w.output[0])
        return found

    def scale_values(self):
        """Values that are the scale of a DequantizeLinear, through casts: as scales they are rounded to their type."""
        producer = self.producer
        names = {n.input[1] for n in self.model.graph.node if n.op_type == "DequantizeLinear"}
        for name in list(names):
            while name in producer and producer[name].op_type == "Cast":
                name = producer[name].input[0]
                names.add(name)
        return names

    def run(self, feeds):
        """feeds: name -> ndarray (numpy dtype, or uint8/uint16 bits for types numpy lacks); returns name -> ndarray."""
        graph = self.model.graph
        self.env = {t.name: from_tensor(t, self.folder) for t in graph.initializer}
        for i in graph.input:
            if i.name in feeds:
                elem = NAME[i.type.tensor_type.elem_type]
                x = np.asarray(feeds[i.name])
                x = x.view(ml_dtypes.bfloat16) if elem == "bf16" and x.dtype == np.uint16 else x
                self.env[i.name] = Value(x.astype(np.float64) if elem in FLOAT else x, elem)
        last = {name: i for i, n in enumerate(graph.node) for name in n.input}
        keep = {o.name for o in graph.output}
        for index, node in enumerate(graph.node):
            self.step(node)
            for name in node.input:
                if last[name] == index and name not in keep:
                    self.env.pop(name, None)
        return {o.name: self.result(self.env[o.name]) for o in graph.output}

    @staticmethod
    def result(v):
        return v.rounded() if v.elem in FLOAT else v.data

    def step(self, node):
        attrs = {a.name: attribute(a, self.folder) for a in node.attribute}
        args = [self.env[n] if n else None for n in node.input]
        function = OPS.get(node.op_type)
        if function is None:
            raise SystemExit(f"{node.name}: operator {node.domain}::{node.op_type} is unknown to the numpy reference")
        if node.output[0] in self.w4a8:
            args.append(448)  # W4A8_NVFP4_FP8: global = amax/448
        out = function(attrs, *args)
        out = out if isinstance(out, tuple) else (out,)
        if node.output[0] in self.scales and out[0].exact:
            out = (Value(out[0].data.astype(onnxfile.FLOATS[out[0].elem]).astype(np.float64), out[0].elem),)
        self.env.update(zip(node.output, out))
        if self.probe:
            self.probe(node, out)


def attribute(a, folder):
    kind = {1: lambda: a.f, 2: lambda: a.i, 3: lambda: a.s.decode(), 4: lambda: from_tensor(a.t, folder), 6: lambda: list(a.floats),
            7: lambda: list(a.ints)}
    return kind[a.type]()


# ---- quantization ----------------------------------------------------------------------------------------------------
def codes_to_real(v):
    if v.elem in FLOAT:
        return v.rounded()
    tables = dict(e4m3=F.E4M3_VALUES, e2m1=F.E2M1_VALUES, e8m0=F.E8M0_VALUES)
    if v.elem in tables:
        return tables[v.elem][v.data]
    return (F.signed4(v.data) if v.elem == "i4" else v.data).astype(np.float64)


def blocked_axis(shape, scale_shape, axis):
    """The axis along which scales are blocked; the shapes decide where the attribute contradicts them."""
    fits = [i for i, (d, s) in enumerate(zip(shape, scale_shape)) if d != s]
    return fits[0] if len(fits) == 1 else axis


def spread(s, shape, axis, block):
    """Scale (or zero point) broadcast to the shape of the data."""
    if s.size == 1:
        return s.reshape(())
    if s.ndim == 1 and (len(shape) > 1 or s.size == shape[0]) and not block:
        axis = axis % len(shape)
        return s.reshape([-1 if i == axis else 1 for i in range(len(shape))])
    axis = blocked_axis(shape, s.shape, axis % len(shape))
    times = -(-shape[axis] // s.shape[axis])
    return np.repeat(s, times, axis).take(np.arange(shape[axis]), axis)


def dequantize(a, q, scale, zero=None, block=0):
    shape, axis = q.data.shape, a.get("axis", 1)
    s = spread(codes_to_real(scale), shape, axis, a.get("block_size", block))
    x = codes_to_real(q)
    if zero is not None:
        x = x - spread(codes_to_real(zero), shape, axis, a.get("block_size", block))
    elem = NAME[a["output_dtype"]] if a.get("output_dtype") else scale.elem if scale.elem in FLOAT else "f32"
    return Value(x * s, elem, exact=True)


def quantize(a, x, scale, zero=None):
    target = NAME[a["output_dtype"]] if a.get("output_dtype") else zero.elem if zero is not None else "u8"
    axis, shape = a.get("axis", 1), x.data.shape
    s = spread(codes_to_real(scale).astype(np.float32), shape, axis, a.get("block_size", 0))
    y = x.rounded().astype(np.float32) / s
    if target in ("e4m3", "e2m1"):
        return Value(F.e4m3(y) if target == "e4m3" else F.e2m1(y, True), target)
    zp = 0 if zero is None else spread(codes_to_real(zero), shape, axis, a.get("block_size", 0))
    low, high = dict(u8=(0, 255), i8=(-128, 127), u4=(0, 15), i4=(-8, 7))[target]
    q = np.clip(np.rint(y) + zp, low, high)
    return Value(q.astype(np.int8 if low else np.uint8) if target[1] == "8" else (q.astype(np.int8).view(np.uint8) & 15), target)


def fp4_dynamic(a, x, g):
    codes, scales = F.nvfp4_dynamic(x.rounded().astype(np.float32), g.data.reshape(()))
    return Value(codes, "e2m1"), Value(scales, "e4m3")


def fp4_qdq(a, w, divisor=2688):
    """Fake quantization of a weight: the checkpoint recipe, values in w's type."""
    codes, scales, g = F.nvfp4_checkpoint(w.rounded().astype(np.float32), a["block_size"], divisor)
    return Value(F.nvfp4_values(codes, scales, g, a["block_size"]), w.elem, exact=True)


def fp8_quantize(a, x, scale):
    return quantize({"output_dtype": onnxfile.ELEM["e4m3"]}, x, scale)


def mxfp8_quantize(a, x):
    codes, scales = F.mxfp8(x.rounded().astype(np.float32))
    return Value(codes, "e4m3"), Value(scales, "e8m0")


def mxfp8_dequantize(a, q, s):
    s = F.E8M0_VALUES[s.data]
    y = codes_to_real(q) * np.repeat(s, 32, -1)
    return Value(y, NAME[a.get("output_dtype", 1)], exact=True)


# ---- other operators -------------------------------------------------------------------------------------------------
def cast(a, x):
    to = NAME[a["to"]]
    if x.exact and to in FLOAT:
        return Value(x.data, to, exact=True)
    v = codes_to_real(x)
    if to in FLOAT:
        return Value(round_to(v, to), to)
    if to == "e4m3":
        return Value(F.e4m3(v.astype(np.float32)), to)
    return Value(v != 0 if to == "bool" else np.trunc(v).astype(onnxfile.NUMPY[to]), to)


def moved(function):
    """Operator that only moves elements: an exact operand stays exact."""
    def run(a, x, *rest):
        return Value(function(a, x.data, *(None if r is None else r.data for r in rest)), x.elem, x.exact)
    return run


def rounding(function):
    """Float operator: float64 inside, one rounding to the type of the first operand."""
    def run(a, *args):
        first = args[0]
        y = function(a, *(None if v is None else (v.rounded() if v.elem in FLOAT else v.data) for v in args))
        if first.elem in FLOAT:
            return Value(round_to(y, first.elem), first.elem)
        return Value(y, first.elem if y.dtype != np.bool_ else "bool")
    return run


def blocked_matmul(x, y):
    """float64 product; big operands in column panels to bound memory."""
    return np.matmul(x, y)


def matmul(a, x, y):
    elem = x.elem
    return Value(round_to(blocked_matmul(x.data, y.data), elem), elem)


def gemm(a, x, y, c=None):
    p = x.data.T if a.get("transA") else x.data
    q = y.data.T if a.get("transB") else y.data
    out = a.get("alpha", 1.0) * blocked_matmul(p, q)
    if c is not None:
        out = out + a.get("beta", 1.0) * c.rounded()
    return Value(round_to(out, x.elem), x.elem)


def reshape(a, x, shape):
    return x.reshape([x.shape[i] if d == 0 else int(d) for i, d in enumerate(shape)])


def slice_(a, x, starts, ends, axes=None, steps=None):
    index = [slice(None)] * x.ndim
    axes = range(len(starts)) if axes is None else axes
    for i, axis in enumerate(axes):
        index[axis] = slice(int(starts[i]), int(ends[i]), int(1 if steps is None else steps[i]))
    return x[tuple(index)]


def reduce(function):
    def run(a, x, axes=None):
        axes = a.get("axes", axes)
        axes = None if axes is None else tuple(int(i) for i in np.asarray(axes).reshape(-1))
        return function(x, axis=axes, keepdims=bool(a.get("keepdims", 1)))
    return run


def layer_norm(a, x, scale, bias=None):
    axes = tuple(range(a.get("axis", -1) % x.ndim, x.ndim))
    d = x - x.mean(axes, keepdims=True)
    y = d / np.sqrt((d * d).mean(axes, keepdims=True) + a.get("epsilon", 1e-5)) * scale
    return y if bias is None else y + bias


def softmax(a, x):
    e = np.exp(x - x.max(a.get("axis", -1), keepdims=True))
    return e / e.sum(a.get("axis", -1), keepdims=True)


def gelu(a, x):
    if a.get("approximate", "none") == "tanh":
        return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def constant(a):
    if "value" in a:
        return a["value"]
    if "value_float" in a:
        return Value(np.asarray(a["value_float"]), "f32")
    key = "value_int" if "value_int" in a else "value_ints"
    return Value(np.asarray(a[key], np.int64), "i64")


def concat(a, *xs):
    return Value(np.concatenate([x.rounded() for x in xs], a["axis"]), xs[0].elem)


def where(a, condition, x, y):
    return Value(np.where(condition.data, x.rounded(), y.rounded()), x.elem)


def tensor_scatter(a, past, rows, position=None):
    """TensorScatter of one sequence: rows behind the end are dropped."""
    axis, y = a.get("axis", -2), past.rounded().copy()
    start = 0 if position is None else int(position.data.reshape(-1)[0])
    where_to = [slice(None)] * y.ndim
    where_to[axis] = slice(start, start + rows.data.shape[axis])
    y[tuple(where_to)] = round_to(rows.rounded(), past.elem).take(range(y[tuple(where_to)].shape[axis]), axis)
    return Value(y, past.elem)


def squeeze(a, x, axes=None):
    return x.squeeze(None if axes is None else tuple(int(i) for i in axes))


OPS = {
    "QuantizeLinear": quantize, "DequantizeLinear": dequantize, "TRT_FP8QuantizeLinear": fp8_quantize,
    "TRT_FP8DequantizeLinear": dequantize, "TRT_FP4DynamicQuantize": fp4_dynamic, "TRT_FP4QDQ": fp4_qdq,
    "TRT_MXFP8DynamicQuantize": mxfp8_quantize, "TRT_MXFP8DequantizeLinear": mxfp8_dequantize,
    "MatMul": matmul, "Gemm": gemm, "Cast": cast, "Constant": constant, "Concat": concat, "Where": where,
    "Identity": moved(lambda a, x: x),
    "Transpose": moved(lambda a, x: x.transpose(a.get("perm"))), "Reshape": moved(reshape), "Slice": moved(slice_),
    "Unsqueeze": moved(lambda a, x, axes: np.expand_dims(x, tuple(int(i) for i in axes))), "Squeeze": moved(squeeze),
    "Expand": moved(lambda a, x, s: np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(int(d) for d in s)))),
    "Gather": moved(lambda a, x, i: x.take(i.astype(np.int64), a.get("axis", 0))),
    "Add": rounding(lambda a, x, y: x + y), "Sub": rounding(lambda a, x, y: x - y), "Mul": rounding(lambda a, x, y: x * y),
    "Div": rounding(lambda a, x, y: x / y), "Pow": rounding(lambda a, x, y: x**y), "Sqrt": rounding(lambda a, x: np.sqrt(x)),
    "Tanh": rounding(lambda a, x: np.tanh(x)), "Erf": rounding(lambda a, x: erf(x)), "Neg": rounding(lambda a, x: -x),
    "Greater": rounding(lambda a, x, y: x > y), "TensorScatter": tensor_scatter, "Sigmoid": rounding(lambda a, x: 1 / (1 + np.exp(-x))), "Abs": rounding(lambda a, x: np.abs(x)),
    "Max": rounding(lambda a, x, y: np.maximum(x, y)), "Min": rounding(lambda a, x, y: np.minimum(x, y)),
    "Clip": rounding(lambda a, x, low=None, high=None: np.clip(x, low, high)), "Gelu": rounding(gelu),
    "Softmax": rounding(softmax), "LayerNormalization": rounding(layer_norm),
    "ReduceMean": rounding(reduce(np.mean)), "ReduceSum": rounding(reduce(np.sum)), "ReduceMax": rounding(reduce(np.max)),
    "ReduceL2": rounding(reduce(lambda x, axis, keepdims: np.sqrt((x * x).sum(axis, keepdims=keepdims)))),
}


def metrics(got, want):
    """cosine, relative Frobenius error, max-abs error of got against want."""
    got, want = np.asarray(got, np.float64).ravel(), np.asarray(want, np.float64).ravel()
    norm = np.linalg.norm(want)
    cosine = got @ want / max(np.linalg.norm(got) * norm, 1e-300)
    return dict(cosine=float(cosine), rel_frobenius=float(np.linalg.norm(got - want) / max(norm, 1e-300)),
                max_abs=float(np.abs(got - want).max()))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("--input", action="append", default=[], help="NAME=@FILE.npy")
    p.add_argument("--output", action="append", default=[], help="NAME=@FILE.npy (float64)")
    a = p.parse_args()
    split = lambda text: text.split("=@", 1)
    out = Evaluator(a.model).run({n: np.load(f) for n, f in map(split, a.input)})
    for name, file in map(split, a.output):
        np.save(file, out[name])


if __name__ == "__main__":
    main()
