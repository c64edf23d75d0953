# Cross-compiles the runtime for 64-bit Arm, the host of Jetson Thor, with Debian's packages (g++-aarch64-linux-gnu, qemu-user):
#   cmake --preset runtime-only -B build/aarch64 --toolchain cmake/aarch64-linux-gnu.cmake
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
# The preset names the compilers of this machine.
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc CACHE STRING "" FORCE)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++ CACHE STRING "" FORCE)
# Libraries of that machine only; headers without code (CLI11, FlatBuffers) and programs are those of this one.
set(CMAKE_FIND_ROOT_PATH /usr/aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
find_program(NIBBLE_QEMU_AARCH64 NAMES qemu-aarch64 qemu-aarch64-static)
if(NIBBLE_QEMU_AARCH64)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${NIBBLE_QEMU_AARCH64} -L /usr/aarch64-linux-gnu)
endif()
