#!/usr/bin/env python3
# Models quantized by Nibble itself: codes against numpy recipes, cosines, calibration, policies, refusals.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""quantize.py [--build DIR] [--work FOLDER] [--only codes,modelopt,mlp,calibration,decoder,refusals,minilm]

codes        weights of every format and recipe, bit for bit against the numpy recipes of test/unit/Support
modelopt     the float32 MLP quantized here gives the constants of the file that the ModelOpt writer makes
mlp, minilm  engines against a numpy evaluation of the quantized network, and cosines against float32
calibration  scales in the IR against numpy, max and percentile, several samples
decoder      the mixed policy of docs/quantize.md
refusals     exit codes and messages
Exit 1 if a goal is missed."""
import argparse
import importlib.util
import json
import re
import shutil
import sys
from pathlib import Path

from common import OK, REFUSED, ROOT, UNSUPPORTED, USAGE, Goals, Tools, build_argument, fresh, in_venv, sanitizer

in_venv()
import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402

import formats as F  # noqa: E402  (test/models, as the next ones)
from data import weight  # noqa: E402
from decoder import save_input as save_decoder_input, write_decoder  # noqa: E402
from minilm import SENTENCES, tokenize, write_minilm  # noqa: E402
from mlp import sample_input, save_input, write_mlp  # noqa: E402
from reference import Evaluator, Value, metrics, round_to  # noqa: E402

F32 = np.float32


def load_recipes():
    """The statement-by-statement numpy recipes of the unit tests."""
    folder = ROOT / "test" / "unit" / "Support"
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location("recipes", folder / "recipes-against-numpy.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


R = load_recipes()
NVFP4_RECIPES = ("modelopt-torch", "modelopt-onnx", "trt-dynamic", "compressed-tensors", "transformer-engine", "torchao")
DIVIDING = ("compressed-tensors", "transformer-engine")


# ---- numpy versions of the formats -----------------------------------------------------------------------------------
class Quantized:
    """codes [N,K] (one a byte), scales as stored, the tensor scale (None if there is none) and exact float64 values."""

    def __init__(self, codes, scales, tensor, values):
        self.codes, self.scales, self.tensor, self.values = codes, scales, tensor, values


def nvfp4(x, block, recipe, g=None, divisor=None):
    """`g`: the recipe's own global (a divisor for some); `divisor`: 448 for W4A8."""
    x = np.ascontiguousarray(x, F32)
    if divisor:
        g = F32(np.abs(x).max()) / F32(divisor)
    codes, scales, g = R.NVFP4[recipe](x, block, g)
    factor = F32(1) / F32(g) if recipe in DIVIDING else F32(g)
    codes, scales = codes.reshape(x.shape), scales.reshape(x.shape[0], -1)
    return Quantized(codes, scales, factor, F.nvfp4_values(codes, scales, factor, block))


def mx(x, storage, recipe):
    x = np.ascontiguousarray(x, F32)
    codes, scales = R.mx(recipe, storage, x, 32)
    codes, scales = codes.reshape(x.shape), scales.reshape(x.shape[0], -1)
    table = F.E2M1_VALUES if storage == "f4E2M1FN" else F.E4M3_VALUES
    return Quantized(codes, scales, None, table[codes] * np.repeat(F.E8M0_VALUES[scales], 32, -1))


def fp8(x, channel=False, amax=None):
    amax = np.abs(x).max(1, keepdims=True) if channel else np.abs(x).max() if amax is None else F32(amax)
    s = np.where(amax <= 2.0**-24, F32(1), (np.asarray(amax, F32) / F.E4M3_MAX)).astype(F32)
    codes = F.e4m3(x.astype(F32) / s)
    return Quantized(codes, s, None if channel else s, F.E4M3_VALUES[codes] * s.astype(np.float64))


def int4(x, block=128):
    codes, s = F.int4_blocks(x.astype(F32), block)
    return Quantized(codes, s, None, F.signed4(codes) * np.repeat(s, block, -1).astype(np.float64))


