// Buffers and live bytes of a plan, read off its launches.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Analysis/MemoryPlan.h"

#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Support/StableSort.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/Support/Format.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble;

/// Every buffer starts on a cache line, so that kernels may assume it.
static constexpr int64_t kAlignment = 64;

static int64_t getBytes(Type type) {
  return nq::getStorageRegions(cast<RankedTensorType>(type)).total;
}

namespace {

class PlanReader {
public:
  explicit PlanReader(func::FuncOp entry) : entry(entry) {
    plan.entry = entry.getSymName();
    for (Operation &op : entry.front())
      if (isa<func::ReturnOp, nq::StateWriteOp>(op))
        for (Value value : op.getOperands())
          outside.insert(exec::getRoot(value));
  }

  MemoryPlan run() {
    for (auto launch : entry.front().getOps<exec::LaunchOp>())
      addLaunch(launch);
    for (const MemoryBuffer &buffer : plan.buffers)
      for (int64_t step = buffer.first; step <= buffer.last; ++step)
        plan.steps[step].live += buffer.size;
    for (auto [i, step] : llvm::enumerate(plan.steps))
      if (step.live > plan.bound) {
        plan.bound = step.live;
        plan.peak = i;
      }
    if (auto arena = entry->getAttrOfType<IntegerAttr>(kArenaAttr))
      plan.arena = arena.getInt();
    return plan;
  }

private:
  void addLaunch(exec::LaunchOp launch) {
    int64_t time = plan.steps.size();
    plan.steps.push_back({launch.getLayer().str(), launch.getKind().str(), 0});
    for (Value input : launch.getInputs())
      if (auto it = bufferOf.find(exec::getRoot(input)); it != bufferOf.end())
        plan.buffers[it->second].last = time;
    for (unsigned i = 0; i < launch.getNumResults(); ++i)
      if (!outside.contains(launch.getResult(i)))
        addResult(launch, i, time);
    if (int64_t bytes = launch.getWorkspace().value_or(0))
      addWorkspace(launch, bytes, time);
  }

  /// What the kernels of one launch share lives as long as the launch.
  void addWorkspace(exec::LaunchOp launch, int64_t bytes, int64_t time) {
    MemoryBuffer buffer = makeBuffer(launch, bytes, time);
    buffer.workspaceOf = launch;
    if (launch.getWorkspaceOffset())
      buffer.offset = *launch.getWorkspaceOffset();
    plan.buffers.push_back(std::move(buffer));
  }

  static MemoryBuffer makeBuffer(exec::LaunchOp launch, int64_t bytes,
                                 int64_t time) {
    MemoryBuffer buffer;
    buffer.layer = launch.getLayer();
    buffer.kind = launch.getKind();
    buffer.size = llvm::alignTo(std::max<int64_t>(bytes, 1), kAlignment);
    buffer.first = buffer.last = time;
    return buffer;
  }

  void addResult(exec::LaunchOp launch, unsigned i, int64_t time) {
    Value result = launch.getResult(i);
    if (Value operand = launch.getInPlaceOperand(i)) {
      // An operand outside of the arena has no buffer to take over here.
      auto it = bufferOf.find(exec::getRoot(operand));
      if (it != bufferOf.end()) {
        unsigned number = it->second;
        plan.buffers[number].values.push_back(result);
        bufferOf[result] = number;
        return;
      }
    }
    bufferOf[result] = plan.buffers.size();
    MemoryBuffer buffer = makeBuffer(launch, getBytes(result.getType()), time);
    buffer.values.push_back(result);
    if (launch.getOffsets())
      buffer.offset = (*launch.getOffsets())[i];
    plan.buffers.push_back(std::move(buffer));
  }

  func::FuncOp entry;
  MemoryPlan plan;
  llvm::DenseSet<Value> outside; ///< in outputs and states
  llvm::DenseMap<Value, unsigned> bufferOf;
};

} // namespace

std::vector<unsigned> MemoryPlan::getLive(int64_t step) const {
  std::vector<unsigned> live;
  for (auto [i, buffer] : llvm::enumerate(buffers))
    if (buffer.first <= step && step <= buffer.last)
      live.push_back(i);
  stableSort(live, [&](unsigned a, unsigned b) {
    return buffers[a].size > buffers[b].size;
  });
  return live;
}

MemoryPlan nibble::computeMemoryPlan(func::FuncOp entry) {
  return PlanReader(entry).run();
}

std::vector<std::pair<Operation *, int64_t>>
nibble::getConstantsBySize(ModuleOp module) {
  std::vector<std::pair<Operation *, int64_t>> constants;
  // Equal constants are stored once.
  llvm::DenseSet<std::pair<Attribute, Type>> known;
  for (auto entry : module.getOps<func::FuncOp>()) {
    if (!entry->hasAttr(kEntryAttr))
      continue;
    for (Operation &op : entry.front()) {
      if (!isa<nq::ConstantOp, arith::ConstantOp>(op))
        continue;
      Type type = op.getResult(0).getType();
      if (isa<RankedTensorType>(type) &&
          known.insert({op.getAttrDictionary(), type}).second)
        constants.push_back({&op, getBytes(type)});
    }
  }
  stableSort(constants,
             [](const auto &a, const auto &b) { return a.second > b.second; });
  return constants;
}

MemoryUse nibble::computeMemoryUse(ModuleOp module) {
  MemoryUse use;
  for (const auto &[op, bytes] : getConstantsBySize(module))
    use.constants += bytes;
  for (auto state : module.getOps<nq::StateOp>())
    use.states += getBytes(state.getType());
  for (auto entry : module.getOps<func::FuncOp>()) {
    if (!entry->hasAttr(kEntryAttr))
      continue;
    for (Type type : entry.getArgumentTypes())
      use.inputs += getBytes(type);
    for (Type type : entry.getResultTypes())
      use.outputs += getBytes(type);
    if (auto arena = entry->getAttrOfType<IntegerAttr>(kArenaAttr))
      use.arena = std::max(use.arena, arena.getInt());
  }
  return use;
}

static constexpr std::pair<llvm::StringLiteral, unsigned> kUnits[] = {
    {"TiB", 40}, {"GiB", 30}, {"MiB", 20}, {"KiB", 10}};

std::string nibble::formatBytes(int64_t bytes) {
  std::string text;
  llvm::raw_string_ostream os(text);
  for (auto [unit, shift] : kUnits) {
    if (bytes < int64_t(1) << shift)
      continue;
    double value = double(bytes) / double(int64_t(1) << shift);
    os << llvm::format(value < 100 ? "%.3g" : "%.0f", value) << " " << unit;
    return text;
  }
  os << bytes << " bytes";
  return text;
}

FailureOr<int64_t> nibble::parseBytes(StringRef text) {
  for (auto [unit, shift] : kUnits) {
    if (!text.consume_back(unit))
      continue;
    double value = 0;
    if (text.empty() || !llvm::isDigit(text[0]) || text.getAsDouble(value) ||
        !(value > 0) || value >= double(int64_t(1) << (62 - shift)))
      return failure();
    return int64_t(value * double(int64_t(1) << shift));
  }
  int64_t bytes = 0;
  if (text.getAsInteger(10, bytes) || bytes <= 0)
    return failure();
  return bytes;
}
