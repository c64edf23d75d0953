// Hazards in the data of one quantized constant.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LintConstant.h"

#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/rt/formats.h"

#include "llvm/Support/Format.h"
#include "llvm/Support/FormatVariadic.h"

#include <array>
#include <cmath>

using namespace mlir;
using namespace nibble;

/// Below these numbers of blocks, equal scales may be chance. Power-of-two
/// scales of like blocks are often equal.
static constexpr int64_t kManyBlocks = 16, kManyPowerBlocks = 128;

static rt::StorageFormat getFormat(Type type) {
  std::string name;
  llvm::raw_string_ostream(name) << type;
  return rt::formatFromName(name);
}

/// "0.5", "0.0078125", "nan".
static std::string print(double value) {
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format("%g", value);
  return text;
}

static double maxOf(rt::StorageFormat format) {
  return rt::formatInfo(format).maxFinite;
}

namespace {

/// Numbers of a raw attribute, one format; none without an attribute or data.
struct Numbers {
  rt::StorageFormat format = rt::StorageFormat::None;
  SmallVector<char> scratch;
  ArrayRef<char> raw;

  Numbers(std::optional<ElementsAttr> attr, Type type)
      : format(getFormat(type)) {
    if (!attr)
      return;
    if (auto bytes = nq::getRawBytes(*attr, scratch); succeeded(bytes))
      raw = *bytes;
  }
  Numbers(const Numbers &) = delete; // raw may point into scratch
  int64_t size() const {
    return format == rt::StorageFormat::None
               ? 0
               : raw.size() * 8 / rt::formatBits(format);
  }
  uint64_t code(int64_t i) const { return rt::loadCode(format, raw.data(), i); }
  double operator[](int64_t i) const { return rt::decode(format, code(i)); }
};

/// How often each byte occurs. Four tables, as neighbours are often equal and
/// would wait for each other's count.
std::array<int64_t, 256> countBytes(ArrayRef<char> bytes) {
  std::array<std::array<int64_t, 256>, 4> tables{};
  for (auto [i, byte] : llvm::enumerate(bytes))
    ++tables[i % 4][static_cast<unsigned char>(byte)];
  for (unsigned byte = 0; byte < 256; ++byte)
    for (unsigned t = 1; t < 4; ++t)
      tables[0][byte] += tables[t][byte];
  return tables[0];
}

/// True if every number is finite and above zero, as scales are; formats of
/// more than 8 bits are not counted and give false.
bool isPositive(const Numbers &numbers) {
  if (rt::formatBits(numbers.format) != 8)
    return false;
  std::array<int64_t, 256> times = countBytes(numbers.raw);
  for (unsigned byte = 0; byte < 256; ++byte) {
    double value = rt::decode(numbers.format, byte);
    if (times[byte] && !(std::isfinite(value) && value > 0))
      return false;
  }
  return true;
}

class ConstantLinter {
public:
  ConstantLinter(nq::ConstantOp op, StringRef layer,
                 std::vector<Hazard> &hazards)
      : op(op), layer(layer), hazards(hazards),
        type(cast<RankedTensorType>(op.getResult().getType())),
        scaled(nq::getScaledElement(type)),
        codes(op.getCodes(), scaled.getStorage()),
        scales(op.getScales(), scaled.getScale()) {}

  void run() {
    if (codes.size() < type.getNumElements() || !scales.size())
      return; // without data (elided), nothing can be said
    countCodes();
    if (!checkBadScales())
      return; // the others would only repeat it
    checkEqualScales();
    checkSaturation();
    checkGlobal();
    if (scaled.isPerTensor() && scales[0] == 1)
      add("default-scale", "the scale of " + name() + " is 1, the default",
          "calibrate, or scale the weight to the range of " + codeName());
  }

private:
  void add(StringRef id, std::string why, std::string fix) {
    hazards.push_back(
        {id.str(), layer.str(), "constant", std::move(why), std::move(fix)});
  }

  std::string name() {
    return "weight '" + getLayerName(op.getLoc()).str() + "'";
  }
  std::string codeName() const { return rt::formatName(codes.format); }

  /// A histogram over bytes serves both widths.
  void countCodes() {
    std::array<int64_t, 256> byBytes = countBytes(codes.raw);
    bool nibbles = rt::formatBits(codes.format) == 4;
    for (unsigned byte = 0; byte < 256; ++byte) {
      count(nibbles ? byte & 15 : byte, byBytes[byte]);
      if (nibbles)
        count(byte >> 4, byBytes[byte]);
    }
  }

  void count(uint64_t code, int64_t times) {
    double value = rt::decode(codes.format, code);
    if (std::isfinite(value))
      atMax += std::fabs(value) >= maxOf(codes.format) ? times : 0;
    else
      notFinite += times;
  }

