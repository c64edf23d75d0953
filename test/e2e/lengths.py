#!/usr/bin/env python3
# Attention on the filled part of a cache: values, what is read, and what masks must be.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""lengths.py [--build DIR] [--work FOLDER] [--device emu|cuda]

Every way exporters say how much of a cache is filled becomes a length: on the CPU and on the emulated GPU (tensor cores and FMA
units) results must be those of numpy in f64 for no, some and all slots and for numbers beyond them, while the slots behind
hold NaN. The emulated GPU counts the bytes of global memory that a launch reads, and the CPU's pages are counted: both must follow the length. Finite masks stay
masks. A decoding step whose position and caches are states of the engine runs on caches full of NaN. Exit 1 if anything is wrong."""
import argparse
import json
import os
import sys
from pathlib import Path

from common import OK, ROOT, Goals, Tools, build_argument, in_venv, sanitizer

in_venv()
import numpy as np  # noqa: E402

from filled import write_filled  # noqa: E402  (test/models)
from nibble_rt import Runtime  # noqa: E402
from step import write_step  # noqa: E402

SLOTS = 300
NUMPY = dict(f32=np.float32, f16=np.float16)
# Spelling, batch, queries.
FORMS = (("where", 1, 1), ("rows", 1, 5), ("tokens", 2, 3), ("valid", 2, 1), ("causal", 2, 5))
LENGTHS = (0, 1, 63, 64, 65, 128, 129, SLOTS - 1, SLOTS, SLOTS + 3, -1)


def seen(form, lengths, queries):
    """[batch, queries]: slots that a query sees; for `where` and `rows` the number is that of the last query."""
    behind = np.arange(queries)[::-1] if form in ("rows", "causal") else np.zeros(queries, np.int64)
    return np.clip(np.asarray(lengths)[:, None] - behind, 0, SLOTS)


def attention(q, k, v, counts):
    """In f64, slot by slot; k and v may hold anything behind the last slot that is seen."""
    batch, heads, queries, size = q.shape
    group = heads // k.shape[1]
    y = np.zeros(q.shape)
    for b, h, s in np.ndindex(batch, heads, queries):
        n = counts[b, s]
        if n:
            scores = k[b, h // group, :n].astype(np.float64) @ q[b, h, s].astype(np.float64) * size**-0.5
            weights = np.exp(scores - scores.max())
            y[b, h, s] = weights @ v[b, h // group, :n].astype(np.float64) / weights.sum()
    return y


def inputs(form, lengths, queries, dtype, seed):
    rng, batch = np.random.default_rng(seed), len(lengths)
    cast = lambda *shape: rng.normal(size=shape).astype(NUMPY[dtype])
    q, k, v = cast(batch, 4, queries, 64), cast(batch, 2, SLOTS, 64), cast(batch, 2, SLOTS, 64)
    k[:, :, ::7] *= 8  # outliers
    counts = seen(form, lengths, queries)
    want = attention(q, k, v, counts)
    for b in range(batch):
        k[b, :, max(min(lengths[b], SLOTS), 0):] = np.nan
        v[b, :, max(min(lengths[b], SLOTS), 0):] = np.nan
    feeds = dict(q=q, k=k, v=v)
    if form in ("where", "rows"):
        feeds["position"] = np.array([lengths[0] - queries], np.int64)
    else:
        feeds["lengths"] = np.array(lengths, np.int32 if form == "tokens" else np.int64)
    return feeds, want


def lengths_of(form, batch, n):
    """Of the batch entries: `n`, and another one."""
    return [n] if batch == 1 else [n, max(SLOTS - max(n, 0), 0)]


def explain(tools, model, target, *options):
    return json.loads(tools.call("nibble", "explain", model, "--target", target, *options, "--json", expect=OK).stdout)


def recognized(tools, model, target, *options):
    kernels = [layer for layer in explain(tools, model, target, *options)["layers"] if layer["op"] == "attention"]
    return sum("keys end at the length that is loaded" in layer["reason"] for layer in kernels)


def values(a, tools, goals, form, batch, queries, dtype):
    model = Path(a.work) / f"{form}_{dtype}.onnx"
    write_filled(model, form, batch=batch, queries=queries, slots=SLOTS, dtype=dtype)
    for target, device in (("cpu", "cpu"), ("sm_90a", a.device)):
        name = f"{form} {dtype} on {device}"
        engine = model.with_suffix(f".{target}.nbl")
        tools.call("nibble", "compile", model, "-o", engine, "--target", target, expect=OK)
        goals.check(f"{name}: attentions with lengths", recognized(tools, model, target), 1, at_least=True)
        context, worst = Runtime(a.build, engine, device=device).context(), 0.0
        for seed, n in enumerate(LENGTHS):
            feeds, want = inputs(form, lengths_of(form, batch, n), queries, dtype, seed)
            got = context.run(feeds)["y"].astype(np.float64)
            error = np.abs(got - want).max() / max(np.abs(want).max(), 1e-30) if want.any() else np.abs(got).max()
            worst = max(worst, error if np.isfinite(error) else np.inf)
        goals.check(f"{name}: worst error for {len(LENGTHS)} lengths", worst, 4e-3 if dtype == "f16" else 1e-5)


def bytes_read(tools, engine, feeds, folder):
    """Of global memory, by all launches of one run."""
    for name, array in feeds.items():
        np.save(folder / f"{name}.npy", array)
    report = folder / "report.jsonl"
    os.environ["NIBBLE_EMU_REPORT"] = str(report)
    given = [text for name in feeds for text in ("--input", f"{name}=@{folder / name}.npy")]
    tools.call("nibble-run", "run", engine, "--device", "emu", *given, expect=OK)
    del os.environ["NIBBLE_EMU_REPORT"]
    return sum(json.loads(line)["global_read"] for line in report.read_text().splitlines())


def traffic(a, tools, goals):
    """Keys and values of whole tiles: 2 kv heads, 2 tensors. Explain says the most. On FMA units (f32) queries are read again beside
    each tile of keys."""
    for dtype, tile, more in (("f16", 128, 1.02), ("f32", 64, 1.13)):
        model, folder = Path(a.work) / f"traffic_{dtype}.onnx", Path(a.work)
        write_filled(model, "valid", slots=1024, dtype=dtype)
        engine = model.with_suffix(".nbl")
        tools.call("nibble", "compile", model, "-o", engine, "--target", "sm_90a", expect=OK)
        key = 2 * 2 * 64 * np.dtype(NUMPY[dtype]).itemsize
        x = {name: np.ones([1, 4 if name == "q" else 2, 1 if name == "q" else 1024, 64], NUMPY[dtype]) for name in "qkv"}
        counted = {n: bytes_read(tools, engine, dict(x, lengths=np.array([n], np.int64)), folder) for n in (0, 1, 129, 500, 1024, 5000)}
        most = explain(tools, model, "sm_90a")["layers"][0]["bytes_read"]
        fixed = counted[0]
        goals.check(f"{dtype}: bytes read without keys, of all", fixed / most, 0.05)
        for n in (1, 129, 500, 1024):
            slots = -(-n // tile) * tile
            goals.check(f"{dtype}: bytes read of keys for {n}, of whole tiles", (counted[n] - fixed) / (slots * key), more)
            goals.check(f"{dtype}: bytes read of keys for {n}, of keys", (counted[n] - fixed) / (n * key), 1, at_least=True)
        goals.check(f"{dtype}: bytes that a number beyond the cache adds", counted[5000] - counted[1024], 0)
        goals.check(f"{dtype}: bytes read, of what explain says at most", counted[1024] / most, more + 0.03)


def traffic_on_cpu(a, tools, goals):
    """Pages that the kernel touches: those of the slots and the queries, and a few where heads begin and end."""
    folder, page = Path(a.work), 4096
    for queries in (1, 40):
        model = folder / f"pages_{queries}.onnx"
        write_filled(model, "valid", queries=queries, slots=4096, dtype="f32")
        tools.compile(model, model.with_suffix(".nbl"), expect=OK)
        for n in (0, 100, 1024, 4096):
            np.save(folder / "lengths.npy", np.array([n], np.int64))
            done = tools.call("count-bytes", model.with_suffix(".nbl"), f"lengths={folder / 'lengths.npy'}", expect=OK)
            read = json.loads(done.stdout.splitlines()[-1])["read"]
            goals.check(f"CPU, {queries} queries: bytes read for {n} keys, of those that are there",
                        read / (2 * 2 * 64 * 4 * n + 4 * 64 * 4 * queries + 8 * page), 1)


def finite(a, tools, goals):
    model = Path(a.work) / "finite.onnx"
    write_filled(model, "finite", slots=SLOTS, dtype="f32")
    goals.check("finite masks that became lengths", recognized(tools, model, "cpu"), 0)
    kept = [d for d in explain(tools, model, "cpu")["decisions"] if d["pass"] == "recognize-lengths" and "trust-large-masks" in d.get("suggestion", "")]
    goals.check("finite masks: remarks that say what to do", len(kept), 1, at_least=True)
    goals.check("finite masks that may", recognized(tools, model, "cpu", "--allow-rewrite", "trust-large-masks"), 1, at_least=True)


STEPS = """
func.func @main(%q: tensor<2x4x5x64xf32> {nibble.name = "q"}, %k: tensor<2x2x300x64xf32> {nibble.name = "k"}, %v: tensor<2x2x300x64xf32> {nibble.name = "v"},
                %n: tensor<2xi64> {nibble.name = "lengths"}) -> (tensor<2x4x5x64xf32> {nibble.name = "y"}) attributes {nibble.entry} {
  %m = arith.constant dense<0.0> : tensor<1xf64>
  %y = nq.attention %q, %k, %v mask(%m : tensor<1xf64>) lengths(%n : tensor<2xi64>) {scale = 0.125 : f64, causal, bottom_right}
    : (tensor<2x4x5x64xf32>, tensor<2x2x300x64xf32>, tensor<2x2x300x64xf32>) -> tensor<2x4x5x64xf32>
  return %y : tensor<2x4x5x64xf32>
}
"""


def stepwise(a, tools, goals):
    """Attention that the CPU has no kernel for: product, mask, softmax, product."""
    model, engine = Path(a.work) / "steps.mlir", Path(a.work) / "steps.nbl"
    model.write_text(STEPS)
    tools.compile(model, engine, expect=OK)
    context, worst = Runtime(a.build, engine).context(), 0.0
    for seed, n in enumerate(LENGTHS):
        feeds, want = inputs("causal", lengths_of("causal", 2, n), 5, "f32", seed)
        error = np.abs(context.run(feeds)["y"] - want).max() / max(np.abs(want).max(), 1e-30)
        worst = max(worst, error if np.isfinite(error) else np.inf)
    goals.check(f"step by step: worst error for {len(LENGTHS)} lengths", worst, 1e-5)


STATES = ["--state", "past_key_values.*.key=present.*.key", "--state", "past_key_values.*.value=present.*.value",
          "--state", "position=next_position"]


def decoding(a, tools, goals):
    """Position and caches are states; what no step has written holds NaN."""
    size = dict(layers=2, length=80, width=128, mlp=256, heads=4, kv_heads=2, head_dim=32)
    model = Path(a.work) / "step.onnx"
    write_step(model, "dense", dtype="f16", counted=True, **size)
    contexts = []
    for target, device in (("cpu", "cpu"), ("sm_90a", a.device)):
        goals.check(f"decoding on {device}: attentions with lengths", recognized(tools, model, target, *STATES), 2, at_least=True)
        engine = model.with_suffix(f".{target}.nbl")
        tools.call("nibble", "compile", model, "-o", engine, "--target", target, *STATES, expect=OK)
        for poisoned in (False, True):
            contexts.append(Runtime(a.build, engine, device=device).context())
            if poisoned:
                contexts[-1].set_states({n: np.full_like(x, np.nan) for n, x in contexts[-1].states().items() if x.dtype == np.float16})
    rng, worst = np.random.default_rng(1), 0.0
    strays = 0
    for _ in range(70):
        feeds = dict(x=rng.normal(size=(1, 1, 128)).astype(np.float16))
        y = [context.run(feeds)["y"].astype(np.float64) for context in contexts]
        strays += int((y[0] != y[1]).sum() + (y[2] != y[3]).sum())
        worst = max(worst, float(np.abs(y[2] - y[0]).max() / np.abs(y[0]).max()))
    goals.check("decoding: elements that NaN in unwritten slots changes", strays, 0)
    goals.check("decoding: worst difference of GPU and CPU", worst, 0.02)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--work", default=str(ROOT / "build" / "e2e" / "lengths"))
    p.add_argument("--device", default="emu")
    a = p.parse_args()
    Path(a.work).mkdir(parents=True, exist_ok=True)
    tools, goals = Tools(a.build), Goals()
    for form, batch, queries in FORMS:
        for dtype in ("f16", "f32"):
            values(a, tools, goals, form, batch, queries, dtype)
    if a.device == "emu":
        traffic(a, tools, goals)
    if not sanitizer(Path(a.build)):
        traffic_on_cpu(a, tools, goals)
    finite(a, tools, goals)
    stepwise(a, tools, goals)
    decoding(a, tools, goals)
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
