// Plan -> engine file.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_ENGINE_WRITEENGINE_H
#define NIBBLE_ENGINE_WRITEENGINE_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Support/LLVM.h"

#include <string>
#include <vector>

namespace nibble {

struct WriteEngineOptions {
  std::string path;      ///< of the engine file
  std::string target;    ///< "cpu", "sm_90a"
  std::string model;     ///< file name of the source model
  std::string modelHash; ///< "xxh3:..." of its bytes
  std::string command;   ///< full command that makes this engine again
  std::string report;    ///< JSON for `explain`
  /// For GPUs: a cubin of the same kernels, or empty. The PTX is for devices of
  /// another architecture, and for the emulated one.
  std::string cubin;
  /// For GPUs: a kernel behind another one may begin before that ends
  /// (docs/gpu-launches.md).
  bool overlap = false;
  /// Vector features that the code needs, if not those of x86-64-v3.
  std::vector<std::string> cpuFeatures;
};

/// Writes the entry points of `module` (launches with extents or grids, and
/// addresses, see dialects/Exec) with the code in `object`: an ELF shared
/// object, or PTX for other targets than the CPU.
/// Constants are packed into their layouts while they stream to disk. Errors
/// are diagnostics; no file is left behind on failure.
mlir::LogicalResult writeEngine(mlir::ModuleOp module, llvm::StringRef object,
                                const WriteEngineOptions &options);

/// Type of a value as the runtime spells it: "f32", "i64", "!nq.nvfp4".
/// `dtype` is the ONNX type of a port ("uint8") or "".
std::string getRuntimeType(mlir::RankedTensorType type, llvm::StringRef dtype);

} // namespace nibble

#endif // NIBBLE_ENGINE_WRITEENGINE_H
