// Tensor memory of a CTA.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/TensorMemory.h"

#include <algorithm>

using namespace nibble::emu;

static constexpr uint32_t kUnit = 32; // columns that are allocated together
static constexpr uint32_t kPoison = 0xCBCBCBCB;

void TensorMemory::create() {
  if (!words.empty())
    return;
  words.assign(kLanes * kColumns, kPoison);
  written.assign(kLanes * kColumns, 0);
  writes.assign(kColumns, 0);
  logs.assign(kColumns, ColumnLog());
  reads.assign(kColumns, 0);
}

static bool isCount(uint32_t columns) {
  return columns >= kUnit && columns <= TensorMemory::kColumns &&
         (columns & (columns - 1)) == 0;
}

int TensorMemory::allocate(uint32_t columns, std::string &why) {
  create();
  if (!isCount(columns))
    why = std::to_string(columns) +
          " columns: must be a power of two from 32 to 512";
  else if (!mayAllocate)
    why = "tcgen05.alloc after tcgen05.relinquish_alloc_permit";
  if (!why.empty())
    return -1;
  int column = findRoom(columns);
  for (uint32_t u = 0; column >= 0 && u < columns / kUnit; ++u)
    owner[uint32_t(column) / kUnit + u] = next;
  ++next;
  uint32_t used = 0;
  for (int32_t each : owner)
    used += each ? kUnit : 0;
  most = std::max(most, used);
  return column;
}

int TensorMemory::findRoom(uint32_t columns) const {
  uint32_t units = columns / kUnit, all = kColumns / kUnit;
  for (uint32_t first = 0; first + units <= all; ++first) {
    bool free = true;
    for (uint32_t u = 0; u < units; ++u)
      free &= owner[first + u] == 0;
    if (free)
      return int(first * kUnit);
  }
  return -1;
}

bool TensorMemory::hasRoom(uint32_t columns) const {
  return findRoom(columns) >= 0;
}

std::string TensorMemory::release(uint32_t column, uint32_t columns) {
  uint32_t first = column / kUnit, units = columns / kUnit;
  if (!isCount(columns) || column % kUnit || column + columns > kColumns ||
      owner[first] == 0)
    return "releases " + std::to_string(columns) + " columns from " +
           std::to_string(column) + " on, which were not allocated so";
  for (uint32_t u = 0; u < kColumns / kUnit; ++u) {
    bool inside = u >= first && u < first + units;
    if ((owner[u] == owner[first]) != inside)
      return "releases " + std::to_string(columns) + " columns from " +
             std::to_string(column) + " on, but the allocation is another";
  }
  if (hasPendingWrite(column, columns) || hasPendingRead(column, columns))
    return "releases tensor memory that operations in flight use";
  for (uint32_t u = first; u < first + units; ++u)
    owner[u] = 0;
  for (unsigned lane = 0; lane < kLanes; ++lane)
    for (uint32_t c = column; c < column + columns; ++c)
      written[lane * kColumns + c] = 0;
  return "";
}

std::string TensorMemory::leftovers() const {
  uint32_t units = 0;
  for (int32_t o : owner)
    units += o != 0;
  return units ? std::to_string(units * kUnit) +
                     " columns of tensor memory were not released"
               : "";
}

std::string TensorMemory::check(uint32_t column, uint32_t count) const {
  if (column + count > kColumns)
    return "columns " + std::to_string(column) + " to " +
           std::to_string(column + count - 1) +
           " of tensor memory, which has " + std::to_string(kColumns);
  for (uint32_t u = column / kUnit; u <= (column + count - 1) / kUnit; ++u)
    if (owner[u] == 0)
      return "column " + std::to_string(std::max(u * kUnit, column)) +
             " of tensor memory, which is not allocated";
  return "";
}

void TensorMemory::begin(uint32_t column, uint32_t count, bool write) {
  for (uint32_t c = column; c < column + count; ++c)
    ++(write ? writes : reads)[c];
}
void TensorMemory::end(uint32_t column, uint32_t count, bool write) {
  for (uint32_t c = column; c < column + count; ++c)
    --(write ? writes : reads)[c];
}

static bool anyOf(const std::vector<uint16_t> &marks, uint32_t column,
                  uint32_t count) {
  for (uint32_t c = column; c < column + count && c < marks.size(); ++c)
    if (marks[c])
      return true;
  return false;
}
bool TensorMemory::hasPendingWrite(uint32_t column, uint32_t count) const {
  return anyOf(writes, column, count);
}
bool TensorMemory::hasPendingRead(uint32_t column, uint32_t count) const {
  return anyOf(reads, column, count);
}

void TensorMemory::beginUnwaited(uint32_t column, uint32_t count, bool write,
                                 uint8_t quarters) {
  for (uint32_t c = column; c < column + count; ++c)
    unwaited[write][c] |= quarters;
  anyUnwaited[write] |= quarters;
}
void TensorMemory::endUnwaited(bool write, uint8_t quarters) {
  if (!(anyUnwaited[write] & quarters))
    return;
  for (uint8_t &column : unwaited[write])
    column &= uint8_t(~quarters);
  anyUnwaited[write] &= uint8_t(~quarters);
}
bool TensorMemory::isUnwaited(uint32_t column, uint32_t count, bool write,
                              uint8_t quarters) const {
  if (!(anyUnwaited[write] & quarters))
    return false;
  return std::any_of(unwaited[write] + column, unwaited[write] + column + count,
                     [&](uint8_t q) { return q & quarters; });
}

void TensorMemory::setWritten(unsigned lane, uint32_t column, uint32_t count) {
  std::fill_n(written.begin() + (lane * kColumns + column), count, 1);
}
bool TensorMemory::isWritten(unsigned lane, uint32_t column,
                             uint32_t count) const {
  for (uint32_t c = column; c < column + count; ++c)
    if (!written[lane * kColumns + c])
      return false;
  return true;
}
