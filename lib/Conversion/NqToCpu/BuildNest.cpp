// What the nests of a stage compute.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Nest.h"

#include "llvm/Support/MathExtras.h"

#include <map>

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

/// Block sizes to split the dimensions of a domain by.
using Tiles = std::map<int, SmallVector<int64_t, 2>>;

/// Dimension `d` of a domain as one loop, or as one per tile size; large tiles
/// first, each a multiple of the next.
Lin addDigits(Dag &dag, SmallVectorImpl<unsigned> &dims, int d, int64_t extent,
              ArrayRef<int64_t> tiles) {
  if (tiles.empty() || extent <= tiles.front()) {
    unsigned dim = dag.addDim({extent, std::nullopt, 0, d, 1});
    dims.push_back(dim);
    return Lin::dim(dim);
  }
  Lin value;
  int64_t blocks = llvm::divideCeil(extent, tiles.front());
  unsigned outer = dag.addDim({blocks, std::nullopt, 0, d, tiles.front()});
  dims.push_back(outer);
  value += Lin::dim(outer, tiles.front());
  for (size_t i = 0; i < tiles.size(); ++i) {
    int64_t weight = i + 1 < tiles.size() ? tiles[i + 1] : 1;
    Dim dim{tiles[i] / weight, std::nullopt, 0, d, weight};
    if (extent % tiles.front() != 0) {
      dim.total = extent;
      dim.blockDim = outer;
    }
    unsigned number = dag.addDim(dim);
    dims.push_back(number);
    value += Lin::dim(number, weight);
  }
  return value;
}

/// Sorted, and only what divides: nested partial blocks are not expressible.
SmallVector<int64_t, 2> usableTiles(SmallVector<int64_t, 2> tiles,
                                    int64_t extent) {
  llvm::sort(tiles, std::greater<int64_t>());
  SmallVector<int64_t, 2> result;
  for (int64_t tile : tiles)
    if (tile > 1 && tile < extent &&
        (result.empty() ||
         (result.back() % tile == 0 && result.back() != tile &&
          extent % result.front() == 0)))
      result.push_back(tile);
  return result;
}

class NestBuilder {
public:
  NestBuilder(const Stage &stage, int number, unsigned rowDims,
              MLIRContext *context)
      : stage(stage), number(number), rowDims(rowDims), context(context) {}

  /// Builds again with tiles as long as that removes divisions.
  std::unique_ptr<Nest> build(const Piece *piece) {
    Tiles tiles;
    for (int attempt = 0;; ++attempt) {
      auto nest = std::make_unique<Nest>(context);
      nest->dag.stage = number;
      nest->dag.rowDims = rowDims;
      fill(*nest, piece, tiles);
      if (attempt == 4 || !addWishes(tiles, *nest))
        return nest;
    }
  }

private:
  Tensor &first() const { return *stage.tensors.front(); }

  bool addWishes(Tiles &tiles, const Nest &nest) {
    bool grown = false;
    for (auto [dim, tile] : nest.dag.wishes) {
      auto &list = tiles[dim];
      if (!llvm::is_contained(list, tile)) {
        list.push_back(tile);
        grown = true;
      }
    }
    return grown;
  }

  void addRows(Nest &nest, Index &index) {
    for (unsigned d = 0; d < rowDims; ++d)
      index.push_back(Lin::dim(nest.dag.addDim(Dim{first().shape[d]})));
  }

  /// Loops over an index space of `shape`.
  Index addDomain(Nest &nest, ArrayRef<int64_t> shape, Tiles &tiles) {
    Index index;
    addRows(nest, index);
    for (unsigned d = rowDims; d < shape.size(); ++d)
      index.push_back(addDigits(nest.dag, nest.dims, d, shape[d],
                                usableTiles(tiles[d], shape[d])));
    return index;
  }

  /// One loop over all elements: for packed rows of odd length.
  Index addFlatDomain(Nest &nest, ArrayRef<int64_t> shape) {
    unsigned dim =
        nest.dag.addDim({ShapedType::getNumElements(shape), std::nullopt});
    nest.dims.push_back(dim);
    return nest.dag.delinearize(Lin::dim(dim), shape);
  }

  /// Loops over the digits of a layout in storage order.
  Index addLayoutDomain(Nest &nest, nq::LayoutAttr layout,
                        ArrayRef<int64_t> shape) {
    SmallVector<int64_t> extents = layout.getDigitExtents(shape);
    SmallVector<unsigned> dimOfDigit(extents.size());
    for (int64_t digit : layout.getOrder()) {
      dimOfDigit[digit] = nest.dag.addDim({extents[digit], std::nullopt});
      nest.dims.push_back(dimOfDigit[digit]);
    }
    Index index;
    unsigned digit = 0;
    for (DenseI64ArrayAttr tiles : layout.getTiles()) {
      Lin value;
      int64_t weight = 1;
      for (int64_t factor : tiles.asArrayRef())
        weight *= factor;
      for (size_t i = 0; i <= static_cast<size_t>(tiles.size()); ++i) {
        value += Lin::dim(dimOfDigit[digit++], weight);
        if (i < static_cast<size_t>(tiles.size()))
          weight /= tiles[i];
      }
      index.push_back(value);
    }
    return index;
  }

  static bool isOddPacked(const Tensor &tensor) {
    if (!isPacked(tensor.element) || tensor.layout || tensor.shape.empty() ||
        tensor.shape.back() % 2 == 0)
      return false;
    return tensor.size() != tensor.shape.back();
  }

