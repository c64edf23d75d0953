// Memory and data of candidates.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CandidateBuffers.h"

#include "Execution.h"

#include "nibble/rt/generator.h"
#include "nibble/rt/random_codes.h"

#include <algorithm>
#include <cmath>
#include <cstring>

using namespace nibble::rt;
using namespace nibble::rt::cli;

/// Smaller inputs stay in the cache, as they would in a model.
static constexpr uint64_t kLargeInput = 1 << 20;
/// Of all copies of all inputs together.
static constexpr uint64_t kMostBytes = uint64_t(16) << 30;

CandidateBuffers::~CandidateBuffers() {
  (void)device.synchronize();
  for (auto [memory, bytes] : owned)
    device.release(memory, bytes);
}

Result<void *> CandidateBuffers::allocate(uint64_t bytes) {
  Result<void *> memory = device.allocate(bytes);
  if (memory.ok())
    owned.emplace_back(*memory, bytes);
  return memory;
}

static uint64_t elements(const PortInfo &port) {
  uint64_t count = 1;
  for (int64_t extent : port.shape)
    count *= uint64_t(extent);
  return count;
}

bool CandidateBuffers::isActivation(const PortInfo &port) const {
  return !port.shape.empty() && elements(port) == key.m * key.k &&
         uint64_t(port.shape[port.shape.size() - 1]) == key.k;
}

void CandidateBuffers::chooseCopies() {
  // Only the first: a square matrix of weights looks like activations.
  bool seen = false;
  for (const PortInfo &port : entry.inputs) {
    bool activation = !seen && isActivation(port);
    seen |= activation;
    rotates.push_back(!activation && port.byteSize >= kLargeInput);
    if (rotates.back())
      rotated += port.byteSize;
  }
  if (!rotated)
    return;
  uint64_t wanted = 2 * device.cacheBytes() / rotated + 1;
  count = std::min<uint64_t>(std::max<uint64_t>(wanted, 2), 8);
  count = std::max<uint64_t>(std::min(count, kMostBytes / rotated), 1);
}

/// Positive numbers around `middle`: with one element that itself.
static void fillScales(StorageFormat format, double middle, uint64_t seed,
                       uint64_t count, uint8_t *data) {
  double spread = count > 1 ? 0.5 : 0;
  RandomCodes::uniform(format, middle * (1 - spread), middle * (1 + spread))
      .fill(seed, 0, count, data);
}

/// Codes of `std`, scales that make them numbers of `wanted`.
static Status fillScaled(const DType &type, const StorageLayout &layout,
                         double wanted, uint64_t seed, uint8_t *data) {
  double std = 1;
  if (!RandomCodes::getStd(type.elem, std))
    return error(Code::Unsupported, "no data for codes of type %s",
                 formatName(type.elem));
  uint64_t perByte = 8 / std::max(formatBits(type.elem), 1u);
  uint64_t codes = perByte ? layout.codesBytes * perByte
                           : layout.codesBytes / (formatBits(type.elem) / 8);
  RandomCodes::normal(type.elem, std).fill(seed, 0, codes, data + layout.codes);
  bool hasGlobal = layout.globalBytes > 0;
  fillScales(type.scale, hasGlobal ? 1 : wanted / std, seed + 1,
             layout.scalesBytes / (formatBits(type.scale) / 8),
             data + layout.scales);
  if (hasGlobal)
    fillScales(type.global, wanted / std, seed + 2, 1, data + layout.global);
  return Status();
}

static Status fillDense(StorageFormat format, double wanted, uint64_t seed,
                        uint64_t count, uint8_t *data) {
  if (!isFloatFormat(format))
    return Status(); // zeros
  RandomCodes codes = count == 1
                          ? RandomCodes::uniform(format, 1.0 / 128, 1.0 / 64)
                          : RandomCodes::normal(format, wanted);
  codes.fill(seed, 0, count, data);
  return Status();
}

/// Where the kernel reads behind the beginning of an input: the first of its
/// sections, or nothing.
static uint64_t firstSection(const EntryInfo &entry, uint32_t input) {
  uint64_t first = entry.inputs[input].byteSize;
  for (const LaunchInfo &launch : entry.launches)
    if (launch.gpu)
      for (const GpuArgInfo &arg : launch.gpu->args)
        if (arg.offset && launch.args[arg.arg] == input)
          first = std::min(first, arg.offset);
  return first;
}

