// Memory that the driver gave out or knows of.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "driver/Blocks.h"

#include <algorithm>

using namespace nibble::emu;

static bool countsAsDevice(Block::Kind kind) {
  return kind == Block::Device || kind == Block::Managed;
}

Blocks::~Blocks() {
  for (auto &entry : byBegin)
    drop(entry.second);
}

const Block *Blocks::allocate(Block::Kind kind, uint64_t bytes, unsigned flags,
                              const std::shared_ptr<Context> &context) {
  bool device = countsAsDevice(kind);
  if (device && (bytes > limit || used > limit - bytes))
    return nullptr;
  static const char *const kNames[] = {"device memory ", "managed memory ",
                                       "pinned host memory "};
  void *begin = memory.allocate(bytes, kNames[kind] + std::to_string(number));
  if (!begin)
    return nullptr;
  used += device ? bytes : 0;
  Block &block = byBegin[uint64_t(begin)];
  block = {uint64_t(begin), bytes, number++, kind, flags, context};
  return &block;
}

bool Blocks::registerHost(void *begin, uint64_t bytes, unsigned flags,
                          const std::shared_ptr<Context> &context) {
  uint64_t first = uint64_t(begin);
  auto next = byBegin.upper_bound(first);
  bool overlaps = next != byBegin.end() && next->first < first + bytes;
  if (overlaps || find(first))
    return false;
  memory.add(begin, bytes, true, "registered memory " + std::to_string(number));
  byBegin[first] = {first, bytes, number++, Block::Registered, flags, context};
  return true;
}

const Block *Blocks::find(uint64_t address) const {
  auto next = byBegin.upper_bound(address);
  if (next == byBegin.begin())
    return nullptr;
  const Block &block = std::prev(next)->second;
  return address - block.begin < block.bytes ? &block : nullptr;
}

void Blocks::drop(const Block &block) {
  if (countsAsDevice(block.kind))
    used -= block.bytes;
  if (block.kind == Block::Registered)
    memory.remove(reinterpret_cast<void *>(block.begin));
  else
    memory.release(reinterpret_cast<void *>(block.begin));
}

bool Blocks::release(uint64_t begin, std::initializer_list<Block::Kind> kinds) {
  auto found = byBegin.find(begin);
  if (found == byBegin.end() ||
      std::find(kinds.begin(), kinds.end(), found->second.kind) == kinds.end())
    return false;
  drop(found->second);
  byBegin.erase(found);
  return true;
}

void Blocks::purge(const Context &context) {
  for (auto it = byBegin.begin(); it != byBegin.end();) {
    auto next = std::next(it);
    if (it->second.context.lock().get() == &context) {
      drop(it->second);
      byBegin.erase(it);
    }
    it = next;
  }
}
