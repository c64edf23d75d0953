// What the verifiers of `tile` must know of a GPU.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_DIALECT_TILE_TILETARGET_H
#define NIBBLE_DIALECT_TILE_TILETARGET_H

#include "llvm/ADT/StringRef.h"

#include <cstdint>
#include <string>

namespace nibble::tile {

struct Target {
  llvm::StringLiteral name;
  /// Bytes of shared memory that one thread block may have.
  int64_t sharedBytes;
  /// Columns of tensor memory (128 lanes x 32 bits each); 0: there is none, and
  /// accumulators are registers (wgmma).
  int64_t tensorColumns;
  /// 32-bit registers of a multiprocessor.
  int64_t registers;
  /// Blocks of a cluster that is guaranteed to be placed.
  int64_t maxCluster;
  /// Loads from tensor memory give maxima, too (tcgen05.ld.red).
  bool loadsMaxima;
  bool hasTensorMemory() const { return tensorColumns != 0; }
};

/// Null for an unknown name.
const Target *getTarget(llvm::StringRef name);
/// "sm_90a, sm_100a, ...", for messages.
std::string getTargetList();

} // namespace nibble::tile

#endif // NIBBLE_DIALECT_TILE_TILETARGET_H
