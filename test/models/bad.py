#!/usr/bin/env python3
# Writes malformed ONNX files, one defect each, and a manifest with what the error message must name.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""bad.py -o FOLDER     writes FOLDER/<name>.onnx (+ data files) and FOLDER/manifest.json

A case is a function decorated with `@bad(words...)`: the message must contain at least one of the words (lower case is
compared), normally the node or the tensor at fault. It returns a Graph, a ModelProto or bytes."""
import argparse
import json
import os
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto

from onnxfile import Graph

CASES = {}


def bad(*words, name=None):
    def register(function):
        CASES[(name or function.__name__).replace("_", "-")] = (function, words)
        return function
    return register


def family(**variants):
    """Registers one function under several names: name=(arguments..., words)."""
    def register(function):
        for name, (arguments, words) in variants.items():
            CASES[name.replace("_", "-")] = (lambda a=arguments: function(*a), words)
        return function
    return register


# ---- building blocks -------------------------------------------------------------------------------------------------
def start(dims=(1, 4, 32), elem="f32", name="x"):
    g = Graph(20)
    g.input(name, elem, dims)
    return g


def finish(g, value, dims=(1, 4, 32), elem="f32"):
    g.node("Identity", [value], name="last", outputs=["y"])
    g.output("y", elem, dims)
    return g


def weight(n=32, k=32, scale=0.1):
    return (scale * np.random.default_rng(0).standard_normal((n, k))).astype(np.float32)


def linear_model():
    g = start(name="pixels")
    y = g.node("MatMul", ["pixels", g.init("proj.weight", weight())], name="proj/MatMul")
    return finish(g, g.node("Relu", [y], name="act/Relu"))


def model(g):
    g.save("/dev/null", "never")
    return g.model


def tensor_of(m, name="proj.weight"):
    return next(t for t in m.graph.initializer if t.name == name)


def one_node(op, *extra, x_dims=(1, 4, 32), domain="", elem="f32", **attrs):
    """Model of a single node "culprit" over x and further initializers (arrays)."""
    g = start(x_dims, elem)
    names = ["x"] + [g.init(f"c{i}", np.asarray(e)) for i, e in enumerate(extra)]
    return finish(g, g.node(op, names, name="culprit", outputs=["culprit_out"], domain=domain, **attrs))


# ---- the file --------------------------------------------------------------------------------------------------------
FILE = ("protobuf", "truncated", "onnx", "model file")


@bad("empty", *FILE)
def empty_file():
    return b""


@family(**{f"truncated_{p}": ((p,), FILE) for p in (1, 10, 25, 50, 75, 90, 99)})
def truncated(percent):
    data = model(linear_model()).SerializeToString()
    return data[: max(1, len(data) * percent // 100)]


@bad(*FILE)
def garbage():
    return np.random.default_rng(3).integers(0, 256, 4096, np.uint8).tobytes()


@bad(*FILE)
def json_text():
    return b'{"not": "a protobuf", "at": ["all"]}\n' * 20


@bad(*FILE)
def length_prefix_of_2_to_the_60():
    return b"\x08\x0a\x3a" + b"\x80" * 8 + b"\x10" + b"abc"


@bad(*FILE)
def varint_without_end():
    return b"\x08" + b"\xff" * 64


@bad("graph", *FILE)
def no_graph():
    m = ModelProto(ir_version=10)
    m.opset_import.add(version=20)
    return m


@bad("output")
def no_outputs():
    m = model(linear_model())
    del m.graph.output[:]
    return m


@bad("nest", "deep", "subgraph", "if", *FILE)
def deeply_nested_subgraphs():
    inner = b""
    for _ in range(5000):  # GraphProto{node{op_type "If", attribute{type GRAPH, g}}}
        attribute = b"\x0a\x01b" + (b"\x32" + varint(len(inner)) + inner if inner else b"") + b"\xa0\x01\x05"
        node = b"\x22\x02If" + b"\x2a" + varint(len(attribute)) + attribute
        inner = b"\x0a" + varint(len(node)) + node
    return b"\x08\x0a\x3a" + varint(len(inner)) + inner


def varint(n):
    out = bytearray()
    while True:
        out.append((n & 127) | (128 if n > 127 else 0))
        n >>= 7
        if not n:
            return bytes(out)


# ---- the graph -------------------------------------------------------------------------------------------------------
@bad("cycle", "cyclic", "loop/a", "loop/b")
def cycle_of_two():
    g = start()
    g.node("Add", ["x", "b_out"], name="loop/a", outputs=["a_out"])
    g.node("Relu", ["a_out"], name="loop/b", outputs=["b_out"])
    return finish(g, "b_out")


@bad("culprit")
def cycle_of_one():
    g = start()
    g.node("Add", ["x", "culprit_out"], name="culprit", outputs=["culprit_out"])
    return finish(g, "culprit_out")


@bad("second", "same")
def value_written_twice():
    g = start()
    g.node("Relu", ["x"], name="first", outputs=["same"])
    g.node("Tanh", ["x"], name="second", outputs=["same"])
    return finish(g, "same")


@bad("pixels", "culprit")
def node_overwrites_the_input():
    g = start(name="pixels")
    g.node("Relu", ["pixels"], name="culprit", outputs=["pixels"])
    return finish(g, "pixels")


@bad("proj.weight")
def initializer_twice():
    m = model(linear_model())
    m.graph.initializer.add().CopyFrom(tensor_of(m))
    return m


@bad("culprit")
def undefined_input():
    g = start()
    g.node("Add", ["x", "nowhere"], name="culprit", outputs=["t"])
    return finish(g, "t")


@bad("missing_result")
def output_nobody_makes():
    g = finish(start(), "x")
    g.output("missing_result", "f32", [1, 4, 32])
    return g


@bad("culprit")
def unknown_operator():
    return one_node("Frobnicate")


@bad("culprit")
def unknown_domain():
    return one_node("Relu", domain="acme.ai")


@bad("culprit")
def vendor_plugin():
    return one_node("AttentionPlugin", domain="trt_edgellm")


@bad("frob/one", "frob/two")
def several_unknown_operators():
    g = start()
    a = g.node("Frobnicate", ["x"], name="frob/one")
    return finish(g, g.node("Defrobnicate", [a], name="frob/two"))


@bad("culprit")
def too_few_inputs():
    return one_node("MatMul")


@bad("culprit")
def too_many_inputs():
    return one_node("Relu", np.ones(1, np.float32), np.ones(1, np.float32))


@bad("culprit")
def too_many_outputs():
    g = start()
    a, _ = g.node("Relu", ["x"], name="culprit", outputs=["a", "b"])
    return finish(g, a)


@bad("culprit")
def control_flow():
    g = start()
    g.input("flag", "bool", [])
    branch = Graph(20)
    branch.node("Identity", ["x"], outputs=["r"])
    branch.output("r", "f32", [1, 4, 32])
    y = g.node("If", ["flag"], name="culprit", outputs=["culprit_out"], then_branch=branch.graph, else_branch=branch.graph)
    return finish(g, y)


@bad("sparse")
def sparse_initializer():
    m = model(linear_model())
    s = m.graph.sparse_initializer.add()
    s.values.name, s.values.data_type = "sparse_weight", 1
    s.dims.extend([4, 4])
    return m


# ---- types and shapes of entry arguments -----------------------------------------------------------------------------
@family(symbolic_dimension=((["batch", 4, 32],), ("batch",)), negative_dimension=(([-5, 4, 32],), ("pixels", "culprit")),
        huge_dimension=(([1 << 40, 1 << 40, 32],), ("pixels", "culprit")), huge_rank=(([1] * 200,), ("pixels", "culprit")))
def input_dims(dims):
    g = start(dims, name="pixels")
    return finish(g, g.node("Relu", ["pixels"], name="culprit"))


@family(string_input=((8,), ("pixels",)), complex_input=((14,), ("pixels",)), unknown_type_input=((99,), ("pixels",)),
        untyped_input=((0,), ("pixels",)))
def input_type(number):
    m = model(linear_model())
    m.graph.input[0].type.tensor_type.elem_type = number
    return m


@bad("pixels")
def sequence_input():
    m = model(linear_model())
    m.graph.input[0].type.Clear()
    m.graph.input[0].type.sequence_type.elem_type.tensor_type.elem_type = 1
    return m


@bad("pixels")
def input_without_a_shape():
    m = model(linear_model())
    m.graph.input[0].type.tensor_type.ClearField("shape")
    return m


# ---- initializers ----------------------------------------------------------------------------------------------------
@family(raw_data_too_short=((lambda t: setattr(t, "raw_data", t.raw_data[:-4]),), ("proj.weight",)),
        raw_data_too_long=((lambda t: setattr(t, "raw_data", t.raw_data + b"\0" * 4),), ("proj.weight",)),
        raw_data_missing=((lambda t: t.ClearField("raw_data"),), ("proj.weight",)),
        dims_too_many=((lambda t: t.dims.append(2),), ("proj.weight",)),
        dims_overflow=((lambda t: t.dims.__setitem__(slice(None), [1 << 40, 1 << 40]),), ("proj.weight",)),
        dims_wrap_to_zero=((lambda t: (t.dims.__setitem__(slice(None), [1 << 32, 1 << 32]), t.ClearField("raw_data")),), ("proj.weight",)),
        dims_wrap_to_the_size=((lambda t: t.dims.__setitem__(slice(None), [32, (1 << 59) + 32, 1]),), ("proj.weight",)),
        dims_negative=((lambda t: t.dims.__setitem__(0, -32),), ("proj.weight",)),
        dims_minus_times_minus=((lambda t: t.dims.__setitem__(slice(None), [-32, -32]),), ("proj.weight",)),
        tensor_of_strings=((lambda t: (setattr(t, "data_type", 8), t.ClearField("raw_data"), t.string_data.append(b"a")),), ("proj.weight",)),
        tensor_of_complex=((lambda t: setattr(t, "data_type", 14),), ("proj.weight",)),
        tensor_of_type_99=((lambda t: setattr(t, "data_type", 99),), ("proj.weight",)),
        tensor_of_type_0=((lambda t: setattr(t, "data_type", 0),), ("proj.weight",)),
        float_data_too_short=((lambda t: (t.ClearField("raw_data"), t.float_data.extend([1.0] * 7)),), ("proj.weight",)),
        float_data_in_an_f16_tensor=((lambda t: (setattr(t, "data_type", 10), t.ClearField("raw_data"), t.float_data.extend([1.0] * 1024)),), ("proj.weight",)))
def initializer(damage):
    m = model(linear_model())
    damage(tensor_of(m))
    return m


@family(fp4_one_byte_short=(("e2m1", 32 * 16 - 1), ("w_f4",)), fp4_unpacked=(("e2m1", 32 * 32), ("w_f4",)),
        int4_one_byte_long=(("i4", 32 * 16 + 1), ("w_f4",)), uint4_unpacked=(("u4", 32 * 32), ("w_f4",)))
def nibbles(elem, count):
    g = start()
    q = g.init("W_f4", np.zeros(count, np.uint8), elem, [32, 32])
    w = g.node("DequantizeLinear", [q, g.init("s", np.ones((32, 2), np.float32))], name="dq", axis=1, block_size=16)
    return finish(g, g.node("MatMul", ["x", w], name="proj/MatMul"))


# ---- external data ---------------------------------------------------------------------------------------------------
def external(folder=None, **keys):
    m = model(linear_model())
    t = tensor_of(m)
    t.ClearField("raw_data")
    t.data_location = TensorProto.EXTERNAL
    for key, value in keys.items():
        t.external_data.add(key=key, value=str(value))
    return m


SIZE = 32 * 32 * 4
DATA = "weights.bin"  # `write_all` makes it: SIZE bytes, a symlink "escape.bin" out of the folder, and a folder "dir.bin"


@family(external_missing=((dict(location="not_there.bin", length=SIZE),), ("not_there.bin",)),
        external_parent=((dict(location="../outside.bin", length=SIZE),), ("../outside.bin",)),
        external_parent_inside=((dict(location="sub/../../outside.bin", length=SIZE),), ("outside.bin",)),
        external_absolute=((dict(location="/etc/passwd", length=SIZE),), ("/etc/passwd",)),
        external_symlink=((dict(location="escape.bin", length=SIZE),), ("escape.bin",)),
        external_folder=((dict(location="dir.bin", length=SIZE),), ("dir.bin",)),
        external_without_location=((dict(length=SIZE),), ("proj.weight", "location")),
        external_empty_location=((dict(location="", length=SIZE),), ("proj.weight", "location")),
        external_offset_beyond=((dict(location=DATA, offset=1 << 20, length=SIZE),), (DATA, "proj.weight")),
        external_length_beyond=((dict(location=DATA, offset=4, length=SIZE),), (DATA, "proj.weight")),
        external_length_wrong=((dict(location=DATA, length=SIZE - 4),), (DATA, "proj.weight")),
        external_offset_negative=((dict(location=DATA, offset=-8, length=SIZE),), (DATA, "proj.weight", "offset")),
        external_length_negative=((dict(location=DATA, length=-1),), (DATA, "proj.weight", "length")),
        external_offset_text=((dict(location=DATA, offset="zero", length=SIZE),), (DATA, "proj.weight", "offset")),
        external_offset_overflow=((dict(location=DATA, offset=(1 << 64) - 8, length=SIZE),), (DATA, "proj.weight", "offset")),
        external_sum_overflow=((dict(location=DATA, offset=(1 << 63) - 8, length=SIZE),), (DATA, "proj.weight", "offset")),
        external_unknown_key=((dict(location=DATA, length=SIZE, compression="zstd"),), ("'compression'",)),
        external_basepath=((dict(location=DATA, length=SIZE, basepath="/tmp"),), ("'basepath'",)),
        external_wrong_checksum=((dict(location=DATA, length=SIZE, checksum="0" * 40),), (DATA,)),
        external_nul_in_location=((dict(location=DATA + "\0.txt", length=SIZE),), ("proj.weight", "location", DATA)))
def external_data(keys):
    return external(**keys)


@bad("proj.weight")
def data_inside_and_outside():
    m = external(location=DATA, length=SIZE)
    tensor_of(m).raw_data = b"\0" * SIZE
    return m


@bad("proj.weight")
def data_in_two_fields():
    m = model(linear_model())
    tensor_of(m).float_data.extend([1.0] * 1024)
    return m


# ---- quantization ----------------------------------------------------------------------------------------------------
def fp8_chain(scale=0.01, zero=0, node="culprit", scale_dims=()):
    g = start()
    s = g.init("scale", np.full(scale_dims, scale, np.float32))
    zp = g.init("zero_point", np.full(scale_dims, zero, np.uint8), "e4m3")
    q = g.node("QuantizeLinear", ["x", s, zp], name=node)
    return finish(g, g.node("DequantizeLinear", [q, s, zp], name="culprit_dq"))


@family(scale_nan=((np.nan,), ("culprit", "scale")), scale_zero=((0.0,), ("culprit", "scale")), scale_negative=((-0.5,), ("culprit", "scale")),
        scale_infinite=((np.inf,), ("culprit", "scale")))
def activation_scale(value):
    return fp8_chain(value)


@family(precision_double=((11,), ("culprit", "precision double")), precision_fp8=((17,), ("culprit", "precision float8")))
def precision(number):
    g = start()
    q = g.node("QuantizeLinear", ["x", g.init("scale", np.float32(1))], name="culprit", output_dtype=17, precision=number)
    return finish(g, g.node("DequantizeLinear", [q, "scale"]))


@bad("culprit", "zero")
def fp8_zero_point_not_zero():
    return fp8_chain(zero=0x38)


def nvfp4(block_scale=0x38, g=0.01, block=16, columns=2):
    """x times a two-level NVFP4 weight; one defect through the arguments."""
    m = start()
    scales = np.full((32, columns), 0x38, np.uint8)
    scales[5, 1 % columns] = block_scale
    q = m.init("W_f4", np.full(512, 0x21, np.uint8), "e2m1", [32, 32])
    s = m.node("DequantizeLinear", [m.init("W_scale", scales, "e4m3"), m.init("W_global", np.float32(g))], name="W_dq_scale")
    w = m.node("DequantizeLinear", [q, s], name="W_dq", axis=-1, block_size=block)
    return finish(m, m.node("MatMul", ["x", m.node("Transpose", [w], perm=[1, 0])], name="proj/MatMul"))


@family(block_scale_nan=((dict(block_scale=0x7F),), ("w_dq", "w_scale")), block_scale_negative=((dict(block_scale=0xB8),), ("w_dq", "w_scale")),
        global_scale_nan=((dict(g=np.nan),), ("w_dq", "w_global")), global_scale_zero=((dict(g=0),), ("w_dq", "w_global")),
        global_scale_negative=((dict(g=-1),), ("w_dq", "w_global")), block_size_negative=((dict(block=-16),), ("w_dq",)),
        scale_shape_wrong=((dict(columns=3),), ("w_dq",)))
def nvfp4_weight(defect):
    return nvfp4(**defect)


@bad("w_dq")
def e8m0_scale_nan():
    g = start()
    scales = np.full((32, 1), 127, np.uint8)
    scales[3] = 255
    q = g.init("W_q", np.zeros((32, 32), np.uint8), "e4m3")
    w = g.node("DequantizeLinear", [q, g.init("s", scales, "e8m0")], name="W_dq", axis=1, block_size=32, output_dtype=1)
    return finish(g, g.node("MatMul", ["x", w], name="proj/MatMul"))


@family(dynamic_global_nan=((np.nan, 16), ("culprit",)), dynamic_global_zero=((0.0, 16), ("culprit",)),
        dynamic_block_size=((0.01, -16), ("culprit",)))
def dynamic_quantize(value, block):
    g = start()
    q, s = g.node("TRT_FP4DynamicQuantize", ["x", g.init("g", np.float32(value))], name="culprit", domain="trt", n=2, axis=-1,
                  block_size=block, scale_type=17)
    s = g.node("DequantizeLinear", [s, g.init("g2", np.float32(value))], name="culprit_s")
    return finish(g, g.node("DequantizeLinear", [q, s], name="culprit_dq", axis=-1, block_size=block))


@family(raw_fp4_block_zero=((0,), ("culprit",)), raw_fp4_block_13=((13,), ("culprit",)))
def raw_fp4(block):
    g = start()
    w = g.node("TRT_FP4QDQ", [g.init("W", weight())], name="culprit", domain="trt", block_size=block)
    return finish(g, g.node("MatMul", ["x", w], name="proj/MatMul"))


@bad("w_dq")
def dequantize_of_a_float():
    g = start()
    w = g.node("DequantizeLinear", [g.init("W", weight()), g.init("s", np.float32(1))], name="W_dq")
    return finish(g, g.node("MatMul", ["x", w], name="proj/MatMul"))


# ---- operators -------------------------------------------------------------------------------------------------------
i64 = lambda *v: np.asarray(v, np.int64)
f32 = lambda *dims: np.ones(dims, np.float32)
CULPRIT = ("culprit",)


@family(
    matmul_shapes=(("MatMul", [f32(31, 8)], {}), CULPRIT),
    matmul_types=(("MatMul", [np.ones((32, 8), np.int64)], {}), CULPRIT),
    matmul_of_a_scalar=(("MatMul", [f32()], {}), CULPRIT),
    add_types=(("Add", [i64(1)], {}), CULPRIT),
    add_shapes=(("Add", [f32(7)], {}), CULPRIT),
    gemm_of_rank_3=(("Gemm", [f32(32, 8)], {}), CULPRIT),
    transpose_perm_out_of_range=(("Transpose", [], dict(perm=[0, 1, 7])), CULPRIT),
    transpose_perm_negative=(("Transpose", [], dict(perm=[0, 1, -9])), CULPRIT),
    transpose_perm_repeats=(("Transpose", [], dict(perm=[0, 1, 1])), CULPRIT),
    transpose_perm_short=(("Transpose", [], dict(perm=[1, 0])), CULPRIT),
    transpose_perm_is_a_float=(("Transpose", [], dict(perm=1.5)), CULPRIT),
    softmax_axis_is_a_string=(("Softmax", [], dict(axis="last")), CULPRIT),
    softmax_axis_out_of_range=(("Softmax", [], dict(axis=7)), CULPRIT),
    gelu_approximation_unknown=(("Gelu", [], dict(approximate="magic")), CULPRIT),
    reshape_size=(("Reshape", [i64(5, 5)], {}), CULPRIT),
    reshape_two_unknowns=(("Reshape", [i64(-1, -1, 2)], {}), CULPRIT),
    reshape_indivisible=(("Reshape", [i64(-1, 3)], {}), CULPRIT),
    reshape_negative=(("Reshape", [i64(-7, 128)], {}), CULPRIT),
    reshape_overflow=(("Reshape", [i64(1 << 62, 1 << 62)], {}), CULPRIT),
    concat_shapes=(("Concat", [f32(1, 3, 31)], dict(axis=1)), CULPRIT),
    concat_axis=(("Concat", [f32(1, 4, 32)], dict(axis=9)), CULPRIT),
    slice_step_zero=(("Slice", [i64(0), i64(4), i64(1), i64(0)], {}), CULPRIT),
    slice_axis=(("Slice", [i64(0), i64(4), i64(6), i64(1)], {}), CULPRIT),
    slice_lengths=(("Slice", [i64(0, 0), i64(4), i64(1), i64(1)], {}), CULPRIT),
    gather_axis=(("Gather", [i64(0)], dict(axis=4)), CULPRIT),
    gather_index=(("Gather", [i64(99)], dict(axis=1)), CULPRIT),
    gather_by_floats=(("Gather", [f32(1)], dict(axis=1)), CULPRIT),
    cast_to_string=(("Cast", [], dict(to=8)), CULPRIT),
    cast_to_type_99=(("Cast", [], dict(to=99)), CULPRIT),
    cast_without_a_type=(("Cast", [], {}), CULPRIT),
    squeeze_of_four=(("Squeeze", [i64(1)], {}), CULPRIT),
    unsqueeze_twice=(("Unsqueeze", [i64(1, 1)], {}), CULPRIT),
    expand_shrinks=(("Expand", [i64(1, 2, 32)], {}), CULPRIT),
    expand_to_a_terabyte=(("Expand", [i64(1 << 38, 4, 32)], {}), CULPRIT),
    tile_to_overflow=(("Tile", [i64(1 << 60, 1 << 60, 1)], {}), CULPRIT),
    tile_rank=(("Tile", [i64(2)], {}), CULPRIT),
    pad_lengths=(("Pad", [i64(1, 1)], {}), CULPRIT),
    topk_too_many=(("TopK", [i64(33)], dict(axis=-1)), CULPRIT),
    layer_norm_scale=(("LayerNormalization", [f32(31)], {}), CULPRIT),
    layer_norm_axis=(("LayerNormalization", [f32(32)], dict(axis=8)), CULPRIT),
    reduce_axis=(("ReduceSum", [i64(5)], {}), CULPRIT),
    split_sizes=(("Split", [i64(1, 9)], dict(axis=1)), CULPRIT),
    unknown_attribute=(("Relu", [], dict(slope=0.1)), ("'slope'",)),
    reshape_shape_twice=(("Reshape", [i64(1, 4, 32)], dict(shape=[4, 32])), ("'shape'",)),
    topk_k_twice=(("TopK", [i64(2)], dict(k=3)), ("'k'",)),
    pad_value_twice=(("Pad", [i64(0, 0, 0, 0, 0, 1), f32()], dict(value=1.0)), CULPRIT),
    split_twice=(("Split", [i64(4)], dict(axis=1, num_outputs=1)), ("'num_outputs'",)),
    norm_in_half=(("LayerNormalization", [f32(32)], dict(stash_type=10)), ("stash_type",)),
    dropout_in_training=(("Dropout", [], dict(is_test=0)), ("is_test",)),
    batch_axis_alone=(("Add", [f32(32)], dict(axis=2)), ("'axis'",)),
    where_of_a_float_condition=(("Where", [f32(1), f32(1)], {}), CULPRIT),
    clip_of_another_type=(("Clip", [i64(0)], {}), CULPRIT),
)
def operator(op, extra, attrs):
    return one_node(op, *extra, **attrs)


@family(conv_channels=((dict(), (8, 5, 3, 3)), CULPRIT), conv_groups=((dict(group=3), (8, 4, 3, 3)), CULPRIT),
        conv_stride_zero=((dict(strides=[0, 0]), (8, 4, 3, 3)), CULPRIT), conv_kernel_too_big=((dict(), (8, 4, 64, 64)), CULPRIT),
        conv_pads_and_auto_pad=((dict(pads=[2, 2, 2, 2], auto_pad="SAME_UPPER"), (8, 4, 3, 3)), ("auto_pad",)),
        conv_ceil_mode=((dict(ceil_mode=1), (8, 4, 3, 3)), ("'ceil_mode'",)),
        conv_pads_short=((dict(pads=[1, 1]), (8, 4, 3, 3)), CULPRIT))
def conv(attrs, kernel):
    return one_node("Conv", f32(*kernel), x_dims=(1, 4, 16, 16), **attrs)


@bad("culprit", "sum")
def constant_of_a_petabyte():
    g = start()
    big = g.node("ConstantOfShape", [g.init("s", i64(1 << 24, 1 << 24))], name="culprit", outputs=["culprit_out"])
    return finish(g, g.node("Add", ["x", big], name="sum"))


@bad("culprit")
def constant_without_a_value():
    g = start()
    c = g.node("Constant", [], name="culprit", outputs=["culprit_out"])
    return finish(g, g.node("Add", ["x", c], name="sum"))


@bad("culprit")
def constant_with_a_broken_tensor():
    g = start()
    c = g.node("Constant", [], name="culprit", outputs=["culprit_out"], value=TensorProto(data_type=1, dims=[4], raw_data=b"abc"))
    return finish(g, g.node("Add", ["x", c], name="sum"))


@bad("culprit")
def attribute_without_a_type():
    m = model(one_node("Transpose", perm=[0, 2, 1]))
    a = next(n for n in m.graph.node if n.name == "culprit").attribute[0]
    del a.ints[:]
    a.type = 0
    return m


@bad("culprit")
def reshape_by_a_runtime_shape():
    g = Graph(20)
    g.input("x", "f32", [1, 4, 32])
    g.input("shape", "i64", [2])
    return finish(g, g.node("Reshape", ["x", "shape"], name="culprit"))


@bad("pixels")
def input_type_missing():
    m = model(linear_model())
    m.graph.input[0].ClearField("type")
    return m


def write_all(folder):
    """Writes every file; returns the manifest."""
    folder = Path(folder)
    (folder / "dir.bin").mkdir(parents=True, exist_ok=True)
    (folder / "sub").mkdir(exist_ok=True)
    (folder / DATA).write_bytes(np.ones(SIZE // 4, np.float32).tobytes())
    outside = folder.parent / "outside.bin"
    outside.write_bytes(b"\0" * SIZE)
    link = folder / "escape.bin"
    if not link.is_symlink():
        os.symlink(outside.resolve(), link)
    manifest = []
    for name, (function, words) in CASES.items():
        made = function()
        made = model(made) if isinstance(made, Graph) else made
        data = made if isinstance(made, bytes) else made.SerializeToString()
        (folder / f"{name}.onnx").write_bytes(data)
        manifest.append(dict(file=f"{name}.onnx", expect=[w.lower() for w in words]))
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    return manifest


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("-o", "--output", required=True)
    print(f"{len(write_all(p.parse_args().output))} files", flush=True)


if __name__ == "__main__":
    main()
