// mbarrier objects.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/MBarrier.h"

#include <cstring>

using namespace nibble::emu;

/// Transaction counts have this range (PTX ISA, "Valid range of each field").
static constexpr int64_t kMaxTransactions = (int64_t(1) << 20) - 1;

void MBarrier::finish() {
  if (pending != 0 || transactions != 0)
    return;
  pending = expected;
  released.join(gathered);
  gathered.clear();
  ++phases;
}

std::string MBarrier::describe() const {
  return "phase " + std::to_string(phases) + ", " + std::to_string(pending) +
         " of " + std::to_string(expected) + " arrivals and " +
         std::to_string(transactions) + " bytes to come";
}

std::string MBarrier::arrive(uint32_t count) {
  if (count > pending)
    return "more arrivals in a phase than the " + std::to_string(expected) +
           " that the mbarrier expects (" + describe() + ")";
  pending -= count;
  finish();
  return "";
}

std::string MBarrier::drop(uint32_t count) {
  if (count > expected)
    return "drops more than the expected count of the mbarrier (" + describe() +
           ")";
  expected -= count;
  return arrive(count);
}

std::string MBarrier::expect(uint32_t bytes) {
  transactions += bytes;
  if (transactions > kMaxTransactions)
    return "expects more than 2^20 - 1 bytes in one phase (" + describe() + ")";
  return "";
}

std::string MBarrier::complete(uint32_t bytes) {
  transactions -= bytes;
  if (transactions < -kMaxTransactions)
    return "more than 2^20 - 1 bytes come without being expected (" +
           describe() + ")";
  finish();
  return "";
}

static constexpr uint32_t kMark = 0x4D424152; // "MBAR"

std::string MBarriers::create(uint8_t *where, uint32_t offset, uint32_t count) {
  std::string why;
  if (find(where, offset, why))
    return "initializes an mbarrier again without mbarrier.inval";
  if (count == 0 || count > MBarrier::kMaxCount)
    return "initializes an mbarrier with count " + std::to_string(count) +
           "; valid are 1 to " + std::to_string(MBarrier::kMaxCount);
  uint32_t words[2] = {uint32_t(entries.size()), kMark};
  std::memcpy(where, words, sizeof words);
  entries.push_back({MBarrier(count), offset, true});
  return "";
}

std::string MBarriers::destroy(uint8_t *where, uint32_t offset) {
  std::string why;
  if (!find(where, offset, why))
    return why;
  uint32_t words[2];
  std::memcpy(words, where, sizeof words);
  entries[words[0]].valid = false;
  std::memset(where, 0, sizeof words);
  return "";
}

MBarrier *MBarriers::find(const uint8_t *where, uint32_t offset,
                          std::string &why) {
  uint32_t words[2];
  std::memcpy(words, where, sizeof words);
  if (words[1] != kMark || words[0] >= entries.size() ||
      entries[words[0]].offset != offset || !entries[words[0]].valid) {
    why = "there is no mbarrier at shared address " + std::to_string(offset) +
          ": it was never initialized, was invalidated, or is overwritten";
    return nullptr;
  }
  return &entries[words[0]].barrier;
}
