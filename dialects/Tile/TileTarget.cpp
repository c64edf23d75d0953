// What the verifiers of `tile` must know of a GPU.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Tile/TileTarget.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace nibble::tile;

static constexpr Target kTargets[] = {
    {"sm_90a", 232448, 0, 65536, 8, false},
    {"sm_100a", 232448, 512, 65536, 8, false},
    {"sm_110a", 232448, 512, 65536, 8, true},
};

const Target *nibble::tile::getTarget(llvm::StringRef name) {
  const auto *it =
      llvm::find_if(kTargets, [&](const Target &t) { return t.name == name; });
  return it == std::end(kTargets) ? nullptr : it;
}

std::string nibble::tile::getTargetList() {
  return llvm::join(
      llvm::map_range(kTargets, [](const Target &t) { return t.name; }), ", ");
}
