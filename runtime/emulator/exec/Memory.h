// Global memory: allocations that every access is checked against, and the
// windows of generic addresses. SPDX-License-Identifier: Apache-2.0 WITH
// LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_EXEC_MEMORY_H
#define NIBBLE_RT_EMULATOR_EXEC_MEMORY_H

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <shared_mutex>
#include <string>

namespace nibble {
namespace emu {

/// State spaces of an access.
enum class Space : uint8_t {
  Generic,
  Global,
  Const,
  Shared,
  SharedCluster,
  Local,
  Param
};
const char *spaceName(Space space);

/// Generic addresses: global ones are host addresses (below 2^47); the others
/// lie in windows that no host address is in. A shared address has 32 bits: the
/// rank of the CTA in its cluster above bit 24, the offset below.
constexpr uint64_t kSharedWindow = uint64_t(1) << 48;
constexpr uint64_t kLocalWindow = uint64_t(1) << 49;
constexpr unsigned kRankShift = 24;
constexpr uint32_t kSharedOffsetMask = (1u << kRankShift) - 1;

/// A piece of memory that kernels may touch.
struct Allocation {
  uint64_t begin = 0, end = 0;
  bool writable = true;
  std::string name; ///< for messages: "allocation 3", "variable 'table'"
};

/// All allocations of a device. Thread-safe.
class GlobalMemory {
public:
  GlobalMemory();
  ~GlobalMemory();
  /// Memory of `bytes`, aligned to 256, filled with the poison byte 0xCB. Null
  /// if the host has no more.
  void *allocate(uint64_t bytes, const std::string &name = "");
  /// False if `address` is not the begin of an allocation.
  bool release(void *address);
  /// Lets kernels touch memory of somebody else.
  void add(const void *begin, uint64_t bytes, bool writable,
           const std::string &name);
  void remove(const void *begin);
  /// The allocation around an address, or null.
  std::shared_ptr<const Allocation> find(uint64_t address) const;
  /// What is next to an address, for messages.
  std::string describe(uint64_t address) const;
  /// Changes when allocations come or go.
  uint64_t version() const { return changes; }

private:
  mutable std::shared_mutex mutex;
  std::map<uint64_t, std::shared_ptr<const Allocation>> byBegin;
  std::map<uint64_t, void *> owned;
  std::atomic<uint64_t> changes{0};
  uint64_t number = 0;
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_MEMORY_H