WEIGHTS = {
    "nvfp4": lambda w: nvfp4(w, 16, "modelopt-torch"),
    "mxfp4": lambda w: mx(w, "f4E2M1FN", "modelopt"),
    "mxfp8": lambda w: mx(w, "f8E4M3FN", "modelopt"),
    "fp8": fp8,
    "int4": int4,
    "w4a8": lambda w: nvfp4(w, 32, "modelopt-torch", divisor=448),
    "w4a16": lambda w: nvfp4(w, 16, "modelopt-torch"),
}
ACTIVATIONS = {
    "nvfp4": lambda x, amax: nvfp4(x, 16, "trt-dynamic", g=F32(amax) / F32(6) / F32(448)),
    "mxfp4": lambda x, amax: mx(x, "f4E2M1FN", "trt-dynamic"),
    "mxfp8": lambda x, amax: mx(x, "f8E4M3FN", "trt-dynamic"),
    "fp8": lambda x, amax: fp8(x, amax=amax),
    "w4a8": lambda x, amax: fp8(x, amax=amax),
}


class QuantizedEvaluator(Evaluator):
    """Evaluates a float model with the matmuls that have weights in a format. The first `run` with learn() calibrates."""

    def __init__(self, path, fmt):
        super().__init__(path)
        self.fmt, self.amax, self.learning, self.cache = fmt, {}, False, {}
        self.constants = {t.name for t in self.model.graph.initializer}

    def learn(self, feeds):
        self.learning = True
        out = self.run(feeds)
        self.learning = False
        return out

    def weight(self, name):
        if name not in self.cache:
            self.cache[name] = WEIGHTS[self.fmt](self.env[name].rounded().T).values.T
        return self.cache[name]

    def step(self, node):
        if node.op_type != "MatMul" or node.input[1] not in self.constants:
            return super().step(node)
        x, y = self.env[node.input[0]], self.env[node.input[1]]
        a, b = x.rounded(), y.rounded()
        if self.learning:
            self.amax[node.input[0]] = max(self.amax.get(node.input[0], 0), F32(np.abs(a).max()))
        else:
            b = self.weight(node.input[1])
            if self.fmt in ACTIVATIONS:
                rows = a.reshape(-1, a.shape[-1])
                a = ACTIVATIONS[self.fmt](rows, self.amax[node.input[0]]).values.reshape(a.shape)
        self.env[node.output[0]] = Value(round_to(a @ b, x.elem), x.elem)


# ---- weights, bit for bit --------------------------------------------------------------------------------------------
ATTRS = {"f32": F32, "f16": np.float16, "bf16": ml_dtypes.bfloat16}


def resource(name, array):
    return f'{name}: "0x04000000{np.ascontiguousarray(array).tobytes().hex().upper()}"'


class CodeCheck:
    """Writes matmuls with constant weights, runs the pass, and reads codes and scales from the printed resources."""

    def __init__(self, tools, work):
        self.tools, self.work, self.cases = tools, work, []

    def add(self, fmt, w, want, elem="f32", kn=False):
        self.cases.append((fmt, w, want, elem, kn))

    def module(self):
        body, blobs = [], []
        for i, (fmt, w, _, elem, kn) in enumerate(self.cases):
            data = (w.T if kn else w).astype(ATTRS[elem])
            n, k = w.shape
            t = f"tensor<{data.shape[0]}x{data.shape[1]}x{elem}>"
            body.append(f'  func.func @f{i}(%x: tensor<2x{k}x{elem}>) -> tensor<2x{n}xf32> {{\n'
                        f'    %w = nq.constant codes(dense_resource<w{i}> : {t}) : {t}\n'
                        f'    %y = nq.matmul %x, %w {"" if kn else "transpose_b "}attributes {{nibble.precision = "{fmt}"}} '
                        f': (tensor<2x{k}x{elem}>, {t}) -> tensor<2x{n}xf32>\n    return %y : tensor<2x{n}xf32>\n  }}')
            blobs.append(resource(f"w{i}", data))
        return "module {\n" + "\n".join(body) + "\n}\n{-# dialect_resources: { builtin: {\n" + ",\n".join(blobs) + "\n} } #-}\n"

    def run(self, goals):
        path = self.work / "codes.mlir"
        path.write_text(self.module())
        text = self.tools.call("nibble-opt", path, "--quantize-weights", expect=OK).stdout
        blobs = {m[0]: bytes.fromhex(m[1])[4:] for m in re.findall(r'([\w.]+): "0x([0-9A-F]+)"', text)}
        wrong = 0
        for i, (fmt, w, want, elem, kn) in enumerate(self.cases):
            four = want.codes.max() < 16 and "fp8" not in fmt
            codes = F.pack4(want.codes) if four else want.codes
            got_codes, got_scales = blobs[f"w{i}.codes"], blobs[f"w{i}.scales"]
            same = got_codes == codes.tobytes() and got_scales == np.ascontiguousarray(want.scales).tobytes()
            if want.tensor is not None and "fp8" not in fmt:
                line = next(l for l in text.splitlines() if f"<w{i}.codes>" in l)
                same &= F32(float(re.search(r"global\(dense<([^>]*)>", line)[1])) == F32(want.tensor)
            wrong += not same
            if not same:
                print(f"  DIFFERS: {fmt} {elem} {'[K,N]' if kn else '[N,K]'} {w.shape}")
        goals.check(f"weights with codes or scales unlike numpy, of {len(self.cases)}", wrong, 0)


