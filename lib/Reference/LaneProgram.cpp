// Compiles scalar regions to lane programs.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LaneProgram.h"

#include "Eval.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;

LaneFrame::LaneFrame(const LaneProgram &program)
    : program(program), floats(allocate<double>(program.numFloats * laneCount)),
      ints(allocate<int64_t>(program.numInts * laneCount)) {
  for (uint32_t reg = 0; reg < program.numFloats; ++reg)
    f.push_back(ownFloats(reg));
  for (uint32_t reg = 0; reg < program.numInts; ++reg)
    i.push_back(ownInts(reg));
  for (const LaneProgram::Constant &constant : program.constants)
    if (constant.reg.isFloat)
      std::fill_n(f[constant.reg.index], laneCount, constant.number);
    else
      std::fill_n(i[constant.reg.index], laneCount, constant.integer);
}

void LaneFrame::run(unsigned begin, unsigned end) {
  run(program.instrs, begin, end);
}

namespace {

/// State of one compilation.
struct LaneCompiler {
  LaneProgram program;
  llvm::DenseMap<Value, LaneReg> regs;
  LaneProgram::Lookup lookup;

  explicit LaneCompiler(LaneProgram::Lookup lookup) : lookup(lookup) {}

  FailureOr<LaneReg> newReg(Value value, Operation *op) {
    Type type = getElementTypeOrSelf(value.getType());
    if (getFormat(type) == rt::StorageFormat::None)
      return emitRefError(op)
             << "values of type " << type << " are not supported";
    bool isFloat = isa<FloatType>(type);
    return LaneReg{isFloat, isFloat ? program.numFloats++ : program.numInts++};
  }

  LogicalResult addConstant(Value value, const RefTensor &tensor,
                            Operation *op) {
    auto reg = newReg(value, op);
    if (failed(reg))
      return failure();
    LaneProgram::Constant constant{*reg};
    if (reg->isFloat)
      constant.number = tensor.floatAt(0);
    else
      constant.integer = tensor.intAt(0);
    program.constants.push_back(constant);
    regs[value] = *reg;
    return success();
  }

  /// Register of an operand; values from outside become constants.
  FailureOr<LaneReg> use(Value value, Operation *op) {
    auto known = regs.find(value);
    if (known != regs.end())
      return known->second;
    const RefTensor *outside = lookup(value);
    if (!outside || !*outside)
      return emitRefError(op)
             << "operand is defined outside of the region by an op "
                "that has no value yet";
    if (failed(addConstant(value, *outside, op)))
      return failure();
    return regs[value];
  }

  void push(LaneInstr instr, LaneReg dst, ArrayRef<LaneReg> operands) {
    instr.dst = dst.index;
    uint32_t *slots[] = {&instr.a, &instr.b, &instr.c};
    for (auto [slot, reg] : llvm::zip(slots, operands))
      *slot = reg.index;
    program.instrs.push_back(instr);
    program.writes.push_back(dst);
    program.reads.emplace_back(operands.begin(), operands.end());
  }

