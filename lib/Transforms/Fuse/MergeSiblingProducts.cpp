// merge-sibling-products: products of one activation become one, with the
// weights side by side.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "../Canonical/ConstantData.h"
#include "ColumnSlices.h"
#include "JoinConstants.h"

#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/OperationSupport.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

namespace nibble {
#define GEN_PASS_DEF_MERGESIBLINGPRODUCTS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {

using Products = SmallVector<nq::MatmulOp>;

RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

std::string nameOf(Operation *op) {
  return "'" + getLayerName(op->getLoc()).str() + "'";
}

std::string namesOf(ArrayRef<nq::MatmulOp> products) {
  return llvm::join(llvm::map_range(products,
                                    [](nq::MatmulOp op) {
                                      return getLayerName(op.getLoc()).str();
                                    }),
                    ", ");
}

//===----------------------------------------------------------------------===//
// Which products
//===----------------------------------------------------------------------===//

bool isCandidate(nq::MatmulOp op) {
  return op.getEpilogue().empty() && op.getExtras().empty() &&
         typeOf(op.getB()).getRank() == 2 &&
         fuse::ConstantParts::of(op.getB()) &&
         !typeOf(op.getResult()).getEncoding();
}

/// What has to be equal besides A: it decides which group a product is in.
bool areAlike(nq::MatmulOp a, nq::MatmulOp b) {
  return a.getTransposeB() == b.getTransposeB() &&
         typeOf(a.getB()).getElementType() ==
             typeOf(b.getB()).getElementType() &&
         typeOf(a.getResult()).getElementType() ==
             typeOf(b.getResult()).getElementType() &&
         a->getBlock() == b->getBlock();
}

/// Elementwise ops that compute from `value` at its own index.
void findElementwise(Value value, llvm::SetVector<Operation *> &found) {
  for (Operation *user : value.getUsers())
    if (user->getBlock() == value.getParentBlock() &&
        fuse::isElementwise(user) && fuse::readsSameIndex(user, value) &&
        found.insert(user))
      findElementwise(user->getResult(0), found);
}

/// Elements of both meet, as gate and up do: one kernel forms their product on
/// the accumulators (fuse-gated-mlp), which two slices of one would not allow.
Operation *findMeeting(nq::MatmulOp a, nq::MatmulOp b) {
  llvm::SetVector<Operation *> ofA, ofB;
  findElementwise(a.getResult(), ofA);
  findElementwise(b.getResult(), ofB);
  for (Operation *op : ofA)
    if (ofB.contains(op))
      return op;
  return nullptr;
}

/// A slice is a view only for readers that compute addresses.
std::string whyNotSliced(Value value) {
  for (const fuse::MovedReader &reader : fuse::getMovedReaders(value)) {
    // A transposition is a kernel's work either way: its stores.
    if (reader.isTransposed())
      continue;
    std::string why = isa<nq::RegionOp>(reader.op)
                          ? "a kernel that is already formed reads it"
                          : fuse::whyNotReadInPlace(reader.op);
    if (!why.empty())
      return "a slice of the result of " + nameOf(value.getDefiningOp()) +
             " would have to be copied: " + why;
  }
  return "";
}

//===----------------------------------------------------------------------===//
// Epilogues
//===----------------------------------------------------------------------===//

/// Elementwise ops that do the same to all of several values of one shape but
/// for the number of columns.
class Epilogues {
public:
  explicit Epilogues(ArrayRef<Value> values) : values(values) {}

  /// The one that alone reads each value; false if they differ, or if a slice
  /// of what they compute would have to be copied: better computed there.
  bool find() {
    for (Value value : values) {
      auto op =
          dyn_cast_if_present<linalg::GenericOp>(fuse::getOnlyUser(value));
      if (!op || !fuse::isElementwise(op) || !fuse::readsSameIndex(op, value) ||
          llvm::is_contained(ops, op))
        return false;
      ops.push_back(op);
    }
    return llvm::all_of(
               llvm::drop_begin(ops),
               [&](linalg::GenericOp op) { return isLikeFirst(op); }) &&
           llvm::all_of(getCaptured(),
                        [](Value value) {
                          Operation *op = value.getDefiningOp();
                          return op && op->hasTrait<OpTrait::ConstantLike>();
                        }) &&
           joinOperands();
  }

  /// One op on all columns, behind `joined`.
  Value create(OpBuilder &builder, Value joined) const {
    linalg::GenericOp first = ops.front();
    SmallVector<Operation *> all(ops.begin(), ops.end());
    Location loc = fuse::getSiblingsLocation(all);
    auto shape = typeOf(joined).getShape();
    SmallVector<Value> inputs;
    for (auto [i, constant] : llvm::enumerate(constants))
      inputs.push_back(constant ? constant->create(builder, loc) : joined);
    Type element = typeOf(first.getResult(0)).getElementType();
    Value empty = tensor::EmptyOp::create(builder, loc, shape, element);
    IRMapping mapping;
    for (Value value : getCaptured())
      builder.clone(*value.getDefiningOp(), mapping);
    auto op = linalg::GenericOp::create(builder, loc, empty.getType(), inputs,
                                        empty, first.getIndexingMapsArray(),
                                        first.getIteratorTypesArray());
    first.getRegion().cloneInto(&op.getRegion(), mapping);
    return op.getResult(0);
  }

