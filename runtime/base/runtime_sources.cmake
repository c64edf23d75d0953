# The part of nibble_rt_base that is not numeric formats.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
list(APPEND NIBBLE_RT_BASE_SOURCES DType.cpp Status.cpp)
