# The bundle for H100 and H200, on x86-64.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
from dataclasses import replace

from bundle.contents import STEPS, Contents

SHAPES = [(976, 32768, 2048), (976, 2048, 16384), (8192, 8192, 8192), (768, 4304, 1152)]
# FP8 sums of wgmma keep fewer bits than f32 (products equal cuBLASLt's bits all the same). Codes of the hidden tensor
# at a rounding boundary flip by a step of 1/16: 1 to 2 % of them for relative errors of 1e-3, which is 1e-2 of the result.
MLPS = (("fp8", "f16", "fro=2e-2"), ("dense", "f16", "fro=1e-3"), ("dense", "bf16", "fro=8e-3"), ("nvfp4-weight", "f16", "fro=2e-3"))

full = Contents(
    target="sm_90a",
    programs=("nibble-run", "runtime-conformance-test", "runtime-allocation-test", "emulator-driver-test", "launch-overhead", "device-faults", "control-loop"),
    steps=tuple(s for s in STEPS if s != "times"),
    products=[(f, dtype, *shape) for f, dtype in (("fp8", "f16"), ("dense", "f16"), ("dense", "bf16")) for shape in SHAPES],
    gated=[("fp8", "f16", 976, 2048, 16384), ("dense", "f16", 976, 2048, 16384)],
    # Rows of 588 and 404 elements end inside of 16 bytes: they are stored with gaps.
    mlps=[(f, dtype, m, 272, 400, tol) for f, dtype, tol in MLPS for m in (1, 7, 50, 129, 970)] + [(f, dtype, 129, 588, 404, tol) for f, dtype, tol in MLPS[:3]],
    layers=[("fp8", "f16", 37, "fro=2e-2"), ("fp8", "f16", 129, "fro=2e-2"), ("dense", "f16", 129, "fro=1e-3"), ("dense", "bf16", 129, "fro=1e-2"),
            ("dense", "f32", 37, "fro=1e-5"), ("nvfp4", "f16", 37, "fro=2e-2"), ("w4a8", "f16", 37, "fro=2e-2"), ("w4a8", "f16", 129, "fro=2e-2"),
            ("nvfp4-weight", "f16", 129, "fro=2e-3"), ("nvfp4-weight", "bf16", 129, "fro=1e-2"), ("int4-awq", "f16", 129, "fro=2e-3"),
            ("onnx24-mxfp4", "f16", 37, "fro=2e-2"), ("fp8-weight", "f16", 129, "fro=2e-3")],
    # Scores of codes keep fewer bits, which weights on a border of codes feel (docs/numerics.md).
    attentions=[(8, 1, 129, 129, 256, "f16", "fro=1e-3"), (8, 1, 50, 300, 256, "f16", "fro=1e-3"), (2, 2, 97, 97, 72, "f16", "fro=1e-3"),
                (4, 2, 130, 77, 128, "bf16", "fro=8e-3"), (2, 2, 257, 257, 64, "f16", "fro=1e-3"), (8, 1, 129, 129, 256, "f16", "fro=4e-3", "qkv"),
                (2, 2, 257, 257, 64, "f16", "fro=4e-3", "qkv"), (2, 2, 97, 97, 72, "f16", "fro=4e-3", "qkv"), (8, 1, 50, 300, 256, "f16", "fro=1e-3", "kv"),
                (8, 2, 1, 1000, 128, "f16", "fro=1e-3", "kv"), (4, 2, 130, 77, 128, "bf16", "fro=8e-3", "kv"), (8, 1, 129, 129, 256, "f16", "fro=2e-2", "y"),
                (8, 1, 129, 129, 256, "f16", "fro=1.6e-2", "qkvp"), (2, 2, 97, 97, 72, "f16", "fro=1.6e-2", "qkvp"), (8, 1, 1, 1000, 128, "f16", "fro=1.6e-2", "qkvp"),
                (8, 1, 50, 300, 256, "f16", "fro=1e-2", "kvp"), (8, 2, 130, 257, 64, "f16", "fro=2e-2", "qkvpy")],
    stacks=[("fp8", "fp8", "f16", 18, 970, 2048, 16384), ("fp16", "dense", "f16", 18, 970, 2048, 16384)],
    models=[("gemma-fp8", "fp8", 970, 2048, 16384, 8, 1, 256), ("gemma-fp16", "dense", 970, 2048, 16384, 8, 1, 256)],
    minilm=True,
    policy=dict(layers=4, length=128, width=512, mlp=2048, heads=8, kv_heads=1, head_dim=64))

small = replace(
    full,
    products=[(f, dtype, *shape) for f, dtype in (("fp8", "f16"), ("dense", "f16"), ("dense", "bf16")) for shape in ((100, 144, 256), (64, 256, 512))],
    gated=[("fp8", "f16", 64, 256, 512)],
    mlps=[(f, dtype, m, 272, 400, tol) for f, dtype, tol in MLPS for m in (1, 7, 50)],
    layers=full.layers[:1],
    attentions=full.attentions[:1],
    stacks=[("fp8", "fp8", "f16", 2, 70, 256, 4096)],
    models=[("gemma-fp8", "fp8", 70, 256, 1024, 4, 1, 64)],
    minilm=False,
    policy={},
    tokens=24)
