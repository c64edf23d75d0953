// What a device can do at most, and how near a layer comes to it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Roofline.h"

#include "KernelMath.h"
#include "nibble/rt/options.h"

#include <algorithm>
#include <cstdlib>

using namespace nibble::rt;

namespace {

/// Dense TFLOP/s and GB/s of data sheets.
struct Sheet {
  const char *name; ///< as cuDeviceGetName tells it
  const char *title;
  double memory, f32, tf32, f16, f8, i8, f4;
};
constexpr Sheet kSheets[] = {
    {"NVIDIA H100 80GB HBM3", "H100 SXM", 3350, 66.9, 494.7, 989.4, 1978.9,
     1978.9, 0},
    {"NVIDIA H100 PCIe", "H100 PCIe", 2039, 51.2, 378, 756, 1513, 1513, 0},
    {"NVIDIA H100 NVL", "H100 NVL", 3938, 60, 417.5, 835.5, 1671, 1671, 0},
    {"NVIDIA H200", "H200 SXM", 4800, 66.9, 494.7, 989.4, 1978.9, 1978.9, 0},
    {"NVIDIA H200 NVL", "H200 NVL", 4800, 60, 417.5, 835.5, 1671, 1671, 0},
    {"NVIDIA Thor", "Jetson Thor (T5000)", 273, 8.06, 129, 258, 517, 517, 1035},
};

} // namespace

double Peaks::flopsOf(const std::string &math) const {
  auto found = flops.find(math);
  return found == flops.end() ? 0 : found->second;
}

Peaks nibble::rt::peaksOf(const DeviceLimits &limits) {
  Peaks peaks;
  for (const Sheet &sheet : kSheets) {
    if (limits.emulated || limits.name != sheet.name)
      continue;
    peaks.source = std::string("data sheet of ") + sheet.title;
    peaks.bytesPerSecond = sheet.memory * 1e9;
    peaks.flops = {{"f32", sheet.f32}, {"tf32", sheet.tf32}, {"f16", sheet.f16},
                   {"f8", sheet.f8},   {"i8", sheet.i8},     {"f4", sheet.f4}};
    for (auto &peak : peaks.flops)
      peak.second *= 1e12;
    // A clock that is far off is not that of the memory (shared memory of a
    // SoC).
    double told = limits.memoryBytesPerSecond / peaks.bytesPerSecond;
    if (told > 0.75 && told < 1.25) {
      peaks.source += ", memory by the driver's clock and width";
      peaks.bytesPerSecond = limits.memoryBytesPerSecond;
    }
  }
  return peaks;
}

Result<Peaks> nibble::rt::parsePeaks(const std::string &text) {
  Peaks peaks;
  peaks.source = "--peaks";
  for (size_t at = 0; at <= text.size();) {
    size_t end = std::min(text.find(',', at), text.size());
    std::string item = text.substr(at, end - at);
    size_t equals = item.find('=');
    char *rest = nullptr;
    double value = equals == std::string::npos
                       ? 0
                       : std::strtod(item.c_str() + equals + 1, &rest);
    std::string name = item.substr(0, equals);
    bool known = name == "memory" || name == "f32" || name == "tf32" ||
                 name == "f16" || name == "f8" || name == "i8" || name == "f4";
    if (!known || !(value > 0) || *rest)
      return error(Code::InvalidArgument,
                   "--peaks '%s' is not memory=GB/s or one of f32, tf32, f16, "
                   "f8, i8, f4 = TFLOP/s",
                   item.c_str());
    if (name == "memory")
      peaks.bytesPerSecond = value * 1e9;
    else
      peaks.flops[name] = value * 1e12;
    at = end + 1;
  }
  if (!peaks.known())
    return error(Code::InvalidArgument, "--peaks '%s' lacks memory=GB/s",
                 text.c_str());
  return peaks;
}

static uint64_t blocksOf(const LaunchInfo &launch) {
  if (!launch.gpu)
    return 0;
  const Dim3 &grid = launch.gpu->grid;
  return uint64_t(grid.x) * grid.y * grid.z;
}

