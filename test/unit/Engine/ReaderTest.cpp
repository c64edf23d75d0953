// The reader against corrupt, truncated, foreign and hostile engine files: each
// is refused with a message, or harmless; never a crash.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ReaderHarness.h"

#include <random>

namespace {

/// The bytes of a small valid engine.
const std::string &sample() {
  static const std::string bytes = [] {
    TempFile file("sample.nbl");
    EXPECT_TRUE(writeSample(file.path(), 64).ok());
    return readFile(file.path());
  }();
  return bytes;
}

/// The sample after `change` was applied to its metadata.
std::string withMetadata(const std::function<void(fb::EngineT &)> &change) {
  return ::withMetadata(sample(), change);
}

/// Whatever loads must also run on the null device, or fail politely.
void exercise(const Engine &engine, std::shared_ptr<const Engine> owner) {
  auto session = Session::create(std::move(owner), *createNullDevice());
  if (!session.ok())
    return;
  auto context = Context::create(*session);
  if (!context.ok())
    return;
  for (uint32_t e = 0; e < engine.info().entries.size(); ++e) {
    const EntryInfo &entry = engine.info().entries[e];
    bool small = true;
    for (uint32_t i = 0; i < entry.inputs.size(); ++i) {
      small &= entry.inputs[i].byteSize < (1 << 20);
      std::vector<char> zeros(small ? entry.inputs[i].byteSize : 0);
      (void)(*context)->setInput(e, i, zeros.data(), zeros.size());
    }
    (void)(*context)->run(e);
  }
}

TEST(Reader, AcceptsTheSample) {
  Loaded loaded(sample());
  ASSERT_TRUE(loaded.status.ok()) << loaded.status.str();
  const EngineInfo &info = loaded.engine->info();
  EXPECT_EQ(info.target, "cpu");
  EXPECT_EQ(info.entries.size(), 3u);
  EXPECT_EQ(info.constants.size(), 1u);
  EXPECT_EQ(info.states[0].name, "sum");
  EXPECT_EQ(info.entries[0].launches[1].layer, "scale");
  EXPECT_TRUE(loaded.engine->checkBlobs().ok());
  EXPECT_EQ(*loaded.engine->findEntry("read"), 2u);
  Status unknown = loaded.engine->findEntry("wrong").status();
  EXPECT_NE(unknown.str().find("forward, accumulate, read"), std::string::npos);
  EXPECT_FALSE(loaded.engine->findEntry("").ok()) << "three to choose from";
}

TEST(Reader, UsesConstantsInPlace) {
  Loaded loaded(sample());
  ASSERT_TRUE(loaded.engine);
  const char *data = static_cast<const char *>(loaded.engine->constantData(0));
  const char *file = static_cast<const char *>(loaded.memory);
  EXPECT_GE(data, file);
  EXPECT_LT(data, file + sample().size());
  EXPECT_EQ(reinterpret_cast<const float *>(data)[5], 5.0f);
}

struct HeaderCase {
  const char *name;
  std::function<void(EngineHeader &)> change;
  const char *message;
};

TEST(Reader, RefusesEveryCorruptHeaderField) {
  const HeaderCase cases[] = {
      {"magic", [](auto &h) { h.magic[0] = 'X'; }, "not a Nibble engine"},
      {"magic-text-mode", [](auto &h) { h.magic[4] = '\n'; }, "text mode"},
      {"version-newer", [](auto &h) { h.version = 2; }, "format version 2"},
      {"version-zero", [](auto &h) { h.version = 0; }, "format version 0"},
      {"flags", [](auto &h) { h.flags = 1; }, "flags 0x1"},
      {"target", [](auto &h) { h.target[0] = 'z'; }, "header says target"},
      {"target-control", [](auto &h) { h.target[0] = 7; },
       "header says target"},
      {"metadata-size-zero", [](auto &h) { h.metadataSize = 0; }, "nonsense"},
      {"metadata-size-larger", [](auto &h) { ++h.metadataSize; }, "truncated"},
      {"metadata-size-smaller", [](auto &h) { --h.metadataSize; },
       "longer than its header"},
      {"metadata-size-overflow", [](auto &h) { h.metadataSize = ~0ull; },
       "nonsense"},
      {"blobs-size-odd", [](auto &h) { ++h.blobsSize; }, "multiple of 4096"},
      {"blobs-size-larger", [](auto &h) { h.blobsSize += 4096; }, "truncated"},
      {"blobs-size-overflow", [](auto &h) { h.blobsSize = ~0ull << 12; },
       "nonsense"},
      {"blobs-size-zero", [](auto &h) { h.blobsSize = 0; }, "longer"},
      {"sizes-shifted",
       [](auto &h) {
         h.blobsSize -= 4096;
         h.metadataSize += 4096;
       },
       "metadata is corrupt"},
      {"metadata-hash", [](auto &h) { h.metadataHash ^= 1; }, "is corrupt"},
      {"blobs-hash", [](auto &h) { h.blobsHash ^= 1; }, "does not match"},
  };
  for (const HeaderCase &c : cases) {
    std::string bytes = sample();
    EngineHeader h = header(bytes);
    c.change(h);
    setHeader(bytes, h);
    Loaded loaded(bytes);
    ASSERT_FALSE(loaded.status.ok()) << c.name;
    EXPECT_NE(loaded.status.str().find(c.message), std::string::npos)
        << c.name << ": " << loaded.status.str();
    EXPECT_EQ(exitCode(loaded.status.code()), 4) << c.name;
  }
}

TEST(Reader, TellsHowToRebuild) {
  std::string bytes = sample();
  EngineHeader h = header(bytes);
  h.version = 7;
  setHeader(bytes, h);
  Loaded loaded(bytes);
  EXPECT_NE(loaded.status.str().find("format version 7"), std::string::npos);
  EXPECT_NE(loaded.status.str().find(
                "to rebuild it: nibble compile sample.onnx -o sample.nbl"),
            std::string::npos)
      << loaded.status.str();
}

TEST(Reader, RefusesEveryTruncation) {
  for (size_t size = 0; size < sample().size(); size += 64) {
    Loaded loaded(sample().substr(0, size));
    ASSERT_FALSE(loaded.status.ok()) << size;
    ASSERT_EQ(loaded.status.code(), Code::Malformed) << size;
  }
  Loaded longer(sample() + "x");
  EXPECT_FALSE(longer.status.ok());
}

struct MetadataCase {
  const char *name;
  std::function<void(fb::EngineT &)> change;
  const char *message;
};

fb::EntryT &entry(fb::EngineT &e) { return *e.entries[0]; }
fb::ValueT &value(fb::EngineT &e, size_t i) { return *entry(e).values[i]; }
fb::LaunchT &launch(fb::EngineT &e, size_t i) { return *entry(e).launches[i]; }

TEST(Reader, RefusesEveryInconsistentMetadataField) {
  const MetadataCase cases[] = {
      {"no-target", [](auto &e) { e.target.clear(); }, "no name"},
      {"other-target", [](auto &e) { e.target = "sm_90a"; }, "the metadata"},
      {"no-entries", [](auto &e) { e.entries.clear(); }, "no entry point"},
      {"two-entries-one-name", [](auto &e) { e.entries[1]->name = "forward"; },
       "two entry points are called 'forward'"},
      {"entry-without-name", [](auto &e) { e.entries[0]->name.clear(); },
       "entry point 0 has no name"},
      {"code-offset-beyond",
       [](auto &e) {
         e.code[0]->bytes.reset(
             new fb::Bytes(1 << 30, e.code[0]->bytes->size(), 0));
       },
       "outside of the blob section"},
      {"code-offset-misaligned",
       [](auto &e) { e.code[0]->bytes.reset(new fb::Bytes(64, 64, 0)); },
       "not a multiple of 4096"},
      {"code-size-overflow",
       [](auto &e) { e.code[0]->bytes.reset(new fb::Bytes(4096, ~0ull, 0)); },
       "outside of the blob section"},
      {"code-without-bytes", [](auto &e) { e.code[0]->bytes.reset(); },
       "has no bytes"},
      {"code-kind",
       [](auto &e) { e.code[0]->kind = static_cast<fb::CodeKind>(9); },
       "unknown kind 9"},
      {"constant-misaligned",
       [](auto &e) { e.constants[0]->bytes.reset(new fb::Bytes(4, 8, 0)); },
       "not a multiple of 64"},
      {"constant-beyond",
       [](auto &e) {
         e.constants[0]->bytes.reset(new fb::Bytes(0, 1 << 30, 0));
       },
       "outside of the blob section"},
      {"constant-moved",
       [](auto &e) {
         fb::Bytes b = *e.constants[0]->bytes;
         e.constants[0]->bytes.reset(new fb::Bytes(0, b.size(), b.hash()));
       },
       "hash of the records"},
      {"kernel-code", [](auto &e) { e.kernels[0]->code = 1; },
       "there are only 1 blobs"},
      {"kernel-symbol-empty", [](auto &e) { e.kernels[0]->symbol.clear(); },
       "wanted letters"},
      {"kernel-symbol-path", [](auto &e) { e.kernels[0]->symbol = "../evil"; },
       "wanted letters"},
      {"kernel-symbol-digit", [](auto &e) { e.kernels[0]->symbol = "1x"; },
       "wanted letters"},
      {"port-dtype", [](auto &e) { entry(e).inputs[0]->dtype = "f33"; },
       "element type 'f33'"},
      {"port-dtype-scaled",
       [](auto &e) { entry(e).inputs[0]->dtype = "!nq.scaled<f32>"; },
       "no scale"},
      {"port-negative-size", [](auto &e) { entry(e).inputs[0]->shape = {-1}; },
       "negative"},
      {"port-overflow",
       [](auto &e) { entry(e).inputs[0]->shape = {1ll << 40, 1ll << 40}; },
       "overflows"},
      {"port-bytes", [](auto &e) { entry(e).inputs[0]->byte_size = 255; },
       "needs 256 bytes, but has 255"},
      {"port-rank",
       [](auto &e) { entry(e).inputs[0]->shape = std::vector<int64_t>(17, 1); },
       "rank 17"},
      {"port-without-name", [](auto &e) { entry(e).inputs[0]->name.clear(); },
       "input 0 has no name"},
      {"ports-of-one-name",
       [](auto &e) {
         entry(e).inputs.emplace_back(new fb::PortT(*entry(e).inputs[0]));
       },
       "two inputs are called 'x'"},
      {"state-bytes", [](auto &e) { e.states[0]->byte_size = 4; },
       "needs 256 bytes"},
      {"value-bytes", [](auto &e) { value(e, 1).byte_size = 4; },
       "needs 256 bytes"},
      {"value-beyond-arena", [](auto &e) { value(e, 1).offset = 64; },
       "lie outside of the arena"},
      {"value-offset-overflow", [](auto &e) { value(e, 1).offset = ~63ull; },
       "lie outside of the arena"},
      {"value-misaligned", [](auto &e) { value(e, 1).offset = 4; },
       "not a multiple of 64"},
      {"arena-too-small", [](auto &e) { entry(e).arena_size = 100; },
       "lie outside of the arena"},
      {"arena-too-large", [](auto &e) { entry(e).arena_size = 1ull << 60; },
       "more than 64 TiB"},
      {"value-input-index", [](auto &e) { value(e, 0).index = 1; },
       "there are only 1"},
      {"value-constant-index", [](auto &e) { value(e, 2).index = 7; },
       "there are only 1"},
      {"value-output-offset", [](auto &e) { value(e, 3).offset = 64; },
       "lie outside of output 0"},
      {"value-storage",
       [](auto &e) { value(e, 0).storage = static_cast<fb::Storage>(5); },
       "unknown storage 5"},
      {"launch-kernel", [](auto &e) { launch(e, 0).kernel = 99; }, "kernel 99"},
      {"launch-arg", [](auto &e) { launch(e, 0).args[1] = 4; },
       "argument 1 is value 4"},
      {"launch-results", [](auto &e) { launch(e, 0).results = 3; },
       "3 results"},
      {"launch-writes-constant", [](auto &e) { launch(e, 0).args[1] = 2; },
       "cannot be written"},
      {"launch-writes-input", [](auto &e) { launch(e, 0).args[1] = 0; },
       "cannot be written"},
      {"launch-extent", [](auto &e) { launch(e, 0).extent = -1; }, "extent -1"},
      {"launch-grain", [](auto &e) { launch(e, 0).grain = 0; }, "grain 0"},
      {"launch-scratch", [](auto &e) { launch(e, 0).scratch_bytes = ~0ull; },
       "scratch"},
      {"launch-kind",
       [](auto &e) { launch(e, 0).kind = static_cast<fb::LaunchKind>(3); },
       "unknown kind 3"},
      {"launch-split",
       [](auto &e) { launch(e, 0).split = static_cast<fb::Split>(3); },
       "split 3"},
      {"launch-args-many", [](auto &e) { launch(e, 0).args.assign(2000, 1); },
       "2000 arguments"},
      {"output-unwritten", [](auto &e) { launch(e, 1).args[2] = 1; },
       "output 'y' is written by no launch"},
      {"copy-args", [](auto &e) { e.entries[2]->launches[0]->args = {0}; },
       "one operand and one result"},
      {"copy-sizes",
       [](auto &e) {
         e.entries[2]->values[0]->shape = {1};
         e.entries[2]->values[0]->byte_size = 4;
       },
       "different size"},
      {"features", [](auto &e) { e.cpu_features.assign(300, "avx2"); },
       "256 CPU features"},
  };
  for (const MetadataCase &c : cases) {
    Loaded loaded(withMetadata(c.change));
    ASSERT_FALSE(loaded.status.ok()) << c.name;
    EXPECT_EQ(loaded.status.code(), Code::Malformed) << c.name;
    EXPECT_NE(loaded.status.str().find(c.message), std::string::npos)
        << c.name << ": " << loaded.status.str();
    EXPECT_NE(loaded.status.str().find("nibble compile sample.onnx"),
              std::string::npos)
        << c.name << " does not say how to rebuild";
  }
}

TEST(Reader, NamesTheLayerInTheMessage) {
  Loaded loaded(withMetadata([](auto &e) { launch(e, 1).grain = -5; }));
  EXPECT_NE(loaded.status.str().find(
                "entry point 'forward': launch 1 of layer 'scale'"),
            std::string::npos)
      << loaded.status.str();
}

TEST(Reader, SurvivesBitFlipsInTheFile) {
  std::mt19937_64 random(1);
  int accepted = 0;
  for (int i = 0; i < 2000; ++i) {
    std::string bytes = sample();
    uint64_t bit = random() % (bytes.size() * 8);
    bytes[bit / 8] ^= char(1 << (bit % 8));
    Loaded loaded(bytes);
    if (!loaded.engine)
      continue;
    ++accepted;
    // Then the flip is in a blob or between blobs, and --check or the check of
    // code finds it, unless it lies in padding.
    EXPECT_GE(bit / 8, 64u);
    exercise(*loaded.engine, loaded.engine);
  }
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, 2000);
}

