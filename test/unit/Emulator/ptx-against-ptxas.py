"""Holds ptx-acceptance.txt against ptxas: its verdicts are those of ptxas.

usage: ptx-against-ptxas.py TABLE [PTXAS]; exit code 77: there is no ptxas.
SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""
import os
import subprocess
import sys
import tempfile

HEAD = ".version 9.0\n.target sm_90a\n.address_size 64\n"
KERNEL = ("\n.visible .entry k(.param .u64 x){\n.reg .pred p,q; .reg .b32 a<9>; "
          ".reg .b64 d<9>; .reg .f32 f<9>; .reg .f64 e<9>;\n")


def rows(path):
    with open(path) as table:
        for line in table:
            if line.strip() and not line.startswith("#"):
                yield line.rstrip("\n").split("\t")


def accepts(ptxas, text, folder):
    path = os.path.join(folder, "a.ptx")
    with open(path, "w") as file:
        file.write(text)
    return subprocess.run([ptxas, "-arch=sm_90a", "-o", os.devnull, path],
                          capture_output=True).returncode == 0


def main():
    if len(sys.argv) < 3 or not os.path.exists(sys.argv[2]):
        print("there is no ptxas")
        return 77
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for verdict, globals_, body in rows(sys.argv[1]):
            text = HEAD + globals_ + KERNEL + body + "\nret;\n}\n"
            if accepts(sys.argv[2], text, folder) != (verdict in ("ok", "strict")):
                print(f"ptxas does not hold with '{verdict}': {globals_} | {body}")
                wrong += 1
    return wrong != 0


if __name__ == "__main__":
    sys.exit(main())
