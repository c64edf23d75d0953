// The arithmetic on accumulators, piece by piece as stores ask for it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Epilogue.h"

#include "Body.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;
using namespace nibble::sm90;

static int64_t getLength(Value vector) {
  return cast<VectorType>(vector.getType()).getNumElements();
}

Epilogue::Epilogue(Kernel &kernel, tile::RoleOp role, tile::EpilogueOp op,
                   SmallVector<Acc> accs, const IRMapping &values, Int warp,
                   Int row, Int column, Int inTile)
    : kernel(kernel), code(kernel.getCode()), op(op), accs(std::move(accs)),
      row(row), column(column), inTile(inTile),
      width(getLength(op.getBody().front().getArgument(0))),
      pieces(std::max<int64_t>(1, width / 2)), maxima(kernel, role, op, warp) {
  op.getBody().walk([&](Operation *inside) {
    for (Value operand : inside->getOperands())
      if (values.contains(operand))
        outside.map(operand, values.lookup(operand));
  });
}

LogicalResult Epilogue::check() {
  if (!llvm::is_contained({1, 2, 4, 8}, width))
    return refuse(op) << "an epilogue on " << width
                      << " columns at once; 1, 2, 4 and 8 work";
  int64_t columns = op.getAccType().getShape()[1];
  if (columns % (8 * pieces))
    return refuse(op) << "an epilogue on " << width << " of " << columns
                      << " columns at once; it takes multiples of "
                      << 8 * pieces << " columns";
  if (failed(maxima.check(width)))
    return failure();
  Operation &yield = op.getBody().front().back();
  for (Value value : yield.getOperands())
    if (!llvm::isPowerOf2_64(getLength(value)))
      return refuse(op) << "an epilogue that yields " << value.getType()
                        << "; lengths that are powers of 2 work";
  return success();
}

/// Piece of 8 columns that the thread does, and where in it it begins.
static Int getFirstColumn(Code &code, Int inRow, int64_t width) {
  if (width <= 2)
    return code.shl(inRow, 1);
  if (width == 8)
    return code.shl(inRow, 3);
  return code.add(code.shl(code.bitAnd(inRow, 1), 3),
                  code.shl(code.shr(inRow, 1), 2));
}

void Epilogue::begin() {
  Value lane = kernel.threads.lane;
  laneColumn = getFirstColumn(code, code.bitAnd(lane, 3), width);
  operands = std::make_unique<Operands>(kernel, op, std::max<int64_t>(width, 2),
                                        code.add(row, code.shr(lane, 2)),
                                        code.add(column, laneColumn));
  int64_t count = op.getAccType().getShape()[1] / 2;
  for (const Acc &acc : accs) {
    auto &parts = registers.emplace_back();
    for (Value part : acc.parts) {
      SmallVector<Value> &list = parts.emplace_back();
      for (int64_t i = 0; i < count; ++i)
        list.push_back(
            LLVM::ExtractValueOp::create(code, part, ArrayRef<int64_t>(i)));
    }
  }
  maxima.begin();
}

int64_t Epilogue::getUnitColumns(unsigned result) {
  Operation &yield = op.getBody().front().back();
  return 8 * pieces * getLength(yield.getOperand(result)) / width;
}

/// A multiple of 8, like the columns of a part.
Int Epilogue::getPartColumn(unsigned result) {
  int64_t length = getLength(op.getBody().front().back().getOperand(result));
  return length == width ? inTile : code.div(code.mul(inTile, length), width);
}

Int Epilogue::getLaneColumn(unsigned result) {
  int64_t length = getLength(op.getBody().front().back().getOperand(result));
  if (width == 1)
    return code.mul(laneColumn, length);
  // Exact: the column is a multiple of the width.
  return code.mul(code.shr(laneColumn, llvm::Log2_64(width)), length);
}

