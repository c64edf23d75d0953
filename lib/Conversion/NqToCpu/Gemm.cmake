# The GEMM emitter (NibbleCpuGemm) and its LLVM-free packer (nibble_gemm_pack).
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
set(GEMM_DIR ${CMAKE_CURRENT_LIST_DIR})
nibble_add_runtime_library(nibble_gemm_pack
  SOURCES ${GEMM_DIR}/GemmPack.cpp LINK nibble_rt_base)
target_include_directories(nibble_gemm_pack PUBLIC ${CMAKE_SOURCE_DIR}/include)
nibble_add_mlir_library(NibbleCpuGemm
  SOURCES ${GEMM_DIR}/Gemm.cpp ${GEMM_DIR}/GemmActivation.cpp ${GEMM_DIR}/GemmBlocked.cpp ${GEMM_DIR}/GemmCode.cpp
          ${GEMM_DIR}/GemmDecode.cpp ${GEMM_DIR}/GemmEmitter.cpp ${GEMM_DIR}/GemmInteger.cpp
          ${GEMM_DIR}/GemmScales.cpp ${GEMM_DIR}/GemmSmall.cpp
  LINK nibble_gemm_pack nibble_rt_base)
