# Blocks of transformer graphs as torch's exporter writes them: gated MLP, RMSNorm, RoPE, attention, decoder layer.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np

from data import Outliers, generator, weight
from linears import Val, linear
from onnxfile import FLOATS


def gelu_tanh(x):
    return np.float32(0.5) * x * (1 + np.tanh(np.float32(0.7978845608) * (x + np.float32(0.044715) * x * x * x)))


def silu(x):
    return x / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


class Writer:
    """Options shared by the blocks of one model."""

    def __init__(self, g, fmt="dense", dtype="f32", seed=1, outliers=True, gelu="auto", act="gelu"):
        self.g, self.fmt, self.dtype, self.seed, self.outliers, self.act = g, fmt, dtype, seed, outliers, act
        self.gelu_op = g.opset >= 20 if gelu == "auto" else gelu == "op"

    def scalar(self, value, dims=()):
        return self.g.const(np.full(dims, value, FLOATS[self.dtype]), self.dtype)

    def channels(self, width):
        return Outliers(self.seed, width, enabled=self.outliers)

    def linear(self, x, scope, n, k, reads=None, writes=None, fmt=None, gain=1):
        w = weight(self.seed, scope, n, k, reads, writes) * np.float32(gain)
        return linear(self.g, x, scope, w, fmt or self.fmt, self.dtype)

    def binary(self, op, a, b, function):
        name = self.g.node(op, [a.name, b.name])
        return Val(name, (lambda: function(a.sample(), b.sample())) if a.sample and b.sample else None)

    def gelu(self, x):
        """Gelu(tanh): one node from opset 20 on, else the chain that the exporter writes."""
        g = self.g
        if self.gelu_op:
            return x.map(g.node("Gelu", [x.name], approximate="tanh"), gelu_tanh)
        mul = lambda a, b: g.node("Mul", [a, b])
        cube = mul(x.name, mul(x.name, x.name))
        inner = g.node("Add", [x.name, mul(self.scalar(0.044715, (1,)), cube)])
        tanh = g.node("Tanh", [mul(self.scalar(0.7978845608, (1,)), inner)])
        one = g.node("Add", [self.scalar(1, (1,)), tanh])
        return x.map(mul(self.scalar(0.5, (1,)), mul(x.name, one)), gelu_tanh)

    def silu(self, x):
        """x * sigmoid(x): two nodes, as torch's exporter writes it."""
        return x.map(self.g.node("Mul", [x.name, self.g.node("Sigmoid", [x.name])]), silu)

    def gated_mlp(self, x, scope, k, n, fmt=None, gain=1):
        """gain * down(act(gate(x)) * up(x)), act: gelu_tanh or silu; hidden channels have outliers, planted in `up`."""
        reads, hidden = self.channels(k), self.channels(n)
        gate = self.linear(x, f"{scope}/gate_proj", n, k, reads, fmt=fmt)
        self.g.scope = f"{scope}/act_fn"
        gate = self.silu(gate) if self.act == "silu" else self.gelu(gate)
        up = self.linear(x, f"{scope}/up_proj", n, k, reads, hidden, fmt=fmt)
        self.g.scope = scope
        h = self.binary("Mul", gate, up, lambda a, b: a * b)
        return self.linear(h, f"{scope}/down_proj", k, n, hidden, fmt=fmt, gain=gain)

    def rms_norm(self, x, scope, k, eps=1e-6):
        """Decomposed RMSNorm in float32: Cast, Pow, ReduceMean, Add, Sqrt, Div, Mul, Cast, and Mul by the gain."""
        gain = (1 + 0.2 * generator(self.seed, scope).standard_normal(k)).astype(np.float16)
        self.g.scope, g = scope, self.g
        h = x.name if self.dtype == "f32" else g.cast(x.name, "f32")
        f32 = lambda v: g.const(np.asarray(v, np.float32))
        axes = {"axes": [-1]} if g.opset < 18 else {}
        mean_in = [g.node("Pow", [h, f32(2)])] + ([] if axes else [g.const(np.asarray([-1], np.int64))])
        mean = g.node("ReduceMean", mean_in, keepdims=1, **axes)
        root = g.node("Sqrt", [g.node("Add", [mean, f32(eps)])])
        y = g.node("Mul", [h, g.node("Div", [f32(1), root])])
        y = y if self.dtype == "f32" else g.cast(y, self.dtype)
        name = g.init(scope.strip("/").replace("/", ".") + ".weight", gain.astype(FLOATS[self.dtype]), self.dtype)
        value = lambda v: v / np.sqrt((v * v).mean(-1, keepdims=True) + np.float32(eps)) * gain.astype(np.float32)
        return x.map(g.node("Mul", [name, y]), value)

    def add(self, a, b):
        return self.binary("Add", a, b, lambda p, q: p + q)


