// A PTX module that is loaded.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Module.h"

#include "isa/Targets.h"

#include <algorithm>
#include <cstring>
#include <thread>

using namespace nibble::emu;

Module::~Module() {
  for (auto &[name, where] : placed)
    memory.release(reinterpret_cast<void *>(where.address));
}

static ptx::Error fail(const ptx::Variable &v, const std::string &message) {
  return {std::max(v.line, 1u),
          "variable '" + std::string(v.name) + "': " + message};
}

ptx::Error Module::place(const ptx::Variable &v) {
  if (v.space == ptx::Space::Shared) {
    if (v.unsized || v.isExtern) {
      shared[v.name] = kExternShared;
      return {};
    }
    int64_t align = std::max<int64_t>(v.align, ptx::bitsOf(v.type) / 8);
    sharedBytes = (sharedBytes + align - 1) / align * align;
    shared[v.name] = sharedBytes;
    sharedBytes += int64_t(v.byteSize());
    return {};
  }
  if (v.space != ptx::Space::Global && v.space != ptx::Space::Const)
    return {};
  if (v.isExtern)
    return fail(v, "is extern; modules are not linked");
  void *at =
      memory.allocate(v.byteSize(), "variable '" + std::string(v.name) + "'");
  if (!at)
    return fail(v, "no memory for " + std::to_string(v.byteSize()) + " bytes");
  std::memset(at, 0, v.byteSize());
  if (v.space == ptx::Space::Const) // kernels only read it
    memory.add(at, v.byteSize(), false,
               "constant '" + std::string(v.name) + "'");
  placed[v.name] = {uint64_t(at), v.byteSize()};
  return {};
}

ptx::Error Module::initialize(const ptx::Variable &v) {
  auto found = placed.find(v.name);
  if (found == placed.end())
    return {};
  auto *at = reinterpret_cast<uint8_t *>(found->second.address);
  if (v.bytes.size() > found->second.bytes)
    return fail(v, "has more initial values than elements");
  std::copy(v.bytes.begin(), v.bytes.end(), at);
  for (const ptx::Variable::Reference &reference : v.references) {
    uint64_t address = addressOf(reference.symbol);
    if (!address)
      return fail(v, "holds the address of '" + std::string(reference.symbol) +
                         "', which has none here");
    address += uint64_t(reference.offset);
    if (reference.at + reference.size > found->second.bytes)
      return fail(v, "an address lies outside of it");
    std::memcpy(at + reference.at, &address, std::min(reference.size, 8u));
  }
  return {};
}

ptx::Error Module::load(std::string text) {
  if (ptx::Error error = ptx::parse(std::move(text), source))
    return error;
  for (const ptx::Variable &v : source.variables)
    if (ptx::Error error = place(v))
      return error;
  for (const ptx::Function &f : source.functions)
    for (const ptx::Variable &v : f.variables)
      if (v.space == ptx::Space::Global || v.space == ptx::Space::Const)
        if (ptx::Error error = place(v))
          return error;
  for (const ptx::Variable &v : source.variables)
    if (ptx::Error error = initialize(v))
      return error;
  for (const ptx::Function &f : source.functions) {
    if (!f.isEntry || !f.hasBody)
      continue;
    auto kernel = std::make_unique<Kernel>();
    Decoder decoder(source, *this);
    if (ptx::Error error = decoder.decode(f, kernel->code, kernel->specials))
      return error;
    kernels[std::string(f.name)] = std::move(kernel);
  }
  return {};
}

const Module::Kernel *Module::find(std::string_view name) const {
  auto found = kernels.find(name);
  return found == kernels.end() ? nullptr : found->second.get();
}

std::vector<std::string> Module::kernelNames() const {
  std::vector<std::string> names;
  for (auto &[name, kernel] : kernels)
    names.push_back(name);
  return names;
}

bool Module::variable(std::string_view name, uint64_t &address,
                      uint64_t &bytes) const {
  auto found = placed.find(name);
  if (found == placed.end())
    return false;
  address = found->second.address;
  bytes = found->second.bytes;
  return true;
}

uint64_t Module::addressOf(std::string_view name) const {
  if (auto found = placed.find(name); found != placed.end())
    return found->second.address;
  int64_t number = functionOf(name);
  return number < 0 || source.functions[size_t(number)].isEntry
             ? 0
             : codeAddress(number);
}

