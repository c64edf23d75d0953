// Weights: every spelling of data, external files, aliasing.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ModelWriter.h"

#include "../../../lib/Import/TensorLoader.h"
#include "nibble/Dialect/Quant/NqOps.h"

#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"
#include <gtest/gtest.h>

using namespace nibble;
using namespace nibble::test;

namespace {
/// Parses and loads one tensor, keeping what the result refers to alive.
struct Loader {
  mlir::MLIRContext context;
  onnx::SharedBuffer file;
  std::unique_ptr<onnx::Model> model;
  std::string error;

  mlir::ElementsAttr load(const Message &tensor, std::string folder = "") {
    Message graph = Message().message(5, tensor);
    file = onnx::SharedBuffer(llvm::MemoryBuffer::getMemBufferCopy(
        Message().message(7, graph).bytes));
    model = onnx::parseModel(file->getBuffer(), error);
    if (!model)
      return {};
    onnx::TensorLoader loader(&context, file,
                              onnx::ExternalFiles(folder, folder));
    error.clear();
    return loader.load(model->graph.initializers.front(), error);
  }
};

/// A folder that vanishes with the test.
struct Folder {
  llvm::SmallString<128> path;
  Folder() { llvm::sys::fs::createUniqueDirectory("nibble-import", path); }
  ~Folder() { llvm::sys::fs::remove_directories(path); }
  std::string operator/(llvm::StringRef name) const {
    return (path + "/" + name).str();
  }
  void write(llvm::StringRef name, llvm::StringRef bytes) const {
    std::error_code ec;
    llvm::raw_fd_ostream(*this / name, ec) << bytes;
  }
};
} // namespace

static Message header(ElemType type, const Dims &dims) {
  Message t;
  for (int64_t dim : dims)
    t.varint(1, dim);
  return t.varint(2, int(type));
}

static std::string packed(std::vector<uint64_t> values) {
  Message m;
  for (uint64_t value : values)
    m.raw(value);
  return m.bytes;
}

static std::vector<double> valuesOf(mlir::ElementsAttr attr) {
  std::vector<double> result;
  if (!attr)
    return result;
  auto dense = llvm::cast<mlir::DenseElementsAttr>(attr);
  if (llvm::isa<mlir::FloatType>(dense.getElementType()))
    for (llvm::APFloat value : dense.getValues<llvm::APFloat>()) {
      bool lossy;
      value.convert(llvm::APFloat::IEEEdouble(),
                    llvm::APFloat::rmNearestTiesToEven, &lossy);
      result.push_back(value.convertToDouble());
    }
  else
    for (llvm::APInt value : dense.getValues<llvm::APInt>())
      result.push_back(value.getSExtValue());
  return result;
}

using Values = std::vector<double>;

TEST(Tensor, TypedFieldsPackedAndUnpacked) {
  Loader l;
  Message f = header(ElemType::Float, {2}).fixed32(4, 1.5f).fixed32(4, -2);
  EXPECT_EQ(valuesOf(l.load(f)), (Values{1.5, -2}));
  Message p = header(ElemType::Float, {2})
                  .data(4, bytesOf(std::vector<float>{1.5f, -2}));
  EXPECT_EQ(valuesOf(l.load(p)), (Values{1.5, -2}));
  Message i = header(ElemType::Int64, {2}).varint(7, 7).varint(7, -1);
  EXPECT_EQ(valuesOf(l.load(i)), (Values{7, -1}));
  Message b =
      header(ElemType::Int8, {3}).data(5, packed({1, 255, uint64_t(-3)}));
  EXPECT_EQ(valuesOf(l.load(b)), (Values{1, -1, -3}));
  Message h = header(ElemType::Float16, {1}).data(5, packed({0x3c00}));
  EXPECT_EQ(valuesOf(l.load(h)), (Values{1}));
  Message n = header(ElemType::Int4, {3}).data(5, packed({0xf7, 0x02}));
  EXPECT_EQ(valuesOf(l.load(n)), (Values{7, -1, 2}));
  Message u = header(ElemType::UInt64, {1}).data(11, packed({9}));
  EXPECT_EQ(valuesOf(l.load(u)), (Values{9}));
}

