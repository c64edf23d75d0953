// Registration and storage facts of the dialect `nq`.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;

#include "dialects/Quant/NqDialect.cpp.inc"

void NqDialect::initialize() {
  registerTypes();
  registerAttributes();
  addOperations<
#define GET_OP_LIST
#include "dialects/Quant/NqOps.cpp.inc"
      >();
}

ScaledType nq::getScaledElement(Type type) {
  auto shaped = dyn_cast_if_present<ShapedType>(type);
  return shaped ? dyn_cast<ScaledType>(shaped.getElementType()) : ScaledType();
}

LayoutAttr nq::getLayout(Type type) {
  auto tensor = dyn_cast_if_present<RankedTensorType>(type);
  return tensor ? dyn_cast_if_present<LayoutAttr>(tensor.getEncoding())
                : LayoutAttr();
}

int64_t nq::getPlainBytes(Type element, int64_t count) {
  if (element.isIndex())
    return count * 8;
  unsigned bits = element.getIntOrFloatBitWidth();
  if (bits == 4)
    return llvm::divideCeil(count, 2);
  return count * llvm::divideCeil(bits, 8);
}

/// Repeats the bytes of a splat, or widens i1 to bytes.
static ArrayRef<char> expandDense(DenseElementsAttr dense,
                                  SmallVectorImpl<char> &scratch) {
  scratch.clear();
  if (dense.getElementType().isInteger(1)) {
    for (bool bit : dense.getValues<bool>())
      scratch.push_back(bit ? 1 : 0);
    return scratch;
  }
  ArrayRef<char> one = dense.getRawData();
  for (int64_t i = 0, e = dense.getNumElements(); i < e; ++i)
    scratch.append(one.begin(), one.end());
  return scratch;
}

/// Packs one-byte 4-bit elements (as DenseElementsAttr keeps them) in pairs.
static ArrayRef<char> packNibbles(ArrayRef<char> bytes,
                                  SmallVectorImpl<char> &scratch) {
  SmallVector<char> packed(llvm::divideCeil(bytes.size(), size_t(2)), 0);
  for (size_t i = 0; i < bytes.size(); ++i)
    packed[i / 2] |= (bytes[i] & 15) << (4 * (i % 2));
  scratch.assign(packed.begin(), packed.end());
  return scratch;
}

FailureOr<ArrayRef<char>> nq::getRawBytes(ElementsAttr attr,
                                          SmallVectorImpl<char> &scratch) {
  if (auto resource = dyn_cast<DenseResourceElementsAttr>(attr)) {
    AsmResourceBlob *blob = resource.getRawHandle().getBlob();
    if (!blob)
      return failure();
    return blob->getData();
  }
  auto dense = dyn_cast<DenseElementsAttr>(attr);
  if (!dense)
    return failure();
  Type element = dense.getElementType();
  ArrayRef<char> bytes = dense.getRawData();
  if (dense.isSplat() || element.isInteger(1))
    bytes = expandDense(dense, scratch);
  if (element.isIntOrFloat() && element.getIntOrFloatBitWidth() == 4)
    bytes = packNibbles(bytes, scratch);
  return bytes;
}

StorageRegions nq::getStorageRegions(RankedTensorType type) {
  StorageRegions regions;
  LayoutAttr layout = getLayout(type);
  auto count = [](LayoutAttr layout, ArrayRef<int64_t> shape) {
    return layout ? layout.getStorageSize(shape)
                  : ShapedType::getNumElements(shape);
  };
  int64_t codes = count(layout, type.getShape());
  auto scaled = dyn_cast<ScaledType>(type.getElementType());
  if (!scaled) {
    regions.codeBytes = getPlainBytes(type.getElementType(), codes);
    regions.total = regions.codeBytes;
    regions.scales = regions.global = regions.zeroPoints = regions.total;
    return regions;
  }
  auto grid = scaled.getScaleGrid(type.getShape());
  int64_t scales = count(layout ? layout.getScales() : LayoutAttr(), grid);
  regions.codeBytes = llvm::divideCeil(codes * scaled.getStorageBits(), 8);
  regions.scales = llvm::alignTo(regions.codeBytes, 64);
  regions.scaleBytes = getPlainBytes(scaled.getScale(), scales);
  regions.total = regions.scales + regions.scaleBytes;
  regions.global = regions.zeroPoints = regions.total;
  if (scaled.getGlobal()) {
    regions.global = llvm::alignTo(regions.total, 64);
    regions.total = regions.global + getPlainBytes(scaled.getGlobal(), 1);
    regions.zeroPoints = regions.total;
  }
  if (scaled.getZeroPoint()) {
    regions.zeroPoints = llvm::alignTo(regions.total, 64);
    regions.total = regions.zeroPoints + scales;
  }
  return regions;
}
