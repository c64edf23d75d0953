#!/usr/bin/env python3
# Writes the two models of a control loop: encode (a prompt of many tokens) and act (one step), which share weights and KV cache.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""policy.py --format dense --layers 2 --tokens 24 --length 32 --width 128 -o FOLDER

FOLDER/encode.onnx: x [1,tokens,width] -> y, and the rows 0 to tokens - 1 of past_key_values.N.key and .value
[1,kv-heads,length,head-dim]. FOLDER/act.onnx: the decoding step of step.py with the same weights. One engine of both:

  nibble compile encode.onnx --entry act=act.onnx --state 'past_key_values.*=present.*' -o policy.nbl

--counted: the models count, too: encode's next_position is `tokens`, act's position + 1. With --state position=next_position
the position stays on the device, and any number of steps needs nothing from the host."""
import argparse
from pathlib import Path

import numpy as np

from blocks import Attention, Writer
from decoder import branch, sample_input
from linears import FORMATS, Val, parse_format
from mlp import rename_output
from onnxfile import Graph
from step import write_step

SIZES = dict(layers=2, length=32, width=128, mlp=256, heads=4, kv_heads=2, head_dim=32)


class EncodingAttention(Attention):
    """Causal attention over the tokens, which leaves their keys and values in the first slots of a cache."""

    def put(self, rows, scope, part):
        g, name = self.w.g, f"{scope.split('/')[1].split('.')[1]}.{part}"
        first = g.const(np.zeros(1, np.int64))
        cache = g.node("TensorScatter", [f"past_key_values.{name}", rows.name, first], axis=2)
        g.node("Identity", [cache], outputs=[f"present.{name}"])
        return rows


def write_encode(path, fmt, tokens, dtype, seed, counted, layers, length, width, mlp, heads, kv_heads, head_dim):
    g = Graph(max(24, FORMATS[parse_format(fmt)[0]][1]), ir=11)
    g.input("x", dtype, [1, tokens, width])
    caches = [f"{i}.{part}" for i in range(layers) for part in ("key", "value")]
    for name in caches:
        g.input(f"past_key_values.{name}", dtype, [1, kv_heads, length, head_dim])
    w = Writer(g, fmt, dtype, seed)
    x = Val("x", lambda: sample_input(tokens, width, seed))
    attend = EncodingAttention(w, tokens, heads, kv_heads, head_dim)
    for i in range(layers):
        at = f"/layers.{i}"
        x = branch(w, x, at + "/input_layernorm", width, True, lambda h: attend.write(h, at + "/self_attn", width, w.channels(width)))
        x = branch(w, x, at + "/post_attention_layernorm", width, True, lambda h: w.gated_mlp(h, at + "/mlp", width, mlp))
    rename_output(g, x.name, "y")
    g.output("y", dtype, [1, tokens, width])
    for name in caches:
        g.output(f"present.{name}", dtype, [1, kv_heads, length, head_dim])
    if counted:
        g.input("position", "i64", [1])
        g.node("Identity", [g.const(np.array([tokens], np.int64))], outputs=["next_position"])
        g.output("next_position", "i64", [1])
    return g.save(path)


def write_policy(folder, fmt="dense", tokens=24, dtype="f16", seed=1, counted=False, **sizes):
    sizes = SIZES | sizes
    write_encode(Path(folder) / "encode.onnx", fmt, tokens, dtype, seed, counted, **sizes)
    write_step(Path(folder) / "act.onnx", fmt, dtype=dtype, seed=seed, counted=counted, **sizes)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--format", default="dense", help="as in mlp.py, rank-3 forms")
    p.add_argument("--dtype", default="f16", choices=["f32", "f16", "bf16"])
    p.add_argument("--tokens", type=int, default=24)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--counted", action="store_true", help="with next_position")
    for name, default in SIZES.items():
        p.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    p.add_argument("-o", "--output", required=True)
    a = p.parse_args()
    Path(a.output).mkdir(parents=True, exist_ok=True)
    write_policy(a.output, a.format, a.tokens, a.dtype, a.seed, a.counted, **{name: getattr(a, name) for name in SIZES})


if __name__ == "__main__":
    main()
