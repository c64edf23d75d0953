// What a kernel of the plan becomes on a GPU: launches and their parameters.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A kernel of the plan is a func.func on tensors (what `select` outlined). A
// generator writes it as one or more kernels into a `gpu.module`, each either a
// `gpu.func kernel` (on memrefs, lowered by buildGpuLowerKernelsPipeline) or an
// `llvm.func` with `nvvm.kernel`, and says how they are launched. Launches of
// one kernel run one after the other; what they hand over lies in the
// workspace.
//
// A launch may begin before the one before it ends:
// buildGpuLowerKernelsPipeline lets every kernel wait where it begins
// (gpu-overlap-launches), unless it has an nvvm.griddepcontrol wait of its own,
// before which no thread may read or write global memory.
#ifndef NIBBLE_CONVERSION_NQTOGPU_GPUKERNEL_H
#define NIBBLE_CONVERSION_NQTOGPU_GPUKERNEL_H

#include "mlir/Support/LLVM.h"
#include "llvm/ADT/SmallVector.h"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace nibble {
namespace gpu {

/// What cuTensorMapEncodeTiled is given, with CUDA's numbers for enumerations.
struct TensorMap {
  enum Type {
    U8 = 0,
    U16 = 1,
    U32 = 2,
    F16 = 6,
    F32 = 7,
    BF16 = 9,
    U4x16 = 13,
    U4x16Spread = 14 ///< 8 bytes of 16 elements, then 8 bytes nothing
  };
  enum Swizzle { None = 0, Bytes32 = 1, Bytes64 = 2, Bytes128 = 3 };
  int64_t type = U8, swizzle = None;
  int64_t l2Promotion = 2;            ///< 128 bytes
  llvm::SmallVector<int64_t> sizes;   ///< elements, fastest dimension first
  llvm::SmallVector<int64_t> strides; ///< bytes, of dimensions 1 and up
  llvm::SmallVector<int64_t> box;     ///< elements
};

/// One parameter.
struct KernelArg {
  enum Kind { Pointer, Bytes, Map };
  Kind kind = Pointer;
  /// Pointer, Map: which buffer. Operands of the kernel function come first,
  /// then its results, then the workspace, then the counters.
  unsigned value = 0;
  int64_t offset = 0;               ///< bytes behind the buffer's address
  llvm::SmallVector<uint8_t> bytes; ///< Bytes: a scalar as it lies in memory
  TensorMap map;

  static KernelArg pointer(unsigned value, int64_t offset = 0) {
    KernelArg arg;
    arg.value = value;
    arg.offset = offset;
    return arg;
  }
  static KernelArg tensorMap(unsigned value, TensorMap map,
                             int64_t offset = 0) {
    KernelArg arg = pointer(value, offset);
    arg.kind = Map;
    arg.map = std::move(map);
    return arg;
  }
};

struct KernelLaunch {
  std::string symbol; ///< in the gpu.module
  std::array<int64_t, 3> grid = {1, 1, 1}, block = {1, 1, 1},
                         cluster = {1, 1, 1};
  int64_t sharedBytes = 0; ///< dynamic shared memory
  std::vector<KernelArg> args;
};

struct GpuKernel {
  std::vector<KernelLaunch> launches;
  int64_t workspaceBytes = 0; ///< 256-byte aligned; uninitialized
  /// Zeros when the first launch begins, and when the last one is done. Shared
  /// with all other kernels.
  int64_t counterBytes = 0;
  static constexpr int64_t kMostCounterBytes = 4096;
  int64_t flops = 0;
};

/// What generators may count on.
struct GpuTarget {
  std::string chip = "sm_90a";
  int64_t multiprocessors = 132;
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_CONVERSION_NQTOGPU_GPUKERNEL_H
