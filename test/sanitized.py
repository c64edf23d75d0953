# What test drivers do differently on builds with sanitizers.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import ctypes
import subprocess
from pathlib import Path

RUNTIME = {"address": "libclang_rt.asan-x86_64.so", "undefined": "libclang_rt.ubsan_standalone-x86_64.so"}


def sanitizer(build):
    """"address", "undefined", or "" for an ordinary build."""
    cache = Path(build) / "CMakeCache.txt"
    lines = cache.read_text().splitlines() if cache.exists() else []
    return next((line.split("=", 1)[1] for line in lines if line.startswith("NIBBLE_SANITIZE:")), "")


def load_library(path):
    """ctypes library of a build, build/lib/NAME.so. One that is instrumented needs the sanitizer's runtime, which programs bring
    along but Python does not (presets set ASAN_OPTIONS=verify_asan_link_order=0 for that)."""
    kind = sanitizer(Path(path).parent.parent)
    if kind:
        found = subprocess.run(["clang-22", f"-print-file-name={RUNTIME[kind]}"], capture_output=True, text=True, check=True)
        ctypes.CDLL(found.stdout.strip(), mode=ctypes.RTLD_GLOBAL)
    return ctypes.CDLL(str(path))
