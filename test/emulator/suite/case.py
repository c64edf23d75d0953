# One launch of a kernel: its arguments, what must come out, how exactly.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import hashlib
from dataclasses import dataclass

import numpy as np

TYPES = ['u8', 'u16', 'u32', 's32', 'u64', 's64', 'f16', 'f32', 'f64', 'bf16', 'f32.ftz', 'tf32', 'tf32.ftz']
SWIZZLES = ['none', '32B', '64B', '128B']


@dataclass
class In:
    """A buffer that is read."""
    data: np.ndarray


@dataclass
class Scalar:
    type: str  # u32, s32, u64
    value: int


@dataclass
class Out:
    """A buffer that is written, poisoned at first. want: an array of the same type, or None where only the device knows.
    bound: None for equal bits, or the largest error of each element. nans: all NaNs of floats are equal. sums: of a tensor core,
    whose way to add is known: with --sums hopper the emulator gives the bits of a device."""
    start: np.ndarray
    want: np.ndarray = None
    bound: np.ndarray = None
    nans: bool = False
    sums: bool = False

    def canonical(self, got):
        got = np.ascontiguousarray(got).view(np.uint8).view(self.start.dtype).reshape(self.start.shape)
        if self.nans:
            got = np.where(np.isnan(got), np.array(np.nan, got.dtype), got)
        return got

    def wrong(self, got, want, factor=1):
        """Indices of elements that differ from `want` by more than `factor` times the bound."""
        if self.bound is None:
            width = got.dtype.itemsize
            got, want = (np.ascontiguousarray(x).view(f'u{width}').ravel() for x in (got, want))
            return np.flatnonzero(got != want)
        got, want = got.astype(np.float64).ravel(), np.asarray(want, np.float64).ravel()
        with np.errstate(invalid='ignore'):
            good = (np.abs(got - want) <= factor * np.broadcast_to(self.bound, self.start.shape).ravel()) | (got == want)
        return np.flatnonzero(~(good | np.isnan(got) & np.isnan(want)))

    def has_bits(self):
        """Whether the bits of a device are expected."""
        return self.bound is None or self.sums

    def sample(self):
        """Elements of a bounded result that are recorded."""
        return np.arange(0, self.start.size, max(1, self.start.size // 96))[:128]

    def digest(self, got):
        """What is recorded: 8 bytes for each 256 of equal bits, or a sample of numbers."""
        if not self.has_bits():
            return got.ravel()[self.sample()]
        raw = np.ascontiguousarray(got).tobytes()
        blocks = [hashlib.blake2b(raw[i:i + 256], digest_size=8).digest() for i in range(0, len(raw), 256)]
        return np.frombuffer(b''.join(blocks), np.uint64)


@dataclass
class Tensor:
    """A tensor map over a buffer. sizes, box: fastest dimension first; strides in bytes, of all but the first."""
    buffer: object  # In or Out
    type: str
    sizes: list
    strides: list
    box: list
    swizzle: str = 'none'
    steps: list = None
    fill_nan: bool = False


@dataclass
class Case:
    name: str
    kernel: str
    args: list
    grid: tuple = (1, 1, 1)
    block: int = 32
    shared: int = 0
    device_only: bool = False  # nothing to compare with until a device has run it

    def outputs(self):
        found = []
        for arg in self.args:
            arg = arg.buffer if isinstance(arg, Tensor) else arg
            if isinstance(arg, Out):
                found.append(arg)
        return found


def poison(shape, dtype=np.uint32):
    """0xA5 in every byte."""
    return np.full(int(np.prod(shape)) * np.dtype(dtype).itemsize, 0xA5, np.uint8).view(dtype).reshape(shape)
