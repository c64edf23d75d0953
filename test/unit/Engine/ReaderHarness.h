// Engine files in memory, whole and damaged.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_ENGINE_READERHARNESS_H
#define NIBBLE_TEST_UNIT_ENGINE_READERHARNESS_H

#include "TestEngine.h"

#include "object_api/engine_generated.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace nibble::rt;
using namespace nibble::rt::cts;

/// Engine::load of bytes, through memory of the right alignment.
class Loaded {
public:
  explicit Loaded(const std::string &bytes)
      : memory(std::aligned_alloc(64, (bytes.size() + 127) / 64 * 64)) {
    std::memcpy(memory, bytes.data(), bytes.size());
    auto result = Engine::fromMemory(memory, bytes.size(), "test.nbl");
    status = result.status();
    if (result.ok())
      engine = *result;
  }
  ~Loaded() {
    engine.reset();
    std::free(memory);
  }

  void *memory;
  Status status;
  std::shared_ptr<const Engine> engine;
};

inline EngineHeader header(const std::string &bytes) {
  EngineHeader h;
  std::memcpy(&h, bytes.data(), sizeof(h));
  return h;
}

inline void setHeader(std::string &bytes, const EngineHeader &h) {
  std::memcpy(bytes.data(), &h, sizeof(h));
}

/// Replaces the metadata and makes sizes and hashes fit, as an attacker would.
inline std::string reseal(const std::string &bytes,
                          const std::string &metadata) {
  EngineHeader h = header(bytes);
  std::string out = bytes.substr(0, kEnginePage + h.blobsSize) + metadata;
  h.metadataSize = metadata.size();
  h.metadataHash = XXH3_64bits(metadata.data(), metadata.size());
  setHeader(out, h);
  return out;
}

inline std::string metadataOf(const std::string &bytes) {
  return bytes.substr(kEnginePage + header(bytes).blobsSize);
}

/// `bytes` after `change` was applied to its metadata.
inline std::string
withMetadata(const std::string &bytes,
             const std::function<void(fb::EngineT &)> &change) {
  std::string metadata = metadataOf(bytes);
  fb::EngineT engine;
  fb::GetEngine(metadata.data())->UnPackTo(&engine);
  change(engine);
  flatbuffers::FlatBufferBuilder builder;
  fb::FinishEngineBuffer(builder, fb::CreateEngine(builder, &engine));
  return reseal(bytes, std::string(reinterpret_cast<const char *>(
                                       builder.GetBufferPointer()),
                                   builder.GetSize()));
}

#endif // NIBBLE_TEST_UNIT_ENGINE_READERHARNESS_H
