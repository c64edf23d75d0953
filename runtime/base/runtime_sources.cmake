# The part of nibble_rt_base that is not numeric formats.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
list(APPEND NIBBLE_RT_BASE_SOURCES
  Array.cpp Compare.cpp DType.cpp FlatJson.cpp Generator.cpp JsonWriter.cpp Npy.cpp Options.cpp
  RandomCodes.cpp Status.cpp)
# Generated inputs must have the same bits on machines with fused multiply-add.
set_source_files_properties(Generator.cpp PROPERTIES COMPILE_OPTIONS "-ffp-contract=off")
