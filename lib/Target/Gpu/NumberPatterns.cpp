// What passes share that write instructions for numbers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "NumberPatterns.h"

#include "mlir/IR/Matchers.h"

using namespace mlir;

namespace nibble {
namespace gpu {

bool isFlat(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  return !vector || (vector.getRank() == 1 && !vector.isScalable());
}

SmallVector<Value> unpack(ImplicitLocOpBuilder &b, Value value) {
  auto vector = dyn_cast<VectorType>(value.getType());
  if (!vector)
    return {value};
  SmallVector<Value> elements;
  for (int64_t i = 0; i < vector.getNumElements(); ++i)
    elements.push_back(vector::ExtractOp::create(b, value, i));
  return elements;
}

Value pack(ImplicitLocOpBuilder &b, Type like, ArrayRef<Value> elements) {
  if (!isa<VectorType>(like))
    return elements[0];
  auto vector =
      VectorType::get(int64_t(elements.size()), elements[0].getType());
  return vector::FromElementsOp::create(b, vector, elements);
}

std::optional<double> getNumber(Value value) {
  if (auto broadcast = value.getDefiningOp<vector::BroadcastOp>())
    value = broadcast.getSource();
  Attribute attr;
  if (!matchPattern(value, m_Constant(&attr)))
    return std::nullopt;
  if (auto splat = dyn_cast<SplatElementsAttr>(attr))
    attr = splat.getSplatValue<Attribute>();
  auto number = dyn_cast<FloatAttr>(attr);
  return number ? std::optional(number.getValueAsDouble()) : std::nullopt;
}

} // namespace gpu
} // namespace nibble
