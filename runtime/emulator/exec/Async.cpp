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
  uint32_t queue = op.queue;
  bool waits = bool(op.ready);
  pending.push_back(
      {next, std::make_unique<AsyncOp>(std::move(op)), queue, waits});
  return next++;
}

/// The oldest of each queue, and all without one.
void AsyncWork::findReady() {
  ready.clear();
  queues.clear();
  for (size_t i = 0; i < pending.size(); ++i) {
    const Pending &p = pending[i];
    if (p.queue &&
        std::find(queues.begin(), queues.end(), p.queue) != queues.end())
      continue;
    if (p.queue)
      queues.push_back(p.queue);
    if (!p.waits || p.op->ready())
      ready.push_back(uint32_t(i));
  }
}

/// One of: a read of an operation, or its completion.
bool AsyncWork::step(std::mt19937_64 &random) {
  if (pending.empty())
    return false;
  findReady();
  if (ready.empty())
    return false;
  size_t chosen = ready[random() % ready.size()];
  AsyncOp &op = *pending[chosen].op;
  if (op.read && !op.hasRead) {
    op.hasRead = true;
    op.read();
    return true;
  }
  std::unique_ptr<AsyncOp> taken = std::move(pending[chosen].op);
  pending.erase(pending.begin() + long(chosen));
  taken->complete();
  return true;
}

/// Null if it has completed.
const AsyncWork::Pending *AsyncWork::find(uint64_t number) const {
  auto at = std::lower_bound(
      pending.begin(), pending.end(), number,
      [](const Pending &p, uint64_t wanted) { return p.number < wanted; });
  return at != pending.end() && at->number == number ? &*at : nullptr;
}

bool AsyncWork::isDone(uint64_t number) const { return !find(number); }

bool AsyncWork::hasRead(uint64_t number) const {
  const Pending *found = find(number);
  return !found || found->op->hasRead;
}

static bool usesMemory(const AsyncOp &op) { return !op.read; }

size_t AsyncWork::countUsers() const {
  return size_t(
      std::count_if(pending.begin(), pending.end(),
                    [](const Pending &p) { return usesMemory(*p.op); }));
}

std::string AsyncWork::linesOfUsers() const {
  std::map<uint32_t, unsigned> counts;
  for (const Pending &p : pending)
    if (usesMemory(*p.op))
      ++counts[p.op->line];
  std::string text;
  for (auto [line, count] : counts)
    text += (text.empty() ? "" : ", ") + std::to_string(line) +
            (count > 1 ? " (" + std::to_string(count) + " times)" : "");
  return text;
}
