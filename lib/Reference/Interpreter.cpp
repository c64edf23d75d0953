// Walks functions, keeps values alive as long as they are needed.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Reference/Interpreter.h"

#include "Eval.h"
#include "LaneProgram.h"
#include "nibble/Dialect/Exec/ExecOps.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;

InFlightDiagnostic nibble::ref::emitRefError(Operation *op) {
  InFlightDiagnostic diag = op->emitOpError();
  if (StringRef layer = getLayerName(op->getLoc()); !layer.empty())
    diag << "(layer '" << layer << "') ";
  return diag;
}

RankedTensorType nibble::ref::getTensorType(Value value) {
  Type type = value.getType();
  if (auto tensor = dyn_cast<RankedTensorType>(type))
    return tensor.hasStaticShape() ? tensor : RankedTensorType();
  if (type.isIntOrIndexOrFloat())
    return RankedTensorType::get({}, type);
  return {};
}

const RefTensor &OpCall::get(Value operand) const {
  static const RefTensor null;
  for (auto [i, value] : llvm::enumerate(op->getOperands()))
    if (value == operand)
      return operands[i];
  return null;
}

RankedTensorType OpCall::resultType(unsigned i) const {
  return getTensorType(op->getResult(i));
}

InFlightDiagnostic OpCall::error() const { return emitRefError(op); }

static const EvalTable &getEvalTable() {
  static const EvalTable table = [] {
    EvalTable result;
    addTensorEvals(result);
    addLinalgEvals(result);
    addQuantEvals(result);
    addNetworkEvals(result);
    addCheckEvals(result);
    return result;
  }();
  return table;
}

Interpreter::Interpreter(InterpreterOptions options)
    : options(std::move(options)) {
  if (this->options.threads == 0)
    this->options.threads = 1;
}

void Interpreter::setHandler(StringRef opName, Handler handler) {
  handlers[opName] = std::move(handler);
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

static LogicalResult checkArgument(func::FuncOp function, unsigned i,
                                   const RefTensor &arg) {
  Type want = function.getArgumentTypes()[i];
  auto tensor = dyn_cast<RankedTensorType>(want);
  if (!arg || !tensor || tensor.getShape() != arg.getShape() ||
      tensor.getElementType() != arg.getElementType()) {
    auto diag = function.emitError()
                << "argument " << i << " of '" << function.getName()
                << "' has type " << want << ", the reference was given ";
    if (arg)
      diag << arg.getType();
    else
      diag << "no value";
    return diag;
  }
  return success();
}

FailureOr<Results> Interpreter::run(func::FuncOp function,
                                    ArrayRef<RefTensor> args) {
  if (function.isExternal())
    return function.emitError()
           << "'" << function.getName() << "' has no body to interpret";
  if (args.size() != function.getNumArguments())
    return function.emitError()
           << "'" << function.getName() << "' takes "
           << function.getNumArguments()
           << " arguments, the reference was given " << args.size();
  Env env;
  for (auto [i, arg] : llvm::enumerate(args)) {
    if (failed(checkArgument(function, i, arg)))
      return failure();
    env[function.getArgument(i)] =
        arg.withType(cast<RankedTensorType>(function.getArgumentTypes()[i]));
  }
  if (!function.getBody().hasOneBlock())
    return function.emitError() << "'" << function.getName()
                                << "' has control flow; graphs have one block";
  return runBlock(function.getBody().front(), env);
}

/// Last op of the block that reads each value, itself or in a region.
static DenseMap<Value, Operation *> findLastUses(Block &block) {
  DenseMap<Value, Operation *> last;
  for (Operation &op : block)
    op.walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        last[operand] = &op;
    });
  return last;
}

FailureOr<Results> Interpreter::runBlock(Block &block, Env &env) {
  DenseMap<Value, Operation *> last = findLastUses(block);
  std::vector<std::pair<Operation *, Value>> deaths;
  DenseMap<Operation *, SmallVector<Value>> dying;
  for (auto &[value, op] : last)
    dying[op].push_back(value);
  for (Operation &op : block) {
    if (op.hasTrait<OpTrait::IsTerminator>()) {
      Results values;
      for (Value operand : op.getOperands())
        values.push_back(env.lookup(operand));
      return values;
    }
    auto results = runOp(&op, env);
    if (failed(results))
      return failure();
    for (auto [value, result] : llvm::zip(op.getResults(), *results))
      if (last.contains(value))
        env[value] = std::move(result);
    for (Value value : dying.lookup(&op))
      env.erase(value);
  }
  return block.getParentOp()->emitError() << "block has no terminator";
}

FailureOr<Results> Interpreter::runOp(Operation *op, Env &env) {
  SmallVector<RefTensor> operands;
  for (Value operand : op->getOperands()) {
    RefTensor value = env.lookup(operand);
    if (!value)
      return emitRefError(op) << "reads a value the reference does not have";
    operands.push_back(std::move(value));
  }
  for (Value result : op->getResults()) {
    RankedTensorType type = getTensorType(result);
    if (!type)
      return emitRefError(op)
             << "result of type " << result.getType()
             << " is not a statically shaped tensor; bind its shape";
    double count = 1;
    for (int64_t extent : type.getShape())
      count *= extent;
    if (count > options.maxElements)
      return emitRefError(op)
             << "result " << type << " is too large for the "
             << "reference (limit " << options.maxElements << " elements)";
  }
  auto results = dispatch(op, env, operands);
  if (failed(results) || failed(checkResults(op, *results)))
    return failure();
  if (options.probe && !results->empty() &&
      (depth == 0 || options.probeCallees))
    options.probe(op, *results);
  return results;
}