TEST(Reader, SurvivesBitFlipsInResealedMetadata) {
  std::mt19937_64 random(2);
  int accepted = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string metadata = metadataOf(sample());
    for (uint64_t flips = random() % 3 + 1; flips > 0; --flips) {
      uint64_t bit = random() % (metadata.size() * 8);
      metadata[bit / 8] ^= char(1 << (bit % 8));
    }
    Loaded loaded(reseal(sample(), metadata));
    if (!loaded.engine)
      continue;
    ++accepted;
    exercise(*loaded.engine, loaded.engine);
  }
  // A flip in a name or a hash is legal, most others are not.
  EXPECT_GT(accepted, 0);
}

TEST(Reader, SurvivesOverwrittenMetadata) {
  std::mt19937_64 random(3);
  const uint64_t interesting[] = {0,          1,          0x7fffffff,
                                  0x80000000, 0xffffffff, ~0ull,
                                  1ull << 62, 1ull << 63, 0xfffffff0};
  for (int i = 0; i < 4000; ++i) {
    std::string metadata = metadataOf(sample());
    for (uint64_t edits = random() % 4 + 1; edits > 0; --edits) {
      uint64_t word = interesting[random() % 9];
      size_t bytes = size_t(1) << random() % 4;
      size_t at = random() % (metadata.size() - 8) / bytes * bytes;
      std::memcpy(&metadata[at], &word, bytes);
    }
    Loaded loaded(reseal(sample(), metadata));
    if (loaded.engine)
      exercise(*loaded.engine, loaded.engine);
  }
}

