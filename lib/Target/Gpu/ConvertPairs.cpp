// gpu-convert-pairs: bf16 in words of two numbers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "NumberPatterns.h"
#include "Passes.h"
#include "nibble/Support/GpuChip.h"

using namespace mlir;

namespace nibble {
namespace gpu {
namespace {

/// Whole pairs of bf16, as words; nothing if the type has none.
VectorType getWords(Type type) {
  auto vector = dyn_cast<VectorType>(type);
  if (!vector || !isFlat(type) || vector.getNumElements() % 2 ||
      !vector.getElementType().isBF16())
    return VectorType();
  return VectorType::get(vector.getNumElements() / 2,
                         IntegerType::get(type.getContext(), 32));
}

SmallVector<Value> unpackWords(ImplicitLocOpBuilder &b, Value halves) {
  return unpack(
      b, vector::BitCastOp::create(b, getWords(halves.getType()), halves));
}

Value packWords(ImplicitLocOpBuilder &b, Type type, ArrayRef<Value> words) {
  Value all = pack(b, type, words);
  return vector::BitCastOp::create(b, cast<VectorType>(type), all);
}

Value emit(ImplicitLocOpBuilder &b, StringRef text, StringRef constraints,
           ValueRange operands) {
  return LLVM::InlineAsmOp::create(
             b, b.getI32Type(), operands, text, constraints,
             /*has_side_effects=*/false, /*is_align_stack=*/false,
             LLVM::tailcallkind::TailCallKind::None,
             LLVM::AsmDialectAttr::get(b.getContext(),
                                       LLVM::AsmDialect::AD_ATT),
             ArrayAttr())
      .getResult(0);
}

/// A product of two numbers of bf16 is exact in f32, unless it rounds to zero
/// either way.
struct Multiply : OpRewritePattern<arith::TruncFOp> {
  Multiply(MLIRContext *context) : OpRewritePattern(context, /*benefit=*/2) {}
  LogicalResult matchAndRewrite(arith::TruncFOp op,
                                PatternRewriter &rewriter) const final {
    auto product = op.getIn().getDefiningOp<arith::MulFOp>();
    auto source = [&](Value factor) {
      auto wide = factor.getDefiningOp<arith::ExtFOp>();
      return wide && wide.getIn().getType() == op.getType() ? wide.getIn()
                                                            : Value();
    };
    Value x = product ? source(product.getLhs()) : Value(),
          y = product ? source(product.getRhs()) : Value();
    if (!isForBlackwell(op) || !x || !y || !getWords(op.getType()))
      return rewriter.notifyMatchFailure(op, "not a product of pairs of bf16");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    SmallVector<Value> words;
    for (auto [left, right] :
         llvm::zip_equal(unpackWords(b, x), unpackWords(b, y)))
      words.push_back(
          emit(b, "mul.rn.bf16x2 $0, $1, $2;", "=r,r,r", {left, right}));
    rewriter.replaceOp(op, packWords(b, op.getType(), words));
    return success();
  }
};

/// The upper half of an f32 is the number.
struct Widen : OpRewritePattern<arith::ExtFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::ExtFOp op,
                                PatternRewriter &rewriter) const final {
    if (!isForBlackwell(op) || !getWords(op.getIn().getType()) ||
        !getElementTypeOrSelf(op.getType()).isF32())
      return rewriter.notifyMatchFailure(op, "not pairs of bf16 to f32");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value bits = arith::ConstantOp::create(b, b.getI32IntegerAttr(16)),
          upper = arith::ConstantOp::create(b, b.getI32IntegerAttr(-65536));
    SmallVector<Value> numbers;
    for (Value word : unpackWords(b, op.getIn()))
      for (Value half : {Value(arith::ShLIOp::create(b, word, bits)),
                         Value(arith::AndIOp::create(b, word, upper))})
        numbers.push_back(arith::BitcastOp::create(b, b.getF32Type(), half));
    rewriter.replaceOp(op, pack(b, op.getType(), numbers));
    return success();
  }
};

class ConvertPairs : public NumberPass<ConvertPairs> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ConvertPairs)
  StringRef getArgument() const final { return "gpu-convert-pairs"; }
  StringRef getDescription() const final {
    return "Widen and multiply bf16 in pairs, in code for Blackwell";
  }
  /// Products before their factors are widened.
  void runOnOperation() final {
    if (!hasCode(getOperation()))
      return;
    RewritePatternSet products(&getContext()), conversions(&getContext());
    products.add<Multiply>(&getContext());
    conversions.add<Widen>(&getContext());
    apply(std::move(products));
    apply(std::move(conversions));
  }

private:
  /// Other modules stay as they are, dead code included.
  static bool hasCode(Operation *op) {
    return isForBlackwell(op) || op->walk([](Operation *inside) {
                                     return inside->hasAttr(kBlackwellChipAttr)
                                                ? WalkResult::interrupt()
                                                : WalkResult::advance();
                                   }).wasInterrupted();
  }
};

} // namespace

std::unique_ptr<Pass> createConvertPairsPass() {
  return std::make_unique<ConvertPairs>();
}

} // namespace gpu
} // namespace nibble
