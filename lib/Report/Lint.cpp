// lint: hazards in the structure of a canonical graph.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Report/Lint.h"

#include "LintConstant.h"

#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Threading.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace nibble;

/// The copy engine of the GPU targets wants rows to begin at multiples of this.
static constexpr int64_t kPitchBytes = 16;

/// Ops that hand elements on as they are, elsewhere.
static bool keepsElements(Operation *op) {
  return isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp,
             tensor::ExtractSliceOp, tensor::ConcatOp, linalg::TransposeOp,
             nq::ReformatOp>(op);
}

static bool isProduct(Operation *op) {
  return isa<nq::MatmulOp, nq::AttentionOp>(op);
}

/// Who computes with a value, through ops that only move it.
static llvm::SetVector<Operation *> getConsumers(Value value) {
  llvm::SetVector<Operation *> consumers, moved;
  for (Operation *user : value.getUsers())
    (keepsElements(user) ? moved : consumers).insert(user);
  for (size_t i = 0; i < moved.size(); ++i)
    for (Value result : moved[i]->getResults())
      for (Operation *user : result.getUsers())
        (keepsElements(user) ? moved : consumers).insert(user);
  return consumers;
}

/// Who computed a value, through ops that only move it; null for arguments and
/// for what is put together from several.
static Operation *getProducer(Value value) {
  Operation *op = value.getDefiningOp();
  while (op && keepsElements(op) && !isa<tensor::ConcatOp>(op))
    op = op->getOperand(0).getDefiningOp();
  return op;
}

static ElementsAttr getConstant(Value value) {
  Operation *op = value ? value.getDefiningOp() : nullptr;
  if (auto constant = dyn_cast_if_present<arith::ConstantOp>(op))
    return dyn_cast<ElementsAttr>(constant.getValue());
  if (auto constant = dyn_cast_if_present<nq::ConstantOp>(op))
    return constant.getCodes();
  return {};
}

static std::string quote(Operation *op) {
  return ("'" + op->getName().getStringRef() + "' of layer '" +
          getLayerName(op->getLoc()) + "'")
      .str();
}

static std::string printElement(Value value) {
  std::string text;
  llvm::raw_string_ostream(text)
      << cast<RankedTensorType>(value.getType()).getElementType();
  return StringRef(text).starts_with("!nq.") ? text.substr(4) : text;
}

namespace {

class Linter {
public:
  std::vector<Hazard> run(ModuleOp module) {
    lintConstants(module);
    for (auto function : module.getOps<func::FuncOp>())
      if (function->hasAttr(kEntryAttr))
        function.walk([&](Operation *op) { visit(op); });
    return std::move(hazards);
  }

private:
  /// Every byte of every weight is looked at: on all threads.
  void lintConstants(ModuleOp module) {
    SmallVector<nq::ConstantOp> ops;
    module.walk([&](nq::ConstantOp op) { ops.push_back(op); });
    std::vector<std::vector<Hazard>> found(ops.size());
    parallelFor(module.getContext(), 0, ops.size(), [&](size_t i) {
      lintConstant(ops[i], getReader(ops[i]), found[i]);
    });
    for (auto [op, list] : llvm::zip(ops, found))
      ofConstants[op] = std::move(list);
  }

  void visit(Operation *op) {
    if (auto found = ofConstants.find(op); found != ofConstants.end())
      return llvm::append_range(hazards, found->second);
    if (auto quantize = dyn_cast<nq::QuantizeOp>(op))
      return visitQuantize(quantize);
    if (auto dequantize = dyn_cast<nq::DequantizeOp>(op))
      return visitDequantize(dequantize);
    if (auto matmul = dyn_cast<nq::MatmulOp>(op))
      return visitMatmul(matmul);
    if (auto cast = dyn_cast<nq::CastOp>(op))
      return visitCast(cast);
    if (auto transpose = dyn_cast<linalg::TransposeOp>(op))
      return visitTranspose(transpose);
  }

  void add(StringRef id, Operation *op, std::string why, std::string fix) {
    hazards.push_back({id.str(), getLayerName(op->getLoc()).str(),
                       op->getName().stripDialect().str(), std::move(why),
                       std::move(fix)});
  }

  /// The layer that computes with a constant.
  static StringRef getReader(nq::ConstantOp constant) {
    for (Operation *user : getConsumers(constant.getResult()))
      if (isProduct(user))
        return getLayerName(user->getLoc());
    return getLayerName(constant.getLoc());
  }

  //===--- Scales of activations --------------------------------------------===

  void visitQuantize(nq::QuantizeOp op) {
    checkScales(op);
    checkRequantized(op);
  }

  void checkScales(nq::QuantizeOp op) {
    ElementsAttr scale = getConstant(op.getScale()),
                 global = getConstant(op.getGlobal());
    for (ElementsAttr attr : {scale, global})
      if (attr)
        if (std::string why = whyBadScale(attr, attr.getElementType());
            !why.empty())
          return add("bad-scale", op, "a scale of the activation " + why,
                     "calibrate again; the layer computes nothing of use");
    if (scale && isExactlyOne(scale))
      add("default-scale", op,
          "the scale of the activation is 1, the default: it was never "
          "calibrated, and " +
              printElement(op.getResult()) + " rounds or clips what it gets",
          "calibrate on sample inputs");
    if (global && isExactlyOne(global))
      add("global-one", op,
          "the global scale of the activation was left at 1: block scales of "
          "small values fall to zero or to few bits",
          "calibrate: set it to amax / 2688 for NVFP4");
  }

