// Makes a failing graph small.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Trial.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::test;

using Edit = std::function<bool(func::FuncOp)>;

static SmallVector<Operation *> getOps(func::FuncOp function) {
  SmallVector<Operation *> ops;
  for (Operation &op : function.front().without_terminator())
    ops.push_back(&op);
  return ops;
}

/// Removes dead ops and arguments that nobody reads, fixes the type.
static void normalize(func::FuncOp function) {
  Block &block = function.front();
  SmallVector<Operation *> ops = getOps(function);
  for (Operation *op : llvm::reverse(ops))
    if (op->use_empty())
      op->erase();
  for (int i = int(block.getNumArguments()) - 1; i >= 0; --i)
    if (block.getArgument(i).use_empty())
      block.eraseArgument(i);
  function.setType(FunctionType::get(function.getContext(),
                                     block.getArgumentTypes(),
                                     block.getTerminator()->getOperandTypes()));
}

//===----------------------------------------------------------------------===//
// Edits; ops are named by their position
//===----------------------------------------------------------------------===//

static Edit dropOutput(unsigned i) {
  return [i](func::FuncOp function) {
    Operation *terminator = function.front().getTerminator();
    if (terminator->getNumOperands() < 2)
      return false;
    terminator->eraseOperand(i);
    return true;
  };
}

static bool isScaled(Value value) {
  return bool(nq::getScaledElement(value.getType()));
}

/// Returns an operand of the op that makes output `i` instead; plain outputs
/// stay plain.
static Edit advanceOutput(unsigned i, unsigned operand) {
  return [=](func::FuncOp function) {
    Operation *terminator = function.front().getTerminator();
    Operation *producer = terminator->getOperand(i).getDefiningOp();
    if (!producer || operand >= producer->getNumOperands() ||
        !isa<RankedTensorType>(producer->getOperand(operand).getType()) ||
        (isScaled(producer->getOperand(operand)) &&
         !isScaled(terminator->getOperand(i))))
      return false;
    terminator->setOperand(i, producer->getOperand(operand));
    return true;
  };
}

/// Uses an operand of the same type in place of the result.
static Edit bypass(unsigned position, unsigned operand) {
  return [=](func::FuncOp function) {
    Operation *op = getOps(function)[position];
    if (op->getNumResults() != 1 || operand >= op->getNumOperands() ||
        op->getOperand(operand).getType() != op->getResult(0).getType() ||
        op->getOperand(operand).getDefiningOp<tensor::EmptyOp>())
      return false;
    op->getResult(0).replaceAllUsesWith(op->getOperand(operand));
    return true;
  };
}

/// Makes the result an argument of the function.
static Edit cut(unsigned position) {
  return [=](func::FuncOp function) {
    Operation *op = getOps(function)[position];
    if (op->getNumResults() != 1 || op->getNumOperands() == 0 ||
        !isa<RankedTensorType>(op->getResult(0).getType()))
      return false;
    Value argument =
        function.front().addArgument(op->getResult(0).getType(), op->getLoc());
    op->getResult(0).replaceAllUsesWith(argument);
    return true;
  };
}

static std::vector<Edit> getEdits(func::FuncOp function) {
  std::vector<Edit> edits;
  unsigned outputs = function.front().getTerminator()->getNumOperands();
  for (unsigned i = 0; i < outputs; ++i)
    edits.push_back(dropOutput(i));
  for (unsigned i = 0; i < outputs; ++i)
    for (unsigned operand = 0; operand < 4; ++operand)
      edits.push_back(advanceOutput(i, operand));
  unsigned ops = getOps(function).size();
  for (unsigned i = ops; i-- > 0;)
    for (unsigned operand = 0; operand < 3; ++operand)
      edits.push_back(bypass(i, operand));
  for (unsigned i = ops; i-- > 0;)
    edits.push_back(cut(i));
  return edits;
}

static unsigned getSize(func::FuncOp function) {
  unsigned size = function.front().getTerminator()->getNumOperands();
  function.walk([&](Operation *) { ++size; });
  return size;
}

//===----------------------------------------------------------------------===//
// Search
//===----------------------------------------------------------------------===//

/// What kind of problem it is: the message without numbers.
static std::string getKind(const Outcome &outcome) {
  std::string kind = StringRef(outcome.problem).take_front(100).str();
  llvm::erase_if(kind, [](char c) { return c >= '0' && c <= '9'; });
  return StringRef(kind).starts_with("result ") ? "result" : kind;
}

/// The edited graph if it is valid, smaller, and still fails in the same way.
static OwningOpRef<ModuleOp> tryEdit(ModuleOp module, const Edit &edit,
                                     const PipelineBuilder &build,
                                     uint64_t seed, Slack slack,
                                     const std::string &kind) {
  OwningOpRef<ModuleOp> clone(module.clone());
  func::FuncOp function = getMain(*clone);
  if (!edit(function))
    return {};
  normalize(function);
  if (getSize(function) >= getSize(getMain(module)))
    return {};
  Outcome outcome = tryPipeline(*clone, build, seed, slack);
  bool fails =
      outcome.valid && !outcome.problem.empty() && getKind(outcome) == kind;
  return fails ? std::move(clone) : OwningOpRef<ModuleOp>();
}

OwningOpRef<ModuleOp> nibble::test::shrink(ModuleOp module,
                                           const PipelineBuilder &build,
                                           uint64_t seed, Slack slack) {
  OwningOpRef<ModuleOp> best(module.clone());
  std::string kind = getKind(tryPipeline(module, build, seed, slack));
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (const Edit &edit : getEdits(getMain(*best)))
      if (auto next = tryEdit(*best, edit, build, seed, slack, kind)) {
        best = std::move(next);
        smaller = true;
        break; // positions have changed
      }
  }
  return best;
}
