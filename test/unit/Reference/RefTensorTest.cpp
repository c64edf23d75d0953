// Values: decoding, rounding, run-time storage.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Harness.h"

#include "nibble/rt/quantize.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;

static RankedTensorType parseTensor(Harness &harness, StringRef text) {
  return cast<RankedTensorType>(parseType(text, &harness.context));
}

TEST(RefTensor, HalfTiesRoundToEvenOnce) {
  Harness h("");
  auto type = parseTensor(h, "tensor<4xf16>");
  // Half way between neighbors, and just above half way by less than an f32
  // can tell: rounding through f32 would lose it.
  auto tensor = RefTensor::floats(
      type, {1 + 0x1p-11, 1 + 3 * 0x1p-11, 1 + 0x1p-11 + 0x1p-40, 65520});
  EXPECT_EQ(tensor.floatAt(0), 1);
  EXPECT_EQ(tensor.floatAt(1), 1 + 0x1p-9);
  EXPECT_EQ(tensor.floatAt(2), 1 + 0x1p-10);
  EXPECT_EQ(tensor.floatAt(3), INFINITY);
}

TEST(RefTensor, SinglesStayDouble) {
  Harness h("");
  auto tensor =
      RefTensor::floats(parseTensor(h, "tensor<1xf32>"), {1 + 0x1p-40});
  EXPECT_EQ(tensor.floatAt(0), 1 + 0x1p-40);
  std::vector<char> bytes = tensor.toStorage();
  float stored;
  std::memcpy(&stored, bytes.data(), 4);
  EXPECT_EQ(stored, 1.0f);
}

TEST(RefTensor, PlainStorageRoundTrips) {
  Harness h("");
  auto report = [&] { return emitError(UnknownLoc::get(&h.context)); };
  for (StringRef text :
       {"tensor<3x5xf64>", "tensor<3x5xf32>", "tensor<3x5xf16>",
        "tensor<3x5xbf16>", "tensor<3x5xf8E4M3FN>", "tensor<3x5xf8E5M2>",
        "tensor<3x5xf4E2M1FN>"}) {
    auto tensor = RefTensor::floats(parseTensor(h, text), randoms(15, 7, 2));
    auto back =
        RefTensor::fromStorage(tensor.getType(), tensor.toStorage(), report);
    ASSERT_TRUE(succeeded(back)) << h.errors;
    EXPECT_EQ(back->toStorage(), tensor.toStorage()) << text.str();
    if (text != "tensor<3x5xf64>" && text != "tensor<3x5xf32>")
      EXPECT_EQ(back->toFloats(), tensor.toFloats()) << text.str();
  }
  for (StringRef text : {"tensor<5xi4>", "tensor<5xi8>", "tensor<5xi16>",
                         "tensor<5xi32>", "tensor<5xi64>"}) {
    auto tensor = RefTensor::ints(parseTensor(h, text), {-8, 7, 0, -1, 3});
    auto back =
        RefTensor::fromStorage(tensor.getType(), tensor.toStorage(), report);
    ASSERT_TRUE(succeeded(back));
    EXPECT_EQ(back->toInts(), tensor.toInts()) << text.str();
  }
  auto flags = RefTensor::ints(parseTensor(h, "tensor<3xi1>"), {1, 0, 1});
  EXPECT_EQ(flags.toStorage(), (std::vector<char>{1, 0, 1}));
}

TEST(RefTensor, AttributesRoundTrip) {
  Harness h("");
  auto report = [&] { return emitError(UnknownLoc::get(&h.context)); };
  for (StringRef text :
       {"dense<[1.5, -2.0]> : tensor<2xf16>", "dense<0.1> : tensor<4xf32>",
        "dense<[true, false, true]> : tensor<3xi1>",
        "dense<true> : tensor<2xi1>", "dense<[-8, 7, 3]> : tensor<3xi4>",
        "dense<-3> : tensor<5xi64>",
        "dense<[6.0, -0.5, 1.0]> : tensor<3xf4E2M1FN>",
        "dense<> : tensor<0xf32>"}) {
    auto attr = cast<ElementsAttr>(parseAttribute(text, &h.context));
    auto tensor = RefTensor::fromAttr(attr, report);
    ASSERT_TRUE(succeeded(tensor)) << text.str() << h.errors;
    EXPECT_EQ(tensor->toAttr(), attr) << text.str();
  }
}

