// What a corpus of loop kernels runs on: the CPU, or the CPU and the GPU.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TARGET_LOOPRUN_H
#define NIBBLE_TEST_UNIT_TARGET_LOOPRUN_H

#ifdef NIBBLE_TEST_GPU_LOOPS
#include "GpuLoopHarness.h"
namespace nibble {
namespace test {
using LoopRun = GpuLoopRun;
}
} // namespace nibble
#else
#include "LoopKernelHarness.h"
namespace nibble {
namespace test {
using LoopRun = LoopKernelRun;
}
} // namespace nibble
#endif

#endif // NIBBLE_TEST_UNIT_TARGET_LOOPRUN_H
