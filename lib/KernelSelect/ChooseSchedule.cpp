// The schedule of a product on tensor cores: measured, or estimated.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ChooseSchedule.h"

#include "nibble/Conversion/NqToTile/Gemm.h"
#include "nibble/Conversion/NqToTile/GemmTime.h"
#include "nibble/KernelSelect/CheckModel.h"
#include "nibble/KernelSelect/ProductClass.h"

using namespace mlir;
using namespace nibble;

static std::string formatTime(double microseconds) {
  char text[32];
  snprintf(text, sizeof text, "%.1f us", microseconds);
  return text;
}

/// A row of a database, measured or predicted.
static ScheduleChoice describeRow(const TuningDb::Row &row, double seconds) {
  std::string how = row.predicted
                        ? "schedule predicted: " + formatTime(seconds * 1e6) +
                              " by the time model, nothing measured; " +
                              getModelError().str()
                        : "schedule measured: " + formatTime(row.microseconds) +
                              (row.device.empty() ? "" : " on " + row.device);
  return {row.schedule.str(), how, !row.predicted, seconds};
}

ScheduleChoice nibble::chooseSchedule(nq::RegionOp region,
                                      const KernelClass &kernel,
                                      const Machine &machine,
                                      ArrayRef<const TuningDb *> databases) {
  if (machine.family == TargetFamily::Cpu ||
      getProductClass(kernel.name).generator != ProductGenerator::TensorCores)
    return {};
  std::string why;
  std::optional<GemmShape> shape = getTileGemmShape(
      region.getBlock(), machine.family == TargetFamily::Sm100, why);
  if (!shape)
    return {"", "not one kernel on tensor cores: " + why};
  const TimeMachine *model = getTimeMachine(machine.target);
  for (const TuningDb *db : databases) {
    const TuningDb::Row *row = db->find(getTunedName(kernel.name), *shape);
    if (row && whyNotSchedule(row->schedule, *shape, kSm90SharedBytes).empty())
      return describeRow(*row,
                         predictTime(row->schedule, *shape, *model).seconds);
  }
  std::optional<PredictedSchedule> best = predictSchedule(*shape, *model);
  if (!best) {
    (void)estimateSchedule(region.getBlock(),
                           {machine.target, machine.multiprocessors}, why);
    return {"", "not one kernel on tensor cores: " + why};
  }
  return {best->schedule.str(),
          "schedule estimated, " + formatTime(1e6 * best->time.seconds) +
              "; this shape is not in the tuning database",
          false, best->time.seconds};
}