def codes(tools, work, goals):
    check = CodeCheck(tools, work)
    rng = np.random.default_rng(3)
    w = weight(1, "codes", 72, 256, None, None) * np.exp(rng.normal(0, 2, (72, 1))).astype(F32)
    w[3, 16:48] = 0  # blocks of zeros
    w[5, :] *= F32(1e-6)
    w[7, 1::2] = -0.0
    for recipe in NVFP4_RECIPES:
        for block in (16, 32):
            check.add(f"nvfp4 recipe={recipe} block={block}", w, nvfp4(w, block, recipe))
    check.add("nvfp4", w, nvfp4(w, 16, "modelopt-torch"))
    check.add("w4a16 recipe=torchao", w, nvfp4(w, 16, "torchao"))
    check.add("w4a8", w, nvfp4(w, 32, "modelopt-torch", divisor=448))
    check.add("w4a8 recipe=modelopt-onnx", w, nvfp4(w, 32, "modelopt-onnx", divisor=448))
    for recipe in R.MX:
        check.add(f"mxfp4 recipe={recipe}", w, mx(w, "f4E2M1FN", recipe))
        check.add(f"mxfp8 recipe={recipe}", w, mx(w, "f8E4M3FN", recipe))
    check.add("fp8", w, fp8(w))
    check.add("fp8 scales=channel", w, fp8(w, channel=True))
    for block in (32, 64, 128, 256):
        check.add(f"int4 block={block}", w, int4(w, block))
    # Other types and orders of the file, and rows that no block of work divides.
    for elem in ("f16", "bf16"):
        rounded = w.astype(ATTRS[elem]).astype(F32)
        for kn in (False, True):
            check.add("nvfp4", rounded, nvfp4(rounded, 16, "modelopt-torch"), elem, kn)
            check.add("fp8", rounded, fp8(rounded), elem, kn)
    odd = w[:37]
    for kn in (False, True):
        check.add("nvfp4 recipe=modelopt-onnx", odd, nvfp4(odd, 16, "modelopt-onnx"), "f32", kn)
        check.add("mxfp8", odd, mx(odd, "f8E4M3FN", "modelopt"), "f32", kn)
        check.add("int4", odd, int4(odd), "f32", kn)
    check.run(goals)


# ---- against ModelOpt's file -----------------------------------------------------------------------------------------
def constants(tools, engine):
    """Hashes of the big constants of an engine: packed codes, scales and global scale."""
    report = json.loads(tools.call("nibble", "inspect", engine, "--json", expect=OK).stdout)
    return sorted(c["xxh3"] for c in report["constants"] if c["bytes"] > 1024)


