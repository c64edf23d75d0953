# Engines through the C interface of the runtime, by ctypes; what an engine holds, by nibble-run.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import ctypes
import json
import subprocess
from ctypes import POINTER, byref, c_char_p, c_double, c_int64, c_uint32, c_uint64, c_void_p
from pathlib import Path


def find(folder, *names):
    for name in names:
        if (Path(folder) / name).exists():
            return Path(folder) / name
    raise SystemExit(f"error: no {' or '.join(names)} in {folder}")


class Runtime:
    """The library and nibble-run of a build folder or a bundle."""

    def __init__(self, folder):
        self.program = find(folder, "bin/nibble-run", "nibble-run").resolve()
        self.lib = ctypes.CDLL(str(find(folder, "lib/libnibble_rt.so", "libnibble_rt.so").resolve()))
        self.lib.nbl_status_message.restype = self.lib.nbl_device_description.restype = c_char_p

    def call(self, name, *arguments):
        function = getattr(self.lib, name)
        function.restype = c_void_p
        status = function(*arguments)
        if status:
            message = self.lib.nbl_status_message(c_void_p(status)).decode()
            self.lib.nbl_status_free(c_void_p(status))
            raise RuntimeError(message)

    def inspect(self, path):
        done = subprocess.run([str(self.program), "inspect", str(path), "--launches", "--json"], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        return json.loads(done.stdout)


class Device:
    """`stream`: a cudaStream_t as a number, for work in order with a framework's; None: a stream of its own."""

    def __init__(self, runtime, name, stream=None):
        self.runtime, self.handle = runtime, c_void_p()
        if stream is None:
            runtime.call("nbl_device_create", name.encode(), c_uint32(0), byref(self.handle))
        else:
            runtime.call("nbl_device_create_on_stream", name.encode(), c_void_p(stream), byref(self.handle))
        self.description = runtime.lib.nbl_device_description(self.handle).decode()


class Session:
    """An engine on a device. `info` is what inspect says of it."""

    def __init__(self, device, path):
        self.device, self.runtime = device, device.runtime
        self.info = self.runtime.inspect(path)
        self.engine, self.handle = c_void_p(), c_void_p()
        self.runtime.call("nbl_engine_load", str(path).encode(), c_uint32(0), byref(self.engine))
        self.runtime.call("nbl_session_create", self.engine, device.handle, byref(self.handle))

    def context(self):
        return Context(self)


class Context:
    def __init__(self, session):
        self.session, self.runtime, self.handle = session, session.runtime, c_void_p()
        self.runtime.call("nbl_context_create", session.handle, byref(self.handle))

    def bind(self, entry, inputs, outputs):
        """Device addresses and sizes of all ports, as (address, bytes)."""
        for kind, ports in (("input", inputs), ("output", outputs)):
            for i, (address, size) in enumerate(ports):
                self.runtime.call(f"nbl_context_bind_{kind}", self.handle, c_uint32(entry), c_uint32(i), c_void_p(address), c_uint64(size))

    def set_input(self, entry, i, data):
        """data: a contiguous numpy array."""
        self.runtime.call("nbl_context_set_input", self.handle, c_uint32(entry), c_uint32(i), data.ctypes.data_as(c_void_p), c_uint64(data.nbytes))

    def get_output(self, entry, i, data):
        self.runtime.call("nbl_context_get_output", self.handle, c_uint32(entry), c_uint32(i), data.ctypes.data_as(c_void_p), c_uint64(data.nbytes))

    def enqueue(self, entry):
        self.runtime.call("nbl_context_enqueue", self.handle, c_uint32(entry))

    def run(self, entry):
        self.runtime.call("nbl_context_run", self.handle, c_uint32(entry))

    def close(self):
        self.runtime.lib.nbl_context_free(self.handle)
        self.handle = c_void_p()


class Recording:
    """Runs of (context, entry), issued as one."""

    def __init__(self, runs):
        self.runtime, self.handle = runs[0][0].runtime, c_void_p()
        self.contexts = (c_void_p * len(runs))(*[c.handle for c, _ in runs])
        entries = (c_uint32 * len(runs))(*[e for _, e in runs])
        self.runtime.call("nbl_recording_create", self.contexts, entries, c_uint32(len(runs)), byref(self.handle))

    def seconds(self, replays=1):
        time = c_double()
        self.runtime.call("nbl_recording_replay", self.handle, c_uint32(replays), byref(time))
        return time.value

    def close(self):
        self.runtime.lib.nbl_recording_free(self.handle)
