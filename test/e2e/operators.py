#!/usr/bin/env python3
# Random configurations of operators, compiled for the CPU and compared with onnxruntime.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""operators.py [--count N] [--seed S] [--only GLOB] [--build DIR]

Draws operator configurations that the node tests of the onnx package do not cover (groups with dilations and auto_pad,
negative steps, uneven splits, equations, coordinate modes, narrow types), compiles and runs each and compares all outputs with
onnxruntime's. Every model is one node; a failure prints its attributes. Exit 1 on any difference."""
import argparse
import concurrent.futures
import fnmatch
import sys
import tempfile
from pathlib import Path

from common import OK, Tools, build_argument, in_venv

in_venv()
import numpy as np  # noqa: E402
import onnx  # noqa: E402
import onnxruntime as ort  # noqa: E402
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

F32, F16, F64, I64, I32, U8, I8 = (np.float32, np.float16, np.float64, np.int64, np.int32, np.uint8, np.int8)
MAKERS = {}


def case(make):
    """Registers a generator: (random) -> Case."""
    MAKERS[make.__name__] = make
    return make


class Case:
    """One node: `feeds` are inputs at run time, `constants` initializers, in the order of `inputs` (None: absent)."""

    def __init__(self, op, inputs, constants=(), outputs=1, opset=21, **attributes):
        self.op, self.attributes = op, attributes
        names = [None if x is None else f"x{i}" for i, x in enumerate(inputs)]
        self.feeds = {n: x for i, (n, x) in enumerate(zip(names, inputs)) if x is not None and i not in constants}
        self.results = [f"y{i}" for i in range(outputs)]
        node = helper.make_node(op, [n or "" for n in names], self.results, "node", **attributes)
        kept = [numpy_helper.from_array(np.asarray(x), n) for i, (n, x) in enumerate(zip(names, inputs)) if i in constants and x is not None]
        ports = [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in self.feeds.items()]
        graph = helper.make_graph([node], "g", ports, [onnx.ValueInfoProto(name=r) for r in self.results], kept)
        self.model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)

    def expect(self):
        options = ort.SessionOptions()
        options.log_severity_level = 4
        session = ort.InferenceSession(self.model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self.want = session.run(None, self.feeds)
        for port, want in zip(self.model.graph.output, self.want):
            port.CopyFrom(helper.make_tensor_value_info(port.name, helper.np_dtype_to_tensor_dtype(want.dtype), want.shape))

    def __str__(self):
        shapes = ", ".join(f"{n}: {x.dtype}{list(x.shape)}" for n, x in self.feeds.items())
        constants = ", ".join(f"{c.name}={numpy_helper.to_array(c).tolist()}" for c in self.model.graph.initializer if np.prod(c.dims) < 20)
        return f"{self.op}({shapes}; {constants}; {self.attributes})"


def normal(r, shape, dtype=F32):
    return r.standard_normal(shape).astype(dtype)


def shape(r, rank, low=1, high=6):
    return [int(d) for d in r.integers(low, high, rank)]


def one(r, *choices):
    return choices[r.integers(len(choices))]


@case
def conv(r):
    rank, groups = one(r, 1, 2, 2, 3), one(r, 1, 1, 2, 3)
    channels, outputs = groups * one(r, 1, 2, 4), groups * one(r, 1, 2, 3)
    kernel, dilations = shape(r, rank, 1, 4), shape(r, rank, 1, 3)
    extent = [(k - 1) * d + 1 + int(r.integers(0, 6)) for k, d in zip(kernel, dilations)]
    a = dict(kernel_shape=kernel, dilations=dilations, strides=shape(r, rank, 1, 4), group=groups)
    pad = one(r, "pads", "pads", "VALID", "SAME_UPPER", "SAME_LOWER")
    if pad == "pads":
        a["pads"] = shape(r, 2 * rank, 0, 3)
    else:
        a["auto_pad"] = pad
        if pad != "VALID":
            a["dilations"] = [1] * rank
    bias = one(r, None, normal(r, [outputs]))
    return Case("Conv", [normal(r, [2, channels, *extent]), normal(r, [outputs, channels // groups, *kernel]), bias], one(r, (), (1, 2)), **a)


@case
def conv_patches(r):
    k = one(r, 1, 2, 4)
    x, w = normal(r, [2, 3, 4 * k + int(r.integers(0, k)), 3 * k]), normal(r, [5, 3, k, k])
    return Case("Conv", [x, w, normal(r, [5])], (1, 2), strides=[k, k])


@case
def conv_transpose(r):
    rank, groups = one(r, 1, 2, 2, 3), one(r, 1, 2)
    kernel, strides = shape(r, rank, 1, 4), shape(r, rank, 1, 4)
    a = dict(kernel_shape=kernel, strides=strides, group=groups, dilations=shape(r, rank, 1, 3), output_padding=[int(r.integers(0, s)) for s in strides])
    if one(r, True, False):
        a["pads"] = [int(r.integers(0, k)) for k in kernel * 2]
    x = normal(r, [1, 2 * groups, *shape(r, rank, 2, 5)])
    return Case("ConvTranspose", [x, normal(r, [2 * groups, 3, *kernel]), one(r, None, normal(r, [3 * groups]))], **a)


@case
def conv_integer(r):
    x, w = r.integers(0, 255, [1, 2, 6, 5]).astype(U8), r.integers(0, 255, [3, 2, 3, 2]).astype(U8)
    return Case("ConvInteger", [x, w, np.array(7, U8), np.array(100, U8)], pads=[1, 0, 1, 1], strides=[2, 1])


@case
def pool(r):
    rank = one(r, 1, 2, 2, 3)
    op, kernel = one(r, "MaxPool", "AveragePool", "LpPool"), shape(r, rank, 1, 4)
    a = dict(kernel_shape=kernel, strides=shape(r, rank, 1, 4))
    if op == "LpPool":
        a["p"] = one(r, 1, 2, 3)
    else:
        a["ceil_mode"] = one(r, 0, 1)
        a["dilations"] = shape(r, rank, 1, 3) if op == "MaxPool" else [1] * rank
    a["pads"] = [int(r.integers(0, k)) for k in kernel * 2]
    if op == "AveragePool":
        a["count_include_pad"] = one(r, 0, 1) if not a["ceil_mode"] else 0
    return Case(op, [normal(r, [2, 3, *shape(r, rank, 5, 9)])], outputs=1 + (op == "MaxPool"), **a)


@case
def reduce(r):
    op = one(r, *(f"Reduce{k}" for k in "Sum Mean Max Min Prod L1 L2 LogSumExp SumSquare".split()))
    rank, keep = one(r, 1, 2, 3, 4), one(r, 0, 1)
    axes = np.array(r.permutation(rank)[: r.integers(0, rank + 1)], I64)
    axes = np.where(r.integers(0, 2, axes.shape) == 1, axes - rank, axes)
    return Case(op, [normal(r, shape(r, rank)), axes], (1,), keepdims=keep, noop_with_empty_axes=0)


@case
def reduce_narrow(r):
    op, dtype = one(r, ("ReduceSum", F16), ("ReduceMax", U8), ("ReduceMin", I8), ("ReduceSum", I64), ("ReduceMin", I64), ("ReduceMean", F64))
    x = normal(r, [3, 4, 5], dtype) if np.dtype(dtype).kind == "f" else r.integers(np.iinfo(dtype).min // 9, np.iinfo(dtype).max // 9, [3, 4, 5]).astype(dtype)
    return Case(op, [x, np.array([1], I64)], (1,))


@case
def arg_extreme(r):
    x = r.integers(0, 4, shape(r, 3)).astype(one(r, F32, I32, U8 if False else F32))
    return Case(one(r, "ArgMax", "ArgMin"), [x], axis=int(r.integers(-3, 3)), keepdims=one(r, 0, 1), select_last_index=one(r, 0, 1))


@case
def top_k(r):
    x = r.permutation(60).reshape(3, 4, 5).astype(one(r, F32, I64, I32))
    axis = int(r.integers(-3, 3))
    k = np.array([r.integers(1, x.shape[axis] + 1)], I64)
    return Case("TopK", [x, k], (1,), outputs=2, axis=axis, largest=one(r, 0, 1))


@case
def cum_sum(r):
    return Case("CumSum", [normal(r, [3, one(r, 1, 5, 17), 2]), np.array(one(r, 0, 1, -1), I64)], one(r, (), (1,)), exclusive=one(r, 0, 1), reverse=one(r, 0, 1))


@case
def gather(r):
    x, axis = normal(r, shape(r, 3, 2), one(r, F32, F16)), int(r.integers(-3, 3))
    n = x.shape[axis]
    return Case("Gather", [x, r.integers(-n, n, shape(r, int(r.integers(0, 3)))).astype(one(r, I64, I32))], one(r, (), (1,)), axis=axis)


@case
def gather_elements(r):
    x, axis = normal(r, shape(r, 3, 2)), int(r.integers(-3, 3))
    n = x.shape[axis]
    indices = [d for d in x.shape]
    indices[axis] = int(r.integers(1, 7))
    return Case("GatherElements", [x, r.integers(-n, n, indices).astype(I64)], axis=axis)


@case
def gather_nd(r):
    x, batch = normal(r, [2, 3, 4, 5]), one(r, 0, 1)
    depth = int(r.integers(1, 4 - batch))
    lead = [2] if batch else [3]
    indices = np.stack([r.integers(-x.shape[batch + i], x.shape[batch + i], [*lead, 3]) for i in range(depth)], -1)
    return Case("GatherND", [x, indices.astype(I64)], one(r, (), (1,)), batch_dims=batch)


@case
def scatter_elements(r):
    x, axis, how = normal(r, [4, 5, 3]), int(r.integers(-3, 3)), one(r, "none", "add", "mul", "max", "min")
    n, rows = x.shape[axis], list(x.shape)
    rows[axis] = int(r.integers(1, n + 1))
    indices = np.argsort(r.random(x.shape), axis).take(range(rows[axis]), axis) - one(r, 0, n)
    return Case("ScatterElements", [x, indices.astype(I64), normal(r, rows)], axis=axis, reduction=how)


@case
def scatter_nd(r):
    x, depth, how = normal(r, [4, 5, 3]), one(r, 1, 2, 3), one(r, "none", "add", "mul", "max", "min")
    cells = r.permutation(np.prod(x.shape[:depth]))[:3]
    indices = np.stack(np.unravel_index(cells, x.shape[:depth]), -1).astype(I64)
    return Case("ScatterND", [x, indices, normal(r, [len(cells), *x.shape[depth:]])], one(r, (), (1,)), reduction=how)


@case
def slices(r):
    x = normal(r, shape(r, 3, 1, 8), one(r, F32, F16))
    axes = r.permutation(3)[: r.integers(1, 4)]
    bounds = lambda: np.array(r.integers(-9, 10, len(axes)), I64)
    steps = np.array([one(r, 1, 2, 3, -1, -2) for _ in axes], I64)
    return Case("Slice", [x, bounds(), bounds(), np.array(axes, I64), steps], (1, 2, 3, 4))


@case
def split(r):
    n, axis = int(r.integers(3, 9)), one(r, 0, 1, -1)
    x = np.moveaxis(normal(r, [2, 3, n]), 2, axis)
    if one(r, True, False):
        return Case("Split", [x], outputs=3, axis=axis, num_outputs=3)
    return Case("Split", [x, np.array([1, n - 1, 0], I64)], (1,), outputs=3, axis=axis)


@case
def pad(r):
    mode, rank = one(r, "constant", "reflect", "edge", "wrap"), 3
    x = normal(r, shape(r, rank, 4, 7))
    low = -2 if mode == "constant" else 0
    value = np.array(1.5, F32) if mode == "constant" else None
    return Case("Pad", [x, np.array(r.integers(low, 4, 2 * rank), I64), value], one(r, (1,), (1, 2)) if value is not None else (1,), mode=mode)


@case
def tile_expand(r):
    x = normal(r, shape(r, 3, 1, 4))
    if one(r, True, False):
        return Case("Tile", [x, np.array(r.integers(1, 4, 3), I64)], (1,))
    wanted = [d if d != 1 or one(r, True, False) else 4 for d in x.shape]
    return Case("Expand", [x, np.array(([2] if one(r, 0, 1) else []) + wanted, I64)], (1,))


@case
def depth_space(r):
    if one(r, True, False):
        return Case("DepthToSpace", [normal(r, [2, 8, 3, 2])], blocksize=2, mode=one(r, "DCR", "CRD"))
    return Case("SpaceToDepth", [normal(r, [2, 3, 4, 6])], blocksize=2)


@case
def trilu(r):
    return Case("Trilu", [normal(r, shape(r, 3, 2, 7)), np.array(r.integers(-5, 6), I64)], one(r, (), (1,)), upper=one(r, 0, 1))


@case
def one_hot(r):
    x, depth = r.integers(-6, 6, shape(r, 2)).astype(I64), np.array(5, I64)
    return Case("OneHot", [x, depth, np.array([0.5, 2], F32)], (1,), axis=int(r.integers(-3, 3)))


@case
def batch_norm(r):
    c = one(r, 1, 3)
    params = [normal(r, [c]), normal(r, [c]), normal(r, [c]), r.random(c).astype(F32)]
    return Case("BatchNormalization", [normal(r, [2, c, *shape(r, int(r.integers(0, 3)))]), *params], (1, 2, 3, 4), epsilon=0.01)


@case
def instance_norm(r):
    c = one(r, 1, 3)
    return Case("InstanceNormalization", [normal(r, [2, c, *shape(r, 2, 2)]), normal(r, [c]), normal(r, [c])], epsilon=0.01)


@case
def lrn(r):
    return Case("LRN", [normal(r, [2, 7, 3, 2])], size=one(r, 1, 3, 5), alpha=0.3, beta=one(r, 0.75, 0.5), bias=1.5)


@case
def resize(r):
    mode = one(r, "nearest", "linear", "cubic")
    spatial = shape(r, 2, 3, 7)
    a = dict(mode=mode, coordinate_transformation_mode=one(r, "half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"))
    if mode == "nearest":
        a["nearest_mode"] = one(r, "round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    if mode == "cubic":
        a["exclude_outside"] = one(r, 0, 1)
    x, sizes = normal(r, [1, 2, *spatial]), shape(r, 2, 2, 12)
    return Case("Resize", [x, None, None, np.array([1, 2, *sizes], I64)], (3,), opset=18, **a)


@case
def grid_sample(r):
    x, grid = normal(r, [2, 3, 4, 5]), r.uniform(-1.3, 1.3, [2, 3, 4, 2]).astype(F32)
    return Case("GridSample", [x, grid], opset=20, mode=one(r, "nearest", "linear", "cubic"), padding_mode=one(r, "zeros", "border", "reflection"), align_corners=one(r, 0, 1))


EXTENTS = dict(i=2, j=3, k=4, l=5, b=2)
EQUATIONS = ("ij,jk->ik", "bij,bjk->bik", "bij,bkj->bik", "ij,ij->", "ii->i", "ii", "ij->ji", "ijk->j", "i,j->ij", "ij,jk,kl->il", "bij,bik->bkj", "ij,kj",
             "bi,bj->bij", "ijk,jil->kl", "ijkl,jl->ik", "b...ij,b...jk->b...ik", "...ij->...ji", "i...,i->...", "bhqd,bhkd->bhqk", "bqhd,bkhd->bhqk")


@case
def einsum(r):
    equation = one(r, *EQUATIONS)
    sizes = dict(EXTENTS, h=2, q=3, d=4)
    terms = equation.split("->")[0].replace("...", ".").split(",")
    inputs = [normal(r, [d for c in t for d in ([3] if c == "." else [2 if t.count(c) > 1 else sizes[c]])]) for t in terms]
    return Case("Einsum", inputs, equation=equation)


@case
def loss(r):
    n, c = 3, 4
    x, t, w = normal(r, [n, c, 5]), r.integers(0, c, [n, 5]).astype(I64), one(r, None, r.random(c).astype(F32))
    op = one(r, "NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
    return Case(op, [x, t, w], opset=13, reduction=one(r, "mean", "sum", "none"), **one(r, {}, dict(ignore_index=2)))


def run(c, tools):
    """Empty if all outputs agree, else what is wrong."""
    try:
        c.expect()
    except Exception as e:  # onnxruntime refuses some configurations
        return f"skipped: {str(e)[:100]}"
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "m.onnx").write_bytes(c.model.SerializeToString())
        done = tools.compile(folder / "m.onnx", folder / "m.nbl", timeout=120)
        if done.returncode != OK:
            return f"compile exit {done.returncode}: {done.stderr[-500:]}"
        inputs, outputs = {}, {name: folder / f"{name}.npy" for name in c.results}
        for name, x in c.feeds.items():
            np.save(folder / f"{name}.npy", x)
            inputs[name] = folder / f"{name}.npy"
        done = tools.run(folder / "m.nbl", inputs, outputs, timeout=120)
        if done.returncode != OK:
            return f"run exit {done.returncode}: {done.stderr[-500:]}"
        return compare([np.load(outputs[name]) for name in c.results], c.want)


def compare(got, want):
    for y, w in zip(got, want):
        tolerance = 2e-3 if w.dtype == F16 else 2e-5
        if y.shape != w.shape or y.dtype != w.dtype:
            return f"{y.dtype}{list(y.shape)} instead of {w.dtype}{list(w.shape)}"
        if not np.allclose(y, w, rtol=tolerance, atol=tolerance, equal_nan=True):
            return f"largest difference {np.max(np.abs(y.astype(F64) - w.astype(F64)))}"
    return ""


def draw(a):
    """Cases round robin over the generators, each with a seed of its own."""
    names = [n for n in MAKERS if fnmatch.fnmatch(n, a.only)]
    return [(f"{names[i % len(names)]}:{a.seed + i}", MAKERS[names[i % len(names)]](np.random.default_rng(a.seed + i))) for i in range(a.count)]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    build_argument(p)
    p.add_argument("--count", type=int, default=120)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--only", default="*", help="glob on generator names, e.g. 'conv*'")
    p.add_argument("--jobs", type=int, default=2)
    a = p.parse_args()
    cases, tools = draw(a), Tools(a.build)
    with concurrent.futures.ThreadPoolExecutor(a.jobs) as pool:
        results = list(pool.map(lambda c: run(c[1], tools), cases))
    bad = [(n, c, m) for (n, c), m in zip(cases, results) if m and not m.startswith("skipped")]
    for name, c, message in bad:
        print(f"{name}: {c}\n  {message}")
    skipped = sum(m.startswith("skipped") for m in results)
    print(f"{len(cases)} configurations: {len(cases) - len(bad) - skipped} agree, {len(bad)} differ, {skipped} skipped (onnxruntime refuses)")
    sys.exit(bool(bad) or skipped > len(cases) // 4)


if __name__ == "__main__":
    main()
