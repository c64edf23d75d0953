#!/usr/bin/env python3
# Every spelling of a quantized MLP, compiled and run, against the independent numpy reference.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""spellings.py [--build DIR] [--only GLOB] [--dtypes f16,f32] [--m 16 --k 256 --n 512]

A spelling passes if the engine's output is within the limit of its type of the numpy evaluation of the same file."""
import argparse
import concurrent.futures
import fnmatch
import sys
import tempfile
from pathlib import Path

from common import OK, Tools, build_argument, in_venv

in_venv()
import ml_dtypes  # noqa: E402
import numpy as np  # noqa: E402

from linears import FORMATS, RANK3_ONLY, parse_format  # noqa: E402
from mlp import save_input, write_mlp  # noqa: E402
from reference import Evaluator, metrics  # noqa: E402

# Relative Frobenius. Rounding a hidden value the other way can move a code of the next layer's activation by one step.
LIMIT = dict(f32=1e-4, f16=2e-3, bf16=1e-2)


def check(fmt, dtype, a, tools):
    """(passed, text)."""
    with tempfile.TemporaryDirectory() as folder:
        at = lambda name: Path(folder) / name
        write_mlp(at("m.onnx"), fmt, a.m, a.k, a.n, dtype, external=a.external)
        save_input(at("x.npy"), a.m, a.k, dtype, parse_format(fmt)[1])
        done = tools.compile(at("m.onnx"), at("m.nbl"))
        if done.returncode == OK:
            done = tools.run(at("m.nbl"), {"x": at("x.npy")}, {"y": at("y.npy")})
        if done.returncode != OK:
            return False, f"exit {done.returncode}: {done.stderr.strip()[-400:]}"
        y = np.load(at("y.npy"))
        y = y.view(ml_dtypes.bfloat16) if dtype == "bf16" else y
        m = metrics(y.astype(np.float64), Evaluator(at("m.onnx")).run({"x": np.load(at("x.npy"))})["y"])
    return m["rel_frobenius"] <= LIMIT[dtype], f"relative error {m['rel_frobenius']:.2e}, cosine {m['cosine']:.7f}"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--only", default="*")
    p.add_argument("--dtypes", default="f16,f32")
    for name, default in (("m", 16), ("k", 256), ("n", 512), ("jobs", 2)):
        p.add_argument(f"--{name}", type=int, default=default)
    p.add_argument("--external", default="never", choices=["never", "always"])
    a = p.parse_args()
    names = [n for n in (*FORMATS, *(f"{n}-gemm" for n in FORMATS if n not in RANK3_ONLY)) if fnmatch.fnmatch(n, a.only)]
    jobs = [(fmt, dtype) for fmt in names for dtype in a.dtypes.split(",")]
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        results = list(pool.map(lambda job: check(*job, a, Tools(a.build)), jobs))
    for (fmt, dtype), (good, text) in zip(jobs, results):
        print(f"{'ok  ' if good else 'FAIL'} {fmt:22} {dtype:5} {text}")
    passed = sum(good for good, _ in results)
    print(f"spellings: {passed} of {len(results)} agree with the numpy reference")
    sys.exit(passed != len(results))


if __name__ == "__main__":
    main()
