// Tensor memory of a CTA: 128 lanes of 512 columns of 32 bits.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_EXEC_TENSORMEMORY_H
#define NIBBLE_RT_EMULATOR_EXEC_TENSORMEMORY_H

#include "exec/Clock.h"

#include <cstdint>
#include <string>
#include <vector>

namespace nibble {
namespace emu {

/// An address in tensor memory: lane in the upper half, column in the lower.
struct TensorAddress {
  uint16_t column, lane;
  static TensorAddress of(uint32_t word) {
    return {uint16_t(word), uint16_t(word >> 16)};
  }
  uint32_t word() const { return uint32_t(lane) << 16 | column; }
};

class TensorMemory {
public:
  static constexpr unsigned kLanes = 128, kColumns = 512;

  /// First column of `columns` new ones, or -1: there is no room now. `why`: a
  /// rule is broken.
  int allocate(uint32_t columns, std::string &why);
  std::string release(uint32_t column, uint32_t columns);
  /// True if that many columns side by side are free.
  bool hasRoom(uint32_t columns) const;
  /// Allocations that are left, for the report of a leak.
  std::string leftovers() const;
  /// Most columns that were allocated at once.
  uint32_t peak() const { return most; }
  /// Gives up the right to allocate.
  void relinquish() { mayAllocate = false; }

  /// "" or why columns [column, column + count) cannot be used.
  std::string check(uint32_t column, uint32_t count) const;

  uint32_t &at(unsigned lane, unsigned column) {
    return words[lane * kColumns + column];
  }
  /// What the tensor core keeps of operand A (collector::a): where that was
  /// read, as the instruction says it. 0: nothing, or what nobody may use.
  uint64_t collected = 0;

  /// Marks of columns (all lanes): a queued operation writes or reads them.
  void begin(uint32_t column, uint32_t count, bool write);
  void end(uint32_t column, uint32_t count, bool write);
  bool hasPendingWrite(uint32_t column, uint32_t count) const;
  bool hasPendingRead(uint32_t column, uint32_t count) const;
  /// Columns that tcgen05.st (`write`) or .ld of the warps of some quarters of
  /// the lanes (bits) use, until their tcgen05.wait.
  void beginUnwaited(uint32_t column, uint32_t count, bool write,
                     uint8_t quarters);
  void endUnwaited(bool write, uint8_t quarters);
  bool isUnwaited(uint32_t column, uint32_t count, bool write,
                  uint8_t quarters) const;
  /// The last accesses of a column, for races: by operations, and by
  /// tcgen05.ld and .st of each quarter of the lanes.
  struct Access {
    Epoch epoch;
    uint32_t line = 0; ///< of the PTX text
  };
  struct ColumnLog {
    Access written, read, loads[4], stores[4];
  };
  ColumnLog &log(uint32_t column) { return logs[column]; }
  void setWritten(unsigned lane, uint32_t column, uint32_t count);
  bool isWritten(unsigned lane, uint32_t column, uint32_t count) const;

private:
  void create();
  int findRoom(uint32_t columns) const;
  std::vector<uint32_t> words;  ///< made with the first allocation
  std::vector<uint8_t> written; ///< per lane and column
  std::vector<ColumnLog> logs;
  std::vector<uint16_t> writes, reads; ///< operations, per column
  uint8_t unwaited[2][kColumns] = {};  ///< quarters, of loads and of stores
  uint8_t anyUnwaited[2] = {};
  int32_t owner[kColumns / 32] = {}; ///< of each 32 columns: 0 nobody
  int32_t next = 1;
  uint32_t most = 0;
  bool mayAllocate = true;
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_TENSORMEMORY_H
