// The time of a product by a schedule, predicted.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CONVERSION_NQTOTILE_GEMMTIME_H
#define NIBBLE_CONVERSION_NQTOTILE_GEMMTIME_H

#include "nibble/Conversion/NqToTile/GemmSchedule.h"
#include "nibble/KernelSelect/TimeModel.h"

namespace nibble {

/// What a block does. DRAM moves weights once, and activations and results as
/// far as they exceed half of the L2 cache of `machine`. Not counted: the
/// raster, and what an epilogue computes beside conversions, stores, and the
/// activation of two products.
TileWork getTileWork(const GemmSchedule &schedule, const GemmShape &shape,
                     const TimeMachine &machine);

TileTime predictTime(const GemmSchedule &schedule, const GemmShape &shape,
                     const TimeMachine &machine);

/// The shape behind a row of a tuning database, from its kernel class (of
/// schedules: getTunedName); nothing if the class is none of tensor cores.
/// Weights that are expanded are NVFP4, or FP8 where the name ends in 8.
std::optional<GemmShape> getRowShape(llvm::StringRef kernel,
                                     const GemmShape &sizes);

} // namespace nibble

#endif // NIBBLE_CONVERSION_NQTOTILE_GEMMTIME_H
