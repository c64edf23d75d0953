// Walks over products with constant weights.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ConstantWeight.h"

#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/KernelSelect/Machine.h"

using namespace mlir;
using namespace nibble;

LogicalResult nibble::replaceGpuWeights(
    func::FuncOp entry, StringRef target,
    llvm::function_ref<bool(const Product &)> isCandidate,
    llvm::function_ref<LogicalResult(nq::RegionOp, nq::MatmulOp)> replace) {
  std::optional<Machine> machine = getMachine(target, entry);
  if (!machine)
    return failure();
  if (!machine->isGpu() || !entry->hasAttr(kEntryAttr))
    return success();
  for (nq::RegionOp region :
       llvm::to_vector(entry.front().getOps<nq::RegionOp>()))
    for (const Product &product : getProducts(region))
      if (hasConstantWeight(product.op) && isCandidate(product) &&
          failed(replace(region, product.op)))
        return failure();
  return success();
}
