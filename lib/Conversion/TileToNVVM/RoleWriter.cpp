// One role being written: walks over its ops in order.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RoleWriter.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;

RoleWriter::RoleWriter(Kernel &kernel, tile::RoleOp op)
    : kernel(kernel), code(kernel.getCode()), op(op),
      isSingle(isSingleThread(op)),
      warp(code.sub(kernel.threads.warp, op.getFirstWarp())),
      rings(kernel, op, isSingle), values(kernel.values) {}

LogicalResult RoleWriter::write() {
  if (!isSingle)
    return writeBody();
  LogicalResult result = success();
  Value isRole = code.equal(kernel.threads.warp, op.getFirstWarp());
  if (isOfFirstBlock())
    isRole =
        LLVM::AndOp::create(code, isRole, code.equal(kernel.threads.rank, 0));
  code.when(isRole, [&] {
    Value elected = NVVM::ElectSyncOp::create(code, code.getI1Type(), Value());
    code.when(elected, [&] { result = writeBody(); });
  });
  return result;
}

LogicalResult RoleWriter::writeBody() {
  if (failed(writeBlock(op.getBody().front())))
    return failure();
  writeEnd();
  bool stores = false;
  op.walk([&](tile::StoreOp) { stores = true; });
  // Memory that copies read goes away with the block.
  if (stores)
    code.when(code.equal(kernel.threads.lane, 0), [&] {
      NVVM::CpAsyncBulkWaitGroupOp::create(code, 0u, UnitAttr());
    });
  return success();
}

LogicalResult RoleWriter::writeBlock(Block &block) {
  for (Operation &inside : block) {
    code.setLoc(inside.getLoc());
    if (failed(writeOp(&inside)))
      return failure();
  }
  return success();
}

LogicalResult RoleWriter::writeCommon(Operation *inside) {
  return TypeSwitch<Operation *, LogicalResult>(inside)
      .Case([&](tile::LoadOp load) { return writeLoad(load); })
      .Case([&](tile::OnceOp once) { return writeOnce(once); })
      .Case([&](scf::YieldOp) { return success(); })
      .Default([&](Operation *other) { return writeOther(other); });
}

void RoleWriter::addSlots(Value ring, ValueRange results) {
  for (auto [i, slot] : llvm::enumerate(results))
    slots[slot] = rings.getSlot(ring, i);
}

/// Blocks that share a box load a part of its rows each, for all.
LogicalResult RoleWriter::writeLoad(tile::LoadOp load) {
  if (!isSingle)
    return refuse(load) << "a role that loads and multiplies";
  Slot slot = slots.find(load.getSlot())->second;
  tile::SlotType type = load.getSlot().getType();
  SmallVector<int64_t> extents(type.getShape());
  if (type.getElementBits() == 4)
    extents.back() /= 2; // bytes, as in the map
  SmallVector<Value> coords;
  for (auto [coord, extent] : llvm::zip(load.getCoords(), extents))
    coords.push_back(code.get(code.mul(getInt(coord), extent)));
  if (load.getHalf()) {
    Int half = code.add(code.mul(getInt(load.getCoords()[0]), 2),
                        kernel.threads.rankM);
    coords[0] = code.get(code.mul(half, extents[0]));
  }
  Int offset = code.add(code.mul(slot.stage, slot.ring->layout->stageBytes),
                        slot.offset);
  Box box = getLoadBox(load);
  Value mask;
  if (auto axis = load.getMulticast()) {
    bool alongM = *axis == tile::Axis::m;
    const Threads &t = kernel.threads;
    Int index = alongM ? t.rankM : t.rankN;
    unsigned dim = type.getSharedDim();
    coords[dim] =
        code.get(code.add(coords[dim], code.mul(index, box.extents[dim])));
    int64_t share = type.getBytes() / kernel.getBlocks(unsigned(*axis));
    offset = code.add(offset, code.mul(index, share));
    int64_t blocksM = kernel.getBlocks(0), bits = 0;
    for (int64_t i = 0; i < kernel.getBlocks(unsigned(*axis)); ++i)
      bits |= int64_t(1) << (alongM ? i : i * blocksM);
    Int shift = alongM ? code.mul(t.rankN, blocksM) : t.rankM;
    shift = code.add(shift, kernel.getFirstOfSlice());
    mask = LLVM::TruncOp::create(code, code.i16(),
                                 code.get(code.shl(bits, shift)));
  }
  Value target = LLVM::AddrSpaceCastOp::create(code, code.pointer(7),
                                               code.at(kernel.memory, offset));
  auto group = kernel.shared.pair
                   ? NVVM::CTAGroupKindAttr::get(code.getContext(),
                                                 NVVM::CTAGroupKind::CTA_2)
                   : NVVM::CTAGroupKindAttr();
  std::reverse(coords.begin(), coords.end());
  NVVM::CpAsyncBulkTensorGlobalToSharedClusterOp::create(
      code, target, kernel.params.getMap(load.getSource(), box), coords,
      rings.getLoadBarrier(*slot.ring), ValueRange(), mask, Value(),
      NVVM::TMALoadMode::TILE, false, group, Value());
  return success();
}

/// Tile `index` of the raster, in clusters: group by group, in a group the
/// fastest axis first. The last group may be smaller.
static std::pair<Int, Int> getPlace(Code &code, Int index, int64_t fast,
                                    int64_t slow, int64_t group) {
  if (group >= fast)
    return {code.rem(index, fast), code.div(index, fast)};
  Int number = code.div(index, group * slow);
  Int rest = code.rem(index, group * slow);
  Int first = code.mul(number, group);
  Int size = group;
  if (fast % group)
    size = code.min(group, code.sub(fast, first));
  return {code.add(first, code.rem(rest, size)), code.div(rest, size)};
}

/// Groups count tiles, and are rounded up to whole clusters.
void RoleWriter::bindTile(tile::ForTilesOp loop, Int index) {
  bool alongM = loop.getRaster().getFastest() == tile::Axis::m;
  unsigned fast = alongM ? 0 : 1;
  int64_t blocks = kernel.getBlocks(fast);
  int64_t group = llvm::divideCeil(loop.getRaster().getGroup(), blocks);
  auto [x, y] =
      getPlace(code, index, loop.getTiles()[fast] / blocks,
               loop.getTiles()[1 - fast] / kernel.getBlocks(1 - fast), group);
  Int m = alongM ? x : y, n = alongM ? y : x;
  Block &body = loop.getBody().front();
  ints.insert_or_assign(
      body.getArgument(0),
      code.add(code.mul(m, kernel.getBlocks(0)), kernel.threads.rankM));
  ints.insert_or_assign(
      body.getArgument(1),
      code.add(code.mul(n, kernel.getBlocks(1)), kernel.threads.rankN));
}
