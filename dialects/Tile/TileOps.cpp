// The dialect `tile`: syntax and verifiers of single ops.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Tile/TileOps.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Builders.h"
#include "mlir/Interfaces/FunctionImplementation.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble::tile;

/// "(%a: T, %b: U) { ... }": arguments of the block and the block.
static ParseResult parseArgsAndBody(OpAsmParser &parser, Region &body) {
  SmallVector<OpAsmParser::Argument> arguments;
  if (parser.parseArgumentList(arguments, OpAsmParser::Delimiter::Paren,
                               /*allowType=*/true) ||
      parser.parseRegion(body, arguments))
    return failure();
  if (!body.empty())
    return success();
  Block &block = body.emplaceBlock();
  for (OpAsmParser::Argument &argument : arguments)
    block.addArgument(argument.type,
                      parser.getEncodedSourceLoc(argument.ssaName.location));
  return success();
}

static void printArgsAndBody(OpAsmPrinter &printer, Operation *, Region &body) {
  printer << "(";
  llvm::interleaveComma(body.getArguments(), printer, [&](BlockArgument arg) {
    printer.printRegionArgument(arg);
  });
  printer << ") ";
  printer.printRegion(body, /*printEntryBlockArgs=*/false);
}

#define GET_OP_CLASSES
#include "dialects/Tile/TileOps.cpp.inc"

KernelOp nibble::tile::getKernel(Operation *op) {
  return op->getParentOfType<KernelOp>();
}

RoleOp nibble::tile::getRole(Operation *op) {
  return op->getParentOfType<RoleOp>();
}

const Target *nibble::tile::getTargetOf(Operation *op) {
  if (getRole(op) && getKernel(op))
    return getTarget(getKernel(op).getTarget());
  op->emitOpError() << "stands in no role of a kernel (tile.role)";
  return nullptr;
}

//===----------------------------------------------------------------------===//
// Structure
//===----------------------------------------------------------------------===//

LogicalResult KernelOp::verify() {
  const Target *target = nibble::tile::getTarget(getTarget());
  if (!target)
    return emitOpError() << "unknown target '" << getTarget() << "'; there are "
                         << getTargetList();
  ArrayRef<int64_t> cluster = getCluster();
  if (cluster.size() < 2 || cluster.size() > 3 ||
      llvm::any_of(cluster, [](int64_t blocks) { return blocks < 1; }) ||
      getClusterSize() > target->maxCluster)
    return emitOpError() << "cluster is [blocks along m, blocks along n], or "
                            "with those along k behind, 1 to "
                         << target->maxCluster << " blocks in all";
  if (getGrid() % getClusterSize())
    return emitOpError() << "a grid of " << getGrid()
                         << " blocks is not a number of clusters of "
                         << getClusterSize();
  if (getPair() &&
      (!target->hasTensorMemory() || cluster != ArrayRef<int64_t>({2, 1})))
    return emitOpError() << "a pair of blocks is a cluster of [2, 1] on a "
                            "target with tensor memory";
  return success();
}

LogicalResult KernelOp::verifyRegions() {
  if (failed(verifyProtocol(*this)))
    return failure();
  return verifyResources(*this);
}

int64_t RoleOp::getFirstWarp() {
  int64_t warps = 0;
  for (auto role : (*this)->getBlock()->getOps<RoleOp>()) {
    if (role == *this)
      break;
    warps += role.getWarps();
  }
  return warps;
}

LogicalResult RoleOp::verify() {
  if (getWarps() > 32)
    return emitOpError() << "has " << getWarps()
                         << " warps; a block has at most 32";
  if (getTurns() && (!isWarpgroups() || getWarps() % (4 * getTeams())))
    return emitOpError() << "takes turns in " << getTeams() << " teams with "
                         << getWarps()
                         << " warps; a team is whole warpgroups, 4 warps each, "
                            "beginning at a multiple of 4";
  if (!getRegisters())
    return success();
  if (*getRegisters() % 8 || *getRegisters() < 24 || *getRegisters() > 256)
    return emitOpError() << "asks for " << *getRegisters()
                         << " registers; multiples of 8 from 24 to 256";
  if (!isWarpgroups())
    return emitOpError() << "sets its registers, which whole warpgroups can: 4 "
                            "warps each, beginning at a multiple of 4";
  return success();
}

