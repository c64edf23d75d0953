// nq.matmul kernels -> the GEMM family.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToCpu/MatmulKernel.h"

#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/BitVector.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::cpu;
using nibble::rt::StorageFormat;

static RankedTensorType tensorOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

static StorageFormat getFormat(Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return rt::formatFromName(text);
}

/// The only op of a kernel besides the scalars its epilogue reads; null if
/// there are more.
static nq::MatmulOp getOnlyMatmul(Block &body) {
  nq::MatmulOp matmul;
  for (Operation &op : body.without_terminator()) {
    if (isa<arith::ConstantOp>(op) &&
        !isa<ShapedType>(op.getResult(0).getType()))
      continue;
    if (matmul || !isa<nq::MatmulOp>(op))
      return {};
    matmul = cast<nq::MatmulOp>(op);
  }
  return matmul;
}

bool cpu::isMatmulAlone(Block &body) { return bool(getOnlyMatmul(body)); }

bool cpu::isMatmulKernel(func::FuncOp kernel) {
  return isMatmulAlone(kernel.front());
}

/// A packed B as the GEMM family describes it.
static GemmWeight getWeight(nq::MatmulOp op) {
  RankedTensorType type = tensorOf(op.getB());
  GemmWeight weight;
  weight.n = op.getN();
  weight.k = op.getK();
  weight.kn = !op.getTransposeB();
  nq::ScaledType scaled = nq::getScaledElement(type);
  if (!scaled) {
    weight.code = getFormat(type.getElementType());
    return weight;
  }
  weight.code = getFormat(scaled.getStorage());
  weight.scale = getFormat(scaled.getScale());
  if (scaled.getGlobal())
    weight.global = getFormat(scaled.getGlobal());
  weight.zeroPoint = scaled.getZeroPoint();
  weight.nanCodes = op->hasAttr("nibble.special_codes");
  SmallVector<int64_t> block = scaled.getBlockFor(type.getShape());
  int64_t n = weight.kn ? 1 : 0;
  if (nq::LayoutAttr layout = nq::getLayout(type))
    weight.octets =
        layout.getTiles()[1 - n].asArrayRef() == ArrayRef<int64_t>{8};
  // A block as large as the dimension covers it; 0 says so.
  weight.blockN = block[n] >= weight.n && weight.n > 1 ? 0 : block[n];
  weight.blockK = block[1 - n] >= weight.k ? 0 : block[1 - n];
  return weight;
}

/// A matrix B serves all of the batch: the rows of all batches are rows of one
/// product.
static bool mergesBatch(nq::MatmulOp op) {
  return tensorOf(op.getB()).getRank() == 2;
}

static int64_t getRows(nq::MatmulOp op) {
  ArrayRef<int64_t> a = tensorOf(op.getA()).getShape();
  return mergesBatch(op) ? ShapedType::getNumElements(a.drop_back())
                         : op.getM();
}

/// Batch dimensions with the strides that numpy broadcasting gives them.
static SmallVector<GemmBatchDim> getBatch(nq::MatmulOp op) {
  if (mergesBatch(op))
    return {};
  auto result = tensorOf(op.getResult()).getShape();
  SmallVector<GemmBatchDim> batch(result.size() - 2);
  auto setStrides = [&](ArrayRef<int64_t> shape, int64_t GemmBatchDim::*field) {
    int64_t stride = shape.empty() ? 1 : shape.back() * shape.end()[-2];
    for (size_t i = 0; i + 2 < shape.size(); ++i) {
      size_t fromShape = shape.size() - 3 - i, fromBatch = batch.size() - 1 - i;
      batch[fromBatch].*field = shape[fromShape] == 1 ? 0 : stride;
      stride *= shape[fromShape];
    }
  };
  for (auto [dim, extent] : llvm::zip(batch, result))
    dim.extent = extent;
  setStrides(tensorOf(op.getA()).getShape(), &GemmBatchDim::strideA);
  setStrides(tensorOf(op.getB()).getShape(), &GemmBatchDim::strideB);
  setStrides(result, &GemmBatchDim::strideC);
  return batch;
}

/// Elements in the order of memory that share a scale (GemmScaledA::run), or
/// nothing if blocks reach over several rows.
static std::optional<int64_t> getRun(RankedTensorType type) {
  SmallVector<int64_t> block =
      nq::getScaledElement(type).getBlockFor(type.getShape());
  bool whole = true, rows = true;
  for (auto [extent, size] : llvm::zip(block, type.getShape()))
    whole &= extent >= size;
  for (auto [extent, size] : llvm::drop_end(llvm::zip(block, type.getShape())))
    rows &= extent == 1 || size == 1;
  if (whole)
    return 0;
  if (!rows)
    return std::nullopt;
  return std::min(block.back(), type.getShape().back());
}

