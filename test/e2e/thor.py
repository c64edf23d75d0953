#!/usr/bin/env python3
# Whole models for sm_110a on the emulated GPU: every launch against the f64 reference, outputs against the CPU's.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""thor.py [--build DIR] [--work FOLDER] [--target sm_110a|sm_100a] [--only NAME,..] [--seeds N] [--long]

Gated MLPs at sizes that tiles do not divide (of FP8 in blocks of 128, too), attention by itself (with --long: on as many keys as a vision prefix has), a decoder
layer, and a SigLIP layer (heads of 72; a hidden size that, like 4304, divides by 16 and by no more), in the formats that tcgen05 multiplies. `nibble verify` runs the engine launch by launch on the emulated GPU and compares each
with its exact value, attention in several orders of what runs at once; the whole run must agree with the CPU engine. Exit 1 if anything is wrong."""
import argparse
import json
import os
import re
import sys
from pathlib import Path

from common import OK, Goals, Tools, build_argument, in_venv, written

in_venv()
import numpy as np  # noqa: E402

import block_quantize  # noqa: E402
from attention import write_attention  # noqa: E402  (test/models)
from decoder import write_decoder  # noqa: E402
from mlp import write_mlp  # noqa: E402
from rounded import check_rounded  # noqa: E402
from siglip import write_siglip  # noqa: E402

# Format of a gated MLP, type of its activations, the class of its products, greatest relative error to the CPU's output.
FORMATS = [("dense", "f16", "gemm.tcgen05.f16", 1e-3), ("dense", "bf16", "gemm.tcgen05.bf16", 1e-2),
           ("fp8", "f16", "gemm.tcgen05.f8f6f4", 1e-2), ("nvfp4", "f16", "gemm.tcgen05.mxf4nvf4", 2e-2),
           ("mxfp4", "f16", "gemm.tcgen05.mxf4", 2e-2), ("mxfp8", "f16", "gemm.tcgen05.mxf8f6f4", 1e-2), ("mxfp4-mxfp8", "f16", "gemm.tcgen05.mxf8f6f4", 1e-2),
           ("nvfp4-weight", "f16", "gemm.tcgen05.f16.expand", 1e-3), ("nvfp4-weight", "bf16", "gemm.tcgen05.bf16.expand", 1e-2),
           ("w4a8", "f16", "gemm.tcgen05.f16.expand", 2e-2), ("fp8-weight", "f16", "gemm.tcgen05.f16.expand", 1e-3),
           ("onnx24-mxfp4", "bf16", "gemm.tcgen05.bf16.expand", 1e-2)]
# The same of which groups of K are scaled in f32: INT4 in groups of 128 and 32, without and with zero points, next to f16 and FP8 (W4A8).
GROUPS = [("int4-awq", "f16", "gemm.tcgen05.f16.expand", 1e-3), ("int4-awq", "bf16", "gemm.tcgen05.bf16.expand", 1e-2),
          ("int4-cli", "f16", "gemm.tcgen05.f16.expand", 1e-3), ("onnx25", "f16", "gemm.tcgen05.f16.expand", 1e-3),
          ("onnx21", "f16", "gemm.tcgen05.f16.expand", 2e-2), ("onnx24-mxfp4", "f16", "gemm.tcgen05.f16.promote32", 2e-2)]
# FP8 in blocks of 128, activations and weights, as no exporter writes it: rows, k, columns behind the first products and the last, gate and up.
BLOCKS = [(1, 384, 256, 272, True), (7, 144, 384, 208, False), (50, 256, 384, 272, False), (129, 384, 256, 136, True)]

# Launches of a gated MLP whose input is quantized by blocks: one writes codes, and scales in tiles, and two multiply.
LAUNCHES = {"nvfp4": 3, "mxfp4": 3, "mxfp8": 3, "mxfp4-mxfp8": 3}


def rows_of(fmt):
    """Rows of the gated MLPs of a format."""
    return (1, 7, 50, 129) if fmt in ("nvfp4", "mxfp4", "w4a8") else (7, 129)


# Queries and keys of attention: keys that tiles of 64 or 128 do not divide.
SIZES = [(1, 129), (50, 129), (7, 50), (129, 300)]
# Heads, of keys, and elements of one; type of q, k and v, letters of those that are FP8 codes (p: weights).
ATTENTIONS = [(2, 2, 64, "f16", ""), (2, 2, 72, "bf16", ""), (8, 1, 72, "f16", ""), (2, 1, 128, "bf16", ""), (8, 1, 256, "f16", ""), (1, 1, 256, "bf16", ""),
              (2, 2, 64, "f16", "qkv"), (8, 1, 128, "f16", "kv"), (8, 1, 256, "bf16", "kv"), (2, 1, 128, "f16", "y"),
              (8, 1, 128, "f16", "qkvp"), (2, 2, 72, "bf16", "qkvpy"), (2, 1, 256, "f16", "p")]


def attention_tolerance(dtype, codes):
    """Codes of weights on a border have either value."""
    return 1e-2 if dtype == "bf16" or "y" in codes or "p" in codes else 1e-3


def given(kind, inputs, seed):
    return [part for i, name in enumerate(inputs) for part in ("--input", f"{name}={kind}:seed={seed + i}")]


def run(tools, engine, device, file, inputs, output):
    tools.call("nibble-run", "run", engine, "--device", device, *given("normal", inputs, 3), "--output", f"{output}=@{file}", expect=OK)
    array = np.load(file)
    if array.dtype.itemsize == 2 and array.dtype != np.float16:  # bits of bf16
        array = (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float64)


def verify(tools, goals, name, engine, inputs, seeds, options=()):
    """Each launch. An order of what runs at once comes from a seed."""
    for seed in range(1, seeds + 1):
        os.environ["NIBBLE_EMU_SEED"] = str(seed)
        done = tools.call("nibble", "verify", engine, "--device", "emu", "--layers-only", *given("outliers", inputs, 5), *options)
        goals.check(f"{name}: nibble verify, exit code, seed {seed}", done.returncode, 0)
        if done.returncode:
            print(done.stdout[-3000:], done.stderr[-3000:])


def launches_of(tools, engine):
    text = tools.call("nibble-run", "inspect", engine, expect=OK).stdout
    return int(re.search(r"entry point main: (\d+) launches", text).group(1))


def compare(a, tools, goals, name, model, products, kernel, tolerance, inputs="x", seeds=1, launches=None, output="y", options=(), made=()):
    """One model, compiled with the options `made`: what multiplies, how many launches there are, each of them, and the output."""
    gpu, cpu = model.with_suffix(".nbl"), model.with_suffix(".cpu.nbl")
    done = tools.call("nibble", "compile", model, "-o", gpu, "--target", a.target, *made, expect=OK)
    goals.check(f"{name}: products on FMA units", done.stderr.count("runs on FMA units"), 0)
    tools.compile(model, cpu, *made, expect=OK)
    report = json.loads(tools.call("nibble", "explain", gpu, "--json", expect=OK).stdout)
    on_tensor_cores = [layer for layer in report["layers"] if layer["kernel"] == kernel]
    goals.check(f"{name}: {kernel}", len(on_tensor_cores), products, at_least=True)
    if launches:
        goals.check(f"{name}: launches", launches_of(tools, gpu), launches)
    verify(tools, goals, name, gpu, inputs, seeds, (*made, *options))
    mine, theirs = (run(tools, engine, device, Path(a.work) / "y.npy", inputs, output) for engine, device in ((gpu, "emu"), (cpu, "cpu")))
    goals.check(f"{name}: relative error to the CPU", np.linalg.norm(mine - theirs) / np.linalg.norm(theirs), tolerance)


def mlps(a, tools, goals):
    for fmt, dtype, kernel, tolerance in FORMATS + GROUPS:
        file_format, made = written(fmt)
        for m in rows_of(fmt):
            act = "silu" if m == 129 else "gelu"
            model = Path(a.work) / f"{fmt}_{dtype}_{m}.onnx"
            write_mlp(model, file_format, m=m, k=384, n=640, dtype=dtype, act=act)
            compare(a, tools, goals, f"MLP {fmt} {dtype}, {m} rows, {act}", model, 2, kernel, tolerance, launches=LAUNCHES.get(fmt), made=made)


def blocks(a, tools, goals):
    """A quantizer, two products, what is between them (tanh in 16 bits: the tolerance of block_quantize.py), and its quantizer."""
    for m, k, n, k2, gated in BLOCKS:
        model = Path(a.work) / "blocks.mlir"
        model.write_text(block_quantize.mlp(block_quantize.Case("block", "block", recipe="modelopt", gated=gated, m=m, k=k, n=n, k2=k2), 3))
        compare(a, tools, goals, f"FP8 in blocks of 128, {m}x{k}x{n}x{k2}{', gated' * gated}", model, 2, "gemm.tcgen05.f8f6f4.block128", 1e-3, ["x0"],
                output="y0", options=("--tol", "fro=5e-2"))


def attentions(a, tools, goals):
    """1 to 129 queries; keys that tiles of 64 or 128 do not divide, with --long as many as a vision prefix has."""
    for i, (heads, kv_heads, size, dtype, codes) in enumerate(ATTENTIONS):
        for queries, keys in SIZES + [(129, 970)] if a.long else SIZES[i % 2::2]:
            model = Path(a.work) / "attention.onnx"
            write_attention(model, heads, queries, keys, size, dtype, kv_heads, codes=codes)
            name = f"attention {dtype} {codes}, {heads}:{kv_heads} heads of {size}, {queries} queries, {keys} keys"
            tolerance = attention_tolerance(dtype, codes)
            compare(a, tools, goals, name, model, 1, "attention.tcgen05", tolerance, "qkv", a.seeds)


def rounded(a, tools, goals):
    model = Path(a.work) / "rounded.onnx"
    write_mlp(model, "w4a8", m=700, k=256, n=384, dtype="f16")
    check_rounded(tools, goals, model, a.target, "emu", "gemm.tcgen05.f8f6f4",
                  lambda engine, device: run(tools, engine, device, Path(a.work) / "y.npy", ["x"], "y"))


def decoders(a, tools, goals):
    for fmt, dtype, kernel, tolerance in FORMATS + GROUPS[:1]:
        model = Path(a.work) / f"decoder_{fmt}_{dtype}.onnx"
        file_format, made = written(fmt)
        write_decoder(model, file_format, dtype=dtype, layers=1, seq=37, width=128, mlp=256, heads=4, kv_heads=2, head_dim=32)
        compare(a, tools, goals, f"decoder layer {fmt} {dtype}", model, 3, kernel, tolerance, made=made)


def check_on_device_codes(tools, goals, name, engine, limit, made):
    """The whole graph in f64, ties decided as the device did."""
    done = tools.call("nibble", "verify", engine, "--device", "emu", "--device-codes", "--json", *given("normal", ["x"], 3), *made, timeout=3000, expect=OK)
    output = json.loads(done.stdout)["outputs"][0]
    goals.check(f"{name}: error to the reference", output["kernel_error"]["frobenius"])
    goals.check(f"{name}: the same on the device's codes", output["kernel_error_on_device_codes"]["frobenius"], limit)


def siglips(a, tools, goals):
    """464, as 4304, are rows of 4-bit codes that end inside of 16 bytes, and an odd number of blocks of 16. They are no whole number of blocks of 32, which no
    exporter writes (Model Optimizer's W4A8 has these, too): such formats have 480, which boxes of 128 spread codes do not divide. --long: full size."""
    for fmt, dtype, kernel, tolerance in FORMATS:
        odd = "mx" not in fmt and fmt != "w4a8"
        size = dict(tokens=256, width=1152, mlp=4304 if odd else 4320, heads=16) if a.long else dict(tokens=37, width=288, mlp=464 if odd else 480, heads=4)
        model = Path(a.work) / f"siglip_{fmt}_{dtype}.onnx"
        file_format, made = written(fmt)
        write_siglip(model, file_format, dtype=dtype, layers=1, **size)
        name = f"SigLIP layer {fmt} {dtype}"
        # One code of 4 bits that is decided otherwise changes later ones of its row, whose error is then that of the format (8e-2 of the row): next to the CPU,
        # which decides ties its own way, a quarter of the rows may have it. What must agree is the output for the codes that the device made.
        compare(a, tools, goals, name, model, 4, kernel, 2 * tolerance if a.long and fmt in ("nvfp4", "mxfp4") else tolerance, made=made)
        if a.long:
            # Attention rounds its weights to 8 bits of mantissa (docs/numerics.md).
            check_on_device_codes(tools, goals, name, model.with_suffix(".nbl"), 2**-8 if dtype == "bf16" else 1e-3, made)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(parser)
    parser.add_argument("--work", default="build/thor")
    parser.add_argument("--target", default="sm_110a")
    parser.add_argument("--only", default="mlps,rounded,blocks,attentions,decoders,siglips")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--long", action="store_true")
    a = parser.parse_args()
    Path(a.work).mkdir(parents=True, exist_ok=True)
    tools, goals = Tools(a.build), Goals()
    for part in a.only.split(","):
        {"mlps": mlps, "rounded": rounded, "blocks": blocks, "attentions": attentions, "decoders": decoders, "siglips": siglips}[part](a, tools, goals)
    sys.exit(0 if goals.met else 1)


if __name__ == "__main__":
    main()
