// Calibration: ranges of activations from samples of the model's inputs.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_PIPELINES_CALIBRATION_H
#define NIBBLE_PIPELINES_CALIBRATION_H

#include "nibble/Pipelines/Compiler.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace nibble {

/// How an amax comes from magnitudes: "max", or "percentile:P" with
/// 0 < P <= 100, where percentile:100 is max.
struct CalibrationMethod {
  double percentile = 100;
  static llvm::Expected<CalibrationMethod> parse(llvm::StringRef text);
  std::string str() const;
};

/// Counts |x| in bins of relative width 2^-10 (the leading 18 bits of the
/// magnitude as f32). Memory grows with the binades that occur.
class MagnitudeHistogram {
public:
  explicit MagnitudeHistogram(bool countBins) : countBins(countBins) {}

  /// Numbers that are not negative; NaN and infinity are only remembered.
  void add(const float *magnitudes, int64_t count);

  uint64_t getCount() const { return total; }
  bool sawNonFinite() const { return nonFinite; }
  /// Largest finite number so far, exactly.
  float getMax() const;
  /// The ceil(P/100 * count)-th smallest number, rounded up to the end of its
  /// bin, but not beyond the largest: at most 2^-10 too large, never too small.
  /// Needs `countBins`, unless P = 100.
  float getPercentile(double percentile) const;

private:
  using Binade = std::array<uint64_t, 1024>;
  bool countBins, nonFinite = false;
  uint64_t total = 0;
  uint32_t maxBits = 0;
  std::map<uint32_t, std::unique_ptr<Binade>> binades; ///< by exponent
};

/// One sample: a .npy file for each input of the model.
struct CalibrationSample {
  std::string name;
  std::vector<std::string> files; ///< in the order of the inputs
};

/// The samples of a folder, sorted by name: either a sub-folder per sample with
/// INPUT.npy files, or files INPUT.npy (one sample) or INPUT.SAMPLE.npy. '/' in
/// names of inputs is '_' in names of files. Fails if there is no sample, a
/// sample lacks an input, or a .npy file belongs to no input.
llvm::Expected<std::vector<CalibrationSample>>
findSamples(llvm::StringRef folder, llvm::ArrayRef<std::string> inputs);

/// Runs the graph, before anything is quantized, on the samples of
/// options.calib, and sets `nibble.amax` on the layers whose format needs it.
///
/// The graph is compiled for the CPU with an output |A| (f32) for each tensor A
/// of interest; a probe reads each as soon as it is written, so that all of
/// them share one buffer. The engine is a temporary file; what its compile
/// decides is kept out of `decisions`.
///
/// Refuses layers whose activations are zero or not finite on all samples, and
/// to calibrate on nothing.
mlir::LogicalResult calibrate(mlir::ModuleOp module,
                              const CompileOptions &options,
                              Decisions &decisions);

} // namespace nibble

#endif // NIBBLE_PIPELINES_CALIBRATION_H
