// Building blocks from which operator importers make graphs: tensors that know
// their ONNX type, scalar arithmetic, elementwise/reduce/gather/shape helpers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_IMPORT_GRAPHBUILDER_H
#define NIBBLE_IMPORT_GRAPHBUILDER_H

#include "nibble/Import/ElemType.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"

namespace nibble::onnx {

/// A value of the graph and its ONNX element type, which adds the signedness
/// that signless MLIR integers lack. Always a ranked tensor of static shape.
struct Tensor {
  mlir::Value value;
  ElemType type = ElemType::Undefined;

  explicit operator bool() const { return bool(value); }
  mlir::RankedTensorType getType() const {
    return llvm::cast<mlir::RankedTensorType>(value.getType());
  }
  llvm::ArrayRef<int64_t> shape() const { return getType().getShape(); }
  int64_t rank() const { return getType().getRank(); }
  int64_t dim(int64_t i) const { return getType().getDimSize(i); }
  int64_t numElements() const { return getType().getNumElements(); }
  mlir::Type elementType() const { return getType().getElementType(); }
};

using Shape = llvm::SmallVector<int64_t>;

/// Shape that numpy broadcasting gives, or failure.
mlir::FailureOr<Shape>
broadcastShapes(llvm::ArrayRef<llvm::ArrayRef<int64_t>> shapes);
/// "[2, 3, 4]".
std::string toString(llvm::ArrayRef<int64_t> shape);

/// Arithmetic on scalars inside a linalg body. Each method takes ints, index or
/// floats alike and picks the arith/math op by the type of the first operand;
/// integer operations are unsigned iff `unsignedInts`.
class ScalarBuilder {
public:
  ScalarBuilder(mlir::OpBuilder &builder, mlir::Location loc, bool unsignedInts)
      : builder(builder), loc(loc), unsignedInts(unsignedInts) {}

  mlir::OpBuilder &builder;
  mlir::Location loc;
  bool unsignedInts;

  /// Constant of the same type as `like` (float, integer, i1 or index).
  mlir::Value constant(double value, mlir::Value like);
  mlir::Value constant(double value, mlir::Type type);
  mlir::Value constantInt(int64_t value, mlir::Type type);
  mlir::Value index(int64_t value);

  mlir::Value add(mlir::Value a, mlir::Value b);
  mlir::Value sub(mlir::Value a, mlir::Value b);
  mlir::Value mul(mlir::Value a, mlir::Value b);
  mlir::Value div(mlir::Value a, mlir::Value b); ///< ints truncate toward zero
  mlir::Value rem(mlir::Value a, mlir::Value b); ///< sign of the dividend (C)
  mlir::Value max(mlir::Value a, mlir::Value b); ///< NaN if either is NaN
  mlir::Value min(mlir::Value a, mlir::Value b); ///< NaN if either is NaN
  mlir::Value neg(mlir::Value a);
  mlir::Value abs(mlir::Value a);

  /// Comparisons give i1; ordered (false for NaN) except `ne`.
  mlir::Value eq(mlir::Value a, mlir::Value b);
  mlir::Value ne(mlir::Value a, mlir::Value b);
  mlir::Value lt(mlir::Value a, mlir::Value b);
  mlir::Value le(mlir::Value a, mlir::Value b);
  mlir::Value gt(mlir::Value a, mlir::Value b);
  mlir::Value ge(mlir::Value a, mlir::Value b);
  mlir::Value isNan(mlir::Value a);
  mlir::Value select(mlir::Value condition, mlir::Value a, mlir::Value b);

  mlir::Value bitAnd(mlir::Value a, mlir::Value b);
  mlir::Value bitOr(mlir::Value a, mlir::Value b);
  mlir::Value bitXor(mlir::Value a, mlir::Value b);
  mlir::Value logicalNot(mlir::Value a); ///< i1 only

