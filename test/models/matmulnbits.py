#!/usr/bin/env python3
# Writes the gated MLP with ONNX Runtime's 4-bit MatMulNBits operator: the peer of a 4-bit weight-only engine.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import argparse

import numpy as np

from data import Outliers, weight
from onnxfile import Graph


def nbits(w, block):
    """Symmetric 4-bit blocks with the fixed zero point 8: packed [N, K/block, block/2] and float32 scales [N, K/block]."""
    n, k = w.shape
    x = w.reshape(n, k // block, block)
    s = np.abs(x).max(-1) / np.float32(7)
    s[s == 0] = 1
    q = (np.clip(np.rint(x / s[..., None]), -8, 7) + 8).astype(np.uint8)
    return q[..., 0::2] | (q[..., 1::2] << 4), s


def write_matmulnbits(path, m, k, n, block=32, accuracy=4, seed=1, outliers=True, scope="/mlp"):
    """Input "x" and output "y" are float32 [1,M,K]; the weights are those of mlp.py. accuracy: 0 = float32, 4 = int8."""
    g = Graph(20)
    g.domain("com.microsoft", 1)
    reads, hidden = (Outliers(seed, width, enabled=outliers) for width in (k, n))

    def linear(x, name, rows, columns, *planted):
        packed, scales = nbits(weight(seed, f"{scope}/{name}", rows, columns, *planted), block)
        inputs = [x, g.init(f"{name}.weight_Q4", packed), g.init(f"{name}.weight_scales", scales)]
        return g.node("MatMulNBits", inputs, name=f"{scope}/{name}/MatMul_Q4", domain="com.microsoft", K=columns, N=rows, bits=4,
                      block_size=block, accuracy_level=accuracy)

    g.input("x", "f32", [1, m, k])
    gate = g.node("Gelu", [linear("x", "gate_proj", n, k, reads)], approximate="tanh")
    h = g.node("Mul", [gate, linear("x", "up_proj", n, k, reads, hidden)])
    y = linear(h, "down_proj", k, n, hidden)
    g.graph.node[-1].output[0] = "y"
    del y
    g.output("y", "f32", [1, m, k])
    return g.save(path)


def main():
    p = argparse.ArgumentParser()
    for name, default in (("m", 1), ("k", 2048), ("n", 16384), ("block", 32), ("accuracy", 4), ("seed", 1)):
        p.add_argument(f"--{name}", type=int, default=default)
    p.add_argument("-o", "--output", required=True)
    a = p.parse_args()
    write_matmulnbits(a.output, a.m, a.k, a.n, a.block, a.accuracy, a.seed)


if __name__ == "__main__":
    main()