LogicalResult ForTilesOp::verify() {
  if (getTiles().size() != 2 || getTiles()[0] < 1 || getTiles()[1] < 1)
    return emitOpError() << "takes the number of tiles along m and along n";
  Block &block = getBody().front();
  if (block.getNumArguments() != 2 ||
      !llvm::all_of(block.getArgumentTypes(), llvm::IsaPred<IndexType>))
    return emitOpError() << "has two arguments, the index of the tile along m "
                            "and along n";
  ArrayRef<int64_t> cluster = getKernel(*this).getCluster();
  for (auto [tiles, blocks] : llvm::zip(getTiles(), cluster))
    if (tiles % blocks)
      return emitOpError() << tiles << " tiles are not a multiple of the "
                           << blocks << " blocks of a cluster; round up";
  return success();
}

LogicalResult OnceOp::verify() {
  WalkResult result = walk([](Operation *op) {
    bool isOurs = isa_and_present<TileDialect>(op->getDialect());
    return isOurs && !isa<OnceOp>(op) ? WalkResult::interrupt()
                                      : WalkResult::advance();
  });
  if (!result.wasInterrupted())
    return success();
  return emitOpError() << "holds ops of the kernel's structure; one thread "
                          "cannot run them";
}

//===----------------------------------------------------------------------===//
// Rings
//===----------------------------------------------------------------------===//

LogicalResult RingOp::verify() {
  const Target *target = getTarget(getKernel(*this).getTarget());
  if (getRing().getType().isTensorMemory() && !target->hasTensorMemory())
    return emitOpError() << target->name
                         << " has no tensor memory; accumulators are registers "
                            "(tile.zero)";
  return success();
}

template <typename Adaptor>
static LogicalResult inferSlots(Adaptor adaptor, SmallVectorImpl<Type> &types) {
  llvm::append_range(types,
                     cast<RingType>(adaptor.getRing().getType()).getSlots());
  return success();
}

LogicalResult AcquireOp::inferReturnTypes(MLIRContext *,
                                          std::optional<Location>,
                                          Adaptor adaptor,
                                          SmallVectorImpl<Type> &types) {
  return inferSlots(adaptor, types);
}

LogicalResult WaitOp::inferReturnTypes(MLIRContext *, std::optional<Location>,
                                       Adaptor adaptor,
                                       SmallVectorImpl<Type> &types) {
  return inferSlots(adaptor, types);
}

LogicalResult PublishOp::verify() {
  RingType ring = getRing().getType();
  ArrayRef<Type> wanted = ring.getSlots();
  if (!ring.isTensorMemory() || ring.isOperands())
    wanted = {};
  if (llvm::equal(wanted, getAccs().getTypes()))
    return success();
  return emitOpError() << "passes " << getAccs().size()
                       << " accumulators to a ring of " << wanted.size()
                       << ", or of another type";
}

/// A tensor map can describe `type`: the last dimension contiguous, pitches of
/// 16 bytes, elements as in the box.
static LogicalResult verifyMap(Operation *op, MemRefType type, int64_t rank,
                               int64_t coords, Type element, Type box) {
  if (type.getRank() != rank || coords != rank ||
      type.getElementType() != element)
    return op->emitOpError() << "box " << box << " at " << coords
                             << " coordinates does not match " << type;
  SmallVector<int64_t> strides;
  int64_t offset;
  if (failed(type.getStridesAndOffset(strides, offset)) || offset != 0 ||
      strides.back() != 1)
    return op->emitOpError() << type << " is not row-major";
  for (int64_t stride : ArrayRef(strides).drop_back())
    if (int64_t pitch = stride * element.getIntOrFloatBitWidth(); pitch % 128)
      return op->emitOpError()
             << "rows of " << type << " are " << pitch
             << " bits apart; TMA wants multiples of 16 bytes";
  return success();
}

