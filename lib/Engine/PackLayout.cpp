// packConstant: codes, scales and the rest, each in its region.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Engine/PackLayout.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;
using nibble::rt::Status;

namespace {

/// Counts what has been written and pads up to the start of a region.
class RegionWriter {
public:
  explicit RegionWriter(const AppendBytes &append) : append(append) {}

  AppendBytes counted() {
    return [this](const void *data, uint64_t size) {
      written += size;
      return append(data, size);
    };
  }
  Status padTo(uint64_t offset) {
    static const char zeros[64] = {};
    while (written < offset) {
      uint64_t size = std::min<uint64_t>(offset - written, sizeof zeros);
      if (Status status = counted()(zeros, size); !status.ok())
        return status;
    }
    return Status();
  }

private:
  const AppendBytes &append;
  uint64_t written = 0;
};

} // namespace

/// Packs one attribute; `what` is for the message.
static Status packAttr(ElementsAttr attr, unsigned bits,
                       ArrayRef<int64_t> shape, LayoutAttr layout,
                       const char *what, const AppendBytes &append) {
  SmallVector<char> scratch;
  FailureOr<ArrayRef<char>> bytes = getRawBytes(attr, scratch);
  if (failed(bytes))
    return Status(rt::Code::InvalidArgument,
                  std::string("the ") + what + " of a constant have no data");
  return packLayout(*bytes, bits, shape, layout, append);
}

Status nibble::packConstant(RankedTensorType type, ElementsAttr codes,
                            ElementsAttr scales, ElementsAttr global,
                            ElementsAttr zeroPoints,
                            const AppendBytes &append) {
  LayoutAttr layout = getLayout(type);
  StorageRegions regions = getStorageRegions(type);
  RegionWriter writer(append);
  ScaledType scaled = getScaledElement(type);
  unsigned bits = scaled ? scaled.getStorageBits()
                         : std::max(8u, type.getElementTypeBitWidth());
  if (!scaled && type.getElementTypeBitWidth() == 4)
    bits = 4;
  if (Status s = packAttr(codes, bits, type.getShape(), layout, "codes",
                          writer.counted());
      !s.ok() || !scaled)
    return s;
  SmallVector<int64_t> grid = scaled.getScaleGrid(type.getShape());
  LayoutAttr scaleLayout = layout ? layout.getScales() : LayoutAttr();
  if (Status s = writer.padTo(regions.scales); !s.ok())
    return s;
  if (Status s = packAttr(scales, scaled.getScale().getIntOrFloatBitWidth(),
                          grid, scaleLayout, "scales", writer.counted());
      !s.ok())
    return s;
  if (global) {
    if (Status s = writer.padTo(regions.global); !s.ok())
      return s;
    if (Status s =
            packAttr(global, global.getElementType().getIntOrFloatBitWidth(),
                     {1}, LayoutAttr(), "global scale", writer.counted());
        !s.ok())
      return s;
  }
  if (zeroPoints) {
    if (Status s = writer.padTo(regions.zeroPoints); !s.ok())
      return s;
    if (Status s = packAttr(zeroPoints, 8, grid, scaleLayout, "zero points",
                            writer.counted());
        !s.ok())
      return s;
  }
  return writer.padTo(regions.total);
}
