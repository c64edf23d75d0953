#!/usr/bin/env python3
# The bytes that explain predicts for each CPU kernel against the bytes that the kernel touches.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""bytes.py [--build DIR] [--m 64 --k 512 --n 2048 --layers 18] [--work FOLDER]

count-bytes runs an engine and counts the pages that each launch reads and writes. Operands begin anywhere in a page, so that
a count may exceed the prediction by up to two pages an operand; beyond that, a kernel's count must be the prediction, and
the totals must agree within 2 % when each operand is charged half of that. Operations in the engine must be those predicted.
Exit 1 if not."""
import argparse
import json
import sys
from pathlib import Path

from common import OK, ROOT, Goals, Tools, build_argument, fresh, in_venv, sanitizer

in_venv()
import numpy as np  # noqa: E402

from decoder import write_decoder  # noqa: E402
from minilm import write_minilm  # noqa: E402
from mlp import write_mlp  # noqa: E402
from step import write_step  # noqa: E402

PAGE = 4096


def counted(tools, engine, inputs):
    done = tools.call("count-bytes", engine, *(f"{name}={file}" for name, file in inputs.items()), expect=OK)
    return [json.loads(line) for line in done.stdout.splitlines()]


def predicted(tools, engine):
    return json.loads(tools.call("nibble", "explain", engine, "--json", expect=OK).stdout)["layers"]


def compare(kernel, launch):
    """Lines for what is outside of the slack that pages explain."""
    wrong = []
    for what, operands in (("read", launch["operands"]), ("written", launch["results"])):
        want, got = kernel[f"bytes_{what}"], launch[what]
        if not want - 2 * PAGE * operands <= got <= want + 2 * PAGE * operands:
            wrong.append(f"    {kernel['name']} ({kernel['op']}): {what} {got}, predicted {want}")
    return wrong


def check(name, model, tools, goals, *options, inputs={}):
    engine = model.with_suffix(".nbl")
    tools.compile(model, engine, *options, expect=OK)
    # In the order of layers: order-launches may run them in another one.
    kernels = sorted(predicted(tools, engine), key=lambda k: k["name"])
    launches = sorted(counted(tools, engine, inputs), key=lambda x: x["layer"])
    if [k["name"] for k in kernels] != [x["layer"] for x in launches]:
        raise SystemExit(f"{name}: explain lists other kernels than the engine launches:\n"
                         f"{[k['name'] for k in kernels]}\n{[x['layer'] for x in launches]}")
    wrong = [line for k, x in zip(kernels, launches) for line in compare(k, x)]
    want = sum(k["bytes_read"] + k["bytes_written"] for k in kernels)
    got = sum(x["read"] + x["written"] - PAGE * (x["operands"] + x["results"]) for x in launches)
    engine_flops = json.loads(tools.call("nibble", "inspect", engine, "--launches", "--json", expect=OK).stdout)["entries"][0]["launches"]
    goals.check(f"{name}: flops of the engine that were not predicted",
                abs(sum(x["flops"] for x in engine_flops) - sum(k["flops"] for k in kernels)), 0)
    goals.check(f"{name}: counted / predicted bytes", got / want, 1.02)
    goals.check(f"{name}: counted / predicted bytes", got / want, 0.98, at_least=True)
    goals.check(f"{name}: kernels of {len(kernels)} that differ", len({line.split(' (')[0] for line in wrong}), 0)
    print(*wrong, sep="\n", end="\n" if wrong else "")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    for name, default in (("m", 64), ("k", 512), ("n", 2048), ("layers", 18)):
        p.add_argument(f"--{name}", type=int, default=default)
    p.add_argument("--work", default=str(ROOT / "build" / "e2e"))
    a = p.parse_args()
    if sanitizer(Path(a.build)):
        return print("skipped: a sanitizer's own faults and memory would be counted")
    work, tools, goals = Path(a.work), Tools(a.build), Goals()
    size = f"{a.m}x{a.k}x{a.n}"
    for fmt in ("nvfp4", "fp8"):
        model = fresh(work / f"bytes_{fmt}_{size}.onnx", lambda p: write_mlp(p, fmt, m=a.m, k=a.k, n=a.n, external="never"))
        check(f"MLP {fmt} {size}", model, tools, goals)
    stack = fresh(work / f"bytes_stack_{a.layers}_{size}.onnx", lambda p: write_decoder(
        p, "nvfp4", layers=a.layers, seq=a.m, width=a.k, mlp=a.n, attention=False, norm=False, external="never"))
    check(f"stack of {a.layers} NVFP4 MLPs {size}", stack, tools, goals)
    check(f"stack of {a.layers} NVFP4 MLPs {size}, not fused", stack, tools, goals, "--no-fusion", "all")
    decoder = fresh(work / "bytes_decoder.onnx", lambda p: write_decoder(
        p, "nvfp4", layers=1, seq=256, width=512, mlp=1024, heads=8, kv_heads=1, head_dim=64, external="never"))
    check("decoder layer", decoder, tools, goals)
    check("decoder layer, statistics of rows", decoder, tools, goals, "--force-fusion", "fuse-norm-statistics")
    # Rows of the embedding that lie together, as pages say little about scattered ones.
    np.save(work / "ids.npy", np.arange(1000, 1128, dtype=np.int64).reshape(1, 128))
    check("MiniLM 1x128", fresh(work / "bytes_minilm.onnx", lambda p: write_minilm(p, batch=1, seq=128)), tools, goals,
          inputs={"input_ids": work / "ids.npy"})
    # A step writes one row into each cache of 256 KiB, the last one: all others are read.
    np.save(work / "position.npy", np.array([2047], np.int64))
    check("decoder step", fresh(work / "bytes_step_1024x4096.onnx", lambda p: write_step(p, "nvfp4", length=2048, width=1024, mlp=4096, heads=16)),
          tools, goals, "--state", "past_key_values.*.key=present.*.key", "--state", "past_key_values.*.value=present.*.value",
          inputs={"position": work / "position.npy"})
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
