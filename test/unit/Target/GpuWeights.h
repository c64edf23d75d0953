// Types of matrices in kernels' text, stored as generators want them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TARGET_GPUWEIGHTS_H
#define NIBBLE_TEST_UNIT_TARGET_GPUWEIGHTS_H

#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/KernelSelect/Layouts.h"

#include "mlir/AsmParser/AsmParser.h"

namespace nibble {
namespace test {

inline std::string tensor(int64_t rows, int64_t columns,
                          const std::string &element) {
  return "tensor<" + std::to_string(rows) + "x" + std::to_string(columns) +
         "x" + element + ">";
}

/// The type of a weight [n, k], or [k, n] if it is not transposed, with the
/// layout that `getLayout` gives it.
inline std::string
weight(int64_t n, int64_t k, const std::string &element, bool transposed,
       llvm::function_ref<nq::LayoutAttr(mlir::RankedTensorType, MatrixDims)>
           getLayout) {
  mlir::MLIRContext context;
  context.loadDialect<nq::NqDialect>();
  auto type = llvm::cast<mlir::RankedTensorType>(mlir::parseType(
      transposed ? tensor(n, k, element) : tensor(k, n, element), &context));
  MatrixDims dims = transposed ? MatrixDims{0, 1} : MatrixDims{1, 0};
  std::string text;
  llvm::raw_string_ostream(text) << mlir::RankedTensorType::get(
      type.getShape(), type.getElementType(), getLayout(type, dims));
  return text;
}

/// f16, or bf16.
inline mlir::Type activation(mlir::MLIRContext *context, const std::string &a) {
  if (a == "bf16")
    return mlir::BFloat16Type::get(context);
  return mlir::Float16Type::get(context);
}

/// A kernel of the product of [m, k], which are `a`, or codes of it with scales
/// `per` something, and a weight of type `right`.
inline std::string expandedProduct(int64_t m, int64_t n, int64_t k,
                                   const std::string &a,
                                   const std::string &right,
                                   const std::string &result,
                                   const std::string &attributes,
                                   bool transposed, const std::string &per) {
  std::string left = tensor(m, k,
                            per.empty()
                                ? a
                                : "!nq.scaled<" + a + ", f32 per " + per + ">"),
              y = tensor(m, n, result);
  return "func.func @k(%a: " + left + ", %b: " + right + ") -> " + y +
         " attributes " + attributes + " {\n%y = nq.matmul %a, %b " +
         (transposed ? "transpose_b " : "") + ": (" + left + ", " + right +
         ") -> " + y + "\nreturn %y : " + y + "\n}";
}

} // namespace test
} // namespace nibble

#endif // NIBBLE_TEST_UNIT_TARGET_GPUWEIGHTS_H
