# Attention by itself, on inputs [1, heads, positions, size]: as the operators that exporters write, or as ORT's own one.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import numpy as np

from onnxfile import FLOATS, Graph


# Of inputs of a normal distribution, and of weights, E4M3 takes 448 of these.
SCALES = dict(q=0.011, k=0.012, v=0.013, p=1 / 448, y=0.01)


def write_attention(path, heads, queries, keys, size, dtype="f32", kv_heads=None, fused=False, codes="", casts=False):
    """y [1, queries, heads * size]. `fused`: com.microsoft.MultiHeadAttention, whose q, k and v are [1, positions, heads * size].
    `codes`: letters of what is quantized to E4M3 (q, k, v, weights p, y), as Model Optimizer writes it; not if fused.
    `casts`: products in f32 between casts, and queries that are scaled before they are quantized, as it writes diffusers."""
    kv_heads = kv_heads or heads
    g = Graph(opset=20)
    shape = lambda n, count: [1, n, count * size] if fused else [1, count, n, size]
    q = g.input("q", dtype, shape(queries, heads))
    k, v = (g.input(name, dtype, shape(keys, kv_heads)) for name in "kv")
    if fused:
        g.domain("com.microsoft", 1)
        g.node("MultiHeadAttention", [q, k, v], domain="com.microsoft", outputs=["y"], num_heads=heads)
    else:
        i64 = lambda *values: g.const(np.asarray(values, np.int64))

        def coded(x, letter):
            if letter not in codes:
                return x
            scale = g.const(np.asarray(SCALES[letter], FLOATS[dtype]), dtype)
            code = g.node("QuantizeLinear", [x, scale, g.const(np.zeros((), np.uint8), "e4m3")], saturate=1)
            return g.node("DequantizeLinear", [code, scale])

        factor = g.const(np.asarray(size**-0.5, FLOATS[dtype]), dtype)
        wide = lambda x: g.cast(x, "f32") if casts else x
        narrow = lambda x: g.cast(x, dtype) if casts else x
        if casts:
            q = g.node("Mul", [q, factor])
        q, k, v = wide(coded(q, "q")), wide(coded(k, "k")), wide(coded(v, "v"))
        if kv_heads != heads:
            group = heads // kv_heads
            spread = lambda x: g.node("Reshape", [g.node("Expand", [g.node("Unsqueeze", [x, i64(2)]), i64(1, kv_heads, group, keys, size)]),
                                                  i64(1, heads, keys, size)])
            k, v = spread(k), spread(v)
        scores = narrow(g.node("MatMul", [q, g.node("Transpose", [k], perm=[0, 1, 3, 2])]))
        if not casts:
            scores = g.node("Mul", [scores, factor])
        y = narrow(g.node("MatMul", [wide(coded(g.node("Softmax", [scores], axis=-1), "p")), v]))
        y = g.node("Transpose", [y], perm=[0, 2, 1, 3])
        y = coded(g.node("Reshape", [y, i64(1, queries, heads * size)]), "y")
        g.node("Identity", [y], outputs=["y"])
    g.output("y", dtype, [1, queries, heads * size])
    g.save(path)