LogicalResult Interpreter::checkResults(Operation *op,
                                        ArrayRef<RefTensor> results) {
  if (results.size() != op->getNumResults())
    return emitRefError(op)
           << "got " << results.size() << " values for its results";
  for (auto [value, result] : llvm::zip(op->getResults(), results)) {
    RankedTensorType type = getTensorType(value);
    if (!result || result.getShape() != type.getShape() ||
        result.getElementType() != type.getElementType())
      return emitRefError(op)
             << "evaluated to a value that is not of type " << type;
  }
  return success();
}

FailureOr<Results> Interpreter::dispatch(Operation *op, Env &env,
                                         ArrayRef<RefTensor> operands) {
  StringRef name = op->getName().getStringRef();
  if (auto handler = handlers.find(name); handler != handlers.end())
    return handler->second(op, operands, *this);
  if (auto read = dyn_cast<nq::StateReadOp>(op)) {
    RankedTensorType type = getTensorType(read.getResult());
    RefTensor state = states.lookup(read.getState());
    if (!state) {
      std::vector<char> zeros(nq::getStorageRegions(type).total, 0);
      auto zero =
          RefTensor::fromStorage(type, zeros, [&] { return emitRefError(op); });
      if (failed(zero))
        return failure();
      state = *zero;
    }
    return Results{state};
  }
  if (auto write = dyn_cast<nq::StateWriteOp>(op)) {
    states[write.getState()] = operands[0];
    return Results{};
  }
  if (auto region = dyn_cast<nq::RegionOp>(op)) {
    Env inner;
    for (auto [argument, operand] :
         llvm::zip(region.getBlock().getArguments(), operands))
      inner[argument] = operand;
    return runBlock(region.getBlock(), inner);
  }
  for (StringRef attr : {"kernel", "callee"})
    if (auto callee = op->getAttrOfType<SymbolRefAttr>(attr))
      return call(op, callee, operands);
  auto lookup = [&](Value value) -> const RefTensor * {
    auto found = env.find(value);
    return found == env.end() ? nullptr : &found->second;
  };
  OpCall opCall{op, operands, options.threads, lookup};
  if (Eval eval = getEvalTable().lookup(name))
    return eval(opCall);
  if (isa<linalg::LinalgOp>(op))
    return evalLinalg(opCall);
  LaneInstr instr;
  if (op->getNumResults() == 1 && selectLaneOp(op, instr))
    return evalElementwise(opCall);
  return emitRefError(op) << "is not known to the reference interpreter";
}

FailureOr<Results> Interpreter::call(Operation *op, SymbolRefAttr callee,
                                     ArrayRef<RefTensor> operands) {
  auto function =
      SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(op, callee);
  if (!function)
    return emitRefError(op)
           << "calls " << callee << ", which is not a func.func";
  if (depth >= 64)
    return emitRefError(op) << "calls nest deeper than 64: " << callee
                            << " seems to call itself";
  ++depth;
  auto results = run(function, operands);
  --depth;
  if (failed(results))
    emitRefError(op).attachNote(function.getLoc()) << "failed in this kernel";
  return results;
}

//===----------------------------------------------------------------------===//
// Slices
//===----------------------------------------------------------------------===//

/// Values that the op reads, captured ones included.
static SmallVector<Value> getReads(Operation *op) {
  SmallVector<Value> reads;
  op->walk([&](Operation *inner) {
    for (Value operand : inner->getOperands())
      if (!op->isAncestor(operand.getParentBlock()->getParentOp()) ||
          inner == op)
        reads.push_back(operand);
  });
  return reads;
}

/// The ops that `value` is computed from, in order; failure if one of them has
/// effects or an argument is among them.
static LogicalResult collectSlice(Value value,
                                  std::vector<Operation *> &slice) {
  llvm::DenseSet<Operation *> seen, done;
  std::vector<Operation *> stack;
  auto push = [&](Value read) {
    Operation *op = read.getDefiningOp();
    if (!op || !isMemoryEffectFree(op))
      return failure();
    if (!done.contains(op))
      stack.push_back(op);
    return success();
  };
  if (failed(push(value)))
    return failure();
  while (!stack.empty()) {
    Operation *op = stack.back();
    if (seen.insert(op).second) {
      for (Value read : getReads(op))
        if (failed(push(read)))
          return failure();
      continue;
    }
    stack.pop_back();
    if (done.insert(op).second)
      slice.push_back(op);
  }
  return success();
}

FailureOr<RefTensor> Interpreter::evaluate(Value value) {
  std::vector<Operation *> slice;
  if (failed(collectSlice(value, slice)))
    return emitError(value.getLoc())
           << "value does not depend on constants only";
  DenseMap<Value, Operation *> last;
  for (Operation *op : slice)
    for (Value read : getReads(op))
      last[read] = op;
  Env env;
  for (Operation *op : slice) {
    auto results = runOp(op, env);
    if (failed(results))
      return failure();
    for (auto [result, tensor] : llvm::zip(op->getResults(), *results))
      env[result] = std::move(tensor);
    for (Value read : getReads(op))
      if (last.lookup(read) == op && read != value)
        env.erase(read);
  }
  return env.lookup(value);
}