TEST(Reader, SurvivesRandomMetadata) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 2000; ++i) {
    std::string metadata(random() % 400 + 1, '\0');
    for (char &c : metadata)
      c = char(random() % (i % 2 ? 256 : 24));
    if (metadata.size() > 8)
      std::memcpy(&metadata[4], "NBL1", 4);
    Loaded loaded(reseal(sample(), metadata));
    ASSERT_FALSE(loaded.status.ok()) << i;
  }
}

TEST(Reader, BoundsWorkOnSharedTables) {
  // One launch table, referenced so often that copies would fill the memory.
  std::string metadata;
  {
    flatbuffers::FlatBufferBuilder b;
    auto args = b.CreateVector(std::vector<uint32_t>(1000, 0));
    auto launch = fb::CreateLaunch(b, fb::LaunchKind::Kernel, 0, args);
    auto launches = b.CreateVector(
        std::vector<flatbuffers::Offset<fb::Launch>>(1 << 16, launch));
    auto name = b.CreateString("e");
    auto entry = fb::CreateEntry(b, name, 0, 0, 0, launches);
    auto entries = b.CreateVector(
        std::vector<flatbuffers::Offset<fb::Entry>>(1 << 12, entry));
    auto target = b.CreateString("cpu");
    fb::FinishEngineBuffer(
        b, fb::CreateEngine(b, 0, target, 0, 0, 0, 0, 0, entries));
    metadata.assign(reinterpret_cast<const char *>(b.GetBufferPointer()),
                    b.GetSize());
  }
  Loaded loaded(reseal(sample(), metadata));
  EXPECT_FALSE(loaded.status.ok());
}