  ArrayRef<linalg::GenericOp> getOps() const { return ops; }

private:
  /// What bodies read from outside; equal in all of them.
  llvm::SetVector<Value> getCaptured() const {
    llvm::SetVector<Value> captured;
    linalg::GenericOp first = ops.front();
    getUsedValuesDefinedAbove(first.getRegion(), captured);
    return captured;
  }

  bool isLikeFirst(linalg::GenericOp op) const {
    linalg::GenericOp first = ops.front();
    return op.getNumDpsInputs() == first.getNumDpsInputs() &&
           op.getIndexingMapsArray() == first.getIndexingMapsArray() &&
           typeOf(op.getResult(0)).getElementType() ==
               typeOf(first.getResult(0)).getElementType() &&
           OperationEquivalence::isRegionEquivalentTo(
               &op.getRegion(), &first.getRegion(),
               OperationEquivalence::IgnoreLocations);
  }

  /// The values themselves stay empty; further operands must be constants.
  bool joinOperands() {
    unsigned columns = typeOf(values.front()).getRank() - 1;
    for (unsigned i = 0; i < unsigned(ops.front().getNumDpsInputs()); ++i) {
      SmallVector<Value> operands;
      unsigned own = 0;
      for (auto [op, value] : llvm::zip(ops, values)) {
        operands.push_back(op.getDpsInputs()[i]);
        own += operands.back() == value;
      }
      constants.emplace_back();
      if (own == ops.size())
        continue;
      AffineMap map = ops.front().getIndexingMapsArray()[i];
      if (own || !joinOperand(operands, map, columns))
        return false;
    }
    return true;
  }

  bool joinOperand(ArrayRef<Value> operands, AffineMap map, unsigned columns) {
    auto first = fuse::ConstantParts::of(operands.front());
    if (!first || first->scales)
      return false;
    if (!map.isFunctionOfDim(columns)) {
      constants.back() = first;
      return llvm::all_of(operands, [&](Value operand) {
        return isSameValue(operand, operands.front());
      });
    }
    unsigned last = map.getNumResults() - 1;
    auto inFront = llvm::to_vector(llvm::seq<unsigned>(last));
    if (map.getResult(last) != getAffineDimExpr(columns, map.getContext()) ||
        map.getSubMap(inFront).isFunctionOfDim(columns))
      return false;
    std::string why;
    constants.back() = fuse::joinConstants(operands, last, why);
    return constants.back().has_value();
  }

