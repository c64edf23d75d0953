# What scripts/gpu-bundle packs for one target.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
from dataclasses import dataclass, field

# Steps of scripts/gpu/run.py, in the order in which it runs them.
STEPS = ("conformance", "faults", "checks", "sanitize", "loop", "candidates", "times", "products", "stacks", "models")


@dataclass
class Contents:
    """Tolerances are those of nibble-run run --tol; f, dtype: format and type of activations as in test/models/mlp.py."""
    target: str
    programs: tuple  # of the preset runtime-only
    steps: tuple  # of run.sh, unless it is told others
    toolchain: str = ""  # CMake's, of another host than this
    binutils: str = ""  # prefix of the programs for that host
    limit: int = 60 << 20  # bytes of the folder
    emulator: bool = False  # packed, too; checks also have what the emulated GPU computes
    products: list = field(default_factory=list)  # (f, dtype, m, n, k): engines of candidates
    gated: list = field(default_factory=list)  # (f, dtype, m, k, n): the same of gated MLPs
    mlps: list = field(default_factory=list)  # (f, dtype, m, k, n, tolerance): checks
    layers: list = field(default_factory=list)  # (f, dtype, rows, tolerance): checks, of 128 with 4 heads on 2 of 32
    attentions: list = field(default_factory=list)  # (heads, of keys, queries, keys, size, dtype, tolerance[, letters of FP8]): checks
    singles: list = field(default_factory=list)  # (name, f, dtype, m, k, n): recipes of one gated MLP
    stacks: list = field(default_factory=list)  # (kind, f, dtype, layers, m, k, n): recipes of gated MLPs
    models: list = field(default_factory=list)  # (kind, f, rows, width, hidden, heads, of keys, size): recipes of decoder layers
    least: int = 1 << 20  # bytes of constants that recipes leave out
    minilm: bool = False
    policy: dict = field(default_factory=dict)  # sizes of the policy of examples/control_loop
    tokens: int = 96  # of its prompt
