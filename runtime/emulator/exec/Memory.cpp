// Global memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Memory.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

using namespace nibble::emu;

static constexpr uint64_t kAlign = 256;
static constexpr uint8_t kPoison = 0xCB;

const char *nibble::emu::spaceName(Space space) {
  static constexpr const char *kNames[] = {
      "generic",         "global", "const", "shared",
      "shared::cluster", "local",  "param"};
  return kNames[int(space)];
}

GlobalMemory::GlobalMemory() = default;

GlobalMemory::~GlobalMemory() {
  for (auto &[begin, memory] : owned)
    std::free(memory);
}

void *GlobalMemory::allocate(uint64_t bytes, const std::string &name) {
  uint64_t size = (bytes + kAlign - 1) / kAlign * kAlign;
  if (size < bytes)
    return nullptr;
  void *memory = std::aligned_alloc(kAlign, size ? size : kAlign);
  if (!memory)
    return nullptr;
  std::memset(memory, kPoison, size);
  std::string text = name;
  {
    std::unique_lock lock(mutex);
    owned[uint64_t(memory)] = memory;
    if (text.empty())
      text = "allocation " + std::to_string(number++);
  }
  add(memory, bytes, true, text);
  return memory;
}

bool GlobalMemory::release(void *address) {
  std::unique_lock lock(mutex);
  auto found = owned.find(uint64_t(address));
  if (found == owned.end())
    return false;
  std::free(found->second);
  owned.erase(found);
  byBegin.erase(uint64_t(address));
  ++changes;
  return true;
}

void GlobalMemory::add(const void *begin, uint64_t bytes, bool writable,
                       const std::string &name) {
  auto allocation = std::make_shared<Allocation>();
  *allocation = {uint64_t(begin), uint64_t(begin) + bytes, writable, name};
  std::unique_lock lock(mutex);
  byBegin[allocation->begin] = std::move(allocation);
  ++changes;
}

void GlobalMemory::remove(const void *begin) {
  std::unique_lock lock(mutex);
  byBegin.erase(uint64_t(begin));
  ++changes;
}

std::shared_ptr<const Allocation> GlobalMemory::find(uint64_t address) const {
  std::shared_lock lock(mutex);
  auto next = byBegin.upper_bound(address);
  if (next == byBegin.begin())
    return nullptr;
  auto &allocation = std::prev(next)->second;
  return address < allocation->end ? allocation : nullptr;
}

std::string GlobalMemory::describe(uint64_t address) const {
  std::shared_lock lock(mutex);
  auto next = byBegin.upper_bound(address);
  if (next != byBegin.begin()) {
    const Allocation &a = *std::prev(next)->second;
    if (address < a.end)
      return "byte " + std::to_string(address - a.begin) + " of " + a.name +
             " (" + std::to_string(a.end - a.begin) + " bytes)";
    if (address - a.end < (1 << 20))
      return std::to_string(address - a.end) + " bytes behind the end of " +
             a.name + " (" + std::to_string(a.end - a.begin) + " bytes)";
  }
  if (next != byBegin.end() && next->second->begin - address < (1 << 20))
    return std::to_string(next->second->begin - address) + " bytes before " +
           next->second->name;
  char text[64];
  std::snprintf(text, sizeof text, "address 0x%llx, near no allocation",
                static_cast<unsigned long long>(address));
  return text;
}
