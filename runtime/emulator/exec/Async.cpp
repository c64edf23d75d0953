// Asynchronous work of a cluster.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Async.h"

#include "exec/Warp.h"
#include "isa/Inst.h"

#include <algorithm>
#include <map>

using namespace nibble::emu;

uint64_t AsyncWork::submit(AsyncOp op) {
  op.line = running ? running->inst->line : 0;
  pending.push_back({next, std::move(op)});
  return next++;
}

/// One of: a read of an operation, or its completion.
bool AsyncWork::step(std::mt19937_64 &random) {
  if (pending.empty())
    return false;
  // The oldest of each queue, and all without one.
  std::vector<size_t> ready;
  std::vector<uint32_t> blocked;
  for (size_t i = 0; i < pending.size(); ++i) {
    uint32_t queue = pending[i].op.queue;
    if (queue &&
        std::find(blocked.begin(), blocked.end(), queue) != blocked.end())
      continue;
    if (queue)
      blocked.push_back(queue);
    if (!pending[i].op.ready || pending[i].op.ready())
      ready.push_back(i);
  }
  if (ready.empty())
    return false;
  size_t chosen = ready[random() % ready.size()];
  AsyncOp &op = pending[chosen].op;
  if (op.read && !op.hasRead) {
    op.hasRead = true;
    op.read();
    return true;
  }
  AsyncOp taken = std::move(op);
  pending.erase(pending.begin() + long(chosen));
  taken.complete();
  return true;
}

bool AsyncWork::isDone(uint64_t number) const {
  return std::none_of(pending.begin(), pending.end(),
                      [&](const Pending &p) { return p.number == number; });
}

bool AsyncWork::hasRead(uint64_t number) const {
  return std::none_of(pending.begin(), pending.end(), [&](const Pending &p) {
    return p.number == number && !p.op.hasRead;
  });
}

static bool usesMemory(const AsyncOp &op) { return !op.read; }

size_t AsyncWork::countUsers() const {
  return size_t(
      std::count_if(pending.begin(), pending.end(),
                    [](const Pending &p) { return usesMemory(p.op); }));
}

std::string AsyncWork::linesOfUsers() const {
  std::map<uint32_t, unsigned> counts;
  for (const Pending &p : pending)
    if (usesMemory(p.op))
      ++counts[p.op.line];
  std::string text;
  for (auto [line, count] : counts)
    text += (text.empty() ? "" : ", ") + std::to_string(line) +
            (count > 1 ? " (" + std::to_string(count) + " times)" : "");
  return text;
}
