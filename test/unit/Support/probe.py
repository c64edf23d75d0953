# Loads the C functions of FormatsProbe.cpp; shared by the Python tests of this folder.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import ctypes
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from sanitized import load_library  # noqa: E402

F32, F64, U8, U32 = np.float32, np.float64, np.uint8, np.uint32


class Probe:
    def __init__(self, path):
        self.lib = load_library(path)
        self.lib.probeAmax.restype = ctypes.c_float
        self.lib.probeAsymmetric.restype = ctypes.c_float

    @staticmethod
    def _pointer(array):
        return array.ctypes.data_as(ctypes.c_void_p)

    def encode(self, name, x, saturate=True):
        """Codes (uint32) of a float32 or float64 array."""
        x = np.ascontiguousarray(x).reshape(-1)
        codes = np.empty(x.size, U32)
        function = {F32: self.lib.probeEncodeF32, F64: self.lib.probeEncodeF64}[x.dtype.type]
        function(name.encode(), self._pointer(x), ctypes.c_int64(x.size), int(saturate), self._pointer(codes))
        return codes

    def encode_e8m0(self, x, round_mode, saturate=True):
        x = np.ascontiguousarray(x, F32).reshape(-1)
        codes = np.empty(x.size, U8)
        mode = ("up", "down", "nearest").index(round_mode)
        self.lib.probeEncodeE8M0(self._pointer(x), ctypes.c_int64(x.size), mode, int(saturate), self._pointer(codes))
        return codes

    def decode(self, name, codes):
        codes = np.ascontiguousarray(codes, U32).reshape(-1)
        out = np.empty(codes.size, F64)
        self.lib.probeDecode(name.encode(), self._pointer(codes), ctypes.c_int64(codes.size), self._pointer(out))
        return out

    def onnx_type(self, name):
        return self.lib.probeOnnxType(name.encode())

    def _sizes(self, *sizes):
        return [ctypes.c_int64(size) for size in sizes]

    def nvfp4(self, recipe, x, block=16, g=None):
        """(codes [rows, cols], scale codes [rows, cols/block], global float32)."""
        rows, cols = x.shape
        x = np.ascontiguousarray(x, F32)
        packed, scales = np.empty((x.size + 1) // 2, U8), np.empty((rows, -(-cols // block)), U8)
        global_scale = ctypes.c_float(0 if g is None else g)
        known = self.lib.probeNvfp4(recipe.encode(), self._pointer(x), *self._sizes(rows, cols, block),
                                    ctypes.byref(global_scale), self._pointer(packed), self._pointer(scales))
        assert known, f"unknown recipe {recipe}"
        return unpack(packed, x.shape), scales, F32(global_scale.value)

    def nvfp4_static(self, amax, tensor_amax, scale_max):
        """(scale codes, divisors) of calibrated block maxima."""
        amax = np.ascontiguousarray(amax, F32).reshape(-1)
        scales, divisors = np.empty(amax.size, U8), np.empty(amax.size, F32)
        self.lib.probeNvfp4Static(self._pointer(amax), ctypes.c_int64(amax.size), ctypes.c_float(tensor_amax),
                                  ctypes.c_float(scale_max), self._pointer(scales), self._pointer(divisors))
        return scales, divisors

    def mx(self, recipe, storage, x, block=32):
        rows, cols = x.shape
        x = np.ascontiguousarray(x, F32)
        four = storage == "f4E2M1FN"
        packed = np.empty((x.size + 1) // 2 if four else x.size, U8)
        scales = np.empty((rows, -(-cols // block)), U8)
        known = self.lib.probeMx(recipe.encode(), storage.encode(), self._pointer(x), *self._sizes(rows, cols, block),
                                 self._pointer(packed), self._pointer(scales))
        assert known, f"unknown recipe {recipe}"
        return (unpack(packed, x.shape) if four else packed.reshape(x.shape)), scales

    def scales(self, storage, x, block):
        grid = tuple(-(-n // b) for n, b in zip(x.shape, block))
        scales = np.empty(grid, F32)
        self.lib.probeScales(storage.encode(), self._pointer(x), *self._sizes(*x.shape, *block), self._pointer(scales))
        return scales

    def static(self, storage, x, block, scales, zero_points=None):
        """Codes, one per element."""
        four = storage in ("si4", "ui4", "f4E2M1FN")
        packed = np.empty((x.size + 1) // 2 if four else x.size, U8)
        zero = None if zero_points is None else self._pointer(zero_points)
        self.lib.probeStatic(storage.encode(), self._pointer(x), *self._sizes(*x.shape, *block),
                             self._pointer(scales), zero, self._pointer(packed))
        return unpack(packed, x.shape) if four else packed.reshape(x.shape)

    def asymmetric(self, storage, low, high):
        zero = ctypes.c_uint8()
        scale = self.lib.probeAsymmetric(storage.encode(), ctypes.c_float(low), ctypes.c_float(high),
                                         ctypes.byref(zero))
        return F32(scale), zero.value


def unpack(packed, shape):
    codes = np.stack([packed & 15, packed >> 4], -1).reshape(-1)
    return codes[: int(np.prod(shape))].reshape(shape)


class Checker:
    """Counts comparisons; prints the first difference of each and fails the script at the end."""

    def __init__(self):
        self.failures = self.elements = 0

    def equal(self, what, actual, wanted, inputs=None):
        actual, wanted = np.asarray(actual).reshape(-1), np.asarray(wanted).reshape(-1)
        assert actual.shape == wanted.shape, f"{what}: {actual.shape} against {wanted.shape}"
        self.elements += actual.size
        different = np.nonzero(~((actual == wanted) | ((actual != actual) & (wanted != wanted))))[0]
        if different.size:
            i = different[0]
            source = "" if inputs is None else f" for input {np.asarray(inputs).reshape(-1)[i]!r}"
            print(f"FAILED {what}: {different.size} of {actual.size} differ, first at {i}: "
                  f"{actual[i]} instead of {wanted[i]}{source}", file=sys.stderr)
            self.failures += 1

    def finish(self):
        print(f"{self.elements} values compared, {self.failures} comparisons failed")
        sys.exit(1 if self.failures or not self.elements else 0)
