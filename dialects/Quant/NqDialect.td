//===- NqDialect.td - The graph dialect -------------------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_NQ_DIALECT_TD
#define NIBBLE_NQ_DIALECT_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/BuiltinAttributes.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"

def Nq_Dialect : Dialect {
  let name = "nq";
  let cppNamespace = "::nibble::nq";
  let summary = "Graphs of quantized networks: scaled tensors and the ops whose precision, layout or fusion Nibble decides";
  let description = [{
    A quantized tensor is one SSA value: its element type `!nq.scaled` names
    the storage format, the scale format, the block shape and the global scale.
    Ops of this dialect are those whose precision, layout or fusion is decided
    by Nibble; everything else is linalg, tensor, arith and math.
    See README.md beside this file for the rationale.
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::tensor::TensorDialect"];
  let useDefaultTypePrinterParser = 0;
  let useDefaultAttributePrinterParser = 1;
  let hasConstantMaterializer = 0;
  let extraClassDeclaration = [{
    void registerTypes();
    void registerAttributes();
    ::mlir::Type parseType(::mlir::DialectAsmParser &parser) const override;
    void printType(::mlir::Type type,
                   ::mlir::DialectAsmPrinter &printer) const override;
  }];
}

#endif // NIBBLE_NQ_DIALECT_TD
