// Prologue, barriers and roles of a kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Kernel.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;

LLVM::GlobalOp nibble::tilecode::getDynamicMemory(LLVM::LLVMFuncOp function) {
  constexpr StringLiteral kName = "nibble_dynamic_memory";
  Operation *module = function->getParentOp();
  if (auto found = SymbolTable::lookupNearestSymbolFrom<LLVM::GlobalOp>(
          module, StringAttr::get(module->getContext(), kName)))
    return found;
  OpBuilder builder = OpBuilder::atBlockBegin(&module->getRegion(0).front());
  auto type = LLVM::LLVMArrayType::get(builder.getI8Type(), 0);
  return LLVM::GlobalOp::create(builder, function.getLoc(), type,
                                /*isConstant=*/false, LLVM::Linkage::External,
                                kName, Attribute(), /*alignment=*/1024,
                                /*addrSpace=*/3);
}

Int nibble::tilecode::getTeam(Code &code, tile::RoleOp role, Int warp) {
  return role.getTeams() == 1 ? Int(0) : code.div(warp, role.getTeamWarps());
}

Int nibble::tilecode::getWarpgroup(Code &code, tile::RoleOp role, Int warp) {
  int64_t warps = role.getTeamWarps();
  if (warps <= 4)
    return 0;
  return code.shr(role.getTeams() == 1 ? warp : code.rem(warp, warps), 2);
}

int64_t Kernel::getThreads() {
  int64_t warps = 0;
  for (auto role : op.getBody().front().getOps<tile::RoleOp>())
    warps += role.getWarps();
  return warps * 32;
}

void Kernel::writeThreads() {
  Code &c = *code;
  Type i32 = c.i32();
  threads.thread = NVVM::ThreadIdXOp::create(c, i32);
  threads.lane = c.get(c.bitAnd(threads.thread, 31));
  // From lane 0, so that ptxas knows it to be uniform.
  threads.warp = NVVM::ShflOp::create(
      c, i32, c.get(-1), c.get(c.shr(threads.thread, 5)), c.get(0), c.get(31),
      NVVM::ShflKind::idx, UnitAttr());
  if (getClusterSize() == 1) {
    threads.cluster = Value(NVVM::BlockIdXOp::create(c, i32));
    return;
  }
  threads.rank = Value(NVVM::ClusterId::create(c, i32));
  threads.cluster = Value(NVVM::ClusterIdXOp::create(c, i32));
  threads.rankM = c.rem(threads.rank, getBlocks(0));
  threads.rankN = c.div(threads.rank, getBlocks(0));
  if (getBlocks(2) == 1)
    return;
  threads.rankN = c.rem(threads.rankN, getBlocks(1));
  threads.rankK = c.div(threads.rank, getClusterTiles());
}

static void initialize(Code &c, Value memory, int64_t begin, int64_t stages,
                       int64_t arrivals) {
  for (int64_t i = 0; i < stages; ++i)
    NVVM::MBarrierInitOp::create(c, c.at(memory, begin + 8 * i),
                                 c.get(arrivals), Value());
}

/// Blocks whose consumers say that a stage is empty. The products of a pair are
/// one consumer, whose commit arrives in both blocks.
static int64_t getSharers(Kernel &kernel, const RingLayout &ring) {
  int64_t sharers = 1;
  for (unsigned axis : {0, 1})
    if (axis == 1 || !ring.pair)
      sharers += ring.multicast[axis] ? kernel.getBlocks(axis) - 1 : 0;
  return sharers;
}

void Kernel::writeClusterBarrier(bool aligned) {
  UnitAttr attr = aligned ? code->getUnitAttr() : UnitAttr();
  NVVM::ClusterArriveOp::create(*code, attr);
  NVVM::ClusterWaitOp::create(*code, attr);
}

