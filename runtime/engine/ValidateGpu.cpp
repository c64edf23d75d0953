// Validation of the launch of a GPU kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ValidateGpu.h"

#include "emulator/exec/TensorMap.h"

#include <algorithm>

using namespace nibble::rt;

static constexpr size_t kMaxParams = 512;

static Status bad(const std::string &message) {
  return Status(Code::Malformed, message);
}

static std::string print(const char *what, Dim3 d) {
  return std::string(what) + " (" + std::to_string(d.x) + ", " +
         std::to_string(d.y) + ", " + std::to_string(d.z) + ")";
}

static Dim3 dim3(const fb::Dim3 *d) {
  return d ? Dim3{d->x(), d->y(), d->z()} : Dim3();
}

static Status checkShape(const GpuLaunchInfo &gpu) {
  Dim3 g = gpu.grid, b = gpu.block, c = gpu.cluster;
  if (g.count() == 0 || g.x > 0x7FFFFFFF || g.y > 65535 || g.z > 65535)
    return bad(print("grid", g) + "; wanted 1 to (2147483647, 65535, 65535)");
  if (b.count() == 0 || b.x > 1024 || b.y > 1024 || b.z > 64 ||
      b.count() > kGpuMaxThreads)
    return bad(print("block", b) +
               "; wanted 1 to (1024, 1024, 64) and at most 1024 threads");
  if (c.x == 0 || c.y == 0 || c.z == 0 || c.x > kGpuMaxCluster ||
      c.y > kGpuMaxCluster || c.z > kGpuMaxCluster ||
      c.count() > kGpuMaxCluster)
    return bad(print("cluster", c) + "; wanted 1 to 16 CTAs");
  if (g.x % c.x || g.y % c.y || g.z % c.z)
    return bad(print("grid", g) + " is no multiple of the " +
               print("cluster", c));
  if (gpu.sharedBytes > kGpuMaxShared)
    return bad(std::to_string(gpu.sharedBytes) +
               " bytes of shared memory, more than " +
               std::to_string(kGpuMaxShared));
  return Status();
}

template <typename T>
static nibble::rt::Span<const T> span(const flatbuffers::Vector<T> *vector) {
  if (!vector)
    return {};
  return {vector->data(), vector->size()};
}

static Status readMap(const fb::TensorMap &table, TensorMapInfo &map) {
  map.type = table.type();
  map.interleave = table.interleave();
  map.swizzle = table.swizzle();
  map.l2Promotion = table.l2_promotion();
  map.fill = table.fill();
  map.sizes = span(table.sizes());
  map.strides = span(table.strides());
  map.box = span(table.box());
  map.elementStrides = span(table.element_strides());
  size_t rank = map.sizes.size();
  if (rank < 1 || rank > 5 || map.strides.size() != rank - 1 ||
      map.box.size() != rank || map.elementStrides.size() != rank)
    return bad("a tensor map with " + std::to_string(rank) + " sizes, " +
               std::to_string(map.strides.size()) + " strides, " +
               std::to_string(map.box.size()) + " extents of the box and " +
               std::to_string(map.elementStrides.size()) + " element strides");
  if (map.type > 15 || map.interleave > 2 || map.swizzle > 6 ||
      map.l2Promotion > 3 || map.fill > 1)
    return bad("a tensor map with an unknown type, interleave, swizzle, "
               "promotion or fill");
  return Status();
}

/// The same map for the checks that the emulated driver makes. False if a
/// number does not fit.
static bool convert(const TensorMapInfo &from, uint64_t address,
                    nibble::emu::TensorMap &to) {
  to.mark = nibble::emu::TensorMap::kMark;
  to.address = address;
  to.type = nibble::emu::TensorType(from.type);
  to.rank = uint32_t(from.sizes.size());
  to.interleave = from.interleave;
  to.swizzle = from.swizzle;
  to.l2Promotion = from.l2Promotion;
  to.fill = from.fill;
  for (uint32_t i = 0; i < to.rank; ++i) {
    if (from.box[i] > 0xFFFF || from.elementStrides[i] > 0xFF)
      return false;
    to.sizes[i] = from.sizes[i];
    to.box[i] = uint16_t(from.box[i]);
    to.elementStrides[i] = uint8_t(from.elementStrides[i]);
    if (i > 0)
      to.strides[i - 1] = from.strides[i - 1];
  }
  return true;
}

/// Bytes from the first to behind the last element; all there are on overflow.
static uint64_t footprint(const nibble::emu::TensorMap &map) {
  uint64_t bytes = (map.sizes[0] * map.bits() + 7) / 8;
  for (uint32_t i = 1; i < map.rank; ++i) {
    uint64_t rows;
    if (__builtin_mul_overflow(map.sizes[i] - 1, map.strides[i - 1], &rows) ||
        __builtin_add_overflow(bytes, rows, &bytes))
      return ~uint64_t(0);
  }
  return bytes;
}