  mlir::Value exp(mlir::Value a);
  mlir::Value log(mlir::Value a);
  mlir::Value sqrt(mlir::Value a);
  mlir::Value tanh(mlir::Value a);
  mlir::Value erf(mlir::Value a);
  mlir::Value floor(mlir::Value a);
  mlir::Value ceil(mlir::Value a);
  mlir::Value roundEven(mlir::Value a);
  mlir::Value sigmoid(mlir::Value a); ///< 1 / (1 + exp(-a))

  /// Conversion between scalar types of this body; `fromUnsigned`/`toUnsigned`
  /// say how integers are read and written. Float to integer truncates and
  /// saturates (NaN becomes the smallest value). Anything to i1 is != 0. Floats
  /// below 32 bits other than f16 and bf16 are not a target here: cast the
  /// whole tensor (GraphBuilder::cast).
  mlir::Value convert(mlir::Value a, mlir::Type to, bool fromUnsigned,
                      bool toUnsigned);
  mlir::Value toIndex(mlir::Value a);                  ///< integer -> index
  mlir::Value fromIndex(mlir::Value a, mlir::Type to); ///< index -> integer

  /// Element of a tensor at `indices` (index values, in bounds, one per
  /// dimension), for gathers. Not widened.
  mlir::Value load(Tensor tensor, mlir::ValueRange indices);

private:
  mlir::Value compare(mlir::arith::CmpFPredicate floats,
                      mlir::arith::CmpIPredicate signedInts,
                      mlir::arith::CmpIPredicate unsignedInts, mlir::Value a,
                      mlir::Value b);
};

/// Emits ops at one location, that of the node being imported. Shapes are
/// preconditions here: importers check what a file can get wrong and `fail`.
class GraphBuilder {
public:
  GraphBuilder(mlir::OpBuilder &builder, mlir::Location loc)
      : builder(builder), loc(loc) {}

  mlir::OpBuilder &builder;
  mlir::Location loc;

  mlir::Type elementType(ElemType type);
  mlir::RankedTensorType tensorType(llvm::ArrayRef<int64_t> shape,
                                    ElemType type);

  //===--- Constants ------------------------------------------------------===//

  /// One value per element (row-major), or one for all. Values outside of the
  /// type wrap (integers) or round (floats).
  Tensor constantInts(ElemType type, llvm::ArrayRef<int64_t> shape,
                      llvm::ArrayRef<int64_t> values);
  Tensor constantFloats(ElemType type, llvm::ArrayRef<int64_t> shape,
                        llvm::ArrayRef<double> values);
  Tensor splat(ElemType type, llvm::ArrayRef<int64_t> shape, double value);
  /// Int64 vector (rank 1), as shapes are written in ONNX.
  Tensor shapeVector(llvm::ArrayRef<int64_t> values);
  Tensor constant(mlir::ElementsAttr attr, ElemType type);
  /// Uninitialized destination.
  mlir::Value empty(llvm::ArrayRef<int64_t> shape, ElemType type);

  //===--- Elementwise ----------------------------------------------------===//

  using ScalarBody =
      llvm::function_ref<mlir::Value(ScalarBuilder &, mlir::ValueRange)>;

  /// numpy-broadcast elementwise op: the body gets one scalar per input and
  /// returns one of `resultType`. Floats below 32 bits are widened to f32 for
  /// the body, and an f32 body value is rounded once (RNE) to a result of f16
  /// or bf16. FP8/FP4 results are not possible here: compute Float, then cast.
  /// ScalarBuilder::unsignedInts is that of the first input (integers).
  Tensor elementwise(llvm::ArrayRef<Tensor> inputs, ElemType resultType,
                     ScalarBody body);
  /// As elementwise, but the scalars are passed through untouched: for data
  /// movement (Where, Identity-like) in every element type.
  Tensor elementwiseRaw(llvm::ArrayRef<Tensor> inputs, ElemType resultType,
                        ScalarBody body);
  Tensor
  unary(Tensor x,
        llvm::function_ref<mlir::Value(ScalarBuilder &, mlir::Value)> body);
  Tensor binary(
      Tensor a, Tensor b,
      llvm::function_ref<mlir::Value(ScalarBuilder &, mlir::Value, mlir::Value)>
          body);

