// Entry points on tensors, planned, compiled and run beside the reference
// interpreter.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_PLAN_PLANHARNESS_H
#define NIBBLE_TEST_UNIT_PLAN_PLANHARNESS_H

#include "nibble/Analysis/MemoryPlan.h"
#include "nibble/Conversion/Passes.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Engine/WriteEngine.h"
#include "nibble/Pipelines/RegisterAll.h"
#include "nibble/Pipelines/Stages.h"
#include "nibble/Reference/Interpreter.h"
#include "nibble/Target/Cpu/CpuTarget.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/rt/session.h"

#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"
#include "llvm/Support/FileSystem.h"
#include "gtest/gtest.h"

#include <cmath>
#include <map>
#include <random>

namespace nibble {
namespace test {

using ref::RefTensor;

inline std::unique_ptr<mlir::MLIRContext> makePlanContext() {
  mlir::DialectRegistry registry;
  registerAllDialects(registry);
  auto context = std::make_unique<mlir::MLIRContext>(
      registry, mlir::MLIRContext::Threading::DISABLED);
  context->loadAllAvailableDialects();
  return context;
}

/// A file that is removed at the end of the scope.
class TemporaryFile {
public:
  TemporaryFile() {
    EXPECT_FALSE(
        llvm::sys::fs::createTemporaryFile("nibble-plan", "nbl", path));
  }
  ~TemporaryFile() { llvm::sys::fs::remove(path); }
  llvm::SmallString<128> path;
};

/// Follows the bytes of the arena and of the states through a plan: every
/// operand must still be there when a launch reads it, and nothing that a
/// launch writes may overlap an operand other than the one it runs in place
/// on. Looks at the attributes only, and shares no code with the planner.
class PlanChecker {
public:
  explicit PlanChecker(mlir::func::FuncOp entry) : entry(entry) {}

  /// "" or what is wrong.
  std::string run() {
    if (auto attr = entry->getAttrOfType<mlir::IntegerAttr>("nibble.arena"))
      arena = attr.getInt();
    for (mlir::Operation &op : entry.front())
      if (mlir::isa<mlir::func::ReturnOp, nq::StateWriteOp>(op))
        for (mlir::Value value : op.getOperands())
          outside[rootOf(value)] = &op;
    for (mlir::Operation &op : entry.front()) {
      std::string problem = visit(&op);
      if (!problem.empty())
        return problem;
    }
    return "";
  }

private:
  /// Bytes [begin, end) of a memory: the arena (""), or a state.
  struct Range {
    std::string memory;
    int64_t begin, end;
    bool overlaps(const Range &other) const {
      return memory == other.memory && begin < other.end && other.begin < end;
    }
  };

  static mlir::Value rootOf(mlir::Value value) {
    while (auto alias = value.getDefiningOp<exec::AliasOp>())
      value = alias.getInput();
    return value;
  }
  static int64_t bytesOf(mlir::Value value) {
    return nq::getStorageRegions(
               mlir::cast<mlir::RankedTensorType>(value.getType()))
        .total;
  }

  std::string visit(mlir::Operation *op) {
    if (auto read = mlir::dyn_cast<nq::StateReadOp>(op))
      place[read.getResult()] = {read.getState().str(), 0,
                                 bytesOf(read.getResult())};
    if (auto write = mlir::dyn_cast<nq::StateWriteOp>(op)) {
      auto it = place.find(rootOf(write.getValue()));
      if (it == place.end() || it->second.memory != write.getState())
        return "the value of state " + write.getState().str() +
               " is not there at the end";
    }
    if (auto launch = mlir::dyn_cast<exec::LaunchOp>(op))
      return visitLaunch(launch);
    return "";
  }

  std::string visitLaunch(exec::LaunchOp launch) {
    std::string layer = launch.getLayer().str();
    for (mlir::Value input : launch.getInputs()) {
      mlir::Value root = rootOf(input);
      if (gone.count(root))
        return "layer " + layer + " reads what was written over";
    }
    for (auto [i, result] : llvm::enumerate(launch.getResults())) {
      Range range = placeOf(launch, i);
      if (range.memory == "output")
        continue;
      if (range.memory.empty() &&
          (range.begin < 0 || range.end > arena || range.begin % 64))
        return "layer " + layer + " writes outside of the arena";
      mlir::Value inPlace = launch.getInPlaceOperand(i);
      for (mlir::Value input : launch.getInputs()) {
        mlir::Value root = rootOf(input);
        auto it = place.find(root);
        if (it != place.end() && it->second.overlaps(range) &&
            !(inPlace && rootOf(inPlace) == root &&
              it->second.begin == range.begin))
          return "layer " + layer + " writes over its operand";
      }
      for (auto &[value, other] : place)
        if (other.overlaps(range))
          gone[value] = true;
      place[result] = range;
    }
    return "";
  }