static LogicalResult verifyMulticast(LoadOp op, Axis axis) {
  int64_t blocks = getKernel(op).getBlocks(unsigned(axis));
  SlotType slot = op.getSlot().getType();
  if (blocks == 1)
    return op.emitOpError() << "multicast along " << stringifyAxis(axis)
                            << ", where the cluster has one block";
  int64_t rows = slot.getShape()[slot.getSharedDim()],
          unit = slot.getSwizzle() ? 8 : 1;
  if (rows % (unit * blocks))
    return op.emitOpError() << rows << " rows for " << blocks
                            << " blocks; each loads a multiple of " << unit;
  return success();
}

LogicalResult LoadOp::verify() {
  if (!getTargetOf(*this))
    return failure();
  SlotType slot = getSlot().getType();
  if (failed(verifyMap(*this, getSource().getType(), slot.getShape().size(),
                       getCoords().size(), slot.getElement(), slot)))
    return failure();
  if (!getSlot().getDefiningOp<AcquireOp>())
    return emitOpError()
           << "writes a slot that was not acquired (tile.acquire)";
  if (failed(verifySliced(*this, getCoords())))
    return failure();
  if (getHalf() && !getKernel(*this).getPair())
    return emitOpError() << "one half for each block, in a kernel whose blocks "
                            "are no pairs";
  return getMulticast() ? verifyMulticast(*this, *getMulticast()) : success();
}

//===----------------------------------------------------------------------===//
// Matrix products
//===----------------------------------------------------------------------===//

/// Sums that are promoted, and nothing else, in `value` or in loops that carry
/// it.
static bool arePromoted(Value value) {
  return llvm::all_of(value.getUses(), [](OpOperand &use) {
    if (auto loop = dyn_cast<scf::ForOp>(use.getOwner()))
      return arePromoted(loop.getTiedLoopRegionIterArg(&use));
    auto promote = dyn_cast<PromoteOp>(use.getOwner());
    return promote && promote.getAcc() == use.get();
  });
}

LogicalResult ZeroOp::verify() {
  const Target *target = getTargetOf(*this);
  if (!target)
    return failure();
  if (target->hasTensorMemory() &&
      (getAcc().use_empty() || !arePromoted(getAcc())))
    return emitOpError() << target->name
                         << " accumulates in tensor memory: acquire a stage of "
                            "a ring of accumulators and tile.clear it";
  return success();
}

LogicalResult ClearOp::verify() {
  if (!getTargetOf(*this))
    return failure();
  if (!getAcc().getDefiningOp<AcquireOp>())
    return emitOpError() << "clears an accumulator that was not acquired";
  if (!getAcc().hasOneUse())
    return emitOpError() << "clears in place, and that value has other uses";
  return success();
}

int64_t ScalesOp::getRowTiles() {
  int64_t tiles = 0;
  for (Value slot : getSlots())
    tiles += cast<SlotType>(slot.getType()).getShape()[0];
  return tiles;
}

/// A slot of whole tiles, with all scales of the result along K.
static LogicalResult verifyScaleSlot(ScalesOp op, Value value) {
  auto slot = cast<SlotType>(value.getType());
  ScaleTileType scales = op.getResult().getType();
  if (!value.getDefiningOp<WaitOp>())
    return op.emitOpError()
           << "reads a slot that was not waited for (tile.wait)";
  int64_t along = scales.getShape()[1] / 4;
  ArrayRef<int64_t> shape = slot.getShape();
  if (shape.size() == 4 &&
      shape.drop_front() == ArrayRef<int64_t>({along, 2, 256}) &&
      !slot.getSwizzle() && slot.getElement() == scales.getElement())
    return success();
  return op.emitOpError() << scales << " comes from slots of Tx" << along
                          << "x2x256x" << scales.getElement()
                          << " without swizzle, not " << slot;
}

