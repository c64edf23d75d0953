// A kernel with products as a sequence of functions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ProductCut.h"

#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

#include <map>

using namespace mlir;

namespace nibble {
namespace gpu {

static bool isProduct(Operation *op) {
  return isa<nq::MatmulOp, nq::AttentionOp>(op);
}

/// Constants are repeated wherever they are used.
static bool isFree(Operation *op) {
  return op->getNumOperands() == 0 && !op->hasTrait<OpTrait::IsTerminator>() &&
         op->getNumRegions() == 0;
}

//===----------------------------------------------------------------------===//
// Epilogues
//===----------------------------------------------------------------------===//

namespace {

/// An epilogue region as an elementwise op behind the product.
class EpilogueExpansion {
public:
  explicit EpilogueExpansion(nq::MatmulOp op)
      : op(op), b(op.getLoc(), op), type(tensorOf(op.getResult())) {}

  void run() {
    Value sum = nq::MatmulOp::create(b, type.clone(b.getF32Type()), op.getA(),
                                     op.getB(), op.getTransposeB());
    SmallVector<Value> inputs{sum};
    llvm::append_range(inputs, op.getExtras());
    SmallVector<AffineMap> maps;
    for (Value input : inputs)
      maps.push_back(mapOf(tensorOf(input)));
    maps.push_back(b.getMultiDimIdentityMap(type.getRank()));
    SmallVector<utils::IteratorType> loops(type.getRank(),
                                           utils::IteratorType::parallel);
    Value empty =
        tensor::EmptyOp::create(b, type.getShape(), type.getElementType());
    auto generic = linalg::GenericOp::create(
        b, TypeRange(type), inputs, ValueRange(empty), maps, loops,
        [&](OpBuilder &inner, Location loc, ValueRange values) {
          ImplicitLocOpBuilder body(loc, inner);
          emitBody(body, values);
        });
    op.getResult().replaceAllUsesWith(generic.getResult(0));
    op.erase();
  }

private:
  static RankedTensorType tensorOf(Value value) {
    return cast<RankedTensorType>(value.getType());
  }

  /// Broadcast as in numpy.
  AffineMap mapOf(RankedTensorType from) {
    SmallVector<AffineExpr> exprs;
    int64_t skipped = type.getRank() - from.getRank();
    for (auto [d, extent] : llvm::enumerate(from.getShape()))
      exprs.push_back(extent == 1 ? b.getAffineConstantExpr(0)
                                  : b.getAffineDimExpr(skipped + d));
    return AffineMap::get(type.getRank(), 0, exprs, b.getContext());
  }

  static Value convert(ImplicitLocOpBuilder &body, Value value, Type to) {
    unsigned from = value.getType().getIntOrFloatBitWidth(),
             width = to.getIntOrFloatBitWidth();
    if (from < width)
      return arith::ExtFOp::create(body, to, value);
    return from > width ? arith::TruncFOp::create(body, to, value).getResult()
                        : value;
  }

  void emitBody(ImplicitLocOpBuilder &body, ValueRange values) {
    Block &epilogue = op.getEpilogue().front();
    IRMapping mapping;
    for (auto [argument, value] : llvm::zip(epilogue.getArguments(), values))
      mapping.map(argument, convert(body, value, body.getF32Type()));
    for (Operation &inner : epilogue.without_terminator())
      body.clone(inner, mapping);
    Value result =
        mapping.lookupOrDefault(epilogue.getTerminator()->getOperand(0));
    linalg::YieldOp::create(body, convert(body, result, type.getElementType()));
  }

