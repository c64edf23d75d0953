#!/usr/bin/env python3
# The main job: an NVFP4 gated MLP from an ONNX file to verified numbers on the CPU.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""mlp.py [--build DIR] [--format nvfp4] [--m 970 --k 2048 --n 16384] [--work FOLDER]

Writes the model with planted outlier channels and its float32 twin, compiles it, runs it, lets `nibble verify` compare the
engine with the float64 reference, and prints the cosine against the float32 model (computed by ONNX Runtime).
--numpy also compares with the independent numpy reference of test/models. Exit 1 if a goal is missed."""
import argparse
import json
import sys
from pathlib import Path

from common import ROOT, Goals, Tools, build_argument, fresh, in_venv, sanitizer

in_venv()
import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402

from linears import parse_format  # noqa: E402  (test/models; `mlp` below is the model writer, not this file)
from mlp import save_input, write_mlp  # noqa: E402
from reference import Evaluator, metrics  # noqa: E402

# Whole-network limits, relative Frobenius: a value that is rounded the other way (f16) can flip an FP4 code of the next layer.
LIMIT = dict(f32=1e-3, f16=5e-3, bf16=2e-2)


class Job:
    """Paths of one size, format and type."""

    def __init__(self, a):
        self.a, self.rank = a, parse_format(a.format)[1]
        stem = f"mlp_{a.format}_{a.dtype}_{a.m}x{a.k}x{a.n}_s{a.seed}"
        at = lambda name: Path(a.work) / name
        self.model, self.engine, self.y = at(stem + ".onnx"), at(stem + ".nbl"), at(stem + "_y.npy")
        self.x, self.x32 = at(stem + "_x.npy"), None
        self.twin = at(f"mlp_f32_{a.m}x{a.k}x{a.n}_r{self.rank}_s{a.seed}.onnx")

    def write(self):
        a, size = self.a, dict(m=self.a.m, k=self.a.k, n=self.a.n, seed=self.a.seed)
        fresh(self.model, lambda p: write_mlp(p, a.format, dtype=a.dtype, external="never", **size))
        fresh(self.twin, lambda p: write_mlp(p, "dense" if self.rank == 3 else "dense-gemm", dtype="f32", external="never", **size))
        fresh(self.x, lambda p: save_input(p, a.m, a.k, a.dtype, self.rank, a.seed))

    def float32(self):
        """Output of the float32 twin on the same input."""
        x = np.load(self.x)
        x = x.view(ml_dtypes.bfloat16) if self.a.dtype == "bf16" else x
        options = ort.SessionOptions()
        options.intra_op_num_threads = 2
        return ort.InferenceSession(str(self.twin), options).run(None, {"x": x.astype(np.float32)})[0]

    def output(self):
        y = np.load(self.y)
        return y.view(ml_dtypes.bfloat16) if self.a.dtype == "bf16" else y


def run(job, tools, goals):
    file = job.model.stat().st_size / 2**20
    print(f"model {job.model.name}: {file:.0f} MiB, float32 twin {job.twin.stat().st_size / 2**20:.0f} MiB")
    _, seconds, peak = tools.measured("nibble", "compile", job.model, "-o", job.engine, "--target", "cpu")
    goals.check("compile, seconds", seconds, 60 if job.a.timing else None)
    # Red zones and quarantines are not ours.
    goals.check("compile, peak memory, MiB", peak, None if sanitizer(job.a.build) else 2 * file + 300)
    io = ["--input", f"x=@{job.x}", "--output", f"y=@{job.y}"]
    _, seconds, peak = tools.measured("nibble-run", "run", job.engine, *io)
    goals.check("run (process), seconds", seconds)
    goals.check("run, peak memory, MiB", peak)


def verify(job, tools, goals):
    """Kernel error of every layer before its output rounding, format error against the float32 twin."""
    out, seconds, _ = tools.measured("nibble", "verify", job.model, "--reference", "f64", "--input", f"x=@{job.x}",
                                     "--baseline", job.twin, "--json")
    report = json.loads(out)
    print(f"{'layer':54} {'kernel':12} {'kernel error':>12} {'format cosine':>13}")
    for layer in report["layers"]:
        cosine = layer.get("format_error", {}).get("cosine")
        print(f"{layer['name'][-54:]:54} {layer['op']:12} {layer['kernel_error']['frobenius']:12.2e} "
              + (f"{cosine:13.6f}" if cosine is not None else f"{'-':>13}"))
    worst = max(l["kernel_error"]["frobenius"] for l in report["layers"] if l["op"] == "matmul")
    goals.check("worst matmul error before output rounding", worst, 1e-5)
    for output in report["outputs"]:
        goals.check("whole kernel error (flipped codes included)", output["kernel_error"]["frobenius"])
        goals.check("format cosine (exact quantized graph, float32)", output["format_error"]["cosine"])
    goals.check("verify: three reference evaluations, seconds", seconds, 120 if job.a.timing else None)


def compare(job, tools, goals):
    a, want = job.a, job.float32()
    m = metrics(job.output().astype(np.float64), want)
    goals.check("cosine against the float32 model", m["cosine"], a.cosine, at_least=True)
    goals.check("relative Frobenius error against float32", m["rel_frobenius"])
    if not a.no_verify:
        verify(job, tools, goals)
    if a.numpy:
        reference = Evaluator(job.model).run({"x": np.load(job.x)})["y"]
        m = metrics(job.output().astype(np.float64), reference)
        goals.check("relative error against the numpy reference", m["rel_frobenius"], LIMIT[a.dtype])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--format", default="nvfp4")
    p.add_argument("--dtype", default="f16", choices=["f32", "f16", "bf16"])
    for name, default in (("m", 970), ("k", 2048), ("n", 16384), ("seed", 1)):
        p.add_argument(f"--{name}", type=int, default=default)
    p.add_argument("--work", default=str(ROOT / "build" / "e2e"))
    p.add_argument("--cosine", type=float, default=0.9, help="least cosine against float32")
    p.add_argument("--no-verify", action="store_true")
    p.add_argument("--timing", action="store_true", help="judge times, too")
    p.add_argument("--numpy", action="store_true", help="also compare with the numpy reference")
    a = p.parse_args()
    job, tools, goals = Job(a), Tools(a.build), Goals()
    job.write()
    run(job, tools, goals)
    compare(job, tools, goals)
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
