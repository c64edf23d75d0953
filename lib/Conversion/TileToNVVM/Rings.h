// Stages, phases and barriers of rings, as one role sees them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_RINGS_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_RINGS_H

#include "Kernel.h"

namespace nibble {
namespace tilecode {

struct Ring {
  const RingLayout *layout = nullptr;
  /// The stage that is taken next or just now, and the parity to wait for.
  mlir::Value stage, phase;
  /// A stage that was released while products still read it.
  mlir::Value pending;
  /// Groups of products that were committed since.
  int64_t products = 0;
  /// Begin of the empty barriers that this lane arrives at, if it does.
  mlir::Value empties, arrives;
};

/// A slot of a stage: address in shared memory, in bytes from its begin.
struct Slot {
  Ring *ring = nullptr;
  int64_t offset = 0; ///< of the slot in stage 0
  mlir::Value stage;
};

class Rings {
public:
  Rings(Kernel &kernel, tile::RoleOp role, bool isSingleThread);

  Ring &get(mlir::Value ring) { return rings.find(ring)->second; }
  Slot getSlot(mlir::Value ring, unsigned slot);
  mlir::Value getFullBarrier(Ring &ring);
  mlir::Value getEmptyBarrier(Ring &ring);
  /// What copies into the stage arrive at: in a pair, block 0's.
  mlir::Value getLoadBarrier(Ring &ring);

  void acquire(Ring &ring);
  /// Waits only: for stages that no copy fills.
  void awaitEmpty(Ring &ring);
  void wait(Ring &ring);
  void publish(Ring &ring) { advance(ring); }
  /// What the warp wrote is there: one of the arrivals that fill a stage.
  void publishByWarp(Ring &ring);
  /// Without products, gives the stage back; with products that may still read
  /// it, gives back the stage before it.
  void release(Ring &ring, bool hasProducts);
  /// All products are done: gives back what was released.
  void settle();
  bool hasPending() const;
  /// Of `groups` that were committed.
  void countProducts(int64_t groups = 1);
  /// All of them were waited for. (A wait for fewer behind that one makes ptxas
  /// think that some are under way.)
  void forgetProducts();

  /// Waits until nobody reads any stage.
  void drain(Ring &ring);

  /// Goes by the stages of `tiles` other rounds of `loop`, which other teams
  /// take.
  void skip(tile::ForTilesOp loop, Int tiles);

  /// State that a loop around `op` carries: of the rings used in it.
  llvm::SmallVector<mlir::Value *> getCells(mlir::Operation *loop);
  /// Rings whose stages `loop` leaves pending at the end of a round.
  bool leavesPending(mlir::Operation *loop, mlir::Value ring);
  /// A round must be written before the loop, so that every round finds a
  /// pending stage.
  bool needsFirstRound(mlir::Operation *loop);

private:
  void waitFor(Ring &ring, int64_t barriers);
  void advance(Ring &ring);
  void arrive(Ring &ring, mlir::Value stage);
  void findTargets(Ring &ring);
  bool isUsedIn(mlir::Operation *loop, mlir::Value ring);

  Kernel &kernel;
  Code &code;
  bool isSingleThread;
  llvm::MapVector<mlir::Value, Ring> rings;
};

} // namespace tilecode
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_RINGS_H
