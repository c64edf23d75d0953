// The time model beside measured schedules.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/CheckModel.h"

#include "nibble/Conversion/NqToTile/GemmTime.h"

using namespace nibble;

std::vector<CheckedRow> nibble::checkModel(const TuningDb &db,
                                           const TimeMachine &machine) {
  std::vector<CheckedRow> rows;
  for (const TuningDb::Entry &entry : db.all()) {
    std::optional<GemmShape> shape = getRowShape(entry.kernel, entry.shape);
    if (entry.row.predicted || !shape)
      continue;
    rows.push_back(
        {&entry, *shape, predictTime(entry.row.schedule, *shape, machine)});
  }
  return rows;
}

ModelError nibble::getModelError(llvm::ArrayRef<CheckedRow> rows) {
  llvm::SmallVector<double> ratios;
  for (const CheckedRow &row : rows)
    ratios.push_back(row.getRatio());
  ModelError error = summarizeErrors(ratios);
  if (!rows.empty())
    error.device = rows.front().row->row.device;
  return error;
}

const ModelError &nibble::getModelError() {
  static const ModelError error = getModelError(
      checkModel(TuningDb::getBuiltIn("sm_90a"), *getTimeMachine("sm_90a")));
  return error;
}

std::optional<PredictedSchedule>
nibble::predictSchedule(const GemmShape &shape, const TimeMachine &machine) {
  llvm::SmallVector<GemmSchedule> candidates =
      getCandidates(shape, kSm90SharedBytes, int64_t(machine.sms));
  if (candidates.empty())
    return std::nullopt;
  return PredictedSchedule{candidates.front(),
                           predictTime(candidates.front(), shape, machine)};
}
