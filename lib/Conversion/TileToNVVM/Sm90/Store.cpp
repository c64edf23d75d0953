// Fragments to global memory: panels in shared memory, then TMA.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Store.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;
using namespace nibble::sm90;

Store::Store(Kernel &kernel, tile::RoleOp role, tile::StoreOp op,
             Fragment fragment, Int warp, ArrayRef<Int> coords)
    : kernel(kernel), code(kernel.getCode()), role(role), op(op),
      fragment(fragment), warp(warp), coords(coords),
      transposed(op.getTransposed()),
      elementBytes(op.getDest().getType().getElementTypeBitWidth() / 8),
      unitColumns(fragment.work->getUnitColumns(fragment.result)),
      rowBytes(getStoreBox(op).swizzle),
      panelBytes((transposed ? 64 : 16) * int64_t(op.getPanel()) *
                 elementBytes),
      slots(int64_t(op.getBuffers()) * fragment.work->getParts()) {}

LogicalResult Store::check() {
  int64_t columns = op.getValue().getType().getShape()[1];
  int64_t panel = op.getPanel();
  if (elementBytes == 0)
    return refuse(op) << "stores " << op.getDest().getType().getElementType();
  if (panel % unitColumns || (columns - panel) % unitColumns)
    return refuse(op) << "panels of " << panel << " of " << columns
                      << " columns, where the epilogue makes " << unitColumns
                      << " columns at once";
  if (transposed && fragment.work->getThreadColumns(fragment.result) != 2)
    return refuse(op) << "a transposed store of an epilogue that joins or "
                         "spreads columns";
  return success();
}

/// Panels overlap at the end if the columns are no multiple of them.
LogicalResult Store::write() {
  if (failed(check()))
    return failure();
  prepare();
  int64_t columns = op.getValue().getType().getShape()[1];
  int64_t panel = op.getPanel();
  for (int64_t part = 0; part < fragment.work->getParts(); ++part)
    for (int64_t first = 0; first < columns; first += panel)
      writePanel(part, std::min(first, columns - panel));
  return success();
}

void Store::prepare() {
  Int team = transposed ? code.shr(warp, 2) : warp;
  Int offset = code.mul(team, slots * panelBytes);
  begin =
      code.at(kernel.memory, code.add(offset, kernel.shared.panels.lookup(op)));
  Value thread = kernel.threads.lane;
  if (transposed)
    thread = code.get(code.bitAnd(kernel.threads.thread, 127));
  isLeader = code.equal(thread, 0);
}

/// Warps of a panel meet. Barrier 0 is the whole block's.
void Store::sync() {
  if (!transposed) {
    NVVM::SyncWarpOp::create(code, code.get(-1));
    return;
  }
  Int id = code.add(code.shr(warp, 2), 1 + role.getFirstWarp() / 4);
  NVVM::BarrierOp::create(code, Type(), code.get(id), code.get(128),
                          NVVM::BarrierReductionAttr(), Value());
}

/// Until the copy from this panel's place has read it. The places are taken in
/// turn, from the first one in every tile.
void Store::waitForPanel() {
  int64_t columns = op.getValue().getType().getShape()[1];
  int64_t count = llvm::divideCeil(columns, int64_t(op.getPanel())) *
                  fragment.work->getParts();
  bool inTurn = panels >= slots || count % slots == 0;
  int64_t others = inTurn ? slots - 1 : std::max<int64_t>(panels, 0);
  code.when(isLeader, [&] {
    NVVM::CpAsyncBulkWaitGroupOp::create(code, uint32_t(others),
                                         code.getUnitAttr());
  });
}

void Store::writePanel(int64_t part, int64_t first) {
  waitForPanel();
  sync();
  stage(part, first);
  NVVM::FenceProxyOp::create(
      code, NVVM::ProxyKind::async_shared,
      NVVM::SharedSpaceAttr::get(code.getContext(),
                                 NVVM::SharedSpace::shared_cta));
  sync();
  copy(part, first);
  ++panels;
}

void Store::copy(int64_t part, int64_t first) {
  ArrayRef<int64_t> shape = op.getValue().getType().getShape();
  int64_t m = transposed ? 1 : 0;
  Int rows = code.mul(coords[m], shape[0]);
  int64_t parts = fragment.work->getParts();
  rows = code.add(rows, code.mul(getWarpgroup(code, role, warp), 64 * parts));
  rows = code.add(rows, 64 * part);
  if (!transposed)
    rows = code.add(rows, code.mul(code.bitAnd(warp, 3), 16));
  Int columns = code.add(code.mul(coords[1 - m], op.getTileShape()[1]), first);
  columns = code.add(columns, fragment.work->getPartColumn(fragment.result));
  Box box = getStoreBox(op);
  Value source = code.at(begin, panels % slots * panelBytes);
  int64_t boxBytes = box.extents[0] * rowBytes;
  code.when(isLeader, [&] {
    for (int64_t i = 0; i * boxBytes < panelBytes; ++i) {
      Int inner = transposed ? code.add(rows, i * box.extents[1]) : columns;
      Value at[] = {code.get(inner), code.get(transposed ? columns : rows)};
      NVVM::CpAsyncBulkTensorSharedCTAToGlobalOp::create(
          code, kernel.params.getMap(op.getDest(), box),
          code.at(source, i * boxBytes), at, Value(), NVVM::TMAStoreMode::TILE,
          Value());
    }
    NVVM::CpAsyncBulkCommitGroupOp::create(code);
  });
}
