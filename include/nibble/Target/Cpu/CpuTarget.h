// From kernels in MLIR to one self-contained ELF shared object.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TARGET_CPU_CPUTARGET_H
#define NIBBLE_TARGET_CPU_CPUTARGET_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/Error.h"

#include <string>

namespace nibble {
namespace cpu {

/// Attribute of a func.func that is a kernel:
///
///   func.func @k(%a: memref<..static, identity layout..>, ...,
///                %lo: index, %hi: index, %scratch: memref<?xi8>)
///       attributes {nibble.kernel}
///
/// It becomes the exported symbol
///   void k(void *const *args, int64_t lo, int64_t hi, void *scratch)
/// where args[i] is the address of the i-th memref. The memrefs do not overlap,
/// unless the arguments carry `nibble.may_alias`. Buffers begin at multiples
/// of 64 bytes.
constexpr llvm::StringLiteral kKernelAttr = "nibble.kernel";
constexpr llvm::StringLiteral kMayAliasAttr = "nibble.may_alias";

struct CpuTargetOptions {
  /// An LLVM CPU name of the x86-64 family with FMA, or "native".
  std::string cpu = "x86-64-v3";
  /// LLVM features on top of the CPU's, for example "+avx512f,-avx2".
  std::string features;
  /// 0-3, as in clang.
  unsigned optLevel = 3;
  /// If set, receive the optimized LLVM IR and the assembly.
  std::string *llvmText = nullptr;
  std::string *asmText = nullptr;
};

/// What the code generator may use on `options.cpu`.
struct CpuFeatures {
  bool avx2 = false, fma = false, f16c = false, avx512 = false;
};
llvm::Expected<CpuFeatures> getCpuFeatures(const CpuTargetOptions &options);

/// Lowers kernels on func, memref, vector, scf, cf, arith, math, index and
/// affine ops (no tensors, no linalg) to the LLVM dialect and adds the exported
/// wrappers. Math functions become polynomials (see docs/cpu-target.md).
void buildCpuLowerKernelsPipeline(mlir::OpPassManager &pm);

/// Replaces math functions by polynomials, so that no libm is needed and loops
/// around them vectorize.
std::unique_ptr<mlir::Pass> createExpandMathPass();

/// createExpandMathPass; then arithmetic on f16 and bf16 is done in f32, and
/// conversions of the small formats become integer code, as LLVM would call a
/// library for them: `expandBf16`, those of bf16, too. Of the GPU targets as
/// well.
void addFloatLegalization(mlir::OpPassManager &pm, bool expandBf16);

/// Interfaces and dialects that `compileToSharedObject` needs in the context.
void registerCpuTarget(mlir::DialectRegistry &registry);

/// Passes of the pipeline that are ours, for nibble-opt.
void registerCpuTargetPasses();

/// Compiles all kernels of `module` (which is lowered in place; it may also be
/// in the LLVM dialect already) into an ELF shared object without imports.
/// Same module, same options: same bytes. The error has the text of all
/// diagnostics, and names symbols that nothing defines.
llvm::Expected<std::string>
compileToSharedObject(mlir::ModuleOp module, const CpuTargetOptions &options);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_TARGET_CPU_CPUTARGET_H
