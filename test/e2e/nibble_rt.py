# The C interface of the runtime (libnibble_rt.so) through ctypes: enough to run an engine with states step by step.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import ctypes
import os
from ctypes import POINTER, byref, c_char_p, c_int64, c_uint32, c_uint64, c_void_p
from pathlib import Path

import numpy as np

from common import load_library

NUMPY = dict(f32=np.float32, f16=np.float16, i64=np.int64, si64=np.int64, i32=np.int32, si32=np.int32, f8E4M3FN=np.uint8)  # FP8: codes


class Port(ctypes.Structure):
    _fields_ = [("name", c_char_p), ("dtype", c_char_p), ("shape", POINTER(c_int64)), ("rank", c_uint32), ("bytes", c_uint64)]

    def array(self):
        return np.zeros([self.shape[i] for i in range(self.rank)], NUMPY[self.dtype.decode()])


class Runtime:
    """One engine on a device; contexts of it are independent."""

    def __init__(self, build, path, threads=2, device="cpu"):
        os.environ.setdefault("NIBBLE_EMU_LIBRARY", str(Path(build).resolve() / "lib" / "emu" / "libcuda.so.1"))
        self.lib = load_library(Path(build) / "lib" / "libnibble_rt.so")
        self.lib.nbl_status_message.restype = c_char_p
        self.engine, self.device, self.session = c_void_p(), c_void_p(), c_void_p()
        self.call("nbl_engine_load", str(path).encode(), c_uint32(0), byref(self.engine))
        self.call("nbl_device_create", device.encode(), c_uint32(threads), byref(self.device))
        self.call("nbl_session_create", self.engine, self.device, byref(self.session))
        self.states = self.ports("state", self.lib.nbl_engine_state_count(self.engine))

    def call(self, name, *arguments):
        function = getattr(self.lib, name)
        function.restype = c_void_p
        status = function(*arguments)
        if status:
            raise RuntimeError(self.lib.nbl_status_message(c_void_p(status)).decode())

    def ports(self, what, count, *entry):
        found = []
        for i in range(count):
            port = Port()
            self.call(f"nbl_engine_{what}", self.engine, *entry, c_uint32(i), byref(port))
            found.append(port)
        return found

    def entry(self, name):
        index = c_uint32()
        self.call("nbl_engine_find_entry", self.engine, name.encode(), byref(index))
        return index

    def context(self):
        return Context(self)


class Context:
    def __init__(self, runtime):
        self.runtime, self.handle = runtime, c_void_p()
        runtime.call("nbl_context_create", runtime.session, byref(self.handle))

    def run(self, inputs, entry=0):
        """inputs: name -> array; returns name -> array."""
        rt, entry = self.runtime, c_uint32(entry)
        for i, port in enumerate(rt.ports("input", rt.lib.nbl_engine_input_count(rt.engine, entry), entry)):
            data = np.ascontiguousarray(inputs[port.name.decode()], NUMPY[port.dtype.decode()])
            rt.call("nbl_context_set_input", self.handle, entry, c_uint32(i), data.ctypes.data_as(c_void_p), c_uint64(data.nbytes))
        rt.call("nbl_context_run", self.handle, entry)
        outputs = {}
        for i, port in enumerate(rt.ports("output", rt.lib.nbl_engine_output_count(rt.engine, entry), entry)):
            data = port.array()
            rt.call("nbl_context_get_output", self.handle, entry, c_uint32(i), data.ctypes.data_as(c_void_p), c_uint64(data.nbytes))
            outputs[port.name.decode()] = data
        return outputs

    def states(self):
        """name -> array."""
        found = {}
        for i, port in enumerate(self.runtime.states):
            data = port.array()
            self.runtime.call("nbl_context_get_state", self.handle, c_uint32(i), data.ctypes.data_as(c_void_p), c_uint64(data.nbytes))
            found[port.name.decode()] = data
        return found

    def set_states(self, values):
        """values: name -> array, of some or all states."""
        for i, port in enumerate(self.runtime.states):
            if (value := values.get(port.name.decode())) is not None:
                data = np.ascontiguousarray(value, NUMPY[port.dtype.decode()])
                self.runtime.call("nbl_context_set_state", self.handle, c_uint32(i), data.ctypes.data_as(c_void_p), c_uint64(data.nbytes))

    def record(self, entries):
        """A recording of runs of entry points, one after the other (cuda, emu); replay() issues it."""
        recording, count = c_void_p(), len(entries)
        self.runtime.call("nbl_recording_create", (c_void_p * count)(*[self.handle] * count), (c_uint32 * count)(*entries),
                          c_uint32(count), byref(recording))
        return lambda: self.runtime.call("nbl_recording_replay", recording, c_uint32(1), None)

    def output(self, entry, index=0):
        port = self.runtime.ports("output", self.runtime.lib.nbl_engine_output_count(self.runtime.engine, c_uint32(entry)), c_uint32(entry))[index]
        data = port.array()
        self.runtime.call("nbl_context_get_output", self.handle, c_uint32(entry), c_uint32(index), data.ctypes.data_as(c_void_p), c_uint64(data.nbytes))
        return data

    def reset(self):
        self.runtime.call("nbl_context_reset_states", self.handle)
