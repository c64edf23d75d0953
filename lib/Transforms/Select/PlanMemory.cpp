// plan-memory: static addresses from lifetimes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/MathExtras.h"

namespace nibble {
#define GEN_PASS_DEF_PLANMEMORY
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

/// Every buffer starts on a cache line, so that kernels may assume it.
static constexpr int64_t kAlignment = 64;

namespace {
struct Buffer {
  Value value;
  int64_t size;
  int64_t first, last; ///< launches between which it lives, both included
  int64_t offset = -1;
};

struct PlanMemoryPass : nibble::impl::PlanMemoryBase<PlanMemoryPass> {
  void runOnOperation() override {
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (function->hasAttr(kEntryAttr))
        plan(function);
  }

  static Value getRoot(Value value) {
    while (auto alias = value.getDefiningOp<exec::AliasOp>())
      value = alias.getInput();
    return value;
  }

  /// Values that the entry point returns live in the caller's buffers.
  llvm::DenseSet<Value> getOutputs(func::FuncOp entry) {
    llvm::DenseSet<Value> outputs;
    for (Value value : entry.front().getTerminator()->getOperands())
      outputs.insert(getRoot(value));
    return outputs;
  }

  SmallVector<Buffer> getBuffers(func::FuncOp entry) {
    SmallVector<Buffer> buffers;
    llvm::DenseMap<Value, size_t> indexOf;
    llvm::DenseSet<Value> outputs = getOutputs(entry);
    int64_t time = 0;
    for (auto launch : entry.front().getOps<exec::LaunchOp>()) {
      for (Value input : launch.getInputs())
        if (auto it = indexOf.find(getRoot(input)); it != indexOf.end())
          buffers[it->second].last = time;
      for (Value result : launch.getResults()) {
        if (outputs.contains(result))
          continue;
        auto type = cast<RankedTensorType>(result.getType());
        int64_t size = std::max<int64_t>(nq::getStorageRegions(type).total, 1);
        indexOf[result] = buffers.size();
        buffers.push_back(
            {result, int64_t(llvm::alignTo(size, kAlignment)), time, time});
      }
      ++time;
    }
    return buffers;
  }

  /// Lowest address where `buffer` meets none of `placed` that lives with it.
  static int64_t place(const Buffer &buffer, ArrayRef<Buffer *> placed) {
    SmallVector<const Buffer *> alive;
    for (Buffer *other : placed)
      if (other->first <= buffer.last && buffer.first <= other->last)
        alive.push_back(other);
    llvm::sort(alive, [](const Buffer *a, const Buffer *b) {
      return a->offset < b->offset;
    });
    int64_t offset = 0;
    for (const Buffer *other : alive) {
      if (offset + buffer.size <= other->offset)
        break;
      offset = std::max(offset, other->offset + other->size);
    }
    return offset;
  }

  void plan(func::FuncOp entry) {
    SmallVector<Buffer> buffers = getBuffers(entry);
    SmallVector<Buffer *> order, placed;
    for (Buffer &buffer : buffers)
      order.push_back(&buffer);
    llvm::stable_sort(order, [](const Buffer *a, const Buffer *b) {
      return a->size > b->size;
    });
    int64_t arena = 0;
    for (Buffer *buffer : order) {
      buffer->offset = place(*buffer, placed);
      placed.push_back(buffer);
      arena = std::max(arena, buffer->offset + buffer->size);
    }
    record(entry, buffers, arena);
  }

  static void record(func::FuncOp entry, ArrayRef<Buffer> buffers,
                     int64_t arena) {
    llvm::DenseMap<Value, int64_t> offsetOf;
    for (const Buffer &buffer : buffers)
      offsetOf[buffer.value] = buffer.offset;
    for (auto launch : entry.front().getOps<exec::LaunchOp>()) {
      SmallVector<int64_t> offsets;
      for (Value result : launch.getResults()) {
        auto it = offsetOf.find(result);
        offsets.push_back(it == offsetOf.end() ? -1 : it->second);
      }
      launch.setOffsets(offsets);
    }
    entry->setAttr("nibble.arena",
                   Builder(entry.getContext()).getI64IntegerAttr(arena));
  }
};
} // namespace
