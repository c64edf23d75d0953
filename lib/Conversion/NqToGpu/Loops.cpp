// Kernels without matrix products, from tensors to kernels of a GPU: which
// launches there are, and what they hand over.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToGpu/Loops.h"
#include "FloatCodes.h"
#include "LoopsRows.h"
#include "TransposeTile.h"

#include "nibble/Support/GpuChip.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace nibble {
namespace gpu {
namespace {

using namespace cpu;

/// Threads of blocks that have no rows to do.
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
    groups = groupStages(stages, getRowMachine(), kernel.getContext());
    placeInWorkspace();
    chooseThreads();
    planLevels();
    for (StageGroup &group : groups)
      if (group.inRows && group.rows > 0 && group.threads != threads)
        launch(group.threads, {rowsPiece(group)});
    for (auto [level, jobs] : llvm::enumerate(levels))
      launchLevel(level, jobs);
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
        offsets[tensor] = takeWorkspace(
            nq::getPlainBytes(tensor->element, bufferSize(*tensor)));
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

  RowMachine getRowMachine() const {
    return {wantedThreads(), isBlackwell(gpu.chip) ? 256 : 128};
  }
  int64_t wantedThreads() const { return gpu.multiprocessors * 1024; }

  /// What some blocks of a launch do.
  struct Piece {
    int64_t blocks;
    std::function<void(GpuFunction &, BlockExchange &, int64_t first)> emit;
  };

  /// One launch of all pieces, which depend on each other in nothing.
  void launch(int64_t threads, ArrayRef<Piece> pieces) {
    if (pieces.empty())
      return;
    GpuFunction f = makeFunction(threads);
    BlockExchange exchange(f);
    int64_t blocks = 0;
    for (const Piece &piece : pieces) {
      int64_t first = blocks;
      blocks += piece.blocks;
      if (&piece == &pieces.back()) {
        piece.emit(f, exchange, first);
        break;
      }
      // Blocks below the border do this one, the others what follows.
      Value mine = arith::CmpIOp::create(f.b, arith::CmpIPredicate::ult,
                                         f.blockId(), f.index(blocks));
      auto branch = scf::IfOp::create(f.b, mine, /*withElseRegion=*/true);
      f.b.setInsertionPoint(branch.thenYield());
      piece.emit(f, exchange, first);
      f.b.setInsertionPoint(branch.elseYield());
    }
    saturateIndices(f.function);
    result.launches.push_back(f.makeLaunch(blocks));
  }

  static Value blockFrom(GpuFunction &f, int64_t first) {
    if (first == 0)
      return f.blockId();
    return arith::SubIOp::create(f.b, f.blockId(), f.index(first));
  }

  Piece rowsPiece(StageGroup &group) {
    return {group.blocks, [&](GpuFunction &f, BlockExchange &, int64_t first) {
              emitRows(f, stages, group, blockFrom(f, first));
            }};
  }

  /// Rows and what else can begin at once are one launch, in blocks as the rows
  /// want them.
  void chooseThreads() {
    for (StageGroup &group : groups)
      if (group.inRows && group.rows > 0) {
        threads = group.threads;
        return;
      }
  }

  /// How many launches must be over before a stage may begin.
  int levelOf(int stage) {
    int level = 0;
    for (int other : stages.getReads(stage))
      level = std::max(level, levelOf(other) + 1);
    return level;
  }

  /// What may run at the same time is one launch.
  void planLevels() {
    for (StageGroup &group : groups)
      for (auto [number, nests] : llvm::zip(group.stages, group.nests)) {
        if (group.inRows)
          continue;
        unsigned level = levelOf(number);
        levels.resize(std::max<size_t>(levels.size(), level + 1));
        for (auto &nest : nests) {
          LoopJob job = planJob(*nest, level ? kThreads : threads,
                                wantedThreads(), /*mayPart=*/true);
          placeParts(job);
          addJob(levels[level], std::move(job), number);
        }
      }
  }

  /// Pieces of one tensor go together where they can.
  void addJob(SmallVectorImpl<LoopJob> &jobs, LoopJob job, int stage) {
    if (job.units == 0)
      return;
    if (!jobs.empty() && lastStage == stage && haveSameLoops(jobs.back(), job))
      return jobs.back().more.push_back(job.nest);
    lastStage = stage;
    jobs.push_back(std::move(job));
  }

  void placeParts(LoopJob &job) {
    if (job.parts == 1)
      return;
    for (Type type : job.nest->reduction->types) {
      int64_t count = job.parts * job.units * job.width;
      job.partOffsets.push_back(takeWorkspace(nq::getPlainBytes(
          type.isIndex() ? IntegerType::get(type.getContext(), 32) : type,
          count)));
    }
  }

  int64_t takeWorkspace(int64_t bytes) {
    int64_t offset = result.workspaceBytes;
    result.workspaceBytes += llvm::alignTo(bytes, 64);
    return offset;
  }

  void launchLevel(size_t level, ArrayRef<LoopJob> jobs) {
    SmallVector<Piece, 0> pieces, finals;
    int64_t blockThreads = level ? kThreads : threads;
    if (level == 0)
      for (StageGroup &group : groups)
        if (group.inRows && group.rows > 0 && group.threads == threads)
          pieces.push_back(rowsPiece(group));
    for (const LoopJob &job : jobs) {
      bool parted = job.parts > 1;
      pieces.push_back(jobPiece(
          job, blockThreads, parted ? JobEmitter::Parts : JobEmitter::Whole));
      if (parted)
        finals.push_back(jobPiece(job, blockThreads, JobEmitter::Finals));
    }
    launch(blockThreads, pieces);
    launch(blockThreads, finals);
  }

  Piece jobPiece(const LoopJob &job, int64_t blockThreads,
                 JobEmitter::Phase phase) {
    if (std::optional<TransposeTile> tile = planTranspose(job))
      return {tile->blocks,
              [tile](GpuFunction &f, BlockExchange &, int64_t first) {
                emitTranspose(f, *tile, blockFrom(f, first));
              }};
    return {
        JobEmitter::countBlocks(job, phase, blockThreads),
        [&job, phase](GpuFunction &f, BlockExchange &exchange, int64_t first) {
          JobEmitter(f, exchange, job, {}, phase).emitGrid(first);
        }};
  }

  func::FuncOp kernel;
  mlir::gpu::GPUModuleOp target;
  const GpuTarget &gpu;
  KernelGraph graph;
  KernelStages stages;
  std::vector<StageGroup> groups;
  /// Per level; there is a first one.
  std::vector<SmallVector<LoopJob, 0>> levels{1};
  int lastStage = -1;         ///< of the job that was added last
  int64_t threads = kThreads; ///< of a block of the first launch
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
