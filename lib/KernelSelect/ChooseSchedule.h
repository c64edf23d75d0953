// The schedule of a product on tensor cores.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_KERNELSELECT_CHOOSESCHEDULE_H
#define NIBBLE_LIB_KERNELSELECT_CHOOSESCHEDULE_H

#include "nibble/KernelSelect/KernelClass.h"
#include "nibble/KernelSelect/TuningDb.h"

namespace nibble {

struct ScheduleChoice {
  std::string schedule; ///< empty: the class has none, or the region no kernel
  /// "schedule measured: 103.9 us on ...", "schedule predicted ...", "schedule
  /// estimated ...", or why there is none.
  std::string reason;
  bool measured = false;
  double predictedSeconds = 0; ///< by the time model; 0 without a schedule
};

/// The row of the first database that has one, or the best estimate.
ScheduleChoice chooseSchedule(nq::RegionOp region, const KernelClass &kernel,
                              const Machine &machine,
                              llvm::ArrayRef<const TuningDb *> databases);

} // namespace nibble

#endif // NIBBLE_LIB_KERNELSELECT_CHOOSESCHEDULE_H
