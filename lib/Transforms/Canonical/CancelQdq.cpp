// cancel-qdq: quantize(dequantize(q)) is q where that holds for every code.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KnownScales.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Reference/RefTensor.h"
#include "nibble/Transforms/CastChain.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/rt/quantize.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Remarks.h"
#include "llvm/Support/Format.h"

#include <cmath>

namespace nibble {
#define GEN_PASS_DEF_CANCELQDQ
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;
using remark::RemarkOpts;
using RemarkArg = remark::detail::Remark::Arg;

/// Codes times scales that are tried at most.
constexpr size_t maxChecks = size_t(1) << 22;

namespace {

/// A quantize, the dequantize that its input comes from, and the roundings from
/// one to the other.
struct Pair {
  QuantizeOp quantize;
  DequantizeOp dequantize;
  SmallVector<CastStep> roundings;

  Value getOriginal() { return dequantize.getInput(); }
};

/// Why a pair stays.
struct Refusal {
  std::string reason, suggestion;
};

} // namespace

static std::optional<Pair> findPair(QuantizeOp op) {
  Pair pair{op, {}, {}};
  Value value = op.getInput();
  while (auto cast = value.getDefiningOp<CastOp>()) {
    pair.roundings.push_back(CastStep::of(cast));
    value = cast.getInput();
  }
  pair.dequantize = value.getDefiningOp<DequantizeOp>();
  if (!pair.dequantize)
    return std::nullopt;
  pair.roundings.push_back({ref::getFormat(getElementTypeOrSelf(value))});
  std::reverse(pair.roundings.begin(), pair.roundings.end());
  return pair;
}

/// The code that dequantize, casts and quantize make of a code.
static uint64_t roundTrip(Pair &pair, ScaledType type, KnownScales::Pair scale,
                          uint64_t code) {
  double x = decodeCode(type, scale, code);
  for (const CastStep &step : pair.roundings)
    x = step.apply(x);
  rt::Overflow overflow = pair.quantize.getSaturate() ? rt::Overflow::Saturate
                                                      : rt::Overflow::NonFinite;
  uint64_t mask = (uint64_t(1) << type.getStorageBits()) - 1;
  return mask & rt::staticCode(static_cast<float>(x),
                               static_cast<float>(scale.effective),
                               scale.zeroPoint,
                               ref::getFormat(type.getStorage()), overflow);
}

/// NaN codes are equal whatever their sign and payload (see CastChain.h).
static bool isSameCode(ScaledType type, uint64_t a, uint64_t b) {
  rt::StorageFormat format = ref::getFormat(type.getStorage());
  return a == b || (std::isnan(rt::decode(format, a)) &&
                    std::isnan(rt::decode(format, b)));
}

static std::string describe(Pair &pair, ScaledType type,
                            KnownScales::Pair scale, uint64_t code) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << "code " << llvm::format_hex(code, 4) << " ("
     << decodeCode(type, scale, code) << ") comes back as "
     << llvm::format_hex(roundTrip(pair, type, scale, code), 4)
     << " under scale " << scale.effective;
  return text;
}

/// Tries every code under every scale.
static std::optional<Refusal> checkCodes(Pair &pair,
                                         const KnownScales &scales) {
  auto pairs = scales.getPairs();
  auto codes = getPossibleCodes(pair.getOriginal());
  if (pairs.size() * codes.size() > maxChecks)
    return Refusal{std::to_string(pairs.size()) +
                       " different scales are too many to try every code",
                   "quantize once in the model"};
  for (KnownScales::Pair scale : pairs)
    for (uint64_t code : codes)
      if (!isSameCode(scales.type, roundTrip(pair, scales.type, scale, code),
                      code))
        return Refusal{describe(pair, scales.type, scale, code),
                       "choose a scale under which every code survives"};
  return std::nullopt;
}

/// Nothing if quantize(dequantize(q)) is q.
static std::optional<Refusal> refuse(Pair &pair) {
  Value original = pair.getOriginal(), result = pair.quantize.getResult();
  if (getScaledElement(original.getType()) !=
      getScaledElement(result.getType()))
    return Refusal{"the scaled types differ",
                   "use one format on both sides of the pair"};
  if (original.getType() != result.getType())
    return Refusal{"the layouts differ", "none needed: layouts come later"};
  if (!pair.quantize.getScale())
    return Refusal{
        "recipe '" + pair.quantize.getRecipe()->str() +
            "' takes its block scales from the data: the largest code of a "
            "block need not give the same scale again",
        "quantize once in the model, or use static scales"};
  auto scales = getKnownScales(pair.quantize);
  if (!scales)
    return Refusal{"the scale is not a constant, so that its codes cannot be "
                   "tried",
                   "make the scale a constant"};
  auto before = getKnownScales(original);
  if (!before)
    return Refusal{"the scales of the first quantization are not known at "
                   "compile time",
                   "use static scales on both sides"};
  if (!(*before == *scales))
    return Refusal{"the scales differ: the value is quantized anew",
                   "use one scale for both if that is not wanted"};
  return checkCodes(pair, *scales);
}

static std::string spell(Pair &pair) {
  std::string text = "dequantize";
  for (const CastStep &step : pair.roundings)
    text += std::string(" -> ") + rt::formatName(step.to);
  return text + " -> quantize";
}

namespace {
struct CancelQdqPass : nibble::impl::CancelQdqBase<CancelQdqPass> {
  void runOnOperation() override {
    SmallVector<QuantizeOp> ops;
    getOperation()->walk([&](QuantizeOp op) { ops.push_back(op); });
    for (QuantizeOp op : ops)
      if (auto pair = findPair(op))
        cancel(*pair);
  }

  static void cancel(Pair &pair) {
    QuantizeOp op = pair.quantize;
    StringRef layer = getLayerName(op->getLoc());
    auto opts = RemarkOpts::name("cancel-qdq").category("nibble");
    if (auto refusal = refuse(pair)) {
      remark::missed(op->getLoc(), opts)
          << RemarkArg("layer", layer) << RemarkArg("chosen", spell(pair))
          << RemarkArg("rejected", "the tensor quantized before")
          << RemarkArg("reason", refusal->reason)
          << RemarkArg("suggestion", refusal->suggestion);
      return;
    }
    remark::passed(op->getLoc(), opts)
        << RemarkArg("layer", layer)
        << RemarkArg("chosen", "the tensor quantized before")
        << RemarkArg("rejected", spell(pair))
        << RemarkArg("reason", "every code comes back under every scale");
    // The dequantize goes if nobody else reads it.
    Value input = op.getInput();
    op.getResult().replaceAllUsesWith(pair.getOriginal());
    op->erase();
    while (Operation *producer = input.getDefiningOp()) {
      if (!isa<CastOp, DequantizeOp>(producer) || !producer->use_empty())
        break;
      input = producer->getOperand(0);
      producer->erase();
    }
  }
};
} // namespace
