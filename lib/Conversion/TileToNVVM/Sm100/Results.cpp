// From accumulators in tensor memory to global memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Results.h"

#include "Body.h"
#include "Largest.h"
#include "Swizzle.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::sm100;

/// Columns of one tcgen05.ld: registers of a thread.
static constexpr int64_t kLoadColumns = 32;
/// Columns of operands that are read at once.
static constexpr int64_t kReadColumns = 8;

static int64_t getElementBytes(tile::StoreOp store) {
  return store.getDest().getType().getElementTypeBitWidth() / 8;
}

Results::Results(Sm100Kernel &kernel, tile::RoleOp role,
                 tile::EpilogueOp epilogue, Int warp, const IRMapping &values)
    : kernel(kernel), code(kernel.getCode()), epilogue(epilogue), warp(warp),
      width(cast<VectorType>(epilogue.getBody().getArgument(0).getType())
                .getNumElements()),
      together(width), tileColumns(epilogue.getAccType().getShape()[1]) {
  for (auto max : epilogue.getBody().getOps<tile::BlockMaxOp>())
    together = max.getBlock();
  epilogue.getBody().walk([&](Operation *inside) {
    for (Value operand : inside->getOperands())
      if (values.contains(operand))
        outside.map(operand, values.lookup(operand));
  });
}

int64_t Results::getLength(unsigned result) {
  Value yielded = epilogue.getBody().front().back().getOperand(result);
  return cast<VectorType>(yielded.getType()).getNumElements();
}

/// Columns of accumulators that a panel of a store takes.
int64_t Results::getSpan(tile::StoreOp store) {
  unsigned result = cast<OpResult>(store.getValue()).getResultNumber();
  return int64_t(store.getPanel()) * width / getLength(result);
}

LogicalResult Results::check() {
  span = getSpan(stores.front().op);
  for (Target target : stores) {
    if (getSpan(target.op) != span ||
        target.op.getBuffers() != stores.front().op.getBuffers())
      return refuse(target.op) << "panels of other columns, or other buffers, "
                                  "than of the epilogue's other results";
    if (getElementBytes(target.op) == 0)
      return refuse(target.op)
             << "stores " << target.op.getDest().getType().getElementType();
  }
  bool fits = span % width == 0 && span <= tileColumns &&
              span * int64_t(columns.size()) <= 128;
  if (!fits || (span % kLoadColumns && kLoadColumns % span))
    return refuse(epilogue) << "panels of " << span << " columns of "
                            << tileColumns << ", by " << width;
  for (auto max : epilogue.getBody().getOps<tile::BlockMaxOp>())
    if (max.getAxis() != tile::Axis::n || span % together)
      return refuse(max) << "maxima of " << together << " "
                         << (max.getAxis() == tile::Axis::n ? "columns of "
                                                            : "rows of ")
                         << span << "; columns of a panel work";
  for (tile::StoreBlocksOp store : blocks)
    if (store.getTransposed() ||
        store.getDest().getType().getElementTypeBitWidth() != 8)
      return refuse(store) << "blocks of rows, or of other than 8 bits";
  if (width < 2 || (width % kReadColumns && kReadColumns % width))
    return refuse(epilogue) << "an epilogue on " << width
                            << " columns at once; powers of 2 from 2 work";
  return success();
}

/// Of a panel; the last one overlaps where columns are no multiple.
Int Results::getFirst(Int panel) {
  Int first = code.mul(panel, span);
  return tileColumns % span ? code.min(first, tileColumns - span) : first;
}

LogicalResult Results::write(function_ref<void()> release) {
  if (failed(check()))
    return failure();
  int64_t panels = llvm::divideCeil(tileColumns, span);
  Value panel = code.get(0);
  code.loop({&panel}, [&] {
    writePanel(panel);
    panel = code.get(code.add(panel, 1));
    return code.less(panel, panels);
  });
  release();
  return success();
}

