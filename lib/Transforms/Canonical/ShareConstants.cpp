// share-constants: constants of equal type and bytes are one.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ConstantData.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Remarks.h"
#include "llvm/Support/xxhash.h"

#include <map>

namespace nibble {
#define GEN_PASS_DEF_SHARECONSTANTS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;
using remark::RemarkOpts;
using RemarkArg = remark::detail::Remark::Arg;

/// Bytes from the beginning and from the end that are hashed. Weights that
/// differ do so there; those that do not are compared byte by byte, and only
/// then are all pages of a mapped file read.
constexpr size_t hashedBytes = 4096;

/// Data of a constant op in the order codes, scales, global, zero points.
static SmallVector<ElementsAttr, 4> getParts(Operation *op) {
  if (auto constant = dyn_cast<ConstantOp>(op))
    return {constant.getCodes(), constant.getScales().value_or(nullptr),
            constant.getGlobal().value_or(nullptr),
            constant.getZeroPoints().value_or(nullptr)};
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    if (isa<RankedTensorType>(constant.getType()))
      return {dyn_cast<ElementsAttr>(constant.getValue()), nullptr, nullptr,
              nullptr};
  return {};
}

static uint64_t hashEnds(ElementsAttr attr) {
  SmallVector<char> scratch;
  auto bytes = getRawBytes(attr, scratch);
  if (failed(bytes))
    return 0;
  auto ends = [&](ArrayRef<char> part) {
    return llvm::xxh3_64bits(ArrayRef<uint8_t>(
        reinterpret_cast<const uint8_t *>(part.data()), part.size()));
  };
  return llvm::hash_combine(ends(bytes->take_front(hashedBytes)),
                            ends(bytes->take_back(hashedBytes)));
}

namespace {

/// Equal data becomes one attribute across the module, equal constants of a
/// function one op.
class Sharing {
public:
  void run(func::FuncOp function) {
    std::map<Key, SmallVector<Operation *>> kept;
    SmallVector<Operation *> constants;
    function.walk([&](Operation *op) {
      if (!getParts(op).empty() && getParts(op)[0])
        constants.push_back(op);
    });
    for (Operation *op : constants) {
      shareData(op);
      SmallVector<Operation *> &group = kept[keyOf(op)];
      Operation *same = findSame(group, op);
      if (!same) {
        group.push_back(op);
        continue;
      }
      merge(same, op);
    }
  }

private:
  /// Constants of different types are never the same.
  using Key = std::pair<const void *, SmallVector<const void *, 4>>;

  static Key keyOf(Operation *op) {
    Key key{op->getResult(0).getType().getAsOpaquePointer(), {}};
    for (ElementsAttr part : getParts(op))
      key.second.push_back(part ? part.getAsOpaquePointer() : nullptr);
    return key;
  }

  static Operation *findSame(ArrayRef<Operation *> group, Operation *op) {
    // Keys hold the attributes, which are unique by now.
    for (Operation *candidate : group)
      if (candidate->getBlock() == op->getBlock())
        return candidate;
    return nullptr;
  }

  static void merge(Operation *kept, Operation *op) {
    remark::passed(op->getLoc(),
                   RemarkOpts::name("share-constants").category("nibble"))
        << RemarkArg("layer", getLayerName(op->getLoc()))
        << RemarkArg(
               "chosen",
               ("the constant of '" + getLayerName(kept->getLoc()) + "'").str())
        << RemarkArg("rejected", "a second copy")
        << RemarkArg("bytes", getStorageRegions(cast<RankedTensorType>(
                                                    op->getResult(0).getType()))
                                  .total)
        << RemarkArg("reason", "equal type and equal bytes");
    op->getResult(0).replaceAllUsesWith(kept->getResult(0));
    op->erase();
  }

  /// Points the parts of `op` to the first attribute with the same bytes.
  void shareData(Operation *op) {
    if (auto constant = dyn_cast<ConstantOp>(op)) {
      constant.setCodesAttr(unify(constant.getCodes()));
      if (auto scales = constant.getScales())
        constant.setScalesAttr(unify(*scales));
      if (auto global = constant.getGlobal())
        constant.setGlobalAttr(unify(*global));
      if (auto zeros = constant.getZeroPoints())
        constant.setZeroPointsAttr(unify(*zeros));
    } else if (auto plain = dyn_cast<arith::ConstantOp>(op)) {
      plain.setValueAttr(
          cast<TypedAttr>(unify(cast<ElementsAttr>(plain.getValue()))));
    }
  }

  ElementsAttr unify(ElementsAttr attr) {
    SmallVector<ElementsAttr> &seen =
        known[{attr.getType().getAsOpaquePointer(), hashEnds(attr)}];
    for (ElementsAttr other : seen)
      if (hasSameBytes(other, attr))
        return other;
    seen.push_back(attr);
    return attr;
  }

  std::map<std::pair<const void *, uint64_t>, SmallVector<ElementsAttr>> known;
};

struct ShareConstantsPass
    : nibble::impl::ShareConstantsBase<ShareConstantsPass> {
  void runOnOperation() override {
    Sharing sharing;
    for (auto function : getOperation().getOps<func::FuncOp>())
      sharing.run(function);
  }
};

} // namespace