  Range placeOf(exec::LaunchOp launch, unsigned i) {
    mlir::Value result = launch.getResult(i);
    if (auto it = outside.find(result); it != outside.end()) {
      if (auto write = mlir::dyn_cast<nq::StateWriteOp>(it->second))
        return {write.getState().str(), 0, bytesOf(result)};
      return {"output", 0, 0};
    }
    int64_t offset = (*launch.getOffsets())[i];
    return {"", offset, offset + bytesOf(result)};
  }

  struct Less {
    bool operator()(mlir::Value a, mlir::Value b) const {
      return a.getAsOpaquePointer() < b.getAsOpaquePointer();
    }
  };
  mlir::func::FuncOp entry;
  int64_t arena = 0;
  std::map<mlir::Value, mlir::Operation *, Less> outside;
  std::map<mlir::Value, Range, Less> place;
  std::map<mlir::Value, bool, Less> gone;
};

/// A module of entry points and what the stages make of it.
class PlannedModule {
public:
  explicit PlannedModule(const std::string &text) : context(makePlanContext()) {
    original = mlir::parseSourceString<mlir::ModuleOp>(text, context.get());
    EXPECT_TRUE(original) << text;
    if (original)
      plan = original->clone();
  }

  /// Stages select and lower without code.
  bool select() {
    mlir::PassManager pm(context.get());
    pm.addNestedPass<mlir::func::FuncOp>(createForwardStates());
    buildSelectPipeline(pm, {});
    pm.addPass(createPlanMemory());
    return mlir::succeeded(pm.run(*plan));
  }

  /// Code, engine, session; with `fuse`, as the driver compiles.
  bool compile(bool fuse = false) {
    mlir::PassManager pm(context.get());
    pm.addNestedPass<mlir::func::FuncOp>(createForwardStates());
    if (fuse) {
      buildFusePipeline(pm, {});
      buildLayoutPipeline(pm, {});
    }
    buildSelectPipeline(pm, {});
    buildLowerPipeline(pm, {});
    if (mlir::failed(pm.run(*plan)))
      return false;
    auto kernels = plan->lookupSymbol<mlir::ModuleOp>(kCpuKernelsModule);
    auto object = cpu::compileToSharedObject(kernels, {});
    if (!object) {
      ADD_FAILURE() << llvm::toString(object.takeError());
      return false;
    }
    WriteEngineOptions options;
    options.path = file.path.str().str();
    options.target = "cpu";
    if (mlir::failed(writeEngine(*plan, *object, options)))
      return false;
    auto engine = rt::Engine::load(options.path);
    EXPECT_TRUE(engine.ok()) << engine.status().str();
    session = *rt::Session::create(*engine, *rt::createDevice("cpu"));
    return true;
  }

  std::unique_ptr<rt::Context> makeRun() {
    auto created = rt::Context::create(session);
    EXPECT_TRUE(created.ok()) << created.status().str();
    return std::move(*created);
  }

  std::vector<mlir::func::FuncOp> entries(mlir::ModuleOp module) {
    std::vector<mlir::func::FuncOp> found;
    for (auto function : module.getOps<mlir::func::FuncOp>())
      if (function->hasAttr(kEntryAttr))
        found.push_back(function);
    return found;
  }