LogicalResult ScalesOp::verify() {
  const Target *target = getTargetOf(*this);
  if (!target)
    return failure();
  if (!target->hasTensorMemory())
    return emitOpError() << target->name << " has no tensor memory";
  for (Value slot : getSlots())
    if (failed(verifyScaleSlot(*this, slot)))
      return failure();
  int64_t rows = getResult().getType().getShape()[0],
          have = 128 * getRowTiles();
  if (getFrom() ? have >= rows : have == rows)
    return success();
  return emitOpError() << "has " << have << " rows of scales in its slots for "
                       << getResult().getType();
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

/// Adds the vector that a body sees of each operand, which has `rank`.
static LogicalResult addOperandTypes(EpilogueOp op, OperandRange operands,
                                     int64_t rank, int64_t width,
                                     SmallVectorImpl<Type> &types) {
  for (Value operand : operands) {
    auto type = cast<MemRefType>(operand.getType());
    if (type.getRank() != rank)
      return op.emitOpError()
             << "operand " << type << " where rank " << rank << " belongs";
    types.push_back(VectorType::get(width, type.getElementType()));
  }
  return success();
}

/// Columns that the body computes at once, or failure.
static FailureOr<int64_t> getWidth(EpilogueOp op) {
  Block &body = op.getBody().front();
  VectorType first;
  if (body.getNumArguments())
    first = dyn_cast<VectorType>(body.getArgument(0).getType());
  int64_t columns = op.getAccType().getShape()[1];
  if (!first || first.getRank() != 1 || columns % first.getNumElements())
    return op.emitOpError() << "the first argument of the body is a vector "
                               "whose length divides the "
                            << columns << " columns";
  return first.getNumElements();
}

static LogicalResult verifyArguments(EpilogueOp op, int64_t width) {
  SmallVector<Type> wanted;
  wanted.assign(op.getAccs().size(),
                VectorType::get(width, op.getAccType().getElement()));
  if (failed(addOperandTypes(op, op.getRows(), 1, width, wanted)) ||
      failed(addOperandTypes(op, op.getCols(), 1, width, wanted)) ||
      failed(addOperandTypes(op, op.getElements(), 2, width, wanted)))
    return failure();
  auto have = op.getBody().getArgumentTypes();
  if (llvm::equal(wanted, have))
    return success();
  InFlightDiagnostic diag = op.emitOpError() << "the body takes (";
  llvm::interleaveComma(wanted, diag);
  diag << "), not (";
  llvm::interleaveComma(have, diag);
  return diag << ")";
}

static LogicalResult verifyResults(EpilogueOp op, int64_t width) {
  auto yield = dyn_cast<YieldOp>(op.getBody().front().back());
  if (!yield || yield.getValues().size() != op.getNumResults())
    return op.emitOpError() << "the body ends in a tile.yield of "
                            << op.getNumResults() << " values";
  ArrayRef<int64_t> acc = op.getAccType().getShape();
  for (auto [value, result] : llvm::zip(yield.getValues(), op.getResults())) {
    auto vector = dyn_cast<VectorType>(value.getType());
    auto fragment = cast<FragmentType>(result.getType());
    if (!vector || vector.getRank() != 1 ||
        vector.getElementType() != fragment.getElement() ||
        fragment.getShape() !=
            ArrayRef({acc[0], acc[1] / width * vector.getNumElements()}))
      return yield.emitOpError()
             << value.getType() << " for every " << width << " of "
             << op.getAccType() << " does not make " << fragment;
  }
  return success();
}

LogicalResult EpilogueOp::verify() {
  const Target *target = getTargetOf(*this);
  if (!target)
    return failure();
  RoleOp role = getRole(*this);
  if (!role.isWarpgroups())
    return emitOpError() << "reads accumulators with whole warpgroups: role @"
                         << role.getSymName()
                         << " needs a multiple of 4 warps, beginning at one";
  if (getAccs().empty() || !llvm::all_equal(getAccs().getTypes()))
    return emitOpError() << "reads accumulators of one shape, at least one";
  if (target->hasTensorMemory() && !llvm::all_of(getAccs(), [](Value acc) {
        return isa_and_present<WaitOp, PromoteOp>(acc.getDefiningOp());
      }))
    return emitOpError() << "reads an accumulator in tensor memory that was "
                            "not waited for (tile.wait)";
  if (failed(verifyReduced(*this)))
    return failure();
  FailureOr<int64_t> width = getWidth(*this);
  return success(succeeded(width) && succeeded(verifyArguments(*this, *width)));
}

/// Arithmetic on the body's own values, and scalars from outside.
LogicalResult EpilogueOp::verifyRegions() {
  for (Operation &op : getBody().front()) {
    if (!isMemoryEffectFree(&op))
      return op.emitOpError() << "has side effects; the body of an epilogue "
                                 "is arithmetic on registers";
    for (Value operand : op.getOperands())
      if (operand.getParentBlock() != &getBody().front() &&
          !operand.getType().isIntOrIndexOrFloat())
        return op.emitOpError()
               << "takes " << operand.getType()
               << " from outside; an epilogue may take scalars";
  }
  return verifyResults(*this, *getWidth(*this));
}

int64_t StoreOp::getStagingBytes() {
  FragmentType type = getValue().getType();
  return getRole(*this).getTeams() * type.getShape()[0] * getPanel() *
         getBuffers() * type.getElement().getIntOrFloatBitWidth() / 8;
}

/// If the coordinates are those of a loop over tiles: the loop covers `dest`,
/// and no more than the cluster rounds up to.
static LogicalResult verifyCover(StoreOp op) {
  for (unsigned i : {0, 1}) {
    auto index = dyn_cast<BlockArgument>(op.getCoords()[i]);
    auto loop = index ? dyn_cast<ForTilesOp>(index.getOwner()->getParentOp())
                      : ForTilesOp();
    if (!loop)
      continue;
    int64_t extent = op.getDest().getType().getDimSize(i);
    int64_t size = op.getTileShape()[op.getTransposed() ? 1 - i : i];
    unsigned axis = index.getArgNumber();
    int64_t blocks = getKernel(op).getBlocks(axis);
    int64_t wanted =
        llvm::divideCeil(llvm::divideCeil(extent, size), blocks) * blocks;
    if (loop.getTiles()[axis] != wanted)
      return op.emitOpError()
             << "dimension " << i << " has " << wanted << " tiles of " << size
             << ", the loop goes over " << loop.getTiles()[axis];
  }
  return success();
}

static LogicalResult verifyPanel(StoreOp op) {
  FragmentType type = op.getValue().getType();
  int64_t panel = op.getPanel();
  int64_t bits = panel * type.getElement().getIntOrFloatBitWidth();
  // In tensor memory a thread has a row: 16 bytes are enough.
  int64_t least = getTargetOf(op)->hasTensorMemory() ? 128 : 256;
  if (bits >= least && llvm::is_contained({128, 256, 512, 1024}, bits) &&
      panel <= type.getShape()[1])
    return success();
  return op.emitOpError() << "a panel of " << panel << " of "
                          << type.getShape()[1] << " columns is " << bits / 8
                          << " bytes wide; 32, 64 or 128";
}

/// Panels of a transposed store: rows of the box of a tensor map.
static LogicalResult verifyRows(StoreOp op) {
  FragmentType type = op.getValue().getType();
  int64_t panel = op.getPanel();
  if (panel % 8 == 0 && panel <= 256 && panel <= type.getShape()[1] &&
      type.getElement().getIntOrFloatBitWidth() >= 8 &&
      type.getShape()[0] % 64 == 0)
    return success();
  return op.emitOpError() << "transposed panels of " << panel << " columns of "
                          << type
                          << "; multiples of 8 up to 256 of its columns, and "
                             "whole bytes and multiples of 64 rows, work";
}

LogicalResult StoreOp::verify() {
  if (!getTargetOf(*this))
    return failure();
  FragmentType type = getValue().getType();
  if (failed(verifyMap(*this, getDest().getType(), 2, getCoords().size(),
                       type.getElement(), type)))
    return failure();
  if (failed(getTransposed() ? verifyRows(*this) : verifyPanel(*this)))
    return failure();
  return verifyCover(*this);
}
