// Arithmetic that GPUs do otherwise than CPUs, number by number: FP8, divisions
// by a scale, math functions. PTX on the emulated driver; for Blackwell with
// the conversions that it has.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "BlackwellCodes.h"
#include "GpuRun.h"
#include "QuantizeRecipes.h"

#include "nibble/Support/GpuChip.h"
#include "nibble/Target/Gpu/GpuTarget.h"
#include "nibble/rt/formats.h"
#include "nibble/rt/recipes.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <random>

using namespace mlir;
using namespace nibble;
using namespace nibble::test;
using cpu::Lanes;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kThreads = 256; ///< of a block

#ifdef NIBBLE_TEST_CHIP
const char *const kChip = NIBBLE_TEST_CHIP;
#else
const char *const kChip = "sm_90a";
#endif
/// Lanes for which codes of 4 bits have code of their own.
const int64_t kLanesOfCodes = isBlackwell(kChip) ? 8 : 2;

float fromBits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}

/// y = f(x, s) of `lanes` numbers: `s` is that of the first one.
using Body = std::function<Value(Lanes x, Lanes scale)>;

class Pairs {
public:
  Pairs(const Body &body, StringRef from, StringRef to, int64_t lanes = 2)
      : lanes(lanes) {
    DialectRegistry registry;
    registry
        .insert<arith::ArithDialect, math::MathDialect, memref::MemRefDialect,
                scf::SCFDialect, vector::VectorDialect>();
    nibble::gpu::registerGpuTarget(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    build(body, from, to);
  }

  template <typename To, typename From>
  std::vector<To> run(std::vector<From> x, std::vector<float> s = {}) {
    size_t count = x.size();
    x.resize(llvm::alignTo(count, kThreads * lanes));
    s.resize(x.size(), 1);
    nibble::gpu::GpuKernel kernel;
    nibble::gpu::KernelLaunch launch;
    launch.symbol = "k";
    launch.grid[0] = int64_t(x.size()) / (kThreads * lanes);
    launch.block[0] = kThreads;
    for (unsigned i = 0; i < 3; ++i)
      launch.args.push_back(nibble::gpu::KernelArg::pointer(i));
    kernel.launches.push_back(launch);
    GpuRun device(ptx, kernel);
    EXPECT_EQ(device.error, "") << ptx;
    std::vector<GpuRun::Buffer> inputs{bytesOf(x), bytesOf(s)}, outputs(1);
    outputs[0].resize(x.size() * sizeof(To));
    EXPECT_EQ(device.run(inputs, outputs), "") << ptx;
    std::vector<To> result(count);
    std::memcpy(result.data(), outputs[0].data(), count * sizeof(To));
    return result;
  }

  std::string ptx;

private:
  template <typename T>
  static GpuRun::Buffer bytesOf(const std::vector<T> &list) {
    const char *data = reinterpret_cast<const char *>(list.data());
    return GpuRun::Buffer(data, data + list.size() * sizeof(T));
  }

  Type typeOf(StringRef name) {
    Builder b(&context);
    if (name == "f32")
      return b.getF32Type();
    return name == "f16" ? Type(b.getF16Type())
                         : b.getIntegerType(name == "bf16" ? 16 : 8);
  }

  void build(const Body &body, StringRef from, StringRef to) {
    ImplicitLocOpBuilder b(UnknownLoc::get(&context), &context);
    OwningOpRef<ModuleOp> module = ModuleOp::create(b.getLoc());
    b.setInsertionPointToEnd(module->getBody());
    auto target = mlir::gpu::GPUModuleOp::create(b, "kernels");
    setChip(target, kChip);
    b.setInsertionPointToEnd(target.getBody());
    auto memory = [&](Type type) { return MemRefType::get({1 << 28}, type); };
    Type types[] = {memory(typeOf(from)), memory(b.getF32Type()),
                    memory(typeOf(to))};
    auto function =
        mlir::gpu::GPUFuncOp::create(b, "k", b.getFunctionType(types, {}));
    function->setAttr(mlir::gpu::GPUDialect::getKernelFuncAttrName(),
                      b.getUnitAttr());
    b.setInsertionPointToStart(&function.getBody().front());
    Value at = mlir::gpu::BlockIdOp::create(b, mlir::gpu::Dimension::x);
    at = arith::MulIOp::create(b, at,
                               arith::ConstantIndexOp::create(b, kThreads));
    at = arith::AddIOp::create(
        b, at, mlir::gpu::ThreadIdOp::create(b, mlir::gpu::Dimension::x));
    at = arith::MulIOp::create(b, at, arith::ConstantIndexOp::create(b, lanes));
    Value x = vector::LoadOp::create(b, VectorType::get(lanes, typeOf(from)),
                                     function.getArgument(0), at);
    if (from == "f16" || from == "bf16")
      x = cpu::decodeBits(
          b, from == "f16" ? Type(b.getF16Type()) : b.getBF16Type(), x);
    Value s = memref::LoadOp::create(b, function.getArgument(1), at);
    s = vector::BroadcastOp::create(b, VectorType::get(lanes, b.getF32Type()),
                                    s);
    vector::StoreOp::create(b, body({&b, x}, {&b, s}), function.getArgument(2),
                            at);
    mlir::gpu::ReturnOp::create(b);
    nibble::gpu::GpuCodeOptions options;
    options.chip = kChip;
    auto code = nibble::gpu::emitPtx(target, options);
    if (code)
      ptx = *code;
    else
      ADD_FAILURE() << llvm::toString(code.takeError());
  }

  int64_t lanes;
  MLIRContext context{MLIRContext::Threading::DISABLED};
};

//===----------------------------------------------------------------------===//
// Numbers
//===----------------------------------------------------------------------===//

/// All numbers of f16, and of every exponent of f32 some.
std::vector<float> manyNumbers() {
  std::vector<float> list{0.0f, -0.0f, kInf, -kInf, kNan, -kNan};
  for (uint32_t code = 0; code < 65536; ++code)
    list.push_back(float(rt::decode(rt::StorageFormat::F16, code)));
  std::mt19937 random(7);
  for (uint32_t exponent = 0; exponent < 512; ++exponent)
    for (int i = 0; i < 256; ++i)
      list.push_back(fromBits((exponent << 23) | (random() & 0x7fffff)));
  return list;
}

struct Format {
  rt::StorageFormat storage;
  Type (*type)(MLIRContext *);
};
const Format kFormats[] = {
    {rt::StorageFormat::E4M3FN,
     [](MLIRContext *c) -> Type { return Float8E4M3FNType::get(c); }},
    {rt::StorageFormat::E5M2,
     [](MLIRContext *c) -> Type { return Float8E5M2Type::get(c); }}};

/// Numbers halfway between neighbours and next to them, codes themselves.
void addTies(std::vector<float> &list, rt::StorageFormat format) {
  for (uint32_t code = 0; code < 0x7f; ++code) {
    double here = rt::decode(format, code), next = rt::decode(format, code + 1);
    if (!std::isfinite(next))
      next = 2 * here - rt::decode(format, code - 1);
    for (double x : {here, (here + next) / 2})
      for (float y : {float(x), std::nextafter(float(x), kInf),
                      std::nextafter(float(x), 0.0f)})
        for (float sign : {1.0f, -1.0f})
          list.push_back(sign * y);
  }
}

bool isSameCode(rt::StorageFormat format, uint8_t a, uint8_t b) {
  return a == b || (std::isnan(rt::decode(format, a)) &&
                    std::isnan(rt::decode(format, b)));
}

//===----------------------------------------------------------------------===//
// FP8
//===----------------------------------------------------------------------===//

TEST(GpuArithmetic, ToFloat8) {
  for (const Format &format : kFormats)
    for (bool saturate : {true, false}) {
      std::vector<float> numbers = manyNumbers();
      addTies(numbers, format.storage);
      Pairs pairs(
          [&](Lanes x, Lanes) {
            return cpu::encodeBits(*x.b, format.type(x.b->getContext()), x.v,
                                   {saturate, "up"});
          },
          "f32", "i8");
      EXPECT_NE(pairs.ptx.find("cvt.rn.satfinite.e"), std::string::npos);
      auto codes = pairs.run<uint8_t>(numbers);
      for (size_t i = 0; i < numbers.size(); ++i)
        ASSERT_TRUE(isSameCode(format.storage, codes[i],
                               rt::encode(format.storage, numbers[i],
                                          saturate ? rt::Overflow::Saturate
                                                   : rt::Overflow::NonFinite)))
            << numbers[i] << ": " << int(codes[i]);
    }
}

TEST(GpuArithmetic, FromFloat8) {
  for (const Format &format : kFormats) {
    std::vector<uint8_t> codes(256);
    for (unsigned i = 0; i < 256; ++i)
      codes[i] = i;
    Pairs pairs(
        [&](Lanes x, Lanes) {
          return cpu::decodeBits(*x.b, format.type(x.b->getContext()), x.v);
        },
        "i8", "f32");
    EXPECT_NE(pairs.ptx.find("cvt.rn.f16x2.e"), std::string::npos);
    auto numbers = pairs.run<float>(codes);
    for (unsigned i = 0; i < 256; ++i) {
      float want = float(rt::decode(format.storage, i));
      EXPECT_TRUE(std::isnan(want) ? std::isnan(numbers[i])
                                   : std::memcmp(&want, &numbers[i], 4) == 0)
          << i << ": " << numbers[i];
    }
  }
}

//===----------------------------------------------------------------------===//
// Static scales
//===----------------------------------------------------------------------===//

/// Scales S and numbers X of 24 bits with X / S half an ulp from a number of 5
/// bits, but for at most 64 / 2^49 of it: with such a number's odd neighbour M
/// of 25 bits, X 2^j = S M + t, so that S = -t / M modulo 2^j.
void addHardQuotients(std::vector<float> &x, std::vector<float> &s) {
  for (int64_t b = 16; b < 32; ++b)
    for (int64_t m : {b * (1 << 20) - 1, b * (1 << 20) + 1}) {
      uint64_t inverse = 1;
      for (int i = 0; i < 6; ++i)
        inverse *= 2 - uint64_t(m) * inverse;
      for (int j : {24, 25})
        for (int64_t t = -64; t <= 64; ++t) {
          uint64_t scale = (uint64_t(-t) * inverse) & ((1ull << j) - 1);
          int64_t number = (int64_t(scale) * m + t) >> j;
          if (scale >= (1 << 23) && scale < (1 << 24) && number < (1 << 24))
            for (int64_t near : {number - 1, number, number + 1}) {
              x.push_back(float(near));
              s.push_back(float(scale));
            }
        }
    }
}

/// Numbers and scales, of all sizes that codes have, and what is no number.
std::pair<std::vector<float>, std::vector<float>> makeQuotients() {
  std::vector<float> numbers, scales;
  addHardQuotients(numbers, scales);
  EXPECT_GT(numbers.size(), 3000u);
  // Quotients of all sizes that codes have.
  std::vector<float> x, s;
  auto add = [&](float number, float scale) {
    x.insert(x.end(), {number, -number});
    s.insert(s.end(), {scale, scale});
  };
  for (size_t i = 0; i < numbers.size(); ++i)
    for (int exponent = -20; exponent < 10; ++exponent)
      add(std::ldexp(numbers[i], exponent - 60), std::ldexp(scales[i], -60));
  std::mt19937 random(3);
  for (int i = 0; i < 200000; ++i) {
    float scale =
        fromBits(((random() % 200 + 20) << 23) | (random() & 0x7fffff));
    float size = std::ldexp(1 + float(random() & 0x7fffff) / 0x1p23f,
                            int(random() % 24) - 13);
    add(scale * size, i % 5 ? scale : -scale);
  }
  // Ranges that end, and what is no number.
  for (float scale : {0.0f, -0.0f, kInf, -kInf, kNan, 0x1p-126f, 0x1.8p-127f,
                      0x1p-128f, 0x1p-60f, 1.0f, 3.0f, 0x1p100f, 0x1p127f,
                      std::numeric_limits<float>::max()})
    for (float number :
         {0.0f, 0x1p-149f, 0x1p-126f, 0x1p-100f, 1.0f, 448.0f, 0x1p100f,
          std::numeric_limits<float>::max(), kInf, kNan})
      add(number, scale);
  return {x, s};
}

TEST(GpuArithmetic, DivisionForCodes) {
  auto [x, s] = makeQuotients();
  for (const Format &format : kFormats) {
    Pairs pairs(
        [&](Lanes x, Lanes scale) {
          return cpu::staticCode(x, scale, {}, format.type(x.b->getContext()),
                                 true)
              .v;
        },
        "f32", "i8");
    auto codes = pairs.run<uint8_t>(x, s);
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_TRUE(isSameCode(format.storage, codes[i],
                             rt::encode(format.storage, x[i] / s[i])))
          << x[i] << " / " << s[i] << ": " << int(codes[i]) << ", not "
          << rt::encode(format.storage, x[i] / s[i]);
  }
}

/// Each two numbers `times` times.
void repeatPairs(std::vector<float> &list, int64_t times) {
  std::vector<float> all;
  for (size_t i = 0; i < list.size(); i += 2)
    for (int64_t j = 0; j < times; ++j)
      all.insert(all.end(), {list[i], list[i + 1]});
  list = all;
}

/// The one path without branches, and the one for scales out of range.
TEST(GpuArithmetic, Nvfp4Codes) {
  auto [x, s] = makeQuotients();
  repeatPairs(x, kLanesOfCodes / 2);
  repeatPairs(s, kLanesOfCodes / 2);
  for (auto recipe :
       {rt::Nvfp4Recipe::TrtDynamic, rt::Nvfp4Recipe::CompressedTensors}) {
    Pairs pairs([&](Lanes x,
                    Lanes scale) { return cpu::nvfp4Code(x, scale, recipe).v; },
                "f32", "i8", kLanesOfCodes);
    auto codes = pairs.run<uint8_t>(x, s);
    for (size_t i = 0; i < x.size(); ++i) {
      // A NaN has the scale NaN, hence code 0, with any other of its block.
      if (std::isnan(x[i]))
        continue;
      unsigned want =
          s[i] > 0 ? rt::encode(rt::StorageFormat::E2M1, x[i] / s[i]) : 0;
      ASSERT_EQ(codes[i], want) << x[i] << " / " << s[i];
    }
  }
}

/// Recipes with quotients or products of their own.
TEST(GpuArithmetic, Nvfp4CodesOfOtherRecipes) {
  auto [x, s] = makeQuotients();
  repeatPairs(x, kLanesOfCodes / 2);
  repeatPairs(s, kLanesOfCodes / 2);
  for (auto recipe :
       {rt::Nvfp4Recipe::ModeloptTorch, rt::Nvfp4Recipe::ModeloptOnnx,
        rt::Nvfp4Recipe::TransformerEngine, rt::Nvfp4Recipe::Torchao}) {
    Pairs pairs([&](Lanes x,
                    Lanes scale) { return cpu::nvfp4Code(x, scale, recipe).v; },
                "f32", "i8", kLanesOfCodes);
    auto codes = pairs.run<uint8_t>(x, s);
    for (size_t i = 0; i < x.size(); ++i) {
      float q = cpu::nvfp4Multiplies(recipe) ? x[i] * s[i] : x[i] / s[i];
      unsigned want = s[i] > 0 ? rt::encode(rt::StorageFormat::E2M1, q) : 0;
      if (q == 0 && recipe != rt::Nvfp4Recipe::Torchao)
        want = 0;
      ASSERT_EQ(codes[i], want) << x[i] << " by " << s[i];
    }
  }
}

/// By a sixth, then the scale of all blocks: both quotients rounded.
TEST(GpuArithmetic, Nvfp4Scales) {
  Pairs pairs(
      [](Lanes x, Lanes scale) -> Value {
        ImplicitLocOpBuilder &b = *x.b;
        auto at = [&](Lanes lanes, int64_t i) {
          return lanes.wrap(vector::ExtractOp::create(b, lanes.v, i));
        };
        SmallVector<Value> codes;
        for (int64_t i : {0, 1})
          codes.push_back(cpu::nvfp4ScaleCode(at(x, i), at(scale, 0),
                                              rt::Nvfp4Recipe::TrtDynamic)
                              .v);
        return vector::FromElementsOp::create(
            b, VectorType::get(2, b.getI8Type()), codes);
      },
      "f32", "i8");
  std::vector<float> globals{1,      0x1p-60f, 0x1.8p59f, 0x1p60f, 0x1p-61f,
                             1e-30f, 1e-40f,   0,         kInf,    kNan};
  std::mt19937 random(11);
  for (int i = 0; i < 40; ++i)
    globals.push_back(fromBits((117 + i % 20) << 23 | (random() & 0x7fffff)));
  std::vector<float> maxima, x, s;
  for (float number : manyNumbers())
    if (!std::signbit(number))
      maxima.push_back(number);
  for (float global : globals) {
    // Quotients that are ties of codes, and next to them.
    std::vector<float> ties;
    addTies(ties, rt::StorageFormat::E4M3FN);
    for (float tie : ties)
      if (tie >= 0 && std::isfinite(tie * 6 * global))
        x.push_back(tie * 6 * global);
    for (size_t i = random() % 13; i < maxima.size(); i += 13)
      x.push_back(maxima[i]);
    x.resize(llvm::alignTo(x.size(), 2));
    s.resize(x.size(), global);
  }
  auto codes = pairs.run<uint8_t>(x, s);
  for (size_t i = 0; i < x.size(); ++i)
    ASSERT_TRUE(isSameCode(
        rt::StorageFormat::E4M3FN, codes[i],
        rt::encode(rt::StorageFormat::E4M3FN, x[i] / 6.0f / s[i]) & 0x7f))
        << x[i] << " / 6 / " << s[i] << ": " << int(codes[i]);
}

/// Scales for all numbers of 16 bits: quotients of them that are the borders of
/// codes and their neighbours, others of all sizes, and those that have a path
/// of their own.
std::vector<float> makeScales(rt::StorageFormat format) {
  std::vector<float> scales{
      0.0f,           -0.0f,       kInf,      kNan,         -1.0f,
      0x1p-149f,      0x1p-126f,   0x1p-81f,  0x1p-80f,     0x1.8p-26f,
      0x1p-25f,       13100.8f,    0x1.9p13f, 65504.0f,     0x1p100f,
      0x1p127f,       0x1.8p-127f, 1.0f,      0x1.fffep-1f, 0x1.fffffep-1f,
      0x1.fffffep-9f, 0x1p-140f};
  std::mt19937 random(11);
  for (int i = 0; i < 12; ++i) {
    float x = float(rt::decode(format, random() & 0x7bff));
    for (float border : {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f})
      scales.push_back(std::nextafter(x / border, random() % 3 ? x : kInf));
    scales.push_back(
        fromBits(((random() % 40 + 105) << 23) | (random() & 0x7fffff)));
  }
  return scales;
}

/// All numbers of 16 bits, whose codes are found in pairs.
TEST(GpuArithmetic, Nvfp4CodesOfHalves) {
  for (auto [name, format] : {std::pair("f16", rt::StorageFormat::F16),
                              std::pair("bf16", rt::StorageFormat::BF16)}) {
    SCOPED_TRACE(name);
    auto code = [](Lanes x, Lanes scale) {
      return cpu::nvfp4Code(x, scale, rt::Nvfp4Recipe::TrtDynamic).v;
    };
    Pairs bytes(code, name, "i8", 16);
    std::string instruction = isBlackwell(kChip)
                                  ? "cvt.rn.satfinite.e2m1x2.f32"
                                  : std::string("set.gt.u32.") + name + "x2";
    EXPECT_NE(bytes.ptx.find(instruction), std::string::npos);
    std::vector<float> scales = makeScales(format);
    for (size_t first = 0; first < scales.size(); first += 16) {
      std::vector<uint16_t> x;
      std::vector<float> s;
      for (size_t i = first; i < std::min(first + 16, scales.size()); ++i)
        for (uint32_t bits = 0; bits < 65536; ++bits) {
          x.push_back(uint16_t(bits));
          s.push_back(scales[i]);
        }
      auto codes = bytes.run<uint8_t>(x, s);
      for (size_t i = 0; i < x.size(); ++i) {
        float number = float(rt::decode(format, x[i]));
        // As above.
        if (std::isnan(number))
          continue;
        unsigned want =
            s[i] > 0 ? rt::encode(rt::StorageFormat::E2M1, number / s[i]) : 0;
        ASSERT_EQ(codes[i], want) << number << " / " << s[i];
      }
    }
  }
}

//===----------------------------------------------------------------------===//
// Blackwell
//===----------------------------------------------------------------------===//

const float kGlobals[] = {1,        0x1p-60f, 0x1.8p59f,  0x1p60f, 0x1p-61f,
                          1e-30f,   1e-40f,   0x1p-149f,  0,       kInf,
                          kNan,     -1,       0x1.23p-7f, 3e-5f,   0.1f,
                          0x1p127f, 0x1p100f, 0x1.ap-120f};

/// All maxima of 16 bits, by a path without branches.
TEST(GpuArithmetic, Nvfp4ScalesOfHalves) {
  if (!isBlackwell(kChip))
    GTEST_SKIP() << "code for Blackwell";
  for (auto [name, format] : {std::pair("f16", rt::StorageFormat::F16),
                              std::pair("bf16", rt::StorageFormat::BF16)}) {
    SCOPED_TRACE(name);
    Pairs pairs(
        [](Lanes x, Lanes scale) -> Value {
          ImplicitLocOpBuilder &b = *x.b;
          Value halves = x.v.getDefiningOp<arith::ExtFOp>().getIn();
          Value global = vector::ExtractOp::create(b, scale.v, 0);
          SmallVector<Value> codes;
          for (int64_t i : {0, 1}) {
            Value half = vector::ExtractOp::create(b, halves, i);
            Lanes wide{&b, arith::ExtFOp::create(b, b.getF32Type(), half)};
            Lanes sixth = *cpu::sixthOfHalf(wide, wide.wrap(global));
            codes.push_back(
                (wide.wrap(cpu::encodeBits(
                     b, Float8E4M3FNType::get(b.getContext()), sixth.v)) &
                 0x7f)
                    .v);
          }
          return vector::FromElementsOp::create(
              b, VectorType::get(2, b.getI8Type()), codes);
        },
        name, "i8");
    for (float global : kGlobals) {
      std::vector<uint16_t> x;
      for (uint32_t bits = 0; bits < 32768; ++bits)
        x.push_back(uint16_t(bits));
      auto codes = pairs.run<uint8_t>(x, std::vector<float>(x.size(), global));
      for (size_t i = 0; i < x.size(); ++i) {
        float number = float(rt::decode(format, x[i]));
        ASSERT_TRUE(isSameCode(
            rt::StorageFormat::E4M3FN, codes[i],
            rt::encode(rt::StorageFormat::E4M3FN, number / 6.0f / global) &
                0x7f))
            << number << " / 6 / " << global << ": " << int(codes[i]);
      }
    }
  }
}

const std::pair<float, Type (*)(MLIRContext *)> kMxFormats[] = {
    {448, [](MLIRContext *c) -> Type { return Float8E4M3FNType::get(c); }},
    {57344, [](MLIRContext *c) -> Type { return Float8E5M2Type::get(c); }},
    {6, [](MLIRContext *c) -> Type { return Float4E2M1FNType::get(c); }}};

/// Around all powers of two times the largest number of a format.
TEST(GpuArithmetic, MxScales) {
  for (auto [largest, type] : kMxFormats) {
    std::vector<float> numbers;
    for (float x : manyNumbers())
      numbers.push_back(std::isnan(x) ? kNan : std::fabs(x));
    for (int exponent = -149; exponent < 120; ++exponent) {
      float border = std::ldexp(largest, exponent);
      for (int64_t ulps = -4; ulps <= 4; ++ulps) {
        uint32_t bits;
        std::memcpy(&bits, &border, 4);
        numbers.push_back(
            fromBits(uint32_t(std::max<int64_t>(bits + ulps, 0))));
      }
    }
    Pairs pairs(
        [type = type](Lanes x, Lanes) {
          return cpu::mxScaleCode(x, type(x.b->getContext()),
                                  rt::MxRecipe::Modelopt)
              .v;
        },
        "f32", "i8");
    auto codes = pairs.run<uint8_t>(numbers);
    for (size_t i = 0; i < numbers.size(); ++i)
      ASSERT_EQ(codes[i],
                rt::encode(rt::StorageFormat::E8M0, numbers[i] / largest))
          << numbers[i] << " / " << largest;
  }
}

/// Elements times powers of two, in words of codes; NaN is no scale.
TEST(GpuArithmetic, MxCodes) {
  std::vector<float> x, s;
  for (float factor : {1.0f, 0x1p-127f, 0x1p127f, 0x1p-9f, kNan}) {
    for (float number : manyNumbers())
      x.push_back(number);
    x.resize(llvm::alignTo(x.size(), 8));
    s.resize(x.size(), factor);
  }
  const rt::StorageFormat formats[] = {rt::StorageFormat::E4M3FN,
                                       rt::StorageFormat::E5M2,
                                       rt::StorageFormat::E2M1};
  for (size_t f = 0; f < 3; ++f) {
    Pairs pairs(
        [&](Lanes x, Lanes factor) {
          return cpu::mxCode(x, factor, kMxFormats[f].second(x.b->getContext()),
                             rt::MxRecipe::TrtDynamic)
              .v;
        },
        "f32", "i8", 8);
    auto codes = pairs.run<uint8_t>(x, s);
    for (size_t i = 0; i < x.size(); ++i) {
      uint32_t want =
          std::isnan(s[i]) ? 0 : rt::encode(formats[f], x[i] * s[i]);
      ASSERT_TRUE(codes[i] == want ||
                  (f < 2 && isSameCode(formats[f], codes[i], uint8_t(want))))
          << x[i] << " * " << s[i] << ": " << int(codes[i]) << ", not " << want;
    }
  }
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

/// Within 1e-6 of the result, where it is above 2^-126; zero below.
void expectNear(const Body &body, double (*exact)(double), const char *name) {
  SCOPED_TRACE(name);
  Pairs pairs(body, "f32", "f32");
  std::vector<float> numbers = manyNumbers();
  auto results = pairs.run<float>(numbers);
  double worst = 0;
  for (size_t i = 0; i < numbers.size(); ++i) {
    double want = exact(numbers[i]), got = results[i];
    if (std::isnan(want)) {
      ASSERT_TRUE(std::isnan(got)) << numbers[i] << ": " << got;
      continue;
    }
    // Numbers around the largest one may come out as infinity.
    if (std::fabs(want) > 0x1.ffffep127) {
      ASSERT_TRUE(std::fabs(got) > 0x1.ffff0p127 && (got > 0) == (want > 0))
          << numbers[i] << ": " << got;
      continue;
    }
    double error = std::fabs(got - want);
    if (std::fabs(want) >= 0x1.00001p-126)
      worst = std::max(worst, error / std::fabs(want));
    ASSERT_LE(error, std::max(1e-6 * std::fabs(want), 0x1.00001p-126))
        << numbers[i] << ": " << got << ", not " << want;
  }
  testing::Test::RecordProperty(name, std::to_string(worst * 1e9) + "e-9");
}

TEST(GpuArithmetic, Exp) {
  expectNear([](Lanes x, Lanes) { return math::ExpOp::create(*x.b, x.v); },
             std::exp, "exp");
}
TEST(GpuArithmetic, Exp2) {
  expectNear([](Lanes x, Lanes) { return math::Exp2Op::create(*x.b, x.v); },
             std::exp2, "exp2");
}
TEST(GpuArithmetic, Tanh) {
  expectNear([](Lanes x, Lanes) { return math::TanhOp::create(*x.b, x.v); },
             std::tanh, "tanh");
}
TEST(GpuArithmetic, Erf) {
  expectNear([](Lanes x, Lanes) { return math::ErfOp::create(*x.b, x.v); },
             std::erf, "erf");
}

/// As importers write them.
TEST(GpuArithmetic, Logistic) {
  expectNear(
      [](Lanes x, Lanes) {
        Lanes minus = x.wrap(arith::NegFOp::create(*x.b, x.v));
        Lanes e = x.wrap(math::ExpOp::create(*x.b, minus.v));
        return (1.0 / (e + 1.0)).v;
      },
      [](double x) { return 1 / (1 + std::exp(-x)); }, "logistic");
}

/// As norms have it; exact at both ends.
TEST(GpuArithmetic, InverseRoot) {
  auto body = [](Lanes x, Lanes) {
    return (1.0 / x.wrap(math::SqrtOp::create(*x.b, x.v))).v;
  };
  expectNear(body, [](double x) { return 1 / std::sqrt(x); }, "1/sqrt");
  Pairs pairs(body, "f32", "f32");
  EXPECT_EQ(pairs.ptx.find("div.rn"), std::string::npos);
  auto ends = pairs.run<float>(std::vector<float>{0, kInf, 0x1p-149f, 4});
  EXPECT_EQ(ends[0], kInf);
  EXPECT_EQ(ends[1], 0);
  EXPECT_NEAR(ends[2] / std::sqrt(0x1p149), 1, 1e-6);
  EXPECT_EQ(ends[3], 0.5f);
}

/// To the rounding of the argument, u 2^-23, where it is large.
TEST(GpuArithmetic, OnePlusTanh) {
  auto onePlusTanh = [](Lanes x) {
    return x.wrap(math::TanhOp::create(*x.b, x.v)) + 1.0;
  };
  std::vector<float> numbers = manyNumbers();
  for (bool halves : {false, true}) {
    Pairs pairs(
        [&](Lanes x, Lanes) {
          return (halves ? x * 0.5 * onePlusTanh(x * 0.75) : onePlusTanh(x)).v;
        },
        "f32", "f32");
    EXPECT_EQ(pairs.ptx.find("copysign"), std::string::npos);
    auto results = pairs.run<float>(numbers);
    for (size_t i = 0; i < numbers.size(); ++i) {
      double x = numbers[i], u = halves ? x * 0.75 : x;
      double want = 2 / (1 + std::exp(-2 * u)), got = results[i];
      if (halves)
        want *= x / 2;
      // -inf * 0, as of tanh.
      if (std::isnan(want)) {
        ASSERT_TRUE(std::isnan(got)) << x << ": " << got;
        continue;
      }
      if (std::isinf(want) || std::fabs(want) > 0x1.ffffep127) {
        ASSERT_GT(got, 0x1.ffff0p127) << x;
        continue;
      }
      double relative = 1e-6 + 0x1p-22 * std::min(std::fabs(u), 200.0);
      double least = 0x1.00001p-126 * std::max(1.0, std::fabs(x));
      ASSERT_LE(std::fabs(got - want),
                std::max(relative * std::fabs(want), least))
          << x << ": " << got << ", not " << want;
    }
  }
}

} // namespace
