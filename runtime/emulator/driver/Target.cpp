// The machines that can be emulated.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "driver/Target.h"

#include "exec/Checks.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <unistd.h>

using namespace nibble::cuda;
using namespace nibble::emu;

static constexpr uint64_t kGiB = uint64_t(1) << 30;
static constexpr int kMiB = 1 << 20;

static const Target kTargets[] = {
    {"sm_90a", "Nibble emulated H100", 9, 0, 132, 2048, 32, 80 * kGiB,
     50 * kMiB, 1980000, 2619000, 5120, false},
    {"sm_100a", "Nibble emulated B200", 10, 0, 148, 2048, 32, 180 * kGiB,
     126 * kMiB, 1965000, 3996000, 8192, false},
    {"sm_110a", "Nibble emulated Thor", 11, 0, 20, 1536, 24, 122 * kGiB,
     32 * kMiB, 1575000, 4266000, 256, true},
};

const Target *nibble::emu::findTarget(const std::string &arch) {
  for (const Target &target : kTargets)
    if (arch == target.arch)
      return &target;
  return nullptr;
}

static bool isKnown(int attribute) {
  switch (attribute) {
#define NIBBLE_DEVICE_ATTRIBUTE(NAME, VALUE) case VALUE:
#include "device/cuda/DriverAttributes.def"
    return true;
  }
  return false;
}

bool nibble::emu::attributeOf(const Target &t, int attribute, int &value) {
#define ATTRIBUTE(NAME, VALUE)                                                 \
  case CU_DEVICE_ATTRIBUTE_##NAME:                                             \
    value = VALUE;                                                             \
    return true
  switch (attribute) {
    ATTRIBUTE(MAX_THREADS_PER_BLOCK, 1024);
    ATTRIBUTE(MAX_BLOCK_DIM_X, 1024);
    ATTRIBUTE(MAX_BLOCK_DIM_Y, 1024);
    ATTRIBUTE(MAX_BLOCK_DIM_Z, 64);
    ATTRIBUTE(MAX_GRID_DIM_X, 0x7FFFFFFF);
    ATTRIBUTE(MAX_GRID_DIM_Y, 65535);
    ATTRIBUTE(MAX_GRID_DIM_Z, 65535);
    ATTRIBUTE(MAX_SHARED_MEMORY_PER_BLOCK, kSharedDefault);
    ATTRIBUTE(TOTAL_CONSTANT_MEMORY, 65536);
    ATTRIBUTE(WARP_SIZE, 32);
    ATTRIBUTE(MAX_PITCH, 0x7FFFFFFF);
    ATTRIBUTE(MAX_REGISTERS_PER_BLOCK, kRegistersPerSm);
    ATTRIBUTE(CLOCK_RATE, t.clock);
    ATTRIBUTE(MULTIPROCESSOR_COUNT, t.sms);
    ATTRIBUTE(INTEGRATED, t.integrated);
    ATTRIBUTE(CAN_MAP_HOST_MEMORY, 1);
    ATTRIBUTE(MEMORY_CLOCK_RATE, t.memoryClock);
    ATTRIBUTE(GLOBAL_MEMORY_BUS_WIDTH, t.busBits);
    ATTRIBUTE(L2_CACHE_SIZE, t.l2);
    ATTRIBUTE(MAX_THREADS_PER_MULTIPROCESSOR, t.threadsPerSm);
    ATTRIBUTE(UNIFIED_ADDRESSING, 1);
    ATTRIBUTE(COMPUTE_CAPABILITY_MAJOR, t.major);
    ATTRIBUTE(COMPUTE_CAPABILITY_MINOR, t.minor);
    ATTRIBUTE(STREAM_PRIORITIES_SUPPORTED, 1);
    ATTRIBUTE(GLOBAL_L1_CACHE_SUPPORTED, 1);
    ATTRIBUTE(LOCAL_L1_CACHE_SUPPORTED, 1);
    ATTRIBUTE(MAX_SHARED_MEMORY_PER_MULTIPROCESSOR, kSharedPerSm);
    ATTRIBUTE(MAX_REGISTERS_PER_MULTIPROCESSOR, kRegistersPerSm);
    ATTRIBUTE(MANAGED_MEMORY, 1);
    ATTRIBUTE(CONCURRENT_MANAGED_ACCESS, 1);
    ATTRIBUTE(CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM, 1);
    ATTRIBUTE(COOPERATIVE_LAUNCH, 1);
    ATTRIBUTE(MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
              kSharedPerSm - kSharedReserved);
    ATTRIBUTE(HOST_REGISTER_SUPPORTED, 1);
    ATTRIBUTE(MAX_BLOCKS_PER_MULTIPROCESSOR, t.blocksPerSm);
    ATTRIBUTE(RESERVED_SHARED_MEMORY_PER_BLOCK, kSharedReserved);
    ATTRIBUTE(MEMORY_POOLS_SUPPORTED, 1);
    ATTRIBUTE(CLUSTER_LAUNCH, 1);
    ATTRIBUTE(TENSOR_MAP_ACCESS_SUPPORTED, 1);
    ATTRIBUTE(UNIFIED_FUNCTION_POINTERS, 1);
  default:
    value = 0;
    return isKnown(attribute);
  }
#undef ATTRIBUTE
}

