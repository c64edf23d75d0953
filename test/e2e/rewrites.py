#!/usr/bin/env python3
# Rewrites that change values: off unless allowed by name, then done, reported and within their bounds.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""rewrites.py [--build DIR] [--work FOLDER]

For each name of `--allow-rewrite`, a model that it applies to: without the name, `explain` says what was not done and why; with
it, that it was done. A decoder layer with folded gains computes what the numpy reference does, within the rounding of f16.
Unknown names are usage errors that list the known ones. Exit 1 if anything differs."""
import argparse
import json
import sys
from pathlib import Path

from common import OK, ROOT, USAGE, Goals, Tools, build_argument, fresh, in_venv

in_venv()
import numpy as np  # noqa: E402

from decoder import sample_input, write_decoder  # noqa: E402  (test/models)
from onnxfile import Graph  # noqa: E402
from reference import Evaluator, metrics  # noqa: E402

NAMES = ("allow-less-rounding", "trust-large-masks", "fold-norm-weight")
SIZE = dict(seq=16, width=128, mlp=256, heads=4, kv_heads=2, head_dim=32)


def write_masked(path):
    """Attention whose mask selects -1e4 where a row may have no visible position."""
    g = Graph(20)
    for name, dims in (("q", [1, 2, 8, 16]), ("k", [1, 2, 16, 8]), ("v", [1, 2, 8, 16])):
        g.input(name, "f32", dims)
    g.input("visible", "bool", [1, 1, 8, 8])
    s = g.node("Where", ["visible", g.node("MatMul", ["q", "k"]), g.const(np.float32(-1e4))])
    g.node("MatMul", [g.node("Softmax", [s], axis=-1), "v"], outputs=["y"])
    g.output("y", "f32", [1, 2, 8, 16])
    return g.save(path)


def decisions(tools, model, *options):
    done = tools.call("nibble", "explain", model, "--target", "cpu", "--json", *options, expect=OK)
    return json.loads(done.stdout)["decisions"]


def find(found, rewrite, kind, text=""):
    return [d for d in found if d["pass"] == rewrite and d["kind"] == kind and text in d.get("reason", "") + d.get("chosen", "")]


def check_pair(goals, tools, model, name, rewrite, missed, done):
    """`missed` without the name and not with it; `done` (a text, at least so often) with it and not without."""
    off, on = decisions(tools, model), decisions(tools, model, "--allow-rewrite", name)
    if missed:
        goals.check(f"{name}: told why not, without it", len(find(off, rewrite, "missed", missed)), 1, at_least=True)
        goals.check(f"{name}: still missed with it", len(find(on, rewrite, "missed", missed)), 0)
    if done:
        text, count = done
        goals.check(f"{name}: done without it", len(find(off, rewrite, "done", text)), 0)
        goals.check(f"{name}: done with it", len(find(on, rewrite, "done", text)), count, at_least=True)


def check_usage(goals, tools, model):
    for verb, rest in (("compile", ["--dry-run"]), ("explain", []), ("run", ["--input", "x=normal:seed=1"])):
        done = tools.call("nibble", verb, model, *rest, "--allow-rewrite", "fold-everything")
        told = all(name in done.stderr for name in ("fold-everything", *NAMES))
        goals.check(f"{verb}: unknown name, exit code", abs(done.returncode - USAGE), 0)
        goals.check(f"{verb}: names that the message lacks", int(not told), 0)
    text = tools.call("nibble", "compile", "--help").stdout
    goals.check("names that --help lacks", sum(name not in text for name in NAMES), 0)


def check_values(a, goals, tools, model):
    x = sample_input(SIZE["seq"], SIZE["width"], 3).astype(np.float16)
    np.save(Path(a.work) / "x.npy", x)
    want = Evaluator(model).run(dict(x=x))["y"]
    found = {}
    for name, options in (("off", []), ("on", ["--allow-rewrite", "fold-norm-weight"])):
        engine, y = Path(a.work) / f"{name}.nbl", Path(a.work) / f"y_{name}.npy"
        tools.compile(model, engine, *options, expect=OK)
        tools.run(engine, dict(x=Path(a.work) / "x.npy"), dict(y=y), expect=OK)
        found[name] = np.load(y).astype(np.float64)
        goals.check(f"folded gains {name}: relative error", metrics(found[name], want)["rel_frobenius"], 2e-3)
    goals.check("folded gains: elements that differ", int((found["on"] != found["off"]).sum()), 1, at_least=True)


def check_verify(a, goals, tools, model):
    """Verify compiles the model again: with other options it says so, rather than compare what does not belong together."""
    engine, option = Path(a.work) / "trusting.nbl", ("--allow-rewrite", "trust-large-masks")
    tools.compile(model, engine, *option, expect=OK)
    tools.call("nibble", "verify", engine, "--layers-only", *option, expect=OK)
    done = tools.call("nibble", "verify", engine, "--layers-only")
    goals.check("verify without the engine's options: says that they differ", int("options of its own command" in done.stderr and done.returncode != OK), 1, at_least=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--work", default=str(ROOT / "build" / "e2e" / "rewrites"))
    a = p.parse_args()
    Path(a.work).mkdir(parents=True, exist_ok=True)
    tools, goals = Tools(a.build), Goals()
    layer, quantized, masked = (Path(a.work) / f"{name}.onnx" for name in ("layer", "quantized", "masked"))
    fresh(layer, lambda path: write_decoder(path, "dense", dtype="f16", **SIZE))
    fresh(quantized, lambda path: write_decoder(path, "nvfp4", dtype="f16", **SIZE))
    fresh(masked, write_masked)
    check_pair(goals, tools, layer, "allow-less-rounding", "recognize-norm", "rounded to f16 or bf16 before it", None)
    check_pair(goals, tools, masked, "trust-large-masks", "recognize-attention", "mask", ("", 1))
    check_pair(goals, tools, layer, "fold-norm-weight", "fold-norm-weight", None, ("gain in the weights of", 2))
    refused = find(decisions(tools, quantized, "--allow-rewrite", "fold-norm-weight"), "fold-norm-weight", "missed", "nq.quantize")
    goals.check("fold-norm-weight: refused before quantizers, with the reason", len(refused), 2, at_least=True)
    check_values(a, goals, tools, layer)
    check_verify(a, goals, tools, layer)
    check_usage(goals, tools, layer)
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
