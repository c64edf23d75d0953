# Where the ONNX node tests may not be taken as they come, each with its reason. Every entry must be needed: the driver fails
# on one that is not.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

# Operands that may be turned into constants, operator -> indices: they are graph inputs in the node tests, but constants in
# networks. The driver turns only those of them into constants without which the compiler refuses the test.
# The shape of the result depends on their values, and engines have static shapes (the roi of Resize, operand 1, decides the
# shape together with scales; with sizes it decides the taps, which the compiler computes):
SHAPES = {
    "AffineGrid": (1,), "BlackmanWindow": (0,), "CenterCropPad": (1,), "Col2Im": (1, 2), "Compress": (1,), "ConstantOfShape": (0,),
    "Expand": (1,), "HammingWindow": (0,), "HannWindow": (0,), "MaxUnpool": (2,), "NonZero": (0,), "OneHot": (1,), "Pad": (1, 3),
    "Range": (0, 1, 2), "ReduceL1": (1,), "ReduceL2": (1,), "ReduceLogSum": (1,), "ReduceLogSumExp": (1,), "ReduceMax": (1,),
    "ReduceMean": (1,), "ReduceMin": (1,), "ReduceProd": (1,), "ReduceSum": (1,), "ReduceSumSquare": (1,), "Reshape": (1,),
    "Resize": (1, 2, 3), "Slice": (1, 2, 3, 4), "Split": (1,), "Squeeze": (1,), "Tile": (1,), "TopK": (1,), "Unsqueeze": (1,),
    "Upsample": (1,),
}
# ... or something else does:
#   Dropout 1             with a ratio of 0 even training is the identity; any other needs the random numbers of its framework
#   QuantizeLinear 2,     a zero point in a float format must be 0, as these formats are symmetric; it only names the type, and
#   DequantizeLinear 2      a value that were not 0 must not be ignored silently
CONSTANT_OPERANDS = dict(SHAPES, Dropout=(1,), QuantizeLinear=(2,), DequantizeLinear=(2,))

# Tests that need 2 units in the last place of f16 (2^-9) where ONNX grants 1e-3, about 1 unit: the wanted values come from a
# numpy program that rounds to f16 after each of its steps. (Against attention in f64 the largest error of this test's wanted
# values is 4.9e-4, that of Nibble's 4.0e-4.)
F16_STEPS = {"test_attention_4d_causal_fp16_expanded"}

# Tests whose wanted FP4 values contradict ONNX: NaN becomes 6 (ONNX, technical details, "Float stored in 4 bits"), but the
# test data come from ml_dtypes, where it becomes -0. The 6 is wanted here.
FP4_NAN = {f"test_{op}_{x}_to_FLOAT4E2M1{form}" for x in ("FLOAT", "FLOAT16")
           for op, form in (("cast", ""), ("castlike", ""), ("castlike", "_expanded"))}
