#!/usr/bin/env python3
# Two models as entry points of one engine that share weights and KV cache, and the example of a control loop over them.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""control_loop.py [--build DIR] [--work FOLDER]

`nibble compile encode.onnx --entry act=act.onnx` makes one engine. Encoding a prompt at once and then acting must give what feeding the
tokens one by one gives. examples/control_loop runs it on cpu and on the emulated GPU with few ticks; its actions must be those of
the same calls without staging, submit and wait, bit for bit. Also: weights are stored once; refusals. Exit 1 if anything differs."""
import argparse
import json
import math
import sys
from pathlib import Path

from common import DEVICE, OK, ROOT, UNSUPPORTED, USAGE, Goals, Tools, build_argument, in_venv

in_venv()
import numpy as np  # noqa: E402

from nibble_rt import Runtime  # noqa: E402
from policy import SIZES, write_policy  # noqa: E402  (test/models)

PAIRS = ["--state", "past_key_values.*=present.*"]
TOKENS, WIDTH, TICKS = 24, SIZES["width"], 20


def compile_policy(a, tools, dtype, target, counted=False):
    folder = Path(a.work) / (dtype + "-counted" * counted)
    folder.mkdir(parents=True, exist_ok=True)
    write_policy(folder, "dense", TOKENS, dtype, counted=counted)
    engine = folder / f"{target}.nbl"
    count = ["--state", "position=next_position"] if counted else []
    done = tools.call("nibble", "compile", folder / "encode.onnx", "--entry", f"act={folder / 'act.onnx'}", "--target", target, *PAIRS,
                      *count, "-o", engine, "--json", expect=OK)
    return engine, json.loads(done.stdout)


def distance(a, b):
    return float(np.linalg.norm(np.float64(a) - b) / np.linalg.norm(np.float64(b)))


def same_as_steps(a, tools, goals):
    """A prompt at once against its tokens one by one."""
    engine, report = compile_policy(a, tools, "f32", "cpu")
    runtime = Runtime(a.build, engine)
    act = runtime.entry("act").value
    one, other = runtime.context(), runtime.context()
    prompt = np.random.default_rng(3).normal(size=(1, TOKENS, WIDTH)).astype(np.float32)
    y = one.run(dict(x=prompt))["y"]
    worst = 0
    for i in range(TOKENS):
        step = other.run(dict(x=prompt[:, i : i + 1], position=np.array([i], np.int64)), act)["y"]
        worst = max(worst, distance(step, y[:, i : i + 1]))
    goals.check("encode against steps: worst relative error", worst, 1e-4)
    mine, theirs = one.states(), other.states()
    goals.check("encode against steps: caches", max(distance(mine[n], theirs[n]) for n in theirs), 1e-5)
    x = dict(x=prompt[:, :1], position=np.array([TOKENS], np.int64))
    goals.check("act after encode", distance(one.run(x, act)["y"], other.run(x, act)["y"]), 1e-4)
    weights = sum(v.nbytes for v in other.states().values())
    goals.check("states, bytes missing", report["state_bytes"] - weights, 0)
    alone = json.loads(tools.compile(Path(a.work) / "f32" / "act.onnx", Path(a.work) / "alone.nbl", *PAIRS, "--json", expect=OK).stdout)
    goals.check("constants of two entry points, of those of one", report["constant_bytes"] / alone["constant_bytes"], 1.2)


def sensor(tick, count):
    return np.array([math.sin(0.1 * tick + 0.37 * (i % 1000)) for i in range(count)])


def actions(a, engine, device, dtype):
    """What the loop computes, by synchronous calls."""
    runtime = Runtime(a.build, engine, device=device)
    context, act, found = runtime.context(), runtime.entry("act").value, []
    steps = SIZES["length"] - TOKENS
    for tick in range(TICKS):
        step = tick % steps
        if step == 0:
            context.run(dict(x=sensor(tick, TOKENS * WIDTH).astype(np.float32).astype(dtype).reshape(1, TOKENS, WIDTH)))
        x = sensor(tick, WIDTH).astype(np.float32).astype(dtype).reshape(1, 1, WIDTH)
        found.append(context.run(dict(x=x, position=np.array([TOKENS + step], np.int64)), act)["y"])
    return np.stack(found)


def loop(a, tools, goals, dtype, target, device):
    engine, _ = compile_policy(a, tools, dtype, target)
    counted, _ = compile_policy(a, tools, dtype, target, counted=True)
    record = Path(a.work) / "actions.bin"
    tools.call("control-loop", counted, "--device", device, "--hz", 1000, "--ticks", TICKS, "--record", record, expect=OK)
    on_device = np.fromfile(record, np.uint8)
    done = tools.call("control-loop", engine, "--device", device, "--hz", 1000, "--ticks", TICKS, "--record", record, expect=OK)
    numpy = dict(f32=np.float32, f16=np.float16)[dtype]
    mine, theirs = np.fromfile(record, numpy), actions(a, engine, device, numpy).reshape(-1)
    goals.check(f"control loop, {dtype} on {device}: actions", mine.size - theirs.size, 0)
    goals.check(f"control loop, {dtype} on {device}: bits that differ", int((mine.view(np.uint8) != theirs.view(np.uint8)).sum()), 0)
    goals.check(f"control loop, {dtype} on {device}: bits that differ where the engine counts", int((mine.view(np.uint8) != on_device).sum()), 0)
    goals.check(f"control loop, {dtype} on {device}: says that it allocated nothing", "allocations in the loop: 0" in done.stdout, 1, at_least=True)
    print(done.stdout)


def one_graph(a, tools, goals, device):
    """A prompt and all its steps as one graph: the length of the cache is counted and read on the device only."""
    engine, _ = compile_policy(a, tools, "f16", "sm_90a", counted=True)
    runtime = Runtime(a.build, engine, device=device)
    act, steps = runtime.entry("act").value, SIZES["length"] - TOKENS
    rng = np.random.default_rng(9)
    prompt, x = rng.normal(size=(1, TOKENS, WIDTH)).astype(np.float16), rng.normal(size=(1, 1, WIDTH)).astype(np.float16)
    one, other = runtime.context(), runtime.context()
    for context in (one, other):
        context.run(dict(x=prompt))
        context.run(dict(x=x), act)  # sets the inputs that the recording uses
    replay = one.record([0] + [act] * steps)
    replay()
    other.run(dict(x=prompt))
    for _ in range(steps):
        y = other.run(dict(x=x), act)["y"]
    mine, theirs = one.states(), other.states()
    differ = lambda a, b: int((np.atleast_1d(a).view(np.uint8) != np.atleast_1d(b).view(np.uint8)).sum())
    goals.check("one graph of a prompt and its steps: position", abs(int(mine["position"][0]) - SIZES["length"]), 0)
    goals.check("one graph: bits of the action that differ", differ(one.output(act), y), 0)
    goals.check("one graph: bits of states that differ", sum(differ(mine[n], theirs[n]) for n in theirs), 0)


def refusals(a, tools, goals):
    folder = Path(a.work) / "f32"

    def check(what, code, text, *command):
        done = tools.call(*command)
        good = done.returncode == code and text in done.stderr
        goals.check(f"refused: {what}", 0 if good else 1, 0)
        if not good:
            print(f"  exit {done.returncode}, wanted {code} and {text}\n{done.stderr}")

    compile_ = ["nibble", "compile", folder / "encode.onnx", "-o", Path(a.work) / "refused.nbl"]
    check("an entry without a file", UNSUPPORTED, "is not NAME=MODEL.onnx", *compile_, "--entry", "act")
    check("an entry of a name that is taken", UNSUPPORTED, "another name", *compile_, "--entry", f"main={folder / 'act.onnx'}")
    check("an unknown entry point", USAGE, "main, act", "control-loop", folder / "cpu.nbl", "--act", "decode")
    done = tools.call("nibble", "verify", folder / "cpu.nbl", *PAIRS, expect=OK)
    goals.check("nibble verify says what it leaves out", "only entry point 'main' of 2" in done.stderr, 1, at_least=True)
    check("an engine for another device", DEVICE, "target 'cpu'", "control-loop", folder / "cpu.nbl", "--device", "emu")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--work", default=str(ROOT / "build" / "e2e" / "control-loop"))
    a = p.parse_args()
    Path(a.work).mkdir(parents=True, exist_ok=True)
    tools, goals = Tools(a.build), Goals()
    same_as_steps(a, tools, goals)
    loop(a, tools, goals, "f32", "cpu", "cpu")
    loop(a, tools, goals, "f16", "sm_90a", "emu")
    one_graph(a, tools, goals, "emu")
    refusals(a, tools, goals)
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