class Attention:
    """Grouped-query attention with rotate-half RoPE, as MatMul - Mul - Add - Softmax - MatMul. `codes`: letters of what is quantized to
    E4M3: q, k, v, weights p."""

    def __init__(self, writer, seq, heads, kv_heads, head_dim, causal=True, codes=""):
        self.w, self.seq, self.heads, self.kv, self.d, self.causal, self.codes = writer, seq, heads, kv_heads, head_dim, causal, codes
        inverse = 10000.0 ** (-np.arange(0, head_dim, 2) / head_dim)
        angles = np.arange(seq)[:, None] * np.concatenate([inverse, inverse])[None]
        self.cos, self.sin = np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)
        self.mask = np.triu(np.full((seq, seq), -60000 if writer.dtype == "f16" else -2.3819763e38, np.float32), 1)

    def split(self, x, heads):
        """[B,S,H*d] -> [B,H,S,d]."""
        g = self.w.g
        y = g.node("Reshape", [x.name, g.const(np.asarray([0, self.seq, heads, self.d], np.int64))])
        y = g.node("Transpose", [y], perm=[0, 2, 1, 3])
        return x.map(y, lambda v: v.reshape(-1, self.seq, heads, self.d).transpose(0, 2, 1, 3))

    def rotate(self, x, cos, sin):
        """x*cos + concat(-x[d/2:], x[:d/2])*sin."""
        g, half = self.w.g, self.d // 2
        i64 = lambda v: g.const(np.asarray([v], np.int64))
        low = g.node("Slice", [x.name, i64(0), i64(half), i64(3), i64(1)])
        high = g.node("Slice", [x.name, i64(half), i64(2**63 - 1), i64(3), i64(1)])
        turned = g.node("Concat", [g.node("Neg", [high]), low], axis=-1)
        y = g.node("Add", [g.node("Mul", [x.name, cos]), g.node("Mul", [turned, sin])])
        value = lambda v: v * self.cos + np.concatenate([-v[..., half:], v[..., :half]], -1) * self.sin
        return x.map(y, value)

    def repeat(self, x):
        """Key/value heads repeated for their query heads: Unsqueeze, Expand, Reshape."""
        if self.kv == self.heads:
            return x
        g, group = self.w.g, self.heads // self.kv
        i64 = lambda *v: g.const(np.asarray(v, np.int64))
        y = g.node("Unsqueeze", [x.name, i64(2)])
        y = g.node("Expand", [y, i64(1, self.kv, group, self.seq, self.d)])
        y = g.node("Reshape", [y, i64(1, self.heads, self.seq, self.d)])
        return x.map(y, lambda v: np.repeat(v, group, 1))

    def coded(self, x, letter):
        """Through QuantizeLinear and DequantizeLinear, if the letter says so; the sample stays as it is."""
        if letter not in self.codes:
            return x
        w, g = self.w, self.w.g
        scale = w.scalar(1 / 448 if letter == "p" else 1 / 32)
        code = g.node("QuantizeLinear", [x.name, scale, g.const(np.zeros((), np.uint8), "e4m3")], saturate=1)
        return x.map(g.node("DequantizeLinear", [code, scale]), lambda v: v)

    def put(self, rows, scope, part):
        """Called with the rows of keys and values: a place to keep them. Returns what to attend to."""
        return rows

    def write(self, x, scope, width, reads):
        w, g = self.w, self.w.g
        project = lambda name, heads: w.linear(x, f"{scope}/{name}", heads * self.d, width, reads)
        q, k, v = project("q_proj", self.heads), project("k_proj", self.kv), project("v_proj", self.kv)
        g.scope = scope
        cos, sin = (g.const(t.astype(FLOATS[w.dtype]), w.dtype) for t in (self.cos, self.sin))
        q = self.rotate(self.split(q, self.heads), cos, sin)
        k, v = self.put(self.rotate(self.split(k, self.kv), cos, sin), scope, "key"), self.put(self.split(v, self.kv), scope, "value")
        q, k, v = self.coded(q, "q"), self.coded(k, "k"), self.coded(v, "v")
        k, v = self.repeat(k), self.repeat(v)
        k_t = k.map(g.node("Transpose", [k.name], perm=[0, 1, 3, 2]), lambda t: t.swapaxes(-1, -2))
        scores = w.binary("MatMul", q, k_t, np.matmul)
        scale = np.float32(self.d**-0.5)
        scores = scores.map(g.node("Mul", [scores.name, w.scalar(scale)]), lambda t: t * scale)
        if self.causal:
            mask = g.const(self.mask.astype(FLOATS[w.dtype])[None, None], w.dtype)
            scores = scores.map(g.node("Add", [scores.name, mask]), lambda t: t + self.mask)
        p = scores.name if w.dtype == "f32" else g.cast(scores.name, "f32")
        p = g.node("Softmax", [p], axis=-1)
        p = self.coded(scores.map(p if w.dtype == "f32" else g.cast(p, w.dtype), softmax), "p")
        y = w.binary("MatMul", p, v, np.matmul)
        merged = g.node("Reshape", [g.node("Transpose", [y.name], perm=[0, 2, 1, 3]),
                                    g.const(np.asarray([0, self.seq, self.heads * self.d], np.int64))])
        y = y.map(merged, lambda t: t.transpose(0, 2, 1, 3).reshape(1, self.seq, -1))
        return w.linear(y, f"{scope}/o_proj", width, self.heads * self.d)
