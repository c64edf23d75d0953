# The bundle for Jetson Thor, on 64-bit Arm. It checks what test/e2e/thor.py checks on the emulated GPU.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
from dataclasses import replace

import thor  # test/e2e
from bundle.contents import Contents

# Formats whose K may be any multiple of 16.
ODD = ("dense", "fp8", "nvfp4")


def tolerance(error):
    return f"fro={error:g}"


def mlps():
    """At sizes that blocks divide, and where they may at sizes that hardly anything does."""
    for f, dtype, _, error in thor.FORMATS:
        if f != "dense":
            yield from ((f, dtype, m, 384, 640, tolerance(error)) for m in thor.rows_of(f))
        if f in ODD:
            yield from ((f, dtype, m, 272, 400, tolerance(error)) for m in thor.rows_of(f))


def attentions():
    for i, (heads, of_keys, size, dtype, codes) in enumerate(thor.ATTENTIONS):
        for queries, keys in thor.SIZES[i % 2::2]:
            yield heads, of_keys, queries, keys, size, dtype, tolerance(thor.attention_tolerance(dtype, codes)), codes


def layers(formats, rows):
    return [(f, dtype, m, tolerance(error)) for f, dtype, _, error in formats for m in rows]


full = Contents(
    target="sm_110a",
    # (emulator-driver-test is written for sm_90a.)
    programs=("nibble-run", "runtime-conformance-test", "runtime-allocation-test", "device-faults", "control-loop"),
    # The peers of products, stacks and models need PyTorch: name these steps where it is.
    steps=("conformance", "faults", "checks", "sanitize", "loop", "candidates", "times"),
    toolchain="cmake/aarch64-linux-gnu.cmake",
    binutils="aarch64-linux-gnu-",
    emulator=True,
    limit=100 << 20,
    products=[(f, "f16", *shape) for f in ("fp8", "dense") for shape in ((970, 32768, 2048), (970, 2048, 16384))],
    gated=[(f, "f16", 970, 2048, 16384) for f in ("fp8", "dense", "nvfp4-weight", "w4a8")],
    mlps=list(mlps()),
    layers=layers(thor.FORMATS, (37,)) + layers(thor.FORMATS[:4], (129,)),
    attentions=list(attentions()),
    singles=[(f"{f}-{dtype}-970x2048x16384", f, dtype, 970, 2048, 16384) for f, dtype, *_ in thor.FORMATS],
    stacks=[(kind, f, "f16", 18, 970, 2048, 16384) for kind, f in (("nvfp4", "nvfp4"), ("fp8", "fp8"), ("fp16", "dense"))],
    models=[(f"gemma-{kind}", f, 970, 2048, 16384, 8, 1, 256) for kind, f in (("nvfp4", "nvfp4"), ("fp8", "fp8"), ("fp16", "dense"))],
    policy=dict(layers=4, length=128, width=512, mlp=2048, heads=8, kv_heads=1, head_dim=64))

small = replace(
    full,
    products=[("fp8", "f16", 70, 96, 256)],
    gated=[],
    mlps=[("nvfp4", "f16", 7, 384, 640, "fro=2e-2"), ("fp8", "f16", 7, 272, 400, "fro=1e-2"), ("dense", "bf16", 7, 272, 400, "fro=1e-2")],
    layers=[("w4a8", "f16", 37, "fro=2e-2")],
    attentions=[(2, 2, 7, 50, 64, "f16", "fro=1e-3", "")],
    singles=[("nvfp4-f16-7x128x256", "nvfp4", "f16", 7, 128, 256)],
    least=1 << 12,
    stacks=[],
    models=[],
    policy={},
    tokens=24)
