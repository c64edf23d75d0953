#!/usr/bin/env python3
# Counts fusion regions, reformats and predicted bytes of the models that matter, against counts made by hand.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""regions.py [--build DIR] [--m 970 --k 512 --n 1024] [--layers 3] [--work FOLDER]

A gated MLP must be two regions and the quantizer of its input; every byte it moves is one that any program must move
(weights, input, hidden tensor and output once), within 2 %. The Gemma decoder layer (also a decoding step with its cache),
MiniLM and the SigLIP layer print their counts beside a hand-drawn minimum; what is more is listed with the reason that
`explain` gives, and must have one. Exit 1 if a goal is missed."""
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
from siglip import write_siglip  # noqa: E402
from step import write_step  # noqa: E402

TARGETS = ("sm_110a", "sm_90a", "cpu")


def explain(tools, model, target, *options):
    done = tools.call("nibble", "explain", model, "--target", target, "--json", *options, expect=OK)
    return json.loads(done.stdout)


STATISTICS = "fuse-norm-statistics"


def class_of(layer):
    """Class of a kernel as the drawings by hand have it: a norm is a norm, also if a product has summed its rows."""
    return "rowwise" if layer["op"] == "elementwise" and STATISTICS in layer["fused"] else layer["op"]


def kernels(report):
    return collections.Counter(class_of(layer) for layer in report["layers"])


def stored(fmt, rows, k):
    """Bytes of a [rows, k] operand: codes, block scales, global scale."""
    if fmt == "nvfp4":
        return rows * k // 2 + rows * k // 16 + 4
    return rows * k + 2  # fp8 with one f16 scale


def compulsory(target, fmt, m, k, n):
    """Hopper has no matrix unit for FP4: activations are stored as f16 numbers (widen-activations)."""
    codes = (lambda rows, k: 2 * rows * k) if (target, fmt) == ("sm_90a", "nvfp4") else lambda *shape: stored(fmt, *shape)
    weights = 2 * stored(fmt, n, k) + stored(fmt, k, n)
    x = 2 * m * k + codes(m, k) * 2  # read in f16, written and read as codes
    hidden = codes(m, n) * 2         # written and read
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
            cut = [layer["name"] for layer in report["layers"] if "not one kernel" in layer["reason"]]
            goals.check(f"{name}: kernels that are several launches {' '.join(cut)}", len(cut), 0)
            ratio = totals["predicted_bytes"] / compulsory(target, fmt, a.m, a.k, a.n)
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


STATES = ("--state", "past_key_values.*.key=present.*.key", "--state", "past_key_values.*.value=present.*.value")

# Drawn by hand, kernels by class.
# Decoder layer: norm+quantize, QKV+RoPE(+cache rows), attention, O+residual, norm+quantize, gate/up+GeGLU+quantize, down+residual.
DECODER = dict(rowwise=2, gemm=4, attention=1)
# SigLIP layer: norm+quantize, QKV+bias, attention, out+bias+residual, norm+quantize, fc1+bias+GELU+quantize, fc2+bias+residual.
SIGLIP = dict(rowwise=2, gemm=4, attention=1)
# MiniLM: embedding look-ups+norm, six times (QKV, attention, O+residual, norm, up+GELU, down+residual, norm), pooling+normalization.
MINILM = dict(rowwise=1 + 6 * 2 + 1, gemm=6 * 4, attention=6)


def surplus(report, wanted):
    """(op, names) of each class of kernel that is there more often than by hand."""
    found = collections.defaultdict(list)
    for layer in report["layers"]:
        found[class_of(layer)].append(layer["name"])
    return [(op, names) for op, names in found.items() if len(names) > wanted.get(op, 0)]


def reasons(report, name):
    """Why a kernel is one of its own: what passes missed at its layer."""
    return [d["reason"] for d in report["decisions"] if d["kind"] == "missed" and d["layer"] == name and "reason" in d]


def compare(goals, name, report, minimum, allowed=0):
    """Prints count, minimum and each surplus with its reason. `allowed`: kernels beyond the minimum that are known."""
    totals, wanted = report["totals"], sum(minimum.values())
    goals.check(f"{name}: kernels, by hand {wanted}", totals["kernels"], wanted + allowed)
    goals.check(f"{name}: reformats at run time", totals["runtime_reformats"], 0)
    silent = 0
    for op, names in surplus(report, minimum):
        for kernel in names[minimum.get(op, 0):]:
            why = reasons(report, kernel)
            print(f"    surplus {op} {kernel}: {'; '.join(why) or 'NO REASON'}")
            silent += not why
    goals.check(f"{name}: kernels beyond it without a reason", silent, 0)


def check_statistics(goals, name, report, norms):
    """Norms behind a product whose rows it has summed, each in a kernel that takes any columns."""
    done = [d for d in report["decisions"] if d["pass"] == STATISTICS and d["kind"] == "done"]
    fused = collections.Counter(layer["op"] for layer in report["layers"] if STATISTICS in layer["fused"])
    goals.check(f"{name}: norms with statistics, wanted {norms}", abs(len(done) - norms) + abs(fused["elementwise"] - norms) + abs(fused["gemm"] - norms), 0)


def check_models(a, tools, goals):
    work, small = Path(a.work), dict(width=256, mlp=512, heads=4, kv_heads=1, head_dim=64)
    # Statistics of rows: 256 rows of 1152 need more multiprocessors than Thor has; products on sm_90a write none yet.
    both, large = dict(sm_110a=1, sm_90a=0), dict(sm_110a=0, sm_90a=0)
    cases = [("decoder layer nvfp4", DECODER, 0, both, lambda p: write_decoder(p, "nvfp4", seq=64, external="never", **small)),
             ("MiniLM f32", MINILM, 1, dict(sm_110a=12, sm_90a=0), lambda p: write_minilm(p, batch=1, seq=32))]
    cases += [(f"SigLIP layer {fmt}", SIGLIP, 0, large, lambda p, fmt=fmt: write_siglip(p, fmt)) for fmt in ("dense", "fp8", "nvfp4")]
    for name, minimum, allowed, norms, write in cases:
        path = work / f"regions_{name.replace(' ', '_')}.onnx"
        fresh(path, write)
        for target in TARGETS[:2]:
            report = explain(tools, path, target)
            compare(goals, f"{name} {target}", report, minimum, allowed)
            check_statistics(goals, f"{name} {target}", report, norms[target])


def rows_only(report, cache_bytes):
    """Launches that move a whole cache without being its attention."""
    return [layer["name"] for layer in report["layers"] if layer["op"] == "update" or
            (layer["op"] == "gemm" and layer["bytes_written"] >= cache_bytes and "fuse-qkv" in layer["fused"])]


def check_step(a, tools, goals):
    """A decoding step: the rows of key and value are written by the product that makes them. Once per model, whatever the
    number of layers: the mask, and the rows of the two tables of RoPE."""
    size = dict(length=1024, width=256, mlp=512, heads=4, kv_heads=1, head_dim=64)
    cache = size["length"] * size["head_dim"] * 2
    for fmt in ("nvfp4", "fp8"):
        for target in TARGETS[:2]:
            counts = {}
            for layers in (1, 2):
                path = Path(a.work) / f"regions_step_{fmt}_{layers}.onnx"
                fresh(path, lambda p: write_step(p, fmt, layers=layers, **size))
                report = explain(tools, path, target, *STATES)
                counts[layers] = report["totals"]["kernels"]
                name = f"decoder step {fmt} {target}, {layers} layers"
                compare(goals, name, report, {op: n * layers for op, n in DECODER.items()}, allowed=3)
                # All but the first, which reads the input of the model.
                check_statistics(goals, name, report, 2 * layers - 1 if target == "sm_110a" else 0)
                goals.check(f"{name}: products or updates that move a cache", len(rows_only(report, cache)), 0)
            goals.check(f"decoder step {fmt} {target}: kernels a layer", counts[2] - counts[1], 7)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--m", type=int, default=970)
    p.add_argument("--k", type=int, default=512)
    p.add_argument("--n", type=int, default=1024)
    p.add_argument("--layers", type=int, default=3)
    p.add_argument("--work", default=str(ROOT / "build" / "e2e"))
    p.add_argument("--only", default="mlp,stack,models,step")
    a = p.parse_args()
    Path(a.work).mkdir(parents=True, exist_ok=True)
    tools, goals = Tools(a.build), Goals()
    for name, check in (("mlp", check_mlp), ("stack", check_stack), ("models", check_models), ("step", check_step)):
        if name in a.only.split(","):
            check(a, tools, goals)
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
