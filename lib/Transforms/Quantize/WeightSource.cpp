// WeightSource: finding and reading constant matrices.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "WeightSource.h"

#include "nibble/rt/quantize.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Threading.h"

#include <atomic>
#include <cmath>

using namespace mlir;
using namespace nibble;
using rt::StorageFormat;

/// Elements a thread reads at a time.
static constexpr int64_t kPiece = 1 << 15;

static StorageFormat getStorage(Type element) {
  if (element.isF32())
    return StorageFormat::F32;
  if (element.isF16())
    return StorageFormat::F16;
  return element.isBF16() ? StorageFormat::BF16 : StorageFormat::None;
}

//===----------------------------------------------------------------------===//
// ConstantSource
//===----------------------------------------------------------------------===//

ConstantSource ConstantSource::get(Value value) {
  ConstantSource source;
  if (auto constant = value.getDefiningOp<nq::ConstantOp>()) {
    if (!constant.getScales())
      source.data = constant.getCodes();
  } else if (auto constant = value.getDefiningOp<arith::ConstantOp>()) {
    source.data = dyn_cast<ElementsAttr>(constant.getValue());
  }
  if (!source)
    return source;
  source.format = getStorage(source.data.getElementType());
  source.scratch = std::make_shared<SmallVector<char, 0>>();
  auto bytes = nq::getRawBytes(source.data, *source.scratch);
  if (failed(bytes) || source.format == StorageFormat::None)
    return ConstantSource();
  source.bytes = *bytes;
  return source;
}

std::string ConstantSource::getName() const {
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(data))
    return resource.getRawHandle().getKey().str();
  return "weight";
}

void ConstantSource::read(int64_t first, int64_t count, float *out) const {
  rt::decodeArray(format, bytes.data(), first, count, out);
}

float ConstantSource::getAmax(MLIRContext *context) const {
  std::atomic<uint32_t> bits{0};
  parallelFor(context, 0, llvm::divideCeil(size(), kPiece), [&](size_t piece) {
    std::vector<float> values(kPiece);
    int64_t first = piece * kPiece;
    int64_t count = std::min(kPiece, size() - first);
    read(first, count, values.data());
    uint32_t mine = rt::floatBits(rt::amaxOf(values.data(), count));
    for (uint32_t old = bits; old < mine;)
      bits.compare_exchange_weak(old, mine);
  });
  return rt::floatFromBits(bits);
}

int64_t ConstantSource::findNonFinite() const {
  std::vector<float> values(kPiece);
  for (int64_t first = 0; first < size(); first += kPiece) {
    int64_t count = std::min(kPiece, size() - first);
    read(first, count, values.data());
    for (int64_t i = 0; i < count; ++i)
      if (!std::isfinite(values[i]))
        return first + i;
  }
  return -1;
}

//===----------------------------------------------------------------------===//
// WeightSource
//===----------------------------------------------------------------------===//

/// Every value of `from` is a value of `to`.
static bool isExactCast(Type from, Type to) {
  return from == to || to.isF64() ||
         (to.isF32() && (from.isF16() || from.isBF16()));
}

/// The constant behind `value`; `swapped` tells whether its last two dimensions
/// change places on the way.
static Value peel(Value value, bool &swapped) {
  while (Operation *op = value.getDefiningOp()) {
    if (auto cast = dyn_cast<nq::CastOp>(op)) {
      Type from = getElementTypeOrSelf(cast.getInput());
      if (!isExactCast(from, getElementTypeOrSelf(cast.getResult())))
        return value;
      value = cast.getInput();
    } else if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
      if (transpose.getPermutation() != ArrayRef<int64_t>{1, 0})
        return value;
      swapped = !swapped;
      value = transpose.getInput();
    } else {
      return value;
    }
  }
  return value;
}

namespace {
/// What a value is made of, without looking further than needed.
struct Origin {
  bool argument = false; ///< an argument of the function, moved or cast
  bool constant = true;  ///< constants only
};
} // namespace

static Origin getOrigin(Value value) {
  SmallVector<Value> todo = {value};
  llvm::DenseSet<Value> seen;
  bool onlyMoved = true;
  Origin origin;
  while (!todo.empty()) {
    Value next = todo.pop_back_val();
    if (!seen.insert(next).second)
      continue;
    Operation *op = next.getDefiningOp();
    if (!op) {
      origin.constant = false;
      origin.argument = onlyMoved;
      return origin;
    }
    bool moves = isa<nq::CastOp, linalg::TransposeOp, tensor::ExpandShapeOp,
                     tensor::CollapseShapeOp>(op);
    onlyMoved &= moves;
    if (moves) {
      todo.push_back(op->getOperand(0)); // the rest is the destination
      continue;
    }
    op->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        if (Operation *producer = operand.getDefiningOp();
            producer ? producer->getBlock() == op->getBlock()
                     : operand.getParentBlock() == op->getBlock())
          todo.push_back(operand);
    });
  }
  return origin;
}

bool WeightSource::isLinear(nq::MatmulOp op) {
  bool swapped = false;
  Value b = peel(op.getB(), swapped);
  if (b.getDefiningOp<nq::ConstantOp>() || b.getDefiningOp<arith::ConstantOp>())
    return true;
  Origin origin = getOrigin(b);
  bool matrix = cast<RankedTensorType>(op.getB().getType()).getRank() == 2;
  return origin.constant || (origin.argument && matrix) ||
         getOrigin(op.getA()).constant;
}

WeightSource WeightSource::get(nq::MatmulOp op, std::string &why) {
  WeightSource source;
  bool swapped = false;
  Value b = peel(op.getB(), swapped);
  if (auto constant = b.getDefiningOp<nq::ConstantOp>();
      constant && constant.getScales()) {
    why = "its weight is quantized in the model";
    return source;
  }
  source.constant = ConstantSource::get(b);
  if (!source.constant) {
    Origin origin = getOrigin(b);
    if (origin.argument)
      why = "its weight is an input of the model, not a constant";
    else if (getOrigin(op.getA()).constant && !origin.constant)
      why = "its weight is the left operand of the product";
    else if (isa_and_present<nq::ConstantOp, arith::ConstantOp>(
                 b.getDefiningOp()))
      llvm::raw_string_ostream(why)
          << "its weight has the element type " << getElementTypeOrSelf(b)
          << ", not f32, f16 or bf16";
    else if (origin.constant)
      why = "its weight is computed from constants at run time";
    else
      why = "it multiplies two activations";
    return source;
  }
  source.type = cast<RankedTensorType>(b.getType());
  source.kn = swapped ? op.getTransposeB() : !op.getTransposeB();
  ArrayRef<int64_t> shape = source.type.getShape();
  for (int64_t extent : shape.drop_back(2))
    source.batch *= extent;
  source.n = source.kn ? shape.back() : shape.end()[-2];
  source.k = source.kn ? shape.end()[-2] : shape.back();
  return source;
}

SmallVector<int64_t> WeightSource::getShapeNK() const {
  SmallVector<int64_t> shape(type.getShape());
  shape.end()[-2] = n;
  shape.back() = k;
  return shape;
}

void WeightSource::readRows(int64_t first, int64_t count, float *out) const {
  if (!kn)
    return constant.read(first * k, count * k, out);
  // Columns of a [K, N] matrix: short runs of each of its rows.
  int64_t matrix = first / n * n * k, column = first % n;
  std::vector<float> run(count);
  for (int64_t i = 0; i < k; ++i) {
    constant.read(matrix + i * n + column, count, run.data());
    for (int64_t j = 0; j < count; ++j)
      out[j * k + i] = run[j];
  }
}
