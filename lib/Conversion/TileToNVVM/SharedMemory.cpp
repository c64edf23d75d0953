// Where rings, barriers and panels lie in shared memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "SharedMemory.h"

#include "nibble/Dialect/Tile/TileTarget.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;

bool nibble::tilecode::isSingleThread(tile::RoleOp role) {
  // Products into tensor memory are one thread's, too.
  bool byThread =
      tile::getTarget(tile::getKernel(role).getTarget())->hasTensorMemory();
  WalkResult uses = role.walk([&](Operation *op) {
    bool byAll = isa<tile::EpilogueOp, tile::ExpandIntoOp>(op) ||
                 (isa<tile::MmaOp>(op) && !byThread);
    return byAll ? WalkResult::interrupt() : WalkResult::advance();
  });
  return !uses.wasInterrupted();
}

static RingLayout getLayout(tile::RingType type, int64_t begin) {
  RingLayout ring;
  ring.stages = type.getStages();
  ring.begin = begin;
  int64_t alignment = 1;
  for (Type slotType : type.getSlots()) {
    auto slot = dyn_cast<tile::SlotType>(slotType);
    if (!slot)
      continue; // an accumulator
    ring.stageBytes = llvm::alignTo(ring.stageBytes, slot.getAlignment());
    ring.slots.push_back(ring.stageBytes);
    ring.stageBytes += slot.getBytes();
    ring.loadBytes += slot.getLoadedBytes();
    alignment = std::max(alignment, slot.getAlignment());
  }
  ring.stageBytes = llvm::alignTo(ring.stageBytes, alignment);
  ring.full = begin + ring.stages * ring.stageBytes;
  ring.empty = ring.full + ring.stages * 8;
  return ring;
}

/// Reading roles, and which loads are for other blocks, too.
static void addUsers(RingLayout &ring, Value value, tile::KernelOp kernel) {
  llvm::SmallPtrSet<Operation *, 4> roles;
  for (Operation *user : value.getUsers()) {
    if (isa<tile::WaitOp>(user))
      roles.insert(tile::getRole(user));
    if (!isa<tile::AcquireOp>(user))
      continue;
    if (cast<tile::RingType>(value.getType()).isOperands())
      ring.writers = tile::getRole(user).getWarps();
    for (Operation *inside : user->getUsers())
      if (auto load = dyn_cast<tile::LoadOp>(inside))
        if (auto multicast = load.getMulticast())
          ring.multicast[unsigned(*multicast)] = true;
  }
  // Accumulators of a pair are empty when both blocks have read theirs.
  auto type = cast<tile::RingType>(value.getType());
  ring.pair = kernel.getPair();
  int64_t blocks = ring.pair && type.isTensorMemory() ? 2 : 1;
  for (Operation *op : roles) {
    auto role = cast<tile::RoleOp>(op);
    ring.readers += blocks * (isSingleThread(role) ? 1 : role.getTeamWarps());
  }
}

SharedMemory::SharedMemory(tile::KernelOp kernel) : pair(kernel.getPair()) {
  // As KernelOp::getSharedBytes counts it.
  constexpr int64_t kAlignment = 1024;
  for (auto ring : kernel.getBody().front().getOps<tile::RingOp>()) {
    tile::RingType type = ring.getRing().getType();
    bytes = llvm::alignTo(bytes, kAlignment);
    RingLayout layout = getLayout(type, bytes);
    addUsers(layout, ring.getRing(), kernel);
    rings.insert({ring.getRing(), layout});
    bytes += type.getSharedBytes();
  }
  kernel.walk([&](tile::ReduceOp reduce) {
    bytes = llvm::alignTo(bytes, kAlignment);
    reductions.insert({reduce, bytes});
    bytes += reduce.getStagingBytes();
  });
  kernel.walk([&](tile::EpilogueOp epilogue) {
    bytes = llvm::alignTo(bytes, kAlignment);
    maxima[epilogue] = bytes;
    bytes += epilogue.getStagingBytes();
  });
  kernel.walk([&](tile::StoreOp store) {
    bytes = llvm::alignTo(bytes, kAlignment);
    panels[store] = bytes;
    bytes += store.getStagingBytes();
  });
  if (kernel.getTensorColumns()) {
    tensorAddress = llvm::alignTo(bytes, 16);
    bytes = tensorAddress + 16;
  }
}

bool SharedMemory::usesOtherBlocks() const {
  return pair || !reductions.empty() ||
         llvm::any_of(rings, [](const auto &entry) {
           return entry.second.multicast[0] || entry.second.multicast[1];
         });
}
