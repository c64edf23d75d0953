// Kernels around one matrix instruction: registers and shared memory in and
// out. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_EMULATOR_MATRIXHARNESS_H
#define NIBBLE_TEST_EMULATOR_MATRIXHARNESS_H

#include "exec/Module.h"
#include "isa/Numbers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

namespace nibble {
namespace emu {

/// Runs `body` in one CTA. Each thread finds its input words in %i0, %i1, ...,
/// the arguments in %x and %y (64 bits), tid.x in %tid_, %s is the shared
/// address of the image; what it leaves in %o0, %o1, ... comes out, and so does
/// the image. `outputs` registers begin as 0xdeadbeef.
struct MatrixKernel {
  std::string target = "sm_90a";
  std::string body;
  unsigned threads = 32;
  unsigned inputs = 0, outputs = 0;
  std::vector<uint32_t> in;   ///< [register][thread]
  std::vector<uint32_t> out;  ///< the same
  std::vector<uint8_t> image; ///< of shared memory; a multiple of 16 bytes
  uint64_t x = 0, y = 0;
  uint64_t seed = 1;
  Checks checks;
  bool hopperSums = false;

  uint32_t &input(unsigned r, unsigned thread) {
    in.resize(size_t(inputs) * threads);
    return in[size_t(r) * threads + thread];
  }
  uint32_t output(unsigned r, unsigned thread) const {
    return out[size_t(r) * threads + thread];
  }

  std::string text() const {
    std::string s = ".version 9.0\n.target " + target +
                    "\n.address_size 64\n"
                    ".extern .shared .align 1024 .b8 memory[];\n"
                    ".visible .entry k(.param .u64 pin, .param .u64 pout,\n"
                    "  .param .u64 pimage, .param .u64 px, .param .u64 py) {\n"
                    ".reg .b32 %r<8>, %s, %tid_, %a;\n.reg .pred %p<4>;\n"
                    ".reg .b64 %rd<8>, %x, %y, %g;\n";
    s += ".reg .b32 %i<" + std::to_string(inputs + 1) + ">;\n.reg .b32 %o<" +
         std::to_string(outputs + 1) + ">;\n";
    s += "mov.u32 %tid_, %tid.x;\nmov.u32 %s, memory;\n"
         "ld.param.u64 %x, [px];\nld.param.u64 %y, [py];\n"
         "ld.param.u64 %rd0, [pin];\nld.param.u64 %rd1, [pout];\n"
         "ld.param.u64 %rd2, [pimage];\n"
         "mul.wide.u32 %rd3, %tid_, 4;\nadd.s64 %rd0, %rd0, %rd3;\n"
         "add.s64 %rd1, %rd1, %rd3;\n";
    for (unsigned r = 0; r < inputs; ++r)
      s += "ld.global.b32 %i" + std::to_string(r) + ", [%rd0+" +
           std::to_string(4 * r * threads) + "];\n";
    for (unsigned r = 0; r < outputs; ++r)
      s += "mov.b32 %o" + std::to_string(r) + ", 0xdeadbeef;\n";
    s += copy("IN", "ld.global.v4.b32 {%r4, %r5, %r6, %r7}, [%g];\n"
                    "st.shared.v4.b32 [%r3], {%r4, %r5, %r6, %r7};\n");
    s += "fence.proxy.async;\nbar.sync 0;\n" + body;
    s += copy("OUT", "ld.shared.v4.b32 {%r4, %r5, %r6, %r7}, [%r3];\n"
                     "st.global.v4.b32 [%g], {%r4, %r5, %r6, %r7};\n");
    for (unsigned r = 0; r < outputs; ++r)
      s += "st.global.b32 [%rd1+" + std::to_string(4 * r * threads) + "], %o" +
           std::to_string(r) + ";\n";
    return s + "ret;\n}\n";
  }

  /// "" or what is wrong.
  std::string run() {
    in.resize(size_t(inputs) * threads);
    out.assign(size_t(outputs) * threads + 1, 0);
    GlobalMemory memory;
    Module module(memory);
    if (ptx::Error error = module.load(text()))
      return error.message;
    void *buffers[3] = {memory.allocate(in.size() * 4 + 4),
                        memory.allocate(out.size() * 4),
                        memory.allocate(image.size() + 16)};
    auto *shared = static_cast<uint8_t *>(buffers[2]);
    std::copy(in.begin(), in.end(), static_cast<uint32_t *>(buffers[0]));
    std::copy(image.begin(), image.end(), shared);
    uint64_t params[5] = {uint64_t(buffers[0]), uint64_t(buffers[1]),
                          uint64_t(buffers[2]), x, y};
    Module::LaunchConfig config;
    config.block.x = threads;
    config.dynamicShared = uint32_t(image.size());
    config.threads = 1;
    config.seed = seed;
    config.checks = checks;
    config.hopperSums = hopperSums;
    Counters counters;
    std::string fault =
        module.launch(*module.find("k"), config, params, counters);
    std::memcpy(out.data(), buffers[1], out.size() * 4);
    std::copy(shared, shared + image.size(), image.begin());
    return fault;
  }

private:
  /// A loop over the image, 16 bytes a thread.
  std::string copy(const std::string &name, const std::string &move) const {
    std::string step = std::to_string(16 * threads);
    return "bar.sync 0;\nshl.b32 %r0, %tid_, 4;\n" + name +
           ":\nsetp.ge.u32 %p0, %r0, " + std::to_string(image.size()) +
           ";\n@%p0 bra " + name +
           "_END;\nadd.u32 %r3, %s, %r0;\n"
           "cvt.u64.u32 %g, %r0;\nadd.s64 %g, %g, %rd2;\n" +
           move + "add.u32 %r0, %r0, " + step + ";\nbra " + name + ";\n" +
           name + "_END:\nbar.sync 0;\n";
  }
};

/// "%o4, %o5, ..." in braces.
inline std::string registerNames(const char *name, unsigned first,
                                 unsigned count) {
  std::string s = "{";
  for (unsigned r = 0; r < count; ++r)
    s += (r ? ", %" : "%") + (name + std::to_string(first + r));
  return s + "}";
}

} // namespace emu
} // namespace nibble

#endif // NIBBLE_TEST_EMULATOR_MATRIXHARNESS_H
