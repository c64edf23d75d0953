// The time model beside measured schedules.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_KERNELSELECT_CHECKMODEL_H
#define NIBBLE_KERNELSELECT_CHECKMODEL_H

#include "nibble/KernelSelect/TimeModel.h"
#include "nibble/KernelSelect/TuningDb.h"

#include <vector>

namespace nibble {

/// A measured row, and what the model says of it.
struct CheckedRow {
  const TuningDb::Entry *row = nullptr;
  GemmShape shape; ///< with what its class says
  TileTime predicted;
  double getRatio() const {
    return predicted.seconds * 1e6 / row->row.microseconds;
  }
};

/// All measured rows of `db` whose class the model knows.
std::vector<CheckedRow> checkModel(const TuningDb &db,
                                   const TimeMachine &machine);

/// What the rows say in all.
ModelError getModelError(llvm::ArrayRef<CheckedRow> rows);

/// Of the built-in machine and rows of sm_90a, the only ones that are measured:
/// it stands beside every prediction, of any target.
const ModelError &getModelError();

/// The candidate that the model takes for the fastest (the first one, by the
/// built-in machine); nothing if none fits.
struct PredictedSchedule {
  GemmSchedule schedule;
  TileTime time;
};
std::optional<PredictedSchedule> predictSchedule(const GemmShape &shape,
                                                 const TimeMachine &machine);

} // namespace nibble

#endif // NIBBLE_KERNELSELECT_CHECKMODEL_H
