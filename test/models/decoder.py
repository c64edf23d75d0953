#!/usr/bin/env python3
# Writes Gemma-style decoder layers: RMSNorm, RoPE, grouped-query attention, GeGLU MLP, residuals; in any quantized spelling.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""decoder.py --format nvfp4 --layers 2 --seq 64 --width 512 --mlp 2048 --heads 8 --kv-heads 1 --head-dim 64 -o d.onnx
--no-attention leaves a stack of RMSNorm, gated MLP and residual (see also stack.py)."""
import argparse

import numpy as np

from blocks import Attention, Writer
from data import Outliers, activations
from linears import FORMATS, Val, parse_format
from mlp import rename_output
from onnxfile import FLOATS, Graph


def sample_input(seq, width, seed, outliers=True):
    return activations(seed, (1, seq, width), Outliers(seed, width, enabled=outliers))


def write_decoder(path, fmt="nvfp4", layers=1, seq=64, width=512, mlp=2048, heads=8, kv_heads=1, head_dim=64, dtype="f16", seed=1,
                  attention=True, norm=True, causal=True, opset=None, external="auto", outliers=True, codes=""):
    """Input "x" and output "y": [1,seq,width]. `codes`: letters of what attention has in E4M3: q, k, v, weights p. `norm` off: plain y = x + mlp(x) / 64 (/ 8 without outliers), as products of
    gate and up of values that no norm bounds would grow from layer to layer until they overflow."""
    base, rank = parse_format(fmt)
    if rank == 2:
        raise SystemExit("decoder layers have rank-3 activations; use a format without -gemm")
    g = Graph(opset or FORMATS[base][1])
    g.input("x", dtype, [1, seq, width])
    w = Writer(g, fmt, dtype, seed, outliers)
    gain = 1 if norm else 1 / 64 if outliers else 1 / 8
    x = Val("x", lambda: sample_input(seq, width, seed, outliers))
    attend = Attention(w, seq, heads, kv_heads, head_dim, causal, codes) if attention else None
    for i in range(layers):
        at = f"/layers.{i}"
        if attend:
            x = branch(w, x, at + "/input_layernorm", width, norm, lambda h: attend.write(h, at + "/self_attn", width, w.channels(width)))
        x = branch(w, x, at + "/post_attention_layernorm", width, norm, lambda h: w.gated_mlp(h, at + "/mlp", width, mlp, gain=gain))
    rename_output(g, x.name, "y")
    g.output("y", dtype, [1, seq, width])
    return g.save(path, external)


def branch(w, x, scope, width, norm, body):
    """x + body(norm(x))."""
    h = body(w.rms_norm(x, scope, width) if norm else x)
    w.g.scope = scope.rsplit("/", 1)[0]
    return w.add(x, h)


def save_input(path, seq, width, dtype, seed=1):
    x = sample_input(seq, width, seed).astype(FLOATS[dtype])
    np.save(path, x.view(np.uint16) if dtype == "bf16" else x)


def main(attention=True):
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--format", default="nvfp4", help="as in mlp.py, rank-3 forms")
    p.add_argument("--dtype", default="f16", choices=["f32", "f16", "bf16"])
    for name, default in (("layers", 1), ("seq", 64), ("width", 512), ("mlp", 2048), ("heads", 8), ("kv-heads", 1), ("head-dim", 64), ("seed", 1)):
        p.add_argument(f"--{name}", type=int, default=default)
    p.add_argument("--no-attention", dest="attention", action="store_false", default=attention)
    p.add_argument("--not-causal", dest="causal", action="store_false")
    p.add_argument("--codes", default="", help="what attention has in E4M3: letters of q, k, v, p (weights)")
    p.add_argument("--opset", type=int)
    p.add_argument("-o", "--output", required=True)
    p.add_argument("--fp32-twin")
    p.add_argument("--input", help="also write the input as .npy")
    a = p.parse_args()
    size = dict(layers=a.layers, seq=a.seq, width=a.width, mlp=a.mlp, heads=a.heads, kv_heads=a.kv_heads, head_dim=a.head_dim, seed=a.seed,
                attention=a.attention, causal=a.causal, codes=a.codes)
    write_decoder(a.output, a.format, dtype=a.dtype, opset=a.opset, **size)
    if a.fp32_twin:
        write_decoder(a.fp32_twin, "dense", dtype="f32", **size)
    if a.input:
        save_input(a.input, a.seq, a.width, a.dtype, a.seed)


if __name__ == "__main__":
    main()
