// Whether copies and fills touch memory that exists.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "driver/Driver.h"

using namespace nibble::cuda;
using namespace nibble::emu;

/// Bytes from the first to behind the last byte of rows; false on overflow.
static bool footprint(uint64_t width, uint64_t height, uint64_t depth,
                      uint64_t pitch, uint64_t slice, uint64_t &bytes) {
  uint64_t rows, slices;
  return !__builtin_mul_overflow(height - 1, pitch, &rows) &&
         !__builtin_mul_overflow(depth - 1, slice, &slices) &&
         !__builtin_add_overflow(rows, slices, &bytes) &&
         !__builtin_add_overflow(bytes, width, &bytes);
}

static std::string checkRange(const Driver &driver, uint64_t address,
                              uint64_t bytes, const char *what) {
  if (driver.contains(address, bytes))
    return "";
  return std::string(what) + " of " + std::to_string(bytes) + " bytes at " +
         driver.memory.describe(address) + ": not within one allocation";
}

static std::string checkSide(const Driver &driver, const CopyWork &copy,
                             const CopyWork::Side &side, const char *what) {
  uint64_t bytes;
  if ((copy.height > 1 || copy.depth > 1) && side.pitch < copy.width)
    return std::string(what) + ": the pitch of " + std::to_string(side.pitch) +
           " bytes is less than the width of " + std::to_string(copy.width);
  if (!footprint(copy.width, copy.height, copy.depth, side.pitch, side.slice,
                 bytes))
    return std::string(what) + ": more bytes than there are addresses";
  if (!side.host)
    return checkRange(driver, side.address, bytes, what);
  return side.address ? "" : std::string(what) + ": a null pointer";
}

std::string nibble::emu::checkWork(const Driver &driver, const CopyWork &copy) {
  if (copy.width == 0 || copy.height == 0 || copy.depth == 0)
    return "";
  std::string wrong = checkSide(driver, copy, copy.from, "source");
  return wrong.empty() ? checkSide(driver, copy, copy.to, "destination")
                       : wrong;
}

std::string nibble::emu::checkWork(const Driver &driver, const FillWork &fill) {
  if (fill.elementBytes != 1 && fill.elementBytes != 2 &&
      fill.elementBytes != 4)
    return "elements of " + std::to_string(fill.elementBytes) + " bytes";
  if (fill.address % fill.elementBytes || fill.pitch % fill.elementBytes)
    return "the address or the pitch is no multiple of the element";
  if (fill.width == 0 || fill.height == 0)
    return "";
  uint64_t width, bytes;
  if (__builtin_mul_overflow(fill.width, uint64_t(fill.elementBytes), &width) ||
      !footprint(width, fill.height, 1, fill.pitch, 0, bytes))
    return "more bytes than there are addresses";
  if (fill.height > 1 && fill.pitch < width)
    return "the pitch is less than the width";
  return checkRange(driver, fill.address, bytes, "a fill");
}
