// Kernel arguments of nibble-emu.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TOOLS_NIBBLE_EMU_ARGUMENTS_H
#define NIBBLE_TOOLS_NIBBLE_EMU_ARGUMENTS_H

#include "exec/Module.h"

#include "nibble/rt/array.h"

namespace nibble {
namespace emu {

/// The arguments of a launch, in the order of the kernel's parameters:
///
///   in=FILE.npy              a buffer with these bytes
///   out=FILE.npy:f32:4x8     a buffer of this type and shape, written after
///                            the run; poison at first
///   inout=FILE.npy,OUT.npy   both
///   u32=5, f32=0.5, s64=-1   a scalar, in the size of its parameter
///   bytes=00ff10             a value, as hexadecimal bytes
///   map=FILE.npy:f16:64x32:128:64x8:128B
///                            a tensor map over the bytes of a file: type (u8
///                            u16 f16 bf16 f32 ... u4x16a8 u4x16a16), sizes
///                            (fastest first), strides in bytes of all but the
///                            first, box, swizzle (none 32B 64B 128B); then,
///                            if wanted, steps=1x2 (element strides) and
///                            fill=nan. map=FILE.npy,OUT.npy:... writes the
///                            file's bytes after the run
///   mapout=FILE.npy:f32:8x4:f32:4x8:16:4x8:none
///                            the same over a new buffer of a type and shape,
///                            written after the run
class Arguments {
public:
  explicit Arguments(GlobalMemory &memory) : memory(memory) {}

  /// Adds one; "" or what is wrong with it.
  std::string add(const std::string &text, const Code &code);
  /// The parameters of the launch. "" or what is missing.
  std::string finish(const Code &code);
  const void *params() const { return buffer.data(); }
  /// Writes all outputs. "" or what failed.
  std::string write();

private:
  struct Output {
    std::string path;
    rt::Array array;
    const void *from;
  };
  std::string put(const Code &code, const void *data, uint64_t bytes);
  /// Buffers: from a file (and, if named, to another one), or new ones.
  std::string load(const std::string &path, const std::string &output,
                   void *&at);
  std::string create(const std::string &path, const std::string &type,
                     const std::string &shape, void *&at);
  std::string addInput(const Code &code, const std::string &path,
                       const std::string &output);
  std::string addOutput(const Code &code, const std::string &text);
  std::string addScalar(const Code &code, const std::string &type,
                        const std::string &value);
  std::string addMap(const Code &code, const std::string &text, bool creates);
  std::string addBytes(const Code &code, const std::string &hex);

  GlobalMemory &memory;
  std::vector<uint8_t> buffer;
  size_t next = 0;
  std::vector<Output> outputs;
};

/// "4,2,1" or "4x2" to a size; false if malformed.
bool parseDim3(const std::string &text, Dim3 &dim);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_TOOLS_NIBBLE_EMU_ARGUMENTS_H