class Mlp:
    """A float32 MLP with its input as calibration sample."""

    def __init__(self, work, m=24, k=128, n=384):
        self.work, self.size = work, dict(m=m, k=k, n=n)
        self.model, self.x, self.calib = work / "mlp.onnx", work / "x.npy", work / "calib"
        fresh(self.model, lambda p: write_mlp(p, "dense", dtype="f32", external="never", **self.size))
        fresh(self.x, lambda p: save_input(p, m, k, "f32", 3))
        (self.calib / "0").mkdir(parents=True, exist_ok=True)
        shutil.copy(self.x, self.calib / "0" / "x.npy")


def modelopt(tools, work, goals):
    mlp = Mlp(work)
    for fmt, spelled in (("nvfp4", "nvfp4 recipe=modelopt-onnx"), ("fp8", "fp8"), ("mxfp8", "mxfp8")):
        theirs, ours = work / f"modelopt_{fmt}.onnx", work / "ours.nbl"
        fresh(theirs, lambda p: write_mlp(p, fmt + ("" if fmt != "fp8" else "-unfolded"), dtype="f32", external="never", **mlp.size))
        tools.compile(theirs, work / "theirs.nbl", expect=OK)
        tools.compile(mlp.model, ours, "--quantize", spelled, "--calib", mlp.calib, expect=OK)
        found = constants(tools, ours)
        same = len(found) == 3 and found == constants(tools, work / "theirs.nbl")
        goals.check(f"{fmt}: weights equal those of ModelOpt's file", int(same), 1, at_least=True)


# ---- whole networks --------------------------------------------------------------------------------------------------
def evaluate(path, fmt, feeds):
    evaluator = QuantizedEvaluator(path, fmt)
    dense = evaluator.learn(feeds)
    return dense, evaluator.run(feeds)


def judge(name, got, want, dense, goals, flips):
    """`flips`: relative difference that activations may cause whose codes round the other way when f32 sums differ in their last
    bits; over many layers it grows towards the quantization error itself: on MiniLM, numpy in float64 and numpy rounded to float32 after
    every node differ by 0.7 % (fp8) to 2.2 % (mxfp8). Without quantized activations nothing flips, and the limit is that of f32 sums."""
    m, reference = metrics(got, dense), metrics(want, dense)
    goals.check(f"{name}: cosine against float32", m["cosine"])
    goals.check(f"{name}: its distance from numpy's cosine", abs(m["cosine"] - reference["cosine"]), 2e-3)
    goals.check(f"{name}: relative error against numpy", metrics(got, want)["rel_frobenius"], flips)


def mlp(tools, work, goals):
    job = Mlp(work)
    x, engine, y = np.load(job.x), work / "mlp.nbl", work / "y.npy"
    for fmt in WEIGHTS:
        done = tools.compile(job.model, engine, "--quantize", fmt, "--calib", job.calib, expect=OK)
        if fmt in ("nvfp4", "fp8", "w4a8"):
            goals.check(f"{fmt}: reports the samples", int("on 1 sample of" in done.stderr), 1, at_least=True)
        tools.run(engine, {"x": job.x}, {"y": y}, expect=OK)
        dense, want = evaluate(job.model, fmt, {"x": x})
        judge(f"mlp {fmt}", np.load(y), want["y"], dense["y"], goals, 3e-2 if fmt in ACTIVATIONS else 1e-5)
    done = tools.call("nibble", "verify", job.model, "--quantize", "nvfp4", "--calib", job.calib, "--input", f"x=@{job.x}", "--json",
                      expect=OK)
    report = json.loads(done.stdout)
    goals.check("verify: worst kernel error", max(l["kernel_error"]["frobenius"] for l in report["layers"]), 1e-5)
    goals.check("verify: format cosine", report["outputs"][0]["format_error"]["cosine"], 0.9, at_least=True)


