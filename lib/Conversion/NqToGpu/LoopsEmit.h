// Writes the units of jobs as code of a thread.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_LOOPSEMIT_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_LOOPSEMIT_H

#include "LoopEmitter.h"
#include "LoopsPlan.h"
#include "LoopsTeam.h"

namespace nibble {
namespace gpu {

class JobEmitter {
public:
  /// Of a job in parts: the parts, or what becomes of them.
  enum Phase { Whole, Parts, Finals };

  /// `row`: the values of the dimensions of the row.
  JobEmitter(GpuFunction &f, BlockExchange &exchange, const LoopJob &job,
             llvm::ArrayRef<mlir::Value> row, Phase phase = Whole)
      : f(f), b(f.b), exchange(exchange), job(job), nest(*job.nest), row(row),
        phase(phase), team(teamOf(job, phase)), units(unitsOf(job, phase)) {}

  /// Units by all threads of the blocks from number `first` on: one unit per
  /// team.
  void emitGrid(int64_t first);
  static int64_t countBlocks(const LoopJob &job, Phase phase, int64_t threads);
  /// All units by the threads of one block, one after the other.
  void emitBlock();

private:
  using Values = llvm::SmallVector<mlir::Value>;
  using UnitFn = llvm::function_ref<void(mlir::Value)>;

  static int64_t teamOf(const LoopJob &job, Phase phase) {
    return phase == Finals ? 1 : job.team;
  }
  static int64_t unitsOf(const LoopJob &job, Phase phase) {
    return phase == Parts ? job.units * job.parts : job.units;
  }
  mlir::Value index(int64_t value) { return f.index(value); }
  int64_t extentOf(unsigned dim) const {
    return nest.dag.getDims()[dim].extent;
  }
  void when(mlir::Value condition, llvm::function_ref<void()> body);

  void emitUnit(mlir::Value unit);
  void emitRun(mlir::Value first);
  void emitElements(mlir::Value first, int64_t width);
  void emitNest(cpu::Nest &which, cpu::LoadCache &cache, mlir::Value first,
                int64_t width);
  void emitRest(mlir::Value first);

  class Body;

  GpuFunction &f;
  mlir::ImplicitLocOpBuilder &b;
  BlockExchange &exchange;
  const LoopJob &job;
  cpu::Nest &nest;
  llvm::ArrayRef<mlir::Value> row;
  Phase phase;
  int64_t team, units; ///< of this phase
  mlir::Value unitNumber, part;
  mlir::Value lane; ///< number of the thread in its team; null for teams of 1
  llvm::SmallVector<std::pair<unsigned, mlir::Value>> bound;
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_LOOPSEMIT_H
