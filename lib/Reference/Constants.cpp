// Constants from values: what import and canonicalization fold with.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Reference/Interpreter.h"

#include "Eval.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/DialectResourceBlobManager.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;

/// Largest arith.constant; more goes to a resource.
constexpr int64_t inlineBytes = 4096;

/// Evaluates without diagnostics: not being constant is no error.
static FailureOr<RefTensor> evaluateQuietly(Value value) {
  ScopedDiagnosticHandler silence(value.getContext(),
                                  [](Diagnostic &) { return success(); });
  return Interpreter().evaluate(value);
}

std::optional<ElementsAttr> nibble::ref::evaluateToAttr(Value value,
                                                        int64_t maxBytes) {
  RankedTensorType type = getTensorType(value);
  if (!type || nq::getScaledElement(type) ||
      getFormat(type.getElementType()) == rt::StorageFormat::None ||
      nq::getPlainBytes(type.getElementType(), type.getNumElements()) >
          maxBytes)
    return std::nullopt;
  auto tensor = evaluateQuietly(value);
  if (failed(tensor))
    return std::nullopt;
  return tensor->toAttr();
}

static DenseResourceElementsAttr
makeResource(RankedTensorType type, ArrayRef<char> bytes, StringRef name) {
  auto blob = HeapAsmResourceBlob::allocateAndCopyWithAlign(bytes, 64);
  return DenseResourceElementsAttr::get(type, name, std::move(blob));
}

static Value makePlain(const RefTensor &tensor, Location loc,
                       OpBuilder &builder) {
  RankedTensorType type = tensor.getType();
  int64_t bytes = nq::getPlainBytes(type.getElementType(), tensor.size());
  if (bytes <= inlineBytes && !type.getEncoding())
    return arith::ConstantOp::create(builder, loc, type,
                                     cast<TypedAttr>(tensor.toAttr()));
  ElementsAttr data = tensor.isSplat()
                          ? tensor.toAttr()
                          : makeResource(tensor.getLinearType(),
                                         tensor.toLinearStorage(), "folded");
  return nq::ConstantOp::create(builder, loc, type, data, ElementsAttr(),
                                ElementsAttr(), ElementsAttr());
}

static Value makeScaled(const RefTensor &tensor, Location loc,
                        OpBuilder &builder) {
  auto scaled = nq::getScaledElement(tensor.getType());
  RefTensor::ScaledParts parts = tensor.getScaledParts();
  auto resource = [&](ArrayRef<char> bytes, StringRef name) -> ElementsAttr {
    auto type =
        RankedTensorType::get({int64_t(bytes.size())}, builder.getI8Type());
    return makeResource(type, bytes, name);
  };
  ElementsAttr global, zeroPoints;
  if (scaled.getGlobal())
    global = RefTensor::splat(RankedTensorType::get({}, scaled.getGlobal()),
                              parts.global)
                 .toAttr();
  if (scaled.getZeroPoint())
    zeroPoints = resource(parts.zeroPoints, "folded_zero_points");
  return nq::ConstantOp::create(
      builder, loc, tensor.getType(), resource(parts.codes, "folded_codes"),
      resource(parts.scales, "folded_scales"), global, zeroPoints);
}

Value nibble::ref::materializeConstant(Value value, OpBuilder &builder) {
  auto tensor = evaluateQuietly(value);
  if (failed(tensor))
    return {};
  // Scalars stay what they are.
  if (!isa<RankedTensorType>(value.getType()))
    return {};
  return tensor->isScaled() ? makeScaled(*tensor, value.getLoc(), builder)
                            : makePlain(*tensor, value.getLoc(), builder);
}
