#!/usr/bin/env python3
# Statistics of rows in epilogues, forced on the CPU: the same results, the same every time, and reported; off by themselves.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""norm_statistics.py [--build DIR] [--work FOLDER]

Decoder, vision and text encoder layers with odd numbers of rows, rows that no tile of 128 divides, and outliers: an engine
compiled with `--force-fusion fuse-norm-statistics` is as near to the f64 reference as the one without, gives the same bytes with
any number of threads, has as many kernels, and `explain` says of every norm behind a product what was done. Without the
option it says why not. Exit 1 if not."""
import argparse
import json
import sys
from pathlib import Path

from common import OK, ROOT, USAGE, Goals, Tools, build_argument, fresh, in_venv

in_venv()
import numpy as np  # noqa: E402

from data import Outliers, activations  # noqa: E402  (test/models, as the next ones)
from decoder import sample_input, write_decoder  # noqa: E402
from minilm import SENTENCES, tokenize, write_minilm  # noqa: E402
from reference import Evaluator, metrics  # noqa: E402
from siglip import write_siglip  # noqa: E402

PASS = "fuse-norm-statistics"
FORCE = ("--force-fusion", PASS)
DECODER = dict(layers=2, heads=4, kv_heads=1, head_dim=32)


# Relative errors that docs/numerics.md allows one kernel; codes flip in all of them.
LIMITS = {"f32": 1e-5, "f16": 1e-3, "nvfp4": 1e-2}


class Case:
    """A model with `norms` norms behind products, of `parts` sums per tile, over `elements` values each."""

    def __init__(self, name, norms, parts, elements, limit, write, inputs):
        self.name, self.norms, self.limit, self.write, self.inputs = name, norms, limit, write, inputs
        self.flops = norms * 2 * parts * elements


def decoder_case(fmt, dtype, seq, width, mlp):
    """First norm of the first layer: of the input."""
    return Case(f"decoder {fmt} {dtype} {seq}x{width}", 3, 1, seq * width, LIMITS[dtype if fmt == "dense" else fmt],
            lambda p: write_decoder(p, fmt, dtype=dtype, seq=seq, width=width, mlp=mlp, external="never", **DECODER),
            lambda: dict(x=sample_input(seq, width, 5).astype(np.float32 if dtype == "f32" else np.float16)))


def siglip_case(tokens, width, mlp):
    x = activations(7, (1, tokens, width), Outliers(7, width))
    return Case(f"siglip f16 {tokens}x{width}", 3, 2, tokens * width, LIMITS["f16"], lambda p: write_siglip(p, "dense", layers=2, tokens=tokens, width=width, mlp=mlp, heads=4),
            lambda: dict(x=x.astype(np.float16)))


def minilm_case(batch, seq):
    return Case(f"MiniLM f32 {batch}x{seq}", 12, 2, batch * seq * 384, LIMITS["f32"], lambda p: write_minilm(p, batch=batch, seq=seq), lambda: tokenize(SENTENCES[:batch], seq))


CASES = [decoder_case("dense", "f16", 97, 333, 259), decoder_case("dense", "f32", 389, 250, 130), decoder_case("nvfp4", "f16", 97, 320, 272),
         siglip_case(61, 300, 170), minilm_case(3, 33)]


def decisions(report, kind):
    return [d for d in report["decisions"] if d["pass"] == PASS and d["kind"] == kind]


def explain(tools, what, *options):
    return json.loads(tools.call("nibble", "explain", what, "--json", *options, expect=OK).stdout)


def run(tools, work, engine, files, output, threads):
    y = work / f"y_{threads}.npy"
    tools.run(engine, files, {output: y}, "--threads", str(threads), expect=OK)
    return np.load(y)


def check_reports(goals, case, off, on):
    name, norms = case.name, case.norms
    fused = [layer["op"] for layer in on["layers"] if PASS in layer["fused"]]
    goals.check(f"{name}: products with statistics", abs(fused.count("gemm") - norms), 0)
    goals.check(f"{name}: norms that became elementwise", abs(fused.count("elementwise") - norms), 0)
    goals.check(f"{name}: decisions told", abs(len(decisions(on, "done")) - norms), 0)
    told = [d for d in decisions(off, "missed") if "in its cache" in d["reason"]]
    goals.check(f"{name}: reasons told without the option", abs(len(told) - norms), 0)
    goals.check(f"{name}: kernels more than without", abs(on["totals"]["kernels"] - off["totals"]["kernels"]), 0)
    more = on["totals"]["flops"] - off["totals"]["flops"]
    goals.check(f"{name}: flops of sums, not {case.flops}", abs(more - case.flops), 0)


def check(tools, goals, work, case):
    name = case.name
    model = fresh(work / f"statistics_{name.replace(' ', '_')}.onnx", case.write)
    values, files = case.inputs(), {}
    want = Evaluator(model).run(values)
    output = next(iter(want))
    for port, value in values.items():
        files[port] = work / f"{port}.npy"
        np.save(files[port], value)
    found, reports = {}, {}
    for key, options in (("off", ()), ("on", FORCE)):
        engine = work / f"{key}.nbl"
        tools.compile(model, engine, *options, expect=OK)
        reports[key] = explain(tools, engine)
        found[key] = [run(tools, work, engine, files, output, threads) for threads in (1, 2, 3)]
    check_reports(goals, case, reports["off"], reports["on"])
    goals.check(f"{name}: elements that threads change", sum(int((y != found["on"][0]).sum()) for y in found["on"]), 0)
    errors = {key: metrics(ys[0].astype(np.float64), want[output])["rel_frobenius"] for key, ys in found.items()}
    goals.check(f"{name}: relative error", errors["on"], case.limit)
    goals.check(f"{name}: relative to that without", errors["on"] / errors["off"], 1.1)


def check_switches(tools, goals, work):
    model = next(work.glob("statistics_decoder_dense_f16*.onnx"))
    engine = work / "switched.nbl"
    tools.compile(model, engine, "--no-fusion", PASS, expect=OK)
    report = explain(tools, engine)
    goals.check("switched off: decisions", len(decisions(report, "done") + decisions(report, "missed")), 0)
    for options, word in ((("--force-fusion", "fuse-qkv"), PASS), ((*FORCE, "--no-fusion", "all"), "switched off")):
        done = tools.call("nibble", "compile", model, "--dry-run", *options)
        goals.check(f"{' '.join(options)}: exit code", abs(done.returncode - USAGE), 0)
        goals.check(f"{' '.join(options)}: message lacks '{word}'", int(word not in done.stderr), 0)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--work", default=str(ROOT / "build" / "e2e" / "norm_statistics"))
    a = p.parse_args()
    work, tools, goals = Path(a.work), Tools(a.build), Goals()
    work.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        check(tools, goals, work, case)
    check_switches(tools, goals, work)
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