  nq::MatmulOp op;
  ImplicitLocOpBuilder b;
  RankedTensorType type;
};

/// Products store row-major.
void moveLayout(Operation *product) {
  Value result = product->getResult(0);
  auto type = cast<RankedTensorType>(result.getType());
  if (!nq::getLayout(type))
    return;
  result.setType(RankedTensorType::get(type.getShape(), type.getElementType()));
  OpBuilder b(product->getContext());
  b.setInsertionPointAfter(product);
  auto reformat = nq::ReformatOp::create(b, product->getLoc(), type, result,
                                         /*reason=*/StringAttr());
  result.replaceAllUsesExcept(reformat.getResult(), reformat);
}

} // namespace

ProductCut::ProductCut(func::FuncOp kernel, bool plainOperands,
                       AttentionEnd end)
    : plainOperands(plainOperands), module(ModuleOp::create(kernel.getLoc())) {
  OpBuilder b = OpBuilder::atBlockEnd(module->getBody());
  copy = cast<func::FuncOp>(b.clone(*kernel));
  for (auto op : llvm::to_vector(copy.getOps<nq::MatmulOp>()))
    if (!op.getEpilogue().empty())
      EpilogueExpansion(op).run();
  for (Operation &op : copy.front())
    if (isProduct(&op))
      moveLayout(&op);
  if (end != AttentionEnd::Result)
    findMoves(end);
  findLevels();
  makeParts();
  chooseResults();
  addCopies();
  for (auto [i, part] : llvm::enumerate(parts))
    build(part, opsOfPart[i], i);
}

//===----------------------------------------------------------------------===//
// Levels: even ones are loops, odd ones products
//===----------------------------------------------------------------------===//

/// Values that an op reads, also from within its regions.
static llvm::SetVector<Value> readsOf(Operation *op) {
  llvm::SetVector<Value> reads;
  op->walk([&](Operation *inner) {
    for (Value operand : inner->getOperands()) {
      Operation *owner = operand.getParentBlock()->getParentOp();
      if (!op->isAncestor(owner))
        reads.insert(operand);
    }
  });
  return reads;
}

static bool isReshape(Operation *op) {
  return isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op);
}

/// To one scale that no op of the kernel computes.
static bool isStaticQuantizer(Operation *op, Value input) {
  auto quantize = dyn_cast<nq::QuantizeOp>(op);
  if (!quantize || quantize.getInput() != input || !quantize.getScale() ||
      !nq::getScaledElement(quantize.getType()).isPerTensor())
    return false;
  return llvm::all_of(op->getOperands().drop_front(), [](Value value) {
    Operation *from = value.getDefiningOp();
    return !from || isFree(from);
  });
}

void ProductCut::findMoves(AttentionEnd end) {
  for (auto op : copy.getOps<nq::AttentionOp>()) {
    Value value = op.getResult();
    bool isQuantized = end != AttentionEnd::Codes;
    while (value.hasOneUse()) {
      Operation *user = *value.user_begin();
      if (!isQuantized && isStaticQuantizer(user, value))
        isQuantized = true;
      else if (!isReshape(user) && !isa<linalg::TransposeOp>(user))
        break;
      movesOf[op].push_back(user);
      moves.insert(user);
      value = user->getResult(0);
    }
  }
}

int ProductCut::levelOf(Value value) const {
  Operation *op = value.getDefiningOp();
  return op && !isFree(op) ? levels.lookup(op) : 0;
}

void ProductCut::findLevels() {
  for (Operation &op : copy.front().without_terminator()) {
    if (isFree(&op))
      continue;
    int level = 0;
    for (Value value : readsOf(&op))
      level = std::max(level, levelOf(value));
    bool wantsOdd = isProduct(&op), isOdd = level % 2;
    if (moves.contains(&op)) {
      levels[&op] = level;
      continue;
    }
    if (wantsOdd)
      level += isOdd ? 2 : 1;
    else
      level += isOdd;
    levels[&op] = level;
  }
}

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

/// Worth computing again by every tile of a product that reads it.
static bool isCheap(Operation *op) {
  if (isa<nq::DequantizeOp, nq::CastOp, nq::ReformatOp, nq::AssembleOp,
          tensor::ExpandShapeOp, tensor::CollapseShapeOp, tensor::CastOp,
          tensor::ReshapeOp, tensor::ExtractSliceOp, linalg::TransposeOp,
          linalg::BroadcastOp>(op))
    return true;
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic || generic.getNumReductionLoops() ||
      generic.getBody()->getOperations().size() > 3)
    return false;
  return llvm::all_of(generic.getBody()->without_terminator(),
                      llvm::IsaPred<arith::ExtFOp, arith::TruncFOp,
                                    arith::MulFOp, arith::AddFOp>);
}

/// A product behind the cheap ops that bring its operands.
ProductCut::Ops ProductCut::withCheapOps(Operation *product) {
  llvm::SetVector<Operation *> found;
  SmallVector<Operation *> todo{product};
  while (!todo.empty()) {
    Operation *op = todo.pop_back_val();
    if (!found.insert(op))
      continue;
    for (Value value : readsOf(op))
      if (Operation *from = value.getDefiningOp())
        if (!isFree(from) && (plainOperands ? isReshape(from) : isCheap(from)))
          todo.push_back(from);
  }
  Ops ops;
  for (Operation &op : copy.front())
    if (found.contains(&op))
      ops.push_back(&op);
  return ops;
}

void ProductCut::addPart(const Ops &ops, bool isProduct) {
  KernelPart &part = parts.emplace_back();
  part.isProduct = isProduct;
  llvm::SetVector<Value> operands;
  for (Operation *op : ops)
    for (Value value : readsOf(op)) {
      Operation *from = value.getDefiningOp();
      if (!from || (!isFree(from) && !llvm::is_contained(ops, from)))
        operands.insert(value);
    }
  part.operands.assign(operands.begin(), operands.end());
  opsOfPart.push_back(ops);
}

