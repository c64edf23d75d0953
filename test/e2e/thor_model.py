#!/usr/bin/env python3
# A stack of gated MLPs in every format, for sm_110a on the emulated GPU, against the f64 reference and the float32 model.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""thor_model.py [--build DIR] [--m 37 --k 256 --n 416] [--layers 18] [--formats NAME:DTYPE,..] [--work FOLDER]

The gated MLP by itself and a stack of them (norm, MLP, residual) with planted outliers, as Model Optimizer writes them. `nibble verify` runs
the engine launch by launch and as a whole. The output must be within 1e-3 of the f64 reference of the quantized graph (relative Frobenius).
A quantizer may decide a tie the other way, because f32 sums have another order; so the reference is evaluated with the codes that the device
made, too, and that is what the limit holds for. How many codes and block scales differ is printed, on the inputs that a launch had, and in the graph
with equal earlier codes, where roundings to f16 in between went another way, too: few, and each must be the neighbour. (One of them is enough to change
many codes of 18 layers.) The cosine against the float32 model must be that of the exact quantized
graph: what is lost is the format's. --layers 0 leaves the stack out. Exit 1 if a goal is missed."""
import argparse
import json
import sys
from pathlib import Path

from common import OK, Goals, Tools, build_argument, fresh, in_venv, written

in_venv()
from decoder import save_input as save_stack_input  # noqa: E402
from decoder import write_decoder  # noqa: E402
from mlp import save_input, write_mlp  # noqa: E402

TARGET, LIMIT = "sm_110a", 1e-3
# Least cosine against the float32 model on these inputs, whose outliers are 50 to 500 times as large as the rest: of 8 bits, of 4.
COSINE = {"dense": 0.9999, "fp8": 0.997, "mxfp8": 0.997, "mxfp4": 0.85}
LEAST_COSINE = 0.95
# Class of all products, and launches of the MLP: gate and up with what follows, down, and before them what quantizes the input (AWQ: scales it).
NATIVE = {"dense:f16": ("gemm.tcgen05.f16", 2), "dense:bf16": ("gemm.tcgen05.bf16", 2), "fp8:f16": ("gemm.tcgen05.f8f6f4", 3),
          "nvfp4:f16": ("gemm.tcgen05.mxf4nvf4", 3), "mxfp4:f16": ("gemm.tcgen05.mxf4", 3), "mxfp8:f16": ("gemm.tcgen05.mxf8f6f4", 3),
          "mxfp4-mxfp8:f16": ("gemm.tcgen05.mxf8f6f4", 3), "w4a8:f16": ("gemm.tcgen05.f16.expand", 3),
          "nvfp4-weight:f16": ("gemm.tcgen05.f16.expand", 2), "int4-awq:f16": ("gemm.tcgen05.f16.expand", 3)}


class Model:
    """An MLP, or a stack of them, with its float32 twin and input."""

    def __init__(self, a, name, layers):
        self.fmt, self.dtype = name.split(":")
        base, self.made = written(self.fmt)
        self.n = a.n + (-a.n % 128 if self.fmt == "int4-awq" else 0)  # whole groups
        self.layers, self.size = layers, f"{a.m}x{a.k}x{self.n}" + f", {layers} layers" * (layers > 0)
        self.name = f"{self.fmt} {self.dtype} {self.size}"
        stem = f"{self.size.replace(', ', '_').replace(' ', '')}"
        at = lambda prefix: Path(a.work) / f"{prefix}_{stem}"
        self.model = fresh(at(f"{self.fmt}_{self.dtype}").with_suffix(".onnx"), lambda p: self.write(a, p, base, self.dtype))
        self.twin = fresh(at("float32").with_suffix(".onnx"), lambda p: self.write(a, p, "dense", "f32"))
        self.x = fresh(at(f"x_{self.dtype}").with_suffix(".npy"), lambda p: self.write_input(a, p))
        self.engine = self.model.with_suffix(".nbl")

    def write(self, a, path, fmt, dtype):
        if not self.layers:
            return write_mlp(path, fmt, m=a.m, k=a.k, n=self.n, dtype=dtype, external="never")
        write_decoder(path, fmt, layers=self.layers, seq=a.m, width=a.k, mlp=self.n, dtype=dtype, attention=False, external="never")

    def write_input(self, a, path):
        if not self.layers:
            return save_input(path, a.m, a.k, self.dtype, rank=3)
        save_stack_input(path, a.m, a.k, self.dtype)