void Results::writePanel(Int panel) {
  Int first = getFirst(panel);
  Pieces results = evaluate(first);
  waitForPanels();
  for (Target target : stores)
    stage(target,
          results[cast<OpResult>(target.op.getValue()).getResultNumber()],
          panel);
  for (tile::StoreBlocksOp store : blocks)
    storeBlocks(store,
                results[cast<OpResult>(store.getValue()).getResultNumber()],
                first);
  NVVM::FenceProxyOp::create(
      code, NVVM::ProxyKind::async_shared,
      NVVM::SharedSpaceAttr::get(code.getContext(),
                                 NVVM::SharedSpace::shared_cta));
  NVVM::SyncWarpOp::create(code, code.get(-1));
  code.when(code.equal(kernel.threads.lane, 0), [&] {
    for (Target target : stores)
      copy(target, panel, first);
    NVVM::CpAsyncBulkCommitGroupOp::create(code);
  });
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

Results::Pieces Results::loadAccumulators(Int first) {
  int64_t count = std::min(span, kLoadColumns);
  Int lanes = code.shl(warp, 21); // 32 lanes each, in the upper half
  SmallVector<Int> addresses;
  for (Int column : columns)
    for (int64_t at = 0; at < span; at += count)
      addresses.push_back(
          kernel.getColumn(code.add(code.add(column, first), at), lanes));
  Pieces accs(columns.size());
  for (auto [i, word] : llvm::enumerate(loadColumns(code, addresses, count)))
    accs[i / span].push_back(
        LLVM::BitcastOp::create(code, code.getF32Type(), word));
  return accs;
}

/// Those of `width` columns, out of what is read at once.
void Results::addOperands(Operands &operands, int64_t column,
                          SmallVectorImpl<Value> &args) {
  int64_t read = std::max(width, kReadColumns);
  int64_t begin = column / read * read, skip = column - begin;
  auto add = [&](Value vector) {
    if (width != read)
      vector = vector::ExtractStridedSliceOp::create(
          code, vector, ArrayRef<int64_t>(skip), ArrayRef<int64_t>(width),
          ArrayRef<int64_t>(1));
    args.push_back(vector);
  };
  for (unsigned i = 0; i < epilogue.getRows().size(); ++i)
    add(operands.getRow(i, 0));
  for (unsigned i = 0; i < epilogue.getCols().size(); ++i)
    add(operands.getColumns(i, begin));
  for (unsigned i = 0; i < epilogue.getElements().size(); ++i)
    add(operands.getElements(i, 0, begin));
}

/// Vectors of each result, of `width` columns each, in order.
Results::Pieces Results::evaluate(Int first) {
  Pieces accs = loadAccumulators(first);
  Int row = code.add(code.mul(m, epilogue.getTileShape()[0]),
                     code.add(code.shl(warp, 5), kernel.threads.lane));
  Int column = code.add(code.mul(n, tileColumns), first);
  Operands operands(kernel, epilogue, std::max(width, kReadColumns), row,
                    column);
  Pieces results(epilogue.getNumResults());
  for (int64_t at = 0; at < span; at += together)
    evaluateBlock(operands, accs, at, results);
  return results;
}

/// Op by op, each for all pieces of `width` columns: maxima are of all of them.
void Results::evaluateBlock(Operands &operands, const Pieces &accs, int64_t at,
                            Pieces &results) {
  Block &body = epilogue.getBody().front();
  SmallVector<IRMapping> pieces(together / width, outside);
  for (auto [i, values] : llvm::enumerate(pieces)) {
    int64_t column = at + int64_t(i) * width;
    SmallVector<Value> args;
    for (const SmallVector<Value> &acc : accs)
      args.push_back(vector::FromElementsOp::create(
          code, VectorType::get(width, code.getF32Type()),
          ArrayRef(acc).slice(column, width)));
    addOperands(operands, column, args);
    values.map(body.getArguments(), args);
  }
  for (Operation &inside : body.without_terminator()) {
    if (auto max = dyn_cast<tile::BlockMaxOp>(inside))
      writeMaximum(max, pieces);
    else
      copyOp(inside, pieces);
  }
  for (const IRMapping &values : pieces)
    for (auto [list, value] :
         llvm::zip(results, getYielded(code, epilogue, values)))
      list.push_back(value);
}

/// What has the same operands in all pieces, as it follows from a maximum, is
/// computed once.
void Results::copyOp(Operation &op, Maps pieces) {
  bool isShared = llvm::all_of(op.getOperands(), [&](Value operand) {
    Value first = pieces.front().lookupOrDefault(operand);
    return llvm::all_of(pieces, [&](IRMapping &values) {
      return values.lookupOrDefault(operand) == first;
    });
  });
  if (!isShared) {
    for (IRMapping &values : pieces)
      code.clone(op, values);
    return;
  }
  Operation *copy = code.clone(op, pieces.front());
  for (IRMapping &values : pieces.drop_front())
    values.map(op.getResults(), copy->getResults());
}

/// All columns of a block are the thread's.
void Results::writeMaximum(tile::BlockMaxOp op, Maps pieces) {
  SmallVector<Value> values;
  for (IRMapping &piece : pieces)
    values.push_back(piece.lookup(op.getValue()));
  Value all = vector::BroadcastOp::create(
      code, cast<VectorType>(values[0].getType()), findLargest(code, values));
  for (IRMapping &piece : pieces)
    piece.map(op.getResult(), all);
}

//===----------------------------------------------------------------------===//
// Panels
//===----------------------------------------------------------------------===//

/// Until copies have read the panels that are written next. They are taken in
/// turn, from the first one in every tile.
void Results::waitForPanels() {
  int64_t buffers = stores.front().op.getBuffers();
  int64_t panels = llvm::divideCeil(tileColumns, span);
  int64_t others = panels % buffers ? 0 : buffers - 1;
  code.when(code.equal(kernel.threads.lane, 0), [&] {
    NVVM::CpAsyncBulkWaitGroupOp::create(code, uint32_t(others),
                                         code.getUnitAttr());
  });
  NVVM::SyncWarpOp::create(code, code.get(-1));
}

/// The warp's panel in shared memory.
Value Results::getPanel(Target target, Int panel) {
  int64_t buffers = target.op.getBuffers();
  int64_t bytes =
      32 * int64_t(target.op.getPanel()) * getElementBytes(target.op);
  Int number = code.add(code.mul(warp, buffers), code.rem(panel, buffers));
  return code.at(code.at(kernel.memory, kernel.shared.panels.lookup(target.op)),
                 code.mul(number, bytes));
}

static Value joinVectors(Code &code, Value first, Value second) {
  int64_t count = cast<VectorType>(first.getType()).getNumElements() +
                  cast<VectorType>(second.getType()).getNumElements();
  return vector::ShuffleOp::create(
      code, first, second, llvm::to_vector(llvm::seq<int64_t>(0, count)));
}

/// Of vectors of elements, which are whole words together.
static SmallVector<Value> getWords(Code &code, ArrayRef<Value> vectors) {
  SmallVector<Value> words;
  auto type = cast<VectorType>(vectors[0].getType());
  int64_t bits = type.getNumElements() * type.getElementTypeBitWidth();
  for (size_t i = 0, each = bits < 32 ? 32 / bits : 1; i < vectors.size();
       i += each) {
    Value all = vectors[i];
    for (Value next : vectors.slice(i + 1, each - 1))
      all = joinVectors(code, all, next);
    int64_t count = std::max<int64_t>(bits, 32) / 32;
    all = vector::BitCastOp::create(code, VectorType::get(count, code.i32()),
                                    all);
    for (int64_t word = 0; word < count; ++word)
      words.push_back(vector::ExtractOp::create(code, all, word));
  }
  return words;
}

/// Straight: the thread's row, in chunks of 16 bytes.
void Results::stage(Target target, ArrayRef<Value> vectors, Int panel) {
  int64_t rowBytes =
      getStoreBox(target.op).extents[1] * getElementBytes(target.op);
  Value begin = getPanel(target, panel);
  if (target.op.getTransposed())
    return stageTransposed(target, vectors, begin);
  Int lane = kernel.threads.lane;
  Int line = code.mul(lane, rowBytes),
      swizzle = getSwizzle(code, lane, rowBytes);
  SmallVector<Value> words = getWords(code, vectors);
  for (size_t chunk = 0; chunk * 4 < words.size(); ++chunk) {
    Value vector =
        vector::FromElementsOp::create(code, VectorType::get(4, code.i32()),
                                       ArrayRef(words).slice(chunk * 4, 4));
    Int at = code.add(line, code.shl(code.bitXor(swizzle, int64_t(chunk)), 4));
    LLVM::StoreOp::create(code, vector, code.at(begin, at), 16);
  }
}

/// A row for each column, with the elements of all lanes.
void Results::stageTransposed(Target target, ArrayRef<Value> vectors,
                              Value begin) {
  int64_t bytes = getElementBytes(target.op),
          rowBytes = getStoreBox(target.op).extents[1] * bytes;
  Int inRow = code.mul(kernel.threads.lane, bytes);
  int64_t j = 0;
  for (Value vector : vectors)
    for (int64_t i = 0,
                 count = cast<VectorType>(vector.getType()).getNumElements();
         i < count; ++i, ++j) {
      Int swizzle = code.shl(getSwizzle(code, j, rowBytes), 4);
      Int at = code.add(code.bitXor(inRow, swizzle), j * rowBytes);
      LLVM::StoreOp::create(code, vector::ExtractOp::create(code, vector, i),
                            code.at(begin, at), bytes);
    }
}

void Results::copy(Target target, Int panel, Int first) {
  tile::StoreOp op = target.op;
  auto [tileRows, tileCols] = op.getTileShape();
  unsigned result = cast<OpResult>(op.getValue()).getResultNumber();
  bool transposed = op.getTransposed();
  Int rows = code.add(code.mul(target.coords[transposed ? 1 : 0], tileRows),
                      code.shl(warp, 5));
  Int cols = code.mul(target.coords[transposed ? 0 : 1], tileCols);
  cols = code.add(cols, code.div(code.mul(first, getLength(result)), width));
  Value at[] = {code.get(transposed ? rows : cols),
                code.get(transposed ? cols : rows)};
  NVVM::CpAsyncBulkTensorSharedCTAToGlobalOp::create(
      code, kernel.params.getMap(op.getDest(), getStoreBox(op)),
      getPanel(target, panel), at, Value(), NVVM::TMAStoreMode::TILE, Value());
}

/// The byte at (row, block) of tiles of 128 x 4, [row / 128][block / 4][row %
/// 32][row / 32 % 4][block % 4], or of a matrix.
static Int getPlaceOfBlock(Code &code, MemRefType type, Int row, Int block) {
  if (type.getRank() == 2)
    return code.add(code.mul(row, type.getDimSize(1)), block);
  Int tile = code.add(code.mul(code.shr(row, 7), type.getDimSize(1)),
                      code.shr(block, 2));
  Int inTile = code.add(code.shl(code.bitAnd(row, 31), 4),
                        code.shl(code.bitAnd(code.shr(row, 5), 3), 2));
  return code.add(code.add(code.shl(tile, 9), inTile), code.bitAnd(block, 3));
}

/// Of all tiles.
int64_t Results::getColumns() {
  tile::StoreOp store = stores.front().op;
  unsigned result = cast<OpResult>(store.getValue()).getResultNumber();
  return store.getDest().getType().getDimSize(store.getTransposed() ? 0 : 1) *
         width / getLength(result);
}

/// The thread's blocks of a panel, neighbours: as many bytes. In tiles, those
/// behind the last column are zeros, as products read them.
void Results::storeBlocks(tile::StoreBlocksOp store, ArrayRef<Value> vectors,
                          Int first) {
  MemRefType type = store.getDest().getType();
  int64_t block = store.getBlock(), count = span / block;
  bool inTiles = type.getRank() == 4;
  Int row = code.add(code.mul(m, epilogue.getTileShape()[0]),
                     code.add(code.shl(warp, 5), kernel.threads.lane));
  Int column = code.div(code.add(code.mul(n, tileColumns), first), block);
  int64_t columns = inTiles ? 4 * type.getDimSize(1) : type.getDimSize(1);
  Value isInside = code.less(code.add(column, count - 1), columns);
  // The second tile of a pair may be behind the last 128 rows.
  if (!inTiles || kernel.isPair())
    isInside = LLVM::AndOp::create(
        code, isInside,
        code.less(row, type.getDimSize(0) * (inTiles ? 128 : 1)));
  SmallVector<Value> bytes;
  int64_t there = getColumns() / block;
  for (int64_t i = 0; i < count; ++i) {
    Value byte = vector::ExtractOp::create(code, vectors[i * block / width], 0);
    if (there % 4)
      byte = code.selectAny(code.less(code.add(column, i), there), byte,
                            code.constant(byte.getType(), 0));
    bytes.push_back(byte);
  }
  Value vector = vector::FromElementsOp::create(
      code, VectorType::get(count, bytes[0].getType()), bytes);
  code.when(isInside, [&] {
    Value at = code.at(kernel.params.getPointer(store.getDest()),
                       getPlaceOfBlock(code, type, row, column));
    LLVM::StoreOp::create(code, vector, at, inTiles ? count : 1);
    if (inTiles)
      clearBlocks(store, row, code.add(column, count),
                  llvm::alignTo(there, count));
  });
}

/// Behind the last panel, which ends with block `last`: zeros up to a whole
/// tile. No panel has these blocks. `end`: of the panel.
void Results::clearBlocks(tile::StoreBlocksOp store, Int row, Int end,
                          int64_t last) {
  MemRefType type = store.getDest().getType();
  int64_t all = 4 * type.getDimSize(1);
  if (last >= all)
    return;
  code.when(code.equal(end, last), [&] {
    for (int64_t block = last; block < all; ++block) {
      Value at = code.at(kernel.params.getPointer(store.getDest()),
                         getPlaceOfBlock(code, type, row, block));
      LLVM::StoreOp::create(code, code.constant(code.getI8Type(), 0), at, 1);
    }
  });
}
