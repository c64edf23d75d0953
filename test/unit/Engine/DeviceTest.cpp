// What the cpu device refuses to load.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TestEngine.h"

#include <gtest/gtest.h>

#include <elf.h>

#include <cstring>
#include <random>

using namespace nibble::rt;
using namespace nibble::rt::cts;

namespace {

Status load(const std::string &object) {
  auto device = *createDevice("cpu");
  return device
      ->loadModule(CodeKind::CpuObject, "kernels", object.data(), object.size())
      .status();
}

TEST(CpuCode, LoadsItsOwnKernels) {
  EXPECT_TRUE(load(kernelObject()).ok()) << load(kernelObject()).str();
}

TEST(CpuCode, TwoModulesDoNotMix) {
  auto device = *createDevice("cpu");
  const std::string &object = kernelObject();
  auto load = [&] {
    return *device->loadModule(CodeKind::CpuObject, "k", object.data(),
                               object.size());
  };
  auto a = load(), b = load();
  EXPECT_NE(*a->kernel("mark"), *b->kernel("mark"));
  EXPECT_FALSE(a->kernel("no_such_kernel").ok());
}

TEST(CpuCode, RefusesWhatIsNotAnObject) {
  EXPECT_FALSE(load("").ok());
  EXPECT_FALSE(load("not ELF").ok());
  EXPECT_FALSE(load(std::string(1000, '\0')).ok());
  for (size_t size = 0; size < kernelObject().size(); size += 64)
    EXPECT_FALSE(load(kernelObject().substr(0, size)).ok()) << size;
}

TEST(CpuCode, RefusesOtherMachinesAndKinds) {
  std::string object = kernelObject();
  reinterpret_cast<Elf64_Ehdr *>(object.data())->e_machine = EM_S390;
  EXPECT_EQ(load(object).code(), Code::Unsupported);
  object = kernelObject();
  reinterpret_cast<Elf64_Ehdr *>(object.data())->e_type = ET_EXEC;
  EXPECT_FALSE(load(object).ok());
  auto device = *createDevice("cpu");
  EXPECT_EQ(device->loadModule(CodeKind::Ptx, "p", "x", 1).status().code(),
            Code::Device);
}

TEST(CpuCode, RefusesObjectsThatNeedLibraries) {
  std::string self = readFile("/proc/self/exe");
  Status status = load(self);
  EXPECT_FALSE(status.ok());
}

TEST(CpuCode, RefusesDamagedSegments) {
  const auto *header =
      reinterpret_cast<const Elf64_Ehdr *>(kernelObject().data());
  for (int i = 0; i < header->e_phnum; ++i) {
    std::string object = kernelObject();
    auto *segment =
        reinterpret_cast<Elf64_Phdr *>(object.data() + header->e_phoff) + i;
    if (segment->p_type != PT_LOAD && segment->p_type != PT_DYNAMIC)
      continue;
    segment->p_filesz = ~0ull;
    EXPECT_FALSE(load(object).ok()) << i;
  }
}

TEST(CpuDevice, RefusesForeignTargetsAndMissingFeatures) {
  for (bool foreign : {true, false}) {
    TempFile file("x.nbl");
    EngineWriter writer;
    ASSERT_TRUE(writer.open(file.path(), foreign ? "sm_110a" : "cpu").ok());
    if (!foreign)
      writer.setCpuFeatures({"avx2", "quantum"});
    EntryDesc entry;
    entry.name = "main";
    ASSERT_TRUE(writer.addEntry(entry).ok());
    ASSERT_TRUE(writer.finish().ok());
    auto engine = *Engine::load(file.path());
    Status status = Session::create(engine, *createDevice("cpu")).status();
    EXPECT_EQ(status.code(), Code::Device);
    EXPECT_NE(status.str().find(foreign ? "sm_110a" : "quantum"),
              std::string::npos);
    EXPECT_TRUE(Session::create(engine, *createNullDevice()).ok());
  }
}

TEST(CpuDevice, RefusesSenselessThreads) {
  DeviceOptions options;
  options.threads = 100000;
  EXPECT_EQ(createDevice("cpu", options).status().code(),
            Code::InvalidArgument);
}

} // namespace
