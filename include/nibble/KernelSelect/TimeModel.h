// The time of a kernel on a GPU, by counting: one formula, a file per machine.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A kernel of tiles (a product on tensor cores) takes
//
//   launch + start + waves x steps x step + epilogues that nothing hides
//
// and at least launch + bytes / DRAM. A step is a stage of K; the matrix unit,
// shared memory, the port to the L2 cache and the schedulers work beside each
// other in it, and its load takes a latency that a ring of stages hides:
//
//   step = |(tensor, shared, L2, issue, latency / stages)| + serial
//
// with the norm of exponent `overlap`: the longest, and a little more where two
// are as long. Clocks fall with the share of the matrix unit that is busy
// (power). Every other kernel takes launch + latency + bytes / bandwidth, or
// its arithmetic.
//
// Constants of a GPU are in runtime/emulator/targets/*.json under "model".
// None is of a shape or a format. Those of sm_90a are fitted on the rows of
// tuning/sm_90a.jsonl (scripts/fit-model); other machines have their own
// datasheet, and the fitted ones of that chip.
#ifndef NIBBLE_KERNELSELECT_TIMEMODEL_H
#define NIBBLE_KERNELSELECT_TIMEMODEL_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <string>

namespace nibble {

struct TimeMachine {
  std::string name;
  std::string source;    ///< of the constants below
  bool measured = false; ///< false: constants are those of another machine
  // Of the datasheet, per multiprocessor where it is per clock.
  double sms = 0, sharedPerClock = 0;
  double f16PerClock = 0; ///< multiply-adds of 16 bits; of 8 bits twice that
  // What programs reach.
  double clockGHz = 0;  ///< where the matrix unit is idle
  double clockLoss = 0; ///< share of it that is lost where it is always busy
  double dramGBs = 0;
  double l2MiB = 0;          ///< of the cache
  double l2PerClock = 0;     ///< bytes
  double launchUs = 0;       ///< between two launches of a graph
  double startClocks = 0;    ///< of a block, until its first load
  double latencyClocks = 0;  ///< of a load until it can be multiplied
  double tileClocks = 0;     ///< between two tiles of a block
  double stageClocks = 0;    ///< of barriers, where one thread issues a stage
  double issueClocks = 0;    ///< of an instruction of a scheduler
  double storePerClock = 0;  ///< bytes of results, of a block
  double exchangeClocks = 0; ///< of blocks that wait for each other
  double overlap = 0;        ///< exponent of the norm
  double rowLatencyUs = 0;   ///< of a kernel of rows, beside its bytes
  double rowBandwidth = 0;   ///< share of dramGBs that such kernels reach
  // Attention beside its bytes, and the share of f16PerClock that it reaches.
  double attentionLatencyUs = 0, attentionRate = 0;
};

/// Reads a machine file; fails naming the field that is missing or no number
/// above 0.
llvm::Expected<TimeMachine> parseTimeMachine(llvm::StringRef json,
                                             llvm::StringRef path);
llvm::Expected<TimeMachine> loadTimeMachine(llvm::StringRef path);

/// The machine behind a target, from files that the compiler was built with;
/// null if there is none (CPUs).
const TimeMachine *getTimeMachine(llvm::StringRef target);

/// Of one block, what a kernel of tiles does. A step is a stage of K.
struct TileWork {
  double tiles = 0;       ///< in all
  double tilesAtOnce = 0; ///< on all multiprocessors
  double steps = 0;       ///< per tile
  double stages = 0;      ///< of the ring
  // Per step.
  double tensorClocks = 0;
  double sharedBytes = 0; ///< written by copies, read by the matrix unit
  double l2Bytes = 0;
  double instructions = 0; ///< of each scheduler
  double serial = 0;       ///< of them that nothing is beside
  // Per tile.
  double epilogue = 0;    ///< instructions of each scheduler
  double storedBytes = 0; ///< of the result
  double exchange = 0;    ///< bytes from other blocks of a cluster
  bool waits = false;     ///< for other blocks of a cluster
  /// Epilogues run beside the loop of another tile: how many at once.
  double epiloguesBeside = 0;
  // Of the kernel.
  double dramBytes = 0; ///< that come from memory or go there
};

struct TileTime {
  double seconds = 0;
  double dramSeconds = 0; ///< of the bytes alone
  const char *bound = ""; ///< "tensor", "shared", "l2", "issue", "latency",
                          ///< "dram"
};

TileTime predictTiles(const TileWork &work, const TimeMachine &machine);

/// Seconds of a kernel of rows, elements or moves.
double predictBytes(double bytes, const TimeMachine &machine);
/// Seconds of attention.
double predictAttention(double bytes, double flops, const TimeMachine &machine);

/// How far predictions are from measurements: |ln(predicted / measured)|, as
/// factors minus 1.
struct ModelError {
  size_t rows = 0;
  double median = 0, most = 0; ///< `most`: nine tenths are within it
  double bias = 0;             ///< median of predicted / measured, minus 1
  std::string device;          ///< that the rows were measured on
  /// "model error on NVIDIA H200, 36 kernels: median 4 %, 90 % within 11 %".
  std::string str() const;
};

/// Of ratios predicted / measured.
ModelError summarizeErrors(llvm::ArrayRef<double> ratios);

} // namespace nibble

#endif // NIBBLE_KERNELSELECT_TIMEMODEL_H
