// Kernels for tests: PTX text that runs on buffers, and single instructions on
// many values. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_EMULATOR_RUNHARNESS_H
#define NIBBLE_TEST_EMULATOR_RUNHARNESS_H

#include "exec/Module.h"

#include <cstring>
#include <gtest/gtest.h>
#include <random>

namespace nibble {
namespace emu {

/// A module that is loaded, with its memory. Lines 1 to 3 are the header.
class Device {
public:
  explicit Device(const std::string &text, const char *target = "sm_90a")
      : module(memory) {
    error = module.load(std::string(".version 9.0\n.target ") + target +
                        "\n.address_size 64\n" + text);
  }

  /// "" or "line: message" of what does not load.
  std::string problem() const {
    return error ? std::to_string(error.line) + ": " + error.message : "";
  }

  template <typename T>
  T *upload(const std::vector<T> &values, const std::string &name = "") {
    void *at = memory.allocate(values.size() * sizeof(T), name);
    std::memcpy(at, values.data(), values.size() * sizeof(T));
    return static_cast<T *>(at);
  }

  /// Runs kernel `k`, all of whose parameters are 64-bit. "" or the fault.
  std::string run(Module::LaunchConfig config, std::vector<uint64_t> args) {
    EXPECT_EQ(problem(), "");
    const Module::Kernel *kernel = module.find("k");
    if (!kernel)
      return "there is no kernel k";
    args.resize(std::max<size_t>(args.size(), kernel->code.paramBytes / 8 + 1));
    config.threads = 1;
    return module.launch(*kernel, config, args.data(), counters);
  }
  std::string run(uint32_t threads, std::vector<uint64_t> args) {
    Module::LaunchConfig config;
    config.block.x = threads;
    return run(config, std::move(args));
  }

