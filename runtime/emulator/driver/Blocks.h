// Memory that the driver gave out or knows of.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_DRIVER_BLOCKS_H
#define NIBBLE_RT_EMULATOR_DRIVER_BLOCKS_H

#include "driver/Objects.h"

namespace nibble {
namespace emu {

struct Block {
  enum Kind { Device, Managed, Host, Registered };
  uint64_t begin = 0, bytes = 0, id = 0;
  Kind kind = Device;
  unsigned flags = 0;
  std::weak_ptr<Context> context;
  bool onHost() const { return kind == Host || kind == Registered; }
};

/// Kernels reach all of it; all addresses are host addresses. Not thread-safe;
/// kernels use `memory`, which is.
class Blocks {
public:
  explicit Blocks(GlobalMemory &memory) : memory(memory) {}
  ~Blocks();

  /// Device memory counts against `limit`. Null if there is no more.
  const Block *allocate(Block::Kind kind, uint64_t bytes, unsigned flags,
                        const std::shared_ptr<Context> &context);
  /// False if a part of it is registered already.
  bool registerHost(void *begin, uint64_t bytes, unsigned flags,
                    const std::shared_ptr<Context> &context);
  /// The block around an address, or null.
  const Block *find(uint64_t address) const;
  /// False if no block of these kinds begins there.
  bool release(uint64_t begin, std::initializer_list<Block::Kind> kinds);
  /// Releases everything of a context.
  void purge(const Context &context);

  uint64_t limit = 0, used = 0; ///< bytes of device memory

private:
  void drop(const Block &block);
  GlobalMemory &memory;
  std::map<uint64_t, Block> byBegin;
  uint64_t number = 0;
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_DRIVER_BLOCKS_H
