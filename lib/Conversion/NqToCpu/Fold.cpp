// How the accumulators of a reduction are combined.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Fold.h"
#include "GpuCode.h"
#include "LaneMath.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using vector::CombiningKind;

namespace nibble {
namespace cpu {

arith::MulFOp findFusedProduct(Value term) {
  auto product = term.getDefiningOp<arith::MulFOp>();
  bool fuses = product && bitEnumContainsAll(product.getFastmath(),
                                             arith::FastMathFlags::contract);
  return fuses ? product : arith::MulFOp();
}

Value combine(ImplicitLocOpBuilder &b, const Reduction &reduction, unsigned i,
              Value term, Value accumulator) {
  CombiningKind kind = reduction.kinds[i];
  if (kind == CombiningKind::ADD)
    if (arith::MulFOp product = findFusedProduct(term))
      return math::FmaOp::create(b, product.getLhs(), product.getRhs(),
                                 accumulator);
  // What is one instruction: of GPUs, without the NaN cases of arith.
  if (kind == CombiningKind::MAXNUMF && reduction.looseMaximum) {
    if (isGpuCode(b))
      return LLVM::MaxNumOp::create(b, term, accumulator);
    Value larger =
        arith::CmpFOp::create(b, arith::CmpFPredicate::OGT, term, accumulator);
    return arith::SelectOp::create(b, larger, term, accumulator);
  }
  arith::FastMathFlagsAttr flags;
  if (isa<FloatType>(getElementTypeOrSelf(term)) &&
      (kind == CombiningKind::ADD || kind == CombiningKind::MUL))
    flags = arith::FastMathFlagsAttr::get(b.getContext(),
                                          arith::FastMathFlags::contract);
  return vector::makeArithReduction(b, b.getLoc(), kind, term, accumulator,
                                    flags);
}

Value neutral(ImplicitLocOpBuilder &b, const Reduction &reduction, unsigned i,
              Type type) {
  CombiningKind kind = reduction.kinds[i];
  Type element = getElementTypeOrSelf(type);
  if (isa<FloatType>(element)) {
    double inf = std::numeric_limits<double>::infinity();
    switch (kind) {
    case CombiningKind::MUL:
      return splatConstant(b, type, 1.0);
    case CombiningKind::MAXNUMF:
    case CombiningKind::MAXIMUMF:
      return splatConstant(b, type, -inf);
    case CombiningKind::MINNUMF:
    case CombiningKind::MINIMUMF:
      return splatConstant(b, type, inf);
    default:
      return splatConstant(b, type, 0.0);
    }
  }
  unsigned bits = element.isIndex() ? 64 : element.getIntOrFloatBitWidth();
  int64_t top = bits == 1 ? 0 : int64_t((uint64_t(1) << (bits - 1)) - 1);
  switch (kind) {
  case CombiningKind::MUL:
    return splatConstant(b, type, 1);
  case CombiningKind::MAXSI:
    return splatConstant(b, type, -top - 1);
  case CombiningKind::MINSI:
    return splatConstant(b, type, top);
  case CombiningKind::MINUI:
  case CombiningKind::AND:
    return splatConstant(b, type, -1);
  default:
    return splatConstant(b, type, 0);
  }
}

} // namespace cpu
} // namespace nibble