  //===--- Reductions, gathers --------------------------------------------===//

  /// Body: (accumulator, element) -> accumulator. `x` is converted to
  /// `accumulator` element by element (exactly if it is as wide); the result
  /// has type `accumulator`, dimensions `dims` removed, or kept as 1 with
  /// `keepDims`. For f16/bf16 pass Float and cast the result back.
  Tensor reduce(
      Tensor x, llvm::ArrayRef<int64_t> dims, bool keepDims,
      ElemType accumulator, double init,
      llvm::function_ref<mlir::Value(ScalarBuilder &, mlir::Value, mlir::Value)>
          body);
  /// General reduction over an iteration space: result[i..] = fold over r.. of
  /// body. `space` = extents of all loops; the first `parallel` are the result
  /// dimensions, the rest reduce. The body gets all loop indices and the
  /// accumulator, and reads operands with ScalarBuilder::load. For pooling,
  /// convolutions, cumulative sums.
  Tensor reduceLoops(
      llvm::ArrayRef<int64_t> space, int64_t parallel, ElemType accumulator,
      double init,
      llvm::function_ref<mlir::Value(ScalarBuilder &, mlir::ValueRange indices,
                                     mlir::Value acc)>
          body);
  /// As reduceLoops, with operands read through affine indexing maps (over all
  /// loops of `space`): for contractions and convolutions that later passes
  /// should recognize. The body gets the operand elements (widened to the
  /// accumulator type) and the accumulator.
  Tensor contract(llvm::ArrayRef<int64_t> space, int64_t parallel,
                  llvm::ArrayRef<Tensor> operands,
                  llvm::ArrayRef<mlir::AffineMap> maps, ElemType accumulator,
                  double init, ScalarBody body);
  /// result[i..] = body(i..): gathers of any kind. The body gets index values
  /// and returns an element of `type` itself (nothing is widened or rounded).
  Tensor generate(llvm::ArrayRef<int64_t> shape, ElemType type,
                  ScalarBody body);

  //===--- Shape ----------------------------------------------------------===//

  /// Same elements in row-major order; element counts are equal.
  Tensor reshape(Tensor x, llvm::ArrayRef<int64_t> shape);
  /// Result dimension i is dimension perm[i] of x.
  Tensor transpose(Tensor x, llvm::ArrayRef<int64_t> perm);
  /// numpy broadcast of x to exactly `shape`.
  Tensor broadcastTo(Tensor x, llvm::ArrayRef<int64_t> shape);
  /// Elements starts + i * strides; strides may be negative or 0 sizes.
  Tensor slice(Tensor x, llvm::ArrayRef<int64_t> starts,
               llvm::ArrayRef<int64_t> sizes, llvm::ArrayRef<int64_t> strides);
  Tensor concat(llvm::ArrayRef<Tensor> inputs, int64_t axis);
  /// Constant padding (of the type of x); negative amounts crop.
  Tensor pad(Tensor x, llvm::ArrayRef<int64_t> low,
             llvm::ArrayRef<int64_t> high, double value);

  //===--- Types, products ------------------------------------------------===//

  /// ONNX Cast. Float to float is nq.cast.
  Tensor cast(Tensor x, ElemType type, bool saturate = true,
              llvm::StringRef roundMode = "up");
  /// Same bits read as another type of the same width (u8 as FP8, ...).
  Tensor bitcast(Tensor x, ElemType type);
  /// Matrix product as in numpy (vectors, batch broadcasting). Floats give
  /// nq.matmul, integers an exact linalg contraction in `resultType`. Operand
  /// shapes must fit (see matmulShape).
  Tensor matmul(Tensor a, Tensor b, ElemType resultType,
                bool transposeB = false);
  static mlir::FailureOr<Shape> matmulShape(llvm::ArrayRef<int64_t> a,
                                            llvm::ArrayRef<int64_t> b);
};

} // namespace nibble::onnx

#endif // NIBBLE_IMPORT_GRAPHBUILDER_H