  void fill(Nest &nest, const Piece *piece, Tiles &tiles) {
    if (first().reduction)
      return fillReduction(nest, tiles);
    if (first().layout)
      return fillLayout(nest);
    Index index;
    if (piece)
      index = addDomain(nest, piece->sizes, tiles);
    else if (rowDims == 0 && llvm::any_of(stage.tensors, [](Tensor *tensor) {
               return isOddPacked(*tensor);
             }))
      index = addFlatDomain(nest, first().shape);
    else
      index = addDomain(nest, first().shape, tiles);
    for (Tensor *tensor : stage.tensors) {
      Node *value = piece ? piece->compute(nest.dag, index)
                          : nest.dag.pull(*tensor, index);
      Index at = index;
      if (piece)
        for (auto [lin, offset, stride] :
             llvm::zip(at, piece->offsets, piece->strides))
          lin = lin * stride + Lin(offset);
      addStore(nest, *tensor, at, value);
    }
  }

  void addStore(Nest &nest, Tensor &tensor, IndexRef index, Node *value) {
    Node *bits = nest.dag.encode(tensor.element, value);
    nest.stores.push_back(
        {&tensor.buffer, tensor.offsetOf(nest.dag, index), bits});
  }

  /// Padding is zero.
  void fillLayout(Nest &nest) {
    Tensor &tensor = first();
    Index index = addLayoutDomain(nest, tensor.layout, tensor.shape), at;
    Node *inside = nullptr;
    for (auto [lin, size] : llvm::zip(index, tensor.shape)) {
      inside = both(nest.dag, inside, nest.dag.inside(lin, size));
      at.push_back(nest.dag.clamp(lin, size));
    }
    Node *bits = nest.dag.encode(tensor.element, nest.dag.pull(tensor, at));
    Node *padded =
        choose(nest.dag, inside, bits, nest.dag.constant(bits->type, 0.0));
    nest.stores.push_back(
        {&tensor.buffer, tensor.offsetOf(nest.dag, index), padded});
  }

  Index addFolded(Nest &nest, const Reduction &reduction, IndexRef index) {
    Index folded;
    for (auto [extent, bound] :
         llvm::zip(reduction.extents, reduction.bounds)) {
      Dim dim{extent};
      if (bound && !index[bound->dim].dims.empty()) {
        dim.total = bound->total;
        dim.blockDim = index[bound->dim].dims.front().first;
      }
      nest.folded.push_back(nest.dag.addDim(dim));
      folded.push_back(Lin::dim(nest.folded.back()));
    }
    return folded;
  }

  void fillReduction(Nest &nest, Tiles &) {
    Dag &dag = nest.dag;
    Reduction &reduction = *first().reduction;
    nest.reduction = &reduction;
    Tiles none;
    Index index = addDomain(nest, first().shape, none);
    uint64_t outer = (uint64_t(1) << dag.getDims().size()) - 1;
    Index folded = addFolded(nest, reduction, index);
    uint64_t all = (uint64_t(1) << dag.getDims().size()) - 1;
    for (auto [i, type] : llvm::enumerate(reduction.types)) {
      nest.inits.push_back(reduction.init(dag, index, i));
      nest.accumulators.push_back(dag.accumulator(type, all));
      nest.finals.push_back(dag.accumulator(type, outer));
    }
    if (!reduction.kinds.empty())
      nest.terms = reduction.terms(dag, index, folded);
    else
      nest.updates = reduction.update(dag, index, folded, nest.accumulators);
    for (auto [tensor, final] : llvm::zip(reduction.results, nest.finals))
      if (tensor && tensor->stored)
        addStore(nest, *tensor, index, final);
  }

  const Stage &stage;
  int number;
  unsigned rowDims;
  MLIRContext *context;
};

/// Rows of packed codes must not share bytes; pieces must not cut rows.
bool rowsAreSeparate(const Stage &stage, unsigned rowDims) {
  if (rowDims == 0)
    return true;
  for (Tensor *tensor : stage.tensors) {
    if (tensor->layout || tensor->shape.size() < rowDims)
      return false;
    int64_t row = ShapedType::getNumElements(
        ArrayRef<int64_t>(tensor->shape).drop_front(rowDims));
    // Odd innermost dimensions need the flat loop.
    if (isPacked(tensor->element) && (row % 2 || tensor->shape.back() % 2))
      return false;
    for (const Piece &piece : tensor->pieces)
      for (unsigned d = 0; d < rowDims; ++d)
        if (piece.sizes[d] != tensor->shape[d])
          return false;
  }
  return true;
}

} // namespace

std::optional<std::vector<std::unique_ptr<Nest>>>
buildNests(const Stage &stage, int number, unsigned rowDims,
           MLIRContext *context) {
  if (!rowsAreSeparate(stage, rowDims))
    return std::nullopt;
  NestBuilder builder(stage, number, rowDims, context);
  std::vector<std::unique_ptr<Nest>> nests;
  Tensor &tensor = *stage.tensors.front();
  // Pieces of packed tensors could share bytes.
  bool usesPieces =
      !tensor.pieces.empty() && !tensor.layout && !isPacked(tensor.element);
  if (usesPieces)
    for (const Piece &piece : tensor.pieces)
      nests.push_back(builder.build(&piece));
  else
    nests.push_back(builder.build(nullptr));
  for (auto &nest : nests)
    if (nest->dag.crossesRows)
      return std::nullopt;
  return nests;
}

} // namespace cpu
} // namespace nibble