int64_t Module::sharedOffsetOf(std::string_view name) const {
  auto found = shared.find(name);
  return found == shared.end() ? -1 : found->second;
}

int64_t Module::functionOf(std::string_view name) const {
  for (const ptx::Alias &alias : source.aliases)
    if (alias.name == name)
      name = alias.aliasee;
  for (size_t i = 0; i < source.functions.size(); ++i)
    if (source.functions[i].name == name)
      return int64_t(i);
  return -1;
}

static std::string print(const char *what, Dim3 d) {
  return std::string(what) + " (" + std::to_string(d.x) + ", " +
         std::to_string(d.y) + ", " + std::to_string(d.z) + ")";
}

std::string Module::check(const Kernel &kernel,
                          const LaunchConfig &config) const {
  const Code &code = kernel.code;
  uint64_t threads = config.block.count();
  if (config.grid.count() == 0 || threads == 0 || config.cluster.count() == 0)
    return "the launch is empty";
  uint64_t most =
      code.maxThreads ? std::min(code.maxThreads, kMaxThreads) : kMaxThreads;
  if (threads > most)
    return print("block", config.block) + " has more threads than the " +
           std::to_string(most) + " that the kernel allows";
  if (code.requiredThreads[0] &&
      threads != uint64_t(code.requiredThreads[0]) *
                     std::max(code.requiredThreads[1], 1u) *
                     std::max(code.requiredThreads[2], 1u))
    return print("block", config.block) + " is not what .reqntid requires";
  if (config.cluster.count() > kMaxCluster)
    return print("cluster", config.cluster) + " has more than 16 CTAs";
  if (config.grid.x % config.cluster.x || config.grid.y % config.cluster.y ||
      config.grid.z % config.cluster.z)
    return print("grid", config.grid) + " is no multiple of " +
           print("cluster", config.cluster);
  if (uint64_t(code.sharedEnd) + config.dynamicShared > kMaxShared)
    return std::to_string(uint64_t(code.sharedEnd) + config.dynamicShared) +
           " bytes of shared memory; a CTA has " + std::to_string(kMaxShared);
  if (code.localBytes > kMaxLocal)
    return std::to_string(code.localBytes) +
           " bytes of local memory; a thread has " + std::to_string(kMaxLocal);
  if (config.hopperSums && parseTarget(source.target).arch != 90)
    return "sums as an H100 computes them were asked for; the text is for " +
           std::string(source.target) + ", not for sm_90a";
  return "";
}

std::string Module::launch(const Kernel &kernel, const LaunchConfig &config,
                           const void *params, Counters &counters,
                           FaultKind *kind) {
  if (kind)
    *kind = FaultKind::None;
  LaunchConfig adjusted = config;
  const uint32_t *required = kernel.code.requiredCluster;
  if (required[0] && config.cluster.count() == 1)
    adjusted.cluster = {required[0], std::max(required[1], 1u),
                        std::max(required[2], 1u)};
  if (std::string problem = check(kernel, adjusted); !problem.empty())
    return "kernel " + kernel.code.name + ": " + problem;
  if (std::string problem = adjusted.checks.readEnvironment(); !problem.empty())
    return problem;
  uint32_t bytes = kernel.code.paramBytes;
  void *copy = memory.allocate(bytes, "parameters of " + kernel.code.name);
  if (!copy)
    return "no memory for parameters";
  std::memcpy(copy, params, bytes);
  Launch launch;
  launch.code = &kernel.code;
  launch.specials = &kernel.specials;
  launch.grid = adjusted.grid;
  launch.block = adjusted.block;
  launch.cluster = adjusted.cluster;
  launch.dynamicShared = adjusted.dynamicShared;
  launch.externShared = kernel.code.sharedEnd;
  launch.params = static_cast<const uint8_t *>(copy);
  launch.memory = &memory;
  launch.seed = adjusted.seed;
  launch.checks = adjusted.checks;
  launch.gridId = grids++;
  launch.maxInstructions = adjusted.maxInstructions;
  launch.hopperSums = adjusted.hopperSums;
  launch.traffic = adjusted.traffic;
  unsigned threads =
      adjusted.threads ? adjusted.threads : std::thread::hardware_concurrency();
  std::string fault = runGrid(launch, threads, counters, kind);
  memory.release(copy);
  return fault;
}
