#!/usr/bin/env python3
# Compiles every malformed model of test/models/bad.py: each must give exit code 4 and a message that names the fault.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""bad_models.py [--build DIR] [--only GLOB] [-v]"""
import argparse
import fnmatch
import resource
import sys
import tempfile
from pathlib import Path

from common import Tools, UNSUPPORTED, build_argument, crashed, in_venv, sanitizer

in_venv()
import bad  # noqa: E402


def verdict(done, words):
    """Empty if the refusal is as it should be, else what is wrong with it."""
    message = (done.stderr + done.stdout).lower()
    if crashed(done.returncode):
        return f"CRASH (exit {done.returncode})"
    if done.returncode != UNSUPPORTED:
        return f"exit {done.returncode}, wanted {UNSUPPORTED}"
    if not any(w in message for w in words):
        return f"message names none of {words}"
    return ""


def main():
    p = argparse.ArgumentParser(description=__doc__)
    build_argument(p)
    p.add_argument("--only", default="*")
    p.add_argument("--memory", type=float, default=4, help="address space limit in GiB; 0 = none, as on builds with AddressSanitizer")
    p.add_argument("-v", "--verbose", action="store_true", help="print every message")
    a = p.parse_args()
    if a.memory and sanitizer(a.build) != "address":  # its shadow memory has terabytes
        limit = int(a.memory * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    tools, failed = Tools(a.build), 0
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder) / "models"
        cases = [c for c in bad.write_all(models) if fnmatch.fnmatch(c["file"], f"{a.only}*")]
        for case in cases:
            done = tools.compile(models / case["file"], Path(folder) / "out.nbl", timeout=60)
            wrong = verdict(done, case["expect"])
            failed += bool(wrong)
            if wrong or a.verbose:
                text = (done.stderr + done.stdout).strip()
                print(f"{'FAIL' if wrong else 'ok'}: {case['file']}: {wrong}\n    " + text[-600:].replace("\n", "\n    "))
    print(f"bad models: {len(cases) - failed} of {len(cases)} refused with exit 4 and a message naming the fault")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
