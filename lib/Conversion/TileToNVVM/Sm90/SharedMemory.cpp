// Where rings, barriers and panels lie in shared memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "SharedMemory.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::sm90;

bool nibble::sm90::isSingleThread(tile::RoleOp role) {
  WalkResult uses = role.walk([](Operation *op) {
    return isa<tile::MmaOp, tile::EpilogueOp>(op) ? WalkResult::interrupt()
                                                  : WalkResult::advance();
  });
  return !uses.wasInterrupted();
}

static RingLayout getLayout(tile::RingType type, int64_t begin) {
  RingLayout ring;
  ring.stages = type.getStages();
  ring.begin = begin;
  int64_t alignment = 1;
  for (Type slotType : type.getSlots()) {
    auto slot = cast<tile::SlotType>(slotType);
    ring.stageBytes = llvm::alignTo(ring.stageBytes, slot.getAlignment());
    ring.slots.push_back(ring.stageBytes);
    ring.stageBytes += slot.getBytes();
    ring.loadBytes += slot.getBytes();
    alignment = std::max(alignment, slot.getAlignment());
  }
  ring.stageBytes = llvm::alignTo(ring.stageBytes, alignment);
  ring.full = begin + ring.stages * ring.stageBytes;
  ring.empty = ring.full + ring.stages * 8;
  return ring;
}

/// Reading roles, and which loads are for other blocks, too.
static void addUsers(RingLayout &ring, Value value) {
  llvm::SmallPtrSet<Operation *, 4> roles;
  for (Operation *user : value.getUsers()) {
    if (isa<tile::WaitOp>(user))
      roles.insert(tile::getRole(user));
    if (!isa<tile::AcquireOp>(user))
      continue;
    for (Operation *load : user->getUsers())
      if (auto multicast = cast<tile::LoadOp>(load).getMulticast())
        ring.multicast[unsigned(*multicast)] = true;
  }
  for (Operation *op : roles) {
    auto role = cast<tile::RoleOp>(op);
    ring.readers += isSingleThread(role) ? 1 : role.getTeamWarps();
  }
}

SharedMemory::SharedMemory(tile::KernelOp kernel) {
  // As KernelOp::getSharedBytes counts it.
  constexpr int64_t kAlignment = 1024;
  for (auto ring : kernel.getBody().front().getOps<tile::RingOp>()) {
    tile::RingType type = ring.getRing().getType();
    bytes = llvm::alignTo(bytes, kAlignment);
    RingLayout layout = getLayout(type, bytes);
    addUsers(layout, ring.getRing());
    rings.insert({ring.getRing(), layout});
    bytes += type.getSharedBytes();
  }
  kernel.walk([&](tile::ReduceOp reduce) {
    bytes = llvm::alignTo(bytes, kAlignment);
    reductions.insert({reduce, bytes});
    bytes += reduce.getStagingBytes();
  });
  kernel.walk([&](tile::StoreOp store) {
    bytes = llvm::alignTo(bytes, kAlignment);
    panels[store] = bytes;
    bytes += store.getStagingBytes();
  });
}

bool SharedMemory::usesOtherBlocks() const {
  return !reductions.empty() || llvm::any_of(rings, [](const auto &entry) {
    return entry.second.multicast[0] || entry.second.multicast[1];
  });
}
