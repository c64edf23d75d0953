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
              std::optional<ColumnBlocks> columns, MLIRContext *context)
      : stage(stage), number(number), rowDims(rowDims), columns(columns),
        context(context) {}

  /// Zero at column `column` behind the last one, which the layout has.
  std::unique_ptr<Nest> buildPadding(int64_t column) {
    Tensor &tensor = first();
    auto nest = std::make_unique<Nest>(context);
    nest->dag.stage = number;
    nest->dag.rowDims = rowDims;
    Tiles none;
    Index index =
        addDomain(*nest, ArrayRef<int64_t>(tensor.shape).drop_back(), none);
    index.push_back(Lin(column));
    nest->stores.push_back(
        {&tensor.buffer, tensor.offsetOf(nest->dag, index),
         nest->dag.constant(storageType(tensor.element), 0.0)});
    return nest;
  }

  /// Builds again with tiles as long as that removes divisions.
  std::unique_ptr<Nest> build(const Piece *piece) {
    Tiles tiles;
    for (int attempt = 0;; ++attempt) {
      auto nest = std::make_unique<Nest>(context);
      nest->dag.stage = number;
      nest->dag.rowDims = rowDims;
      nest->dag.columns = columns;
      fill(*nest, piece, tiles);
      if (attempt == 4 || !addWishes(tiles, *nest))
        return nest;
    }
  }

private:
  Tensor &first() const { return *stage.tensors.front(); }

  /// Blocks of a layout that are not whole would be bounded loops, which rows
  /// of threads cannot have: digits are divided for instead.
  SmallVector<int64_t, 2> tilesOf(Tiles &tiles, int d, int64_t extent) const {
    SmallVector<int64_t, 2> usable = usableTiles(tiles[d], extent);
    if (first().layout)
      llvm::erase_if(usable, [=](int64_t tile) { return extent % tile != 0; });
    return usable;
  }

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
    if (columns)
      return addBlockDomain(nest, shape, tiles);
    Index index;
    addRows(nest, index);
    for (unsigned d = rowDims; d < shape.size(); ++d)
      index.push_back(addDigits(nest.dag, nest.dims, d, shape[d],
                                tilesOf(tiles, d, shape[d])));
    return index;
  }

  //===--------------------------------------------------------------------===//
  // One block of columns of one row
  //===--------------------------------------------------------------------===//

  Index addBlockDomain(Nest &nest, ArrayRef<int64_t> sizes, Tiles &tiles) {
    nest.dag.addDim(Dim{columns->rows});
    nest.dag.addDim(Dim{columns->blocks});
    Index index;
    for (auto [d, digit] : llvm::enumerate(first().place->digits)) {
      if (first().shape[d] == 1)
        index.push_back(Lin());
      else if (!digit.column)
        index.push_back(rowDigit(nest, digit.stride, d));
      else
        index.push_back(columnDigit(nest, digit.stride, d, sizes[d], tiles));
      // A piece may cut what a block holds as a whole, nothing else.
      bool cut = sizes[d] != first().shape[d];
      nest.dag.crossesRows |=
          cut && !(digit.column && holds(digit.stride * first().shape[d]));
    }
    return index;
  }

  /// A block of columns is a whole number of runs of `count` columns.
  bool holds(int64_t count) const {
    return columns->block % count == 0 && columns->start % count == 0;
  }

  Lin rowDigit(Nest &nest, int64_t stride, unsigned d) {
    Lin digit = nest.dag.floorDiv(columns->row(), stride);
    return nest.dag.mod(digit, first().shape[d]);
  }

  Lin columnDigit(Nest &nest, int64_t stride, unsigned d, int64_t size,
                  Tiles &tiles) {
    int64_t extent = first().shape[d], block = columns->block;
    // The block lies within one step,
    if (stride % block == 0 && columns->start % block == 0) {
      Lin digit = nest.dag.floorDiv(columns->column(), stride);
      return nest.dag.mod(digit, extent);
    }
    // or holds all of them, any number of times,
    auto loops = [&](int64_t count) {
      return addDigits(nest.dag, nest.dims, d, count,
                       usableTiles(tiles[d], count));
    };
    if (holds(stride * extent))
      return loops(size);
    // or some: only if nothing else goes on further out.
    bool isOutermost = llvm::all_of(first().place->digits, [&](auto &other) {
      return !other.column || other.stride <= stride;
    });
    bool isAligned = columns->start % stride == 0 &&
                     (columns->blocks == 1 || block % stride == 0);
    if (!isOutermost || !isAligned)
      nest.dag.crossesRows = true;
    Lin from(columns->start / stride);
    if (columns->blocks > 1)
      from += Lin::dim(1, block / stride);
    return from + loops(llvm::divideCeil(block, stride));
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
    if (first().layout && rowDims == 0)
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
    Node *guard = nullptr;
    if (tensor.update)
      guard = nest.dag.inside(tensor.updatedSlice(nest.dag, index),
                              tensor.update->extent);
    nest.stores.push_back(
        {&tensor.buffer, tensor.offsetOf(nest.dag, index), bits, guard});
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
      if (columns)
        boundFold(dim, bound, index);
      else if (bound && !index[bound->dim].dims.empty()) {
        dim.total = bound->total;
        dim.blockDim = index[bound->dim].dims.front().first;
      }
      nest.folded.push_back(nest.dag.addDim(dim));
      folded.push_back(Lin::dim(nest.folded.back()));
    }
    return folded;
  }

  /// Only the last block of columns has a part of a fold.
  void boundFold(Dim &dim, const std::optional<Reduction::Bound> &bound,
                 IndexRef index) {
    if (!bound || columns->block % dim.extent == 0)
      return;
    const Lin &block = index[bound->dim];
    if (block.dims.empty()) {
      dim.extent =
          std::min(dim.extent, bound->total - block.constant * dim.extent);
      return;
    }
    dim.total = bound->total - columns->start;
    dim.blockDim = block.dims.back().first;
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
  std::optional<ColumnBlocks> columns;
  MLIRContext *context;
};

