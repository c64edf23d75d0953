// The schedule of a product on tensor cores: measured, or estimated.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ChooseSchedule.h"

#include "nibble/Conversion/NqToTile/Gemm.h"
#include "nibble/KernelSelect/ProductClass.h"

using namespace mlir;
using namespace nibble;

static std::string formatTime(double microseconds) {
  char text[32];
  snprintf(text, sizeof text, "%.1f us", microseconds);
  return text;
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
  for (const TuningDb *db : databases) {
    const TuningDb::Row *row = db->find(getTunedName(kernel.name), *shape);
    if (row && whyNotSchedule(row->schedule, *shape, kSm90SharedBytes).empty())
      return {row->schedule.str(),
              "schedule measured: " + formatTime(row->microseconds) +
                  (row->device.empty() ? "" : " on " + row->device),
              true};
  }
  SmallVector<GemmSchedule> candidates =
      getCandidates(*shape, kSm90SharedBytes, machine.multiprocessors);
  if (candidates.empty())
    return {"", "no schedule fits the shape"};
  const GemmSchedule &best = candidates.front();
  return {best.str(),
          "schedule estimated, " +
              formatTime(1e6 * estimateSeconds(best, *shape,
                                               machine.multiprocessors)) +
              "; this shape is not in the tuning database"};
}
