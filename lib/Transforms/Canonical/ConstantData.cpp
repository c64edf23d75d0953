// Data of constants, whatever op holds them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ConstantData.h"

#include "nibble/Reference/RefTensor.h"

#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace nibble;

ElementsAttr nibble::getPlainConstant(Value value) {
  if (auto constant = value.getDefiningOp<nq::ConstantOp>())
    return constant.getScales() ? ElementsAttr() : constant.getCodes();
  ElementsAttr attr;
  if (matchPattern(value, m_Constant(&attr)))
    return attr;
  return {};
}

bool nibble::hasSameBytes(ElementsAttr a, ElementsAttr b) {
  if (a == b)
    return true;
  if (!a || !b || a.getElementType() != b.getElementType() ||
      a.getNumElements() != b.getNumElements())
    return false;
  SmallVector<char> scratchA, scratchB;
  auto bytesA = nq::getRawBytes(a, scratchA),
       bytesB = nq::getRawBytes(b, scratchB);
  return succeeded(bytesA) && succeeded(bytesB) && *bytesA == *bytesB;
}

bool nibble::isSameValue(Value a, Value b) {
  if (a == b)
    return true;
  if (!a || !b)
    return false;
  ElementsAttr x = getPlainConstant(a), y = getPlainConstant(b);
  return x && y && hasSameBytes(x, y);
}

std::optional<std::vector<double>> nibble::getNumbers(Value value) {
  ElementsAttr attr = getPlainConstant(value);
  if (!attr)
    return std::nullopt;
  rt::StorageFormat format = ref::getFormat(attr.getElementType());
  SmallVector<char> scratch;
  auto bytes = nq::getRawBytes(attr, scratch);
  if (format == rt::StorageFormat::None || failed(bytes))
    return std::nullopt;
  std::vector<double> numbers(attr.getNumElements());
  rt::decodeArray(format, bytes->data(), 0, numbers.size(), numbers.data());
  return numbers;
}
