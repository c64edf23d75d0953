#!/usr/bin/env python3
# Writes a gated MLP y = down(act(x Wg) * (x Wu)), act: gelu_tanh or silu, in any quantized spelling, with its float32 twin.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Example: mlp.py --format nvfp4 --m 970 --k 2048 --n 16384 --dtype f16 -o mlp.onnx --fp32-twin mlp_fp32.onnx --input x.npy"""
import argparse

import numpy as np

from blocks import Writer
from data import Outliers, activations
from linears import FORMATS, Val, parse_format
from onnxfile import FLOATS, Graph


def sample_input(m, k, seed=1, outliers=True):
    """The input [M,K] float32 (float16 values) that also serves as the calibration sample."""
    return activations(seed, (m, k), Outliers(seed, k, enabled=outliers))


def write_mlp(path, fmt="nvfp4", m=970, k=2048, n=16384, dtype="f16", seed=1, outliers=True, opset=None, gelu="auto",
              symbolic=False, layers=0, external="auto", calib_rows=1024, scope="/mlp", act="gelu"):
    """Writes one model; input "x" and output "y" have shape [1,M,K] (rank-3 spellings) or [M,K]."""
    base, rank = parse_format(fmt)
    g = Graph(opset or FORMATS[base][1])
    rows = "seq" if symbolic else m
    dims = [1, rows, k] if rank == 3 else [rows, k]
    g.input("x", dtype, dims)
    x = Val("x", lambda: sample_input(m, k, seed, outliers)[:calib_rows])
    w = Writer(g, fmt, dtype, seed, outliers, gelu, act)
    y = w.gated_mlp(x, scope, k, n)
    rename_output(g, y.name, "y")
    g.output("y", dtype, dims)
    return g.save(path, external)


def rename_output(g, old, new):
    """The graph's result takes the name of the model's output, as exporters do."""
    node = next(n for n in g.graph.node if old in n.output)
    node.output[list(node.output).index(old)] = new


def save_input(path, m, k, dtype, rank, seed=1, outliers=True):
    x = sample_input(m, k, seed, outliers).astype(FLOATS[dtype])
    x = x.view(np.uint16) if dtype == "bf16" else x
    np.save(path, x[None] if rank == 3 else x)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                epilog="formats:\n" + "\n".join(f"  {n:14} {d}" for n, (_, _, d) in FORMATS.items()))
    p.add_argument("--format", default="nvfp4", help="one of the formats below; append -gemm for the rank-2 form")
    p.add_argument("--m", type=int, default=970)
    p.add_argument("--k", type=int, default=2048)
    p.add_argument("--n", type=int, default=16384)
    p.add_argument("--dtype", default="f16", choices=["f32", "f16", "bf16"], help="type of activations")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--opset", type=int, help="default: what the exporter of the format writes")
    p.add_argument("--gelu", default="auto", choices=["auto", "op", "chain"])
    p.add_argument("--act", default="gelu", choices=["gelu", "silu"])
    p.add_argument("--no-outliers", action="store_true", help="plain Gaussian data")
    p.add_argument("--symbolic", action="store_true", help="rows are the symbolic dimension 'seq'")
    p.add_argument("--external", default="auto", choices=["auto", "always", "never"])
    p.add_argument("--calib-rows", type=int, default=1024, help="rows of the input used for calibration")
    p.add_argument("-o", "--output", required=True)
    p.add_argument("--fp32-twin", help="also write the same network in float32")
    p.add_argument("--input", help="also write the input as .npy")
    return p.parse_args()


def main():
    a = arguments()
    rank = parse_format(a.format)[1]
    options = dict(m=a.m, k=a.k, n=a.n, seed=a.seed, outliers=not a.no_outliers, symbolic=a.symbolic, external=a.external, act=a.act)
    write_mlp(a.output, a.format, dtype=a.dtype, opset=a.opset, gelu=a.gelu, calib_rows=a.calib_rows, **options)
    if a.fp32_twin:
        write_mlp(a.fp32_twin, "dense" if rank == 3 else "dense-gemm", dtype="f32", **options)
    if a.input:
        save_input(a.input, a.m, a.k, a.dtype, rank, a.seed, not a.no_outliers)


if __name__ == "__main__":
    main()
