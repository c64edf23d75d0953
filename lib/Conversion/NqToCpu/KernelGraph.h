// The tensors of a kernel function: each graph op as functions of an index.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_KERNELGRAPH_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_KERNELGRAPH_H

#include "KernelTensor.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

#include <deque>

namespace nibble {
namespace cpu {

/// The graph of one kernel. Reading it reports ops that are not loop kernels,
/// with the op and the reason.
class KernelGraph {
public:
  explicit KernelGraph(mlir::MLIRContext *context) : context(context) {}

  /// Tensors for all values of `func`; arguments have no buffers yet.
  mlir::LogicalResult read(mlir::func::FuncOp func);
  /// The same for the body of a kernel or region. With `products`, results of
  /// nq.matmul and nq.attention are like arguments: something else writes their
  /// buffers.
  mlir::LogicalResult read(mlir::Block &body, bool products);

  /// Takes nq.update of an argument whose value is returned and nothing else:
  /// its result is written in the buffer of the argument.
  bool takesUpdates = false;

  bool isScaled(mlir::Value value) const { return scaled.count(value); }
  /// transpose, broadcast, reshape, slice or concat of scaled tensors.
  static bool isScaledMove(mlir::Operation &op);
  Tensor &plainOf(mlir::Value value) { return *plain.find(value)->second; }
  ScaledTensor &scaledOf(mlir::Value value) {
    return scaled.find(value)->second;
  }
  /// The tensors of a value in the order of its regions in memory.
  llvm::SmallVector<Tensor *> partsOf(mlir::Value value);

  /// Sum, maximum ... of a term over `extents` more dimensions.
  Tensor &fold(mlir::Type element, llvm::ArrayRef<int64_t> shape,
               llvm::ArrayRef<int64_t> extents,
               mlir::vector::CombiningKind kind,
               llvm::ArrayRef<Tensor *> sources,
               std::function<Node *(Dag &, IndexRef, IndexRef)> term);

  /// All tensors, sources first.
  std::deque<Tensor> tensors;
  /// Constants too large for immediates, to become data of the module.
  struct Data {
    Tensor *tensor;
    llvm::SmallVector<char> bytes;
  };
  llvm::SmallVector<Data> constants;

private:
  Tensor &add(mlir::Type element, llvm::ArrayRef<int64_t> shape,
              llvm::ArrayRef<Tensor *> sources, ElementFn compute);
  /// A tensor for a plain result of `op`.
  Tensor &define(mlir::Value result, llvm::ArrayRef<Tensor *> sources,
                 ElementFn compute);
  void addArgument(mlir::Value value);
  Tensor &addConstant(mlir::Type element, llvm::ArrayRef<int64_t> shape,
                      llvm::ArrayRef<char> bytes);
  /// Parts of a scaled tensor without contents.
  ScaledTensor &addScaled(mlir::Value value);

  mlir::LogicalResult readOp(mlir::Operation &op);
  // GraphLinalg.cpp
  mlir::LogicalResult readLinalg(mlir::linalg::LinalgOp op);
  mlir::LogicalResult readMap(mlir::linalg::LinalgOp op,
                              llvm::ArrayRef<Tensor *> sources);
  mlir::LogicalResult readReduction(mlir::linalg::LinalgOp op,
                                    llvm::ArrayRef<Tensor *> sources);
  // GraphShapes.cpp
  mlir::LogicalResult readConstant(mlir::arith::ConstantOp op);
  mlir::LogicalResult readConstant(nq::ConstantOp op);
  mlir::LogicalResult readSplat(mlir::tensor::SplatOp op);
  mlir::LogicalResult readReshape(mlir::Value input, mlir::Value result);
  mlir::LogicalResult readExtract(mlir::tensor::ExtractSliceOp op);
  mlir::LogicalResult readInsert(mlir::tensor::InsertSliceOp op);
  mlir::LogicalResult readPad(mlir::tensor::PadOp op);
  mlir::LogicalResult readConcat(mlir::tensor::ConcatOp op);
  mlir::LogicalResult readReformat(nq::ReformatOp op);
  mlir::LogicalResult readUpdate(nq::UpdateOp op);
  // GraphMoves.cpp
  mlir::LogicalResult readScaledEmpty(mlir::tensor::EmptyOp op);
  mlir::LogicalResult readScaledMove(mlir::Operation &op);
  // GraphRows.cpp
  mlir::LogicalResult readSoftmax(mlir::linalg::SoftmaxOp op);
  mlir::LogicalResult readRope(nq::RopeOp op);
  /// `tensor`, marked to be kept in memory unless it costs nothing to pull.
  Tensor &kept(Tensor &tensor);
  // GraphNorm.cpp
  mlir::LogicalResult readNorm(nq::NormOp op);
  mlir::LogicalResult readStatistics(nq::StatisticsOp op);
  // GraphQuantize.cpp
  mlir::LogicalResult readQuantize(nq::QuantizeOp op);
  mlir::LogicalResult readStatic(nq::QuantizeOp op, ScaledTensor &result);
  mlir::LogicalResult readDynamic(nq::QuantizeOp op, ScaledTensor &result);
  Tensor &blockAmax(Tensor &input, const ScaledTensor &result);
  mlir::LogicalResult readDequantize(nq::DequantizeOp op);
  mlir::LogicalResult readWiden(nq::WidenOp op);
  mlir::LogicalResult readCast(nq::CastOp op);
  mlir::LogicalResult readAssemble(nq::AssembleOp op);
  mlir::LogicalResult readCodes(nq::CodesOp op);
  mlir::LogicalResult readScales(nq::ScalesOp op);

  mlir::MLIRContext *context;
  bool takesProducts = false;
  mlir::DenseMap<mlir::Value, Tensor *> plain;
  mlir::DenseMap<mlir::Value, ScaledTensor> scaled;
};

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_KERNELGRAPH_H
