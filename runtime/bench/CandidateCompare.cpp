// Results of candidates that add up in different orders.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CandidateCompare.h"

#include "nibble/rt/compare.h"
#include "nibble/rt/dtype.h"
#include "nibble/rt/formats.h"

#include <algorithm>

using namespace nibble::rt;
using namespace nibble::rt::cli;

std::string_view cli::getSlices(std::string_view schedule) {
  size_t at = schedule.rfind(" k");
  if (at == schedule.npos || at + 2 == schedule.size())
    return {};
  std::string_view number = schedule.substr(at + 2);
  bool isNumber = std::all_of(number.begin(), number.end(),
                              [](char c) { return c >= '0' && c <= '9'; });
  return isNumber ? number : std::string_view();
}

/// Data of candidates (CandidateBuffers) makes results of about 1, and codes of
/// about 64. Sums of FP8 in tensor cores keep 13 bits: single elements of 16384
/// k were 0.011 apart on an H200. A slice that is left out is 0.3 of a result,
/// and all of them together are held to the norm.
static Tolerance getTolerance(StorageFormat elem) {
  Tolerance tolerance;
  bool isWide = formatBits(elem) > 8;
  double bf16 = elem == StorageFormat::BF16 ? 4 : 1;
  tolerance.rtol = isWide ? 0.01 * bf16 : 0.15;
  tolerance.atol = isWide ? 0.03 * bf16 : 1;
  tolerance.frobenius = isWide ? 0.004 * bf16 : 0.05;
  return tolerance;
}

std::string cli::whyNotClose(const PortInfo &port,
                             const std::vector<uint8_t> &found,
                             const std::vector<uint8_t> &wanted) {
  Result<DType> type = parseDType(port.dtype);
  auto count = elementCount(port.shape.data(), port.shape.size());
  if (!type.ok() || !count.ok() || !isFloatFormat(type->elem))
    return found == wanted ? ""
                           : "bits of " + std::string(port.dtype) +
                                 " differ, which have no tolerance";
  size_t bytes = formatBytes(type->elem, *count);
  if (found.size() != wanted.size() || found.size() < bytes)
    return "outputs of other sizes";
  if (!std::equal(found.begin() + bytes, found.end(), wanted.begin() + bytes))
    return "scales differ";
  std::vector<double> actual(*count), expected(*count);
  decodeArray(type->elem, found.data(), 0, *count, actual.data());
  decodeArray(type->elem, wanted.data(), 0, *count, expected.data());
  Comparison comparison(getTolerance(type->elem));
  comparison.add(actual.data(), expected.data(), *count);
  Status verdict = comparison.verdict();
  return verdict.ok() ? "" : verdict.str();
}
