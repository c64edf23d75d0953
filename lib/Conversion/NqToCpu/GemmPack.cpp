// Packs constant matrices into panels. Free of LLVM.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToCpu/GemmWeight.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace nibble {
namespace cpu {

namespace {

using Elem = rt::StorageFormat;

uint64_t alignUp(uint64_t bytes) { return (bytes + 63) & ~uint64_t(63); }

uint64_t bytesOf(Elem elem) { return rt::formatBits(elem) / 8; }

bool isOneOf(Elem elem, std::initializer_list<Elem> list) {
  return std::find(list.begin(), list.end(), elem) != list.end();
}

uint64_t linearCodeBytes(const GemmWeight &w) {
  return (uint64_t(w.n) * w.k * rt::formatBits(w.code) + 7) / 8;
}

uint64_t gridSize(const GemmWeight &w) {
  return uint64_t(w.gridN()) * uint64_t(w.gridK());
}

/// Index of scale (nb, kb) in linear storage.
uint64_t gridIndex(const GemmWeight &w, int64_t nb, int64_t kb) {
  return w.kn ? uint64_t(kb) * w.gridN() + nb : uint64_t(nb) * w.gridK() + kb;
}

unsigned nibbleAt(const uint8_t *codes, uint64_t index) {
  return codes[index / 2] >> (index % 2 * 4) & 15;
}

/// Any 4-bit source, one code at a time.
void packNibbles(const GemmWeight &w, const uint8_t *codes, int64_t panel,
                 uint8_t *out) {
  int64_t columns = std::min(kPanelColumns, w.n - panel * kPanelColumns);
  for (int64_t k = 0; k < w.k; ++k)
    for (int64_t c = 0; c < columns; ++c) {
      int64_t n = panel * kPanelColumns + c;
      uint64_t index = w.kn ? uint64_t(k) * w.n + n : uint64_t(n) * w.k + k;
      NibblePlace place = nibblePlace(k, c);
      out[place.byte] |= nibbleAt(codes, index) << (place.high ? 4 : 0);
    }
}

/// [N, K] with K a multiple of 4: four codes of a column are two bytes.
void packNibbleRows(const GemmWeight &w, const uint8_t *codes, int64_t panel,
                    uint8_t *out) {
  int64_t columns = std::min(kPanelColumns, w.n - panel * kPanelColumns);
  for (int64_t c = 0; c < columns; ++c) {
    const uint8_t *row = codes + (panel * kPanelColumns + c) * (w.k / 2);
    uint8_t *to = out + nibblePlace(0, c).byte;
    for (int64_t g = 0; g < w.k / 4; ++g, to += 32) {
      unsigned low = row[2 * g], high = row[2 * g + 1];
      to[0] = (low & 15) | (high & 15) << 4;
      to[8] = low >> 4 | (high & 0xf0);
    }
  }
}

/// Four bytes are 8 k of a column.
void packOctetRows(const GemmWeight &w, const uint8_t *codes, int64_t panel,
                   uint8_t *out) {
  int64_t columns = std::min(kPanelColumns, w.n - panel * kPanelColumns);
  for (int64_t c = 0; c < columns; ++c) {
    const uint8_t *row = codes + (panel * kPanelColumns + c) * (w.k / 2);
    for (int64_t g = 0; g < w.k / 8; ++g)
      std::memcpy(out + (g * kPanelColumns + c) * 4, row + g * 4, 4);
  }
}

void packOctets(const GemmWeight &w, const uint8_t *codes, int64_t panel,
                uint8_t *out) {
  if (!w.kn)
    return packOctetRows(w, codes, panel, out);
  int64_t columns = std::min(kPanelColumns, w.n - panel * kPanelColumns);
  for (int64_t k = 0; k < w.k; ++k)
    for (int64_t c = 0; c < columns; ++c) {
      uint64_t index = uint64_t(k) * w.n + panel * kPanelColumns + c;
      out[(k / 8 * kPanelColumns + c) * 4 + k % 8 / 2] |= nibbleAt(codes, index)
                                                          << (k % 2 ? 4 : 0);
    }
}

template <typename T>
void packElements(const GemmWeight &w, const T *codes, int64_t panel, T *out) {
  int64_t first = panel * kPanelColumns;
  int64_t columns = std::min(kPanelColumns, w.n - first);
  if (w.kn) {
    for (int64_t k = 0; k < w.k; ++k)
      std::memcpy(out + k * kPanelColumns, codes + k * w.n + first,
                  columns * sizeof(T));
    return;
  }
  // Blocks of k keep the 16 rows and the output in the L1 cache.
  for (int64_t k0 = 0; k0 < w.k; k0 += 64)
    for (int64_t c = 0; c < columns; ++c) {
      const T *row = codes + (first + c) * w.k;
      for (int64_t k = k0, end = std::min(w.k, k0 + 64); k < end; ++k)
        out[k * kPanelColumns + c] = row[k];
    }
}

void packPanel(const GemmWeight &w, const void *codes, int64_t panel,
               uint8_t *out) {
  auto bytes = static_cast<const uint8_t *>(codes);
  if (w.octets)
    return packOctets(w, bytes, panel, out);
  if (w.fourBit())
    return !w.kn && w.k % 4 == 0 ? packNibbleRows(w, bytes, panel, out)
                                 : packNibbles(w, bytes, panel, out);
  switch (bytesOf(w.code)) {
  case 1:
    return packElements(w, bytes, panel, out);
  case 2:
    return packElements(w, reinterpret_cast<const uint16_t *>(bytes), panel,
                        reinterpret_cast<uint16_t *>(out));
  default:
    return packElements(w, reinterpret_cast<const uint32_t *>(bytes), panel,
                        reinterpret_cast<uint32_t *>(out));
  }
}

/// Scales or zero points of `size` bytes each, in panels if per column.
std::vector<uint8_t> packGrid(const GemmWeight &w, const void *grid,
                              uint64_t size) {
  auto from = static_cast<const uint8_t *>(grid);
  if (!w.scalePerColumn())
    return std::vector<uint8_t>(from, from + gridSize(w) * size);
  std::vector<uint8_t> out(w.panels() * w.gridK() * kPanelColumns * size);
  for (int64_t n = 0; n < w.n; ++n)
    for (int64_t kb = 0; kb < w.gridK(); ++kb) {
      uint64_t to = (n / kPanelColumns * w.gridK() + kb) * kPanelColumns +
                    n % kPanelColumns;
      std::memcpy(&out[to * size], from + gridIndex(w, n, kb) * size, size);
    }
  return out;
}

/// Writes sections one after the other, with padding between.
class SectionWriter {
public:
  explicit SectionWriter(const ByteSink &sink) : sink(sink) {}
  bool write(const void *data, uint64_t size) {
    position += size;
    return sink(data, size);
  }
  bool padTo(uint64_t offset) {
    static const uint8_t zeros[64] = {};
    return offset <= position || write(zeros, offset - position);
  }
  bool section(uint64_t offset, const void *data, uint64_t size) {
    return size == 0 || (padTo(offset) && write(data, size));
  }

private:
  const ByteSink &sink;
  uint64_t position = 0;
};

rt::Status checkSize(const char *what, uint64_t have, uint64_t want) {
  if (have == want)
    return rt::Status::success();
  return rt::error(rt::Code::Malformed,
                   "weight has %llu bytes of %s, its type needs %llu",
                   static_cast<unsigned long long>(have), what,
                   static_cast<unsigned long long>(want));
}

rt::Status checkSizes(const GemmWeight &w, const GemmWeightData &data) {
  uint64_t grid = w.scaled() ? gridSize(w) : 0;
  NIBBLE_RETURN_IF_ERROR(
      checkSize("codes", data.codesBytes, linearCodeBytes(w)));
  NIBBLE_RETURN_IF_ERROR(checkSize("scales", data.scalesBytes,
                                   grid ? grid * bytesOf(w.scale) : 0));
  NIBBLE_RETURN_IF_ERROR(
      checkSize("global scale", data.globalBytes,
                w.global == Elem::None ? 0 : bytesOf(w.global)));
  return checkSize("zero points", data.zeroPointsBytes, w.zeroPoint ? grid : 0);
}

bool writePanels(const GemmWeight &w, const GemmWeightData &data,
                 SectionWriter &writer) {
  std::vector<uint8_t> panel(gemmPanels(w).panelBytes);
  for (int64_t p = 0; p < w.panels(); ++p) {
    std::fill(panel.begin(), panel.end(), 0);
    packPanel(w, data.codes, p, panel.data());
    if (!writer.write(panel.data(), panel.size()))
      return false;
  }
  return true;
}

bool writeSections(const GemmWeight &w, const GemmWeightData &data,
                   SectionWriter &writer) {
  GemmPanels at = gemmPanels(w);
  if (!writePanels(w, data, writer))
    return false;
  if (!w.scaled())
    return true;
  std::vector<uint8_t> scales = packGrid(w, data.scales, bytesOf(w.scale));
  std::vector<uint8_t> zeroPoints;
  if (w.zeroPoint)
    zeroPoints = packGrid(w, data.zeroPoints, 1);
  return writer.section(at.scales, scales.data(), scales.size()) &&
         writer.section(at.global, data.global, at.globalBytes) &&
         writer.section(at.zeroPoints, zeroPoints.data(), zeroPoints.size());
}

} // namespace

NibblePlace nibblePlace(int64_t k, int64_t column) {
  int64_t byte = k / 4 * 32 + column / 4 % 2 * 16 + k % 2 * 8 + column % 4 * 2 +
                 column / 8;
  return {byte, k % 4 >= 2};
}

/// Octets hold E2M1 in blocks along k of 16 or 32 elements.
static std::string whyBadOctets(const GemmWeight &w) {
  if (w.code != Elem::E2M1 || !w.scalePerColumn() || w.zeroPoint)
    return "groups of 8 k are for 4-bit floats with a scale per column";
  if (w.blockK != 16 && w.blockK != 32)
    return "groups of 8 k need scale blocks of 16 or 32, not " +
           std::to_string(w.blockK);
  return w.k % w.blockK ? "scale blocks do not divide k" : "";
}

std::string whyUnsupported(const GemmWeight &w) {
  if (w.n <= 0 || w.k <= 0)
    return "the matrix is empty";
  if (isOneOf(w.code, {Elem::F32, Elem::F16, Elem::BF16}))
    return w.scaled() ? "float codes take no scales" : "";
  if (!isOneOf(w.code, {Elem::E4M3, Elem::E5M2, Elem::E2M1, Elem::I4, Elem::U4,
                        Elem::I8, Elem::U8}))
    return std::string("there is no kernel for codes of type ") +
           rt::formatName(w.code);
  if (!isOneOf(w.scale,
               {Elem::F32, Elem::F16, Elem::BF16, Elem::E4M3, Elem::E8M0}))
    return std::string("there is no kernel for scales of type ") +
           rt::formatName(w.scale);
  if (!isOneOf(w.global, {Elem::None, Elem::F32, Elem::F16, Elem::BF16}))
    return std::string("there is no kernel for a global scale of type ") +
           rt::formatName(w.global);
  if (w.blockN > 1 && w.blockN < w.n && w.blockN % kPanelColumns)
    return "scale blocks of " + std::to_string(w.blockN) +
           " columns do not fit panels of 16";
  if (w.scaleAlongK() && w.fourBit() && w.blockK % 4)
    return "4-bit scale blocks need a multiple of 4 elements along k, not " +
           std::to_string(w.blockK);
  return w.octets ? whyBadOctets(w) : "";
}

GemmPanels gemmPanels(const GemmWeight &w) {
  GemmPanels p;
  p.panelBytes = w.fourBit() ? uint64_t(w.k + 3) / 4 * 32
                             : uint64_t(w.k) * kPanelColumns * bytesOf(w.code);
  p.codesBytes = p.panelBytes * w.panels();
  p.total = p.codesBytes;
  if (!w.scaled())
    return p;
  uint64_t grid = w.scalePerColumn()
                      ? uint64_t(w.panels()) * kPanelColumns * w.gridK()
                      : gridSize(w);
  auto place = [&](uint64_t &offset, uint64_t &size, uint64_t bytes) {
    offset = alignUp(p.total);
    size = bytes;
    if (bytes)
      p.total = offset + bytes;
  };
  place(p.scales, p.scalesBytes, grid * bytesOf(w.scale));
  place(p.global, p.globalBytes,
        w.global == Elem::None ? 0 : bytesOf(w.global));
  place(p.zeroPoints, p.zeroPointsBytes, w.zeroPoint ? grid : 0);
  return p;
}

rt::Status packGemmWeight(const GemmWeight &weight, const GemmWeightData &data,
                          const ByteSink &sink) {
  std::string problem = whyUnsupported(weight);
  if (!problem.empty())
    return rt::error(rt::Code::Unsupported, "cannot pack weight: %s",
                     problem.c_str());
  NIBBLE_RETURN_IF_ERROR(checkSizes(weight, data));
  SectionWriter writer(sink);
  if (!writeSections(weight, data, writer))
    return rt::error(rt::Code::Io, "the packed weight could not be written");
  return rt::Status::success();
}

bool hasNanCodes(const GemmWeight &weight, const void *codes, uint64_t bytes) {
  if (weight.code != Elem::E4M3)
    return false;
  auto first = static_cast<const uint8_t *>(codes);
  return std::any_of(first, first + bytes,
                     [](uint8_t code) { return (code & 0x7f) == 0x7f; });
}

} // namespace cpu
} // namespace nibble
