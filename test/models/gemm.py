#!/usr/bin/env python3
# Writes one linear layer y = x W^T without bias, in any quantized spelling.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Example: gemm.py --format fp8 --m 976 --n 32768 --k 2048 --dtype f16 -o gemm.onnx --input x.npy"""
import argparse

from blocks import Writer
from data import Outliers, activations
from linears import FORMATS, Val, parse_format
from mlp import rename_output, save_input
from onnxfile import Graph


def write_gemm(path, fmt="fp8", m=64, n=256, k=512, dtype="f16", seed=1, external="auto", calib_rows=256):
    """Input "x" [1,M,K] and output "y" [1,M,N], or without the leading 1 for rank-2 spellings."""
    base, rank = parse_format(fmt)
    g = Graph(FORMATS[base][1])
    lead = [1] if rank == 3 else []
    g.input("x", dtype, lead + [m, k])
    x = Val("x", lambda: activations(seed, (m, k), Outliers(seed, k))[:calib_rows])
    w = Writer(g, fmt, dtype, seed)
    rename_output(g, w.linear(x, "/linear", n, k).name, "y")
    g.output("y", dtype, lead + [m, n])
    return g.save(path, external)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--format", default="fp8", help="as in mlp.py")
    for name, default in (("m", 64), ("n", 256), ("k", 512), ("seed", 1)):
        p.add_argument(f"--{name}", type=int, default=default)
    p.add_argument("--dtype", default="f16", choices=["f32", "f16", "bf16"])
    p.add_argument("-o", "--output", required=True)
    p.add_argument("--input", help="also write the input as .npy")
    a = p.parse_args()
    write_gemm(a.output, a.format, a.m, a.n, a.k, a.dtype, a.seed)
    if a.input:
        save_input(a.input, a.m, a.k, a.dtype, parse_format(a.format)[1], a.seed)


if __name__ == "__main__":
    main()
