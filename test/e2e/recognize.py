#!/usr/bin/env python3
# Norms, rotations and attention that stage canonical recognizes in whole models, and what the engines compute then.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""recognize.py [--build DIR] [--work DIR]

Counts nq.norm, nq.rope and nq.attention after `canonical` in decoder layers (f16, f32, bf16; quantized weights) and in
MiniLM; none of their decomposed forms may be left. Engines of the decoders are held to the numpy reference, which rounds
every node. Exit 1 if a count or a limit is missed."""
import argparse
import re
import sys
from pathlib import Path

from common import Goals, Tools, build_argument, fresh, in_venv

in_venv()
import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402

from decoder import save_input, write_decoder  # noqa: E402  (test/models, as the next ones)
from minilm import write_minilm  # noqa: E402
from reference import Evaluator, metrics  # noqa: E402

# Relative Frobenius to the reference that rounds scores, weights and products of rotations, which the engine does not.
LIMIT = dict(f32=1e-5, f16=1e-4, bf16=1e-3)
LAYERS, SEQ, WIDTH = 2, 24, 128
OPS = ("nq.norm", "nq.rope", "nq.attention", "linalg.softmax", "math.sqrt")


def count(tools, model):
    text = tools.call("nibble", "compile", model, "--stop-after", "canonical", "--target", "cpu", expect=0).stdout
    return {op: len(re.findall(rf"= {re.escape(op)}\b", text)) for op in OPS}


def judge_counts(name, found, wanted, goals):
    print(f"{name}: " + ", ".join(f"{n} {op}" for op, n in found.items()))
    for op in OPS:
        goals.check(f"{name}: {op} missed or left over", abs(found[op] - wanted.get(op, 0)), 0)


def decoder(fmt, dtype, work, tools, goals):
    name = f"recognize_{fmt}_{dtype}"
    model, x, y = (work / f"{name}{end}" for end in (".onnx", "_x.npy", "_y.npy"))
    write_decoder(model, fmt, LAYERS, SEQ, WIDTH, 2 * WIDTH, heads=4, kv_heads=2, head_dim=32, dtype=dtype)
    save_input(x, SEQ, WIDTH, dtype)
    wanted = {"nq.norm": 2 * LAYERS, "nq.rope": 2 * LAYERS, "nq.attention": LAYERS}
    judge_counts(f"decoder {fmt} {dtype}", count(tools, model), wanted, goals)
    tools.compile(model, work / f"{name}.nbl", expect=0)
    tools.run(work / f"{name}.nbl", {"x": x}, {"y": y}, expect=0)
    result = np.load(y)
    result = result.view(ml_dtypes.bfloat16) if dtype == "bf16" else result
    m = metrics(result.astype(np.float64), Evaluator(model).run({"x": np.load(x)})["y"])
    goals.check(f"decoder {fmt} {dtype}: relative error to numpy", m["rel_frobenius"], LIMIT[dtype])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--work", required=True)
    a = p.parse_args()
    work, tools, goals = Path(a.work), Tools(a.build), Goals()
    work.mkdir(parents=True, exist_ok=True)
    for fmt, dtype in (("dense", "f32"), ("dense", "f16"), ("dense", "bf16"), ("nvfp4-weight", "f16")):
        decoder(fmt, dtype, work, tools, goals)
    mini = fresh(work / "recognize_minilm.onnx", lambda path: write_minilm(path, batch=2, seq=32))
    # The square root is that of the L2 normalization at the end.
    judge_counts("MiniLM", count(tools, mini), {"nq.norm": 13, "nq.attention": 6, "math.sqrt": 1}, goals)
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
