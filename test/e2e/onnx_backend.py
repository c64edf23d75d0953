#!/usr/bin/env python3
# Runs the operator tests that come with the onnx package through `nibble compile` and `nibble run` on the CPU target.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""onnx_backend.py [--all | --sample N --seed S] [--only GLOB] [--build DIR] [--json FILE]

Result of a test:
  pass      the engine's outputs are those wanted, within the tolerance of the onnx package
  folded    so, too, but the compiler computed them: the engine only copies constants. This says nothing of CPU code
  refused   exit 4, and the message names the operator or the node
  unclear   exit 4, but the message names neither
  mismatch, crash (signal, time-out or any other exit code)
  stale     an entry of onnx_exceptions.py was not needed

All inputs are given at run time. Where the compiler refuses that, inputs listed as CONSTANT_OPERANDS are turned into
constants, as few of them as possible; further exceptions are F16_STEPS and FP4_NAN. How many tests needed which is printed.

A test counts for the share of supported operators if all its operators are in supported_ops.txt. Folded tests are left out of
the share that the goal is for. Exit 1 on anything but pass, folded and refused, or when the goal is missed."""
import argparse
import collections
import concurrent.futures
import json
import sys
import tempfile
from pathlib import Path

from common import OK, Tools, UNSUPPORTED, build_argument, in_venv

in_venv()
import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402

import onnx_exceptions as exceptions  # noqa: E402
from onnx_cases import difference, load_cases, storable  # noqa: E402

LIST = Path(__file__).with_name("supported_ops.txt")
GOAL = 0.97
KINDS = ("pass", "folded", "refused", "unclear", "mismatch", "crash", "stale")
FINE = ("pass", "folded", "refused")


class Trial:
    """One case on the way through the tools. Steps return (kind, message); kind "" means go on."""

    def __init__(self, case, tools, folder):
        self.case, self.tools, self.folder = case, tools, Path(folder)
        self.engine = self.folder / "m.nbl"
        self.constants = []   # names of inputs that had to be constants
        self.exception = ""   # name of the list of exceptions that was needed

    def run(self):
        for step in (self.compile_test, self.execute, self.judge):
            kind, message = step()
            if kind:
                return kind, message
        return ("folded" if self.is_folded() else "pass"), ""

    def compile(self, constants):
        model = self.folder / "m.onnx"
        model.write_bytes(self.case.model_with(constants))
        done = self.tools.compile(model, self.engine, *self.case.shapes(constants), timeout=120)
        message = (done.stderr + done.stdout).strip()
        if done.returncode == UNSUPPORTED:
            return ("refused" if any(n in message.lower() for n in self.case.names()) else "unclear"), message
        return ("", "") if done.returncode == OK else ("crash", f"compile exit {done.returncode}: {message}")

    def compile_test(self):
        """With all inputs at run time if the compiler takes that, else with as few constants as it asks for."""
        allowed = list(self.case.operands)
        result = self.compile([])
        if result[0] != "refused" or not allowed:
            return result
        result = self.compile(allowed)
        if result[0]:
            return result
        self.constants = allowed
        for name in allowed if len(allowed) > 1 else ():
            fewer = [c for c in self.constants if c != name]
            kind, message = self.compile(fewer)
            if not kind:
                self.constants = fewer
            elif kind != "refused":
                return kind, message
        return self.compile(self.constants)

    def execute(self):
        case, inputs, outputs = self.case, {}, {}
        for i, (name, x) in enumerate(case.feeds.items()):
            if name not in self.constants:
                inputs[name] = self.folder / f"in{i}.npy"
                np.save(inputs[name], storable(x))
        for i, name in enumerate(case.results):
            outputs[name] = self.folder / f"out{i}.npy"
        done = self.tools.run(self.engine, inputs, outputs, timeout=120)
        if done.returncode != OK:
            return "crash", f"run exit {done.returncode}: {(done.stderr + done.stdout).strip()}"
        self.got = [np.load(f) for f in outputs.values()]
        return "", ""

    def compare(self, want, rtol):
        for name, got, wanted in zip(self.case.results, self.got, want, strict=True):
            wrong = difference(got, wanted, rtol, self.case.atol)
            if wrong:
                return f"output {name}: {wrong}"
        return ""

    def judge(self):
        case, want, rtol = self.case, [np.asarray(w) for w in self.case.want], self.case.rtol
        wrong = self.compare(want, rtol)
        listed = [e for e in ("F16_STEPS", "FP4_NAN") if case.name in getattr(exceptions, e)]
        if not listed:
            return ("mismatch" if wrong else ""), wrong
        self.exception = listed[0]
        if not wrong:
            return "stale", f"agrees with ONNX as it is: remove it from {self.exception} in onnx_exceptions.py"
        if self.exception == "F16_STEPS":
            wrong = self.compare(want, 2 * float(np.finfo(np.float16).eps))
        else:
            wrong = self.compare([six_for_nan(case, w) for w in want], rtol)
        return ("mismatch" if wrong else ""), wrong

    def is_folded(self):
        done = self.tools.call("nibble", "inspect", self.engine, "--launches", "--json", expect=OK)
        entry = json.loads(done.stdout)["entries"][0]
        storage = [v["storage"] for v in entry["values"]]
        return all(launch["op"] == "copy" and storage[launch["args"][0]] == "constant" for launch in entry["launches"])


def six_for_nan(case, want):
    """The wanted FP4 array of a cast with 6 where the input is NaN."""
    x = next(iter(case.feeds.values()))
    return np.where(np.isnan(x), ml_dtypes.float4_e2m1fn(6), want)


def run_case(case, tools):
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(case, tools, folder)
        kind, message = trial.run()
    return dict(name=case.name, operators=sorted(case.operators), result=kind, message=message, exception=trial.exception,
                constants=[case.operands[c] for c in trial.constants])


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


def stale_entries(records, cases):
    """Entries of onnx_exceptions.py that no test needed or that name no test; for runs of all tests."""
    needed = {tuple(o) for r in records for o in r["constants"]}
    for op, indices in exceptions.CONSTANT_OPERANDS.items():
        yield from (f"CONSTANT_OPERANDS: {op} {i}" for i in indices if (op, i) not in needed)
    names = {c.name for c in cases}
    for group in ("F16_STEPS", "FP4_NAN"):
        yield from (f"{group}: {name} is no test" for name in sorted(getattr(exceptions, group) - names))


def share(passed, tests):
    return f"{passed} of {tests} pass ({100 * passed / max(tests, 1):.1f} %"


def summary(records, supported):
    """Prints totals; returns True if all goals are met."""
    counts = collections.Counter(r["result"] for r in records)
    ours = collections.Counter(r["result"] for r in records if set(r["operators"]) <= supported)
    total, folded, passed = sum(ours.values()), ours["folded"], ours["pass"]
    print(f"\nONNX node tests: {len(records)} run; " + ", ".join(f"{counts[k]} {k}" for k in KINDS))
    print(f"tests that need an operand as a constant: {sum(bool(r['constants']) for r in records)}")
    for group, what in (("F16_STEPS", "2 units in the last place of f16"), ("FP4_NAN", "6 for NaN in FP4")):
        print(f"tests that need {what}: {sum(r['exception'] == group for r in records)}")
    print(f"tests of supported operators: {share(passed + folded, total)}); {folded} of them fold to constants")
    print(f"without these, on CPU code: {share(passed, total - folded)}, goal {100 * GOAL:.0f} %)")
    reached = passed >= GOAL * (total - folded)
    return reached and not any(counts[k] for k in KINDS if k not in FINE)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--all", action="store_true", help="every test (default: a sample)")
    p.add_argument("--sample", type=int, default=200)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--only", default="*", help="glob on test names, e.g. 'test_reduce_*'")
    p.add_argument("--jobs", type=int, default=2)
    p.add_argument("--json", help="write all results here")
    p.add_argument("-v", "--verbose", action="store_true", help="print the message of every test that does not pass")
    return p.parse_args()


def main():
    a = arguments()
    supported = {line.strip() for line in LIST.read_text().splitlines() if line.strip() and not line.startswith("#")}
    cases, tools = load_cases(a.only, None if a.all else a.sample, a.seed), Tools(a.build)
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        records = list(pool.map(lambda c: run_case(c, tools), cases))
    table(records, supported)
    for r in records:
        if r["result"] not in FINE or (a.verbose and r["result"] == "refused"):
            print(f"{r['result']}: {r['name']}: {r['message'][-500:]}")
    stale = list(stale_entries(records, cases)) if a.all and a.only == "*" else []
    for entry in stale:
        print(f"stale: nothing needs {entry}: remove it from onnx_exceptions.py")
    good = summary(records, supported) and not stale
    if a.json:
        Path(a.json).write_text(json.dumps(dict(version=2, tests=records), indent=1) + "\n")
    sys.exit(not good)


if __name__ == "__main__":
    main()
