// Which units of a GPU multiply in a kernel, found in its PTX.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_BENCH_KERNELMATH_H
#define NIBBLE_RT_BENCH_KERNELMATH_H

#include "nibble/rt/engine.h"

#include <string>
#include <vector>

namespace nibble {
namespace rt {

/// What the matrix instructions (wgmma, mma, tcgen05.mma) of `.entry symbol`
/// multiply: "f4", "f8", "f16" (also bf16), "tf32", "i8"; several: the
/// slowest. "f32" if there are none; "" if the text has no such kernel.
std::string mathOfKernel(std::string_view ptx, std::string_view symbol);

/// The same for each kernel of an engine; "" where it has no PTX.
std::vector<std::string> mathOfKernels(const Engine &engine);

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_BENCH_KERNELMATH_H