def minilm(tools, work, goals):
    batch, seq = 6, 32
    model = fresh(work / "minilm.onnx", lambda p: write_minilm(p, "dense", "f32", batch, seq))
    feeds = tokenize(SENTENCES[:batch], seq)
    calib = work / "minilm_calib" / "sentences"
    calib.mkdir(parents=True, exist_ok=True)
    for name, data in feeds.items():
        np.save(calib / f"{name}.npy", data)
    engine, out = work / "minilm.nbl", work / "embedding.npy"
    inputs = {name: calib / f"{name}.npy" for name in feeds}
    for fmt, flips in (("fp8", 0.06), ("nvfp4", 0.2), ("mxfp8", 0.06), ("int4", 1e-4), ("w4a8", 0.06), ("w4a16", 1e-4)):
        _, seconds, peak = tools.measured("nibble", "compile", model, "-o", engine, "--quantize", fmt, "--calib", calib.parent)
        goals.check(f"minilm {fmt}: compile, seconds", seconds)
        limit = None if sanitizer(tools.bin.parent) else 2 * model.stat().st_size / 2**20 + 300
        goals.check(f"minilm {fmt}: compile, peak MiB", peak, limit)
        tools.run(engine, inputs, {"sentence_embedding": out}, expect=OK)
        dense, want = evaluate(model, fmt, feeds)
        key = "sentence_embedding"
        judge(f"minilm {fmt}", np.load(out), want[key], dense[key], goals, flips)


# ---- calibration -----------------------------------------------------------------------------------------------------
def scale_of_input(tools, job, calib, *options):
    """The scale that x is quantized with, from the printed IR."""
    done = tools.call("nibble", "compile", job.model, "--quantize", "fp8", "--calib", calib, "--stop-after", "quantize", *options, expect=OK)
    name = re.search(r"nq.quantize %arg0 scale\((%\w+)", done.stdout)[1]
    return F32(float(re.search(re.escape(name) + r" = arith.constant dense<([^>]*)>", done.stdout)[1])), done.stderr


def calibration(tools, work, goals):
    job, many = Mlp(work), work / "calib_many"
    samples = [sample_input(job.size["m"], job.size["k"], seed).astype(F32)[None] for seed in (1, 2, 3)]
    many.mkdir(exist_ok=True)
    for i, x in enumerate(samples):
        np.save(many / f"x.{i}.npy", x * F32(1 + i))
    magnitudes = np.sort(np.abs(np.concatenate([x * F32(1 + i) for i, x in enumerate(samples)])).ravel())
    scale, talk = scale_of_input(tools, job, many)
    goals.check("max over three samples: scale like numpy", int(scale == magnitudes[-1] / F32(448)), 1, at_least=True)
    goals.check("reports three samples", int("on 3 samples of" in talk), 1, at_least=True)
    for p in (50, 99, 99.9):
        scale, _ = scale_of_input(tools, job, many, "--calib-method", f"percentile:{p}")
        want = magnitudes[int(np.ceil(p / 100 * magnitudes.size)) - 1]
        goals.check(f"percentile {p}: ratio to numpy's, less 1", float(scale) * 448 / float(want) - 1, 2.0**-10)
    # A clipped outlier costs, and helps the rest: the numbers, for the documentation.
    y, engine = work / "y.npy", work / "mlp.nbl"
    dense = Evaluator(job.model).run({"x": np.load(job.x)})["y"]
    for method in ("max", "percentile:99.9"):
        tools.compile(job.model, engine, "--quantize", "fp8", "--calib", job.calib, "--calib-method", method, expect=OK)
        tools.run(engine, {"x": job.x}, {"y": y}, expect=OK)
        goals.check(f"fp8 {method}: cosine against float32", metrics(np.load(y), dense)["cosine"])


# ---- a mixed policy --------------------------------------------------------------------------------------------------
POLICY = """# Gemma: 4 bits where the weights are, 8 in the attention projections.
*/mlp/*:               nvfp4
*/self_attn/*_proj/*:  fp8
*layernorm*:           f32
{*vision*,*embed*,*head*}: bf16 optional
"""


