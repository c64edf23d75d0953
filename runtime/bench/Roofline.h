// What a device can do at most, and how near a layer comes to it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The bound of a layer is max(bytes / memory bandwidth, operations / peak):
// bytes that the layer must read and write, multiplications and additions that
// it must do, as the compiler has counted them (docs/explain.md).
#ifndef NIBBLE_RT_BENCH_ROOFLINE_H
#define NIBBLE_RT_BENCH_ROOFLINE_H

#include "nibble/rt/device.h"

#include <map>

namespace nibble {
namespace rt {

struct Peaks {
  std::string source; ///< where the numbers are from; "" if none are known
  double bytesPerSecond = 0;
  /// Operations per second (a multiply-add is two), dense, by the names of
  /// KernelMath.h.
  std::map<std::string, double> flops;

  bool known() const { return bytesPerSecond > 0; }
  /// 0 if not known. Operands of a kind that the table lacks are not guessed.
  double flopsOf(const std::string &math) const;
};

/// By the name that the driver gives: data sheets of H100, H200 and Thor, the
/// bandwidth from the clock and the width of the memory where the driver tells
/// them. Nothing for other devices, and for those that are emulated.
Peaks peaksOf(const DeviceLimits &limits);
/// "memory=3350,f8=1979,f16=989,f32=67": GB/s and TFLOP/s, given by a user.
Result<Peaks> parsePeaks(const std::string &text);

/// A layer: one launch, or several that share its work.
struct LayerTime {
  uint32_t first = 0, count = 1; ///< launches
  std::string layer, op, math;
  uint64_t bytes = 0, flops = 0, blocks = 0; ///< blocks: of the largest grid
  double seconds = 0;                        ///< median
  double bound = 0;                          ///< seconds; 0: not known
  std::string limit; ///< "memory" or "compute"; "": not known

  double fraction() const { return seconds > 0 ? bound / seconds : 0; }
  double lost() const { return bound > 0 ? seconds - bound : 0; }
};

/// Layers of an entry point from the times of its launches. Launches without
/// bytes and operations that follow one of the same layer belong to it (the
/// engine tells the work of a layer once).
std::vector<LayerTime> layerTimes(const Engine &engine, uint32_t entry,
                                  const std::vector<double> &seconds,
                                  const Peaks &peaks);

/// One line for each of the layers that lose most, at most `most`: those that
/// reach less than 70 % of their bound and lose at least 2 % of the whole. None
/// for an emulated device, whose times are the host's.
std::vector<std::string> advise(const std::vector<LayerTime> &layers,
                                const DeviceLimits &limits, size_t most = 3);

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_BENCH_ROOFLINE_H
