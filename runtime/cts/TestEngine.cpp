// Builds small engines.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TestEngine.h"

#include "KernelPtx.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <unistd.h>

using namespace nibble::rt;
using namespace nibble::rt::cts;

TempFile::TempFile(const std::string &name) {
  const char *root = std::getenv("TMPDIR");
  std::string pattern = std::string(root ? root : "/tmp") + "/nibble-XXXXXX";
  if (!::mkdtemp(pattern.data()))
    std::abort();
  folder = pattern;
  file = folder + "/" + name;
}

TempFile::~TempFile() {
  ::unlink(file.c_str());
  ::rmdir(folder.c_str());
}

std::string cts::readFile(const std::string &path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

void cts::writeFile(const std::string &path, const std::string &bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

const std::string &cts::kernelObject() {
  static const std::string object = readFile(NIBBLE_CTS_KERNELS);
  return object;
}

std::string cts::gpuTarget() {
  const char *given = std::getenv("NIBBLE_CTS_TARGET");
  return given ? given : "sm_90a";
}

std::string cts::kernelPtx(const std::string &target) {
  std::string text(kKernelPtx);
  const std::string version = ".version 8.0", own = "sm_90a";
  if (target == own)
    return text;
  text.replace(text.find(version), version.size(), ".version 9.0");
  return text.replace(text.find(own), own.size(), target);
}

EngineBuilder::EngineBuilder(const std::string &path, const std::string &target)
    : gpu(target != "cpu") {
  if (!engine.open(path, target).ok())
    std::abort();
  if (gpu) {
    std::string ptx = kernelPtx(target);
    code =
        *engine.addCode(CodeKind::Ptx, "kernels", ptx.c_str(), ptx.size() + 1);
    return;
  }
  const std::string &object = kernelObject();
  code = *engine.addCode(CodeKind::CpuObject, "kernels", object.data(),
                         object.size());
}

uint32_t EngineBuilder::kernel(const std::string &symbol) {
  auto known = std::find(symbols.begin(), symbols.end(), symbol);
  if (known != symbols.end())
    return uint32_t(known - symbols.begin());
  symbols.push_back(symbol);
  return *engine.addKernel(symbol, code);
}

PortDesc cts::port(const std::string &name, const std::string &dtype,
                   int64_t size) {
  PortDesc desc;
  desc.name = name;
  desc.dtype = dtype;
  desc.shape = {size};
  return desc;
}

ValueDesc cts::value(const std::string &name, const std::string &dtype,
                     int64_t size, Storage storage, uint32_t index,
                     uint64_t offset) {
  ValueDesc desc;
  desc.name = name;
  desc.dtype = dtype;
  desc.shape = {size};
  desc.storage = storage;
  desc.index = index;
  desc.offset = offset;
  return desc;
}

LaunchDesc cts::launch(uint32_t kernel, std::vector<uint32_t> args,
                       int64_t extent, int64_t grain,
                       const std::string &layer) {
  LaunchDesc desc;
  desc.kernel = kernel;
  desc.args = std::move(args);
  desc.extent = extent;
  desc.grain = grain;
  desc.layer = layer;
  desc.op = "test";
  return desc;
}

LaunchDesc EngineBuilder::launch(const std::string &symbol,
                                 std::vector<uint32_t> args, int64_t extent,
                                 const std::string &layer) {
  LaunchDesc desc =
      cts::launch(kernel(symbol), std::move(args), extent, 16, layer);
  if (!gpu)
    return desc;
  desc.gpu.emplace();
  desc.gpu->block.x = 128;
  desc.gpu->grid.x = uint32_t(std::max<int64_t>(extent + 127, 128) / 128);
  for (uint32_t i = 0; i < desc.args.size(); ++i)
    desc.gpu->args.push_back(GpuArgDesc::pointer(i));
  desc.gpu->args.push_back(GpuArgDesc::scalar(uint32_t(extent)));
  return desc;
}

static EntryDesc forwardEntry(EngineBuilder &b, uint32_t weights, int64_t n) {
  EntryDesc entry;
  entry.name = "forward";
  entry.inputs = {port("x", "f32", n)};
  entry.outputs = {port("y", "f32", n)};
  entry.arenaSize = n * 4;
  entry.values = {value("x", "f32", n, Storage::Input, 0),
                  value("t", "f32", n, Storage::Arena, 0),
                  value("w", "f32", n, Storage::Constant, weights),
                  value("y", "f32", n, Storage::Output, 0)};
  entry.launches = {b.launch("add_one", {0, 1}, n, "add"),
                    b.launch("multiply", {1, 2, 3}, n, "scale")};
  return entry;
}

static EntryDesc accumulateEntry(EngineBuilder &b, int64_t n) {
  EntryDesc entry;
  entry.name = "accumulate";
  entry.inputs = {port("x", "f32", n)};
  entry.values = {value("x", "f32", n, Storage::Input, 0),
                  value("sum", "f32", n, Storage::State, 0)};
  entry.launches = {b.launch("accumulate", {0, 1}, n, "sum")};
  return entry;
}

static EntryDesc readEntry(int64_t n) {
  EntryDesc entry;
  entry.name = "read";
  entry.outputs = {port("y", "f32", n)};
  entry.values = {value("sum", "f32", n, Storage::State, 0),
                  value("y", "f32", n, Storage::Output, 0)};
  LaunchDesc copy = launch(0, {0, 1}, 0, 1, "copy");
  copy.kind = LaunchKind::Copy;
  entry.launches = {copy};
  return entry;
}

Status cts::writeSample(const std::string &path, int64_t size,
                        const std::string &target) {
  EngineBuilder b(path, target);
  std::vector<float> weights(size);
  for (int64_t i = 0; i < size; ++i)
    weights[i] = float(i);
  uint32_t w = *b.writer().addConstant("w", weights.data(), size * 4);
  b.writer().setToolVersion("nibble 0.1.0");
  b.writer().setSource(
      {"sample.onnx", "sha256:0", "nibble compile sample.onnx -o sample.nbl"});
  b.writer().setReport("{\"schema\": \"nibble.explain/1\"}");
  (void)*b.writer().addState(port("sum", "f32", size));
  (void)*b.writer().addEntry(forwardEntry(b, w, size));
  (void)*b.writer().addEntry(accumulateEntry(b, size));
  (void)*b.writer().addEntry(readEntry(size));
  return b.writer().finish();
}

static TensorMapDesc tileMap() {
  TensorMapDesc map;
  map.type = 7; // FLOAT32
  map.sizes = {tiles::kColumns, tiles::kRows};
  map.strides = {tiles::kPitch * 4};
  map.box = {16, 8};
  map.elementStrides = {1, 1};
  return map;
}

Status cts::writeTileSample(const std::string &path,
                            const std::string &target) {
  using namespace tiles;
  EngineBuilder b(path, target);
  EntryDesc entry;
  entry.name = "main";
  entry.inputs = {port("x", "f32", kRows * kPitch)};
  entry.outputs = {port("y", "f32", kOutRows * kOutPitch)};
  entry.values = {value("x", "f32", kRows * kPitch, Storage::Input, 0),
                  value("y", "f32", kOutRows * kOutPitch, Storage::Output, 0)};
  LaunchDesc desc = launch(b.kernel("tma_double"), {0, 1}, 1, 1, "double");
  desc.gpu.emplace();
  desc.gpu->grid = {kOutPitch / 16, kOutRows / 8, 1};
  desc.gpu->block.x = 128;
  desc.gpu->args = {GpuArgDesc::tensorMap(0, tileMap()), GpuArgDesc::pointer(1),
                    GpuArgDesc::scalar(kOutPitch)};
  entry.launches = {desc};
  (void)*b.writer().addEntry(entry);
  return b.writer().finish();
}
