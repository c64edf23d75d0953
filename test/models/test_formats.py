#!/usr/bin/env python3
# Checks the Python recipes against golden vectors, and every MLP spelling against its float32 twin.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import formats as F
from linears import FORMATS, RANK3_ONLY, parse_format
from mlp import save_input, write_mlp
from reference import Evaluator, metrics

GOLDEN_X = """8da68c2acaa508a8f4ad76a51e2f6e29a32e5f260e29bf2455b1792d7b2a632a6ab195b1b2adfea9d227b49cab2a1cace7270c293bac7f31202ba92ff1abbcac
67a873a10c2c5c26baa920aeaaaad02f2cad44267629c4b0f71c2e3072b21ea86fa13bad5e2a619eb0b04c2d492c0e2e9c30a3281b2228b0e12bd5abcba90cb0"""
GOLDEN_ONNX = "4aaaad3626135f44ffbd82c4327c64dc9a14db6b1ce360afd9945f6537f1d5fc"
GOLDEN_TORCH = "4aaa9d3626135f34ffbd82c4327c64dc9a14db6b1ce360afd9945f6537f1d5fc"

# Least cosine of a 64x256x512 MLP with outliers against float32, by what is quantized.
FLOOR = {"dense": 0.999999, "nvfp4": 0.90, "w4a8": 0.95, "int4": 0.95, "onnx21": 0.95, "onnx23": 0.97, "onnx24-mxfp4": 0.95, "mxfp4-mxfp8": 0.95,
         "onnx24-mxfp8": 0.998, "onnx25": 0.96, "fp8": 0.99, "mxfp8": 0.995, "int8": 0.7}


def floor(fmt):
    return next(FLOOR[name] for name in sorted(FLOOR, key=len, reverse=True) if fmt.startswith(name))


class Recipes(unittest.TestCase):
    def golden(self):
        return np.frombuffer(bytes.fromhex(GOLDEN_X.replace("\n", "")), np.float16).reshape(2, 32).astype(np.float32)

    def test_fp4_rounds_midpoints_to_even(self):
        x = np.asarray([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 5.0001, 7, -0.25, -0.1, -0.0], np.float32)
        self.assertEqual(list(F.e2m1(x)), [0, 2, 2, 4, 4, 6, 6, 7, 7, 8, 8, 0])
        self.assertEqual(F.e2m1(x, True)[-1], 8)

    def test_first_element_is_in_the_low_nibble(self):
        codes = F.e2m1(np.asarray([1, -2, 0.5, 6], np.float32))
        self.assertEqual(F.pack4(codes).tobytes().hex(), "c271")
        self.assertEqual(list(F.unpack4(bytes.fromhex("c271"), (4,))), list(codes))

    def test_nvfp4_golden_vectors(self):
        for recipe, want in ((F.nvfp4_weight, GOLDEN_ONNX), (F.nvfp4_checkpoint, GOLDEN_TORCH)):
            codes, scales, g = recipe(self.golden())
            self.assertEqual(np.float32(g).view(np.uint32), 0x389D2492)
            self.assertEqual(scales.tobytes().hex(), "7c7c7e7a")
            self.assertEqual(F.pack4(codes).tobytes().hex(), want)

    def test_e8m0_is_the_ceiling_of_log2(self):
        amax = np.asarray([448, 448.5, 896, 0, 1e-45], np.float32)
        self.assertEqual(list(F.mxfp8_exponent(amax)), [127, 128, 128, 0, 0])


class Spellings(unittest.TestCase):
    M, K, N = 64, 256, 512

    def evaluate(self, folder, fmt, dtype):
        rank = parse_format(fmt)[1]
        model, x = folder / "m.onnx", folder / "x.npy"
        write_mlp(model, fmt, self.M, self.K, self.N, dtype)
        save_input(x, self.M, self.K, dtype, rank)
        return Evaluator(model).run({"x": np.load(x)})["y"].reshape(self.M, self.K)

    def test_every_spelling_is_close_to_float32(self):
        names = list(FORMATS) + [f"{n}-gemm" for n in FORMATS if n not in RANK3_ONLY]
        with tempfile.TemporaryDirectory() as folder:
            want = self.evaluate(Path(folder), "dense", "f32")
            for fmt in names:
                for dtype in ("f16", "f32"):
                    with self.subTest(fmt=fmt, dtype=dtype):
                        m = metrics(self.evaluate(Path(folder), fmt, dtype), want)
                        if "-v" in sys.argv:
                            print(f"{fmt:20} {dtype} cosine {m['cosine']:.5f} rel {m['rel_frobenius']:.4f}")
                        self.assertGreaterEqual(m["cosine"], floor(fmt))


if __name__ == "__main__":
    unittest.main()
