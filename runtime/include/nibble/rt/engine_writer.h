// EngineWriter: builds an engine file; used by the compiler. LLVM-free.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   EngineWriter writer;
//   writer.open("mlp.nbl", "cpu");
//   uint32_t code = *writer.addCode(CodeKind::CpuObject, "kernels", so.data(),
//   so.size()); uint32_t kernel = *writer.addKernel("mlp_0", code); uint32_t w
//   = *writer.addConstant("w", weights, bytes); writer.addEntry(entry);
//   writer.finish();
#ifndef NIBBLE_RT_ENGINE_WRITER_H
#define NIBBLE_RT_ENGINE_WRITER_H

#include "nibble/rt/engine_format.h"
#include "nibble/rt/status.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace nibble {
namespace rt {

/// An input or output of an entry point, or a state. `byteSize` 0 means the
/// linear size of `dtype` and `shape` (nibble/rt/dtype.h).
struct PortDesc {
  std::string name;
  std::string dtype; ///< "f32", "i64", "ui8", "i1", "!nq.scaled<...>"
  std::vector<int64_t> shape;
  uint64_t byteSize = 0;
};

/// A buffer that launches use. `index` selects the input, output, constant or
/// state; `offset` counts from its start (or from the start of the arena) and
/// is a multiple of 64. `byteSize` as in PortDesc.
struct ValueDesc {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  Storage storage = Storage::Arena;
  uint32_t index = 0;
  uint64_t offset = 0;
  uint64_t byteSize = 0;
};

/// A tensor map over memory of a value. Enumerations have CUDA's numbers
/// (CUtensorMapDataType and so on); rules: cuTensorMapEncodeTiled.
struct TensorMapDesc {
  uint8_t type = 0, interleave = 0, swizzle = 0, l2Promotion = 0, fill = 0;
  std::vector<uint64_t> sizes;   ///< elements, fastest dimension first
  std::vector<uint64_t> strides; ///< bytes, of dimensions 1 and up
  std::vector<uint32_t> box, elementStrides;
};

/// One parameter of a GPU kernel.
struct GpuArgDesc {
  GpuArgKind kind = GpuArgKind::Pointer;
  uint32_t arg = 0;    ///< Pointer, TensorMap: index into LaunchDesc::args
  uint64_t offset = 0; ///< Pointer, TensorMap: bytes behind the address
  std::vector<uint8_t> bytes; ///< Bytes
  TensorMapDesc map;          ///< TensorMap

  static GpuArgDesc pointer(uint32_t arg, uint64_t offset = 0);
  /// A scalar or structure as it lies in memory.
  template <typename T> static GpuArgDesc scalar(T value);
  static GpuArgDesc tensorMap(uint32_t arg, TensorMapDesc map,
                              uint64_t offset = 0);
};

/// How a GPU kernel is launched. All of LaunchDesc::args must be passed by some
/// parameter; extent, grain, split and scratch mean nothing then.
struct GpuLaunchDesc {
  Dim3 grid, block, cluster;
  uint32_t sharedBytes = 0;     ///< dynamic shared memory
  bool overlap = false;         ///< may begin before the launch before it ends
  std::vector<GpuArgDesc> args; ///< one per parameter, in order
};

/// One kernel launch, or a plain copy of args[0] to args[1] (`kernel`,
/// `extent`, `grain` and scratch are then ignored).
///
/// Kernel ABI: `extern "C" void k(void *const *args, int64_t lo, int64_t hi,
/// void *scratch)`. The runtime calls it with ranges that partition
/// [0, extent); each starts at a multiple of `grain`. Ranges run in any order
/// and at the same time.
struct LaunchDesc {
  LaunchKind kind = LaunchKind::Kernel;
  uint32_t kernel = 0;
  std::vector<uint32_t> args; ///< indices into EntryDesc::values, results last
  uint32_t results = 1;       ///< how many of the last args are written
  int64_t extent = 1;         ///< 0 .. 2^62
  int64_t grain = 1;          ///< at least 1
  Split split = Split::Dynamic;
  uint64_t scratchBytes = 0; ///< per thread, 64-byte aligned
  std::string layer;         ///< name of the layer in the source model
  std::string op;            ///< kind of operation, for tables
  uint64_t bytes = 0;        ///< predicted memory traffic
  uint64_t flops = 0;
  std::optional<GpuLaunchDesc> gpu; ///< for kernels in PTX or cubins
};

/// Launches run in order. Constants and states are those of the engine, so all
/// entry points share them. Every output must be a result of some launch: one
/// that is an input, a constant or another output again needs a Copy.
struct EntryDesc {
  std::string name;
  std::vector<PortDesc> inputs, outputs;
  std::vector<ValueDesc> values;
  std::vector<LaunchDesc> launches;
  uint64_t arenaSize = 0;
};

/// What errors print when an engine does not fit: how to make it again.
struct SourceDesc {
  std::string model;     ///< file name of the source model
  std::string modelHash; ///< "sha256:..."
  std::string command;   ///< full command line that makes this engine
};

/// Writes one engine file. Constants are streamed to disk as they come, so the
/// heap never holds more than a buffer of them. Nothing appears under the final
/// name before finish() succeeded; a writer destroyed earlier leaves no file.
/// The same calls give the same bytes. Not thread-safe.
class EngineWriter {
public:
  EngineWriter();
  ~EngineWriter();
  EngineWriter(const EngineWriter &) = delete;
  EngineWriter &operator=(const EngineWriter &) = delete;

