// permit-fallbacks: the user's permissions, on the regions they are for.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/KernelSelect/KernelClass.h"
#include "nibble/KernelSelect/Passes.h"
#include "nibble/Support/FallbackPolicy.h"
#include "nibble/Transforms/Quantize/LayerFormat.h"

#include "mlir/IR/Builders.h"

namespace nibble {
#define GEN_PASS_DEF_PERMITFALLBACKS
#include "lib/KernelSelect/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {
struct PermitFallbacksPass
    : nibble::impl::PermitFallbacksBase<PermitFallbacksPass> {
  using nibble::impl::PermitFallbacksBase<
      PermitFallbacksPass>::PermitFallbacksBase;
  explicit PermitFallbacksPass(const FallbackPolicy *fallbacks)
      : fallbacks(fallbacks) {}

  void runOnOperation() override {
    FallbackPolicy own;
    if (!permissions.empty()) {
      auto parsed = FallbackPolicy::parse(
          std::vector<std::string>(permissions.begin(), permissions.end()),
          getPrecisionNames());
      if (!parsed) {
        getOperation().emitError() << llvm::toString(parsed.takeError());
        return signalPassFailure();
      }
      own = std::move(*parsed);
    }
    const FallbackPolicy *policy = permissions.empty() ? fallbacks : &own;
    if (policy)
      for (auto region : getOperation().getOps<nq::RegionOp>())
        permit(region, *policy);
  }

  /// What all of the region's products may fall to.
  static void permit(nq::RegionOp region, const FallbackPolicy &policy) {
    SmallVector<StringRef> layers = getProductLayers(region);
    SmallVector<StringRef> formats = policy.formatsFor(layers.front());
    for (StringRef layer : llvm::drop_begin(layers))
      llvm::erase_if(formats, [&](StringRef format) {
        return !llvm::is_contained(policy.formatsFor(layer), format);
      });
    if (!formats.empty())
      region->setAttr(kPermittedAttr,
                      Builder(region.getContext()).getStrArrayAttr(formats));
  }

  const FallbackPolicy *fallbacks = nullptr;
};
} // namespace

std::unique_ptr<Pass>
nibble::createPermitFallbacksPass(const FallbackPolicy *fallbacks) {
  return std::make_unique<PermitFallbacksPass>(fallbacks);
}
