// Attention on Blackwell's tensor cores: what weights that become codes are
// divided by, between the two walks over the keys.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionTcgen05Kernel.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

#include <limits>

using namespace mlir;

namespace nibble {
namespace gpu {

Value AttentionTcgen05Kernel::isZero(Value x) {
  return LLVM::FCmpOp::create(code, LLVM::FCmpPredicate::oeq, x, number(0));
}

/// Weights of rows that saw nothing are zeros.
void AttentionTcgen05Kernel::findShare(AttentionRow &row) {
  if (plan.splits > 1)
    exchangeTotals(row);
  Value whole =
      LLVM::FMulOp::create(code, row.total, number(shape.weightCodes->scale));
  Value share = LLVM::FDivOp::create(code, number(1), whole);
  row.share = code.selectAny(isZero(row.total), number(0), share);
}

/// Each thread tells those of its row in all blocks of the cluster, its own
/// among them, so that all add up in the same order.
void AttentionTcgen05Kernel::sendTotals(const AttentionRow &row) {
  Int place = code.add(code.mul(split, plan.rows() * 8), code.shl(thread, 3));
  for (int64_t block = 0; block < plan.splits; ++block)
    code.emitAsm(
        "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 "
        "[$0], {$1, $2}, [$3];",
        "r,f,f,r,~{memory}", {},
        {code.get(placeAt(block, code.add(place, plan.receivedBegin()))),
         row.exponent, row.total, code.get(placeAt(block, totalsBarrier()))},
        /*hasEffects=*/true);
}

void AttentionTcgen05Kernel::exchangeTotals(AttentionRow &row) {
  sendTotals(row);
  waitFor(code.at(memory, totalsBarrier()), code.get(0));
  auto type = VectorType::get(2, code.getF32Type());
  Values exponents, totals;
  for (int64_t block = 0; block < plan.splits; ++block) {
    Int place = code.add(code.shl(thread, 3),
                         plan.receivedBegin() + block * plan.rows() * 8);
    Value both = LLVM::LoadOp::create(code, type, code.at(memory, place), 8);
    exponents.push_back(
        LLVM::ExtractElementOp::create(code, both, code.get(0)));
    totals.push_back(LLVM::ExtractElementOp::create(code, both, code.get(1)));
  }
  MergedTotals merged = mergeTotals(exponents, totals);
  row.exponent =
      code.selectAny(isZero(merged.total), number(0), merged.exponent);
  row.total = merged.total;
}

AttentionTcgen05Kernel::MergedTotals
AttentionTcgen05Kernel::mergeTotals(ArrayRef<Value> exponents,
                                    ArrayRef<Value> totals) {
  MergedTotals merged;
  Value &lowest = merged.exponent, &all = merged.total;
  Values counted;
  for (auto [exponent, total] : llvm::zip(exponents, totals)) {
    counted.push_back(code.selectAny(
        isZero(total), number(std::numeric_limits<float>::infinity()),
        exponent));
    lowest =
        lowest
            ? LLVM::MinNumOp::create(code, lowest, counted.back()).getResult()
            : counted.back();
  }
  for (auto [exponent, total] : llvm::zip(counted, totals)) {
    Value factor = exp2(LLVM::FSubOp::create(code, lowest, exponent));
    factor = code.selectAny(isZero(total), number(0), factor);
    merged.factors.push_back(factor);
    all = all ? LLVM::FMAOp::create(code, factor, total, all).getResult()
              : LLVM::FMulOp::create(code, factor, total).getResult();
  }
  return merged;
}

} // namespace gpu
} // namespace nibble