def decoder(tools, work, goals):
    size = dict(layers=2, seq=32, width=128, mlp=256, heads=4, kv_heads=1, head_dim=32)
    model = fresh(work / "decoder.onnx", lambda p: write_decoder(p, "dense", dtype="f16", **size))
    calib = work / "decoder_calib" / "0"
    calib.mkdir(parents=True, exist_ok=True)
    fresh(calib / "x.npy", lambda p: save_decoder_input(p, size["seq"], size["width"], "f16"))
    policy, engine, y = work / "decoder.policy", work / "decoder.nbl", work / "y.npy"
    policy.write_text(POLICY)
    done = tools.call("nibble", "compile", model, "--policy", policy, "--calib", calib.parent, "--stop-after", "quantize", expect=OK)
    matmuls = [l for l in done.stdout.splitlines() if "nq.matmul" in l]
    count = lambda *parts: sum(all(p in l for p in parts) for l in matmuls)
    documented = (ROOT / "docs" / "quantize.md").read_text()
    goals.check("decoder: its policy is the documented one", int(all(l in documented for l in POLICY.splitlines())), 1, at_least=True)
    goals.check("decoder: matmuls in nvfp4", count('requested = "nvfp4"', "x!nq.nvfp4>, tensor<"), 6, at_least=True)
    goals.check("decoder: matmuls in fp8", count('requested = "fp8"', "x!nq.fp8>, tensor<"), 8, at_least=True)
    goals.check("decoder: products left alone", len(matmuls) - count("requested"), 4)
    goals.check("decoder: says so", int("8 fp8, 6 nvfp4" in done.stderr), 1, at_least=True)
    tools.compile(model, engine, "--policy", policy, "--calib", calib.parent, expect=OK)
    tools.run(engine, {"x": calib / "x.npy"}, {"y": y}, expect=OK)
    x = np.load(calib / "x.npy").astype(np.float64)
    dense = Evaluator(model).run({"x": np.load(calib / "x.npy")})["y"]
    # Without the residual stream, which would hide what the layers add.
    added = metrics(np.load(y) - x, dense - x)
    goals.check("decoder: cosine of what the layers add, against float32", added["cosine"], 0.97, at_least=True)


