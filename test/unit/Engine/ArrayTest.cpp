// .npy files and conversions to what a port wants.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/array.h"
#include "TestEngine.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

using namespace nibble::rt;

namespace {

std::string npy(const std::string &dict, const std::string &data,
                char version = 1) {
  std::string header = dict + "\n";
  std::string out = std::string("\x93NUMPY", 6) + version + '\0';
  out += char(header.size() & 255);
  out += char(header.size() >> 8);
  if (version > 1)
    out += std::string(2, '\0');
  return out + header + data;
}

std::string dict(const std::string &descr, const std::string &shape,
                 const char *fortran = "False") {
  return "{'descr': '" + descr + "', 'fortran_order': " + fortran +
         ", 'shape': " + shape + ", }";
}

Result<Array> parse(const std::string &bytes) {
  return parseNpy(reinterpret_cast<const uint8_t *>(bytes.data()), bytes.size(),
                  "test.npy");
}

Array floats(std::vector<int64_t> shape, std::vector<float> values) {
  Array a;
  a.dtype = "f32";
  a.shape = std::move(shape);
  a.data.resize(values.size() * 4);
  std::memcpy(a.data.data(), values.data(), a.data.size());
  return a;
}

TEST(Npy, RoundTripsEveryType) {
  for (const char *dtype : {"f64", "f32", "f16", "si8", "si16", "si32", "si64",
                            "ui8", "ui16", "ui32", "ui64", "i1"}) {
    Array a;
    a.dtype = dtype;
    a.shape = {2, 3};
    a.data.resize(formatBytes(parseElem(dtype), 6));
    for (size_t i = 0; i < a.data.size(); ++i)
      a.data[i] = uint8_t(i);
    auto text = formatNpy(a);
    ASSERT_TRUE(text.ok()) << dtype;
    auto back = parse(*text);
    ASSERT_TRUE(back.ok()) << back.status().str();
    EXPECT_EQ(back->dtype, dtype);
    EXPECT_EQ(back->shape, a.shape);
    EXPECT_EQ(back->data, a.data);
  }
}

TEST(Npy, WritesScalarsAndVectorsAsNumpyDoes) {
  auto scalar = formatNpy(floats({}, {1}));
  EXPECT_NE(scalar->find("'shape': (), }"), std::string::npos);
  auto vector = formatNpy(floats({1}, {1}));
  EXPECT_NE(vector->find("'shape': (1,), }"), std::string::npos);
  EXPECT_EQ((vector->size() - 4) % 64, 0u) << "data starts aligned";
}

TEST(Npy, BringsFortranOrderAndBigEndianIntoOrder) {
  auto columns = parse(npy(dict("|u1", "(2, 3)", "True"),
                           std::string("\x00\x10\x01\x11\x02\x12", 6)));
  ASSERT_TRUE(columns.ok()) << columns.status().str();
  EXPECT_EQ(columns->data, (std::vector<uint8_t>{0, 1, 2, 0x10, 0x11, 0x12}));
  auto big =
      parse(npy(dict(">u2", "(2,)"), std::string("\x01\x02\x03\x04", 4)));
  ASSERT_TRUE(big.ok());
  EXPECT_EQ(big->dtype, "ui16");
  EXPECT_EQ(big->data, (std::vector<uint8_t>{2, 1, 4, 3}));
}

TEST(Npy, ReadsVersions2And3) {
  for (char version : {2, 3})
    EXPECT_TRUE(parse(npy(dict("<f4", "(1,)"), "abcd", version)).ok());
  EXPECT_FALSE(parse(npy(dict("<f4", "(1,)"), "abcd", 4)).ok());
}

TEST(Npy, RefusesHostileHeaders) {
  const std::string bad[] = {
      "",
      "\x93NUMPY",
      "not numpy at all",
      npy(dict("<f4", "(2,)"), "abcd"),
      npy(dict("<f4", "(1,)"), "abcdefgh"),
      npy(dict("<f4", "(99999999999999999,)"), "abcd"),
      npy(dict("<f4", "(999999999999999999, 999999999999999999)"), ""),
      npy(dict("<f4", "(-1,)"), "abcd"),
      npy(dict("<f4", "(1"), "abcd"),
      npy(dict("<f4", "1"), "abcd"),
      npy(dict("<f3", "(1,)"), "abc"),
      npy(dict("<c8", "(1,)"), "abcdefgh"),
      npy(dict("|O", "(1,)"), "abcdefgh"),
      npy(dict("<U4", "(1,)"), std::string(16, 'x')),
      npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}",
          "abcd"),
      npy("{'descr': '<f4', 'shape': (1,)}", "abcd"),
      npy("{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, "
          "'shape': (1,)}",
          "abcd"),
      npy("{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,)}", "abcd"),
      npy("{'descr': '<f4", "abcd"),
      npy("", ""),
      npy("{", ""),
  };
  for (const std::string &bytes : bad) {
    auto result = parse(bytes);
    EXPECT_FALSE(result.ok()) << bytes;
    EXPECT_EQ(result.status().code(), Code::Malformed);
  }
}