TEST(RefTensor, ScaledValuesAreExactProducts) {
  // 3x20 in blocks of 16: rows cross bytes and the last block is short.
  Harness h("");
  auto type = parseTensor(
      h, "tensor<3x20x!nq.scaled<f4E2M1FN, f8E4M3FN per 1x16, global f16>>");
  std::vector<char> codes(30), scales(6);
  for (size_t i = 0; i < codes.size(); ++i)
    codes[i] = static_cast<char>(i * 37);
  for (size_t i = 0; i < scales.size(); ++i)
    scales[i] = static_cast<char>(0x31 + 5 * i);
  double global = 0.0999755859375; // an f16
  auto tensor =
      RefTensor::scaled(type, {codes, scales, {}, global}, nullptr, {});
  ASSERT_TRUE(succeeded(tensor));
  std::vector<double> values = tensor->toFloats();
  for (int64_t i = 0; i < 60; ++i) {
    int code = (static_cast<uint8_t>(codes[i / 2]) >> (4 * (i % 2))) & 15;
    double scale = rt::decodeE4M3(scales[i / 20 * 2 + i % 20 / 16]);
    double effective = rt::roundTo(rt::StorageFormat::F16, scale * global);
    EXPECT_EQ(values[i], rt::decodeE2M1(code) * effective) << i;
    EXPECT_EQ(tensor->floatAt(i), values[i]);
  }
}

TEST(RefTensor, TwoDimensionalBlocksAndZeroPoints) {
  Harness h("");
  auto type =
      parseTensor(h, "tensor<5x7x!nq.scaled<ui4, f32 per 2x3, zero_point>>");
  std::vector<char> codes(18), zeros(9);
  std::vector<float> scales(9);
  for (int i = 0; i < 18; ++i)
    codes[i] = static_cast<char>(11 * i);
  for (int i = 0; i < 9; ++i)
    zeros[i] = i, scales[i] = 0.25f * (i + 1);
  ArrayRef<char> scaleBytes(reinterpret_cast<char *>(scales.data()), 36);
  auto tensor =
      RefTensor::scaled(type, {codes, scaleBytes, zeros, 1}, nullptr, {});
  ASSERT_TRUE(succeeded(tensor));
  for (int row = 0; row < 5; ++row)
    for (int column = 0; column < 7; ++column) {
      int i = row * 7 + column, block = row / 2 * 3 + column / 3;
      int code = (static_cast<uint8_t>(codes[i / 2]) >> (4 * (i % 2))) & 15;
      EXPECT_EQ(tensor->floatAt(i), (code - block) * 0.25 * (block + 1));
    }
}

TEST(RefTensor, ScaledStorageHonorsLayouts) {
  Harness h("");
  auto report = [&] { return emitError(UnknownLoc::get(&h.context)); };
  auto linear = parseTensor(h, "tensor<6x32x!nq.nvfp4>");
  auto packed = parseTensor(
      h, "tensor<6x32x!nq.nvfp4, #nq.layout<tiles [[4], [16]] order [0, 2, 1, "
         "3] scales <tiles [[4], []] order [0, 2, 1]>>>");
  std::vector<char> codes(96), scales(12);
  for (int i = 0; i < 96; ++i)
    codes[i] = static_cast<char>(i * 29 + 1);
  for (int i = 0; i < 12; ++i)
    scales[i] = static_cast<char>(0x30 + i);
  auto tensor =
      RefTensor::scaled(linear, {codes, scales, {}, 0.5}, nullptr, {});
  ASSERT_TRUE(succeeded(tensor));
  std::vector<char> bytes = tensor->toStorage(packed);
  EXPECT_NE(ArrayRef<char>(bytes).take_front(96), ArrayRef<char>(codes));
  auto back = RefTensor::fromStorage(packed, bytes, report);
  ASSERT_TRUE(succeeded(back)) << h.errors;
  EXPECT_EQ(back->toFloats(), tensor->toFloats());
}

TEST(RefTensor, ShortStorageIsAnError) {
  Harness h("");
  auto type = parseTensor(h, "tensor<6x32x!nq.nvfp4>");
  std::vector<char> bytes(100);
  auto tensor = RefTensor::fromStorage(
      type, bytes, [&] { return emitError(UnknownLoc::get(&h.context)); });
  EXPECT_TRUE(failed(tensor));
  EXPECT_NE(h.errors.find("got 100"), std::string::npos) << h.errors;
}