/// A as the GEMM family describes it.
static void setActivation(nq::MatmulOp op, GemmSpec &spec) {
  RankedTensorType type = tensorOf(op.getA());
  nq::ScaledType scaled = nq::getScaledElement(type);
  if (!scaled) {
    spec.a = getFormat(type.getElementType());
    return;
  }
  nq::StorageRegions regions = nq::getStorageRegions(type);
  spec.a = getFormat(scaled.getStorage());
  spec.scaledA.scale = getFormat(scaled.getScale());
  if (scaled.getGlobal())
    spec.scaledA.global = getFormat(scaled.getGlobal());
  spec.scaledA.run = getRun(type).value_or(0);
  spec.scaledA.scalesAt = regions.scales;
  spec.scaledA.globalAt = regions.global;
  spec.scaledA.bytes = regions.total;
}

static GemmSpec getSpec(nq::MatmulOp op) {
  GemmSpec spec;
  spec.m = getRows(op);
  spec.n = op.getN();
  spec.k = op.getK();
  spec.batch = getBatch(op);
  setActivation(op, spec);
  spec.c = getFormat(tensorOf(op.getResult()).getElementType());
  spec.weight = getWeight(op);
  if (!nq::getLayout(op.getB().getType()))
    spec.bKind = op.getTransposeB() ? GemmB::RowsN : GemmB::RowsK;
  for (Value extra : op.getExtras()) {
    RankedTensorType type = tensorOf(extra);
    spec.extra.push_back(
        MemRefType::get({type.getNumElements()}, type.getElementType()));
  }
  return spec;
}

namespace {

/// Inlines the epilogue region of a matmul on a vector of accumulators.
class EpilogueInliner {
public:
  explicit EpilogueInliner(nq::MatmulOp op) : op(op) {}

  Value operator()(OpBuilder &b, Location loc, GemmTile tile) {
    IRMapping mapping;
    Block &body = op.getEpilogue().front();
    mapping.map(body.getArgument(0), tile.value);
    for (auto [i, extra] : llvm::enumerate(op.getExtras()))
      mapping.map(body.getArgument(i + 1),
                  load(b, loc, tile, tensorOf(extra), tile.extra[i]));
    for (Operation &inner : body.without_terminator()) {
      for (Value operand : inner.getOperands())
        copyCaptured(b, operand, body, mapping, tile.width());
      Operation *copy = b.clone(inner, mapping);
      widen(b, copy, tile.width());
      mapping.map(inner.getResults(), copy->getResults());
    }
    copyCaptured(b, body.getTerminator()->getOperand(0), body, mapping,
                 tile.width());
    return mapping.lookup(body.getTerminator()->getOperand(0));
  }

private:
  /// Scalars from outside of the epilogue are constants of the kernel.
  static void copyCaptured(OpBuilder &b, Value value, Block &body,
                           IRMapping &mapping, int64_t width) {
    Operation *producer = value.getDefiningOp();
    if (!producer || producer->getBlock() == &body || mapping.contains(value))
      return;
    Operation *copy = b.clone(*producer);
    widen(b, copy, width);
    mapping.map(value, copy->getResult(0));
  }

  /// Scalar ops become the same ops on vectors.
  static void widen(OpBuilder &b, Operation *op, int64_t width) {
    if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
      auto type = VectorType::get({width}, constant.getType());
      constant.setValueAttr(DenseElementsAttr::get(type, constant.getValue()));
      constant.getResult().setType(type);
      return;
    }
    for (OpResult result : op->getResults())
      result.setType(VectorType::get({width}, result.getType()));
  }

  /// Elements of an extra that broadcast over the tile, as f32.
  Value load(OpBuilder &b, Location loc, GemmTile tile, RankedTensorType type,
             Value memory) {
    auto result = tensorOf(op.getResult()).getShape();
    // The GEMM numbers rows within a batch: batch dimensions must be 1.
    int64_t rank = type.getRank();
    Value index = arith::ConstantIndexOp::create(b, loc, 0);
    if (rank >= 2 && type.getDimSize(rank - 2) != 1) {
      Value pitch =
          arith::ConstantIndexOp::create(b, loc, type.getShape().back());
      index = arith::MulIOp::create(b, loc, tile.row, pitch);
    }
    auto vector = VectorType::get({tile.width()}, type.getElementType());
    Value value;
    if (rank >= 1 && type.getShape().back() == result.back() &&
        result.back() != 1) {
      index = arith::AddIOp::create(b, loc, index, tile.column);
      value = vector::LoadOp::create(b, loc, vector, memory, index);
    } else {
      Value scalar = memref::LoadOp::create(b, loc, memory, index);
      value = vector::BroadcastOp::create(b, loc, vector, scalar);
    }
    auto f32 = VectorType::get({tile.width()}, b.getF32Type());
    if (vector == f32)
      return value;
    return arith::ExtFOp::create(b, loc, f32, value);
  }

