// The time of the kernel of a region, predicted.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PredictRegion.h"

#include "nibble/KernelSelect/ProductClass.h"
#include "nibble/KernelSelect/TimeModel.h"

using namespace nibble;

/// Rate of what a class multiplies where its kernels are not of tiles.
static double getRate(const KernelClass &kernel, const Machine &machine) {
  bool streams =
      getProductClass(kernel.name).generator == ProductGenerator::Streams;
  return streams ? machine.reached.of(kernel.math) : machine.reached.f32;
}

std::optional<double> nibble::predictRegion(nq::RegionOp region,
                                            const KernelClass *kernel,
                                            const ScheduleChoice &schedule,
                                            const Machine &machine) {
  const TimeMachine *model = getTimeMachine(machine.target);
  if (!model || !kernel)
    return std::nullopt;
  if (schedule.predictedSeconds > 0)
    return schedule.predictedSeconds;
  Traffic traffic = getTraffic(region);
  double bytes = double(traffic.read + traffic.written);
  double flops = double(getFlops(region));
  bool onTensorCores =
      kernel->name.contains("wgmma") || kernel->name.contains("tcgen05");
  if (region.getKind() == "attention" && onTensorCores)
    return predictAttention(bytes, flops, *model);
  return std::max(predictBytes(bytes, *model),
                  model->rowLatencyUs * 1e-6 +
                      flops / getRate(*kernel, machine));
}
