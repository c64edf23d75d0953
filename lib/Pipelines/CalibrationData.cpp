// Calibration: the method, histograms, sample files.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Pipelines/Calibration.h"

#include "nibble/rt/float_codec.h"
#include "nibble/rt/formats.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/Path.h"

#include <cmath>
#include <set>

using namespace nibble;
using llvm::StringRef;
using llvm::Twine;

//===----------------------------------------------------------------------===//
// Method and histogram
//===----------------------------------------------------------------------===//

llvm::Expected<CalibrationMethod> CalibrationMethod::parse(StringRef text) {
  CalibrationMethod method;
  StringRef number = text;
  if (text == "max")
    return method;
  if (number.consume_front("percentile:") &&
      !number.getAsDouble(method.percentile) && method.percentile > 0 &&
      method.percentile <= 100)
    return method;
  return llvm::createStringError("--calib-method '" + text +
                                 "' is neither max nor percentile:P with "
                                 "0 < P <= 100");
}

std::string CalibrationMethod::str() const {
  if (percentile == 100)
    return "max";
  std::string text = "percentile:";
  llvm::raw_string_ostream(text) << llvm::formatv("{0}", percentile);
  return text;
}

void MagnitudeHistogram::add(const float *magnitudes, int64_t count) {
  constexpr uint32_t infinity = 0x7f800000;
  for (int64_t i = 0; i < count; ++i) {
    uint32_t bits = rt::floatBits(magnitudes[i]) & 0x7fffffff;
    if (bits >= infinity) {
      nonFinite = true;
      continue;
    }
    maxBits = std::max(maxBits, bits);
    if (!countBins)
      continue;
    std::unique_ptr<Binade> &binade = binades[bits >> 23];
    if (!binade)
      binade = std::make_unique<Binade>();
    ++(*binade)[bits >> 13 & 1023];
  }
  total += count;
}

float MagnitudeHistogram::getMax() const { return rt::floatFromBits(maxBits); }

float MagnitudeHistogram::getPercentile(double percentile) const {
  if (percentile >= 100 || total == 0)
    return getMax();
  auto rank = static_cast<uint64_t>(
      std::ceil(percentile / 100 * static_cast<double>(total)));
  uint64_t seen = 0;
  for (const auto &[exponent, binade] : binades)
    for (uint32_t bin = 0; bin < binade->size(); ++bin)
      if ((seen += (*binade)[bin]) >= std::max<uint64_t>(rank, 1)) {
        uint32_t last = exponent << 23 | bin << 13 | 0x1fff;
        // The bin of zero holds numbers below 2^-136: they count as zero.
        return last == 0x1fff ? 0.0f
                              : rt::floatFromBits(std::min(last, maxBits));
      }
  return getMax();
}

//===----------------------------------------------------------------------===//
// Sample files
//===----------------------------------------------------------------------===//

static std::string getFileStem(StringRef input) {
  std::string stem = input.str();
  std::replace(stem.begin(), stem.end(), '/', '_');
  return stem;
}

namespace {
struct Folder {
  std::vector<std::string> folders, npy;
};
} // namespace

static llvm::Expected<Folder> listFolder(StringRef path) {
  Folder folder;
  std::error_code error;
  for (llvm::sys::fs::directory_iterator it(path, error), end;
       it != end && !error; it.increment(error)) {
    StringRef entry = it->path();
    if (llvm::sys::fs::is_directory(entry))
      folder.folders.push_back(entry.str());
    else if (entry.ends_with(".npy"))
      folder.npy.push_back(entry.str());
  }
  if (error)
    return llvm::createStringError("cannot read folder '" + path +
                                   "' of samples: " + error.message());
  llvm::sort(folder.folders);
  llvm::sort(folder.npy);
  return folder;
}

namespace {
/// Sorts files into samples.
class SampleFinder {
public:
  explicit SampleFinder(llvm::ArrayRef<std::string> inputs) : inputs(inputs) {}

  /// `sample` is empty for files whose names tell the sample.
  llvm::Error addFile(StringRef path, StringRef sample) {
    StringRef stem = llvm::sys::path::stem(path);
    std::optional<size_t> input;
    std::string name = sample.str();
    size_t longest = 0;
    for (auto [i, candidate] : llvm::enumerate(inputs)) {
      StringRef rest = stem;
      std::string prefix = getFileStem(candidate);
      bool fits = rest.consume_front(prefix) &&
                  (rest.empty() || (sample.empty() && rest.front() == '.'));
      if (!fits || prefix.size() < longest)
        continue;
      longest = prefix.size();
      input = i;
      if (sample.empty())
        name = rest.empty() ? "" : rest.drop_front().str();
    }
    if (!input)
      return llvm::createStringError(
          "'" + path + "' belongs to no input of the model; its inputs are " +
          llvm::join(inputs, ", ") +
          ", files are named INPUT.npy or "
          "INPUT.SAMPLE.npy");
    auto &files = samples[name];
    files.resize(inputs.size());
    files[*input] = path.str();
    return llvm::Error::success();
  }

  llvm::Expected<std::vector<CalibrationSample>> finish(StringRef folder) {
    std::vector<CalibrationSample> found;
    for (auto &[name, files] : samples) {
      for (auto [file, input] : llvm::zip(files, inputs))
        if (file.empty())
          return llvm::createStringError("sample '" + name + "' in '" + folder +
                                         "' has no file for the "
                                         "input '" +
                                         input + "' (" + getFileStem(input) +
                                         ".npy)");
      found.push_back({name, files});
    }
    if (found.empty())
      return llvm::createStringError("no samples in '" + folder +
                                     "': put a folder there for each sample, "
                                     "with " +
                                     getFileStem(inputs.front()) + ".npy" +
                                     (inputs.size() > 1 ? ", ..." : "") +
                                     " inside");
    return found;
  }

private:
  llvm::ArrayRef<std::string> inputs;
  std::map<std::string, std::vector<std::string>> samples;
};
} // namespace

llvm::Expected<std::vector<CalibrationSample>>
nibble::findSamples(StringRef path, llvm::ArrayRef<std::string> inputs) {
  if (inputs.empty())
    return llvm::createStringError("the model has no inputs to calibrate with");
  auto folder = listFolder(path);
  if (!folder)
    return folder.takeError();
  if (!folder->folders.empty() && !folder->npy.empty())
    return llvm::createStringError(
        "'" + path +
        "' has both folders and .npy files; use one folder per "
        "sample, or files only");
  SampleFinder finder(inputs);
  for (StringRef file : folder->npy)
    if (llvm::Error error = finder.addFile(file, ""))
      return std::move(error);
  for (StringRef sample : folder->folders) {
    auto files = listFolder(sample);
    if (!files)
      return files.takeError();
    for (StringRef file : files->npy)
      if (llvm::Error error =
              finder.addFile(file, llvm::sys::path::filename(sample)))
        return std::move(error);
  }
  return finder.finish(path);
}
