#!/usr/bin/env python3
# Every way in which a product can fail to get its precision or its kernel: refused by name, never passed over.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""contracts.py [--build DIR] [--work FOLDER]

For each target one module holds a product of every pair of formats, with whole and with partial blocks, with a constant and
with a computed right operand; attention and loops in types that a target lacks come on top. What each must get is written
down here, in terms of what matrix units multiply. Without permissions a layer has its kernel as requested, or it is refused
with its name, the reason of every kernel class, and a fix; with `--allow-fallback` exactly the layers that are permitted, and
that some class covers, change sides and are told. Exit 1 if one layer differs."""
import argparse
import itertools
import json
import sys
from pathlib import Path

from common import OK, REFUSED, ROOT, Goals, Tools, build_argument

M, N, WHOLE, PARTIAL = 32, 64, 256, 40

# name: element type, bits, block along (N, K) ("" scales nothing), bits and text of a scale
TYPES = {
    "f64": ("f64",), "f32": ("f32",), "f16": ("f16",), "bf16": ("bf16",),
    "fp8": ("!nq.fp8", 8, (None, None), "f32"),
    "e5m2": ("!nq.scaled<f8E5M2, f32 per tensor>", 8, (None, None), "f32"),
    "channel": ("!nq.scaled<f8E4M3FN, f32 per 1x?>", 8, (1, None), "f32"),
    "block": ("!nq.scaled<f8E4M3FN, f32 per 128x128>", 8, (128, 128), "f32"),
    "square": ("!nq.scaled<f8E4M3FN, f32 per 2x2>", 8, (2, 2), "f32"),
    "nvfp4": ("!nq.nvfp4", 4, (1, 16), "i8"),
    "nvfp4w": ("!nq.scaled<f4E2M1FN, f8E4M3FN per 1x32, global f32>", 4, (1, 32), "i8"),
    "odd": ("!nq.scaled<f4E2M1FN, f32 per 1x16>", 4, (1, 16), "f32"),
    "mxfp4": ("!nq.mxfp4", 4, (1, 32), "i8"),
    "mxfp8": ("!nq.mxfp8", 8, (1, 32), "i8"),
    "int4": ("!nq.scaled<si4, f32 per 1x128>", 4, (1, 128), "f32"),
    "int8": ("!nq.scaled<si8, f32 per tensor>", 8, (None, None), "f32"),
}
ALONG_ROWS = {"block": "!nq.scaled<f8E4M3FN, f32 per 1x128>"}  # as activations
FOUR_BIT = {"nvfp4", "nvfp4w", "mxfp4", "int4"}
FLOATS = {"f32", "f16", "bf16"}
FP8 = {"fp8", "e5m2", "channel"}


def units(target, a, b, k, constant):
    """True if a matrix unit multiplies these codes themselves."""
    if a == b and a in ("f16", "bf16") or a in FP8 and b in FP8:
        return True
    if a == b == "block" and (target == "sm_110a" or target == "sm_90a" and k % 16 == 0):  # rows that the copy engine takes
        return True
    pair = target == "sm_110a" and constant
    return pair and ((a, b) == ("nvfp4", "nvfp4") and k % 16 == 0
                     or (a, b) in (("mxfp4", "mxfp4"), ("mxfp8", "mxfp8"), ("mxfp8", "mxfp4")) and k % 32 == 0)


def expansion(target, a, b, k, constant):
    """The wider format in which the codes are exact, or None."""
    return None if "f64" in (a, b) else widened(target, a, b, k) if constant else "f32"


def widened(target, a, b, k):
    """Activations whose codes become 16-bit numbers, next to weights that are expanded to the same; else FMA units."""
    rows = {"block", "int4"} if k == PARTIAL else set()  # one scale for all of k
    activations = FP8 | {"int8", "nvfp4", "nvfp4w", "mxfp4", "mxfp8"} | rows
    weights = FP8 | {"int8", "nvfp4", "nvfp4w", "mxfp4", "mxfp8", "int4"} | rows
    if a not in activations or b not in weights:
        return "f32"
    return "bf16" if {a, b} & {"mxfp4", "mxfp8"} else "f16"


def wanted(target, a, b, k, constant):
    """"" if it must work as it is, a format if it needs the permission for that, None if nothing covers it."""
    if target == "cpu" or units(target, a, b, k, constant) or a in FLOATS and b in FLOATS:
        return ""
    wide = expansion(target, a, b, k, constant)
    if not wide:
        return None
    quantized = a not in FLOATS | {"f64"}
    slower = quantized and (target == "sm_110a" if a in FOUR_BIT and b in FOUR_BIT else a not in FOUR_BIT and b not in FOUR_BIT)
    return wide if slower else ""


class Module:
    """One entry point with many independent layers."""

    def __init__(self):
        self.arguments, self.body, self.results = [], [], []

    def argument(self, type):
        self.arguments.append(f"%a{len(self.arguments)}: {type}")
        return self.arguments[-1].split(":")[0]

    def add(self, name, op, operands, types, result):
        signature = types[0] if op[0] == "nq.cast" else f'({", ".join(types)})'
        self.body.append(f'  %r{len(self.results)} = {op[0]} {", ".join(operands)} {op[1]} : {signature} -> {result} loc("{name}")')
        self.results.append(result)

    def constant(self, name, k):
        element, *scaled = TYPES[name]
        type, value = f"tensor<{N}x{k}x{element}>", f"%w{len(self.body)}"
        if not scaled:
            text = f"codes(dense<1.0> : tensor<{N}x{k}x{element}>)"
        else:
            bits, block, scale = scaled
            grid = 1
            for extent, size in zip((N, k), block):
                grid *= -(-extent // (size or extent))
            number = "56" if scale == "i8" and "mx" not in name else "127" if scale == "i8" else "0.5"
            text = f"codes(dense<1> : tensor<{N * k * bits // 8}xi8>) scales(dense<{number}> : tensor<{grid}x{scale}>)"
            text += " global(dense<0.5> : tensor<f32>)" if "nvfp4" in name else ""
        self.body.append(f"  {value} = nq.constant {text} : {type}")
        return value, type

    def product(self, name, a, b, k, constant):
        x_type = f"tensor<{M}x{k}x{ALONG_ROWS.get(a, TYPES[a][0])}>"
        x = self.argument(x_type)
        w, w_type = self.constant(b, k) if constant else (None, f"tensor<{N}x{k}x{TYPES[b][0]}>")
        w = w or self.argument(w_type)
        result = "f64" if "f64" in (a, b) else "f32" if "f32" in (a, b) else "f16"
        self.add(name, ("nq.matmul", "transpose_b"), [x, w], [x_type, w_type], f"tensor<{M}x{N}x{result}>")

    def attention(self, name, element, size):
        type = f"tensor<1x2x8x{size}x{element}>"
        self.add(name, ("nq.attention", "{scale = 1.0 : f64}"), [self.argument(type) for _ in range(3)], [type] * 3, type)

    def cast(self, name, element):
        self.add(name, ("nq.cast", ""), [self.argument("tensor<16xf16>")], ["tensor<16xf16>"], f"tensor<16x{element}>")

    def save(self, path):
        types = ", ".join(self.results)
        values = ", ".join(f"%r{i}" for i in range(len(self.results)))
        lines = [f'func.func @main({", ".join(self.arguments)}) -> ({types}) attributes {{nibble.entry}} {{', *self.body,
                 f"  return {values} : {types}", "}"]
        path.write_text("\n".join(lines) + "\n")


def build(path, target):
    """Writes the module; returns what each layer must get."""
    module, want = Module(), {}
    for a, b in itertools.product(TYPES, TYPES):
        for k, constant in ((WHOLE, True), (PARTIAL, True), (WHOLE, False)):
            name = f"{a}.{b}.{k}.{'constant' if constant else 'computed'}"
            module.product(name, a, b, k, constant)
            want[name] = wanted(target, a, b, k, constant)
    for element, size in (("f16", 64), ("f16", 300), ("f32", 72), ("f64", 64)):
        module.attention(f"attention.{element}.{size}", element, size)
        want[f"attention.{element}.{size}"] = "" if target == "cpu" or element != "f64" and size <= 256 else None
    for element in ("f32", "f64"):
        module.cast(f"loops.{element}", element)
        want[f"loops.{element}"] = "" if target == "cpu" or element == "f32" else None
    module.save(path)
    return want


def outcome(tools, path, target, *permissions):
    """What explain tells: exit code, layer -> (as requested, chosen), layer -> message."""
    options = [text for p in permissions for text in ("--allow-fallback", p)]
    done = tools.call("nibble", "explain", path, "--target", target, "--json", *options)
    report = json.loads(done.stdout)
    layers = {layer["name"]: layer for layer in report["layers"]}
    return done, layers, {p["layer"]: p for p in report["problems"]}


def judge(want, permitted, done, layers, problems):
    """Lines for layers that got something else. `permitted`: layer, format -> bool."""
    wrong = []
    for name, need in want.items():
        works = need == "" or need is not None and permitted(name, need)
        layer, problem = layers.get(name), problems.get(name)
        if works:
            good = layer and not problem and layer["as_requested"] == (need == "") and (need == "" or layer["chosen"] == need)
            told = need == "" or f"layer '{name}': requested" in done.stderr
        else:
            good = problem and not (layer and layer["as_requested"]) and "has no kernel for" in problem["message"]
            offered = f"--allow-fallback '{name}:{need}'" if need else "--allow-fallback"
            told = good and problem["notes"] and (offered in problem["message"]) == bool(need)
        if not (good and told):
            got = problem["message"] if problem else layer and (layer["as_requested"], layer["chosen"])
            wrong.append(f"    {name}: needs {need!r}, permitted {works}, got {got}")
    refused = any(need is None or need and not permitted(name, need) for name, need in want.items())
    if done.returncode != (REFUSED if refused else OK):
        wrong.append(f"    exit code {done.returncode}")
    return wrong


def check(target, tools, goals, work):
    path = work / f"contracts_{target}.mlir"
    want = build(path, target)
    kinds = [sum(need == "" for need in want.values()), sum(bool(need) for need in want.values()), sum(need is None for need in want.values())]
    print(f"{target}: {len(want)} layers: {kinds[0]} as requested, {kinds[1]} by permission only, {kinds[2]} never")
    cases = [("no permission", (), lambda name, need: False),
             ("all permitted", ("*:f16", "*:bf16", "*:f32"), lambda name, need: True),  # FP8, which lets W4A8 round: lossy.mlir
             ("constants permitted", [f"*.constant:{f}" for f in ("f16", "bf16", "f32")], lambda name, need: name.endswith(".constant")),
             ("another format permitted", ({"sm_90a": "*:fp8", "sm_110a": "*:nvfp4"}.get(target, "*:f32"),), lambda name, need: False)]
    for title, permissions, permitted in cases:
        wrong = judge(want, permitted, *outcome(tools, path, target, *permissions))
        goals.check(f"{target}, {title}: layers that differ", len(wrong), 0)
        print(*wrong[:8], sep="\n", end="\n" if wrong else "")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--work", default=str(ROOT / "build" / "e2e"))
    a = p.parse_args()
    work, tools, goals = Path(a.work), Tools(a.build), Goals()
    work.mkdir(parents=True, exist_ok=True)
    for target in ("sm_110a", "sm_90a", "cpu"):
        check(target, tools, goals, work)
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
