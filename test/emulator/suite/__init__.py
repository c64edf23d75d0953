# The kernels of test/emulator/cuda with their inputs, and what they must give.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
