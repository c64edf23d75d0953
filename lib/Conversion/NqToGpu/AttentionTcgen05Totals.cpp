// Attention on Blackwell's tensor cores: what weights that become codes are
// divided by, between the two walks over the keys.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionTcgen05Kernel.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace nibble {
namespace gpu {

void AttentionTcgen05Kernel::findShare(AttentionRow &row) {
  if (plan.splits > 1)
    exchangeTotals(row);
  row.share = shareOf(row.total);
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
  MergedRow merged = mergeTotals(exponents, totals);
  row.exponent =
      code.selectAny(isZero(merged.total), number(0), merged.exponent);
  row.total = merged.total;
}

} // namespace gpu
} // namespace nibble
