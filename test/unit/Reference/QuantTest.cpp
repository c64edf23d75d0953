// Scaled tensors through nq ops.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Harness.h"

#include "nibble/rt/quantize.h"

#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;

TEST(ReferenceQuant, CastSaturatesOrNot) {
  auto run = [](const std::string &type, const std::string &attrs,
                std::vector<double> x) {
    std::string n = std::to_string(x.size());
    Harness h("func.func @main(%x: tensor<" + n + "xf32>) -> tensor<" + n +
              "x" + type + "> {\n%y = nq.cast %x " + attrs + " : tensor<" + n +
              "xf32> -> tensor<" + n + "x" + type + ">\nreturn %y : tensor<" +
              n + "x" + type + ">\n}");
    return h.floats({h.arg(0, x)});
  };
  using V = std::vector<double>;
  EXPECT_EQ(run("f8E4M3FN", "", {1000, -1000, INFINITY, 464}),
            (V{448, -448, 448, 448}));
  V open = run("f8E4M3FN", "{saturate = false}", {1000, 464, 465});
  EXPECT_TRUE(std::isnan(open[0]));
  EXPECT_EQ(open[1], 448);
  EXPECT_TRUE(std::isnan(open[2]));
  EXPECT_EQ(run("f8E5M2", "{saturate = false}", {1e6}), (V{INFINITY}));
  // Ties of E2M1 go to even.
  EXPECT_EQ(run("f4E2M1FN", "", {0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5, 9}),
            (V{0, 1, 1, 2, 2, 4, 4, 6}));
  EXPECT_EQ(run("f8E8M0FNU", "", {3, 4.1}), (V{4, 8}));
  EXPECT_EQ(run("f8E8M0FNU", "{round_mode = \"down\"}", {3, 7.9}), (V{2, 4}));
  EXPECT_EQ(run("f8E8M0FNU", "{round_mode = \"nearest\"}", {3, 2.9}),
            (V{4, 2}));
  EXPECT_EQ(run("f16", "", {65519, 65520}), (V{65504, INFINITY}));
}

TEST(ReferenceQuant, DynamicNvfp4FollowsTheRecipe) {
  for (std::string recipe : {"trt-dynamic", "modelopt-torch", "torchao"}) {
    Harness h(
        R"(
      func.func @main(%x: tensor<3x40xf16>, %g: tensor<f32>) -> (tensor<3x40xf4E2M1FN>, tensor<3x3xf8E4M3FN>, tensor<3x40xf32>) {
        %q = nq.quantize %x recipe(")" +
        recipe +
        R"(") global(%g : tensor<f32>) : tensor<3x40xf16> -> tensor<3x40x!nq.nvfp4>
        %c = nq.codes %q : tensor<3x40x!nq.nvfp4> -> tensor<3x40xf4E2M1FN>
        %s = nq.scales %q : tensor<3x40x!nq.nvfp4> -> tensor<3x3xf8E4M3FN>
        %d = nq.dequantize %q : tensor<3x40x!nq.nvfp4> -> tensor<3x40xf32>
        return %c, %s, %d : tensor<3x40xf4E2M1FN>, tensor<3x3xf8E4M3FN>, tensor<3x40xf32>
      })");
    RefTensor x = h.arg(0, randoms(120, 11, 4));
    float global = 0.01f;
    auto results = h.run({x, h.arg(1, {global})});
    ASSERT_TRUE(succeeded(results)) << h.errors;
    std::vector<float> input;
    for (double v : x.toFloats())
      input.push_back(static_cast<float>(v));
    std::vector<uint8_t> codes(40);
    for (int row = 0; row < 3; ++row)
      for (int block = 0; block < 3; ++block) {
        int count = block == 2 ? 8 : 16, at = row * 40 + block * 16;
        float scale = rt::decodeE4M3(rt::quantizeNvfp4Block(
            input.data() + at, count, global, *rt::parseNvfp4Recipe(recipe),
            codes.data()));
        EXPECT_EQ((*results)[1].floatAt(row * 3 + block), scale);
        for (int i = 0; i < count; ++i) {
          EXPECT_EQ((*results)[0].floatAt(at + i), rt::decodeE2M1(codes[i]));
          EXPECT_EQ((*results)[2].floatAt(at + i),
                    rt::decodeE2M1(codes[i]) * double(scale * global));
        }
      }
  }
}