  LogicalResult compileConstant(arith::ConstantOp op);
  LogicalResult compileIndex(linalg::IndexOp op);
  LogicalResult compileExtract(tensor::ExtractOp op);
  LogicalResult compileScalar(Operation *op);
  LogicalResult compileOp(Operation *op);
};

LogicalResult LaneCompiler::compileConstant(arith::ConstantOp op) {
  auto type = RankedTensorType::get({}, op.getType());
  RefTensor value;
  if (auto number = dyn_cast<FloatAttr>(op.getValue()))
    value = RefTensor::splat(type, number.getValueAsDouble());
  else if (auto integer = dyn_cast<IntegerAttr>(op.getValue()))
    value =
        RefTensor::splat(type, op.getType().isInteger(1)
                                   ? int64_t(integer.getValue().getBoolValue())
                                   : integer.getValue().getSExtValue());
  else
    return emitRefError(op) << "constant is not a scalar";
  return addConstant(op.getResult(), value, op);
}

LogicalResult LaneCompiler::compileIndex(linalg::IndexOp op) {
  auto reg = newReg(op.getResult(), op);
  if (failed(reg))
    return failure();
  regs[op.getResult()] = *reg;
  program.indices.push_back({static_cast<int64_t>(op.getDim()), reg->index});
  return success();
}

LogicalResult LaneCompiler::compileExtract(tensor::ExtractOp op) {
  const RefTensor *tensor = lookup(op.getTensor());
  if (!tensor || !*tensor)
    return emitRefError(op)
           << "the tensor is not defined outside of the region";
  if (tensor->isScaled())
    return emitRefError(op) << "cannot extract from scaled tensor "
                            << tensor->getType() << "; dequantize it first";
  LaneGather gather{*tensor, {}, op};
  SmallVector<LaneReg> operands;
  for (Value index : op.getIndices()) {
    auto reg = use(index, op);
    if (failed(reg))
      return failure();
    gather.indices.push_back(reg->index);
    operands.push_back(*reg);
  }
  auto dst = newReg(op.getResult(), op);
  if (failed(dst))
    return failure();
  regs[op.getResult()] = *dst;
  LaneInstr instr;
  instr.fn = getGatherFn(dst->isFloat);
  instr.gather = program.gathers.size();
  program.gathers.push_back(std::move(gather));
  push(instr, *dst, operands);
  return success();
}

LogicalResult LaneCompiler::compileScalar(Operation *op) {
  LaneInstr instr;
  if (op->getNumResults() != 1 || op->getNumOperands() > 3 ||
      !selectLaneOp(op, instr))
    return emitRefError(op) << "is not known to the reference interpreter";
  SmallVector<LaneReg> operands;
  for (Value operand : op->getOperands()) {
    auto reg = use(operand, op);
    if (failed(reg))
      return failure();
    operands.push_back(*reg);
  }
  auto dst = newReg(op->getResult(0), op);
  if (failed(dst))
    return failure();
  regs[op->getResult(0)] = *dst;
  push(instr, *dst, operands);
  return success();
}

LogicalResult LaneCompiler::compileOp(Operation *op) {
  if (auto constant = dyn_cast<arith::ConstantOp>(op))
    return compileConstant(constant);
  if (auto index = dyn_cast<linalg::IndexOp>(op))
    return compileIndex(index);
  if (auto extract = dyn_cast<tensor::ExtractOp>(op))
    return compileExtract(extract);
  return compileScalar(op);
}

} // namespace

FailureOr<LaneProgram> LaneProgram::compile(Block &body, Lookup lookup) {
  LaneCompiler compiler(lookup);
  for (BlockArgument arg : body.getArguments()) {
    auto reg = compiler.newReg(arg, body.getParentOp());
    if (failed(reg))
      return failure();
    compiler.regs[arg] = *reg;
    compiler.program.args.push_back(*reg);
  }
  for (Operation &op : body.without_terminator())
    if (failed(compiler.compileOp(&op)))
      return failure();
  for (Value value : body.getTerminator()->getOperands()) {
    auto reg = compiler.use(value, body.getTerminator());
    if (failed(reg))
      return failure();
    compiler.program.yields.push_back(*reg);
  }
  return std::move(compiler.program);
}

FailureOr<LaneProgram> LaneProgram::compile(Operation *op) {
  auto nothing = [](Value) -> const RefTensor * { return nullptr; };
  LaneCompiler compiler(nothing);
  // One register per operand, repeated ones too: the caller loads them all.
  SmallVector<LaneReg> operands;
  for (Value operand : op->getOperands()) {
    auto reg = compiler.newReg(operand, op);
    if (failed(reg))
      return failure();
    compiler.regs[operand] = *reg;
    compiler.program.args.push_back(*reg);
  }
  if (failed(compiler.compileScalar(op)))
    return failure();
  compiler.program.yields.push_back(compiler.regs[op->getResult(0)]);
  return std::move(compiler.program);
}

std::vector<bool>
LaneProgram::dependsOn(llvm::ArrayRef<LaneReg> sources) const {
  llvm::SmallVector<LaneReg> tainted(sources.begin(), sources.end());
  std::vector<bool> result(instrs.size());
  for (size_t n = 0; n < instrs.size(); ++n) {
    result[n] = llvm::any_of(reads[n], [&](const LaneReg &reg) {
      return llvm::is_contained(tainted, reg);
    });
    if (result[n])
      tainted.push_back(writes[n]);
  }
  return result;
}