std::string nibble::emu::checkPtxTarget(const Target &target,
                                        const std::string &ptx) {
  int wanted = std::atoi(ptx.c_str() + std::min<size_t>(3, ptx.size()));
  // Not its compute capability: programs may be told another one.
  int have = std::atoi(target.arch + 3);
  char suffix = ptx.empty() ? ' ' : ptx.back();
  bool fits = suffix == 'a'   ? ptx == target.arch
              : suffix == 'f' ? wanted / 10 == have / 10 && wanted <= have
                              : wanted <= have;
  if (ptx.compare(0, 3, "sm_") == 0 && fits)
    return "";
  return "the PTX is for .target " + ptx + ", which does not run on " +
         target.name + " (" + target.arch +
         "): compile for it, or choose another machine with NIBBLE_EMU_TARGET";
}

static const char *variable(const char *name) {
  const char *text = std::getenv(name);
  return text && *text ? text : nullptr;
}

/// False if there is such a variable and it is no number.
template <typename T> static bool readNumber(const char *name, T &number) {
  const char *text = variable(name);
  if (!text)
    return true;
  char *end = nullptr;
  number = T(std::strtoull(text, &end, 0));
  return !*end && *text != '-';
}

static bool readCapability(const char *text, Target &machine) {
  int end = 0;
  return std::sscanf(text, "%2d.%1d%n", &machine.major, &machine.minor, &end) ==
             2 &&
         !text[end] && machine.major > 0 && machine.minor >= 0;
}

static uint64_t hostMemory() {
  return uint64_t(::sysconf(_SC_PHYS_PAGES)) *
         uint64_t(::sysconf(_SC_PAGESIZE));
}

std::string nibble::emu::readOptions(const std::string &wanted,
                                     Options &options) {
  const char *arch = variable("NIBBLE_EMU_TARGET");
  const Target *target = findTarget(arch             ? arch
                                    : wanted.empty() ? "sm_90a"
                                                     : wanted);
  if (!target)
    return "NIBBLE_EMU_TARGET is '" + std::string(arch) +
           "'; wanted sm_90a, sm_100a or sm_110a";
  options.machine = *target;
  options.target = &options.machine;
  if (const char *told = variable("NIBBLE_EMU_CAPABILITY"))
    if (!readCapability(told, options.machine))
      return std::string("NIBBLE_EMU_CAPABILITY is '") + told +
             "'; wanted major.minor, such as 10.0";
  options.memory = std::min(options.target->memory, hostMemory() / 2);
  unsigned verbose = 0;
  if (!readNumber("NIBBLE_EMU_SEED", options.seed))
    return "NIBBLE_EMU_SEED is no number";
  if (!readNumber("NIBBLE_EMU_THREADS", options.threads))
    return "NIBBLE_EMU_THREADS is no number";
  if (!readNumber("NIBBLE_EMU_MEMORY", options.memory))
    return "NIBBLE_EMU_MEMORY is no number of bytes";
  if (!readNumber("NIBBLE_EMU_VERBOSE", verbose))
    return "NIBBLE_EMU_VERBOSE is not 0 or 1";
  options.verbose = verbose;
  if (const char *report = variable("NIBBLE_EMU_REPORT"))
    options.report = report;
  // Launches read them again; a wrong name is told here, before any.
  return Checks().readEnvironment();
}