TEST(ReferenceQuant, DynamicMxfp8FollowsTheRecipe) {
  Harness h(R"(
    func.func @main(%x: tensor<2x64xf32>) -> (tensor<2x2xi8>, tensor<2x64xf32>) {
      %q = nq.quantize %x recipe("trt-dynamic") : tensor<2x64xf32> -> tensor<2x64x!nq.mxfp8>
      %s = nq.scales %q : tensor<2x64x!nq.mxfp8> -> tensor<2x2xi8>
      %d = nq.dequantize %q : tensor<2x64x!nq.mxfp8> -> tensor<2x64xf32>
      return %s, %d : tensor<2x2xi8>, tensor<2x64xf32>
    })");
  std::vector<double> x = randoms(128, 5);
  auto results = h.run({h.arg(0, x)});
  ASSERT_TRUE(succeeded(results)) << h.errors;
  for (int block = 0; block < 4; ++block) {
    double amax = 0;
    for (int i = 0; i < 32; ++i)
      amax = std::max(amax, std::fabs(x[block * 32 + i]));
    int exponent = std::ceil(std::log2(amax / 448));
    EXPECT_EQ((*results)[0].intAt(block), exponent + 127);
    for (int i = block * 32; i < block * 32 + 32; ++i)
      EXPECT_EQ((*results)[1].floatAt(i),
                std::ldexp(rt::roundTo(rt::StorageFormat::E4M3FN,
                                       std::ldexp(x[i], -exponent)),
                           exponent));
  }
}

TEST(ReferenceQuant, StaticInt8DividesInSinglePrecision) {
  Harness h(R"(
    func.func @main(%x: tensor<2x3xf32>, %s: tensor<1x3xf32>, %z: tensor<1x3xi8>) -> (tensor<2x3xi8>, tensor<2x3xf32>) {
      %q = nq.quantize %x scale(%s : tensor<1x3xf32>) zero_point(%z : tensor<1x3xi8>)
         : tensor<2x3xf32> -> tensor<2x3x!nq.scaled<ui8, f32 per ?x1, zero_point>>
      %c = nq.codes %q : tensor<2x3x!nq.scaled<ui8, f32 per ?x1, zero_point>> -> tensor<2x3xi8>
      %d = nq.dequantize %q : tensor<2x3x!nq.scaled<ui8, f32 per ?x1, zero_point>> -> tensor<2x3xf32>
      return %c, %d : tensor<2x3xi8>, tensor<2x3xf32>
    })");
  auto results = h.run({h.arg(0, {0.5, 1.5, 100, -1, 2.5, -300}),
                        h.arg(1, {1, 1, 1}), h.argInts(2, {-128, 10, 0})});
  ASSERT_TRUE(succeeded(results)) << h.errors;
  // Ties to even before the zero point is added; codes are unsigned.
  EXPECT_EQ((*results)[0].toInts(),
            (std::vector<int64_t>{-128, 12, 100, 127, 12, 0}));
  EXPECT_EQ((*results)[1].toFloats(),
            (std::vector<double>{0, 2, 100, -1, 2, 0}));
}

TEST(ReferenceQuant, AssembleBindsCodesToScales) {
  Harness h(R"(
    func.func @main(%c: tensor<4x2xi4>, %s: tensor<2x2xf16>) -> (tensor<4x2xf16>, tensor<4x2xi4>) {
      %q = nq.assemble %c scales(%s : tensor<2x2xf16>) : tensor<4x2xi4> -> tensor<4x2x!nq.scaled<si4, f16 per 2x1>>
      %d = nq.dequantize %q : tensor<4x2x!nq.scaled<si4, f16 per 2x1>> -> tensor<4x2xf16>
      %k = nq.codes %q : tensor<4x2x!nq.scaled<si4, f16 per 2x1>> -> tensor<4x2xi4>
      return %d, %k : tensor<4x2xf16>, tensor<4x2xi4>
    })");
  std::vector<int64_t> codes = {-8, 7, 1, 2, 3, -1, 0, 5};
  auto results = h.run({h.argInts(0, codes), h.arg(1, {1, 2, 0.5, 4})});
  ASSERT_TRUE(succeeded(results)) << h.errors;
  EXPECT_EQ((*results)[0].toFloats(),
            (std::vector<double>{-8, 14, 1, 4, 1.5, -4, 0, 20}));
  EXPECT_EQ((*results)[1].toInts(), codes);
}

