#!/usr/bin/env python3
# What ptxas makes of the tensor core kernels of sm_110a: registers, memory, native instructions, and what stands between these.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""sass.py [--build DIR] [--work FOLDER] [--target sm_110a] [--only nvfp4-f16,..,attention] [--m 970] [--k 2048] [--n 16384] [--tuned 970x2048x16384]
        [--markdown] [--most 8]

Compiles gated MLPs (M x K x N) in each format that tcgen05 multiplies, and attention by itself, with --dump-kernels; assembles the PTX
(ptxas -v) and reads the machine code (nvdisasm of the PyPI package nvidia-cuda-nvdisasm, PATH or CUDA). For each tensor core kernel a row:

  registers, shared, local   of a thread; of a block, in KiB; in bytes, stack and spills: must be 0
  native                     the matrix instruction and how many of them the code has
  MMAs, other, per MMA       in the main loop of the warp that multiplies: the innermost loop around most of these instructions; where
                             ptxas unrolled it ("unrolled"), from the first to the last of them

Other sizes than --tuned get the schedules of these sizes, so that a small model shows the code of a large one. Exit 1 if a kernel has
local memory, lacks the instruction of its class, or (--most) an NVFP4 kernel has more other instructions per MMA than that; 77 where
ptxas or nvdisasm is missing."""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from common import OK, ROOT, Tools, build_argument, in_venv, written

in_venv()
import thor  # noqa: E402
from attention import write_attention  # noqa: E402  (test/models)
from mlp import write_mlp  # noqa: E402

# Of a class "gemm.tcgen05.KIND[.expand]".
NATIVE = {"mxf4nvf4": "UTCOMMA", "mxf4": "UTCOMMA", "mxf8f6f4": "UTCQMMA", "f8f6f4": "UTCQMMA", "f16": "UTCHMMA", "bf16": "UTCHMMA"}
# Heads, of keys, queries, keys, size, type, letters of FP8: the vision encoder's, Gemma's (codes of keys and values), a decoding step's, FP8 MHA.
ATTENTIONS = [(2, 2, 256, 256, 72, "f16", ""), (8, 1, 128, 970, 256, "f16", ""), (8, 1, 128, 970, 256, "bf16", "kv"), (8, 1, 1, 970, 256, "f16", ""),
              (8, 1, 128, 970, 128, "f16", "qkvp")]
MMA = re.compile(r"UTC[A-Z]MMA")


@dataclass
class Instruction:
    text: str
    target: str = ""  # of a branch

    @property
    def is_mma(self):
        return bool(MMA.match(self.opcode))

    @property
    def opcode(self):
        words = self.text.split()
        return words[1] if words[0].startswith("@") else words[0]

    @property
    def goes_on(self):
        """Whether the next one may follow."""
        return self.text.startswith("@") or self.opcode.split(".")[0] not in ("BRA", "EXIT", "RET") or self.opcode.startswith(("BRA.U", "BRA.DIV"))


def find(program, more=()):
    folders = [*more, f"{os.environ.get('CUDA_HOME', '/usr/local/cuda')}/bin"]
    return shutil.which(program) or next((f"{f}/{program}" for f in folders if os.access(f"{f}/{program}", os.X_OK)), None)


def tools_of_nvidia():
    """ptxas, nvdisasm; the second one's package has no launcher."""
    packages = [f"{folder}/nvidia/cu13/bin" for folder in sys.path]
    found = dict(ptxas=os.environ.get("NIBBLE_PTXAS") or find("ptxas"), nvdisasm=find("nvdisasm", packages))
    missing = [name for name, path in found.items() if not path]
    if missing:
        print(f"skipped: there is no {' and no '.join(missing)} (ptxas: CUDA 13.0; nvdisasm: scripts/setup)")
        sys.exit(77)
    return found


def call(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n  exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def resources(said):
    """Kernel -> (registers, bytes of local memory), of what ptxas -v says."""
    found, kernel = {}, None
    for line in said.splitlines():
        if name := re.search(r"Compiling entry function '(\S+)'", line):
            kernel = name[1]
            found[kernel] = [0, 0]
        elif kernel and (frame := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line)):
            found[kernel][1] += sum(map(int, frame.groups()))
        elif kernel and (used := re.search(r"Used (\d+) registers", line)):
            found[kernel][0] = int(used[1])
            found[kernel][1] += sum(map(int, re.findall(r"(\d+) bytes lmem", line)))
    return found


