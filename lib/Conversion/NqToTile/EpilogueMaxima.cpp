// Maxima of blocks of columns, for quantizers behind a product.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmEpilogue.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilegen;
using cpu::Dag;
using cpu::Index;
using cpu::IndexRef;
using cpu::Lin;
using cpu::Node;
using cpu::Tensor;

static LogicalResult no(std::string &why, const Twine &reason) {
  why = reason.str();
  return failure();
}

LogicalResult GemmEpilogue::takeMaxima(Tensor &tensor, std::string &why) {
  if (tensor.stored || !taken.insert(&tensor).second)
    return success();
  if (tensor.reduction && failed(takeMaximum(tensor, why)))
    return failure();
  return success(llvm::all_of(tensor.sources, [&](Tensor *source) {
    return succeeded(takeMaxima(*source, why));
  }));
}

/// A maximum of whole blocks of neighbouring columns, each in its row.
LogicalResult GemmEpilogue::takeMaximum(Tensor &tensor, std::string &why) {
  const cpu::Reduction &fold = *tensor.reduction;
  const Tensor &placed = tensor.alike ? *tensor.alike : tensor;
  if (fold.kinds.size() != 1 || fold.extents.size() != 1 ||
      fold.kinds[0] != vector::CombiningKind::MAXUI || !placed.place)
    return no(why, "a sum or maximum over several columns follows");
  int64_t columns = fold.extents[0];
  if (block && block != columns)
    return no(why, "blocks of " + Twine(block) + " and of " + Twine(columns) +
                       " columns have scales");
  if (!llvm::isPowerOf2_64(columns) || columns < 8 || problem.n % columns)
    return no(why, "scales are those of " + Twine(columns) +
                       " columns; powers of 2 from 8 on that divide the " +
                       Twine(problem.n) + " columns have a kernel");
  block = columns;
  tensor.compute = [this, &tensor, place = *placed.place](Dag &dag,
                                                          IndexRef index) {
    return makeMaximum(dag, tensor, place, index);
  };
  return success();
}

/// The element at (row, column) takes part in the maximum of its block.
Node *GemmEpilogue::makeMaximum(Dag &dag, Tensor &tensor,
                                const cpu::Placement &place, IndexRef index) {
  isElsewhere |= !(IndexRef(indexAt(dag, place, tensor.shape)) == index);
  Index folded{dag.mod(Lin::dim(kColumn), block)};
  Node *term = tensor.reduction->terms(dag, index, folded)[0];
  Node *most =
      dag.compute(term->type, {term},
                  [this](ImplicitLocOpBuilder &b, ArrayRef<Value> values,
                         Type) { return emitMaximum(b, values[0]); });
  maxima.insert(most);
  return most;
}

static Value addMaximum(ImplicitLocOpBuilder &b, Value value, tile::Axis axis,
                        int64_t block, bool isScalar) {
  Value most = tile::BlockMaxOp::create(b, value, axis, block);
  return isScalar ? vector::ExtractOp::create(b, most, 0).getResult() : most;
}

/// The numbers of 16 bits whose magnitudes `bits` are, as f32.
static Value findNarrow(Value bits) {
  auto magnitude = bits.getDefiningOp<arith::AndIOp>();
  auto cast = magnitude ? magnitude.getLhs().getDefiningOp<arith::BitcastOp>()
                        : arith::BitcastOp();
  auto wide =
      cast ? cast.getIn().getDefiningOp<arith::ExtFOp>() : arith::ExtFOp();
  bool isNarrow =
      wide && getElementTypeOrSelf(wide.getIn()).getIntOrFloatBitWidth() == 16;
  return isNarrow ? wide.getIn() : Value();
}

/// Magnitudes of 16 bits have the order of those of 32, NaNs included.
Value GemmEpilogue::emitMaximum(ImplicitLocOpBuilder &b, Value bits) {
  bool isScalar = hasWholeBlocks();
  Value narrow = findNarrow(bits);
  if (!narrow)
    return addMaximum(b, bits, alongBlocks, block, isScalar);
  auto type = cast<VectorType>(narrow.getType());
  auto half = type.clone(b.getI16Type());
  Value raw = arith::BitcastOp::create(b, half, narrow);
  Value mask = arith::ConstantOp::create(
      b, DenseElementsAttr::get(half, b.getI16IntegerAttr(0x7fff)));
  Value most = addMaximum(b, arith::AndIOp::create(b, raw, mask), alongBlocks,
                          block, isScalar);
  auto as = [&](Type element) {
    return isScalar ? element : Type(type.clone(element));
  };
  Value again = arith::BitcastOp::create(b, as(type.getElementType()), most);
  Value wide = arith::ExtFOp::create(b, as(b.getF32Type()), again);
  return arith::BitcastOp::create(b, as(b.getI32Type()), wide);
}
