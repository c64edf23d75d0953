#!/usr/bin/env python3
# DynamicQuantizeLinear bit for bit: the CPU target and the f64 reference against the f32 recipe of ONNX.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""dynamic_quantize.py [--build DIR] [--seeds N]

Data lie around the values at which a code changes, where arithmetic in f64 gives other codes than the f32 steps that ONNX
defines. Exit 1 if any output of the engine differs from these, or if the reference differs from the engine."""
import argparse
import sys
import tempfile
from pathlib import Path

from common import OK, Tools, build_argument, in_venv

in_venv()
import numpy as np  # noqa: E402
import onnx  # noqa: E402
from onnx import TensorProto, helper  # noqa: E402


def recipe(x, real):
    """Codes, scale and zero point with arithmetic in type `real`."""
    low, high = real(min(x.min(), 0)), real(max(x.max(), 0))
    scale = (high - low) / real(255)
    if scale == 0:
        return np.zeros(x.shape, np.uint8), np.float32(0), np.uint8(0)
    zero = np.rint(np.clip(-(low / scale), real(0), real(255)))
    codes = np.clip(np.rint(x.astype(real) / scale) + zero, 0, 255)
    return codes.astype(np.uint8), np.float32(scale), np.uint8(zero)


def borders(seed):
    """Numbers next to the borders between codes, and the two extremes that make the scale."""
    r = np.random.default_rng(seed)
    low, high = np.float32(-r.random()), np.float32(r.random())
    middle = ((np.arange(-260, 260) + 0.5) * ((high - low) / np.float32(255))).astype(np.float32)
    near = [middle]
    for _ in range(3):
        near += [np.nextafter(near[-1], np.float32(9))]
    x = np.concatenate([*near, *(2 * middle - y for y in near[1:])])
    return np.concatenate([[low, high], x[(x > low) & (x < high)]]).astype(np.float32)


def write_model(path, count):
    ports = [helper.make_tensor_value_info(*p) for p in
             (("x", TensorProto.FLOAT, [count]), ("q", TensorProto.UINT8, [count]), ("s", TensorProto.FLOAT, []), ("z", TensorProto.UINT8, []))]
    graph = helper.make_graph([helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"], "dynamic")], "g", ports[:1], ports[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)


def check(x, tools):
    """Empty if all agree, else what does not."""
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: Path(folder) / name
        write_model(at("m.onnx"), x.size)
        np.save(at("x.npy"), x)
        tools.compile(at("m.onnx"), at("m.nbl"), expect=OK)
        tools.run(at("m.nbl"), {"x": at("x.npy")}, {n: at(f"{n}.npy") for n in "qsz"}, expect=OK)
        for name, want in zip("qsz", recipe(x, np.float32)):
            different = int(np.sum(np.load(at(f"{name}.npy")) != want))
            if different:
                return f"{different} elements of output '{name}' are not those of the recipe"
        done = tools.call("nibble", "verify", at("m.onnx"), "--input", f"x=@{at('x.npy')}", "--tol", "fro=0")
        return "" if done.returncode == OK else f"the reference differs from the engine:\n{done.stdout}{done.stderr}"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--seeds", type=int, default=6)
    a = p.parse_args()
    data = {f"borders {seed}": borders(seed) for seed in range(a.seeds)}
    data |= {"positive": np.float32([1, 2, 3]), "negative": np.float32([-1, -2.5]), "zeros": np.zeros(5, np.float32)}
    telling = sum(int(np.sum(recipe(x, np.float32)[0] != recipe(x, np.float64)[0])) for x in data.values())
    failures = 0
    for name, x in data.items():
        wrong = check(x, Tools(a.build))
        failures += bool(wrong)
        print(f"{'FAIL' if wrong else 'ok  '} {name:12} {x.size} elements {wrong}")
    print(f"{len(data) - failures} of {len(data)} agree; {telling} elements tell f32 from f64")
    sys.exit(failures > 0 or telling == 0)


if __name__ == "__main__":
    main()
