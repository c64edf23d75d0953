#!/usr/bin/env python3
# Decoding steps with the key/value cache in the engine, against the functional model fed back by hand.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""states.py [--build DIR] [--steps 12] [--work FOLDER]

For every way exporters write into a cache of fixed size: `compile --state` keeps the cache in the engine; a context runs
step after step through the C interface. Outputs and final caches must equal those of ONNX Runtime on the same model without
states, where the caches go in and out of every call. Decoder layers with RMSNorm, RoPE and a gated MLP, quantized, do the same beside the
numpy reference; every step may change the rows of its position only. Also: entry points share states, contexts are independent, reset starts again, a growing cache
and wrong names are refused, --max-memory counts the states. Exit 1 if anything differs."""
import argparse
import json
import sys
from pathlib import Path

from common import REFUSED, ROOT, UNSUPPORTED, USAGE, Goals, Tools, build_argument, in_venv

in_venv()
import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402

from cache import write_step  # noqa: E402  (test/models)
from nibble_rt import Runtime  # noqa: E402
from reference import Evaluator, metrics  # noqa: E402
from step import write_step as write_layers  # noqa: E402

PAIRS = ["--state", "past_key_values.*.key=present.*.key", "--state", "past_key_values.*.value=present.*.value"]
SIZE = dict(layers=2, length=32, heads=2, size=16)
WIDTH = SIZE["heads"] * SIZE["size"]


class Functional:
    """ONNX Runtime with the caches fed back."""

    def __init__(self, model):
        self.session = ort.InferenceSession(str(model))
        self.outputs = [o.name for o in self.session.get_outputs()]
        self.caches = {i.name: np.zeros(i.shape, np.float32) for i in self.session.get_inputs() if i.name.startswith("past")}

    def run(self, feeds):
        found = dict(zip(self.outputs, self.session.run(None, feeds | self.caches)))
        self.caches = {name: found[name.replace("past_key_values", "present")] for name in self.caches}
        return found["y"]


def steps(count, seed):
    rng = np.random.default_rng(seed)
    return [dict(x=rng.normal(size=(1, 1, WIDTH)).astype(np.float32), position=np.array([i], np.int64)) for i in range(count)]


def distance(a, b):
    return float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30))


def compare(a, tools, goals, write, reference):
    model, engine = Path(a.work) / f"step_{write}.onnx", Path(a.work) / f"step_{write}.nbl"
    write_step(model, write, **SIZE)
    report = json.loads(tools.compile(model, engine, *PAIRS, "--json", expect=0).stdout)
    functional, runtime = Functional(reference), Runtime(a.build, engine)
    one, other = runtime.context(), runtime.context()
    worst = 0
    for feeds, noise in zip(steps(a.steps, 1), steps(a.steps, 2)):
        other.run(noise)  # must not matter
        worst = max(worst, distance(one.run(feeds)["y"], functional.run(feeds)))
    goals.check(f"{write}: worst relative error of {a.steps} steps", worst, 1e-5)
    caches = one.states()
    goals.check(f"{write}: states", len(caches), 4, at_least=True)
    worst = max(distance(caches[name], value) for name, value in functional.caches.items())
    goals.check(f"{write}: worst relative error of the caches", worst, 1e-5)
    one.reset()
    feeds = steps(1, 3)[0]
    goals.check(f"{write}: after a reset", distance(one.run(feeds)["y"], Functional(reference).run(feeds)), 1e-5)
    goals.check(f"{write}: state bytes", abs(report["state_bytes"] - sum(v.nbytes for v in caches.values())), 0)
    return report


def verify(a, tools, goals, write):
    done = tools.call("nibble", "verify", Path(a.work) / f"step_{write}.nbl", *PAIRS, "--input", "position=zeros")
    goals.check(f"{write}: nibble verify, exit code", done.returncode, 0)
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-2000:])


def copies(a, tools, model):
    """Launches that copy a cache, because it could not be written in place."""
    done = tools.call("nibble", "compile", model, *PAIRS, "--stop-after", "lower", expect=0)
    return sum('kind "copy"' in line for line in done.stdout.splitlines())


class Reference:
    """The numpy reference with the caches fed back."""

    def __init__(self, model):
        self.evaluator = Evaluator(model)
        graph = self.evaluator.model.graph
        shape = lambda i: [d.dim_value for d in i.type.tensor_type.shape.dim]
        self.caches = {i.name: np.zeros(shape(i)) for i in graph.input if i.name.startswith("past")}

    def run(self, feeds):
        found = self.evaluator.run(feeds | self.caches)
        self.caches = {name: found[name.replace("past_key_values", "present")] for name in self.caches}
        return found["y"]


def changed_rows(before, after):
    """Positions of a cache [1,heads,length,size] at which anything differs, bit for bit."""
    differs = (before.view(np.uint8) != after.view(np.uint8)).reshape(*before.shape[:3], -1)
    return set(np.flatnonzero(differs.any((0, 1, 3))))


# Format, type of activations, greatest relative error (Frobenius) of y and of a cache: the kernels' own rounding, and where
# activations are quantized, codes on the other side of a boundary.
LAYERS = (("dense", "f32", 1e-5), ("fp8", "f32", 1e-5), ("nvfp4", "f32", 1e-5), ("fp8", "f16", 0.02), ("nvfp4", "f16", 0.1))


def decoder(a, tools, goals):
    rng, size = np.random.default_rng(7), dict(layers=2, length=24, width=128, mlp=256, heads=4, kv_heads=2, head_dim=32)
    for fmt, dtype, tolerance in LAYERS:
        model, engine = Path(a.work) / f"layers_{fmt}_{dtype}.onnx", Path(a.work) / f"layers_{fmt}_{dtype}.nbl"
        write_layers(model, fmt, dtype=dtype, **size)
        report = json.loads(tools.compile(model, engine, *PAIRS, "--json", expect=0).stdout)
        reference, context = Reference(model), Runtime(a.build, engine).context()
        error, strays, before = 0, set(), context.states()
        for position in range(a.steps):
            x = rng.normal(size=(1, 1, size["width"])).astype(np.float32 if dtype == "f32" else np.float16)
            feeds = dict(x=x, position=np.array([position], np.int64))
            error = max(error, metrics(context.run(feeds)["y"], reference.run(feeds))["rel_frobenius"])
            after = context.states()
            for name in after:
                strays |= changed_rows(before[name], after[name]) ^ {position}
            before = after
        goals.check(f"layers, {fmt} {dtype}: worst relative error of {a.steps} steps", error, tolerance)
        error = max(metrics(before[name], value)["rel_frobenius"] for name, value in reference.caches.items())
        goals.check(f"layers, {fmt} {dtype}: worst relative error of the caches", error, tolerance)
        goals.check(f"layers, {fmt} {dtype}: rows changed that are not the step's", len(strays), 0)
        goals.check(f"layers, {fmt} {dtype}: copies of caches", copies(a, tools, model), 0)
        goals.check(f"layers, {fmt} {dtype}: states, bytes missing", sum(v.nbytes for v in before.values()) - report["state_bytes"], 0)


ENTRIES = """
#id = affine_map<(d0) -> (d0)>
nq.state @sum : tensor<64xf32>
func.func @add(%x: tensor<64xf32> {nibble.name = "x"}) -> (tensor<64xf32> {nibble.name = "y"}) attributes {nibble.entry} {
  %old = nq.state_read @sum : tensor<64xf32>
  %e = tensor.empty() : tensor<64xf32>
  %new = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
      ins(%old, %x : tensor<64xf32>, tensor<64xf32>) outs(%e : tensor<64xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %r = arith.addf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<64xf32>
  nq.state_write @sum, %new : tensor<64xf32>
  return %new : tensor<64xf32>
}
func.func @scale(%x: tensor<64xf32> {nibble.name = "x"}) -> (tensor<64xf32> {nibble.name = "y"}) attributes {nibble.entry} {
  %old = nq.state_read @sum : tensor<64xf32>
  %e = tensor.empty() : tensor<64xf32>
  %y = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel"]}
      ins(%old, %x : tensor<64xf32>, tensor<64xf32>) outs(%e : tensor<64xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %r = arith.mulf %a, %b : f32
    linalg.yield %r : f32
  } -> tensor<64xf32>
  return %y : tensor<64xf32>
}
"""


def entry_points(a, tools, goals):
    """Two entry points of one module share a state."""
    model, engine = Path(a.work) / "entries.mlir", Path(a.work) / "entries.nbl"
    model.write_text(ENTRIES)
    tools.compile(model, engine, expect=0)
    runtime = Runtime(a.build, engine)
    add, scale = runtime.entry("add").value, runtime.entry("scale").value
    context, rng = runtime.context(), np.random.default_rng(5)
    total = np.zeros(64, np.float32)
    for _ in range(5):
        x, z = rng.normal(size=(2, 64)).astype(np.float32)
        total += x
        goals.check("two entry points: add", distance(context.run(dict(x=x), add)["y"], total), 0)
        goals.check("two entry points: scale", distance(context.run(dict(x=z), scale)["y"], total * z), 0)


def refusals(a, tools, goals):
    model = Path(a.work) / "step_concat.onnx"
    write_step(model, "concat", **SIZE)

    def check(what, code, text, *options, of=model):
        done = tools.compile(of, Path(a.work) / "refused.nbl", *options)
        good = done.returncode == code and all(t in done.stderr for t in text)
        goals.check(f"refused: {what}", 0 if good else 1, 0)
        if not good:
            print(f"  exit {done.returncode}, wanted {code} and {text}\n{done.stderr}")

    check("a growing cache", UNSUPPORTED, ["past_key_values.0.key", "grows along axis 2", "fixed size"], *PAIRS)
    check("an unknown input", UNSUPPORTED, ["'past.*'", "no entry point has such an input"], "--state", "past.*=present.*")
    fixed = Path(a.work) / "step_where.onnx"
    check("too little memory", REFUSED, ["--max-memory allows 10 KiB", "states 16 KiB", "state 'past_key_values.0.key'"],
          *PAIRS, "--max-memory", "10KiB", of=fixed)
    check("a size that is none", USAGE, ["--max-memory '10XB'"], *PAIRS, "--max-memory", "10XB", of=fixed)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--steps", type=int, default=12)
    p.add_argument("--work", default=str(ROOT / "build" / "e2e" / "states"))
    a = p.parse_args()
    Path(a.work).mkdir(parents=True, exist_ok=True)
    tools, goals = Tools(a.build), Goals()
    reference = write_step(Path(a.work) / "step_where.onnx", "where", **SIZE)
    for write in ("where", "elements", "nd", "tensor"):
        report = compare(a, tools, goals, write, reference)
        verify(a, tools, goals, write)
        goals.check(f"{write}: copies of caches", copies(a, tools, Path(a.work) / f"step_{write}.onnx"), 0)
        if write == "tensor":  # written in place: nothing as large as a cache is live
            goals.check("tensor: arena, bytes", report["arena_bytes"], SIZE["heads"] * SIZE["length"] * SIZE["size"] * 4 - 1)
    decoder(a, tools, goals)
    entry_points(a, tools, goals)
    refusals(a, tools, goals)
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
