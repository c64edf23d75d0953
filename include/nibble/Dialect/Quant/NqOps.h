// The graph dialect `nq`: scaled element types, layouts, ops.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_DIALECT_QUANT_NQOPS_H
#define NIBBLE_DIALECT_QUANT_NQOPS_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/PatternMatch.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/Quant/NqDialect.h.inc"
#include "dialects/Quant/NqEnums.h.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/Quant/NqTypes.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Quant/NqAttrs.h.inc"

namespace nibble::nq {
/// What a kernel asks of one operand or result: a layout (null: row-major), or
/// nothing, if it addresses any.
struct RequiredLayout {
  LayoutAttr layout;
  bool any = false;
  bool operator==(const RequiredLayout &other) const {
    return layout == other.layout && any == other.any;
  }
};
struct RequiredLayouts {
  llvm::SmallVector<RequiredLayout> operands, results;
};
} // namespace nibble::nq

#include "dialects/Quant/NqInterfaces.h.inc"
#define GET_OP_CLASSES
#include "dialects/Quant/NqOps.h.inc"

namespace nibble::nq {

/// The scaled element type of a tensor type, or null.
ScaledType getScaledElement(mlir::Type type);

/// Layout in the encoding of a tensor type, or null (row-major).
LayoutAttr getLayout(mlir::Type type);

/// Raw bytes of a constant attribute in row-major order, little endian, i1 one
/// byte each, without copying where the storage allows it (resources always).
/// `scratch` backs the result when bytes must be expanded (splats, i1). Returns
/// failure if a resource has no data.
mlir::FailureOr<llvm::ArrayRef<char>>
getRawBytes(mlir::ElementsAttr attr, llvm::SmallVectorImpl<char> &scratch);

/// Bytes of `count` elements of a plain element type in run-time storage (i1
/// one byte each, 4-bit formats two per byte).
int64_t getPlainBytes(mlir::Type element, int64_t count);

/// Offsets in bytes of the regions of a value in run-time storage: codes | pad
/// to 64 | scales | pad to 64 | global | pad to 64 | zero points. Regions that
/// a type lacks have the offset of the end. `total` is the size of the buffer.
/// Honors the layout of the type: padding of tiles counts.
struct StorageRegions {
  int64_t codes = 0, codeBytes = 0;
  int64_t scales = 0, scaleBytes = 0;
  int64_t global = 0, zeroPoints = 0;
  int64_t total = 0;
};
StorageRegions getStorageRegions(mlir::RankedTensorType type);

} // namespace nibble::nq

#endif // NIBBLE_DIALECT_QUANT_NQOPS_H
