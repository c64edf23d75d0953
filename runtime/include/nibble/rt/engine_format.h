// Layout of the engine file outside of its FlatBuffers metadata.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   0      header, 64 bytes, little endian
//   64     zeros up to 4096
//   4096   blob section, `blobsSize` bytes, a multiple of 4096: code and
//          constants in the order in which the compiler made them. Code and
//          constants of a page or more start at multiples of 4096, smaller
//          constants at multiples of 64; gaps are zeros.
//   4096 + blobsSize   metadata, `metadataSize` bytes, to the end of the file
//
// The metadata comes last so that a compiler can stream gigabytes of constants
// before it knows their number. It is a FlatBuffer of
// runtime/schema/engine.fbs.
#ifndef NIBBLE_RT_ENGINE_FORMAT_H
#define NIBBLE_RT_ENGINE_FORMAT_H

#include <cstdint>

namespace nibble {
namespace rt {

/// The header as it lies in the file. Any version of Nibble can read the first
/// 32 bytes, so that a foreign engine can be named in the error.
struct EngineHeader {
  char magic[8];         ///< kEngineMagic
  uint32_t version;      ///< kEngineVersion
  uint32_t flags;        ///< 0
  char target[16];       ///< "cpu", "sm_110a", ...; padded with zeros
  uint64_t metadataSize; ///< bytes, 1 .. 2^31-1
  uint64_t blobsSize;    ///< bytes, multiple of 4096
  uint64_t metadataHash; ///< XXH3-64 of the metadata
  /// XXH3-64 of the records (offset, size, hash as three u64) of all code, then
  /// all constants: it binds every blob without reading it.
  uint64_t blobsHash;
};
static_assert(sizeof(EngineHeader) == 64, "the header is 64 bytes");

/// The CR LF and 0x1A catch transfers in text mode.
constexpr char kEngineMagic[8] = {'N', 'B', 'L', 'E', '\r', '\n', '\x1a', '\n'};
constexpr uint32_t kEngineVersion = 1;
constexpr uint64_t kEnginePage = 4096;
/// Alignment of every value that a kernel sees.
constexpr uint64_t kValueAlignment = 64;

/// Where the bytes of a value live; numbers as in runtime/schema/engine.fbs.
enum class Storage : uint8_t { Input, Output, Arena, Constant, State };
enum class CodeKind : uint8_t { CpuObject, Ptx, Cubin };
enum class LaunchKind : uint8_t { Kernel, Copy };
enum class Split : uint8_t { Dynamic, Static };

/// Where the bytes of a parameter of a GPU kernel come from.
enum class GpuArgKind : uint8_t { Pointer, Bytes, TensorMap };

struct Dim3 {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t count() const { return uint64_t(x) * y * z; }
};

/// Limits of all targets: CUDA Programming Guide, "Compute Capabilities".
constexpr uint32_t kGpuMaxThreads = 1024, kGpuMaxCluster = 16,
                   kGpuMaxShared = 227 * 1024, kGpuMaxParamBytes = 32764;

const char *storageName(Storage storage);
const char *codeKindName(CodeKind kind);
/// Stands for a blob of code that is not there.
constexpr uint32_t kNoCode = 0xffffffff;

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_ENGINE_FORMAT_H