TEST(ReferenceQuant, ConstantsReadTheirBytes) {
  Harness h(R"(
    func.func @main() -> tensor<2x16xf32> {
      %w = nq.constant codes(dense<[33, 67, 101, 71, 0, 0, 0, 0, -120, 0, 0, 0, 0, 0, 0, 127]> : tensor<16xi8>)
             scales(dense<[56, 64]> : tensor<2xi8>) global(dense<0.5> : tensor<f32>) : tensor<2x16x!nq.nvfp4>
      %d = nq.dequantize %w : tensor<2x16x!nq.nvfp4> -> tensor<2x16xf32>
      return %d : tensor<2x16xf32>
    })");
  std::vector<double> values = h.floats();
  ASSERT_EQ(values.size(), 32u);
  // Scales 1 and 2, times 0.5. Low nibble first.
  std::vector<double> first = {0.25, 0.5, 0.75, 1, 1.5, 2, 3, 1};
  for (int i = 0; i < 8; ++i)
    EXPECT_EQ(values[i], first[i]) << i;
  EXPECT_TRUE(values[16] == 0 && std::signbit(values[16]));
  EXPECT_EQ(values[30], -6);
  EXPECT_EQ(values[31], 6);
}

TEST(ReferenceQuant, UnknownRecipeListsThem) {
  Harness h(R"(
    func.func @main(%x: tensor<1x16xf32>) -> tensor<1x16x!nq.mxfp8> {
      %q = nq.quantize %x recipe("guess") : tensor<1x16xf32> -> tensor<1x16x!nq.mxfp8>
      return %q : tensor<1x16x!nq.mxfp8>
    })");
  EXPECT_TRUE(failed(h.run({h.arg(0, std::vector<double>(16, 1))})));
  EXPECT_NE(h.errors.find("'guess'"), std::string::npos) << h.errors;
  EXPECT_NE(h.errors.find("trt-dynamic"), std::string::npos) << h.errors;
}

