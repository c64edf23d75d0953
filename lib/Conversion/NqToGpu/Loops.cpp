// Kernels without matrix products, from tensors to kernels of a GPU: which
// launches there are, and what they hand over.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToGpu/Loops.h"
#include "FloatCodes.h"
#include "LoopsRows.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace nibble {
namespace gpu {
namespace {

using namespace cpu;

/// Threads of blocks that do not do rows.
constexpr int64_t kThreads = 256;

/// Takes the high part away before it is lost: an integer that no index can be
/// becomes the nearest one, which is outside of every buffer, too.
void saturateIndices(mlir::gpu::GPUFuncOp function) {
  function.walk([&](arith::IndexCastOp op) {
    auto from = dyn_cast<IntegerType>(getElementTypeOrSelf(op.getIn()));
    if (!from || from.getWidth() <= 32)
      return;
    ImplicitLocOpBuilder b(op.getLoc(), op);
    Value low = splatConstant(b, op.getIn().getType(), int64_t(INT32_MIN));
    Value high = splatConstant(b, op.getIn().getType(), int64_t(INT32_MAX));
    Value value = arith::MaxSIOp::create(b, op.getIn(), low);
    value = arith::MinSIOp::create(b, value, high);
    op.getInMutable().set(value);
  });
}

class LoopsLowering {
public:
  LoopsLowering(func::FuncOp kernel, mlir::gpu::GPUModuleOp target,
                const GpuTarget &gpu)
      : kernel(kernel), target(target), gpu(gpu), graph(kernel.getContext()),
        stages(graph) {
    graph.takesUpdates = true;
  }

  FailureOr<GpuKernel> run() {
    if (failed(graph.read(kernel)))
      return failure();
    stages.choose(kernel.getBody().front().getTerminator()->getOperands());
    groups = groupStages(stages, kernel.getContext());
    placeInWorkspace();
    for (StageGroup &group : groups)
      if (group.inRows)
        launchRows(group);
    for (int level = 0; launchLevel(level); ++level)
      ;
    return std::move(result);
  }

private:
  /// Intermediate tensors that launches hand over.
  void placeInWorkspace() {
    llvm::DenseSet<Tensor *> shared;
    for (StageGroup &group : groups)
      shared.insert(group.shared.begin(), group.shared.end());
    for (const Stage &stage : stages.stages)
      for (Tensor *tensor : stage.tensors) {
        if (!tensor->stored || stages.isResult(tensor) ||
            shared.contains(tensor))
          continue;
        offsets[tensor] = result.workspaceBytes;
        int64_t bytes = nq::getPlainBytes(tensor->element, bufferSize(*tensor));
        result.workspaceBytes += llvm::alignTo(bytes, 64);
      }
  }

  GpuFunction makeFunction(int64_t threads) {
    std::string symbol = kernel.getName().str();
    if (!result.launches.empty())
      symbol += "_" + std::to_string(result.launches.size());
    GpuFunction f(kernel, target, symbol, threads, result.workspaceBytes);
    f.bindArguments(graph, stages);
    for (auto [tensor, offset] : offsets)
      tensor->buffer.memref =
          f.workspaceView(offset, tensor->element, bufferSize(*tensor));
    return f;
  }

  void finish(GpuFunction &f, int64_t blocks) {
    saturateIndices(f.function);
    result.launches.push_back(f.makeLaunch(blocks));
  }

  void launchRows(StageGroup &group) {
    if (group.rows == 0)
      return;
    GpuFunction f = makeFunction(group.threads);
    emitRows(f, stages, group);
    finish(f, group.rows);
  }

  /// How many launches must be over before a stage may begin.
  int levelOf(int stage) {
    int level = 0;
    for (int other : stages.getReads(stage))
      level = std::max(level, levelOf(other) + 1);
    return level;
  }

  /// Everything that may run at the same time is one launch.
  bool launchLevel(int level) {
    bool any = false;
    SmallVector<LoopJob> jobs;
    for (StageGroup &group : groups)
      for (auto [number, nests] : llvm::zip(group.stages, group.nests)) {
        if (group.inRows || levelOf(number) != level)
          continue;
        any = true;
        for (auto &nest : nests)
          jobs.push_back(planJob(*nest, kThreads, wantedThreads()));
      }
    llvm::erase_if(jobs, [](const LoopJob &job) { return job.units == 0; });
    if (!jobs.empty())
      launchJobs(jobs);
    return any;
  }

  int64_t wantedThreads() const { return gpu.multiprocessors * 1024; }

  void launchJobs(ArrayRef<LoopJob> jobs) {
    GpuFunction f = makeFunction(kThreads);
    BlockExchange exchange(f);
    int64_t blocks = 0;
    for (auto [i, job] : llvm::enumerate(jobs)) {
      int64_t first = blocks;
      blocks += JobEmitter::blocksOf(job, kThreads);
      if (i + 1 == jobs.size()) {
        JobEmitter(f, exchange, job, {}).emitGrid(first);
        break;
      }
      // Blocks below the border do this one, the others what follows.
      Value mine = arith::CmpIOp::create(f.b, arith::CmpIPredicate::ult,
                                         f.blockId(), f.index(blocks));
      auto branch = scf::IfOp::create(f.b, mine, /*withElseRegion=*/true);
      f.b.setInsertionPoint(branch.thenYield());
      JobEmitter(f, exchange, job, {}).emitGrid(first);
      f.b.setInsertionPoint(branch.elseYield());
    }
    finish(f, blocks);
  }

  func::FuncOp kernel;
  mlir::gpu::GPUModuleOp target;
  const GpuTarget &gpu;
  KernelGraph graph;
  KernelStages stages;
  std::vector<StageGroup> groups;
  llvm::MapVector<Tensor *, int64_t> offsets;
  GpuKernel result;
};

} // namespace

FailureOr<GpuKernel> lowerLoopsToGpu(func::FuncOp kernel,
                                     mlir::gpu::GPUModuleOp target,
                                     const GpuTarget &gpu) {
  return LoopsLowering(kernel, target, gpu).run();
}

} // namespace gpu
} // namespace nibble