TEST(Tensor, TwoBitIntegersBecomeBytes) {
  Loader l;
  EXPECT_EQ(valuesOf(l.load(tensor("w", ElemType::Int2, {5}, "\x39\x02"))),
            (Values{1, -2, -1, 0, -2}))
      << l.error;
  EXPECT_EQ(valuesOf(l.load(tensor("w", ElemType::UInt2, {5}, "\x39\x02"))),
            (Values{1, 2, 3, 0, 2}));
  Message typed = header(ElemType::Int2, {5}).data(5, packed({0x39, 0x02}));
  EXPECT_EQ(valuesOf(l.load(typed)), (Values{1, -2, -1, 0, -2}));
  EXPECT_FALSE(l.load(tensor("w", ElemType::Int2, {5}, "\x39")));
}

TEST(Tensor, NibblesComeLowFirstAndOddCountsArePadded) {
  Loader l;
  auto attr = l.load(tensor("w", ElemType::Float4E2M1, {3}, "\xc2\x01"));
  EXPECT_EQ(valuesOf(attr), (Values{1, -2, 0.5})) << l.error;
  EXPECT_FALSE(l.load(tensor("w", ElemType::Float4E2M1, {3}, "\xc2")));
}

TEST(Tensor, WrongCountsAreRefused) {
  Loader l;
  EXPECT_FALSE(l.load(tensor("w", ElemType::Float, {2}, "1234567")));
  EXPECT_NE(l.error.find("7 bytes but type float and shape need 8"),
            std::string::npos);
  EXPECT_FALSE(l.load(header(ElemType::Float, {2}).fixed32(4, 1)));
  EXPECT_FALSE(l.load(header(ElemType::Int64, {1}).data(7, packed({1, 2}))));
  EXPECT_FALSE(l.load(header(ElemType::Int64, {1}).data(7, "\x80")));
  EXPECT_FALSE(l.load(header(ElemType::Float, {-1})));
  EXPECT_FALSE(l.load(header(ElemType::Float, {1ll << 32, 1ll << 32})));
  EXPECT_FALSE(l.load(header(ElemType::String, {1})));
  EXPECT_FALSE(l.load(header(ElemType(99), {1})));
}

TEST(Tensor, DataInTwoPlacesAreRefused) {
  Loader l;
  std::string raw = bytesOf(std::vector<float>{1, 2});
  Message twice = header(ElemType::Float, {2}).data(9, raw).data(4, raw);
  EXPECT_FALSE(l.load(twice));
  EXPECT_NE(l.error.find("several fields"), std::string::npos) << l.error;
  Message entry = Message().data(1, "location").data(2, "w.bin");
  Message both = header(ElemType::Float, {2})
                     .data(9, raw)
                     .varint(14, 1)
                     .message(13, entry);
  EXPECT_FALSE(l.load(both));
  EXPECT_NE(l.error.find("both in the model and"), std::string::npos)
      << l.error;
  Message idle = header(ElemType::Float, {2}).data(9, raw).message(13, entry);
  EXPECT_FALSE(l.load(idle));
  EXPECT_NE(l.error.find("data_location is not"), std::string::npos) << l.error;
  EXPECT_FALSE(l.load(header(ElemType::Float, {2}).data(9, raw).varint(14, 2)));
}

TEST(Tensor, LargeDataAliasTheFile) {
  Loader l;
  std::string raw(8192, '\0');
  raw[5] = 1;
  auto attr = l.load(tensor("w", ElemType::UInt8, {8192}, raw));
  llvm::SmallVector<char> scratch;
  auto bytes = nq::getRawBytes(attr, scratch);
  ASSERT_TRUE(succeeded(bytes));
  EXPECT_GE(bytes->data(), l.file->getBufferStart());
  EXPECT_LE(bytes->data() + bytes->size(), l.file->getBufferEnd());
}

TEST(Tensor, DataOutliveTheFilesOwner) {
  Loader l;
  std::string raw(8192, '\2');
  raw[0] = 1;
  auto attr = l.load(tensor("w", ElemType::UInt8, {8192}, raw));
  l.model.reset();
  l.file.reset();
  llvm::SmallVector<char> scratch;
  EXPECT_EQ((*nq::getRawBytes(attr, scratch))[8191], 2);
}