static Status checkMap(const TensorMapInfo &info, uint64_t offset,
                       const ValueInfo &value) {
  nibble::emu::TensorMap map;
  // Values begin at multiples of 64, so that only the offset matters.
  if (!convert(info, kValueAlignment + offset, map))
    return bad("a tensor map with a box or an element stride that is too "
               "large");
  if (std::string wrong = nibble::emu::checkTensorMap(map); !wrong.empty())
    return bad("a tensor map: " + wrong);
  uint64_t bytes = footprint(map);
  if (bytes > value.byteSize - offset)
    return bad("a tensor map over " + std::to_string(bytes) +
               " bytes at offset " + std::to_string(offset) +
               " of a value of " + std::to_string(value.byteSize) + " bytes");
  return Status();
}

static Status checkPlace(const GpuArgInfo &arg, const LaunchInfo &launch,
                         const EntryInfo &entry) {
  if (arg.arg >= launch.args.size())
    return bad("it is argument " + std::to_string(arg.arg) +
               " of the launch, but there are only " +
               std::to_string(launch.args.size()));
  uint64_t bytes = entry.values[launch.args[arg.arg]].byteSize;
  if (arg.offset > bytes)
    return bad("offset " + std::to_string(arg.offset) + " in a value of " +
               std::to_string(bytes) + " bytes");
  return Status();
}

static Status readArg(const fb::GpuArg &table, const LaunchInfo &launch,
                      const EntryInfo &entry, GpuArgInfo &arg) {
  if (table.kind() > fb::GpuArgKind::TensorMap)
    return bad("unknown kind " + std::to_string(int(table.kind())));
  arg.kind = static_cast<GpuArgKind>(table.kind());
  arg.arg = table.arg();
  arg.offset = table.offset();
  if (arg.kind == GpuArgKind::Bytes) {
    arg.bytes = span(table.bytes());
    return arg.bytes.size() ? Status() : bad("it has no bytes");
  }
  NIBBLE_RETURN_IF_ERROR(checkPlace(arg, launch, entry));
  if (arg.kind == GpuArgKind::Pointer)
    return Status();
  if (!table.map())
    return bad("there is no tensor map");
  auto map = std::make_shared<TensorMapInfo>();
  NIBBLE_RETURN_IF_ERROR(readMap(*table.map(), *map));
  arg.map = map;
  return checkMap(*map, arg.offset, entry.values[launch.args[arg.arg]]);
}

static Status checkPassed(const GpuLaunchInfo &gpu, const LaunchInfo &launch) {
  std::vector<bool> passed(launch.args.size());
  uint64_t bytes = 0;
  for (const GpuArgInfo &arg : gpu.args) {
    bytes += arg.size();
    if (arg.kind != GpuArgKind::Bytes)
      passed[arg.arg] = true;
  }
  if (bytes > kGpuMaxParamBytes)
    return bad(std::to_string(bytes) + " bytes of parameters, more than " +
               std::to_string(kGpuMaxParamBytes));
  size_t missing =
      size_t(std::find(passed.begin(), passed.end(), false) - passed.begin());
  if (missing < passed.size())
    return bad("argument " + std::to_string(missing) +
               " is passed by no parameter of the kernel");
  return Status();
}

uint64_t GpuArgInfo::size() const {
  return kind == GpuArgKind::Bytes       ? bytes.size()
         : kind == GpuArgKind::TensorMap ? 128
                                         : 8;
}

Status nibble::rt::readGpuLaunch(const fb::GpuLaunch &table,
                                 const EntryInfo &entry, LaunchInfo &launch) {
  auto gpu = std::make_shared<GpuLaunchInfo>();
  if (!table.grid() || !table.block())
    return bad("a launch of a GPU kernel without grid or block");
  gpu->grid = dim3(table.grid());
  gpu->block = dim3(table.block());
  gpu->cluster = dim3(table.cluster());
  gpu->sharedBytes = table.shared_bytes();
  gpu->overlap = table.overlap();
  NIBBLE_RETURN_IF_ERROR(checkShape(*gpu));
  size_t count = table.args() ? table.args()->size() : 0;
  if (count > kMaxParams)
    return bad(std::to_string(count) + " parameters, more than " +
               std::to_string(kMaxParams));
  gpu->args.resize(count);
  for (size_t i = 0; i < count; ++i)
    NIBBLE_RETURN_IF_ERROR(
        readArg(*table.args()->Get(i), launch, entry, gpu->args[i])
            .withContext("parameter " + std::to_string(i)));
  NIBBLE_RETURN_IF_ERROR(checkPassed(*gpu, launch));
  launch.gpu = std::move(gpu);
  return Status();
}