  nq::MatmulOp op;
};

/// Extras whose batch dimensions are not 1 have no index in the epilogue; nor
/// have rows that repeat in every batch if batches are rows.
bool extrasDependOnBatch(nq::MatmulOp op) {
  bool repeats = mergesBatch(op) && getRows(op) != op.getM();
  return llvm::any_of(op.getExtras(), [&](Value extra) {
    auto shape = tensorOf(extra).getShape();
    if (shape.size() < 2)
      return false;
    return (repeats && shape.end()[-2] != 1) ||
           llvm::any_of(shape.drop_back(2), [](int64_t d) { return d != 1; });
  });
}

} // namespace

GemmSpec cpu::describeGemm(Operation *matmul) {
  return getSpec(cast<nq::MatmulOp>(matmul));
}

std::string cpu::whyNoScaledActivation(nq::MatmulOp op) {
  RankedTensorType type = tensorOf(op.getA());
  nq::ScaledType scaled = nq::getScaledElement(type);
  if (!scaled)
    return "";
  if (scaled.getZeroPoint())
    return "there is no kernel for activations with zero points";
  if (nq::getLayout(type))
    return "activations are read row-major only";
  if (!getRun(type))
    return "blocks of scales reach over several rows";
  return whyUnsupportedScaledA(getSpec(op));
}

std::string cpu::whyNoScaledWeight(nq::MatmulOp op) {
  if (!nq::getScaledElement(tensorOf(op.getB())))
    return "";
  return whyUnsupported(getSpec(op).weight);
}

bool cpu::wantsOctets(nq::MatmulOp op) {
  if (!whyNoScaledActivation(op).empty())
    return false;
  GemmSpec spec = getSpec(op);
  spec.bKind = GemmB::Packed;
  return multipliesIntegers(spec);
}

std::string cpu::whyNoGemm(Operation *matmul) {
  auto op = cast<nq::MatmulOp>(matmul);
  if (std::string why = whyNoScaledActivation(op); !why.empty())
    return why;
  if (extrasDependOnBatch(op))
    return "an operand of the epilogue depends on the batch";
  return whyUnsupported(getSpec(op));
}

/// A GEMM has one buffer per operand of the matmul, a launch has one per
/// argument of the kernel: operands that are one value share an argument.
static LogicalResult mergeArguments(nq::MatmulOp op, func::FuncOp gemm) {
  llvm::SmallDenseMap<Value, unsigned> known;
  llvm::BitVector gone(gemm.getNumArguments());
  for (auto [i, operand] : llvm::enumerate(op->getOperands())) {
    auto [it, isNew] = known.try_emplace(operand, i);
    if (isNew)
      continue;
    BlockArgument first = gemm.getArgument(it->second);
    if (first.getType() != gemm.getArgument(i).getType())
      return op.emitOpError()
             << "operands " << it->second << " and " << i
             << " are one value, but are read as " << first.getType() << " and "
             << gemm.getArgument(i).getType();
    gemm.getArgument(i).replaceAllUsesWith(first);
    gone.set(i);
  }
  return gemm.eraseArguments(gone);
}

FailureOr<GemmKernel> cpu::lowerMatmulKernel(func::FuncOp kernel,
                                             ModuleOp module) {
  nq::MatmulOp op = getOnlyMatmul(kernel.front());
  if (std::string why = whyNoGemm(op); !why.empty())
    return op.emitOpError()
           << "the CPU target has no GEMM for this matmul: " << why;
  GemmSpec spec = getSpec(op);
  spec.symbol = kernel.getSymName().str();
  EpilogueInliner inliner(op);
  auto gemm = op.getEpilogue().empty()
                  ? emitGemm(module, op.getLoc(), spec)
                  : emitGemm(module, op.getLoc(), spec, inliner);
  if (failed(gemm) || failed(mergeArguments(op, gemm->func)))
    return failure();
  return gemm;
}
