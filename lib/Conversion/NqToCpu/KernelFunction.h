// The function on memory that a kernel becomes, and the buffers of its tensors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_KERNELFUNCTION_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_KERNELFUNCTION_H

#include "KernelBuffers.h"
#include "nibble/Conversion/NqToCpu/KernelToLoops.h"

namespace nibble {
namespace cpu {

/// Makes the function (see lowerKernelToLoops) and shares out its arguments,
/// its scratch and the range [low, high) of a launch.
class KernelFunction : public KernelBuffers {
public:
  /// An empty function at the end of `target`; `b` stands in its body. With
  /// `bytes`, operands are buffers of bytes whatever they hold.
  KernelFunction(mlir::func::FuncOp kernel, mlir::ModuleOp target,
                 llvm::StringRef name, bool bytes = false);

  /// Buffers of the operands, the results and the constants.
  void bindArguments(KernelGraph &graph, const KernelStages &stages);
  /// A piece of the scratch, 64-byte aligned.
  void bindScratch(Tensor &tensor);
  mlir::Value getLow() { return function.getArguments().end()[-3]; }
  mlir::Value getHigh() { return function.getArguments().end()[-2]; }
  mlir::Value getScratch() { return function.getArguments().end()[-1]; }

  /// The part of the launch's range that covers the next `units` of `total`
  /// units, which begin at 0 then.
  std::pair<mlir::Value, mlir::Value> claim(int64_t units, int64_t total);
  /// The grain of a launch is that of its largest part.
  void noteGrain(int64_t grain, int64_t work);
  /// All units of nests that do not depend on each other.
  void emitUnits(Nest &nest, int64_t total);
  void finish();

  mlir::func::FuncOp function;
  KernelInfo info;

private:
  std::string name;
  int64_t mostWork = 0;
};

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_KERNELFUNCTION_H