/// Elements that the layout has along dimension `d` and the tensor has not.
int64_t paddingOf(const Tensor &tensor, unsigned d) {
  SmallVector<int64_t> extents = tensor.layout.getDigitExtents(tensor.shape);
  ArrayRef<int64_t> rest = extents;
  int64_t stored = 1;
  for (auto [i, tiles] : llvm::enumerate(tensor.layout.getTiles())) {
    ArrayRef<int64_t> digits = rest.take_front(tiles.size() + 1);
    rest = rest.drop_front(digits.size());
    if (i == d)
      stored = ShapedType::getNumElements(digits);
  }
  return stored - tensor.shape[d];
}

/// Columns behind the last one that a row fills with zeros, one by one.
constexpr int64_t kMostPadding = 3;

/// Columns behind the last one that are written: of scales, which multiply what
/// copies fill up with zeros. Nobody reads codes there (Layouts.h).
int64_t countFilled(const Tensor &tensor) {
  return isPacked(tensor.element) ? 0
                                  : paddingOf(tensor, tensor.shape.size() - 1);
}

/// A row is what it is without a layout, and a few columns of padding.
bool layoutHasRows(const Tensor &tensor, unsigned rowDims) {
  unsigned last = tensor.shape.size() - 1;
  if (rowDims > last)
    return false;
  for (unsigned d = rowDims; d < last; ++d)
    if (paddingOf(tensor, d))
      return false;
  return countFilled(tensor) <= kMostPadding;
}

/// Rows of packed codes must not share bytes; pieces must not cut rows.
bool rowsAreSeparate(const Stage &stage, unsigned rowDims, bool layouts) {
  if (rowDims == 0)
    return true;
  for (Tensor *tensor : stage.tensors) {
    if (tensor->shape.size() < rowDims)
      return false;
    if (tensor->layout && !(layouts && layoutHasRows(*tensor, rowDims)))
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

/// Blocks of packed codes must not share bytes: an even number of them lies in
/// a run.
bool blocksAreSeparate(const Stage &stage, const ColumnBlocks &columns) {
  return llvm::all_of(stage.tensors, [&](const Tensor *tensor) {
    if (tensor->layout || !tensor->place)
      return false;
    if (!isPacked(tensor->element))
      return true;
    const Placement::Digit &last = tensor->place->digits.back();
    return last.column && last.stride == 1 && tensor->shape.back() % 2 == 0 &&
           columns.start % 2 == 0 && columns.block % 2 == 0;
  });
}

std::optional<std::vector<std::unique_ptr<Nest>>>
buildAll(const Stage &stage, NestBuilder builder, unsigned rowDims) {
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
  if (tensor.layout && rowDims)
    for (int64_t i = 0, e = countFilled(tensor); i < e; ++i)
      nests.push_back(builder.buildPadding(tensor.shape.back() + i));
  for (auto &nest : nests)
    if (nest->dag.crossesRows)
      return std::nullopt;
  return nests;
}

} // namespace

std::optional<std::vector<std::unique_ptr<Nest>>>
buildNests(const Stage &stage, int number, unsigned rowDims,
           MLIRContext *context, bool layouts) {
  if (!rowsAreSeparate(stage, rowDims, layouts))
    return std::nullopt;
  return buildAll(stage,
                  NestBuilder(stage, number, rowDims, std::nullopt, context),
                  rowDims);
}

std::optional<std::vector<std::unique_ptr<Nest>>>
buildNests(const Stage &stage, int number, const ColumnBlocks &columns,
           MLIRContext *context) {
  if (!blocksAreSeparate(stage, columns))
    return std::nullopt;
  return buildAll(stage, NestBuilder(stage, number, 0, columns, context), 0);
}

} // namespace cpu
} // namespace nibble