  /// Starts the file `path` + ".tmp.<pid>" in the same folder. `target` has at
  /// most 15 characters: "cpu", "sm_90a".
  Status open(const std::string &path, const std::string &target);

  void setToolVersion(std::string version);
  void setSource(SourceDesc source);
  /// CPU features that the code needs, in LLVM's spelling ("avx512f"). Default:
  /// those of x86-64-v3. List vector features only; loading an engine on a CPU
  /// without one of them is refused.
  void setCpuFeatures(std::vector<std::string> features);
  /// A JSON document for `explain`; stored as it is.
  void setReport(std::string json);

  /// Adds a blob of code and returns its index. `name` is for people.
  /// `alternative` is a blob added before with the same kernels, for devices
  /// that cannot load this one.
  Result<uint32_t> addCode(CodeKind kind, const std::string &name,
                           const void *data, uint64_t size,
                           uint32_t alternative = kNoCode);
  /// Adds a kernel: an exported symbol of a blob of code.
  Result<uint32_t> addKernel(const std::string &symbol, uint32_t code);

  /// Adds a constant that is in memory (or mapped) already.
  Result<uint32_t> addConstant(const std::string &name, const void *data,
                               uint64_t size);
  /// Adds a constant of exactly `size` bytes that `produce` hands over in
  /// pieces, by calling the function it gets any number of times.
  using Append = std::function<Status(const void *data, uint64_t size)>;
  Result<uint32_t>
  addConstant(const std::string &name, uint64_t size,
              const std::function<Status(const Append &)> &produce);

  /// Adds a state; it is zero when a context is created.
  Result<uint32_t> addState(PortDesc state);
  /// Adds an entry point. Checked as a whole by finish().
  Result<uint32_t> addEntry(EntryDesc entry);

  /// Checks everything as the reader does, writes metadata and header and
  /// renames the file to its final name.
  Status finish();

private:
  struct Impl;
  std::unique_ptr<Impl> impl;
};

inline GpuArgDesc GpuArgDesc::pointer(uint32_t arg, uint64_t offset) {
  GpuArgDesc desc;
  desc.arg = arg;
  desc.offset = offset;
  return desc;
}
template <typename T> GpuArgDesc GpuArgDesc::scalar(T value) {
  GpuArgDesc desc;
  desc.kind = GpuArgKind::Bytes;
  auto *first = reinterpret_cast<const uint8_t *>(&value);
  desc.bytes.assign(first, first + sizeof value);
  return desc;
}
inline GpuArgDesc GpuArgDesc::tensorMap(uint32_t arg, TensorMapDesc map,
                                        uint64_t offset) {
  GpuArgDesc desc = pointer(arg, offset);
  desc.kind = GpuArgKind::TensorMap;
  desc.map = std::move(map);
  return desc;
}

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_ENGINE_WRITER_H