static void setBound(LayerTime &layer, const Peaks &peaks) {
  if (!peaks.known())
    return;
  double memory = double(layer.bytes) / peaks.bytesPerSecond;
  double peak = peaks.flopsOf(layer.math);
  // Operations without a known peak leave the bound unknown: memory alone would
  // flatter the layer.
  if (layer.flops && peak == 0)
    return;
  double compute = layer.flops ? double(layer.flops) / peak : 0;
  layer.bound = std::max(memory, compute);
  if (layer.bound > 0)
    layer.limit = compute > memory ? "compute" : "memory";
}

static bool continues(const LaunchInfo &launch, const LayerTime &layer) {
  return launch.bytes == 0 && launch.flops == 0 &&
         launch.layer == layer.layer && launch.op == layer.op;
}

std::vector<LayerTime>
nibble::rt::layerTimes(const Engine &engine, uint32_t entry,
                       const std::vector<double> &seconds, const Peaks &peaks) {
  const auto &launches = engine.info().entries[entry].launches;
  std::vector<std::string> math = mathOfKernels(engine);
  std::vector<LayerTime> layers;
  for (uint32_t i = 0; i < launches.size(); ++i) {
    const LaunchInfo &launch = launches[i];
    std::string own =
        launch.kind == LaunchKind::Kernel ? math[launch.kernel] : "";
    if (layers.empty() || !continues(launch, layers.back())) {
      LayerTime layer;
      layer.first = i;
      layer.count = 0;
      layer.layer = std::string(launch.layer);
      layer.op = std::string(launch.op);
      layer.bytes = launch.bytes;
      layer.flops = launch.flops;
      layer.math = own;
      layers.push_back(std::move(layer));
    }
    LayerTime &layer = layers.back();
    ++layer.count;
    layer.seconds += seconds[i];
    layer.blocks = std::max(layer.blocks, blocksOf(launch));
    // The product of a layer may be any of its kernels.
    if (layer.math == "f32" && !own.empty())
      layer.math = own;
  }
  for (LayerTime &layer : layers)
    setBound(layer, peaks);
  return layers;
}

static std::string percent(double fraction) {
  char text[32];
  std::snprintf(text, sizeof text, "%.0f %%", fraction * 100);
  return text;
}

/// Why a layer is slow, as far as its numbers tell.
static std::string reason(const LayerTime &layer, const DeviceLimits &limits) {
  if (layer.bound < 2e-6)
    return "its work takes less than 2 us at best, less than a kernel takes to "
           "begin and end: ask nibble explain why it was not fused";
  if (layer.blocks && limits.multiprocessors &&
      layer.blocks < limits.multiprocessors)
    return std::to_string(layer.blocks) + " blocks leave " +
           std::to_string(limits.multiprocessors - layer.blocks) + " of " +
           std::to_string(limits.multiprocessors) +
           " multiprocessors idle: a schedule of smaller tiles or split K "
           "(compile --candidates, bench --candidates)";
  if (layer.limit == "compute" && layer.math == "f32")
    return "products on FMA units: nibble explain says what keeps it from "
           "tensor cores";
  if (layer.limit == "compute")
    return "products on tensor cores below their peak: measure schedules of "
           "this shape (compile --candidates, bench --candidates)";
  return "bound by memory and reads or writes more than it must, or too little "
         "at a time";
}

std::vector<std::string>
nibble::rt::advise(const std::vector<LayerTime> &layers,
                   const DeviceLimits &limits, size_t most) {
  if (limits.emulated) // times of the host
    return {};
  double whole = 0;
  std::vector<const LayerTime *> slow;
  for (const LayerTime &layer : layers)
    whole += layer.seconds;
  for (const LayerTime &layer : layers)
    if (layer.bound > 0 && layer.fraction() < 0.7 &&
        layer.lost() >= 0.02 * whole)
      slow.push_back(&layer);
  std::sort(slow.begin(), slow.end(), [](auto *a, auto *b) {
    return a->lost() != b->lost() ? a->lost() > b->lost() : a->first < b->first;
  });
  std::vector<std::string> lines;
  for (size_t i = 0; i < slow.size() && i < most; ++i)
    lines.push_back(slow[i]->layer + " (" + slow[i]->op + ") loses " +
                    percent(slow[i]->lost() / whole) + " of the run, at " +
                    percent(slow[i]->fraction()) + " of its " + slow[i]->limit +
                    " bound: " + reason(*slow[i], limits));
  return lines;
}
