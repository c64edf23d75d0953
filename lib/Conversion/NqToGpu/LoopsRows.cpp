// Stages that depend on each other, and whether they do so by rows.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LoopsRows.h"
#include "RowEmit.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/IntEqClasses.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace nibble {
namespace gpu {
namespace {

using namespace cpu;

/// Bytes of shared memory for tensors of a row; folds take some more.
constexpr int64_t kSharedBytes = 40 * 1024;
/// A row that one block may do while most of the machine idles.
constexpr int64_t kLongRow = 64 * 1024;
/// So many rows keep the machine busy.
constexpr int64_t kManyRows = 528;
/// Of a block whose warps do a row each.
constexpr int64_t kWarps = 8;

class GroupBuilder {
public:
  GroupBuilder(const KernelStages &stages, StageGroup &group,
               RowMachine machine, MLIRContext *context)
      : stages(stages), group(group), machine(machine), context(context) {}

  void run() {
    if (group.stages.size() > 1 && (chooseRegisters() || chooseRows()))
      return;
    buildWith(0);
    group.inRows = false;
  }

private:
  template <typename Fn> void forTensors(Fn fn) const {
    for (int i : group.stages)
      for (Tensor *tensor : stages.stages[i].tensors)
        fn(*tensor);
  }

  ArrayRef<int64_t> shape() const {
    return stages.stages[group.stages.front()].tensors.front()->shape;
  }

  /// Number of leading dimensions that all tensors share.
  unsigned sharedDims() const {
    ArrayRef<int64_t> all = shape();
    unsigned count = all.size();
    forTensors([&](Tensor &tensor) {
      count = std::min<unsigned>(count, tensor.shape.size());
      for (unsigned d = 0; d < count; ++d)
        if (tensor.shape[d] != all[d])
          count = d;
    });
    return count;
  }

  int64_t rowCount(unsigned dims) const {
    return ShapedType::getNumElements(shape().take_front(dims));
  }

  int64_t rowSize(unsigned dims) const {
    int64_t size = 1;
    forTensors([&](Tensor &tensor) {
      int64_t count = tensor.size();
      if (tensor.reduction)
        count *= ShapedType::getNumElements(tensor.reduction->extents);
      size = std::max(size, count / std::max<int64_t>(rowCount(dims), 1));
    });
    return size;
  }

  /// The more rows the better: they need not wait for each other.
  bool chooseRegisters() {
    inRegisters = true;
    for (unsigned dims = sharedDims() + 1; dims-- > 0 && !group.plan;)
      if (buildWith(dims))
        group.plan = planRow(stages, group.stages, group.nests, dims,
                             rowCount(dims), machine);
    inRegisters = false;
    if (!group.plan)
      return false;
    group.inRows = true;
    group.rowDims = group.plan->rowDims;
    group.rows = group.plan->rows;
    group.rowShape.assign(shape().begin(), shape().begin() + group.rowDims);
    group.rowSize = group.plan->size;
    group.threads = group.plan->threads();
    group.blocks = group.plan->blocks();
    return true;
  }

  bool chooseRows() {
    unsigned dims = sharedDims();
    // Rows of a few elements waste threads.
    while (dims > 1 && rowSize(dims) < 512 && rowCount(dims - 1) >= kManyRows)
      --dims;
    while (!buildWith(dims))
      --dims;
    group.rows = rowCount(dims);
    group.rowSize = rowSize(dims);
    bool small = group.rows * group.rowSize <= kLongRow / 4;
    if (group.rows >= kManyRows / 8 || group.rowSize <= kLongRow / 8 || small)
      group.inRows = true;
    if (!group.inRows)
      return false;
    group.rowDims = dims;
    group.rowShape.assign(shape().begin(), shape().begin() + dims);
    while (group.threads < 512 && group.threads * 8 < group.rowSize)
      group.threads *= 2;
    if (group.threads == 32)
      group.rowsPerBlock = chooseRowsPerBlock();
    group.threads *= group.rowsPerBlock;
    group.blocks = llvm::divideCeil(group.rows, group.rowsPerBlock);
    return true;
  }

  /// A warp has few registers and little shared memory: a multiprocessor runs
  /// more of them than it does blocks. Rows stay spread over the machine.
  int64_t chooseRowsPerBlock() const {
    int64_t count = kWarps;
    while (count > 1 && (group.rows < count * kManyRows / 4 ||
                         count * sharedBytes > kSharedBytes))
      count /= 2;
    return count;
  }

