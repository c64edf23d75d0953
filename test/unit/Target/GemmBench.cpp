// Speed of GEMM kernels without a model:
//   gemm-bench KIND[,KIND..] M N K [THREADS [MILLISECONDS [ASM-FILE]]]
// KIND is WEIGHT, ACTIVATION:WEIGHT, attention-qk or attention-pv. Several
// kinds are measured in turns, so that other load on the machine disturbs all
// of them alike. Prints the best and the median time; "cpu" counts the busiest
// thread's own time.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmHarness.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <fstream>
#include <sstream>

using namespace nibble;
using namespace nibble::test;

namespace {

double seconds(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

/// Codes, scales and blocks by name. Blocks: 0 is the full extent.
struct Format {
  Elem code, scale = Elem::None, global = Elem::None;
  int64_t blockN = 0, blockK = 0;
  bool zeroPoint = false;
};

const std::pair<const char *, Format> kFormats[] = {
    {"f32", {Elem::F32}},
    {"f16", {Elem::F16}},
    {"bf16", {Elem::BF16}},
    {"nvfp4", {Elem::E2M1, Elem::E4M3, Elem::F32, 1, 16}},
    {"mxfp4", {Elem::E2M1, Elem::E8M0, Elem::None, 1, 32}},
    {"mxfp8", {Elem::E4M3, Elem::E8M0, Elem::None, 1, 32}},
    {"fp8", {Elem::E4M3, Elem::F32}},
    {"fp8-128", {Elem::E4M3, Elem::F32, Elem::None, 128, 128}},
    {"int8", {Elem::I8, Elem::F32, Elem::None, 1, 0}},
    {"int4", {Elem::I4, Elem::F32, Elem::None, 1, 32}},
    {"uint4-zero", {Elem::U4, Elem::F32, Elem::None, 1, 32, true}},
};

const Format *findFormat(const std::string &name) {
  for (const auto &[known, format] : kFormats)
    if (name == known)
      return &format;
  fprintf(stderr, "gemm-bench: unknown format '%s'\n", name.c_str());
  return nullptr;
}

/// Sets the operands of `kind`; n, m and k are known.
bool setKind(const std::string &kind, cpu::GemmSpec &spec) {
  if (kind.rfind("attention", 0) == 0) {
    spec.bKind = kind == "attention-qk" ? cpu::GemmB::RowsN : cpu::GemmB::RowsK;
    spec.batch = {{12, spec.m * spec.k, spec.n * spec.k, spec.m * spec.n}};
    return true;
  }
  size_t colon = kind.find(':');
  const Format *a =
      findFormat(colon == kind.npos ? "f32" : kind.substr(0, colon));
  const Format *b =
      findFormat(colon == kind.npos ? kind : kind.substr(colon + 1));
  if (!a || !b)
    return false;
  spec.a = a->code;
  spec.scaledA.scale = a->scale;
  spec.scaledA.global = a->global;
  spec.scaledA.run = a->blockN == 1 && !a->blockK ? spec.k : a->blockK;
  spec.weight.code = b->code;
  spec.weight.scale = b->scale;
  spec.weight.global = b->global;
  spec.weight.blockN = b->blockN;
  spec.weight.blockK = b->blockK;
  spec.weight.zeroPoint = b->zeroPoint;
  spec.weight.octets = cpu::multipliesIntegers(spec);
  return true;
}

/// One kernel with its buffers and what was measured of it.
class Bench {
public:
  Bench(const std::string &kind, const cpu::GemmSpec &base, unsigned threads)
      : kind(kind), spec(base), threads(threads) {
    ready = setKind(kind, spec);
  }
  bool prepare(const char *asmFile);
  void measure();
  void report();
  bool ready = false;

private:
  double run(int repeat, double &cpu);
  void makeA(std::mt19937 &random);
  void makeB(std::mt19937 &random);
  int64_t batches() const {
    return spec.batch.empty() ? 1 : spec.batch[0].extent;
  }

  std::string kind;
  cpu::GemmSpec spec;
  unsigned threads;
  int repeat = 1;
  double compileTime = 0;
  std::unique_ptr<CompiledGemm> gemm;
  std::unique_ptr<GuardedBuffer> a, b, c;
  std::vector<std::unique_ptr<GuardedBuffer>> scratch;
  std::vector<double> wall, cpu;
};

void Bench::makeA(std::mt19937 &random) {
  int64_t count = batches() * spec.m * spec.k;
  if (spec.scaledA.scaled()) {
    placeScales(spec.scaledA, spec.a, count);
    RandomActivation data(spec.a, spec.scaledA, count, random, false);
    a = std::make_unique<GuardedBuffer>(data.bytes.size());
    std::memcpy(a->data(), data.bytes.data(), data.bytes.size());
    return;
  }
  a = std::make_unique<GuardedBuffer>(rt::formatBytes(spec.a, count), 0);
  for (int64_t i = 0; i < count; ++i)
    rt::storeCode(spec.a, a->data(), i,
                  rt::encode(spec.a, float(random() % 1000) / 500 - 1));
}

void Bench::makeB(std::mt19937 &random) {
  uint64_t bytes = spec.bKind == cpu::GemmB::Packed
                       ? cpu::gemmPanels(spec.weight).total
                       : batches() * spec.n * spec.k * 4;
  b = std::make_unique<GuardedBuffer>(bytes, 0);
  for (uint64_t i = 0; i + 4 <= bytes; i += 4) {
    uint32_t bits = random();
    bool floats = !spec.weight.scaled();
    float value = float(bits % 1000) / 500 - 1;
    bits &= 0x3f3f3f3f;
    std::memcpy(b->data() + i, floats ? (void *)&value : (void *)&bits, 4);
  }
}

bool Bench::prepare(const char *asmFile) {
  std::mt19937 random(1);
  makeA(random);
  makeB(random);
  c = std::make_unique<GuardedBuffer>(batches() * spec.m * spec.n * 4);
  double start = seconds(CLOCK_MONOTONIC);
  gemm = std::make_unique<CompiledGemm>(spec, nullptr, asmFile != nullptr);
  compileTime = seconds(CLOCK_MONOTONIC) - start;
  if (!gemm->kernel) {
    fprintf(stderr, "gemm-bench: %s: %s\n", kind.c_str(), gemm->error.c_str());
    return false;
  }
  if (asmFile)
    std::ofstream(asmFile) << gemm->assembly;
  for (unsigned t = 0; t < threads; ++t)
    scratch.push_back(
        std::make_unique<GuardedBuffer>(gemm->launch.scratchBytes));
  double unused;
  repeat = std::max(1, int(0.002 / run(1, unused)));
  return true;
}

/// Threads start together; each takes its part in four pieces, as the pool of
/// the runtime does.
double Bench::run(int repeat, double &cpuTime) {
  void *args[] = {a->data(), b->data(), c->data()};
  std::atomic<unsigned> started{0};
  std::vector<double> own(threads);
  int64_t grain = gemm->launch.grain, extent = gemm->launch.extent;
  int64_t grains = (extent + grain - 1) / grain;
  int64_t part = (grains + threads - 1) / threads, piece = (part + 3) / 4;
  auto work = [&](unsigned t) {
    ++started;
    while (started < threads)
      ;
    double start = seconds(CLOCK_THREAD_CPUTIME_ID);
    int64_t first = part * t, last = std::min(grains, first + part);
    for (int i = 0; i < repeat; ++i)
      for (int64_t at = first; at < last; at += piece)
        gemm->kernel(args, at * grain,
                     std::min(extent, std::min(last, at + piece) * grain),
                     scratch[t]->data());
    own[t] = seconds(CLOCK_THREAD_CPUTIME_ID) - start;
  };
  std::vector<std::thread> pool;
  for (unsigned t = 1; t < threads; ++t)
    pool.emplace_back(work, t);
  while (started + 1 < threads)
    ;
  double start = seconds(CLOCK_MONOTONIC);
  work(0);
  for (std::thread &thread : pool)
    thread.join();
  cpuTime = *std::max_element(own.begin(), own.end()) / repeat;
  return (seconds(CLOCK_MONOTONIC) - start) / repeat;
}

void Bench::measure() {
  double cpuTime, time = run(repeat, cpuTime);
  wall.push_back(time);
  cpu.push_back(cpuTime);
}

void Bench::report() {
  std::sort(wall.begin(), wall.end());
  std::sort(cpu.begin(), cpu.end());
  double weights = double(batches()) * spec.n * spec.k;
  printf("%s %ldx%ldx%ld threads %u: %s grain %ld, scratch %lu, compiled in "
         "%.0f ms\n",
         kind.c_str(), long(spec.m), long(spec.n), long(spec.k), threads,
         gemm->launch.schedule.c_str(), long(gemm->launch.grain),
         (unsigned long)gemm->launch.scratchBytes, compileTime * 1e3);
  auto line = [&](const char *label, double t) {
    printf("  %s %9.1f us %7.1f GFLOP/s %6.2f Gweights/s %5.1f GB/s\n", label,
           t * 1e6, 2 * spec.m * weights / t * 1e-9, weights / t * 1e-9,
           b->size() / t * 1e-9);
  };
  line("wall best  ", wall[0]);
  line("wall median", wall[wall.size() / 2]);
  line("cpu  best  ", cpu[0]);
  line("cpu  median", cpu[cpu.size() / 2]);
}

int benchAll(std::vector<std::unique_ptr<Bench>> &all, double budget,
             const char *asmFile) {
  for (auto &bench : all)
    if (!bench->ready || !bench->prepare(asmFile))
      return 2;
  double end = seconds(CLOCK_MONOTONIC) + budget * all.size();
  for (int round = 0; round < 5 || seconds(CLOCK_MONOTONIC) < end; ++round)
    for (auto &bench : all)
      bench->measure();
  for (auto &bench : all)
    bench->report();
  return 0;
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: gemm-bench KIND[,KIND..] M N K [THREADS "
                    "[MILLISECONDS [ASM-FILE]]]\n"
                    "KIND: WEIGHT, ACTIVATION:WEIGHT, attention-qk or "
                    "attention-pv\n");
    return 2;
  }
  cpu::GemmSpec spec;
  spec.symbol = "gemm";
  spec.m = atol(argv[2]);
  spec.n = spec.weight.n = atol(argv[3]);
  spec.k = spec.weight.k = atol(argv[4]);
  unsigned threads = argc > 5 ? atoi(argv[5]) : 1;
  std::vector<std::unique_ptr<Bench>> all;
  std::istringstream kinds(argv[1]);
  for (std::string kind; std::getline(kinds, kind, ',');)
    all.push_back(std::make_unique<Bench>(kind, spec, threads));
  double budget = argc > 6 ? atof(argv[6]) * 1e-3 : 0.5;
  return benchAll(all, budget, argc > 7 ? argv[7] : nullptr);
}
