// The time of the kernel of a region, predicted.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_KERNELSELECT_PREDICTREGION_H
#define NIBBLE_LIB_KERNELSELECT_PREDICTREGION_H

#include "ChooseSchedule.h"

namespace nibble {

/// Seconds by the time model; nothing if the target has no such machine or the
/// region no kernel. Products on tensor cores by their schedule, attention by
/// its products, all others by their bytes, or by arithmetic on the FMA units.
std::optional<double> predictRegion(nq::RegionOp region,
                                    const KernelClass *kernel,
                                    const ScheduleChoice &schedule,
                                    const Machine &machine);

} // namespace nibble

#endif // NIBBLE_LIB_KERNELSELECT_PREDICTREGION_H
