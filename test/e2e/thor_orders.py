#!/usr/bin/env python3
# Every kind of product, tile shape and epilogue for sm_110a in many orders of what runs at once: no report, and the same results.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""thor_orders.py [--build DIR] [--orders 100] [--candidates 64] [--only TEXT] [--every N] [--work FOLDER]

Products of each class at sizes that tiles do not divide, by themselves, in a gated MLP (activation, product of two, quantizer), and in decoder and SigLIP
layers (norms, biases, residuals, heads). Each product is compiled with all schedules (or the first --candidates), whose results must have the same
bits, and run on the emulated GPU with all checks, those of tcgen05's waits among them. The seed of a launch decides when asynchronous work is done and
which warp runs next: `nibble-run bench` launches each kernel several times, with another seed each, and is repeated until each kernel has run in
--orders of them. Prints the least and the number of all that had no report. Exit 1 if one had."""
import argparse
import collections
import json
import os
import sys
from pathlib import Path

from common import OK, Tools, build_argument, fresh, in_venv, written

in_venv()
from decoder import write_decoder  # noqa: E402
from gemm import write_gemm  # noqa: E402
from mlp import write_mlp  # noqa: E402
from siglip import write_siglip  # noqa: E402

FORMATS = [("dense", "f16"), ("dense", "bf16"), ("fp8", "f16"), ("nvfp4", "f16"), ("mxfp4", "f16"), ("mxfp8", "f16"), ("mxfp4-mxfp8", "f16"), ("nvfp4-weight", "f16"),
           ("nvfp4-weight", "bf16"), ("w4a8", "f16"), ("fp8-weight", "f16"), ("onnx24-mxfp4", "bf16")]
# Rows, columns, K.
GEMMS = [(1, 144, 208), (129, 272, 464), (50, 400, 1040)]


def whole(k, fmt):
    """K in whole blocks of 32, if the format has them."""
    return k + -k % 32 if "mx" in fmt or fmt == "w4a8" else k


def models(a):
    """Name, what writes the model, and options of the compiler."""
    for fmt, dtype in FORMATS:
        base, made = written(fmt)
        for m, n, k in GEMMS:
            yield f"product {fmt} {dtype} {m}x{n}x{whole(k, fmt)}", lambda p: write_gemm(p, base, m, n, whole(k, fmt), dtype), made
        hidden = whole(464, fmt)
        for act in ("gelu", "silu"):
            yield (f"MLP {fmt} {dtype} 129x160x{hidden}, {act}", lambda p: write_mlp(p, base, m=129, k=160, n=hidden, dtype=dtype, act=act), made)
        yield (f"decoder {fmt} {dtype}",
               lambda p: write_decoder(p, base, dtype=dtype, layers=1, seq=37, width=128, mlp=288, heads=4, kv_heads=2, head_dim=32), made)
        yield f"SigLIP {fmt} {dtype}", lambda p: write_siglip(p, base, dtype=dtype, layers=1, tokens=37, width=288, mlp=hidden, heads=4), made


def run(a, tools, engine, seed, orders):
    """All kernels a few times; adds the seeds of each to `orders`. The schedules, or None if something was wrong."""
    report = engine.with_suffix(".jsonl")
    os.environ.update(NIBBLE_EMU_SEED=str(seed), NIBBLE_EMU_CHECK="tensor-waits", NIBBLE_EMU_REPORT=str(report))
    done = tools.call("nibble-run", "bench", engine, "--device", "emu", "--candidates", "--rounds", 1, "--pause", "1ms", "--hot", "1ms", "--json", timeout=3000)
    for line in map(json.loads, report.read_text().splitlines()):
        if "fault" not in line:
            orders[line["kernel"]].add(line["seed"])
    candidates = [c for group in (json.loads(done.stdout)["groups"] if done.returncode == OK else []) for c in group["candidates"]]
    wrong = [c for c in candidates if not c["right"]]
    if done.returncode == OK and not wrong:
        return [c["schedule"] for c in candidates]
    print(f"{engine.stem}, seed {seed}: exit code {done.returncode}\n{wrong[:3] or done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    return None


def check(a, tools, name, write, made):
    """Kernels, orders of all of them, and whether none had a report."""
    stem = "".join(c if c.isalnum() else "_" for c in name)
    model, engine = (fresh(Path(a.work) / f"{stem}.onnx", write), Path(a.work) / f"{stem}.nbl")
    tools.call("nibble", "compile", model, "--target", "sm_110a", "--candidates", a.candidates, "-o", engine, *made, expect=OK)
    orders, seed = collections.defaultdict(set), 1
    while seed == 1 or min(map(len, orders.values())) < a.orders:
        schedules = run(a, tools, engine, seed, orders)
        if schedules is None:
            return len(orders), 0, False
        seed += 100000
    counts, tiles = [len(seeds) for seeds in orders.values()], {s.rsplit(" s", 1)[0] for s in schedules}
    print(f"{name:44} {len(counts):4} kernels, {len(tiles):3} tiles, at least {min(counts):3} orders each, {sum(counts):6} in all: no report", flush=True)
    return len(counts), sum(counts), True


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--orders", type=int, default=100)
    p.add_argument("--candidates", type=int, default=64, help="schedules of each product, best first")
    p.add_argument("--only", default="", help="models whose name has this text")
    p.add_argument("--every", type=int, default=1, help="of the models, each so many-th")
    p.add_argument("--work", default="build/thor_orders")
    a = p.parse_args()
    Path(a.work).mkdir(parents=True, exist_ok=True)
    tools, kernels, orders, bad, tried = Tools(a.build), 0, 0, 0, 0
    for number, (name, write, made) in enumerate(models(a)):
        if a.only not in name or number % a.every:
            continue
        count, clean, good = check(a, tools, name, write, made)
        kernels, orders, bad, tried = kernels + count, orders + clean, bad + (not good), tried + 1
    print(f"{tried} models, {kernels} kernels, {orders} orders without a report; {bad} models with one")
    sys.exit(bad > 0 or not tried)


if __name__ == "__main__":
    main()
