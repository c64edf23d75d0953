// From kernels in MLIR to PTX.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TARGET_GPU_GPUTARGET_H
#define NIBBLE_TARGET_GPU_GPUTARGET_H

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace nibble {
namespace gpu {

struct GpuCodeOptions {
  /// LLVM's name of the chip: "sm_90a", "sm_100a", "sm_110a".
  std::string chip = "sm_90a";
  /// 1-3; the back end without optimization makes ptxas serialize wgmma.
  unsigned optLevel = 3;
  /// If set, receives the optimized LLVM IR.
  std::string *llvmText = nullptr;
};

/// Nested in a gpu.module: kernels on arith, math, memref, scf, vector, gpu,
/// nvgpu and nvvm to the LLVM dialect. A memref argument of a `gpu.func kernel`
/// (static shape, identity layout) becomes one parameter, the address of its
/// buffer; buffers begin at multiples of 64 bytes. f32's exp, exp2,
/// tanh and erf use instructions, good to 1e-6 (docs/numerics.md); other math
/// functions become polynomials, the same as on the CPU (docs/cpu-target.md).
/// Kernels may overlap: each waits for those before it (docs/gpu-launches.md).
void buildGpuLowerKernelsPipeline(mlir::OpPassManager &pm);

/// Passes of the pipeline that are ours, and the pipeline, for nibble-opt.
void registerGpuTargetPasses();

/// Interfaces and dialects that `emitPtx` needs in the context.
void registerGpuTarget(mlir::DialectRegistry &registry);

/// PTX 9.0 of all kernels of `module` (which is lowered in place; it may be in
/// the LLVM dialect already). Same module, same options: same bytes. The error
/// has the text of all diagnostics.
llvm::Expected<std::string> emitPtx(mlir::gpu::GPUModuleOp module,
                                    const GpuCodeOptions &options);

/// What ptxas says of one kernel.
struct KernelResources {
  std::string symbol;
  int64_t registers = 0, stackBytes = 0, spillBytes = 0, sharedBytes = 0;
};
/// A cubin, and what ptxas told about it.
struct Assembled {
  std::string cubin;
  std::vector<KernelResources> kernels;
  /// Warnings: C75xx say that ptxas serialized wgmma.
  std::vector<std::string> warnings;
};
/// Runs the assembler `ptxas` (a path) on PTX. An error names its message.
llvm::Expected<Assembled> assemble(llvm::StringRef ptx, llvm::StringRef chip,
                                   llvm::StringRef ptxas);
/// Path of ptxas: $NIBBLE_PTXAS, in $CUDA_HOME/bin, in PATH, or in
/// /usr/local/cuda/bin; empty if there is none.
std::string findPtxas();

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_TARGET_GPU_GPUTARGET_H