# ---- refusals --------------------------------------------------------------------------------------------------------
def refusals(tools, work, goals):
    job = Mlp(work)
    quantized = fresh(work / "modelopt_nvfp4.onnx", lambda p: write_mlp(p, "nvfp4", dtype="f32", external="never", **job.size))
    odd = fresh(work / "odd.onnx", lambda p: write_mlp(p, "dense", dtype="f32", m=4, k=40, n=72, external="never"))
    broken = work / "nan.onnx"
    model = onnx.load(str(job.model))
    for tensor in model.graph.initializer:
        data = onnx.numpy_helper.to_array(tensor).copy()
        if data.ndim == 2:
            data[17, 2] = np.nan
            tensor.CopyFrom(onnx.numpy_helper.from_array(data, tensor.name))
            break
    onnx.save(model, str(broken))
    empty, zeros, bad = work / "empty", work / "zeros", work / "wrong"
    for folder in (empty, zeros, bad):
        folder.mkdir(exist_ok=True)
    np.save(zeros / "x.npy", np.zeros_like(np.load(job.x)))
    np.save(bad / "x.npy", np.load(job.x)[:, :3])
    write = lambda name, text: (work / name).write_text(text) and work / name
    typo, syntax = write("typo.policy", "*/mpl/*: nvfp4\n"), write("syntax.policy", "*/mlp/*: nvfp4\n*/mlp/*: nvfp5\n")
    change, keep = write("change.policy", "*/up_proj/*: fp8\n*: keep kind=linear\n"), write("keep.policy", "*: keep kind=linear\n")
    same = write("same.policy", "*/mlp/*: nvfp4\n")
    act = write("act.policy", "*/act_fn/*: nvfp4\n")
    calib = ("--calib", job.calib)
    cases = [
        (REFUSED, job.model, ["--quantize", "nvfp4"], "need scales of their activations from samples, and there are none"),
        (UNSUPPORTED, job.model, ["--quantize", "nvfp4", "--calib", empty], "no samples in"),
        (UNSUPPORTED, job.model, ["--quantize", "fp8", "--calib", work / "absent"], "cannot read folder"),
        (UNSUPPORTED, job.model, ["--quantize", "fp8", "--calib", bad], "sample '', input 'x'"),
        (REFUSED, job.model, ["--quantize", "fp8", "--calib", zeros], "/mlp/gate_proj/MatMul': requested fp8, refused: its activations are zero"),
        (REFUSED, odd, ["--quantize", "nvfp4", *calib], "/mlp/gate_proj/MatMul': requested nvfp4, refused: K = 40 is not a multiple of the block of 16"),
        (REFUSED, odd, ["--quantize", "mxfp8", "--allow-fallback", "*/down_proj/*:bf16"], "K = 40"),
        (OK, odd, ["--quantize", "mxfp8", "--allow-fallback", "*:bf16"], "requested mxfp8, chosen bf16: K = 40 is not a multiple of the block of 32"),
        (OK, job.model, ["--quantize", "mxfp8", "--allow-fallback", "*:bf16"], "--allow-fallback '*:bf16' was not needed"),
        (REFUSED, broken, ["--quantize", "mxfp8"], "has a NaN or infinity at [17, 2]"),
        (OK, broken, ["--quantize", "mxfp8", "--allow-fallback", "*/gate_proj/*:f32"], "requested mxfp8, chosen f32"),
        (REFUSED, quantized, ["--quantize", "fp8", *calib], "it comes quantized (weights !nq.nvfp4, activations !nq.nvfp4)"),
        (REFUSED, quantized, ["--policy", change, *calib], "/mlp/up_proj/MatMul': requested fp8, refused: it comes quantized"),
        (OK, quantized, ["--policy", keep], "3 keep"),
        (OK, quantized, ["--policy", same], "3 nvfp4"),
        (UNSUPPORTED, job.model, ["--policy", typo, *calib], "typo.policy:1: rule '*/mpl/*' matches no layer"),
        (UNSUPPORTED, job.model, ["--policy", syntax, *calib], "syntax.policy:2:10: unknown format 'nvfp5', did you mean 'nvfp4'?"),
        (UNSUPPORTED, job.model, ["--policy", work / "absent.policy"], "cannot read policy"),
        (REFUSED, job.model, ["--policy", act, *calib], "matches only ops that have no such format of their own"),
        (USAGE, job.model, ["--quantize", "nvfp5"], "--quantize: unknown format 'nvfp5'"),
        (USAGE, job.model, ["--quantize", "fp8", "--calib-method", "mean"], "--calib-method 'mean'"),
        (USAGE, job.model, ["--quantize", "fp8", "--allow-fallback", "f16"], "is not GLOB:FORMAT"),
        (USAGE, job.model, ["--calib", job.calib], "--calib needs --quantize or --policy"),
    ]
    failed = 0
    for code, path, options, message in cases:
        done = tools.compile(path, work / "out.nbl", *options)
        good = done.returncode == code and message in done.stderr
        failed += not good
        if not good:
            print(f"  FAIL: {path.name} {' '.join(map(str, options))}: exit {done.returncode}, wanted {code} and \"{message}\":\n{done.stderr}")
    # `run` of a model takes the same options.
    run = lambda *options: tools.call("nibble", "run", job.model, "--input", f"x=@{job.x}", *options)
    failed += run("--quantize=mxfp8").returncode != OK
    failed += run("--quantize", "nvfp4").returncode != REFUSED
    failed += run("--quantize", "nvfp5").returncode != USAGE
    # Permissions hold for the choice of kernels, too.
    plan = lambda *options: tools.call("nibble", "compile", job.model, "--quantize", "mxfp8", "--target", "sm_90a", "--dry-run", *options)
    failed += plan().returncode != REFUSED
    allowed = plan("--allow-fallback", "*:f32")
    failed += allowed.returncode != OK or "requested mxfp8, chosen f32" not in allowed.stderr
    goals.check(f"refusals and decisions unlike those wanted, of {len(cases) + 5}", failed, 0)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    parts = dict(codes=codes, modelopt=modelopt, mlp=mlp, calibration=calibration, decoder=decoder, refusals=refusals, minilm=minilm)
    p.add_argument("--work", default=str(ROOT / "build" / "e2e" / "quantize"))
    p.add_argument("--only", default=",".join(parts))
    a = p.parse_args()
    work, goals = Path(a.work), Goals()
    work.mkdir(parents=True, exist_ok=True)
    for name in a.only.split(","):
        parts[name](Tools(a.build), work, goals)
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