def functions(text):
    """Kernel -> ([Instruction], label -> index of the instruction behind it)."""
    found, code, labels = {}, [], {}
    for line in text.splitlines():
        if section := re.match(r"\s*\.section\s+\.text\.([^\s,]+)", line):
            code, labels = found.setdefault(section[1], ([], {}))
        elif label := re.match(r"(\.L_\w+):", line):
            labels[label[1]] = len(code)
        elif instruction := re.match(r"\s*/\*[0-9a-f]{4,}\*/\s+([^;]+?)\s*;", line):
            target = re.search(r"\bBRA\b.*`\((\.L_\w+)\)", instruction[1])
            code.append(Instruction(instruction[1], target[1] if target else ""))
    return found


def predecessors(code, labels):
    found = [[] for _ in code]
    for i, instruction in enumerate(code):
        if instruction.target in labels and labels[instruction.target] < len(code):
            found[labels[instruction.target]].append(i)
        if instruction.goes_on and i + 1 < len(code):
            found[i + 1].append(i)
    return found


def body(head, end, before):
    """The natural loop of the branch `end` to `head`, as a set; empty if one comes to `end` past `head`. Waits that ptxas puts behind the
    loop, out of its way, are left out."""
    found, todo = {head}, [end]
    while todo:
        i = todo.pop()
        if i == 0 and head != 0:
            return set()
        if i not in found:
            found.add(i)
            todo += before[i]
    return {i for i in found if head <= i <= end}


def main_loop(code, labels):
    """(MMAs, other instructions, whether it is a loop) of the innermost loop with most MMAs, or of straight code; None without MMAs."""
    before = predecessors(code, labels)
    loops = [body(labels[i.target], end, before) for end, i in enumerate(code) if i.target in labels and labels[i.target] <= end]
    count = lambda loop: sum(code[i].is_mma for i in loop)
    inner = [a for a in loops if count(a) and not any(b < a and count(b) for b in loops)]
    mmas = [i for i, instruction in enumerate(code) if instruction.is_mma]
    if not mmas:
        return None
    best = max(inner, key=count, default=range(mmas[0], mmas[-1] + 1))
    return count(best), len(best) - count(best), bool(inner)


def scaled_tuning(a):
    """Rows of the tuned sizes, said of the sizes of the model."""
    tuned, mine = [int(x) for x in a.tuned.split("x")], [a.m, a.k, a.n]
    file = ROOT / "tuning" / f"{a.target}.jsonl"
    if tuned == mine:
        return file
    rows, of = [], dict(zip(tuned, mine))
    for line in file.read_text().splitlines():
        row = json.loads(line)
        if [row["m"], *sorted((row["k"], row["n"]))] == [tuned[0], *sorted(tuned[1:])]:
            rows.append(json.dumps({**row, **{name: of[row[name]] for name in "mnk"}}))
    scaled = a.work / "tuning.jsonl"
    scaled.write_text("\n".join(rows) + "\n")
    return scaled


def models(a):
    """(name, function that writes the model, options of the compiler)."""
    for fmt, dtype, *_ in thor.FORMATS:
        base, made = written(fmt)
        yield f"{fmt}-{dtype}", partial(write_mlp, fmt=base, m=a.m, k=a.k, n=a.n, dtype=dtype, calib_rows=min(a.m, 64)), made
    for heads, of_keys, queries, keys, size, dtype, codes in ATTENTIONS:
        yield (f"attention-{dtype}{'-fp8-' * bool(codes)}{codes}-{heads}:{of_keys}x{queries}x{keys}x{size}",
               partial(write_attention, heads=heads, queries=queries, keys=keys, size=size, dtype=dtype, kv_heads=of_keys, codes=codes), ())


def kernels(a, tools, nvidia, write, made):
    """Rows of the kernels of one model. ValueError if it does not compile."""
    model, engine, dump = a.work / "model.onnx", a.work / "model.nbl", a.work / "kernels"
    shutil.rmtree(dump, ignore_errors=True)
    write(model)
    done = tools.call("nibble", "compile", model, "-o", engine, "--target", a.target, "--tuning-db", scaled_tuning(a), "--dump-kernels", dump, *made)
    if done.returncode:
        raise ValueError(f"compile, exit {done.returncode}: {done.stderr.strip()}")
    layers = json.loads(tools.call("nibble", "explain", engine, "--json", expect=OK).stdout)["layers"]
    launches = json.loads(tools.call("nibble-run", "inspect", engine, "--launches", "--json", expect=OK).stdout)["entries"][0]["launches"]
    shared = {launch["kernel"]: launch["gpu"]["shared_bytes"] for launch in launches if "gpu" in launch}
    for ptx in sorted(dump.glob("*.ptx")):
        cubin = ptx.with_suffix(".cubin")
        used = resources(call(nvidia["ptxas"], "-v", f"-arch={a.target}", ptx, "-o", cubin))
        found = functions(call(nvidia["nvdisasm"], "-c", cubin))
        for name, (registers, local) in sorted(used.items()):
            layer = next(layer for layer in layers if name == layer["function"] or name.startswith(layer["function"] + "_"))
            yield row_of(layer, registers, local, shared.get(name, 0), *found[name])


