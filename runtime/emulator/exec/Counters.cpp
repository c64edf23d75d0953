// Counters of a launch.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Counters.h"

#include <algorithm>

using namespace nibble::emu;

const char *nibble::emu::className(InstClass kind) {
  static constexpr const char *kNames[] = {
      "integer", "float",   "conversion", "move",   "generic",
      "global",  "shared",  "local",      "param",  "copy",
      "control", "barrier", "warp",       "tensor", "other"};
  return kNames[unsigned(kind)];
}

const char *nibble::emu::tensorKindName(TensorKind kind) {
  static constexpr const char *kNames[] = {"f16", "tf32", "f8", "f4", "i8"};
  return kNames[unsigned(kind)];
}

void Counters::add(const Counters &other) {
  instructions += other.instructions;
  for (unsigned i = 0; i < unsigned(InstClass::Count); ++i)
    byClass[i] += other.byClass[i];
  globalRead += other.globalRead;
  globalWritten += other.globalWritten;
  copyRead += other.copyRead;
  copyWritten += other.copyWritten;
  sharedRead += other.sharedRead;
  sharedWritten += other.sharedWritten;
  sharedAsyncRead += other.sharedAsyncRead;
  sharedAsyncWritten += other.sharedAsyncWritten;
  sharedAccesses += other.sharedAccesses;
  wavefronts += other.wavefronts;
  conflicts += other.conflicts;
  for (unsigned i = 0; i < unsigned(TensorKind::Count); ++i)
    multiplies[i] += other.multiplies[i];
  sharedBytes = std::max(sharedBytes, other.sharedBytes);
  sharedPeak = std::max(sharedPeak, other.sharedPeak);
  tensorPeak = std::max(tensorPeak, other.tensorPeak);
  ctas += other.ctas;
}