/// Linear ones; or of a larger port, which has gaps: codes and scales up to
/// what follows them.
Result<StorageLayout> CandidateBuffers::getSections(uint32_t input,
                                                    const DType &type) const {
  const PortInfo &port = entry.inputs[input];
  auto layout = storageLayout(type, port.shape.data(), port.shape.size());
  if (!layout.ok() || layout->total == port.byteSize)
    return layout;
  if (layout->zeroPointsBytes || layout->total > port.byteSize)
    return error(Code::Unsupported,
                 "%s has %llu bytes, its linear storage %llu: no data for "
                 "zero points in other layouts",
                 describePort(port).c_str(), (unsigned long long)port.byteSize,
                 (unsigned long long)layout->total);
  layout->total = port.byteSize;
  layout->global = port.byteSize - layout->globalBytes;
  layout->scales = layout->codesBytes = firstSection(entry, input);
  layout->scalesBytes = layout->global - layout->scales;
  return layout;
}

Result<std::vector<uint8_t>> CandidateBuffers::makeData(uint32_t input,
                                                        uint64_t seed) const {
  const PortInfo &port = entry.inputs[input];
  Result<DType> type = parseDType(port.dtype);
  if (!type.ok())
    return type.status();
  auto layout = getSections(input, *type);
  if (!layout.ok())
    return layout.status();
  std::vector<uint8_t> data(port.byteSize);
  bool weights = elements(port) == key.n * key.k && !isActivation(port);
  double wanted = weights ? 1 / std::sqrt(double(key.k)) : 1;
  Status filled =
      type->isScaled()
          ? fillScaled(*type, *layout, wanted, seed, data.data())
          : fillDense(type->elem, wanted, seed, elements(port), data.data());
  if (!filled.ok())
    return filled;
  return data;
}

Status CandidateBuffers::fill(uint32_t input, uint64_t seed,
                              void *memory) const {
  auto data = makeData(input, seed);
  if (!data.ok())
    return Status(data.status())
        .withContext("input '" + printable(entry.inputs[input].name) + "'");
  return device.copyIn(memory, data->data(), data->size());
}

Status CandidateBuffers::create(uint64_t seed) {
  chooseCopies();
  for (size_t i = 0; i < entry.inputs.size(); ++i) {
    inputs.emplace_back();
    for (uint64_t copy = 0; copy < (rotates[i] ? count : 1); ++copy) {
      Result<void *> memory = allocate(entry.inputs[i].byteSize);
      if (!memory.ok())
        return memory.status();
      inputs[i].push_back(*memory);
      NIBBLE_RETURN_IF_ERROR(
          fill(i, splitMix64(seed, i * 64 + copy), inputs[i][copy]));
    }
  }
  for (const PortInfo &port : entry.outputs) {
    Result<void *> memory = allocate(port.byteSize);
    if (!memory.ok())
      return memory.status();
    outputs.push_back(*memory);
  }
  return Status();
}

Status CandidateBuffers::bind(Context &context, uint32_t entryIndex,
                              uint64_t copy) const {
  for (uint32_t i = 0; i < inputs.size(); ++i)
    NIBBLE_RETURN_IF_ERROR(context.bindInput(entryIndex, i,
                                             inputs[i][copy % inputs[i].size()],
                                             entry.inputs[i].byteSize));
  for (uint32_t i = 0; i < outputs.size(); ++i)
    NIBBLE_RETURN_IF_ERROR(context.bindOutput(entryIndex, i, outputs[i],
                                              entry.outputs[i].byteSize));
  return Status();
}

Status CandidateBuffers::poison(uint8_t byte) const {
  for (size_t i = 0; i < outputs.size(); ++i)
    NIBBLE_RETURN_IF_ERROR(
        device.fill(outputs[i], byte, entry.outputs[i].byteSize));
  return Status();
}

static bool isLinear(const PortInfo &port) {
  Result<DType> type = parseDType(port.dtype);
  if (!type.ok())
    return true;
  auto layout = storageLayout(*type, port.shape.data(), port.shape.size());
  return layout.ok() && layout->total == port.byteSize;
}

bool CandidateBuffers::hasUnknownGaps() const {
  return !std::all_of(entry.outputs.begin(), entry.outputs.end(), isLinear);
}

Result<std::vector<uint8_t>> CandidateBuffers::read(uint32_t output) const {
  const PortInfo &port = entry.outputs[output];
  std::vector<uint8_t> bytes(port.byteSize);
  NIBBLE_RETURN_IF_ERROR(
      device.copyOut(bytes.data(), outputs[output], port.byteSize));
  Result<DType> type = parseDType(port.dtype);
  if (!type.ok() || !type->isScaled())
    return bytes;
  auto layout = storageLayout(*type, port.shape.data(), port.shape.size());
  if (!layout.ok() || layout->total != port.byteSize)
    return bytes;
  std::vector<uint8_t> sections(bytes.begin(),
                                bytes.begin() + layout->codesBytes);
  for (auto [begin, length] :
       {std::make_pair(layout->scales, layout->scalesBytes),
        std::make_pair(layout->global, layout->globalBytes),
        std::make_pair(layout->zeroPoints, layout->zeroPointsBytes)})
    sections.insert(sections.end(), bytes.begin() + begin,
                    bytes.begin() + begin + length);
  return sections;
}