TEST(Tensor, BoolsAreNormalized) {
  Loader l;
  std::string raw(8192, '\1');
  raw[7] = '\x80';
  raw[8] = 0;
  auto attr = l.load(tensor("w", ElemType::Bool, {8192}, raw));
  llvm::SmallVector<char> scratch;
  auto bytes = *nq::getRawBytes(attr, scratch);
  EXPECT_EQ(bytes[7], 1);
  EXPECT_EQ(bytes[8], 0);
}

//===----------------------------------------------------------------------===//
// External data
//===----------------------------------------------------------------------===//

static Message external(llvm::StringRef location, llvm::StringRef offset = "",
                        llvm::StringRef length = "",
                        llvm::StringRef checksum = "") {
  Message t = header(ElemType::Float, {2}).varint(14, 1);
  auto entry = [&](llvm::StringRef key, llvm::StringRef value) {
    if (!value.empty())
      t.message(13, Message().data(1, key).data(2, value));
  };
  entry("location", location);
  entry("offset", offset);
  entry("length", length);
  entry("checksum", checksum);
  return t;
}

TEST(ExternalData, OffsetLengthAndChecksum) {
  Folder folder;
  folder.write("w.bin", "pad!" + bytesOf(std::vector<float>{3, 4}));
  Loader l;
  EXPECT_EQ(
      valuesOf(l.load(external("w.bin", "4", "8"), folder.path.str().str())),
      (Values{3, 4}))
      << l.error;
  EXPECT_FALSE(l.load(external("w.bin", "4", "8", std::string(40, '0')),
                      folder.path.str().str()));
  EXPECT_NE(l.error.find("SHA1"), std::string::npos) << l.error;
}

TEST(ExternalData, HostileLocationsAreRefused) {
  Folder outside, folder;
  outside.write("secret.bin", std::string(16, 'x'));
  folder.write("w.bin", std::string(16, 'x'));
  ASSERT_FALSE(
      llvm::sys::fs::create_link(outside / "secret.bin", folder / "link.bin"));
  ASSERT_FALSE(
      llvm::sys::fs::create_hard_link(folder / "w.bin", folder / "hard.bin"));
  Loader l;
  std::string up =
      "../" + llvm::sys::path::filename(outside.path).str() + "/secret.bin";
  for (std::string location :
       {up, outside / "secret.bin", std::string("link.bin"),
        std::string("hard.bin"), std::string("a/../../x"), std::string("."),
        std::string("C:\\x"), std::string("missing.bin"), std::string()})
    EXPECT_FALSE(l.load(external(location), folder.path.str().str()))
        << location;
}

/// As written by w.bin with one more entry.
static Message withEntry(llvm::StringRef key, llvm::StringRef value) {
  return external("w.bin", "0", "8")
      .message(13, Message().data(1, key).data(2, value));
}

TEST(ExternalData, KeysAreObeyedOrRefused) {
  Folder folder;
  folder.write("w.bin", bytesOf(std::vector<float>{3, 4}));
  std::string path = folder.path.str().str();
  Loader l;
  for (const char *base : {"", "."})
    EXPECT_TRUE(l.load(withEntry("basepath", base), path)) << l.error;
  for (auto [key, value] :
       {std::pair("basepath", "/data"), std::pair("compression", "zstd"),
        std::pair("offset", "0"), std::pair("", "")}) {
    EXPECT_FALSE(l.load(withEntry(key, value), path));
    EXPECT_NE(l.error.find(std::string("key '") + key + "'"), std::string::npos)
        << l.error;
  }
}

TEST(ExternalData, RangesBeyondTheFileAreRefused) {
  Folder folder;
  folder.write("w.bin", std::string(16, 'x'));
  Loader l;
  std::string path = folder.path.str().str();
  EXPECT_TRUE(l.load(external("w.bin", "8", "8"), path)) << l.error;
  for (const char *offset : {"9", "16", "18446744073709551608", "-8", "x"})
    EXPECT_FALSE(l.load(external("w.bin", offset, "8"), path)) << offset;
  EXPECT_FALSE(l.load(external("w.bin", "0", "16"), path));
}