TEST(Reader, RefusesFilesThatAreNoFiles) {
  EXPECT_EQ(Engine::load("/nonexistent.nbl").status().code(), Code::NotFound);
  EXPECT_EQ(Engine::load("/tmp").status().code(), Code::Malformed);
  EXPECT_EQ(Engine::load("/dev/zero").status().code(), Code::Malformed);
  TempFile empty("empty.nbl");
  writeFile(empty.path(), "");
  EXPECT_EQ(Engine::load(empty.path()).status().code(), Code::Malformed);
}

TEST(Reader, ChecksBlobsOnRequestAndCodeAlways) {
  std::string bytes = sample();
  Loaded good(bytes);
  uint64_t code = kEnginePage + good.engine->info().code[0].offset;
  uint64_t constant = kEnginePage + good.engine->info().constants[0].offset;

  std::string badConstant = bytes;
  badConstant[constant + 3] ^= 1;
  Loaded lazy(badConstant);
  ASSERT_TRUE(lazy.engine) << "constants are not read at load time";
  Status found = lazy.engine->checkBlobs();
  EXPECT_NE(found.str().find("constant 'w' is corrupt"), std::string::npos);

  std::string badCode = bytes;
  badCode[code + 100] ^= 1;
  Loaded loaded(badCode);
  ASSERT_TRUE(loaded.engine);
  auto session = Session::create(loaded.engine, *createDevice("cpu"));
  EXPECT_NE(session.status().str().find("code 'kernels' is corrupt"),
            std::string::npos)
      << session.status().str();
}

} // namespace