def check_report(model, tools, goals):
    """What explain says: each layer on its instruction, as few kernels as can be, no reformat, and what bounds it."""
    kernel, launches = NATIVE[f"{model.fmt}:{model.dtype}"]
    report = json.loads(tools.call("nibble", "explain", model.engine, "--json", expect=OK).stdout)
    products = [layer for layer in report["layers"] if layer["op"] == "gemm"]
    goals.check(f"{model.name}: products on another instruction", sum(layer["kernel"] != kernel for layer in products), 0)
    goals.check(f"{model.name}: reformats", report["totals"]["runtime_reformats"], 0)
    goals.check(f"{model.name}: layers without a bound", sum("bound" not in layer for layer in report["layers"]), 0)
    if not model.layers:
        goals.check(f"{model.name}: kernels", report["totals"]["kernels"], launches)
        goals.check(f"{model.name}: kernels with products", len(products), 2)


def check_flips(model, report, goals):
    for key, where in (("flips", "of a launch"), ("flips_of_graph", "of the graph")):
        total = lambda what: sum(layer[key][what] for layer in report["layers"] if key in layer)
        for what in ("codes", "scales"):
            goals.check(f"{model.name}: {what} decided otherwise, {where}, of {total(what)}", total(f"flipped_{what}"), max(1e-3 * total(what), 2))
            goals.check(f"{model.name}: {what} that are no neighbours", total(f"far_{what}"), 0)


def check(a, model, tools, goals):
    done = tools.call("nibble", "compile", model.model, "-o", model.engine, "--target", TARGET, *model.made, expect=OK)
    goals.check(f"{model.name}: warnings", done.stderr.count("warning"), 0)
    check_report(model, tools, goals)
    done = tools.call("nibble", "verify", model.engine, "--device", "emu", "--device-codes", "--json", "--input", f"x=@{model.x}",
                      "--baseline", model.twin, *model.made, timeout=3000)
    goals.check(f"{model.name}: nibble verify, exit code", done.returncode, 0)
    if not done.stdout.startswith("{"):
        return print(done.stderr[-3000:])
    report = json.loads(done.stdout)
    check_flips(model, report, goals)
    output = report["outputs"][0]
    goals.check(f"{model.name}: error to the reference", output["kernel_error"]["frobenius"])
    goals.check(f"{model.name}: the same on the device's codes", output["kernel_error_on_device_codes"]["frobenius"], LIMIT)
    cosine, exact = (output[what]["cosine"] for what in ("total_error", "format_error"))
    goals.check(f"{model.name}: cosine against float32", cosine, COSINE.get(model.fmt, LEAST_COSINE), at_least=True)
    goals.check(f"{model.name}: the exact graph's minus that", exact - cosine, 1e-3)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    for name, default in (("m", 37), ("k", 256), ("n", 416), ("layers", 18)):
        p.add_argument(f"--{name}", type=int, default=default)
    p.add_argument("--formats", default=",".join(NATIVE))
    p.add_argument("--work", default="build/thor_model")
    a = p.parse_args()
    Path(a.work).mkdir(parents=True, exist_ok=True)
    tools, goals = Tools(a.build), Goals()
    for name in a.formats.split(","):
        for layers in sorted({0, a.layers}):
            check(a, Model(a, name, layers), tools, goals)
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