/// Of two halves of a list of pieces, threads with `bit` unset in their number
/// keep the first and get the partner's, and the others the second; the lower
/// thread's columns come first.
static SmallVector<SmallVector<Value>>
trade(Code &code, Value lane, ArrayRef<SmallVector<Value>> pieces,
      int64_t bit) {
  Value high = code.compare(LLVM::ICmpPredicate::ne, code.bitAnd(lane, bit), 0);
  SmallVector<SmallVector<Value>> result;
  for (size_t i = 0; i < pieces.size(); i += 2) {
    SmallVector<Value> &lower = result.emplace_back(), upper;
    for (auto [a, b] : llvm::zip(pieces[i], pieces[i + 1])) {
      Value got = NVVM::ShflOp::create(
          code, a.getType(), code.get(-1), code.selectAny(high, a, b),
          code.get(bit), code.get(31), NVVM::ShflKind::bfly, UnitAttr());
      lower.push_back(code.selectAny(high, got, a));
      upper.push_back(code.selectAny(high, b, got));
    }
    lower.append(upper);
  }
  return result;
}

Value Epilogue::exchange(unsigned acc, int64_t part, int64_t unit, int64_t r) {
  SmallVector<SmallVector<Value>> list;
  ArrayRef<Value> from = registers[acc][part];
  for (int64_t i = 0; i < pieces; ++i) {
    int64_t first = 4 * (unit * pieces + i) + 2 * r;
    list.push_back({from[first], from[first + 1]});
  }
  for (int64_t bit = 1; bit < pieces; bit *= 2)
    list = trade(code, kernel.threads.lane, list, bit);
  auto type = VectorType::get(int64_t(list[0].size()), list[0][0].getType());
  return vector::FromElementsOp::create(code, type, list[0]);
}

Value Epilogue::slice(Value vector, int64_t index) {
  auto type = cast<VectorType>(vector.getType());
  Value element = vector::ExtractOp::create(code, vector, index);
  return vector::FromElementsOp::create(
      code, VectorType::get(1, type.getElementType()), element);
}

void Epilogue::addOperands(SmallVectorImpl<Value> &args, int64_t part,
                           int64_t unit, int64_t r) {
  int64_t rowOffset = 64 * part + 8 * r, columnOffset = 8 * pieces * unit;
  for (unsigned i = 0; i < op.getRows().size(); ++i)
    args.push_back(operands->getRow(i, rowOffset));
  for (unsigned i = 0; i < op.getCols().size(); ++i)
    args.push_back(operands->getColumns(i, columnOffset));
  for (unsigned i = 0; i < op.getElements().size(); ++i)
    args.push_back(operands->getElements(i, rowOffset, columnOffset));
}

SmallVector<Value> Epilogue::getArguments(int64_t part, int64_t unit,
                                          int64_t r) {
  SmallVector<Value> args;
  for (unsigned acc = 0; acc < accs.size(); ++acc)
    args.push_back(exchange(acc, part, unit, r));
  addOperands(args, part, unit, r);
  return args;
}

SmallVector<Value> Epilogue::run(int64_t part, int64_t unit, int64_t r) {
  SmallVector<Value> args = getArguments(part, unit, r);
  if (width > 1)
    return copyBody(code, op, args, outside);
  SmallVector<Value> first, second;
  for (Value arg : args) {
    first.push_back(slice(arg, 0));
    second.push_back(slice(arg, 1));
  }
  SmallVector<Value> results = copyBody(code, op, first, outside);
  for (auto [a, b] : llvm::zip(results, copyBody(code, op, second, outside))) {
    SmallVector<Value> both;
    for (Value half : {a, b})
      for (int64_t i = 0; i < getLength(half); ++i)
        both.push_back(vector::ExtractOp::create(code, half, i));
    a = vector::FromElementsOp::create(
        code, VectorType::get(int64_t(both.size()), both[0].getType()), both);
  }
  return results;
}

/// The unit and all others that share a block with it.
void Epilogue::runGroup(int64_t part, int64_t unit, int64_t r) {
  Maxima::Group group = maxima.getGroup(unit, r);
  Block &body = op.getBody().front();
  for (auto &elements : group)
    for (UnitRow &element : elements) {
      element.values = outside;
      element.values.map(body.getArguments(),
                         getArguments(part, element.unit, element.r));
    }
  maxima.run(group, part);
  for (auto &elements : group)
    for (UnitRow &element : elements)
      done[Key(part, element.unit, element.r)] =
          getYielded(code, op, element.values);
}

Value Epilogue::get(unsigned result, int64_t part, int64_t unit, int64_t r) {
  SmallVector<Value> &values = done[Key(part, unit, r)];
  if (values.empty() && maxima.any())
    runGroup(part, unit, r);
  else if (values.empty())
    values = run(part, unit, r);
  return values[result];
}