void Kernel::writeBarriers() {
  Code &c = *code;
  c.when(c.equal(threads.thread, 0), [&] {
    for (Value map : params.getMaps())
      NVVM::PrefetchOp::create(c, NVVM::PrefetchCacheLevelAttr(),
                               NVVM::CacheEvictionPriorityAttr(), map, Value(),
                               c.getUnitAttr());
    for (auto &[value, ring] : shared.rings) {
      initialize(c, memory, ring.full, ring.stages, ring.writers);
      initialize(c, memory, ring.empty, ring.stages,
                 ring.readers * getSharers(*this, ring));
    }
    for (auto &[reduce, begin] : shared.reductions)
      initialize(c, memory, begin + reduce.getReceivedBytes(), 1, 1);
    NVVM::FenceMbarrierInitOp::create(c);
    NVVM::FenceProxyOp::create(
        c, NVVM::ProxyKind::async_shared,
        NVVM::SharedSpaceAttr::get(c.getContext(),
                                   NVVM::SharedSpace::shared_cta));
  });
  writeSetUp();
  // All that went before is done; what is behind may start and come to here.
  for (auto kind : {NVVM::GridDepActionKind::wait,
                    NVVM::GridDepActionKind::launch_dependents})
    NVVM::GriddepcontrolOp::create(c, kind);
  if (shared.usesOtherBlocks())
    writeClusterBarrier(/*aligned=*/true);
  else
    NVVM::Barrier0Op::create(c);
  writeBegin();
}

LogicalResult Kernel::writeOutside() {
  for (BlockArgument argument : op.getBody().getArguments()) {
    if (isa<MemRefType>(argument.getType()))
      continue;
    Value scalar = params.getScalar(argument);
    if (argument.getType().isIndex())
      scalar = code->toIndex(
          Int(LLVM::TruncOp::create(*code, code->i32(), scalar).getResult()));
    values.map(argument, scalar);
  }
  for (Operation &inside : op.getBody().front())
    if (!isa<tile::RingOp, tile::RoleOp>(inside))
      code->clone(inside, values);
  return success();
}

/// The launch gives every thread the same share of the file.
void Kernel::writeRegisters(tile::RoleOp role) {
  if (!role.getRegisters())
    return;
  int64_t wanted = std::min<int64_t>(*role.getRegisters(), 248);
  int64_t share = std::min<int64_t>(65536 / getThreads(), 255) / 8 * 8;
  if (wanted == share)
    return;
  NVVM::SetMaxRegisterOp::create(*code, uint32_t(wanted),
                                 wanted < share
                                     ? NVVM::SetMaxRegisterAction::decrease
                                     : NVVM::SetMaxRegisterAction::increase);
}

/// Roles take warps in the order they stand.
LogicalResult Kernel::writeRoles() {
  auto *end = new Block();
  auto roles = op.getBody().front().getOps<tile::RoleOp>();
  bool ok = true;
  for (tile::RoleOp role : roles) {
    code->setLoc(role.getLoc());
    int64_t last = role.getFirstWarp() + role.getWarps();
    auto *inside = new Block(), *next = new Block();
    LLVM::CondBrOp::create(*code, code->less(threads.warp, last), inside,
                           ValueRange(), next, ValueRange());
    code->startBlock(inside);
    writeRegisters(role);
    ok &= succeeded(writeRole(role));
    code->jump(end);
    code->startBlock(next);
  }
  code->jump(end);
  code->startBlock(end);
  return success(ok);
}

LogicalResult Kernel::write(LLVM::LLVMFuncOp function) {
  code = std::make_unique<Code>(op.getLoc(), function);
  LLVM::GlobalOp array = getDynamicMemory(function);
  memory = LLVM::AddressOfOp::create(*code, array);
  writeThreads();
  if (failed(writeOutside()))
    return failure();
  writeBarriers();
  if (failed(writeRoles()))
    return failure();
  writeEnd();
  // A block's memory stays until nobody writes or arrives there.
  if (shared.usesOtherBlocks())
    writeClusterBarrier(/*aligned=*/false);
  LLVM::ReturnOp::create(*code, ValueRange());
  return success();
}
