"""CUTLASS's own examples for Hopper and Blackwell run unmodified on the emulated CUDA and verify themselves.

usage: cutlass.py LIBRARIES [--cutlass DIR] [--nvcc NVCC] [--build DIR] [--seeds A..B] [EXAMPLE ...]
LIBRARIES holds libcudart.so.13 and libcuda.so.1; DIR is a checkout of CUTLASS (default: $CUTLASS_DIR). Nothing of it
is part of this project. Exit code 77: there is no CUTLASS or no nvcc here.
SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""
import argparse
import glob
import os
import shutil
import subprocess
import sys
import time

# Name: folder, source, target, arguments of a reduced problem.
GEMM = ["--m=256", "--n=256", "--k=256", "--iterations=0"]
FMHA = ["--b=1", "--h=1", "--q=256", "--d=128", "--verify", "--iterations=0", "--warmup_iterations=1"]
EXAMPLES = {
    "48": ("48_hopper_warp_specialized_gemm", "48_hopper_warp_specialized_gemm.cu", "90a", GEMM),
    "54": ("54_hopper_fp8_warp_specialized_gemm", "54_hopper_fp8_warp_specialized_gemm.cu", "90a", GEMM),
    "70-fp16": ("70_blackwell_gemm", "70_blackwell_fp16_gemm.cu", "110a", GEMM),
    "70-fp8": ("70_blackwell_gemm", "70_blackwell_fp8_gemm.cu", "110a", GEMM),
    "72a": ("72_blackwell_narrow_precision_gemm", "72a_blackwell_nvfp4_bf16_gemm.cu", "110a", GEMM),
    "72b": ("72_blackwell_narrow_precision_gemm", "72b_blackwell_nvfp4_nvfp4_gemm.cu", "110a", GEMM),
    "72c": ("72_blackwell_narrow_precision_gemm", "72c_blackwell_mixed_mxfp8_bf16_gemm.cu", "110a", GEMM),
    # Its source has no kernel for sm_110a; the same instructions run on sm_100a.
    "77": ("77_blackwell_fmha", "77_blackwell_fmha.cu", "100a", FMHA + ["--k=128"]),
    "77-causal": ("77_blackwell_fmha", "77_blackwell_fmha.cu", "100a", FMHA + ["--k=256", "--mask=causal"]),
    "77-residual": ("77_blackwell_fmha", "77_blackwell_fmha.cu", "100a",
                    FMHA + ["--k=200", "--mask=residual", "--persistent"]),
}


def build(options, name):
    folder, source, arch, _ = EXAMPLES[name]
    program = os.path.join(options.build, os.path.splitext(source)[0])
    if os.path.exists(program):
        return program
    include = [os.path.join(options.cutlass, part)
               for part in ("include", "tools/util/include", "examples/common", "examples/" + folder)]
    path = os.path.join(options.cutlass, "examples", folder, source)
    stubs = glob.glob(os.path.join(os.path.dirname(os.path.realpath(options.nvcc)), "../lib*/stubs"))
    subprocess.run([options.nvcc, "-std=c++17", "-O2", "--expt-relaxed-constexpr", "-cudart", "shared", "-w",
                    "-gencode", f"arch=compute_{arch},code=compute_{arch}", "-o", program, path]
                   + [f"-I{i}" for i in include] + [f"-L{s}" for s in stubs] + ["-lcuda"], check=True)
    return program


def passed(text):
    """What the examples print: "Disposition: Passed", "[OK ]"; and no report of the emulator."""
    good = "Disposition: Passed" in text or "[OK" in text
    bad = "Failed" in text or "[--]" in text or "nibble-emu" in text or "CUDA error" in text
    return good and not bad


def run(options, program, name, seed):
    arch, arguments = EXAMPLES[name][2:]
    environment = dict(os.environ, LD_LIBRARY_PATH=options.libraries, NIBBLE_EMU_TARGET="sm_" + arch,
                       NIBBLE_EMU_SEED=str(seed))
    if arch == "110a":  # the examples do not know the name of this machine yet; the code is its own
        environment["NIBBLE_EMU_CAPABILITY"] = "10.0"
    begin = time.monotonic()
    done = subprocess.run([program] + arguments, env=environment, capture_output=True, text=True, timeout=options.timeout)
    text = done.stdout + done.stderr
    good = done.returncode == 0 and passed(text)
    print(f"example {name}, seed {seed}: {'passed' if good else 'FAILED'} in {time.monotonic() - begin:.1f} s", flush=True)
    if not good:
        print(f"exit code {done.returncode}\n{text[-3000:]}")
    return good


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("libraries")
    parser.add_argument("--cutlass", default=os.environ.get("CUTLASS_DIR", ""))
    parser.add_argument("--nvcc", default=shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc")
    parser.add_argument("--build", default="cutlass-examples")
    parser.add_argument("--seeds", default="1..1")
    parser.add_argument("--timeout", type=int, default=600)
    parser.add_argument("examples", nargs="*", metavar="EXAMPLE", help="of " + ", ".join(EXAMPLES))
    return parser.parse_intermixed_args()


def main():
    options = parse()
    if not os.path.isdir(os.path.join(options.cutlass, "include", "cutlass")) or not os.path.exists(options.nvcc):
        print("there is no CUTLASS (CUTLASS_DIR) or no nvcc here")
        return 77
    os.makedirs(options.build, exist_ok=True)
    first, last = map(int, options.seeds.split(".."))
    failed = 0
    for name in options.examples or EXAMPLES:
        program = build(options, name)
        failed += sum(not run(options, program, name, seed) for seed in range(first, last + 1))
    print(f"{failed} failed")
    return failed != 0


if __name__ == "__main__":
    sys.exit(main())
