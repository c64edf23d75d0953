# The node tests of the onnx package as cases: models, data, how arrays travel to and from the tools, comparison.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import fnmatch
import random
import warnings

import ml_dtypes
import numpy as np
import onnx
from onnx import numpy_helper

from onnx_exceptions import CONSTANT_OPERANDS


def operators(graph):
    """All operator types, of subgraphs too."""
    found = set()
    for node in graph.node:
        found.add(node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}::{node.op_type}")
        for a in node.attribute:
            for sub in [a.g] if a.HasField("g") else a.graphs:
                found |= operators(sub)
    return found


def array(x):
    """Data sets hold arrays, numpy scalars, messages (for types that numpy lacks), or lists (sequences)."""
    if isinstance(x, np.generic):
        return np.asarray(x)
    return numpy_helper.to_array(x) if isinstance(x, onnx.TensorProto) else x


def is_tensor(x):
    """True if the tools can read x: no sequences, optionals, strings."""
    return isinstance(x, np.ndarray) and x.dtype.kind not in "OUS"


class Case:
    """One node test: a model, inputs (by name) and wanted outputs of its first data set."""

    def __init__(self, test, base=None):
        """`base`: the test of the function that this test spells out; it tells which operands may be constant."""
        self.name, self.rtol, self.atol, self.model = test.name, test.rtol, test.atol, test.model
        inputs, self.want = (list(map(array, part)) for part in test.data_sets[0])
        graph = self.model.graph
        self.operators = operators(graph)
        self.feeds = dict(zip([i.name for i in graph.input], inputs))
        self.results = [o.name for o in graph.output]
        self.operands = dict(self.find_operands((base or test).model.graph.node))
        if not all(map(is_tensor, self.feeds.values())):
            self.feeds, self.operands = {}, {}  # the compiler must refuse the types

    def find_operands(self, nodes):
        """Inputs that may be constants: (name, (operator, index))."""
        for node in nodes:
            for index in CONSTANT_OPERANDS.get(node.op_type, ()):
                name = node.input[index] if index < len(node.input) else ""
                if is_tensor(self.feeds.get(name)):
                    yield name, (node.op_type, index)

    def model_with(self, constants):
        """The model as bytes, inputs named in `constants` turned into initializers."""
        model = onnx.ModelProto()
        model.CopyFrom(self.model)
        graph = model.graph
        graph.initializer.extend(numpy_helper.from_array(self.feeds[name], name) for name in constants)
        kept = [i for i in graph.input if i.name not in constants]
        del graph.input[:]
        graph.input.extend(kept)
        return model.SerializeToString()

    def shapes(self, constants):
        """--shape options for inputs with symbolic or missing dimensions."""
        for i in self.model.graph.input:
            dims, x = i.type.tensor_type.shape.dim, self.feeds.get(i.name)
            if x is None or i.name in constants or not x.ndim:
                continue
            if any(not d.HasField("dim_value") for d in dims) or len(dims) != x.ndim:
                yield from ("--shape", f"{i.name}=" + "x".join(map(str, x.shape)))

    def names(self):
        """What a refusal may name: operators, nodes, values."""
        graph = self.model.graph
        values = [v for n in graph.node for v in (n.op_type, n.name, *n.output)] + [v.name for v in (*graph.input, *graph.output)]
        return {v.lower() for v in values if len(v) > 1} | {f"'{v.lower()}'" for v in values if v}


def load_cases(only, sample, seed):
    """Cases whose names match the glob; `sample` of them drawn at random, or all if it is None."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests
        every = {t.name: t for t in load_model_tests(kind="node")}
    tests = [t for t in every.values() if fnmatch.fnmatch(t.name, only)]
    if sample is not None:
        tests = random.Random(seed).sample(tests, min(sample, len(tests)))
    return [Case(t, every.get(t.name.split("_expanded")[0])) for t in tests]


SIGNED = (ml_dtypes.int2, ml_dtypes.int4)
UNSIGNED = (ml_dtypes.uint2, ml_dtypes.uint4, ml_dtypes.float4_e2m1fn)


def storable(x):
    """Array as it travels in a .npy file: types that numpy lacks as their bits, narrow ones one code per byte (INT4 as int8)."""
    if x.dtype in SIGNED:
        return x.astype(np.int8)
    if x.dtype in UNSIGNED:
        return np.ascontiguousarray(x).view(np.uint8) & 15
    if x.dtype.kind == "V" or x.dtype.name in dir(ml_dtypes):
        return np.ascontiguousarray(x).view(np.uint16 if x.dtype.itemsize == 2 else np.uint8)
    return x


def restored(got, want):
    """Inverse of `storable` for an output, given the wanted array."""
    if got.dtype != storable(want).dtype or got.dtype == want.dtype:
        return got
    return got.astype(want.dtype) if want.dtype in SIGNED else got.view(want.dtype)


def difference(got, want, rtol, atol):
    """Empty if equal within the tolerance, as the onnx package judges backends; else a description."""
    got = restored(got, want)
    if got.shape != want.shape:
        return f"shape {got.shape}, wanted {want.shape}"
    if got.dtype != want.dtype:
        return f"type {got.dtype}, wanted {want.dtype}"
    if want.dtype == ml_dtypes.bfloat16:
        rtol = max(rtol, 2**-6)  # what onnx.backend.test.runner grants to this type
    wide = lambda a: a.astype(np.float32) if storable(a) is not a else a
    try:
        np.testing.assert_allclose(wide(got), wide(want), rtol=rtol, atol=atol)
    except AssertionError as e:
        return " ".join(str(e).split())[:300]
    return ""
