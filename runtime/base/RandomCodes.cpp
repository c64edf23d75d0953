// Codes drawn from a table by SplitMix64.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/random_codes.h"

#include "nibble/rt/generator.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace nibble::rt;

static constexpr uint64_t kTableSize = 1 << 16;
static constexpr uint64_t kOutlierEvery = 512;
static constexpr double kOutlierFactor = 8;
static constexpr double kLeastScale = 0.0625;

void RandomCodes::setTable(const std::vector<double> &numbers) {
  unsigned bytes = std::max(formatBits(format) / 8, 1u);
  table.resize(numbers.size() * bytes);
  for (size_t j = 0; j < numbers.size(); ++j) {
    uint64_t code = encode(format, numbers[j]);
    std::memcpy(&table[j * bytes], &code, bytes); // little endian
  }
}

static std::vector<double> makeNormal() {
  Generator generator;
  generator.kind = Generator::Kind::Normal;
  generator.seed = 1;
  const int64_t shape[] = {int64_t(kTableSize)};
  Array array = *generate(generator, "f64", {shape, 1});
  std::vector<double> numbers(kTableSize);
  std::memcpy(numbers.data(), array.data.data(), array.data.size());
  return numbers;
}

RandomCodes RandomCodes::normal(StorageFormat format, double std) {
  std::vector<double> numbers = makeNormal();
  double limit = formatInfo(format).maxFinite;
  for (uint64_t j = 0; j < kTableSize; ++j) {
    double x = numbers[j] * std * (j % kOutlierEvery ? 1 : kOutlierFactor);
    numbers[j] = std::min(std::max(x, -limit), limit);
  }
  RandomCodes codes(format);
  codes.setTable(numbers);
  return codes;
}

RandomCodes RandomCodes::uniform(StorageFormat format, double low,
                                 double high) {
  std::vector<double> numbers(kTableSize);
  for (uint64_t j = 0; j < kTableSize; ++j)
    numbers[j] = low + (high - low) * ((double(j) + 0.5) / kTableSize);
  RandomCodes codes(format);
  codes.setTable(numbers);
  return codes;
}

RandomCodes RandomCodes::scales(StorageFormat format, double rms) {
  std::vector<double> numbers = makeNormal();
  double limit = formatInfo(format).maxFinite;
  for (double &x : numbers)
    x = std::min(rms * std::max(std::abs(x), kLeastScale), limit);
  RandomCodes codes(format);
  codes.setTable(numbers);
  return codes;
}

bool RandomCodes::getStd(StorageFormat format, double &std) {
  switch (format) {
  case StorageFormat::E4M3FN:
  case StorageFormat::E5M2:
    std = 64;
    return true;
  case StorageFormat::E2M1:
    std = 2;
    return true;
  case StorageFormat::I4:
    std = 2.5;
    return true;
  case StorageFormat::I8:
    std = 40;
    return true;
  case StorageFormat::F16:
  case StorageFormat::BF16:
  case StorageFormat::F32:
  case StorageFormat::F64:
    std = 1;
    return true;
  default:
    return false;
  }
}

template <typename T>
void RandomCodes::fillWith(uint64_t seed, uint64_t first, uint64_t count,
                           T *data) const {
  // The table is bytes: an aligned copy lets the loop read whole codes.
  std::vector<T> codes(kTableSize);
  std::memcpy(codes.data(), table.data(), table.size());
  uint64_t i = 0;
  for (; i + 4 <= count; i += 4) {
    uint64_t w = splitMix64(seed, (first + i) / 4);
    data[i] = codes[w & 0xffff];
    data[i + 1] = codes[w >> 16 & 0xffff];
    data[i + 2] = codes[w >> 32 & 0xffff];
    data[i + 3] = codes[w >> 48];
  }
  for (; i < count; ++i)
    data[i] =
        codes[splitMix64(seed, (first + i) / 4) >> (16 * (i % 4)) & 0xffff];
}

void RandomCodes::fillNibbles(uint64_t seed, uint64_t first, uint64_t count,
                              uint8_t *data) const {
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t w = splitMix64(seed, (first + i) / 4) >> (16 * (i % 4));
    uint8_t code = table[w & 0xffff];
    data[i / 2] = i % 2 ? uint8_t(data[i / 2] | code << 4) : code;
  }
}

void RandomCodes::fill(uint64_t seed, uint64_t first, uint64_t count,
                       void *data) const {
  switch (formatBits(format)) {
  case 4:
    return fillNibbles(seed, first, count, static_cast<uint8_t *>(data));
  case 8:
    return fillWith(seed, first, count, static_cast<uint8_t *>(data));
  case 16:
    return fillWith(seed, first, count, static_cast<uint16_t *>(data));
  case 32:
    return fillWith(seed, first, count, static_cast<uint32_t *>(data));
  default:
    return fillWith(seed, first, count, static_cast<uint64_t *>(data));
  }
}
