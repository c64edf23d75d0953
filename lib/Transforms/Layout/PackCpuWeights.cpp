// pack-cpu-weights: constant matmul operands get the CPU panel layout.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToCpu/MatmulKernel.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/IR/Remarks.h"

namespace nibble {
#define GEN_PASS_DEF_PACKCPUWEIGHTS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;

/// Columns of a panel: two 8-lane f32 registers of AVX2.
static constexpr int64_t kPanel = 16;

/// Panels of kPanel along dimension `n` of a matrix, the other dimension (k)
/// inside a panel, n innermost.
static LayoutAttr getPanelLayout(MLIRContext *context, int64_t n,
                                 LayoutAttr scales) {
  SmallVector<DenseI64ArrayAttr> tiles(2, DenseI64ArrayAttr::get(context, {}));
  tiles[n] = DenseI64ArrayAttr::get(context, {kPanel});
  SmallVector<int64_t> order =
      n == 0 ? SmallVector<int64_t>{0, 2, 1} : SmallVector<int64_t>{1, 0, 2};
  return LayoutAttr::get(context, tiles, order, {}, scales);
}

/// Panels of 4-bit codes: 32 bytes hold 4 steps of k of 16 columns, interleaved
/// so that byte shuffles yield f32 vectors of columns (see GemmWeight.h).
static LayoutAttr getNibblePanelLayout(MLIRContext *context, int64_t n,
                                       LayoutAttr scales) {
  SmallVector<DenseI64ArrayAttr> tiles(2);
  tiles[n] = DenseI64ArrayAttr::get(context, {2, 2, 4});
  tiles[1 - n] = DenseI64ArrayAttr::get(context, {2, 2});
  // n/16, k/4, n/4%2, k%2, n%4, n/8%2, k/2%2 from slowest to fastest.
  SmallVector<int64_t> order = n == 0
                                   ? SmallVector<int64_t>{0, 4, 2, 6, 3, 1, 5}
                                   : SmallVector<int64_t>{3, 0, 5, 2, 6, 4, 1};
  return LayoutAttr::get(context, tiles, order, {}, scales);
}

/// Panels of 4-bit codes in groups of 8 k of a column, for kernels that
/// multiply integers.
static LayoutAttr getOctetPanelLayout(MLIRContext *context, int64_t n,
                                      LayoutAttr scales) {
  SmallVector<DenseI64ArrayAttr> tiles(2);
  tiles[n] = DenseI64ArrayAttr::get(context, {kPanel});
  tiles[1 - n] = DenseI64ArrayAttr::get(context, {8});
  // n/16, k/8, n%16, k%8 from slowest to fastest.
  SmallVector<int64_t> order = n == 0 ? SmallVector<int64_t>{0, 2, 1, 3}
                                      : SmallVector<int64_t>{2, 0, 3, 1};
  return LayoutAttr::get(context, tiles, order, {}, scales);
}

/// Layout of weight `type` whose dimension `n` is N.
static LayoutAttr getWeightLayout(RankedTensorType type, int64_t n,
                                  bool octets) {
  MLIRContext *context = type.getContext();
  ScaledType scaled = getScaledElement(type);
  if (!scaled)
    return getPanelLayout(context, n, LayoutAttr());
  // Scales follow the panels where there is one per column.
  LayoutAttr scales;
  if (scaled.getBlockFor(type.getShape())[n] == 1)
    scales = getPanelLayout(context, n, LayoutAttr());
  if (octets)
    return getOctetPanelLayout(context, n, scales);
  return scaled.getStorageBits() == 4 ? getNibblePanelLayout(context, n, scales)
                                      : getPanelLayout(context, n, scales);
}

/// True if 8-bit float codes hold a NaN (or an infinity of E5M2): decoding them
/// costs an extra step that other weights should not pay for.
static bool hasSpecialCodes(ConstantOp constant) {
  ScaledType scaled = getScaledElement(constant.getResult().getType());
  if (!scaled || !isa<FloatType>(scaled.getStorage()) ||
      scaled.getStorageBits() != 8)
    return false;
  SmallVector<char> scratch;
  FailureOr<ArrayRef<char>> codes = getRawBytes(constant.getCodes(), scratch);
  int special = isa<Float8E4M3FNType>(scaled.getStorage()) ? 0x7f : 0x7c;
  return succeeded(codes) && llvm::any_of(*codes, [&](char code) {
           return (code & 0x7f) >= special;
         });
}

namespace {
struct PackCpuWeightsPass
    : nibble::impl::PackCpuWeightsBase<PackCpuWeightsPass> {
  void runOnOperation() override {
    SmallVector<MatmulOp> matmuls;
    getOperation().walk([&](MatmulOp op) { matmuls.push_back(op); });
    for (MatmulOp op : matmuls)
      pack(op);
  }

  /// A matmul with a plain constant in another op becomes an nq.constant with
  /// the panel layout in its type; a weight shared by matmuls that want the
  /// same layout stays shared.
  void pack(MatmulOp op) {
    auto type = cast<RankedTensorType>(op.getB().getType());
    if (type.getRank() != 2 || type.getEncoding())
      return;
    OpOperand *source = getSource(op);
    Operation *producer = source ? source->get().getDefiningOp() : nullptr;
    if (!producer)
      return;
    int64_t n = op.getTransposeB() ? 0 : 1;
    bool octets = cpu::wantsOctets(op);
    auto packed = RankedTensorType::get(type.getShape(), type.getElementType(),
                                        getWeightLayout(type, n, octets));
    Value value = getPacked(producer, 2 * n + octets, packed);
    if (!value)
      return;
    report(op, octets);
    source->set(value);
    if (source != &op.getBMutable())
      op.getB().setType(packed);
    if (auto constant = value.getDefiningOp<ConstantOp>();
        hasSpecialCodes(constant))
      op->setAttr("nibble.special_codes", UnitAttr::get(op.getContext()));
  }

  /// The use of the constant: by the matmul or by the region around it. None if
  /// other ops of the region read the same argument otherwise.
  static OpOperand *getSource(MatmulOp op) {
    auto region = dyn_cast<RegionOp>(op->getParentOp());
    auto argument = dyn_cast<BlockArgument>(op.getB());
    if (!region || !argument)
      return &op.getBMutable();
    for (OpOperand &use : argument.getUses()) {
      auto other = dyn_cast<MatmulOp>(use.getOwner());
      if (!other || &use != &other.getBMutable() ||
          other.getTransposeB() != op.getTransposeB() ||
          cpu::wantsOctets(other) != cpu::wantsOctets(op))
        return nullptr;
    }
    return &region.getInputsMutable()[argument.getArgNumber()];
  }

  /// The constant in its new layout; null if the producer is no constant.
  Value getPacked(Operation *producer, int64_t layout,
                  RankedTensorType packed) {
    Value &known = packedConstants[{producer, layout}];
    if (known)
      return known;
    OpBuilder builder(producer);
    if (auto constant = dyn_cast<ConstantOp>(producer)) {
      auto copy = cast<ConstantOp>(builder.clone(*constant));
      copy.getResult().setType(packed);
      return known = copy.getResult();
    }
    auto constant = dyn_cast<arith::ConstantOp>(producer);
    auto data =
        constant ? dyn_cast<ElementsAttr>(constant.getValue()) : nullptr;
    if (!data)
      return {};
    return known = ConstantOp::create(builder, producer->getLoc(), packed, data,
                                      ElementsAttr(), ElementsAttr(),
                                      ElementsAttr());
  }

  /// Says how 4-bit weights are multiplied, which their layout decides.
  static void report(MatmulOp op, bool octets) {
    ScaledType scaled = getScaledElement(op.getB().getType());
    if (!scaled || scaled.getStorageBits() != 4)
      return;
    auto opts = remark::RemarkOpts::name("pack-cpu-weights").category("nibble");
    const char *integers = "panels of 8 k, multiplied as integers";
    const char *floats = "panels of 4 k, multiplied in f32";
    if (octets)
      remark::passed(op.getLoc(), opts)
          << remark::metric("layer", getLayerName(op.getLoc()))
          << remark::metric("chosen", integers)
          << remark::metric("rejected", floats)
          << remark::metric("reason", "both operands are 4-bit floats with "
                                      "blocks of 16 or 32 along k");
    else
      remark::passed(op.getLoc(), opts)
          << remark::metric("layer", getLayerName(op.getLoc()))
          << remark::metric("chosen", floats)
          << remark::metric("rejected", integers)
          << remark::metric("reason", "not both operands are 4-bit floats with "
                                      "blocks of 16 or 32 along k");
  }

  /// By producer and layout: 2 * n + octets.
  llvm::DenseMap<std::pair<Operation *, int64_t>, Value> packedConstants;
};
} // namespace
