// Engine: a mapped, fully validated engine file.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_ENGINE_H
#define NIBBLE_RT_ENGINE_H

#include "nibble/rt/engine_format.h"
#include "nibble/rt/span.h"
#include "nibble/rt/status.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {
namespace rt {

// All views below point into the mapped file and live as long as the Engine.

struct PortInfo {
  std::string_view name, dtype;
  Span<const int64_t> shape;
  uint64_t byteSize = 0;
};

struct ValueInfo {
  std::string_view name, dtype;
  Span<const int64_t> shape;
  uint64_t byteSize = 0;
  Storage storage = Storage::Arena;
  uint32_t index = 0;  ///< input, output, constant or state number
  uint64_t offset = 0; ///< from the start of that, or of the arena
};

/// A tensor map, checked as cuTensorMapEncodeTiled checks; numbers as in CUDA.
/// The tensor lies within its value.
struct TensorMapInfo {
  uint8_t type = 0, interleave = 0, swizzle = 0, l2Promotion = 0, fill = 0;
  Span<const uint64_t> sizes, strides; ///< elements; bytes, one less
  Span<const uint32_t> box, elementStrides;
};

/// A parameter of a GPU kernel.
struct GpuArgInfo {
  GpuArgKind kind = GpuArgKind::Pointer;
  uint32_t arg = 0;          ///< index into LaunchInfo::args
  uint64_t offset = 0;       ///< bytes behind that value's address
  Span<const uint8_t> bytes; ///< of GpuArgKind::Bytes
  std::shared_ptr<const TensorMapInfo> map;
  /// Bytes of the parameter.
  uint64_t size() const;
};

struct GpuLaunchInfo {
  Dim3 grid, block, cluster;
  uint32_t sharedBytes = 0;
  bool overlap = false;
  std::vector<GpuArgInfo> args;
};

struct LaunchInfo {
  LaunchKind kind = LaunchKind::Kernel;
  uint32_t kernel = 0;
  Span<const uint32_t> args; ///< indices into EntryInfo::values
  uint32_t results = 0;      ///< the last so many args are written
  int64_t extent = 0, grain = 1;
  Split split = Split::Dynamic;
  uint64_t scratchBytes = 0;
  std::string_view layer, op;
  uint64_t bytes = 0, flops = 0;
  std::shared_ptr<const GpuLaunchInfo> gpu; ///< null on the cpu
};

struct EntryInfo {
  std::string_view name;
  std::vector<PortInfo> inputs, outputs;
  std::vector<ValueInfo> values;
  std::vector<LaunchInfo> launches;
  uint64_t arenaSize = 0;
};

/// Offsets count from the start of the blob section.
struct BlobInfo {
  std::string_view name;
  CodeKind kind = CodeKind::CpuObject; ///< of code; unused for constants
  /// Of code: the blob for devices that cannot load this one, or kNoCode.
  uint32_t alternative = kNoCode;
  uint64_t offset = 0, size = 0, hash = 0;
};

struct KernelInfo {
  std::string_view symbol;
  uint32_t code = 0;
};

/// The metadata of an engine, after validation.
struct EngineInfo {
  uint32_t version = 0;
  std::string_view toolVersion, target;
  std::string_view model, modelHash, command;
  std::string_view report; ///< JSON, as the compiler wrote it; may be empty
  std::vector<BlobInfo> code, constants;
  std::vector<KernelInfo> kernels;
  std::vector<PortInfo> states;
  std::vector<EntryInfo> entries;
  /// What the CPU must have, in LLVM's spelling; empty: what the target says.
  std::vector<std::string_view> cpuFeatures;

  /// Sum over all constants.
  uint64_t constantBytes() const;
};

struct LoadOptions {
  /// Also read every blob and compare its hash (`--check`). Off by default:
  /// reading all constants would cost more than a first inference. Metadata
  /// and, before it is loaded, code are always checked.
  bool checkBlobs = false;
};

/// Immutable and thread-safe. Constants are used in place: the file is mapped
/// read-only and private and must not be changed while an engine is alive
/// (replacing it by rename, as the compiler does, is fine).
class Engine {
public:
  /// Maps and validates a file. Whatever the file contains, the outcome is an
  /// engine in which every index and range is valid, or a status that says what
  /// was wanted, what was found and, if the file still tells it, the command
  /// that makes the engine again.
  static Result<std::shared_ptr<const Engine>>
  load(const std::string &path, const LoadOptions &options = {});

  /// The same for bytes in memory, which must be 64-byte aligned and outlive
  /// the engine. `name` is used in errors.
  static Result<std::shared_ptr<const Engine>>
  fromMemory(const void *data, uint64_t size, const std::string &name,
             const LoadOptions &options = {});

  ~Engine();
  Engine(const Engine &) = delete;
  Engine &operator=(const Engine &) = delete;

  const EngineInfo &info() const;
  const std::string &path() const;
  uint64_t fileSize() const;

  const void *constantData(uint32_t index) const;
  const void *codeData(uint32_t index) const;
  /// Compares the hash of a blob of code with its bytes.
  Status checkCode(uint32_t index) const;
  /// The same for all code and constants.
  Status checkBlobs() const;

  /// The entry point `name`; an empty name means the only one. The error lists
  /// those that exist.
  Result<uint32_t> findEntry(std::string_view name) const;

private:
  Engine();
  struct Impl;
  std::unique_ptr<Impl> impl;
};

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_ENGINE_H