  std::unique_ptr<mlir::MLIRContext> context;
  mlir::OwningOpRef<mlir::ModuleOp> original, plan;
  TemporaryFile file;
  std::shared_ptr<rt::Session> session;
};

/// Fills the arena with NaN, so that what nobody wrote shows.
inline void poisonArena(rt::Context &run, uint32_t entry) {
  const rt::EntryInfo &info = run.session().info().entries[entry];
  for (uint32_t i = 0; i < info.values.size(); ++i) {
    if (info.values[i].storage != rt::Storage::Arena)
      continue;
    std::vector<char> poison(info.values[i].byteSize, char(0xff));
    EXPECT_TRUE(run.writeValue(entry, i, poison.data(), poison.size()).ok());
  }
}

/// Runs the launches one by one on what their operands hold, beside their
/// meanings; names the first that differs.
inline std::string findBadLaunch(PlannedModule &module, rt::Context &run,
                                 uint32_t entry, double tolerance) {
  auto plan = module.entries(*module.plan)[entry];
  const rt::EntryInfo &info = run.session().info().entries[entry];
  auto read = [&](mlir::Value value, uint32_t number) {
    std::vector<char> bytes(info.values[number].byteSize);
    EXPECT_TRUE(run.readValue(entry, number, bytes.data(), bytes.size()).ok());
    return *RefTensor::fromStorage(
        mlir::cast<mlir::RankedTensorType>(value.getType()), bytes,
        [&] { return plan.emitError(); });
  };
  unsigned number = 0;
  for (auto launch : plan.front().getOps<exec::LaunchOp>()) {
    const rt::LaunchInfo &args = info.launches[number];
    llvm::SmallVector<RefTensor> inputs;
    for (auto [i, input] : llvm::enumerate(launch.getInputs()))
      inputs.push_back(read(input, args.args[i]));
    EXPECT_TRUE(run.runLaunch(entry, number++).ok());
    auto kernel =
        module.plan->lookupSymbol<mlir::func::FuncOp>(launch.getKernel());
    auto wanted = ref::Interpreter().run(kernel, inputs);
    for (auto [i, result] : llvm::enumerate(launch.getResults())) {
      auto x = read(result, args.args[inputs.size() + i]).toFloats(),
           y = (*wanted)[i].toFloats();
      for (size_t j = 0; j < x.size(); ++j)
        if (!(std::abs(x[j] - y[j]) <= tolerance * (1 + std::abs(y[j]))))
          return launch.getLayer().str() + " (" + launch.getKind().str() +
                 "), element " + std::to_string(j) + ": " +
                 std::to_string(x[j]) + ", wanted " + std::to_string(y[j]);
    }
  }
  return "none: a launch reads what is not there any more";
}

/// Runs an entry point on `inputs` and compares outputs with those of
/// `reference`, which keeps its own states.
inline void runAndCompare(PlannedModule &module, rt::Context &run,
                          ref::Interpreter &reference, uint32_t entry,
                          llvm::ArrayRef<RefTensor> inputs,
                          double tolerance = 1e-4) {
  for (auto [i, input] : llvm::enumerate(inputs)) {
    std::vector<char> bytes = input.toStorage();
    ASSERT_TRUE(run.setInput(entry, i, bytes.data(), bytes.size()).ok());
  }
  poisonArena(run, entry);
  rt::Status status = run.run(entry);
  ASSERT_TRUE(status.ok()) << status.str();
  auto function = module.entries(*module.original)[entry];
  auto expected = reference.run(function, inputs);
  ASSERT_TRUE(mlir::succeeded(expected));
  for (auto [i, want] : llvm::enumerate(*expected)) {
    std::vector<char> bytes(nq::getStorageRegions(want.getType()).total);
    ASSERT_TRUE(run.getOutput(entry, i, bytes.data(), bytes.size()).ok());
    auto got = RefTensor::fromStorage(want.getType(), bytes,
                                      [&] { return function.emitError(); });
    ASSERT_TRUE(mlir::succeeded(got));
    std::vector<double> x = got->toFloats(), y = want.toFloats();
    for (size_t j = 0; j < x.size(); ++j)
      ASSERT_NEAR(x[j], y[j], tolerance * (1 + std::abs(y[j])))
          << "output " << i << " of entry " << entry << ", element " << j
          << "; bad launch: " << findBadLaunch(module, run, entry, tolerance);
  }
}

inline RefTensor makeFloats(mlir::RankedTensorType type, std::mt19937 &random) {
  std::vector<double> values(type.getNumElements());
  for (double &value : values)
    value = std::normal_distribution<double>()(random);
  return RefTensor::floats(type, values);
}

} // namespace test
} // namespace nibble

#endif // NIBBLE_TEST_UNIT_PLAN_PLANHARNESS_H