TEST(Npy, SurvivesRandomEdits) {
  std::mt19937_64 random(1);
  std::string good = npy(dict("<f4", "(2, 3)"), std::string(24, 'x'));
  for (int i = 0; i < 5000; ++i) {
    std::string bytes = good;
    for (int edits = 0; edits < 3; ++edits)
      bytes[random() % bytes.size()] = char(random());
    bytes.resize(random() % 3 ? bytes.size() : random() % bytes.size());
    (void)parse(bytes);
  }
}

TEST(Array, AdaptsRawCodesAndRoundsFloats) {
  std::string note;
  std::vector<int64_t> shape = {3};
  Array codes;
  codes.dtype = "ui8";
  codes.shape = shape;
  codes.data = {1, 2, 3};
  auto fp4 = adaptArray(codes, "f4E2M1FN", shape, note);
  ASSERT_TRUE(fp4.ok());
  EXPECT_EQ(fp4->data, (std::vector<uint8_t>{0x21, 0x03}));
  EXPECT_FALSE(note.empty());
  auto fp8 = adaptArray(codes, "f8E4M3FN", shape, note);
  ASSERT_TRUE(fp8.ok());
  EXPECT_EQ(fp8->data, codes.data);

  auto bf16 = adaptArray(floats({3}, {1, 2, 3.1415926f}), "bf16", shape, note);
  ASSERT_TRUE(bf16.ok());
  EXPECT_EQ(note, "f32 rounded to bf16");
  EXPECT_EQ(decode(StorageFormat::BF16,
                   loadCode(StorageFormat::BF16, bf16->data.data(), 2)),
            3.140625);

  auto same = adaptArray(floats({3}, {1, 2, 3}), "f32", shape, note);
  EXPECT_TRUE(same.ok() && note.empty());
}

TEST(Array, RefusesOtherTypesAndShapes) {
  std::string note;
  std::vector<int64_t> shape = {3}, other = {4};
  Array a = floats({3}, {1, 2, 3});
  EXPECT_FALSE(adaptArray(a, "si32", shape, note).ok());
  EXPECT_FALSE(adaptArray(a, "f64", shape, note).ok());
  Status status = adaptArray(a, "f32", other, note).status();
  EXPECT_EQ(status.str(), "wanted f32[4], got f32[3]");
}

TEST(Array, WritesWhatItCanReadBack) {
  for (const char *dtype : {"bf16", "f8E4M3FN", "f4E2M1FN", "si4", "ui4"}) {
    Array a;
    a.dtype = dtype;
    a.shape = {5};
    a.data.resize(formatBytes(parseElem(dtype), 5));
    for (size_t i = 0; i < 5; ++i)
      storeCode(parseElem(dtype), a.data.data(), i, 3 * i);
    auto text = formatNpy(a);
    ASSERT_TRUE(text.ok());
    std::string note;
    auto back = adaptArray(*parse(*text), dtype, a.shape, note);
    ASSERT_TRUE(back.ok()) << back.status().str();
    EXPECT_EQ(back->data, a.data) << dtype;
  }
}

} // namespace
