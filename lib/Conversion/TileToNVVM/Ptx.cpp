// Instructions of PTX, as text.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Ptx.h"

using namespace mlir;

namespace nibble {
namespace tilecode {

SmallVector<Value> emitAsm(ImplicitLocOpBuilder &b, const Twine &text,
                           StringRef constraints, TypeRange results,
                           ValueRange operands, bool hasEffects) {
  Type type;
  if (results.size() == 1)
    type = results.front();
  else if (results.size() > 1)
    type = LLVM::LLVMStructType::getLiteral(b.getContext(),
                                            llvm::to_vector(results));
  auto op = LLVM::InlineAsmOp::create(
      b, type ? TypeRange(type) : TypeRange(), operands, text.str(),
      constraints, hasEffects, /*is_align_stack=*/false,
      LLVM::tailcallkind::TailCallKind::None,
      LLVM::AsmDialectAttr::get(b.getContext(), LLVM::AsmDialect::AD_ATT),
      ArrayAttr());
  if (results.size() <= 1)
    return llvm::to_vector_of<Value>(op->getResults());
  SmallVector<Value> values;
  for (size_t i = 0; i < results.size(); ++i)
    values.push_back(LLVM::ExtractValueOp::create(
        b, op->getResult(0), ArrayRef<int64_t>(int64_t(i))));
  return values;
}

SmallVector<Value> loadWords(ImplicitLocOpBuilder &b, Value address,
                             int64_t count) {
  std::string list, constraints;
  for (int64_t i = 0; i < count; ++i) {
    list += (i ? ", $" : "$") + std::to_string(i);
    constraints += "=r,";
  }
  std::string form = count == 1
                         ? ".b32 $0"
                         : ".v" + std::to_string(count) + ".b32 {" + list + "}";
  return emitAsm(b, "ld.shared" + form + ", [$" + std::to_string(count) + "];",
                 constraints + "r", SmallVector<Type>(count, b.getI32Type()),
                 address, /*hasEffects=*/true);
}

Value loadHalf(ImplicitLocOpBuilder &b, Value address) {
  return emitAsm(b, "ld.shared.u16 $0, [$1];", "=r,r", b.getI32Type(), address,
                 /*hasEffects=*/true)
      .front();
}

} // namespace tilecode
} // namespace nibble
