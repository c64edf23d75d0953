// From untrusted metadata to the launch of a GPU kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_ENGINE_VALIDATEGPU_H
#define NIBBLE_RT_ENGINE_VALIDATEGPU_H

#include "nibble/rt/engine.h"
#include "nibble/rt/schema/engine_generated.h"

namespace nibble {
namespace rt {

/// Fills `launch.gpu`. Checked: the limits of all targets, that each argument
/// of the launch is passed, that pointers and tensors lie within their values,
/// and the rules of cuTensorMapEncodeTiled. `launch.args` and `entry.values`
/// have been checked before.
Status readGpuLaunch(const fb::GpuLaunch &table, const EntryInfo &entry,
                     LaunchInfo &launch);

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_ENGINE_VALIDATEGPU_H
