"""Programs that nvcc builds run unmodified on the emulated CUDA runtime.

usage: run.py LIBRARIES NVCC; LIBRARIES: folder with libcudart.so.13 and libcuda.so.1.
Exit code 77: there is no nvcc here.
SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TARGETS = ["sm_90a", "sm_110a"]
MODES = ["none", "speed", "size"]  # plain, and two kinds of compressed fat binaries


def build(nvcc, folder, target, mode):
    program = os.path.join(folder, f"runtime-{target}-{mode}")
    arch = target.replace("sm_", "compute_")
    subprocess.run([nvcc, "-std=c++17", "-cudart", "shared", "--compress-mode=" + mode,
                    "-gencode", f"arch={arch},code={arch}", "-o", program, os.path.join(HERE, "runtime.cu")], check=True)
    return program


def run(program, libraries, target):
    environment = dict(os.environ, LD_LIBRARY_PATH=libraries, NIBBLE_EMU_TARGET=target)
    return subprocess.run([program], env=environment, capture_output=True, text=True, timeout=300)


def check(program, libraries, target, expected, text):
    done = run(program, libraries, target)
    if done.returncode == expected and text in done.stdout + done.stderr:
        return 0
    print(f"{program} on {target}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return 1


def main():
    if len(sys.argv) < 3 or not os.path.exists(sys.argv[2]):
        print("there is no nvcc")
        return 77
    libraries, nvcc = sys.argv[1:]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        programs = {(TARGETS[i % 2], mode): build(nvcc, folder, TARGETS[i % 2], mode) for i, mode in enumerate(MODES)}
        for (target, mode), program in programs.items():
            wrong += check(program, libraries, target, 0, "0 failures")
        # Code of another machine is refused, with what to do.
        other = programs[("sm_110a", "speed")]
        wrong += check(other, libraries, "sm_90a", 1, "Compile with -gencode arch=compute_90a,code=compute_90a")
    print(f"{len(programs)} programs, {wrong} wrong")
    return wrong != 0


if __name__ == "__main__":
    sys.exit(main())