  bool checkBadScales() {
    std::string why;
    if (notFinite)
      why = std::to_string(notFinite) + " codes are NaN or infinite";
    if (why.empty() && !isPositive(scales))
      why = findBadScale();
    if (why.empty() && op.getGlobal())
      if (std::string bad = whyBadScale(*op.getGlobal(), scaled.getGlobal());
          !bad.empty())
        why = "the global scale " + bad;
    if (why.empty())
      return true;
    add("bad-scale", name() + ": " + why,
        "export the weight again; what it multiplies is lost");
    return false;
  }

  std::string findBadScale() {
    for (int64_t i = 0; i < scales.size(); ++i)
      if (std::string bad = whyBad(i); !bad.empty())
        return "block scale " + std::to_string(i) + " " + bad;
    return "";
  }

  std::string whyBad(int64_t block) {
    double scale = scales[block];
    if (!std::isfinite(scale))
      return "is not a finite number";
    if (scale < 0)
      return llvm::formatv("is negative ({0})", print(scale));
    if (scale == 0 && blockHasValues(block))
      return "is zero, but its codes are not";
    return "";
  }

  /// True if a code of the block stands for a number other than zero.
  bool blockHasValues(int64_t block) {
    ArrayRef<int64_t> shape = type.getShape();
    SmallVector<int64_t> extents = scaled.getBlockFor(shape);
    SmallVector<int64_t> grid = scaled.getScaleGrid(shape);
    SmallVector<int64_t> begin(shape.size()), end(shape.size());
    for (int64_t d = shape.size() - 1; d >= 0; --d) {
      begin[d] = block % grid[d] * extents[d];
      end[d] = std::min(shape[d], begin[d] + extents[d]);
      block /= grid[d];
    }
    SmallVector<int64_t> at(begin);
    while (true) {
      int64_t linear = 0;
      for (auto [index, extent] : llvm::zip(at, shape))
        linear = linear * extent + index;
      if (codes[linear] != 0)
        return true;
      int64_t d = shape.size() - 1;
      while (d >= 0 && ++at[d] == end[d]) {
        at[d] = begin[d];
        --d;
      }
      if (d < 0)
        return false;
    }
  }

  void checkEqualScales() {
    int64_t enough = scales.format == rt::StorageFormat::E8M0 ? kManyPowerBlocks
                                                              : kManyBlocks;
    if (scaled.isPerTensor() || scales.size() < enough)
      return;
    for (int64_t i = 1; i < scales.size(); ++i)
      if (scales.code(i) != scales.code(0))
        return;
    add("equal-scales",
        llvm::formatv("all {0} block scales of {1} are {2}", scales.size(),
                      name(), print(scales[0])),
        "the exporter did not compute them: check the recipe, or use one scale "
        "per tensor");
  }

  /// Scales from the largest magnitude of a block put one code, or a few, at
  /// the maximum; many more mean that values were clipped.
  void checkSaturation() {
    int64_t blockSize = 1;
    for (int64_t extent : scaled.getBlockFor(type.getShape()))
      blockSize *= extent;
    double share = double(atMax) / type.getNumElements();
    double limit = 0.01 + 4.0 / blockSize;
    if (share <= limit)
      return;
    add("saturating-scale",
        llvm::formatv("{0:P1} of the codes of {1} are +-{2}, the largest there "
                      "is (blocks of {3} explain {4:P1})",
                      share, name(), print(maxOf(codes.format)), blockSize,
                      limit),
        "the scales are too small and clip: take them from the largest "
        "magnitude, or from a higher percentile");
  }

  void checkGlobal() {
    if (op.getGlobal() && isExactlyOne(*op.getGlobal()))
      add("global-one",
          "the global scale of " + name() +
              " was left at 1: small block scales fall to zero or to few bits",
          "set it to amax / (largest code * largest block scale), for NVFP4 "
          "amax / 2688");
  }

  nq::ConstantOp op;
  StringRef layer;
  std::vector<Hazard> &hazards;
  RankedTensorType type;
  nq::ScaledType scaled;
  Numbers codes, scales;
  int64_t atMax = 0, notFinite = 0;
};

} // namespace

void nibble::lintConstant(nq::ConstantOp constant, StringRef layer,
                          std::vector<Hazard> &hazards) {
  if (nq::getScaledElement(constant.getResult().getType()))
    ConstantLinter(constant, layer, hazards).run();
}

bool nibble::isExactlyOne(ElementsAttr scale) {
  Numbers numbers(scale, scale.getElementType());
  return numbers.size() == 1 && numbers[0] == 1;
}

std::string nibble::whyBadScale(ElementsAttr scales, Type type) {
  Numbers numbers(scales, type);
  for (int64_t i = 0; i < numbers.size(); ++i) {
    double scale = numbers[i];
    if (std::isfinite(scale) && scale > 0)
      continue;
    return "is " + print(scale);
  }
  return "";
}