void ProductCut::makeParts() {
  std::map<int, Ops> byLevel;
  for (Operation &op : copy.front().without_terminator())
    if (!isFree(&op))
      byLevel[levels.lookup(&op)].push_back(&op);
  for (auto &[level, ops] : byLevel) {
    if (level % 2 == 0) {
      addPart(ops, /*isProduct=*/false);
      continue;
    }
    for (Operation *op : ops) {
      if (!isProduct(op))
        continue;
      Ops all = withCheapOps(op);
      llvm::append_range(all, movesOf.lookup(op));
      addPart(all, /*isProduct=*/true);
    }
  }
}

/// Each part returns what is read behind it; parts of which nothing is read
/// vanish, and so do ops that only these needed.
void ProductCut::chooseResults() {
  llvm::DenseSet<Value> needed;
  for (Value value : copy.front().getTerminator()->getOperands())
    needed.insert(value);
  for (size_t i = parts.size(); i-- > 0;) {
    KernelPart &part = parts[i];
    for (Operation *op : opsOfPart[i]) {
      // Cheap ops in front of a product are its own.
      if (part.isProduct && !isProduct(op) && !moves.contains(op))
        continue;
      for (Value result : op->getResults())
        if (needed.contains(result))
          part.results.push_back(result);
    }
    if (part.results.empty()) {
      parts.erase(parts.begin() + i);
      opsOfPart.erase(opsOfPart.begin() + i);
      continue;
    }
    Ops ops;
    llvm::SetVector<Operation *> used;
    for (Operation *op : llvm::reverse(opsOfPart[i])) {
      bool isUsed = llvm::any_of(op->getResults(), [&](Value value) {
        return llvm::is_contained(part.results, value) ||
               llvm::any_of(value.getUsers(), [&](Operation *user) {
                 while (user->getBlock() != op->getBlock())
                   user = user->getParentOp();
                 return used.contains(user);
               });
      });
      if (isUsed)
        used.insert(op);
    }
    for (Operation *op : opsOfPart[i])
      if (used.contains(op))
        ops.push_back(op);
    SmallVector<Value> results = part.results;
    bool wasProduct = part.isProduct;
    parts.erase(parts.begin() + i);
    opsOfPart.erase(opsOfPart.begin() + i);
    addPart(ops, wasProduct);
    parts.back().results = results;
    std::rotate(parts.begin() + i, parts.end() - 1, parts.end());
    std::rotate(opsOfPart.begin() + i, opsOfPart.end() - 1, opsOfPart.end());
    for (Value operand : parts[i].operands)
      needed.insert(operand);
  }
}

/// What is returned twice, or is an argument or a constant, is copied.
void ProductCut::addCopies() {
  KernelPart copies;
  llvm::DenseSet<Value> seen;
  for (Value value : copy.front().getTerminator()->getOperands()) {
    Operation *op = value.getDefiningOp();
    bool isComputed = op && !isFree(op);
    if (isComputed && seen.insert(value).second)
      continue;
    copies.results.push_back(value);
    if (!op || isComputed)
      if (!llvm::is_contained(copies.operands, value))
        copies.operands.push_back(value);
  }
  if (copies.results.empty())
    return;
  parts.push_back(copies);
  opsOfPart.emplace_back();
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

void ProductCut::build(KernelPart &part, const Ops &ops, unsigned number) {
  OpBuilder b = OpBuilder::atBlockEnd(module->getBody());
  std::string name =
      (copy.getName() + (part.isProduct ? "_product" : "_loops")).str() +
      std::to_string(number);
  auto type = b.getFunctionType(ValueRange(part.operands).getTypes(),
                                ValueRange(part.results).getTypes());
  Location loc = ops.empty() ? copy.getLoc() : ops.back()->getLoc();
  part.function = func::FuncOp::create(b, loc, name, type);
  Block *block = part.function.addEntryBlock();
  b.setInsertionPointToStart(block);
  IRMapping mapping;
  mapping.map(part.operands, block->getArguments());
  auto bring = [&](Value value) {
    Operation *from = value.getDefiningOp();
    if (from && isFree(from) && !mapping.contains(value))
      b.clone(*from, mapping);
  };
  for (Operation *op : ops) {
    for (Value value : readsOf(op))
      bring(value);
    b.clone(*op, mapping);
  }
  SmallVector<Value> results;
  for (Value value : part.results) {
    bring(value);
    results.push_back(mapping.lookup(value));
  }
  func::ReturnOp::create(b, loc, results);
}

} // namespace gpu
} // namespace nibble
