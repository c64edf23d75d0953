#!/usr/bin/env python3
# The bundle for Jetson Thor on an emulated 64-bit Arm: host code, engine files and recipes there give the bits they give here.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""aarch64.py [--build DIR] [--work FOLDER]

Cross-compiles nibble-run, the runtime and the emulated driver with Debian's g++-aarch64-linux-gnu, packs small engines for sm_110a
(scripts/gpu-bundle --small), and runs the bundle's run.sh --device emu with qemu-user. On an emulated Arm the emulated GPU must
compute the bits that it computes on this machine; recipes must become engines whose hashes are right; an engine for this machine's CPU must be refused.
Exit 77 without the compiler or qemu."""
import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from common import OK, ROOT, UNSUPPORTED, Goals, Tools, build_argument, in_venv

in_venv()
from mlp import write_mlp  # noqa: E402  (test/models)

SYSROOT = Path("/usr/aarch64-linux-gnu")
NEEDED = {"aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu", "qemu-aarch64": "qemu-user"}


def missing():
    return [f"{program} (package {package})" for program, package in NEEDED.items() if not shutil.which(program)]


def call(*command, **how):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, errors="replace", **how)


def must(done):
    print(done.stdout, done.stderr, sep="", end="", flush=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(done.args)}\n  exit {done.returncode}")


def make_bundle(a, folder):
    """Without optimization that takes longer than it saves here, and without the tests of the runtime."""
    command = [ROOT / "scripts/gpu-bundle", folder, "--target", "sm_110a", "--build", a.build, "--small", "--programs", "nibble-run",
               "--parts", "programs,checks,singles", "--tree", a.work / "tree", "--cmake=-DNIBBLE_BUILD_TESTS=OFF", "--cmake=-DCMAKE_CXX_FLAGS_RELEASE=-O1"]
    must(call(*command, env=dict(os.environ, NIBBLE_EMU_LIBRARY=str(Path(a.build).resolve() / "lib/emu/libcuda.so.1"))))


def check_runs(a, goals, folder):
    """run.sh fails by itself where results are off; the emulated GPU must give equal bits."""
    os.environ.pop("NIBBLE_EMU_LIBRARY", None)  # the bundle has its own
    must(call(folder / "run.sh", "--out", a.work / "results", "--device", "emu", "--steps", "checks,times", "--runner", f"qemu-aarch64 -L {SYSROOT}"))
    steps = json.loads((a.work / "results/results.json").read_text())["steps"]
    goals.check("checks on 64-bit Arm", len(steps["checks"]), 5, at_least=True)
    goals.check("recipes that became engines and ran", len(steps["times"]), 2, at_least=True)
    for check in steps["checks"]:
        goals.check(f"{check['name']}: error to this machine's emulator", check["comparison"]["emulator"]["frobenius"], 0)


def check_inspect(a, goals, folder):
    engine = next(folder.glob("checks/mlp-nvfp4*.nbl"))
    here, there = (call(*runner, program, "inspect", engine, "--json") for runner, program in (
        ((), Path(a.build) / "bin/nibble-run"), (("qemu-aarch64", "-L", SYSROOT), folder / "nibble-run")))
    goals.check("inspect says the same of an engine, of 1", int(here.returncode == OK and here.stdout == there.stdout), 1, at_least=True)


def check_refusal(a, goals, folder):
    model, engine = a.work / "mlp.onnx", a.work / "mlp.cpu.nbl"
    write_mlp(model, "dense", m=3, k=32, n=64, dtype="f16")
    Tools(a.build).compile(model, engine, expect=OK)
    done = call("qemu-aarch64", "-L", SYSROOT, folder / "nibble-run", "run", engine, "--input", "x=normal:seed=1")
    print(done.stderr, end="")
    goals.check("refusals of an engine for this CPU, of 1", int(done.returncode == UNSUPPORTED and "ELF machine" in done.stderr), 1, at_least=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--work", type=Path, default=ROOT / "build/aarch64")
    a = p.parse_args()
    if missing():
        print(f"skipped: there is no {' and no '.join(missing())}; scripts/setup installs them")
        sys.exit(77)
    a.work = a.work.resolve()
    a.work.mkdir(parents=True, exist_ok=True)
    folder, goals = a.work / "bundle", Goals()
    make_bundle(a, folder)
    check_runs(a, goals, folder)
    check_inspect(a, goals, folder)
    check_refusal(a, goals, folder)
    sys.exit(0 if goals.met else 1)


if __name__ == "__main__":
    main()
