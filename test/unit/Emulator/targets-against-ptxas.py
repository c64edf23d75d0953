"""Holds targets.txt against ptxas: exactly the listed targets have an instruction.

usage: targets-against-ptxas.py TABLE [PTXAS]; exit code 77: there is no ptxas.
SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""
import os
import subprocess
import sys
import tempfile

TARGETS = ["sm_80", "sm_90a", "sm_100a", "sm_103a", "sm_110a", "sm_110f", "sm_110", "sm_120a"]
KERNEL = """
.visible .entry k() .reqntid 128 {
.reg .pred %p<9>; .reg .b8 %b<9>; .reg .b16 %h<9>; .reg .b32 %r<9>; .reg .b64 %d<9>; .reg .b128 %q<9>; .reg .f32 %f<9>;
.shared .align 1024 .b8 shared[1024];
"""


def has(ptxas, target, instruction, folder):
    path = os.path.join(folder, "a.ptx")
    with open(path, "w") as file:
        file.write(f".version 9.0\n.target {target}\n.address_size 64\n{KERNEL}{instruction}\nret;\n}}\n")
    return subprocess.run([ptxas, "-arch=" + target, "-o", os.devnull, path], capture_output=True).returncode == 0


def main():
    if len(sys.argv) < 3 or not os.path.exists(sys.argv[2]):
        print("there is no ptxas")
        return 77
    wrong = 0
    with tempfile.TemporaryDirectory() as folder, open(sys.argv[1]) as table:
        for line in table:
            if line.startswith("#"):
                continue
            listed, instruction = line.rstrip("\n").split("\t")
            for target in TARGETS:
                # The table leaves targets out that are like one it has.
                if target in ("sm_103a", "sm_110f") and target not in listed and "sm_110a" in listed:
                    continue
                if has(sys.argv[2], target, instruction, folder) != (target in listed.split()):
                    print(f"ptxas does not hold with '{listed}' on {target}: {instruction}")
                    wrong += 1
    return wrong != 0


if __name__ == "__main__":
    sys.exit(main())
