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
  Pendings &list = op.queue || op.ready ? bound : free;
  list.push_back({next, std::make_unique<AsyncOp>(std::move(op))});
  return next++;
}

template <typename List> static auto findNumber(List &list, uint64_t number) {
  return std::lower_bound(
      list.begin(), list.end(), number,
      [](const auto &p, uint64_t wanted) { return p.number < wanted; });
}

/// Of `bound`, the oldest of each queue, and those that have waited.
void AsyncWork::findReady() {
  ready.clear();
  queues.clear();
  for (size_t i = 0; i < bound.size(); ++i) {
    const AsyncOp &op = *bound[i].op;
    if (op.queue &&
        std::find(queues.begin(), queues.end(), op.queue) != queues.end())
      continue;
    if (op.queue)
      queues.push_back(op.queue);
    if (!op.ready || op.ready())
      ready.push_back(i);
  }
}

std::pair<AsyncWork::Pendings *, size_t> AsyncWork::pick(size_t which) {
  for (size_t i = 0; i < ready.size(); ++i) {
    auto older = findNumber(free, bound[ready[i]].number) - free.begin();
    if (which < size_t(older) + i)
      return {&free, which - i};
    if (which == size_t(older) + i)
      return {&bound, ready[i]};
  }
  return {&free, which - ready.size()};
}

/// One of: a read of an operation, or its completion.
bool AsyncWork::step(std::mt19937_64 &random) {
  if (empty())
    return false;
  findReady();
  size_t count = free.size() + ready.size();
  if (count == 0)
    return false;
  auto [list, at] = pick(random() % count);
  AsyncOp &op = *(*list)[at].op;
  if (op.read && !op.hasRead) {
    op.hasRead = true;
    op.read();
    return true;
  }
  std::unique_ptr<AsyncOp> taken = std::move((*list)[at].op);
  list->erase(list->begin() + long(at));
  taken->complete();
  return true;
}

/// Null if it has completed.
const AsyncOp *AsyncWork::find(uint64_t number) const {
  for (const Pendings *list : {&free, &bound})
    if (auto p = findNumber(*list, number);
        p != list->end() && p->number == number)
      return p->op.get();
  return nullptr;
}

bool AsyncWork::isDone(uint64_t number) const { return !find(number); }

bool AsyncWork::hasRead(uint64_t number) const {
  const AsyncOp *op = find(number);
  return !op || op->hasRead;
}

template <typename Visit> void AsyncWork::visitUsers(Visit visit) const {
  for (const Pendings *list : {&free, &bound})
    for (const Pending &p : *list)
      if (!p.op->read)
        visit(*p.op);
}

size_t AsyncWork::countUsers() const {
  size_t count = 0;
  visitUsers([&](const AsyncOp &) { ++count; });
  return count;
}

std::string AsyncWork::linesOfUsers() const {
  std::map<uint32_t, unsigned> counts;
  visitUsers([&](const AsyncOp &op) { ++counts[op.line]; });
  std::string text;
  for (auto [line, count] : counts)
    text += (text.empty() ? "" : ", ") + std::to_string(line) +
            (count > 1 ? " (" + std::to_string(count) + " times)" : "");
  return text;
}