  ArrayRef<Value> values;
  SmallVector<linalg::GenericOp> ops;
  /// Nothing where the values are.
  SmallVector<std::optional<fuse::ConstantParts>> constants;
};

//===----------------------------------------------------------------------===//
// Pass
//===----------------------------------------------------------------------===//

struct MergeSiblingProductsPass
    : nibble::impl::MergeSiblingProductsBase<MergeSiblingProductsPass> {
  void runOnOperation() override {
    llvm::MapVector<Value, std::vector<Products>> byInput;
    for (auto op : getOperation().front().getOps<nq::MatmulOp>()) {
      if (!isCandidate(op))
        continue;
      std::vector<Products> &groups = byInput[op.getA()];
      auto group = llvm::find_if(groups, [&](const Products &products) {
        return areAlike(products.front(), op);
      });
      if (group == groups.end())
        groups.push_back({op});
      else
        group->push_back(op);
    }
    for (auto &[input, groups] : byInput)
      for (Products &group : groups)
        mergeGroup(group);
  }

  void refuse(nq::MatmulOp product, const std::string &why) {
    remarkMissed(product.getLoc(), getArgument())
        << RemarkArg("chosen", "a product of its own")
        << RemarkArg("rejected", "one product with its siblings")
        << RemarkArg("reason", why);
  }

  void mergeGroup(Products &group) {
    if (group.size() < 2)
      return;
    Products kept;
    for (nq::MatmulOp product : group)
      if (std::string why = whyNotOne(product, group); !why.empty())
        refuse(product, why);
      else
        kept.push_back(product);
    if (kept.size() > 1)
      merge(kept);
  }

  static std::string whyNotOne(nq::MatmulOp product,
                               ArrayRef<nq::MatmulOp> all) {
    for (nq::MatmulOp other : all)
      if (other != product)
        if (Operation *meeting = findMeeting(product, other))
          return "'" + meeting->getName().getStringRef().str() + "' of layer " +
                 nameOf(meeting) + " combines its elements with those of " +
                 nameOf(other) + ": they are products of one kernel";
    return whyNotSliced(product.getResult());
  }

  void merge(ArrayRef<nq::MatmulOp> products) {
    SmallVector<Value> values = llvm::map_to_vector(
        products, [](nq::MatmulOp op) -> Value { return op.getResult(); });
    Epilogues epilogues(values);
    bool isJoined = epilogues.find();
    std::string why =
        products.size() == 2 && !isJoined ? whyNotPair(products) : "";
    std::optional<fuse::ConstantParts> weight;
    if (why.empty())
      weight = joinWeights(products, why);
    if (weight)
      return replace(products, *weight, isJoined ? &epilogues : nullptr);
    for (nq::MatmulOp op : products)
      refuse(op, why);
  }

  static std::optional<fuse::ConstantParts>
  joinWeights(ArrayRef<nq::MatmulOp> products, std::string &why) {
    nq::MatmulOp first = products.front();
    SmallVector<Value> weights;
    for (nq::MatmulOp op : products)
      weights.push_back(op.getB());
    return fuse::joinConstants(weights, first.getTransposeB() ? 0 : 1, why);
  }

  /// Two products with epilogues of their own are two kernels; joined, they
  /// are one, and another one for the epilogues.
  static std::string whyNotPair(ArrayRef<nq::MatmulOp> products) {
    for (nq::MatmulOp op : products) {
      Operation *user = fuse::getOnlyUser(op.getResult());
      if (user && fuse::isElementwise(user) &&
          fuse::readsSameIndex(user, op.getResult()))
        return "what follows " + nameOf(op) +
               " on its accumulators differs "
               "from what follows its sibling, and would become a kernel";
    }
    return "";
  }

  void replace(ArrayRef<nq::MatmulOp> products,
               const fuse::ConstantParts &weight, const Epilogues *epilogues) {
    nq::MatmulOp first = products.front();
    OpBuilder builder(first);
    SmallVector<Operation *> ops(products.begin(), products.end());
    Location loc = fuse::getSiblingsLocation(ops);
    std::string names = namesOf(products);
    bool hasChannels =
        weight.type.getElementType() != typeOf(first.getB()).getElementType();
    SmallVector<int64_t> shape(typeOf(first.getResult()).getShape());
    shape.back() = weight.type.getDimSize(first.getTransposeB() ? 0 : 1);
    Value constant = weight.create(builder, loc);
    auto joined = nq::MatmulOp::create(
        builder, loc, typeOf(first.getResult()).clone(shape), first.getA(),
        constant, first.getTransposeB());
    Value result = joined.getResult();
    SmallVector<Value> replaced;
    for (nq::MatmulOp op : products)
      replaced.push_back(op.getResult());
    if (epilogues) {
      result = epilogues->create(builder, result);
      for (auto [value, op] : llvm::zip(replaced, epilogues->getOps())) {
        linalg::GenericOp generic = op;
        value = generic.getResult(0);
      }
    }
    slice(builder, result, replaced);
    eraseOld(products, epilogues);
    remarkDone(loc, getArgument())
        << RemarkArg("chosen", "one product of " +
                                   std::to_string(shape.back()) + " columns")
        << RemarkArg("with", names)
        << RemarkArg("reason", reasonOf(hasChannels, epilogues));
  }

  static std::string reasonOf(bool hasChannels, const Epilogues *epilogues) {
    std::string reason =
        "they read the same input: one launch reads it once, readers take "
        "their columns in place";
    if (epilogues)
      reason += "; what follows is the same for all, and one op";
    if (hasChannels)
      reason += "; scales per tensor became scales per column";
    return reason;
  }

  static void slice(OpBuilder &builder, Value joined,
                    ArrayRef<Value> replaced) {
    RankedTensorType type = typeOf(joined);
    int64_t rank = type.getRank(), column = 0;
    for (Value value : replaced) {
      SmallVector<OpFoldResult> offsets(rank, builder.getIndexAttr(0)), sizes,
          strides(rank, builder.getIndexAttr(1));
      offsets.back() = builder.getIndexAttr(column);
      for (int64_t extent : typeOf(value).getShape())
        sizes.push_back(builder.getIndexAttr(extent));
      auto op =
          tensor::ExtractSliceOp::create(builder, value.getLoc(), typeOf(value),
                                         joined, offsets, sizes, strides);
      value.replaceAllUsesWith(op.getResult());
      column += typeOf(value).getShape().back();
    }
  }

  static void eraseOld(ArrayRef<nq::MatmulOp> products,
                       const Epilogues *epilogues) {
    if (epilogues)
      for (linalg::GenericOp op : epilogues->getOps())
        op->erase();
    for (nq::MatmulOp op : products)
      op->erase();
  }
};
} // namespace