  /// Tensors of a row in shared memory, if they fit, or in registers.
  void chooseShared(unsigned rows) {
    group.shared.clear();
    int64_t &bytes = sharedBytes = 0;
    forTensors([&](Tensor &tensor) {
      tensor.rowDims = 0;
      if (stages.isResult(&tensor))
        return;
      group.shared.push_back(&tensor);
      int64_t count = tensor.size() / std::max<int64_t>(rowCount(rows), 1);
      bytes += llvm::alignTo(nq::getPlainBytes(tensor.element, count), 64);
    });
    if (!inRegisters && (bytes > kSharedBytes || rows == 0))
      group.shared.clear();
    for (Tensor *tensor : group.shared)
      tensor->rowDims = rows;
  }

  bool buildWith(unsigned rows) {
    group.nests.clear();
    chooseShared(rows);
    for (int i : group.stages) {
      auto built = buildNests(stages.stages[i], i, rows, context,
                              /*layouts=*/true);
      if (!built)
        return false;
      group.nests.push_back(std::move(*built));
    }
    return true;
  }

  const KernelStages &stages;
  StageGroup &group;
  RowMachine machine;
  bool inRegisters = false;
  int64_t sharedBytes = 0; ///< of the tensors of a row
  MLIRContext *context;
};

} // namespace

std::vector<StageGroup> groupStages(const KernelStages &stages,
                                    RowMachine machine, MLIRContext *context) {
  llvm::IntEqClasses classes(stages.stages.size());
  for (unsigned i = 0; i < stages.stages.size(); ++i)
    for (int other : stages.getReads(i))
      classes.join(i, other);
  classes.compress();
  std::vector<StageGroup> groups(classes.getNumClasses());
  for (unsigned i = 0; i < stages.stages.size(); ++i)
    groups[classes[i]].stages.push_back(i);
  for (StageGroup &group : groups)
    GroupBuilder(stages, group, machine, context).run();
  return groups;
}

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

static SmallVector<Value> rowIndex(GpuFunction &f, ArrayRef<int64_t> shape,
                                   Value rest) {
  SmallVector<Value> row(shape.size());
  for (unsigned d = shape.size(); d-- > 0;) {
    row[d] = rest;
    if (d == 0)
      break;
    row[d] = arith::RemUIOp::create(f.b, rest, f.index(shape[d]));
    rest = arith::DivUIOp::create(f.b, rest, f.index(shape[d]));
  }
  return row;
}

/// By shared memory; a row of all threads that `f` has.
static void emitRow(GpuFunction &f, const KernelStages &stages,
                    StageGroup &group, Value number) {
  for (Tensor *tensor : group.shared)
    tensor->buffer.memref = f.makeShared(tensor->element, bufferSize(*tensor));
  SmallVector<Value> row = rowIndex(f, group.rowShape, number);
  BlockExchange exchange(f);
  int synchronized = -1; // stages up to this one are visible
  for (auto [number, nests] : llvm::zip(group.stages, group.nests)) {
    for (int other : stages.getReads(number))
      if (other > synchronized) {
        f.barrier();
        synchronized = number - 1;
        break;
      }
    for (auto &nest : nests) {
      LoopJob job = planJob(*nest, f.getThreads(), f.getThreads());
      if (job.units > 0)
        JobEmitter(f, exchange, job, row).emitBlock();
    }
  }
}

void emitRows(GpuFunction &f, const KernelStages &stages, StageGroup &group,
              Value block) {
  if (group.plan)
    return emitRowsInRegisters(f, stages, *group.plan, group.rowShape, block);
  if (group.rowsPerBlock == 1)
    return emitRow(f, stages, group, block);
  f.forWarps([&](Value warp) {
    Value first =
        arith::MulIOp::create(f.b, block, f.index(group.rowsPerBlock));
    Value number = arith::AddIOp::create(f.b, first, warp);
    if (group.rows % group.rowsPerBlock == 0)
      return emitRow(f, stages, group, number);
    Value inside = arith::CmpIOp::create(f.b, arith::CmpIPredicate::ult, number,
                                         f.index(group.rows));
    auto branch = scf::IfOp::create(f.b, inside, /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(f.b);
    f.b.setInsertionPoint(branch.thenYield());
    emitRow(f, stages, group, number);
  });
}

} // namespace gpu
} // namespace nibble