def row_of(layer, registers, local, shared, code, labels):
    opcodes = [i.opcode.split(".")[0] for i in code]
    # Attention multiplies 16-bit numbers, unless its weights are codes, too.
    kind = next((word for word in layer["kernel"].split(".") if word in NATIVE), "f8f6f4" if "p fp8" in layer["requested"] else "f16")
    return dict(kernel=layer["kernel"], function=layer["function"], schedule=layer["schedule"], registers=registers, shared=shared,
                local=local + sum(opcode in ("LDL", "STL") for opcode in opcodes), wanted=NATIVE[kind], native=opcodes.count(NATIVE[kind]),
                others=sorted({o for o in opcodes if MMA.match(o)} - {NATIVE[kind]}), loop=main_loop(code, labels))


def on_tensor_cores(rows):
    """Those that multiply there; where no kernel of such a layer does, all of it."""
    rows = [row for row in rows if ".tcgen05" in row["kernel"]]
    good = {row["function"] for row in rows if row["native"] or row["others"]}
    return [row for row in rows if row["native"] or row["others"] or row["function"] not in good]


def wrong(a, row):
    """What is wrong with a kernel."""
    if row["local"]:
        yield f"{row['local']} bytes or instructions of local memory"
    if ".tcgen05" in row["kernel"] and not row["native"]:
        yield f"no {row['wanted']}"
    if row["others"]:
        yield f"multiplies by {', '.join(row['others'])}, not {row['wanted']}"
    if a.most is not None and "mxf4nvf4" in row["kernel"] and row["loop"] and row["loop"][1] > a.most * row["loop"][0]:
        yield f"more than {a.most:g} other instructions per MMA"


COLUMNS = ("model", "kernel", "schedule", "registers", "shared KiB", "local", "native", "MMAs", "other", "per MMA")


def cells(model, row):
    loop = row["loop"]
    of_loop = (f"{loop[0]}{'' if loop[2] else ' unrolled'}", str(loop[1]), f"{loop[1] / loop[0]:.1f}") if loop else ("", "", "")
    return (model, row["kernel"], row["schedule"], str(row["registers"]), f"{row['shared'] / 1024:.1f}", str(row["local"]),
            f"{row['wanted']} x {row['native']}", *of_loop)


def print_row(a, texts):
    if a.markdown:
        print("| " + " | ".join(texts) + " |", flush=True)
    else:
        print("  ".join(text.ljust(width) for text, width in zip(texts, (38, 27, 28, 9, 10, 5, 13, 12, 5, 7))), flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--work", type=Path, default=ROOT / "build/sass")
    p.add_argument("--target", default="sm_110a", choices=["sm_110a", "sm_100a"])
    p.add_argument("--only", default="", help="models whose name begins so, by commas")
    p.add_argument("--m", type=int, default=970)
    p.add_argument("--k", type=int, default=2048)
    p.add_argument("--n", type=int, default=16384)
    p.add_argument("--tuned", default="970x2048x16384")
    p.add_argument("--markdown", action="store_true")
    p.add_argument("--most", type=float)
    a = p.parse_args()
    nvidia, tools = tools_of_nvidia(), Tools(a.build)
    a.work.mkdir(parents=True, exist_ok=True)
    print_row(a, COLUMNS)
    if a.markdown:
        print_row(a, ["---"] * len(COLUMNS))
    faults, seen = [], 0
    chosen = [model for model in models(a) if model[0].startswith(tuple(a.only.split(",")))]
    for name, write, made in chosen:
        try:
            rows = list(kernels(a, tools, nvidia, write, made))
        except ValueError as error:
            faults.append(f"{name}: {error}")
            continue
        shown = on_tensor_cores(rows)
        for row in shown:
            print_row(a, cells(name, row))
        rows = shown + [row for row in rows if ".tcgen05" not in row["kernel"]]
        faults += [f"{name}: {row['kernel']} {row['schedule']}: {fault}" for row in rows for fault in wrong(a, row)]
        faults += [] if shown else [f"{name}: no kernel on tensor cores"]
        seen += len(shown)
    print(*(f"WRONG {fault}" for fault in faults), sep="\n")
    sys.exit(0 if seen and not faults else 1)


if __name__ == "__main__":
    main()
