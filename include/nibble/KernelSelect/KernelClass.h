// Kernel classes: what they take, on which target, and which layouts they need.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_KERNELSELECT_KERNELCLASS_H
#define NIBBLE_KERNELSELECT_KERNELCLASS_H

#include "nibble/KernelSelect/Machine.h"
#include "nibble/KernelSelect/Product.h"

namespace nibble {

/// How the numbers that a kernel multiplies relate to those of the model.
enum class Fidelity {
  Native,   ///< the matrix unit multiplies the model's own codes
  Expanded, ///< codes are expanded to a wider format, exactly
  Lossy     ///< codes are rounded to another format: never chosen unasked
};

struct KernelClass {
  llvm::StringLiteral name; ///< "gemm.tcgen05.mxf4nvf4"
  TargetFamily family;
  llvm::StringLiteral regionKind; ///< of nq.region; "*" takes all the others
  MathFormat math;
  Fidelity fidelity;
  /// "" if the class covers the region, or the predicate that failed, with its
  /// numbers.
  std::string (*whyNot)(nq::RegionOp region);
  /// Layouts of operands and results; null: all row-major, results any.
  nq::RequiredLayouts (*layouts)(nq::RegionOp region);
};

/// All classes of a family, the preferred ones first.
llvm::ArrayRef<KernelClass> getKernelClasses(TargetFamily family);

struct RejectedKernel {
  std::string kernel, reason;
};

/// What `chooseKernel` found. `kernel` is null if nothing covers the region.
struct KernelChoice {
  const KernelClass *kernel = nullptr;
  std::string requested; ///< formats of the model, or of the policy
  std::string chosen;    ///< formats that are multiplied
  std::string reason, suggestion;
  bool asRequested = true;
  llvm::SmallVector<RejectedKernel> rejected;
};

/// The first class of the target that covers the region and keeps its values. A
/// lossy class is taken in place of one that expands, if the region carries
/// the permission for its format (kPermittedAttr).
KernelChoice chooseKernel(nq::RegionOp region, const Machine &machine);

/// Layers whose products a region computes; the region's own if it has none. A
/// permission for a region needs the permission of each.
llvm::SmallVector<llvm::StringRef> getProductLayers(nq::RegionOp region);
/// True if the region carries the permission to fall to `format`.
bool isPermitted(nq::RegionOp region, llvm::StringRef format);

/// Makes nq.region answer for its layouts (nq::LayoutInterface).
void registerKernelLayouts(mlir::DialectRegistry &registry);

} // namespace nibble

#endif // NIBBLE_KERNELSELECT_KERNELCLASS_H
