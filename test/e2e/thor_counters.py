#!/usr/bin/env python3
# What the kernels of a gated MLP for sm_110a do, counted on the emulated GPU: bytes of memory, banks, units.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""thor_counters.py [--build DIR] [--format nvfp4 --m 129 --k 512 --n 1024] [--work FOLDER]

Runs an engine with NIBBLE_EMU_REPORT and prints for each kernel, beside what explain says:
  bytes between the L2 cache and memory (docs/emulator.md, "The cache"), of those that any program must move; goal of all kernels: 3 % more at most,
  and each weight read once;
  conflicts of banks, of the same kernels with half of K: the main loop has none if there are as many;
  how long each unit needs at least, and of which time that the compiler predicts.
Exit 1 if a goal is missed. docs/performance.md ("Predicted: Jetson Thor") has the figures of 970x2048x16384."""
import argparse
import json
import os
import sys
from pathlib import Path

from common import OK, Goals, Tools, build_argument, fresh, in_venv

in_venv()
from mlp import save_input, write_mlp  # noqa: E402

# Port of an SM to the L2 cache, bytes per clock (runtime/emulator/targets/thor.json).
MACHINE = Path(__file__).resolve().parents[2] / "runtime/emulator/targets/thor.json"


def run(a, tools, k, n):
    """Counters of each launch, and what explain says of its kernel."""
    stem = Path(a.work) / f"counters_{a.format}_{a.m}x{k}x{n}"
    model = fresh(stem.with_suffix(".onnx"), lambda p: write_mlp(p, a.format, m=a.m, k=k, n=n, external="never"))
    x = fresh(stem.with_suffix(".npy"), lambda p: save_input(p, a.m, k, "f16", rank=3))
    engine, report = stem.with_suffix(".nbl"), stem.with_suffix(".jsonl")
    tools.call("nibble", "compile", model, "-o", engine, "--target", "sm_110a", expect=OK)
    os.environ["NIBBLE_EMU_REPORT"] = str(report)
    tools.call("nibble-run", "run", engine, "--device", "emu", "--input", f"x=@{x}", "--output", f"y=@{stem.with_suffix('.y.npy')}", timeout=3000, expect=OK)
    del os.environ["NIBBLE_EMU_REPORT"]
    launches = [json.loads(line) for line in report.read_text().splitlines()]
    layers = json.loads(tools.call("nibble", "explain", engine, "--json", expect=OK).stdout)["layers"]
    if len(layers) != len(launches):
        raise SystemExit(f"{len(launches)} launches of {len(layers)} kernels")
    return list(zip(launches, layers))


def units(launch, layer):
    """Microseconds that each unit needs at least."""
    machine = json.loads(MACHINE.read_text())
    estimate, dram = launch["estimate"], launch["dram"]
    port = machine["sms"] * machine["model"]["l2_bytes_per_clock"] * machine["clock_ghz"] * 1e3
    return {"tensor": estimate["tensor_us"], "shared": estimate["shared_us"], "l2": launch["global_read"] / port, "issue": estimate["issue_us"],
            "dram": (dram["read"] + dram["written"]) / (machine["model"]["dram_gb_per_s"] * 1e3)}


def show(goals, launch, layer):
    dram, name = launch["dram"], layer["name"].strip("/")
    need = layer["bytes_read"] + layer["bytes_written"]
    print(f"{name} ({layer['kernel']} {layer['schedule']})")
    goals.check("  bytes of memory, of those that must be moved", (dram["read"] + dram["written"]) / need)
    goals.check("  sectors read, of those read once", dram["read"] / max(dram["read_once"], 1))
    goals.check("  bytes read from L2, MB", launch["global_read"] / 1e6)
    goals.check("  conflicts of banks, of wavefronts", launch["bank_conflicts"] / max(launch["shared_wavefronts"], 1))
    needs = units(launch, layer)
    longest = max(needs, key=needs.get)
    print("  at least, us: " + ", ".join(f"{unit} {us:.2f}" for unit, us in needs.items()) + f"; predicted {layer['predicted_us']:.2f}")
    goals.check(f"  the longest, {longest}, of what is predicted", needs[longest] / layer["predicted_us"])
    goals.check("  tensor cores, of what is predicted", needs["tensor"] / layer["predicted_us"])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--format", default="nvfp4")
    for name, default in (("m", 129), ("k", 512), ("n", 1024)):
        p.add_argument(f"--{name}", type=int, default=default)
    p.add_argument("--work", default="build/thor_counters")
    p.add_argument("--no-half", action="store_true", help="do not run half of K and N for conflicts of banks in the main loop")
    a = p.parse_args()
    Path(a.work).mkdir(parents=True, exist_ok=True)
    tools, goals = Tools(a.build), Goals()
    pairs = run(a, tools, a.k, a.n)
    for launch, layer in pairs:
        show(goals, launch, layer)
    moved = sum(launch["dram"]["read"] + launch["dram"]["written"] for launch, _ in pairs)
    need = sum(layer["bytes_read"] + layer["bytes_written"] for _, layer in pairs)
    goals.check("bytes of memory, of those that must be moved", moved / need, 1.03)
    for launch, layer in pairs:
        if layer["op"] == "gemm":
            goals.check(f"{layer['name']}: sectors read, of those read once", launch["dram"]["read"] / launch["dram"]["read_once"], 1.03)
    if not a.no_half:
        check_loops(a, tools, goals, pairs)
    sys.exit(not goals.met)


def check_loops(a, tools, goals, pairs):
    """Conflicts that come with more K of a product would be in its main loop: gate and up with half of K, down with half of N."""
    for i, half in ((1, run(a, tools, a.k // 2, a.n)), (2, run(a, tools, a.k, a.n // 2))):
        launch, layer = pairs[i]
        same = half[i][1]["schedule"] == layer["schedule"]
        more = launch["bank_conflicts"] - half[i][0]["bank_conflicts"]
        if same:
            goals.check(f"{layer['name']}: conflicts that come with more K", more, 0)
        else:
            print(f"{layer['name']}: half of K has another schedule, {half[i][1]['schedule']}: {more} conflicts more")


if __name__ == "__main__":
    main()
