#!/usr/bin/env python3
# Counts fusion regions, reformats and predicted bytes of the models that matter, against counts made by hand.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""regions.py [--build DIR] [--m 970 --k 512 --n 1024] [--layers 3] [--work FOLDER]

A gated MLP must be two regions and the quantizer of its input; every byte it moves is one that any program must move
(weights, input, hidden tensor and output once), within 2 %. The Gemma decoder layer, MiniLM and the SigLIP layer print
their counts beside a hand-drawn minimum; what is more is listed. Exit 1 if a goal is missed."""
import argparse
import collections
import json
import sys
import time
from pathlib import Path

from common import OK, ROOT, Goals, Tools, build_argument, fresh, in_venv

in_venv()
from decoder import write_decoder  # noqa: E402
from minilm import write_minilm  # noqa: E402
from mlp import write_mlp  # noqa: E402

TARGETS = ("sm_110a", "sm_90a", "cpu")


def explain(tools, model, target, *options):
    done = tools.call("nibble", "explain", model, "--target", target, "--json", *options, expect=OK)
    return json.loads(done.stdout)


def kernels(report):
    return collections.Counter(layer["op"] for layer in report["layers"])


def stored(fmt, rows, k):
    """Bytes of a [rows, k] operand: codes, block scales, global scale."""
    if fmt == "nvfp4":
        return rows * k // 2 + rows * k // 16 + 4
    return rows * k + 2  # fp8 with one f16 scale


def compulsory(fmt, m, k, n):
    weights = 2 * stored(fmt, n, k) + stored(fmt, k, n)
    x = 2 * m * k + stored(fmt, m, k) * 2  # read in f16, written and read as codes
    hidden = stored(fmt, m, n) * 2         # written and read
    return weights + x + hidden + 2 * m * k


def check_mlp(a, tools, goals):
    for fmt in ("nvfp4", "fp8"):
        model = Path(a.work) / f"regions_mlp_{fmt}_{a.m}x{a.k}x{a.n}.onnx"
        fresh(model, lambda p: write_mlp(p, fmt, m=a.m, k=a.k, n=a.n, external="never"))
        for target in TARGETS:
            report = explain(tools, model, target)
            totals, count = report["totals"], kernels(report)
            name = f"MLP {fmt} {target}"
            goals.check(f"{name}: regions", count["gemm"], 2)
            goals.check(f"{name}: standalone quantizers", count["quantize"], 1)
            goals.check(f"{name}: kernels", totals["kernels"], 3)
            goals.check(f"{name}: reformats at run time", totals["runtime_reformats"], 0)
            ratio = totals["predicted_bytes"] / compulsory(fmt, a.m, a.k, a.n)
            goals.check(f"{name}: predicted / compulsory bytes", ratio, 1.02)
            goals.check(f"{name}: predicted / compulsory bytes", ratio, 0.98, at_least=True)


def check_stack(a, tools, goals):
    """Plain y = x + mlp(x), as often as --layers says."""
    seconds = {}
    for layers in (1, a.layers):
        model = Path(a.work) / f"regions_stack_{layers}_{a.m}x{a.k}x{a.n}.onnx"
        fresh(model, lambda p: write_decoder(p, "nvfp4", layers=layers, seq=a.m, width=a.k, mlp=a.n, attention=False, norm=False,
                                             external="never"))
        for target in TARGETS:
            start = time.perf_counter()
            report = explain(tools, model, target)
            seconds[layers, target] = time.perf_counter() - start
            if layers == 1:
                continue
            totals = report["totals"]
            goals.check(f"stack of {layers}, {target}: kernels", totals["kernels"], 2 * layers + 1)
            # The quantizer of the input; gate and up; down, residual and the next quantizer; the last down.
            goals.check(f"stack of {layers}, {target}: distinct kernels", totals["distinct_kernels"], 4)
            goals.check(f"stack of {layers}, {target}: reformats", totals["runtime_reformats"], 0)
    for target in TARGETS:
        print(f"{target}: decisions for {a.layers} layers / for one, seconds",
              f"{seconds[a.layers, target]:.2f} / {seconds[1, target]:.2f}", sep="  ")


def surplus(report, wanted):
    """One line for each class of kernel that the minimum does not have so often, with the first of its names."""
    found = collections.defaultdict(list)
    for layer in report["layers"]:
        found[layer["op"]].append(layer["name"])
    return [f"    {len(names)} {op}, by hand {wanted.get(op, 0)}: {', '.join(names[:3])} ..." for op, names in found.items()
            if len(names) > wanted.get(op, 0)]


def check_models(a, tools, goals):
    """Hand-drawn minimum. Decoder layer: norm+quantize, QKV+RoPE, attention, O+residual, norm+quantize, gate/up+GeGLU+quantize,
    down+residual. MiniLM: embedding gather+norm, six times (QKV, attention, O+residual, norm, up+gelu, down+residual, norm), pooling."""
    work = Path(a.work)
    cases = [("decoder layer", work / "regions_decoder.onnx", dict(rowwise=2, gemm=4, attention=1), lambda p: write_decoder(
        p, "nvfp4", layers=1, seq=64, width=256, mlp=512, heads=4, kv_heads=1, head_dim=64, external="never")),
        ("MiniLM", work / "regions_minilm.onnx", dict(gather=1, rowwise=13, gemm=24, attention=6, reduce=2), lambda p: write_minilm(p, batch=1, seq=32))]
    for name, path, minimum, write in cases:
        fresh(path, write)
        for target in TARGETS[:2]:
            report = explain(tools, path, target)
            print(f"{name} {target}: kernels (minimum by hand {sum(minimum.values())})", f"{report['totals']['kernels']}  {dict(kernels(report))}", sep="  ")
            if name == "decoder layer":
                goals.check(f"{name} {target}: kernels", report["totals"]["kernels"], 7)
            for line in surplus(report, minimum):
                print(line)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--m", type=int, default=970)
    p.add_argument("--k", type=int, default=512)
    p.add_argument("--n", type=int, default=1024)
    p.add_argument("--layers", type=int, default=3)
    p.add_argument("--work", default=str(ROOT / "build" / "e2e"))
    p.add_argument("--only", default="mlp,stack,models")
    a = p.parse_args()
    Path(a.work).mkdir(parents=True, exist_ok=True)
    tools, goals = Tools(a.build), Goals()
    for name, check in (("mlp", check_mlp), ("stack", check_stack), ("models", check_models)):
        if name in a.only.split(","):
            check(a, tools, goals)
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
