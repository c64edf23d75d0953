#!/usr/bin/env python3
# Whole models for sm_110a on the emulated GPU: every launch against the f64 reference, outputs against the CPU's.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""thor.py [--build DIR] [--work FOLDER] [--target sm_110a|sm_100a] [--only NAME,..]

Gated MLPs at sizes that tiles do not divide, and a decoder layer, in the formats that tcgen05 multiplies. `nibble verify` runs the engine
launch by launch on the emulated GPU and compares each with its exact value; the whole run must agree with the CPU engine. Exit 1 if
anything is wrong."""
import argparse
import json
import sys
from pathlib import Path

from common import OK, Goals, Tools, build_argument, in_venv

in_venv()
import numpy as np  # noqa: E402

from decoder import write_decoder  # noqa: E402  (test/models)
from mlp import write_mlp  # noqa: E402

# Format of a gated MLP, type of its activations, the class of its products, greatest relative error to the CPU's output.
FORMATS = [("dense", "f16", "gemm.tcgen05.f16", 1e-3), ("dense", "bf16", "gemm.tcgen05.bf16", 1e-2),
           ("fp8", "f16", "gemm.tcgen05.f8f6f4", 1e-2), ("nvfp4", "f16", "gemm.tcgen05.mxf4nvf4", 2e-2),
           ("mxfp8", "f16", "gemm.tcgen05.mxf8f6f4", 1e-2), ("mxfp4-mxfp8", "f16", "gemm.tcgen05.mxf8f6f4", 1e-2),
           ("nvfp4-weight", "f16", "gemm.tcgen05.f16.expand", 1e-3), ("nvfp4-weight", "bf16", "gemm.tcgen05.bf16.expand", 1e-2),
           ("w4a8", "f16", "gemm.tcgen05.f16.expand", 2e-2), ("fp8-weight", "f16", "gemm.tcgen05.f16.expand", 1e-3),
           ("onnx24-mxfp4", "bf16", "gemm.tcgen05.bf16.expand", 1e-2)]


def run(tools, engine, device, file):
    tools.call("nibble-run", "run", engine, "--device", device, "--input", "x=normal:seed=3", "--output", f"y=@{file}", expect=OK)
    array = np.load(file)
    if array.dtype.itemsize == 2 and array.dtype != np.float16:  # bits of bf16
        array = (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float64)


def compare(a, tools, goals, name, model, products, kernel, tolerance):
    """One model: what multiplies, each launch, and the output."""
    gpu, cpu = model.with_suffix(".nbl"), model.with_suffix(".cpu.nbl")
    done = tools.call("nibble", "compile", model, "-o", gpu, "--target", a.target, expect=OK)
    goals.check(f"{name}: products on FMA units", done.stderr.count("runs on FMA units"), 0)
    tools.compile(model, cpu, expect=OK)
    report = json.loads(tools.call("nibble", "explain", gpu, "--json", expect=OK).stdout)
    on_tensor_cores = [layer for layer in report["layers"] if layer["kernel"] == kernel]
    goals.check(f"{name}: {kernel}", len(on_tensor_cores), products, at_least=True)
    done = tools.call("nibble", "verify", gpu, "--device", "emu", "--layers-only", "--input", "x=outliers:seed=5")
    goals.check(f"{name}: nibble verify, exit code", done.returncode, 0)
    if done.returncode:
        print(done.stdout[-3000:], done.stderr[-3000:])
    mine, theirs = run(tools, gpu, "emu", Path(a.work) / "y.npy"), run(tools, cpu, "cpu", Path(a.work) / "y.npy")
    goals.check(f"{name}: relative error to the CPU", np.linalg.norm(mine - theirs) / np.linalg.norm(theirs), tolerance)


def mlps(a, tools, goals):
    for fmt, dtype, kernel, tolerance in FORMATS:
        for m in (1, 7, 50, 129) if fmt in ("nvfp4", "w4a8") else (7, 129):
            model = Path(a.work) / f"{fmt}_{dtype}_{m}.onnx"
            write_mlp(model, fmt, m=m, k=384, n=640, dtype=dtype)
            compare(a, tools, goals, f"MLP {fmt} {dtype}, {m} rows", model, 2, kernel, tolerance)


def decoders(a, tools, goals):
    for fmt, dtype, kernel, tolerance in FORMATS:
        model = Path(a.work) / f"decoder_{fmt}_{dtype}.onnx"
        write_decoder(model, fmt, dtype=dtype, layers=1, seq=37, width=128, mlp=256, heads=4, kv_heads=2, head_dim=32)
        compare(a, tools, goals, f"decoder layer {fmt} {dtype}", model, 3, kernel, tolerance)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(parser)
    parser.add_argument("--work", default="build/thor")
    parser.add_argument("--target", default="sm_110a")
    parser.add_argument("--only", default="mlps,decoders")
    a = parser.parse_args()
    Path(a.work).mkdir(parents=True, exist_ok=True)
    tools, goals = Tools(a.build), Goals()
    for part in a.only.split(","):
        {"mlps": mlps, "decoders": decoders}[part](a, tools, goals)
    sys.exit(0 if goals.met else 1)


if __name__ == "__main__":
    main()
