# A small writer of ONNX files: raw protobuf messages, no checker, no shape inference, optional external data.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The writer accepts what exporters write even where the ONNX checker objects (4-bit types at opset 20, custom
domains, weights repeated in graph.input). Types are named by short strings (`ELEM`)."""
import os
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto

ELEM = dict(f32=1, u8=2, i8=3, u16=4, i16=5, i32=6, i64=7, string=8, bool=9, f16=10, f64=11, u32=12, u64=13, c64=14, c128=15,
            bf16=16, e4m3=17, e4m3fnuz=18, e5m2=19, e5m2fnuz=20, u4=21, i4=22, e2m1=23, e8m0=24)
FLOATS = dict(f32=np.float32, f16=np.float16, bf16=ml_dtypes.bfloat16, f64=np.float64)
NUMPY = dict(FLOATS, u8=np.uint8, i8=np.int8, u16=np.uint16, i16=np.int16, i32=np.int32, i64=np.int64, u32=np.uint32,
             u64=np.uint64, bool=np.bool_, e4m3=np.uint8, e8m0=np.uint8, e5m2=np.uint8)
_SHORT = {np.dtype(t): n for n, t in NUMPY.items() if n not in ("e4m3", "e8m0", "e5m2")}
PACKED = ("u4", "i4", "e2m1")  # payload is two elements per byte, already packed by the caller
TWO_GIB = 1 << 31


def fill_value_info(info, name, elem, dims):
    info.name = name
    info.type.tensor_type.elem_type = ELEM[elem]
    info.type.tensor_type.shape.SetInParent()
    for d in dims:
        dim = info.type.tensor_type.shape.dim.add()
        if isinstance(d, str):
            dim.dim_param = d
        else:
            dim.dim_value = d


def make_tensor(array, elem=None, dims=None, name=""):
    """TensorProto with raw_data. `dims` (logical) are needed for packed 4-bit payloads only."""
    array = np.asarray(array)
    t = TensorProto(name=name, data_type=ELEM[elem or _SHORT[array.dtype]])
    t.dims.extend(array.shape if dims is None else dims)
    t.raw_data = np.ascontiguousarray(array).tobytes()
    return t


def make_attribute(name, value):
    a = AttributeProto(name=name)
    if isinstance(value, TensorProto):
        a.type, a.t.data_type = AttributeProto.TENSOR, 0
        a.t.CopyFrom(value)
    elif isinstance(value, GraphProto):
        a.type = AttributeProto.GRAPH
        a.g.CopyFrom(value)
    elif isinstance(value, (bool, int, np.integer)):
        a.type, a.i = AttributeProto.INT, int(value)
    elif isinstance(value, float):
        a.type, a.f = AttributeProto.FLOAT, value
    elif isinstance(value, str):
        a.type, a.s = AttributeProto.STRING, value.encode()
    elif all(isinstance(v, (int, np.integer)) for v in value):
        a.type = AttributeProto.INTS
        a.ints.extend(int(v) for v in value)
    else:
        a.type = AttributeProto.FLOATS
        a.floats.extend(value)
    return a


class Graph:
    """Collects nodes and initializers; `save` writes the file.

    scope: prefix of node names, e.g. "/layers.0/mlp"; values are named as torch's exporter does: <node>_output_0."""

    def __init__(self, opset=20, ir=10, trt=1, name="main_graph", producer="pytorch"):
        self.model = ModelProto(ir_version=ir, producer_name=producer)
        self.model.graph.name = name
        self.graph, self.opset, self.scope = self.model.graph, opset, ""
        self._inits, self._names, self._domains = [], set(), {}
        self.domain("", opset)
        self._trt = trt

    def domain(self, name, version):
        if name not in self._domains:
            self._domains[name] = version
            self.model.opset_import.add(domain=name, version=version)

    def input(self, name, elem, dims):
        fill_value_info(self.graph.input.add(), name, elem, dims)
        return name

    def output(self, name, elem, dims):
        fill_value_info(self.graph.output.add(), name, elem, dims)
        return name

    def init(self, name, array, elem=None, dims=None, in_inputs=False):
        """Adds an initializer; `in_inputs` repeats it in graph.input, as some exporters do."""
        array = np.asarray(array)
        elem = elem or _SHORT[array.dtype]
        dims = list(array.shape if dims is None else dims)
        if name in self._names:
            raise ValueError(f"initializer {name} written twice")
        self._names.add(name)
        self._inits.append((name, elem, dims, array))
        if in_inputs:
            self.input(name, elem, dims)
        return name

    def unique(self, name):
        base, i = name, 0
        while name in self._names:
            i += 1
            name = f"{base}_{i}"
        self._names.add(name)
        return name

    def node(self, op, inputs, name=None, domain="", outputs=None, n=1, **attrs):
        """Adds a node; returns its output name (a tuple if n > 1)."""
        name = self.unique(f"{self.scope}/{op}" if name is None else name)
        if domain:
            self.domain(domain, self._trt)
        if outputs is None:
            outputs = [f"{name}_output_{i}" for i in range(n)]
        node = self.graph.node.add(op_type=op, name=name, domain=domain)
        node.input.extend(inputs)
        node.output.extend(outputs)
        node.attribute.extend(make_attribute(k, v) for k, v in attrs.items())
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def const(self, value, elem=None, dtype=None, dims=None):
        """A Constant node, the exporter's way to write scalars."""
        array = np.asarray(value, dtype=dtype)
        return self.node("Constant", [], value=make_tensor(array, elem, dims))

    def cast(self, x, elem):
        return self.node("Cast", [x], to=ELEM[elem])

    def _tensors(self, external):
        """Writes initializers into the model; big ones into `external` (an open file) if given."""
        for name, elem, dims, array in self._inits:
            t = self.graph.initializer.add(name=name, data_type=ELEM[elem])
            t.dims.extend(dims)
            data = np.ascontiguousarray(array)
            if external is None or data.nbytes < 1024:
                t.raw_data = data.tobytes()
                continue
            offset = -external.tell() % 4096 + external.tell()
            external.seek(offset)
            data.tofile(external)
            t.data_location = TensorProto.EXTERNAL
            for key, value in (("location", Path(external.name).name), ("offset", offset), ("length", data.nbytes)):
                t.external_data.add(key=key, value=str(value))

    def save(self, path, external="auto"):
        """external: 'always', 'never' or 'auto' (when the weights pass 1 GiB; a protobuf cannot hold 2 GiB)."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        total = sum(np.asarray(a).nbytes for *_, a in self._inits)
        del self.graph.initializer[:]
        if external == "always" or (external == "auto" and total > TWO_GIB // 2):
            with open(f"{path}_data", "wb") as data:
                self._tensors(data)
        else:
            self._tensors(None)
        path.write_bytes(self.model.SerializeToString())
        return path


def load(path):
    """Model with external data read in (no checks)."""
    return onnx.load(os.fspath(path))
