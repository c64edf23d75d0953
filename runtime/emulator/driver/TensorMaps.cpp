// Tensor maps.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Driver.h"
#include "exec/TensorMap.h"

#include <cstring>

using namespace nibble::cuda;
using namespace nibble::emu;

static CUresult store(const TensorMap &map, CUtensorMap *out) {
  if (std::string wrong = checkTensorMap(map); !wrong.empty())
    return refuse(CUDA_ERROR_INVALID_VALUE, "tensor map: " + wrong);
  std::memset(out, 0, sizeof *out);
  std::memcpy(out, &map, sizeof map);
  return CUDA_SUCCESS;
}

CUresult nibble::cuda::cuTensorMapEncodeTiled(
    CUtensorMap *out, CUtensorMapDataType type, uint32_t rank, void *address,
    const uint64_t *sizes, const uint64_t *strides, const uint32_t *box,
    const uint32_t *elementStrides, CUtensorMapInterleave interleave,
    CUtensorMapSwizzle swizzle, CUtensorMapL2promotion promotion,
    CUtensorMapFloatOOBfill fill) {
  // A null address is none that a copy can use, but the driver encodes it.
  if (!out || rank < 1 || rank > 5 || !sizes || (rank > 1 && !strides) ||
      !box || !elementStrides ||
      unsigned(interleave) > CU_TENSOR_MAP_INTERLEAVE_32B ||
      unsigned(swizzle) > CU_TENSOR_MAP_SWIZZLE_128B_ATOM_64B ||
      unsigned(promotion) > CU_TENSOR_MAP_L2_PROMOTION_L2_256B ||
      unsigned(fill) > CU_TENSOR_MAP_FLOAT_OOB_FILL_NAN_REQUEST_ZERO_FMA ||
      unsigned(type) > CU_TENSOR_MAP_DATA_TYPE_16U6_ALIGN16B)
    return refuse(CUDA_ERROR_INVALID_VALUE,
                  "tensor map: a null pointer, a rank that is not 1 to 5, or "
                  "an unknown type, interleave, swizzle, promotion or fill");
  TensorMap map;
  map.mark = TensorMap::kMark;
  map.address = uint64_t(address);
  map.type = TensorType(type);
  map.rank = rank;
  map.interleave = uint8_t(interleave);
  map.swizzle = uint8_t(swizzle);
  map.l2Promotion = uint8_t(promotion);
  map.fill = uint8_t(fill);
  for (uint32_t i = 0; i < rank; ++i) {
    if (box[i] > 0xFFFF || elementStrides[i] > 0xFF)
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    "tensor map: a box or an element stride is too large");
    map.sizes[i] = sizes[i];
    map.box[i] = uint16_t(box[i]);
    map.elementStrides[i] = uint8_t(elementStrides[i]);
    if (i > 0)
      map.strides[i - 1] = strides[i - 1];
  }
  return store(map, out);
}

CUresult nibble::cuda::cuTensorMapReplaceAddress(CUtensorMap *out,
                                                 void *address) {
  TensorMap map;
  if (!out || !address)
    return refuse(CUDA_ERROR_INVALID_VALUE, "tensor map: a null pointer");
  std::memcpy(static_cast<void *>(&map), out, sizeof map);
  if (map.mark != TensorMap::kMark)
    return refuse(CUDA_ERROR_INVALID_VALUE,
                  "cuTensorMapReplaceAddress: no tensor map");
  map.address = uint64_t(address);
  return store(map, out);
}
