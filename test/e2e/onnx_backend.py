#!/usr/bin/env python3
# Runs the operator tests that come with the onnx package through `nibble compile` and `nibble run` on the CPU target.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""onnx_backend.py [--all | --sample N --seed S] [--only GLOB] [--build DIR] [--json FILE]

Result of a test: pass; refused (exit 4, and the message names the operator or the node); mismatch; crash (signal, time-out
or any other exit code); unclear (exit 4, but the message names neither). A test counts for the share of supported
operators if all its operators are in supported_ops.txt. Exit 1 on any crash, mismatch or unclear refusal, or when less than
95 % of the tests of supported operators pass.

Operands that decide shapes or scales (the shape of Reshape, the axes of ReduceSum, the scale of QuantizeLinear, ...) are
graph inputs in these tests; networks have them as constants, and engines have static shapes. They are turned into
initializers before the compilation."""
import argparse
import collections
import concurrent.futures
import fnmatch
import json
import random
import sys
import tempfile
import warnings
from pathlib import Path

from common import OK, Tools, UNSUPPORTED, build_argument, in_venv

in_venv()
import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402
import onnx  # noqa: E402
from onnx import numpy_helper  # noqa: E402

LIST = Path(__file__).with_name("supported_ops.txt")
GOAL = 0.95
AXES = {op: (1,) for op in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
                            "ReduceLogSumExp", "ReduceSumSquare", "Squeeze", "Unsqueeze", "Reshape", "Expand", "Tile", "Split", "TopK",
                            "CumSum", "CumProd", "Trilu", "OneHot", "CenterCropPad", "Upsample", "AffineGrid", "Compress")}
CONSTANT_OPERANDS = dict(AXES, Slice=(1, 2, 3, 4), Pad=(1, 3), Resize=(1, 2, 3), ConstantOfShape=(0,), Range=(0, 1, 2), Dropout=(1, 2),
                         QuantizeLinear=(1, 2), DequantizeLinear=(1, 2), BlackmanWindow=(0,), HannWindow=(0,), HammingWindow=(0,), NonZero=(0,),
                         Col2Im=(1, 2), MaxUnpool=(2,))


def operators(graph):
    """All operator types, of subgraphs too."""
    found = set()
    for node in graph.node:
        found.add(node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}")
        for a in node.attribute:
            for sub in [a.g] if a.HasField("g") else a.graphs:
                found |= operators(sub)
    return found


def array(x):
    """Data sets hold arrays, numpy scalars, messages (for types that numpy lacks), or lists (sequences)."""
    if isinstance(x, np.generic):
        return np.asarray(x)
    return numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x


class Case:
    """One node test: a model with constant operands folded in, inputs and wanted outputs of its first data set."""

    def __init__(self, test, base=None):
        """`base`: the test of the function that this test spells out; it tells which operands are constant."""
        self.name, self.rtol, self.atol = test.name, test.rtol, test.atol
        self.model = onnx.ModelProto()
        self.model.CopyFrom(test.model)
        inputs, self.want = (list(map(array, part)) for part in test.data_sets[0])
        graph = self.model.graph
        self.operators = operators(graph)
        self.feeds = dict(zip([i.name for i in graph.input], inputs))
        self.results = [o.name for o in graph.output]
        self.fold(graph, base.model.graph.node if base else graph.node)

    def fold(self, graph, nodes):
        for node in nodes:
            for index in CONSTANT_OPERANDS.get(node.op_type, ()):
                name = node.input[index] if index < len(node.input) else ""
                if isinstance(self.feeds.get(name), np.ndarray):
                    graph.initializer.append(numpy_helper.from_array(self.feeds.pop(name), name))
        kept = [i for i in graph.input if i.name in self.feeds]
        del graph.input[:]
        graph.input.extend(kept)

    def shapes(self):
        """--shape options for inputs with symbolic or missing dimensions."""
        for i in self.model.graph.input:
            dims = i.type.tensor_type.shape.dim
            x = self.feeds[i.name]
            if isinstance(x, np.ndarray) and x.ndim and (any(not d.HasField("dim_value") for d in dims) or len(dims) != x.ndim):
                yield from ("--shape", f"{i.name}=" + "x".join(map(str, x.shape)))

    def names(self):
        """What a refusal may name: operators, nodes, values."""
        graph = self.model.graph
        values = [v for n in graph.node for v in (n.op_type, n.name, *n.output)] + [v.name for v in (*graph.input, *graph.output)]
        return {v.lower() for v in values if len(v) > 1} | {f"'{v.lower()}'" for v in values if v}


FOUR_BITS = (ml_dtypes.int4, ml_dtypes.uint4, ml_dtypes.float4_e2m1fn)


def storable(x):
    """Array as it travels in a .npy file: types that numpy lacks as their bits, 4-bit types one code per byte (INT4 as int8)."""
    if x.dtype == ml_dtypes.int4:
        return x.astype(np.int8)
    if x.dtype in FOUR_BITS:
        return np.ascontiguousarray(x).view(np.uint8) & 15
    if x.dtype.kind == "V" or x.dtype.name in dir(ml_dtypes):
        return np.ascontiguousarray(x).view(np.uint16 if x.dtype.itemsize == 2 else np.uint8)
    return x


def restored(got, want):
    """Inverse of `storable` for an output, given the wanted array."""
    if got.dtype != storable(want).dtype or got.dtype == want.dtype:
        return got
    return got.astype(np.int8).astype(ml_dtypes.int4) if want.dtype == ml_dtypes.int4 else got.view(want.dtype)


def difference(got, want, rtol, atol):
    """Empty if equal within tolerance, else a description."""
    got = restored(got, want)
    if got.shape != want.shape:
        return f"shape {got.shape}, wanted {want.shape}"
    if got.dtype != want.dtype:
        return f"type {got.dtype}, wanted {want.dtype}"
    wide = lambda a: a.astype(np.float32) if storable(a) is not a else a
    if want.dtype in (np.float16, ml_dtypes.bfloat16):
        # The wanted values round after every step, results of fused operators once: two units in the last place.
        rtol = max(rtol, 2 * float(ml_dtypes.finfo(want.dtype).eps))
    try:
        np.testing.assert_allclose(wide(got), wide(want), rtol=rtol, atol=atol)
    except AssertionError as e:
        return " ".join(str(e).split())[:300]
    return ""


def run_case(case, tools):
    """(result, message)."""
    if not all(isinstance(x, np.ndarray) and x.dtype.kind not in "OUS" for x in case.feeds.values()):
        case.feeds = {}  # sequences, optionals, strings: the compiler must refuse them
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "m.onnx").write_bytes(case.model.SerializeToString())
        shapes = list(case.shapes()) if case.feeds else []
        done = tools.compile(folder / "m.onnx", folder / "m.nbl", *shapes, timeout=120)
        message = (done.stderr + done.stdout).strip()
        if done.returncode == UNSUPPORTED:
            return ("refused" if any(n in message.lower() for n in case.names()) else "unclear"), message
        if done.returncode != OK:
            return "crash", f"compile exit {done.returncode}: {message}"
        return execute(case, tools, folder)


def execute(case, tools, folder):
    inputs, outputs = {}, {}
    for i, (name, x) in enumerate(case.feeds.items()):
        np.save(folder / f"in{i}.npy", storable(x))
        inputs[name] = folder / f"in{i}.npy"
    for i, name in enumerate(case.results):
        outputs[name] = folder / f"out{i}.npy"
    done = tools.run(folder / "m.nbl", inputs, outputs, timeout=120)
    if done.returncode != OK:
        return "crash", f"run exit {done.returncode}: {(done.stderr + done.stdout).strip()}"
    for name, want in zip(case.results, case.want):
        got, want = np.load(outputs[name]), np.asarray(want)
        for x in case.feeds.values():
            if want.dtype == ml_dtypes.float4_e2m1fn and x.shape == want.shape and x.dtype.kind == "f":
                got[np.isnan(x)] = storable(want)[np.isnan(x)]  # FP4 has no NaN, and ONNX does not say what becomes of one
        wrong = difference(got, want, case.rtol, case.atol)
        if wrong:
            return "mismatch", f"output {name}: {wrong}"
    return "pass", ""


def load_cases(a):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests
        every = {t.name: t for t in load_model_tests(kind="node")}
    tests = [t for t in every.values() if fnmatch.fnmatch(t.name, a.only)]
    if not a.all:
        tests = random.Random(a.seed).sample(tests, min(a.sample, len(tests)))
    return [Case(t, every.get(t.name.split("_expanded")[0])) for t in tests]


KINDS = ("pass", "refused", "unclear", "mismatch", "crash")


def table(records, supported):
    """Rows by operator; a test with several operators counts for the one in its name, else for the first."""
    by_operator = collections.defaultdict(collections.Counter)
    for r in records:
        flat = r["name"].replace("_", "")
        named = [o for o in r["operators"] if o.lower().replace(".", "") in flat]
        by_operator[max(named, key=len) if named else sorted(r["operators"])[0]][r["result"]] += 1
    print(f"{'operator':34}{'supported':>10}" + "".join(f"{k:>10}" for k in KINDS))
    for op, counts in sorted(by_operator.items()):
        print(f"{op:34}{'yes' if op in supported else '':>10}" + "".join(f"{counts[k] or '':>10}" for k in KINDS))


def summary(records, supported):
    """Prints totals; returns True if all goals are met."""
    counts = collections.Counter(r["result"] for r in records)
    ours = [r for r in records if set(r["operators"]) <= supported]
    passed = sum(r["result"] == "pass" for r in ours)
    share = passed / len(ours) if ours else 1.0
    print(f"\nONNX node tests: {len(records)} run; " + ", ".join(f"{counts[k]} {k}" for k in KINDS))
    print(f"tests of supported operators: {passed} of {len(ours)} pass ({100 * share:.1f} %, goal {100 * GOAL:.0f} %)")
    return share >= GOAL and not any(counts[k] for k in ("unclear", "mismatch", "crash"))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--all", action="store_true", help="every test (default: a sample)")
    p.add_argument("--sample", type=int, default=200)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--only", default="*", help="glob on test names, e.g. 'test_reduce_*'")
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--json", help="write all results here")
    p.add_argument("-v", "--verbose", action="store_true", help="print the message of every test that does not pass")
    a = p.parse_args()
    supported = {line.strip() for line in LIST.read_text().splitlines() if line.strip() and not line.startswith("#")}
    cases, tools = load_cases(a), Tools(a.build)
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        results = list(pool.map(lambda c: run_case(c, tools), cases))
    records = [dict(name=c.name, operators=sorted(c.operators), result=r, message=m) for c, (r, m) in zip(cases, results)]
    table(records, supported)
    for r in records:
        if r["result"] in ("crash", "mismatch", "unclear") or (a.verbose and r["result"] != "pass"):
            print(f"{r['result']}: {r['name']}: {r['message'][-500:]}")
    good = summary(records, supported)
    if a.json:
        Path(a.json).write_text(json.dumps(dict(version=1, tests=records), indent=1) + "\n")
    sys.exit(not good)


if __name__ == "__main__":
    main()