/// Each move of a scaled tensor, dequantized, is the move of the dequantized.
TEST(ReferenceQuant, MovesOfScaledTensors) {
  auto same = [](const std::string &from, const std::string &to,
                 std::string move) {
    auto tensor = [](const std::string &shape, const std::string &element) {
      return "tensor<" + shape + "x" + element + ">";
    };
    auto apply = [&](const std::string &element, const std::string &in,
                     const std::string &out) {
      std::string text = move;
      for (auto [key, value] :
           {std::pair<std::string, std::string>{"IN", tensor(from, element)},
            {"OUT", tensor(to, element)},
            {"%in", in},
            {"%out", out},
            {"%init", out + "_init"}})
        for (size_t at; (at = text.find(key)) != std::string::npos;)
          text.replace(at, key.size(), value);
      return text + "\n";
    };
    std::string q = "!nq.nvfp4";
    Harness h("func.func @main(%x: " + tensor(from, "f32") +
              ", %g: tensor<f32>) -> (" + tensor(to, "f32") + ", " +
              tensor(to, "f32") +
              ") {\n%q = nq.quantize %x "
              "recipe(\"trt-dynamic\") global(%g : tensor<f32>) : " +
              tensor(from, "f32") + " -> " + tensor(from, q) +
              "\n%d = nq.dequantize %q : " + tensor(from, q) + " -> " +
              tensor(from, "f32") + "\n" + apply("f32", "%d", "%e") +
              apply(q, "%q", "%m") +
              "%f = nq.dequantize %m : " + tensor(to, q) + " -> " +
              tensor(to, "f32") + "\nreturn %e, %f : " + tensor(to, "f32") +
              ", " + tensor(to, "f32") + "\n}");
    auto x = h.arg(0, randoms(h.argType(0).getNumElements(), 3, 4));
    auto results = h.run({x, h.arg(1, {0.01})});
    ASSERT_TRUE(succeeded(results)) << h.errors;
    EXPECT_EQ((*results)[0].toFloats(), (*results)[1].toFloats()) << move;
  };
  same("2x3x40", "3x2x40",
       "%init = tensor.empty() : OUT\n%out = linalg.transpose ins(%in : IN) "
       "outs(%init : OUT) permutation = [1, 0, 2]");
  same("3x32", "2x3x32",
       "%init = tensor.empty() : OUT\n%out = linalg.broadcast ins(%in : IN) "
       "outs(%init : OUT) dimensions = [0]");
  same("2x3x32", "6x32",
       "%out = tensor.collapse_shape %in [[0, 1], [2]] : IN into OUT");
  same("6x33", "2x3x33",
       "%out = tensor.expand_shape %in [[0, 1], [2]] output_shape [2, 3, 33] : "
       "IN into OUT");
  same("5x40", "2x23",
       "%out = tensor.extract_slice %in[1, 16] [2, 23] [2, 1] : IN to OUT");
  same("2x3x16", "3x16",
       "%out = tensor.extract_slice %in[1, 0, 0] [1, 3, 16] [1, 1, 1] : IN to "
       "OUT");
  same("3x16", "3x32",
       "%out = tensor.concat dim(1) %in, %in : (IN, IN) -> OUT");
}

TEST(ReferenceQuant, MovesDoNotMixScales) {
  // The second slice begins inside of a block; the parts differ in scale.
  Harness slice(R"(
    func.func @main(%c: tensor<1x32xf4E2M1FN>, %s: tensor<1x2xf32>) -> tensor<1x16x!nq.scaled<f4E2M1FN, f32 per 1x16>> {
      %q = nq.assemble %c scales(%s : tensor<1x2xf32>) : tensor<1x32xf4E2M1FN> -> tensor<1x32x!nq.scaled<f4E2M1FN, f32 per 1x16>>
      %r = tensor.extract_slice %q[0, 8] [1, 16] [1, 1] : tensor<1x32x!nq.scaled<f4E2M1FN, f32 per 1x16>> to tensor<1x16x!nq.scaled<f4E2M1FN, f32 per 1x16>>
      return %r : tensor<1x16x!nq.scaled<f4E2M1FN, f32 per 1x16>>
    })");
  std::vector<double> codes(32, 1);
  EXPECT_TRUE(failed(slice.run({slice.arg(0, codes), slice.arg(1, {1, 2})})));
  EXPECT_NE(slice.errors.find("different scales"), std::string::npos)
      << slice.errors;
  EXPECT_TRUE(
      succeeded(slice.run({slice.arg(0, codes), slice.arg(1, {2, 2})})));

  Harness concat(R"(
    func.func @main(%c: tensor<4xf8E4M3FN>, %s: tensor<f32>, %t: tensor<f32>) -> tensor<8x!nq.fp8> {
      %q = nq.assemble %c scales(%s : tensor<f32>) : tensor<4xf8E4M3FN> -> tensor<4x!nq.fp8>
      %p = nq.assemble %c scales(%t : tensor<f32>) : tensor<4xf8E4M3FN> -> tensor<4x!nq.fp8>
      %r = tensor.concat dim(0) %q, %p : (tensor<4x!nq.fp8>, tensor<4x!nq.fp8>) -> tensor<8x!nq.fp8>
      return %r : tensor<8x!nq.fp8>
    })");
  RefTensor x = concat.arg(0, {1, 2, 3, 4});
  EXPECT_TRUE(
      failed(concat.run({x, concat.arg(1, {0.5}), concat.arg(2, {0.25})})));
  EXPECT_TRUE(
      succeeded(concat.run({x, concat.arg(1, {0.5}), concat.arg(2, {0.5})})));
}