  GlobalMemory memory;
  Module module;
  Counters counters;
  ptx::Error error;
};

/// A kernel whose threads run `body`, with registers of all sizes, %i: thread
/// number in the grid of one dimension, %out: address of out[%i] (u32).
inline std::string kernelOf(const std::string &body,
                            const std::string &outside = "",
                            const std::string &inside = "") {
  return outside + "\n.entry k(.param .u64 out, .param .u64 in) {\n" + inside +
         R"(
.reg .pred %p<9>; .reg .b16 %h<9>; .reg .b32 %r<33>; .reg .b64 %d<17>;
.reg .b128 %q<5>; .reg .f32 %f<9>; .reg .u32 %i, %lane; .reg .u64 %out, %in;
mov.u32 %i, %tid.x; mov.u32 %r32, %ctaid.x; mov.u32 %r31, %ntid.x;
mad.lo.u32 %i, %r32, %r31, %i; mov.u32 %lane, %laneid;
ld.param.u64 %out, [out]; mad.wide.u32 %out, %i, 4, %out;
ld.param.u64 %in, [in];
)" + body +
         "\nret;\n}\n";
}

/// out[i] of `count` threads of a CTA after `body`.
inline std::vector<uint32_t> resultsOf(const std::string &body, uint32_t count,
                                       const std::string &inside = "",
                                       const std::string &outside = "") {
  Device device(kernelOf(body, outside, inside));
  uint32_t *out = device.upload(std::vector<uint32_t>(count, 0xDEADBEEF));
  EXPECT_EQ(device.run(count, {uint64_t(out), 0}), "");
  return std::vector<uint32_t>(out, out + count);
}

/// The fault of `count` threads that run `body` on a buffer of as many words.
inline std::string faultOf(const std::string &body, uint32_t count = 32,
                           const std::string &inside = "",
                           const std::string &outside = "") {
  Device device(kernelOf(body, outside, inside));
  uint32_t *out = device.upload(std::vector<uint32_t>(count, 0), "the output");
  return device.run(count, {uint64_t(out), uint64_t(out)});
}

/// Why `body` does not load, or "".
inline std::string refusalOf(const std::string &body) {
  return Device(kernelOf(body)).problem();
}

//===--- Single instructions ----------------------------------------------===//

template <typename T> std::string loadOf(const char *reg, int parameter) {
  std::string p = std::to_string(parameter),
              bits = std::to_string(8 * sizeof(T));
  return ".reg .b" + bits + " " + reg + ";\n.reg .u64 %at" + p +
         ";\nld.param.u64 %at" + p + ", [p" + p + "];\nmad.wide.u32 %at" + p +
         ", %i, " + std::to_string(sizeof(T)) + ", %at" + p + ";\nld.global.b" +
         bits + " " + reg + ", [%at" + p + "];\n";
}

/// Results of statements that read %a, %b, %c, %e and write %z, for each row of
/// inputs. %p<4> and %s<4> (b32) are free.
template <typename D, typename... A>
std::vector<D> evaluate(const std::string &text, const std::vector<A> &...in) {
  static const char *const kNames[] = {"%a", "%b", "%c", "%e"};
  size_t n = 0;
  ((n = in.size()), ...);
  int number = 0;
  std::string loads;
  ((loads += loadOf<A>(kNames[number], number + 1), ++number), ...);
  std::string bits = std::to_string(8 * sizeof(D)), params = ".param .u64 p0";
  for (int i = 1; i <= number; ++i)
    params += ", .param .u64 p" + std::to_string(i);
  Device device(".entry k(" + params + ") {\n.reg .u32 %i, %j, %s<4>;\n" +
                    ".reg .pred %p<4>;\n.reg .b" + bits +
                    " %z;\n.reg .u64 %to;\n" +
                    "mov.u32 %i, %ctaid.x;\nmov.u32 %j, %tid.x;\n" +
                    "mad.lo.u32 %i, %i, 32, %j;\n" + loads + text +
                    "\nld.param.u64 %to, [p0];\nmad.wide.u32 %to, %i, " +
                    std::to_string(sizeof(D)) + ", %to;\nst.global.b" + bits +
                    " [%to], %z;\nret;\n}\n",
                "sm_100a");
  size_t padded = (n + 31) / 32 * 32;
  auto pad = [&](auto values) {
    values.resize(padded);
    return values;
  };
  std::vector<uint64_t> args{uint64_t(device.upload(std::vector<D>(padded)))};
  (args.push_back(uint64_t(device.upload(pad(in)))), ...);
  Module::LaunchConfig config;
  config.grid.x = uint32_t(padded / 32);
  config.block.x = 32;
  EXPECT_EQ(device.run(config, args), "") << text;
  const D *out = reinterpret_cast<const D *>(args[0]);
  return std::vector<D>(out, out + n);
}

template <typename T> uint64_t bitsOfValue(T x) {
  uint64_t bits = 0;
  std::memcpy(&bits, &x, sizeof x);
  return bits;
}

/// All combinations of values.
template <typename A, typename B>
void cross(std::vector<A> &a, std::vector<B> &b) {
  std::vector<A> x;
  std::vector<B> y;
  for (A p : a)
    for (B q : b)
      x.push_back(p), y.push_back(q);
  a = std::move(x);
  b = std::move(y);
}

/// Compares an instruction with its definition on rows of inputs, bit by bit.
template <typename D, typename F, typename... A>
void expectRows(const std::string &text, F definition,
                const std::vector<A> &...in) {
  std::vector<D> got = evaluate<D>(text, in...);
  int failures = 0;
  for (size_t i = 0; i < got.size() && failures < 3; ++i) {
    D want = D(definition(in[i]...));
    if (bitsOfValue(got[i]) == bitsOfValue(want))
      continue;
    ++failures;
    std::string inputs;
    ((inputs += " " + ::testing::PrintToString(bitsOfValue(in[i]))), ...);
    ADD_FAILURE() << text << " of" << std::hex << inputs << ": got 0x"
                  << bitsOfValue(got[i]) << ", expected 0x"
                  << bitsOfValue(want);
  }
}
template <typename D, typename F, typename A>
void expectUnary(const std::string &text, F f, const std::vector<A> &a) {
  expectRows<D>(text, f, a);
}
template <typename D, typename F, typename A, typename B>
void expectBinary(const std::string &text, F f, std::vector<A> a,
                  std::vector<B> b) {
  cross(a, b);
  expectRows<D>(text, f, a, b);
}
template <typename D, typename F, typename A, typename B, typename C>
void expectTernary(const std::string &text, F f, const std::vector<A> &a,
                   const std::vector<B> &b, const std::vector<C> &c) {
  std::vector<A> x;
  std::vector<B> y;
  std::vector<C> z;
  for (A p : a)
    for (B q : b)
      for (C r : c)
        x.push_back(p), y.push_back(q), z.push_back(r);
  expectRows<D>(text, f, x, y, z);
}

/// Numbers where interpretations part, and random ones.
template <typename T> std::vector<T> integers(unsigned random = 8) {
  using U = std::make_unsigned_t<T>;
  constexpr unsigned bits = 8 * sizeof(T);
  std::vector<T> values{0,
                        1,
                        2,
                        3,
                        7,
                        T(-1),
                        T(-2),
                        T(U(1) << (bits - 1)),
                        T((U(1) << (bits - 1)) - 1),
                        T((U(1) << (bits - 1)) + 1),
                        T(U(1) << (bits / 2)),
                        T((U(1) << (bits / 2)) - 1)};
  std::mt19937_64 engine(bits);
  for (unsigned i = 0; i < random; ++i)
    values.push_back(T(engine() >> (engine() % bits)));
  return values;
}

inline bool has(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}
#define EXPECT_FAULT(text, part)                                               \
  do {                                                                         \
    std::string fault = text;                                                  \
    EXPECT_TRUE(has(fault, part)) << fault;                                    \
  } while (0)

} // namespace emu
} // namespace nibble

#endif // NIBBLE_TEST_EMULATOR_RUNHARNESS_H
