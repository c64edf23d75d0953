// What a corpus of fused kernels runs on: the CPU, or the CPU and the GPU.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TARGET_FUSEDRUN_H
#define NIBBLE_TEST_UNIT_TARGET_FUSEDRUN_H

#ifdef NIBBLE_TEST_GPU_PRODUCTS
#include "GpuFusedHarness.h"
namespace nibble {
namespace test {
using FusedRun = GpuFusedRun;
}
} // namespace nibble
#else
#include "FusedKernelHarness.h"
namespace nibble {
namespace test {
using FusedRun = FusedKernelRun;
}
} // namespace nibble
#endif

#endif // NIBBLE_TEST_UNIT_TARGET_FUSEDRUN_H
