// PTX and the assembler, where there is one.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TARGET_GPUASSEMBLY_H
#define NIBBLE_TEST_UNIT_TARGET_GPUASSEMBLY_H

#include "nibble/Conversion/NqToGpu/GpuKernel.h"
#include "nibble/Target/Gpu/GpuTarget.h"

#include <gtest/gtest.h>

namespace nibble {
namespace test {

/// What the kernels of a test program are for: NIBBLE_TEST_CHIP, or Hopper.
inline gpu::GpuTarget getTestTarget() {
  gpu::GpuTarget target;
#ifdef NIBBLE_TEST_CHIP
  target.chip = NIBBLE_TEST_CHIP;
#endif
  return target;
}

/// ptxas takes it without a warning (it serializes wgmma where code is not what
/// it wants), and every variable has a register. Nothing is checked if there is
/// no ptxas.
inline void expectAssembles(const std::string &ptx) {
  std::string ptxas = gpu::findPtxas();
  if (ptxas.empty())
    return;
  auto assembled = gpu::assemble(ptx, getTestTarget().chip, ptxas);
  ASSERT_TRUE(bool(assembled)) << llvm::toString(assembled.takeError());
  for (const std::string &warning : assembled->warnings)
    ADD_FAILURE() << warning;
  for (const gpu::KernelResources &used : assembled->kernels) {
    EXPECT_EQ(used.stackBytes, 0) << used.symbol;
    EXPECT_EQ(used.spillBytes, 0) << used.symbol;
    if (getenv("NIBBLE_SHOW_REGISTERS"))
      fprintf(stderr, "%s: %d registers, %d bytes shared\n",
              used.symbol.c_str(), int(used.registers), int(used.sharedBytes));
  }
}

} // namespace test
} // namespace nibble

#endif // NIBBLE_TEST_UNIT_TARGET_GPUASSEMBLY_H
