#!/usr/bin/env python3
# Quantizers with scales of blocks behind products on tensor cores: one launch, and the bits that the CPU makes of the same numbers.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""block_quantize.py [--build DIR] [--work FOLDER] [--device emu|cuda]

Each case is a small MLP between products of one format and a quantizer of another, with rows, columns and K that are no multiples of tiles,
outliers in some channels and blocks of zeros. The product, its activation and the quantizer must be one launch; where they cannot be, the
reason is the one that is written here. Results and codes of the kernel are outputs: the CPU target quantizes the same results, and must
get the same bits. `nibble verify` compares every launch with its exact value. Exit 1 if anything differs."""
import argparse
import json
import sys
from pathlib import Path

from common import OK, Goals, Tools, build_argument, in_venv

in_venv()
import numpy as np  # noqa: E402

TARGET = "sm_90a"
ACTIVATIONS = {"nvfp4": "!nq.nvfp4", "mxfp8": "!nq.mxfp8", "mxfp4": "!nq.mxfp4", "block": "!nq.scaled<f8E4M3FN, f32 per 1x128>"}


class Case:
    """Products of `a`, then of `mid`; `el`: type between them. `cut`: why it is more than one launch. `wide`: codes are no
    output, but only stored as 16-bit numbers, as products next to expanded weights read them; such a product with the identity shows them. `tiny`: numbers, and
    the global scale, are so small that bf16 has few digits below them, and there is no activation, which would make zeros of them."""

    def __init__(self, a, mid, el="f16", recipe="trt-dynamic", gated=False, m=129, k=160, n=288, k2=176, cut=None, wide=False, tiny=False):
        self.a, self.mid, self.el, self.recipe, self.gated, self.cut, self.wide = a, mid, el, recipe, gated, cut, wide
        self.tiny, self.scale = tiny, 2.0 ** -97 if tiny else 2.0 ** -8
        self.m, self.k, self.n, self.k2 = m, k, n, n if wide else k2
        self.name = f"{a}{' gated' * gated} {el} to {mid} ({recipe}), {m}x{k}x{n}{', tiny' * tiny}{', wide' * wide}"


CASES = [
    # Weights on the N side: blocks are columns of a tile.
    Case("f16", "nvfp4"), Case("f16", "nvfp4", recipe="compressed-tensors", m=65), Case("f16", "nvfp4", recipe="torchao", gated=True),
    Case("f16", "nvfp4", recipe="modelopt-torch", n=416), Case("bf16", "nvfp4", "bf16"), Case("bf16", "nvfp4", "bf16", tiny=True), Case("f16", "mxfp8", n=416),
    Case("f16", "nvfp4", recipe="transformer-engine"), Case("bf16", "mxfp8", "bf16", recipe="ocp", gated=True), Case("f16", "mxfp4", m=200),
    Case("f16", "block", n=384), Case("bf16", "block", "bf16", n=384, m=200), Case("f16", "nvfp4", "f32"),
    Case("block", "block", k=256, n=384, k2=272), Case("f16", "nvfp4", m=1), Case("f16", "nvfp4", m=50, k=72), Case("f16", "mxfp8", "f32", m=7),
    # Weights that are expanded: on the M side, blocks are rows. Codes of 4 bits as outputs are a launch of their own there.
    Case("nvfp4", "nvfp4", gated=True, wide=True), Case("nvfp4", "nvfp4", "bf16", wide=True, n=272),
    Case("nvfp4", "nvfp4", wide=True, recipe="torchao", m=333), Case("nvfp4", "nvfp4", "f32", wide=True),
    Case("mxfp8", "mxfp8", wide=True, n=320, recipe="ocp"),
    Case("nvfp4", "nvfp4", gated=True, cut="two codes of 4 bits"), Case("mxfp8", "mxfp8", "bf16", gated=True),
    Case("mxfp8", "mxfp8", recipe="torchao-rceil", n=416, m=200), Case("nvfp4", "mxfp8", n=320),
    # Few rows, whose weights are streamed: a thread has all columns of a block.
    Case("nvfp4", "nvfp4", gated=True, wide=True, m=1), Case("nvfp4", "nvfp4", gated=True, wide=True, m=7, k=96),
    Case("nvfp4", "nvfp4", "bf16", wide=True, m=50, k=1024, n=272), Case("nvfp4", "nvfp4", wide=True, m=3, k=2048, recipe="torchao"),
    Case("nvfp4", "nvfp4", wide=True, m=17, recipe="modelopt-torch"),
    Case("mxfp8", "mxfp8", wide=True, n=320, m=5),
    # What has no kernel of its own, and says why.
    Case("block", "block", gated=True, k=256, n=384, k2=272, cut="accumulators of 232 registers"),
    Case("nvfp4", "block", n=384, cut="blocks of 128 columns"),
]


def hexadecimal(array):
    return f'dense<"0x{array.tobytes().hex().upper()}">'


def constant(r, fmt, n, k, identity=False):
    """Weights [n, k] as text, and their type."""
    if fmt in ("f16", "bf16"):
        w = (r.standard_normal((n, k)) / np.sqrt(k)).astype(np.float16)
        w = w if fmt == "f16" else (w.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        return f"arith.constant {hexadecimal(w)}", f"tensor<{n}x{k}x{fmt}>"
    block = {"block": 128, "nvfp4": 16, "mxfp8": 32}[fmt]
    bits = 4 if fmt == "nvfp4" else 8
    grid = n * k // block if fmt != "block" else -(-n // 128) * -(-k // 128)
    codes = r.integers(0, 256, n * k * bits // 8).astype(np.uint8)
    if bits == 8:
        codes[(codes & 0x7F) == 0x7F] = 0x30
    scales = {"block": lambda: (r.random(grid) * 1e-3 + 1e-4).astype(np.float32), "nvfp4": lambda: r.integers(40, 70, grid).astype(np.uint8),
              "mxfp8": lambda: r.integers(116, 121, grid).astype(np.uint8)}[fmt]()
    if identity:
        codes = np.where(np.eye(n, k), 2 if bits == 4 else 0x38, 0).astype(np.uint8).ravel()
        codes = codes[0::2] | codes[1::2] << 4 if bits == 4 else codes
        scales = np.full(grid, 0x38 if fmt == "nvfp4" else 127, np.uint8)
    extra = f" global(dense<{1.0 if identity else 0.01}> : tensor<f32>)" if fmt == "nvfp4" else ""
    element = {"block": "!nq.scaled<f8E4M3FN, f32 per 128x128>", "nvfp4": "!nq.nvfp4", "mxfp8": "!nq.mxfp8"}[fmt]
    text = (f"nq.constant codes({hexadecimal(codes)} : tensor<{codes.size}xi8>) "
            f"scales({hexadecimal(scales)} : tensor<{grid}x{'f32' if fmt == 'block' else 'i8'}>){extra}")
    return text, f"tensor<{n}x{k}x{element}>"


def quantize(name, value, shape, el, fmt, recipe):
    """An op as text, and the type of its result."""
    result = f"tensor<{shape}x{ACTIVATIONS[fmt]}>"
    scale = "global(%g : tensor<f32>) " if fmt == "nvfp4" else ""
    return f'  %{name} = nq.quantize {value} recipe("{recipe}") {scale}: tensor<{shape}x{el}> -> {result} loc("{name}")', result


def entry(case, arguments, results, body):
    ports = lambda letter, types: [f'{{nibble.name = "{letter}{i}"}}' for i in range(len(types))]
    inputs = ", ".join(f"%x{i}: {t} {p}" for i, (t, p) in enumerate(zip(arguments, ports("x", arguments))))
    outputs = ", ".join(f"{t} {p}" for (_, t), p in zip(results, ports("y", results)))
    values, types = (", ".join(pair[i] for pair in results) for i in (0, 1))
    return "\n".join(["#id = affine_map<(d0, d1) -> (d0, d1)>", f"func.func @main({inputs}) -> ({outputs}) attributes {{nibble.entry}} {{",
                      f"  %g = arith.constant dense<{case.scale}> : tensor<f32>", *body, f"  return {values} : {types}", "}", ""])


def activation(case, hidden, products):
    """tanh(first product) * last product."""
    return [f"  %e = tensor.empty() : {hidden}",
            f"  %act = linalg.generic {{indexing_maps = [{', '.join(['#id'] * (products + 1))}], iterator_types = [\"parallel\", \"parallel\"]}} "
            f"ins({', '.join(f'%h{i}' for i in range(products))} : {', '.join([hidden] * products)}) outs(%e : {hidden}) {{",
            f"  ^bb0({', '.join(f'%a{i}: {case.el}' for i in range(products))}, %o: {case.el}):", f"    %t = math.tanh %a0 : {case.el}",
            f"    %p = arith.mulf %t, %a{products - 1} : {case.el}", f"    linalg.yield %p : {case.el}", f'  }} -> {hidden} loc("act")']


def mlp(case, seed):
    """fc1 (gate and up), x tanh(x), quantizer, fc2. Outputs: y, what is quantized, and what it becomes."""
    r, body = np.random.default_rng(seed), []
    shape, a = f"{case.m}x{case.k}", "%x0"
    a_type = f"tensor<{shape}x{case.el}>"
    if case.a in ACTIVATIONS:
        line, a_type = quantize("xq", "%x0", shape, case.el, case.a, "trt-dynamic" if case.a != "block" else "modelopt")
        body.append(line)
        a = "%xq"
    elif case.a != case.el:
        a_type = f"tensor<{shape}x{case.a}>"
    hidden = f"tensor<{case.m}x{case.n}x{case.el}>"
    products = 1 + case.gated
    for i in range(products):
        text, w_type = constant(r, case.a, case.n, case.k)
        body += [f"  %w{i} = {text} : {w_type}", f'  %h{i} = nq.matmul {a}, %w{i} transpose_b : ({a_type}, {w_type}) -> {hidden} loc("fc1.{i}")']
    act = "%h0" if case.tiny else "%act"
    if not case.tiny:
        body += activation(case, hidden, products)
    line, q_type = quantize("q", act, f"{case.m}x{case.n}", case.el, case.mid, case.recipe)
    body.append(line)
    results = []
    if case.mid != "mxfp4":
        text, w_type = constant(r, case.mid, case.k2, case.n, case.wide)
        y = f"tensor<{case.m}x{case.k2}x{case.el}>"
        body += [f"  %w2 = {text} : {w_type}", f'  %y = nq.matmul %q, %w2 transpose_b : ({q_type}, {w_type}) -> {y} loc("fc2")']
        results.append(("%y", y))
    results += [(act, hidden)] + ([] if case.wide else [("%q", q_type)])
    return entry(case, [f"tensor<{shape}x{case.a if case.a not in ACTIVATIONS else case.el}>"], results, body)


def quantizer(case):
    """The quantizer by itself, and what its codes stand for."""
    line, q_type = quantize("q", "%x0", f"{case.m}x{case.n}", case.el, case.mid, case.recipe)
    x_type = f"tensor<{case.m}x{case.n}x{case.el}>"
    return entry(case, [x_type], [("%q", q_type), ("%d", x_type)], [line, f"  %d = nq.dequantize %q : {q_type} -> {x_type}"])


def sample(case, seed):
    """Rows with outlier channels; one of zeros, one of tiny numbers."""
    r = np.random.default_rng(seed)
    x = r.standard_normal((case.m, case.k)).astype(np.float32)
    x[:, r.integers(0, case.k, 4)] *= 30
    if case.m > 4:
        x[case.m // 2] = 0
        x[case.m // 3] *= 1e-4
    x *= 2.0 ** -90 if case.tiny else 1
    el = case.a if case.a not in ACTIVATIONS else case.el
    if el == "bf16":
        return (x.view(np.uint32) >> 16).astype(np.uint16)
    return x.astype(np.float16 if el == "f16" else np.float32)


def run(tools, engine, device, inputs, outputs):
    for file in outputs.values():
        file.unlink(missing_ok=True)
    ports = [f for name, file in inputs.items() for f in ("--input", f"{name}=@{file}")]
    ports += [f for name, file in outputs.items() for f in ("--output", f"{name}=@{file}")]
    tools.call("nibble-run", "run", engine, "--device", device, *ports, expect=OK)


def check_bits(case, a, tools, goals, engine, x):
    """Codes, scales and all else of the quantizer, from the kernel's own results."""
    folder = Path(a.work)
    first = int(case.mid != "mxfp4")
    act, mine, theirs = (folder / f"{name}.npy" for name in ("act", "mine", "theirs"))
    run(tools, engine, a.device, {"x0": x}, {f"y{first}": act, "y0" if case.wide else f"y{first + 1}": mine})
    (folder / "quantizer.mlir").write_text(quantizer(case))
    tools.compile(folder / "quantizer.mlir", folder / "quantizer.nbl", expect=OK)
    run(tools, folder / "quantizer.nbl", "cpu", {"x0": act}, {"y1" if case.wide else "y0": theirs})
    got, want = (np.load(file) for file in (mine, theirs))
    if case.wide:  # sums of zeros have no sign
        got, want = (np.where(array << 1 == 0, 0, array) for array in (x.view(f"u{x.itemsize}") for x in (got, want)))
    got, want = (np.frombuffer(array.tobytes(), np.uint8) for array in (got, want))
    goals.check(f"{case.name}: bytes that are not zero", int((got != 0).sum()), got.size // 8, at_least=True)
    goals.check(f"{case.name}: bytes that differ", int((got != want).sum()) if got.size == want.size else got.size, 0)


def check(case, a, tools, goals, seed):
    folder = Path(a.work)
    model, engine, x = folder / "mlp.mlir", folder / "mlp.nbl", folder / "x.npy"
    permission = ("--allow-fallback", "*:bf16")
    model.write_text(mlp(case, seed))
    np.save(x, sample(case, seed))
    done = tools.call("nibble", "compile", model, "-o", engine, "--target", TARGET, *permission, expect=OK)
    goals.check(f"{case.name}: warnings of local memory in products", sum("matmul" in line and "_loops" not in line and "local memory" in line for line in done.stderr.splitlines()), 0)
    count = json.loads(tools.call("nibble-run", "inspect", engine, "--json", expect=OK).stdout)["entries"][0]["launch_count"]
    report = json.loads(tools.call("nibble", "explain", model, "--target", TARGET, "--json", *permission, expect=OK).stdout)
    layers = report["totals"]["kernels"]
    if case.cut:
        told = json.loads(tools.call("nibble", "explain", engine, "--json", expect=OK).stdout)
        reasons = " ".join(entry.get("reason", "") for entry in told["layers"] + told["decisions"])
        goals.check(f"{case.name}: launches more than kernels, which {case.cut!r} explains", count - layers, 1, at_least=True)
        goals.check(f"{case.name}: says so", case.cut in reasons, 1, at_least=True)
    else:
        goals.check(f"{case.name}: launches more than kernels", count - layers, 0)
    done = tools.call("nibble", "verify", engine, "--device", a.device, "--layers-only", "--input", f"x0=@{x}", "--tol", "fro=5e-2", *permission)
    goals.check(f"{case.name}: nibble verify, exit code", done.returncode, 0)
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-2000:])
    check_bits(case, a, tools, goals, engine, x)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--work", default="build/e2e/block_quantize")
    p.add_argument("--device", default="emu", choices=["emu", "cuda"])
    p.add_argument("--only", default="", help="cases whose name has this text")
    a = p.parse_args()
    Path(a.work).mkdir(parents=True, exist_ok=True)
    tools, goals = Tools(a.build), Goals()
    for number, case in enumerate(CASES):
        if a.only in case.name:
            check(case, a, tools, goals, 5 + number)
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