  //===--- Quantized, but not multiplied ------------------------------------===

  /// Codes that leave the graph or go into a state are wanted as such; all
  /// others are multiplied or dequantized again.
  void visitDequantize(nq::DequantizeOp op) {
    Operation *source = getProducer(op.getInput());
    if (!isa_and_present<nq::QuantizeOp, nq::ConstantOp>(source))
      return; // quantized outside of the model
    for (Operation *user : getConsumers(op.getResult())) {
      if (isa<nq::QuantizeOp>(user))
        continue; // see checkRequantized
      std::string format = printElement(op.getInput());
      if (isProduct(user))
        return add("qdq-island", op,
                   quote(user) +
                       " multiplies values that were dequantized from " +
                       format + ": no scaled product covers these scales",
                   "use blocks along K (the summed dimension), one scale per "
                   "output channel, or one per tensor");
      return add("qdq-island", op,
                 quote(user) + " computes with values that were rounded to " +
                     format + ", without a product that gains by it",
                 isa<nq::ConstantOp>(source)
                     ? "store this constant in f16 or bf16, or accept the "
                       "rounding for its size"
                     : "let it read the tensor in front of the quantizer");
    }
  }

  //===--- Conversions in a row ---------------------------------------------===

  void checkRequantized(nq::QuantizeOp op) {
    Operation *before = getProducer(op.getInput());
    while (isa_and_present<nq::CastOp>(before))
      before = getProducer(before->getOperand(0));
    auto dequantize = dyn_cast_if_present<nq::DequantizeOp>(before);
    if (dequantize)
      add("reformat-chain", op,
          "values go from " + printElement(dequantize.getInput()) + " (" +
              quote(dequantize) + ") to " + printElement(op.getResult()) +
              " and are rounded twice",
          "use one quantizer with one scale for both readers");
  }

  void visitCast(nq::CastOp op) {
    if (auto before =
            dyn_cast_if_present<nq::CastOp>(getProducer(op.getInput())))
      add("reformat-chain", op,
          "values go from " + printElement(before.getInput()) + " over " +
              printElement(before.getResult()) + " to " +
              printElement(op.getResult()) +
              ": the rounding in between cannot be merged",
          "convert once");
  }

  void visitTranspose(linalg::TransposeOp op) {
    Operation *before = op.getInput().getDefiningOp();
    while (
        isa_and_present<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(before))
      before = before->getOperand(0).getDefiningOp();
    if (isa_and_present<linalg::TransposeOp>(before) && before->hasOneUse())
      add("reformat-chain", op,
          "the tensor is transposed by " + quote(before) +
              " and then again: it moves twice",
          "write one transpose");
  }

  //===--- Alignment --------------------------------------------------------===

  void visitMatmul(nq::MatmulOp op) {
    if (!isa_and_present<nq::ConstantOp, arith::ConstantOp>(
            getProducer(op.getB())))
      return; // products of activations are part of attention
    if (checkBlocks(op))
      checkPitch(op);
  }

  /// Blocks of scales end where K ends.
  bool checkBlocks(nq::MatmulOp op) {
    for (Value operand : {op.getA(), op.getB()}) {
      auto type = cast<RankedTensorType>(operand.getType());
      nq::ScaledType scaled = nq::getScaledElement(type);
      if (!scaled)
        continue;
      bool isB = operand == op.getB();
      int64_t dim = type.getRank() - (isB && !op.getTransposeB() ? 2 : 1);
      int64_t block = scaled.getBlockFor(type.getShape())[dim];
      if (op.getK() % block == 0)
        continue;
      add("misaligned-k", op,
          llvm::formatv("K = {0} is not a multiple of the block of {1}: the "
                        "last block of every row is partial, which no tensor "
                        "core takes",
                        op.getK(), block),
          llvm::formatv("pad K to {0} in the model",
                        llvm::alignTo(op.getK(), block)));
      return false;
    }
    return true;
  }

  void checkPitch(nq::MatmulOp op) {
    auto type = cast<RankedTensorType>(op.getA().getType());
    nq::ScaledType scaled = nq::getScaledElement(type);
    int64_t bits =
        scaled ? scaled.getStorageBits() : type.getElementTypeBitWidth();
    int64_t unit = kPitchBytes * 8 / bits, k = op.getK();
    if (k % unit == 0)
      return;
    add("misaligned-k", op,
        llvm::formatv("K = {0} of {1} makes rows that are no multiple of {2} "
                      "bytes: they are stored with padding to K = {3}",
                      k, printElement(op.getA()), kPitchBytes,
                      llvm::alignTo(k, unit)),
        llvm::formatv("make K a multiple of {0}", unit));
  }

  DenseMap<Operation *, std::vector<Hazard>> ofConstants;
  std::vector<Hazard> hazards;
};

} // namespace

std::vector<Hazard> nibble::lint(ModuleOp module) {
  return Linter().run(module);
}

void nibble::remarkHazards(ModuleOp module, ArrayRef<Hazard> hazards) {
  for (const Hazard &hazard : hazards)
    mlir::remark::analysis(
        module.getLoc(),
        mlir::remark::RemarkOpts::name("lint").category(kRemarkCategory))
        << RemarkArg("id", hazard.id) << RemarkArg("layer", hazard.layer)
        << RemarkArg("op", hazard.op) << RemarkArg("why", hazard.why)
        << RemarkArg("fix", hazard.fix);
}
