// Schedules of products into tensor memory (Blackwell): limits and estimate.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOTILE_GEMMTENSORSCHEDULE_H
#define NIBBLE_LIB_CONVERSION_NQTOTILE_GEMMTENSORSCHEDULE_H

#include "nibble/Conversion/NqToTile/GemmSchedule.h"

namespace nibble {

// What functions of GemmSchedule.h answer for shapes with `tensorMemory`.
int64_t getTensorSharedBytes(const GemmSchedule &s, const GemmShape &shape);
std::string whyNotTensorSchedule(const GemmSchedule &s, const GemmShape &shape,
                                 int64_t sharedBytes);
/// All that fit, in no order.
llvm::SmallVector<GemmSchedule> listTensorSchedules(const GemmShape &shape,
                                                    int64_t sharedBytes);

} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOTILE_GEMMTENSORSCHEDULE_H
