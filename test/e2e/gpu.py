#!/usr/bin/env python3
# Whole models for sm_90a on the emulated GPU: every launch against the f64 reference, outputs against the CPU's.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""gpu.py [--build DIR] [--work FOLDER] [--device emu|cuda] [--all]

Decoder layers (RMSNorm, attention with RoPE, gated MLP) in the formats that files come in are compiled for sm_90a. `nibble
verify` runs the engine launch by launch on the device and compares each with its exact value; the whole run must agree with
the CPU engine. Products on tensor cores must be what the reports say they are. Also: decoding steps with the cache in states
on the device, of FP8, too; attention of FP8 operands, and to FP8; candidates engines, locked compiles, tuning databases, and how a machine without a GPU answers. Exit 1 if
anything is wrong."""
import argparse
import json
import sys
from pathlib import Path

from common import DEVICE, OK, REFUSED, UNSUPPORTED, USAGE, Goals, Tools, build_argument, explained, in_venv

in_venv()
import numpy as np  # noqa: E402

from attention import write_attention  # noqa: E402  (test/models)
from cache import write_step  # noqa: E402
from decoder import write_decoder  # noqa: E402
from mlp import write_mlp  # noqa: E402
from nibble_rt import Runtime  # noqa: E402
from rounded import check_rounded  # noqa: E402
from siglip import write_siglip  # noqa: E402
from step import write_step as write_layers  # noqa: E402

PAIRS = ["--state", "past_key_values.*.key=present.*.key", "--state", "past_key_values.*.value=present.*.value"]
SIZE = dict(seq=37, width=128, mlp=256, heads=4, kv_heads=2, head_dim=32)
# Format, type of activations, kernels on tensor cores at least, greatest relative error to the CPU's output: where values are
# quantized on the way, codes may fall on the other side of a boundary.
FORMATS = [("fp8", "f16", 2, 1e-2), ("dense", "f16", 2, 1e-3), ("dense", "bf16", 2, 1e-2), ("dense", "f32", 0, 1e-5),
           ("nvfp4", "f16", 0, 2e-2), ("nvfp4-weight", "f16", 0, 1e-3), ("w4a8", "f16", 0, 2e-2)]
# More rows than are streamed: weights are expanded to operands of the tensor cores.
LONG = [("w4a8", "f16", 3, 2e-2), ("fp8-weight", "f16", 3, 1e-3), ("nvfp4-weight", "f16", 3, 1e-3), ("nvfp4-weight", "bf16", 3, 1e-2), ("int4-awq", "f16", 3, 1e-3)]
MORE = [("int4-awq", "f16", 0, 1e-3), ("onnx24-mxfp4", "f16", 0, 2e-2), ("fp8-unfolded", "f16", 2, 1e-2),
        ("nvfp4-awq", "f16", 0, 2e-2), ("fp8-weight", "f16", 0, 1e-3), ("nvfp4-svd", "f16", 0, 2e-2)]

# Formats of both operands, type of the model, options.
QUANTIZED = [("w4a8", "f16", ()), ("onnx21", "bf16", ()), ("nvfp4", "f16", ()), ("fp8-weight", "bf16", ()),
             ("onnx25", "bf16", ()), ("mxfp8", "f16", ("--allow-fallback", "*:bf16")), ("int8", "f16", ("--allow-fallback", "*:f16"))]


def compile_gpu(tools, model, engine, *options, expect=OK):
    return tools.call("nibble", "compile", model, "-o", engine, "--target", "sm_90a", *options, "--json", expect=expect)


def outputs(tools, engine, device, file, *options):
    tools.call("nibble-run", "run", engine, "--device", device, "--input", "x=normal:seed=3", "--output", f"y=@{file}", *options,
               expect=OK)
    array = np.load(file)
    if array.dtype.itemsize == 2 and array.dtype != np.float16:  # bits of bf16
        array = (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float64)


def products(tools, model, kernel, *options):
    return explained(tools, model, "sm_90a", kernel, *options)


def tensor_kernels(tools, model):
    return sum(bool(layer["schedule"]) for layer in products(tools, model, "gemm.wgmma"))


def layers(a, tools, goals, fmt, dtype, kernels, tolerance, seq=SIZE["seq"]):
    long = seq != SIZE["seq"]
    name, folder = f"{fmt} {dtype}" + f", {seq} rows" * long, Path(a.work)
    model, gpu, cpu = (folder / f"{fmt}_{dtype}{'_long' * long}{end}" for end in (".onnx", ".nbl", ".cpu.nbl"))
    write_decoder(model, fmt, dtype=dtype, layers=1, **{**SIZE, "seq": seq})
    compile_gpu(tools, model, gpu)
    tools.compile(model, cpu, expect=OK)
    goals.check(f"{name}: products on tensor cores", tensor_kernels(tools, model), kernels, at_least=True)
    done = tools.call("nibble", "verify", gpu, "--device", a.device, "--layers-only")
    goals.check(f"{name}: nibble verify, exit code", done.returncode, 0)
    if done.returncode:
        print(done.stdout[-3000:], done.stderr[-3000:])
    mine, theirs = (outputs(tools, engine, device, folder / "y.npy") for engine, device in ((gpu, a.device), (cpu, "cpu")))
    if a.device == "cuda" and fmt.startswith("fp8"):
        tolerance *= 2  # real tensor cores keep fewer bits of FP8 sums than the emulated ones: more codes fall on the other side
    goals.check(f"{name}: relative error to the CPU", np.linalg.norm(mine - theirs) / np.linalg.norm(theirs), tolerance)


def quantized_mlps(a, tools, goals):
    """Quantized activations and weights that no matrix instruction multiplies: as f16 or bf16 on tensor cores, or as FP8."""
    folder = Path(a.work)
    model, gpu, cpu = (folder / f"quantized{end}" for end in (".onnx", ".nbl", ".cpu.nbl"))
    for fmt, dtype, options in QUANTIZED:
        for m in (1, 7, 50, 129) if fmt == "w4a8" else (7, 129):
            name = f"MLP {fmt} {dtype} {' '.join(options)}, {m} rows"
            write_mlp(model, fmt, m=m, k=160, n=288, dtype=dtype)
            compile_gpu(tools, model, gpu, *options)
            tools.compile(model, cpu, *options, expect=OK)
            goals.check(f"{name}: products on FMA units", len(products(tools, model, "gemm.simt", *options)), 0)
            if m > 64 or fmt == "nvfp4":  # the quantizer of the input; gate, up, GeGLU and quantizer; down
                goals.check(f"{name}: launches", launches(tools, gpu), 3)
            done = tools.call("nibble", "verify", gpu, "--device", a.device, "--layers-only", *options)
            goals.check(f"{name}: nibble verify, exit code", done.returncode, 0)
            mine, theirs = (outputs(tools, engine, device, folder / "y.npy") for engine, device in ((gpu, a.device), (cpu, "cpu")))
            goals.check(f"{name}: relative error to the CPU", np.linalg.norm(mine - theirs) / np.linalg.norm(theirs), 2e-2)


def rounded(a, tools, goals):
    model = Path(a.work) / "rounded.onnx"
    write_mlp(model, "w4a8", m=700, k=512, n=768, dtype="f16")
    check_rounded(tools, goals, model, "sm_90a", a.device, "gemm.wgmma.e4m3",
                  lambda engine, device: outputs(tools, engine, device, Path(a.work) / "y.npy"))


def launches(tools, engine):
    return json.loads(tools.call("nibble-run", "inspect", engine, "--json", expect=OK).stdout)["entries"][0]["launch_count"]


def siblings(a, tools, goals):
    """Query, key and value as one product: fewer launches, every bit as before."""
    tiny = dict(tokens=37, width=128, mlp=256, heads=4)
    models = [("decoder fp8", 2, lambda p: write_decoder(p, "fp8", layers=1, **SIZE)),
              ("decoder f16", 2, lambda p: write_decoder(p, "dense", layers=1, **SIZE)),
              ("SigLIP fp8", 3, lambda p: write_siglip(p, "fp8", **tiny)), ("SigLIP f16", 3, lambda p: write_siglip(p, "dense", **tiny))]
    for name, fewer, write in models:
        model, one, three = (Path(a.work) / f"siblings{end}" for end in (".onnx", ".nbl", ".three.nbl"))
        write(model)
        compile_gpu(tools, model, one)
        compile_gpu(tools, model, three, "--no-fusion", "merge-sibling-products")
        goals.check(f"{name}: launches less with one product for q, k and v", launches(tools, three) - launches(tools, one), fewer,
                    at_least=True)
        mine, theirs = (outputs(tools, engine, a.device, Path(a.work) / "y.npy") for engine in (one, three))
        goals.check(f"{name}: elements that differ from three products", int((mine != theirs).sum()), 0)


def decoding(a, tools, goals):
    """The cache stays on the device between steps."""
    size = dict(layers=1, length=16, heads=2, size=16)
    model = Path(a.work) / "step.onnx"
    write_step(model, "tensor", **size)
    contexts = []
    for target, device in (("cpu", "cpu"), ("sm_90a", a.device)):
        engine = Path(a.work) / f"step_{target}.nbl"
        tools.call("nibble", "compile", model, "-o", engine, "--target", target, *PAIRS, expect=OK)
        contexts.append(Runtime(a.build, engine, device=device).context())
    rng, worst = np.random.default_rng(1), 0
    for position in range(6):
        feeds = dict(x=rng.normal(size=(1, 1, 32)).astype(np.float32), position=np.array([position], np.int64))
        mine, theirs = (context.run(feeds)["y"] for context in contexts)
        worst = max(worst, float(np.abs(mine - theirs).max() / np.abs(theirs).max()))
    goals.check("decoding with states: relative error to the CPU", worst, 1e-5)
    mine, theirs = (context.states() for context in contexts)
    goals.check("decoding: states that differ", sum(np.abs(mine[n] - theirs[n]).max() > 1e-5 for n in theirs), 0)


def attention(a, tools, goals):
    """FP8 queries, keys, values and results are those of the kernel on tensor cores: no launch but it, and those that quantize
    inputs of the graph or dequantize its output."""
    for codes, others in (("qkv", 3), ("kv", 2), ("y", 1), ("qkvy", 4), ("qkvp", 3), ("kvp", 2), ("p", 0), ("qkvpy", 4)):
        for size, kv_heads in ((64, 1), (72, 4), (128, 1), (256, 4)) if codes == "qkvp" else ((64, 2), (72, 4)):
            name, folder = f"attention, codes of {codes}, heads of {size}", Path(a.work)
            model, gpu, cpu = (folder / f"attention{end}" for end in (".onnx", ".nbl", ".cpu.nbl"))
            write_attention(model, heads=4, queries=70, keys=90, size=size, dtype="f16", kv_heads=kv_heads, codes=codes,
                            casts=codes == "qkvp" and size != 64)
            compile_gpu(tools, model, gpu)
            tools.compile(model, cpu, expect=OK)
            explained = json.loads(tools.call("nibble", "explain", model, "--target", "sm_90a", "--json", expect=OK).stdout)["layers"]
            goals.check(f"{name}: kernels on tensor cores", sum(layer["kernel"] == "attention.wgmma" for layer in explained), 1, at_least=True)
            goals.check(f"{name}: launches", launches(tools, gpu), 1 + others)
            done = tools.call("nibble", "verify", gpu, "--device", a.device, "--layers-only")
            goals.check(f"{name}: nibble verify, exit code", done.returncode, 0)
            rng, arrays = np.random.default_rng(5), []
            feeds = {n: rng.normal(size=(1, h, t, size)).astype(np.float16) for n, h, t in (("q", 4, 70), ("k", kv_heads, 90), ("v", kv_heads, 90))}
            for engine, device in ((gpu, a.device), (cpu, "cpu")):
                arrays.append(Runtime(a.build, engine, device=device).context().run(feeds)["y"].astype(np.float64))
            error = np.linalg.norm(arrays[0] - arrays[1]) / np.linalg.norm(arrays[1])
            # Weights on a border of codes have either one; without codes, results would be 2e-2 apart.
            goals.check(f"{name}: relative error to the CPU", error, 1e-2 if "y" in codes else 4e-3 if "p" in codes else 1e-3)


def layer_of_codes(a, tools, goals):
    """Queries, keys and values are quantized where they are rotated: a layer with FP8 attention has no launch more than one without."""
    model, gpu, cpu, plain = (Path(a.work) / f"coded{end}" for end in (".onnx", ".nbl", ".cpu.nbl", ".plain.nbl"))
    write_decoder(model, "fp8", layers=1, **SIZE)
    compile_gpu(tools, model, plain)
    for codes in ("qkv", "qkvp"):
        name = f"layer with attention on codes of {codes}"
        write_decoder(model, "fp8", layers=1, codes=codes, **SIZE)
        compile_gpu(tools, model, gpu)
        tools.compile(model, cpu, expect=OK)
        goals.check(f"{name}: launches more", launches(tools, gpu) - launches(tools, plain), 0)
        done = tools.call("nibble", "verify", gpu, "--device", a.device, "--layers-only")
        goals.check(f"{name}: nibble verify, exit code", done.returncode, 0)
        mine, theirs = (outputs(tools, engine, device, Path(a.work) / "y.npy") for engine, device in ((gpu, a.device), (cpu, "cpu")))
        goals.check(f"{name}: relative error to the CPU", np.linalg.norm(mine - theirs) / np.linalg.norm(theirs), 2e-2)


def decoding_codes(a, tools, goals):
    """The same with a cache of FP8 codes, which attention reads as they lie."""
    size = dict(layers=1, length=40, width=128, mlp=256, heads=4, kv_heads=2, head_dim=32, dtype="f16")
    model = Path(a.work) / "codes.onnx"
    write_layers(model, "dense", cache="e4m3", **size)
    contexts = []
    for target, device in (("cpu", "cpu"), ("sm_90a", a.device)):
        engine = Path(a.work) / f"codes_{target}.nbl"
        tools.call("nibble", "compile", model, "-o", engine, "--target", target, *PAIRS, expect=OK)
        contexts.append(Runtime(a.build, engine, device=device).context())
    explained = tools.call("nibble", "explain", model, "--target", "sm_90a", "--json", *PAIRS, expect=OK).stdout
    kernels = [layer["kernel"] for layer in json.loads(explained)["layers"]]
    goals.check("decoding with FP8 caches: attentions on tensor cores", kernels.count("attention.wgmma"), 1, at_least=True)
    # As many as with a cache of f16: rows are stored by the product before, and nobody copies a cache.
    plain, engine = Path(a.work) / "plain.onnx", Path(a.work) / "plain.nbl"
    write_layers(plain, "dense", **size)
    tools.call("nibble", "compile", plain, "-o", engine, "--target", "sm_90a", *PAIRS, expect=OK)
    goals.check("decoding with FP8 caches: launches more", launches(tools, Path(a.work) / "codes_sm_90a.nbl") - launches(tools, engine), 0)
    rng, worst = np.random.default_rng(1), 0
    for position in range(24):
        feeds = dict(x=rng.normal(size=(1, 1, size["width"])).astype(np.float16), position=np.array([position], np.int64))
        theirs, mine = (context.run(feeds)["y"].astype(np.float64) for context in contexts)
        worst = max(worst, float(np.linalg.norm(mine - theirs) / np.linalg.norm(theirs)))
    goals.check("decoding with FP8 caches: relative error to the CPU", worst, 1e-2)
    theirs, mine = (context.states() for context in contexts)
    goals.check("decoding with FP8 caches: states", len(mine), 2, at_least=True)
    for name in theirs:
        one, other = (states[name].view(np.uint8) for states in (theirs, mine))
        goals.check(f"decoding with FP8 caches: share of codes of {name} that differ", float((one != other).mean()), 0.01)
        goals.check(f"decoding with FP8 caches: codes of {name} that are not zero", int((one != 0).sum()), 1000, at_least=True)


def schedules(a, tools, goals):
    model, folder = Path(a.work) / "fp8_f16.onnx", Path(a.work)
    done = compile_gpu(tools, model, folder / "locked.nbl", "--locked", expect=REFUSED)
    goals.check("--locked refuses shapes that were not measured", "not in the tuning database" in done.stderr, 1, at_least=True)
    compile_gpu(tools, model, folder / "candidates.nbl", "--candidates", "3")
    entries = json.loads(tools.call("nibble-run", "inspect", folder / "candidates.nbl", "--json", expect=OK).stdout)["entries"]
    goals.check("entry points of a candidates engine", len(entries), 6, at_least=True)
    compile_gpu(tools, model, folder / "overlap.nbl", "--overlap-launches")
    plain, overlapped = (outputs(tools, folder / name, a.device, folder / "y.npy") for name in ("fp8_f16.nbl", "overlap.nbl"))
    goals.check("--overlap-launches: elements that differ", int((plain != overlapped).sum()), 0)
    for text, wanted in (("{", "line 1"), ('{"kernel": "gemm.wgmma.e4m3", "m": 0}', "'m'"), (None, "cannot read")):
        file = folder / "rows.jsonl"
        if text is None:
            file = folder / "nowhere.jsonl"
        else:
            file.write_text(text + "\n")
        done = compile_gpu(tools, model, folder / "x.nbl", "--tuning-db", file, expect=(UNSUPPORTED, REFUSED, USAGE))
        goals.check(f"a bad tuning database says {wanted}", wanted in done.stderr, 1, at_least=True)


def refusals(a, tools, goals):
    engine = Path(a.work) / "fp8_f16.nbl"
    if a.device == "emu":
        done = tools.call("nibble-run", "run", engine, "--device", "cuda", "--input", "x=normal:seed=3")
        absent = done.returncode == DEVICE and "error:" in done.stderr
        goals.check("no GPU: exit code 5 and a reason", absent or done.returncode == OK, 1, at_least=True)
    done = tools.call("nibble-run", "run", engine, "--device", "cpu", "--input", "x=normal:seed=3")
    goals.check("an engine for a GPU on the CPU: exit code", done.returncode, DEVICE)
    goals.check("the error names the target", "sm_90a" in done.stderr, 1, at_least=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--work", default="/tmp/nibble-gpu")
    p.add_argument("--device", default="emu")
    p.add_argument("--only", help="one format")
    p.add_argument("--all", action="store_true", help="more formats")
    a = p.parse_args()
    Path(a.work).mkdir(parents=True, exist_ok=True)
    tools, goals = Tools(a.build), Goals()
    for case in FORMATS + (MORE if a.all else []):
        if a.only in (None, case[0]):
            layers(a, tools, goals, *case)
    siblings(a, tools, goals)
    for case in LONG:
        if a.only in (None, case[0]):
            layers(a, tools, goals, *case, seq=77)
    if a.only in (None, "quantized"):
        quantized_mlps(a, tools, goals)
        rounded(a, tools, goals)
    decoding(a, tools, goals)
    decoding_codes(a, tools, goals)
    attention(a, tools, goals)
    layer_of_codes(a, tools, goals)
    schedules(a, tools, goals)
    refusals(a, tools, goals)
    sys.exit(0 if goals.met else 1)


if __name__ == "__main__":
    main()
