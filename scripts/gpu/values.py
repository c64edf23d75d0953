# Values of engines: their types, storage and random data, without knowing where they live.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Data are as in nibble-run bench --candidates: activations of standard deviation 1, weights of 1/sqrt(k), one in 512 an
outlier, 8 times as large. Scales of whole tensors are powers of two, so that results do not depend on the order in which
they are multiplied."""
import math
import re

import numpy as np

BITS = dict(f64=64, f32=32, f16=16, bf16=16, f8E4M3FN=8, f8E5M2=8, f8E8M0FNU=8, f4E2M1FN=4, si4=4, si8=8, ui8=8, si32=32, si64=64, i1=8)
CODE_STD = dict(f8E4M3FN=64.0, f8E5M2=64.0, f4E2M1FN=2.0)
OUTLIER_EVERY, OUTLIER_FACTOR = 512, 8.0
# Short names that types print as.
ALIASES = {"!nq.fp8": "!nq.scaled<f8E4M3FN, f32 per tensor>", "!nq.nvfp4": "!nq.scaled<f4E2M1FN, f8E4M3FN per 1x16, global f32>",
           "!nq.mxfp8": "!nq.scaled<f8E4M3FN, f8E8M0FNU per 1x32>", "!nq.mxfp4": "!nq.scaled<f4E2M1FN, f8E8M0FNU per 1x32>"}


class Type:
    """`!nq.scaled<ELEM, SCALE per tensor(, global T)?>`, `per 1x16`, `per ?x1` (a whole column), or a dense type."""

    def __init__(self, text):
        found = re.fullmatch(r"!nq\.scaled<(\w+), (\w+) per ([\d?x]+|tensor)(?:, global (\w+))?>",
                             ALIASES.get(text, text))
        self.text, self.scaled = text, bool(found)
        self.elem, self.scale, block, self.globals = found.groups() if found else (text, None, None, None)
        self.block = [0 if d == "?" else int(d) for d in block.split("x")] if block and block != "tensor" else []
        if self.elem not in BITS:
            raise ValueError(f"type {text} is not known here")

    def sections(self, shape):
        """(offset, bytes) of codes, scales and global scale: nibble/rt/dtype.h."""
        count = math.prod(shape)
        codes = (count * BITS[self.elem] + 7) // 8
        if not self.scaled:
            return [(0, codes)]
        tail = self.block[::-1] + ([1] * len(shape) if self.block else [0] * len(shape))
        grid = [-(-d // b) if b else 1 for d, b in zip(shape[::-1], tail)]
        sizes = [math.prod(grid) * BITS[self.scale] // 8] + ([BITS[self.globals] // 8] if self.globals else [])
        found = [(0, codes)]
        for size in sizes:
            found.append((-(-sum(found[-1]) // 64) * 64, size))
        return found


def power_of_two(x):
    return 2.0 ** round(math.log2(x))


def scalar_bytes(elem, x):
    if elem == "bf16":
        return (np.array([x], np.float32).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
    return np.array([x], {"f16": np.float16, "f32": np.float32, "f64": np.float64}[elem]).view(np.uint8)


class NumpyData:
    """Makes data in host memory; small tensors only."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)

    def bytes(self, size):
        return np.zeros(size, np.uint8)

    def store(self, buffer, offset, data):
        buffer[offset:offset + data.size] = data

    def normal(self, elem, count, std):
        """Codes of `count` numbers as bytes."""
        x = self.random.standard_normal(count) * std
        x[::OUTLIER_EVERY] *= OUTLIER_FACTOR
        if elem == "f8E4M3FN":
            return encode_e4m3(x)
        if elem == "f4E2M1FN":
            return self.random.integers(0, 256, count // 2, np.uint8)
        if elem == "bf16":
            return (x.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
        return x.astype({"f16": np.float16, "f32": np.float32}[elem]).view(np.uint8)

    def scale_codes(self, elem, count):
        """Around 1."""
        if elem == "f8E4M3FN":
            return self.random.integers(0x30, 0x40, count, np.uint8)
        if elem == "f8E8M0FNU":
            return self.random.integers(126, 128, count, np.uint8)
        return np.repeat(scalar_bytes(elem, 1.0)[None], count, 0).reshape(-1)


E4M3 = np.array([(c & 7) * 2.0 ** -9 if c < 8 else (8 + (c & 7)) * 2.0 ** ((c >> 3) - 10) for c in range(127)])


def encode_e4m3(x):
    """Nearest, ties to even, saturating."""
    magnitude = np.minimum(np.abs(x), 448)
    high = np.clip(np.searchsorted(E4M3, magnitude), 1, 126)
    below, above = E4M3[high - 1], E4M3[high]
    up = (magnitude - below > above - magnitude) | ((magnitude - below == above - magnitude) & (high % 2 == 0))
    return np.where(up, high, high - 1).astype(np.uint8) | (np.signbit(x).astype(np.uint8) << 7)


def decode_e4m3(codes):
    return np.where(codes & 0x80, -1.0, 1.0) * E4M3[codes & 0x7f]


class TorchData:
    """Makes data on the GPU."""

    def __init__(self, torch, seed):
        self.torch, self.random = torch, torch.Generator("cuda").manual_seed(seed)

    def bytes(self, size):
        return self.torch.zeros(size, dtype=self.torch.uint8, device="cuda")

    def store(self, buffer, offset, data):
        data = self.torch.as_tensor(data, device="cuda")
        buffer[offset:offset + data.numel()] = data

    def normal(self, elem, count, std):
        t = self.torch
        if elem == "f4E2M1FN":
            return t.randint(0, 256, (count // 2,), dtype=t.uint8, device="cuda", generator=self.random)
        x = t.randn(count, device="cuda", generator=self.random).mul_(std)
        x[::OUTLIER_EVERY] *= OUTLIER_FACTOR
        types = {"f8E4M3FN": t.float8_e4m3fn, "f16": t.float16, "bf16": t.bfloat16, "f32": t.float32}
        return (x.clamp_(-448, 448) if elem == "f8E4M3FN" else x).to(types[elem]).view(t.uint8)

    def scale_codes(self, elem, count):
        t = self.torch
        if elem == "f8E4M3FN":
            return t.randint(0x30, 0x40, (count,), dtype=t.uint8, device="cuda", generator=self.random)
        return t.as_tensor(np.repeat(scalar_bytes(elem, 1.0)[None], count, 0).reshape(-1), device="cuda")


def make(data, port, std):
    """A buffer with random numbers of `std` for a port {"dtype", "shape", "bytes"}; (buffer, the scale of the codes)."""
    kind = Type(port["dtype"])
    sections = kind.sections(port["shape"])
    if sum(sections[-1]) != port["bytes"]:
        raise ValueError(f"{port['dtype']} {port['shape']} has {port['bytes']} bytes, its linear storage {sum(sections[-1])}")
    buffer, count = data.bytes(port["bytes"]), math.prod(port["shape"])
    if not kind.scaled:
        if kind.elem in ("f16", "bf16", "f32"):
            codes = scalar_bytes(kind.elem, 1 / 64) if count == 1 else data.normal(kind.elem, count, std)
            data.store(buffer, 0, codes)
        return buffer, 1.0
    code_std = CODE_STD[kind.elem]
    scale = power_of_two(std / code_std)
    data.store(buffer, 0, data.normal(kind.elem, count, code_std))
    if not kind.block:
        data.store(buffer, sections[1][0], scalar_bytes(kind.scale, scale))
        return buffer, scale
    data.store(buffer, sections[1][0], data.scale_codes(kind.scale, sections[1][1] * 8 // BITS[kind.scale]))
    if kind.globals:
        data.store(buffer, sections[2][0], scalar_bytes(kind.globals, scale))
    return buffer, scale
