#!/usr/bin/env python3
# From a model to its schedules, compared on the emulated GPU, to the model compiled with them.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

from common import OK, REFUSED, ROOT, Tools, build_argument, in_venv, sanitizer

in_venv()
from gemm import write_gemm  # noqa: E402
from mlp import write_mlp  # noqa: E402

FORMATS = (("fp8", "f16"), ("dense", "f16"))


def measure(tools, work, name, model):
    """Compiles candidates, compares them; returns the engine, rows and all schedules."""
    engine, rows = work / f"{name}.candidates.nbl", work / f"{name}.jsonl"
    rows.unlink(missing_ok=True)
    tools.call("nibble", "compile", model, "--target", "sm_90a", "--candidates", 3, "-o", engine, expect=OK)
    done = tools.call("nibble-run", "bench", engine, "--device", "emu", "--candidates", "--rounds", 1, "--pause", "1ms", "--hot", "1ms",
                      "--rows", rows, "--json", expect=OK)
    groups = json.loads(done.stdout)["groups"]
    for group in groups:
        assert all(c["right"] for c in group["candidates"]), group
        print(f"{name} {group['group']}: {len(group['candidates'])} candidates of {group['kernel']} agree")
    assert len(rows.read_text().splitlines()) == len(groups)
    return engine, rows, [c["schedule"] for group in groups for c in group["candidates"]]


def check_against_numpy(build, engines):
    """bench-gpu without a GPU; also runs recordings through the C interface."""
    env = dict(os.environ, NIBBLE_EMU_LIBRARY=str(Path(build) / "lib" / "emu" / "libcuda.so.1"))
    command = [sys.executable, ROOT / "scripts" / "bench-gpu", "--build", build, "--device", "emu", "--candidates", *engines]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env=env)
    print(done.stdout + done.stderr, end="")
    assert done.returncode == OK and done.stdout.count("relative error at most") == len(engines)


def main():
    p = argparse.ArgumentParser()
    build_argument(p)
    p.add_argument("--work", type=Path, required=True)
    a = p.parse_args()
    tools = Tools(a.build)
    a.work.mkdir(parents=True, exist_ok=True)
    bare = []
    for fmt, dtype in FORMATS:
        model = a.work / f"gemm-{fmt}.onnx"
        write_gemm(model, fmt, 70, 96, 256, dtype)
        engine, rows, _ = measure(tools, a.work, f"gemm-{fmt}", model)
        bare.append(engine)
        # Rows of this model are enough for it, and not for another.
        locked = ("--target", "sm_90a", "--tuning-db", rows, "--locked", "-o", a.work / "tuned.nbl")
        tools.call("nibble", "compile", model, *locked, expect=OK)
        other = a.work / "other.onnx"
        write_gemm(other, fmt, 71, 96, 256, dtype)
        tools.call("nibble", "compile", other, *locked, expect=REFUSED)
    # Few tiles and long K: clusters split it.
    model = a.work / "gemm-long.onnx"
    write_gemm(model, "dense", 70, 64, 4096, "f16")
    engine, _, schedules = measure(tools, a.work, "gemm-long", model)
    assert any(" k" in schedule for schedule in schedules), schedules
    bare.append(engine)
    # Layouts of weights with gaps behind K.
    model = a.work / "gemm-gaps.onnx"
    write_gemm(model, "nvfp4-weight", 70, 96, 208, "f16")
    measure(tools, a.work, "gemm-gaps", model)
    model = a.work / "mlp.onnx"
    write_mlp(model, "fp8", 33, 128, 256)
    measure(tools, a.work, "mlp-fp8", model)
    if not sanitizer(a.build):  # libraries of such builds do not load into an ordinary Python
        check_against_numpy(a.build, bare)


if __name__ == "__main__":
    main()
