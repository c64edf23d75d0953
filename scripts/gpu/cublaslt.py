# cuBLASLt through ctypes: every algorithm that its heuristic lists, with fast accumulation for FP8.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
import ctypes as C

# cudaDataType_t, cublasComputeType_t and attributes of cublasLtMatmulDesc: library_types.h, cublas_api.h, cublasLt.h.
TYPES = dict(f32=0, f16=2, bf16=14, e4m3=28)
COMPUTE_32F = 68
TRANSA, TRANSB, A_SCALE, B_SCALE, FAST_ACCUM = 3, 4, 17, 18, 25
PREF_WORKSPACE = 1
WORKSPACE = 64 << 20


class Result(C.Structure):
    _fields_ = [("algo", C.c_uint64 * 8), ("workspace", C.c_size_t), ("state", C.c_int), ("waves", C.c_float), ("reserved", C.c_int * 4)]


class Matmul:
    """d[m,n] = a[m,k] b[n,k]^T (times scales, for e4m3); tensors are row-major and on the GPU."""

    def __init__(self, torch, m, n, k, operand, result, a_scale=None, b_scale=None):
        self.torch, self.lt = torch, C.CDLL("libcublasLt.so.13")
        self.handle, self.desc = C.c_void_p(), C.c_void_p()
        self.check(self.lt.cublasLtCreate(C.byref(self.handle)), "create")
        self.check(self.lt.cublasLtMatmulDescCreate(C.byref(self.desc), COMPUTE_32F, TYPES["f32"]), "descriptor")
        self.set(TRANSA, 1, C.c_int32)
        self.set(TRANSB, 0, C.c_int32)
        if operand == "e4m3":
            self.set(FAST_ACCUM, 1, C.c_int8)
            self.set(A_SCALE, b_scale.data_ptr(), C.c_uint64)  # their A is our b
            self.set(B_SCALE, a_scale.data_ptr(), C.c_uint64)
        self.layouts = [self.layout(TYPES[operand], k, n, k), self.layout(TYPES[operand], k, m, k), self.layout(TYPES[result], n, m, n)]
        self.workspace = torch.empty(WORKSPACE, dtype=torch.uint8, device="cuda")
        self.keep = (a_scale, b_scale)
        self.algorithms = self.heuristic()

    def check(self, status, what):
        if status:
            raise RuntimeError(f"cublasLt {what}: status {status}")

    def set(self, attribute, value, kind):
        x = kind(value)
        self.check(self.lt.cublasLtMatmulDescSetAttribute(self.desc, attribute, C.byref(x), C.sizeof(x)), f"attribute {attribute}")

    def layout(self, kind, rows, columns, stride):
        x = C.c_void_p()
        self.check(self.lt.cublasLtMatrixLayoutCreate(C.byref(x), kind, C.c_uint64(rows), C.c_uint64(columns), C.c_int64(stride)), "layout")
        return x

    def heuristic(self, most=100):
        preference, size = C.c_void_p(), C.c_size_t(WORKSPACE)
        self.check(self.lt.cublasLtMatmulPreferenceCreate(C.byref(preference)), "preference")
        self.check(self.lt.cublasLtMatmulPreferenceSetAttribute(preference, PREF_WORKSPACE, C.byref(size), 8), "preference")
        results, found = (Result * most)(), C.c_int()
        weights, tokens, out = self.layouts
        self.check(self.lt.cublasLtMatmulAlgoGetHeuristic(self.handle, self.desc, weights, tokens, out, out, preference, most, results, C.byref(found)),
                   "heuristic")
        return [r for r in results[:found.value] if r.state == 0]

    def run(self, algorithm, a, b, d):
        """Enqueues it on torch's current stream."""
        one, zero, P = C.c_float(1), C.c_float(0), C.c_void_p
        weights, tokens, out = self.layouts
        self.check(self.lt.cublasLtMatmul(
            self.handle, self.desc, C.byref(one), P(b.data_ptr()), weights, P(a.data_ptr()), tokens, C.byref(zero), P(d.data_ptr()), out, P(d.data_ptr()), out,
            C.byref(algorithm.algo), P(self.workspace.data_ptr()), C.c_size_t(WORKSPACE), P(self.torch.cuda.current_stream().cuda_stream)), "matmul")

    def best(self, a, bs, d, launches=6, rounds=3):
        """The fastest algorithm, by a few launches of each."""
        torch, times = self.torch, []
        for algorithm in self.algorithms:
            try:
                self.run(algorithm, a, bs[0], d)
            except RuntimeError:
                continue  # the heuristic lists some that do not take the shape
            torch.cuda.synchronize()
            best = float("inf")
            for _ in range(rounds):
                start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
                start.record()
                for i in range(launches):
                    self.run(algorithm, a, bs[i % len(bs)], d)
                end.record()
                end.synchronize()
                best = min(best, start.elapsed_time(end))
            times.append((best, len(times), algorithm))
        if not times:
            raise RuntimeError("cublasLt: no algorithm of the list runs")
        return min(times)[2]
