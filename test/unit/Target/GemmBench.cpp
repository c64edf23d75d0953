// Speed of GEMM kernels without a model:
//   gemm-bench FORMAT M N K [THREADS [MILLISECONDS [ASM-FILE]]]
//   gemm-bench attention HEADS S D [THREADS]
// Prints the best and the median time; "cpu" counts the busiest thread's own
// time, which other load on the machine disturbs less.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmHarness.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <fstream>

using namespace nibble;
using namespace nibble::test;

namespace {

double seconds(clockid_t clock) {
  timespec t;
  clock_gettime(clock, &t);
  return t.tv_sec + 1e-9 * t.tv_nsec;
}

bool setFormat(const std::string &name, cpu::GemmWeight &w) {
  auto set = [&](Elem code, Elem scale = Elem::None, int64_t blockN = 0,
                 int64_t blockK = 0, Elem global = Elem::None) {
    w.code = code;
    w.scale = scale;
    w.blockN = blockN;
    w.blockK = blockK;
    w.global = global;
    return true;
  };
  if (name == "f32")
    return set(Elem::F32);
  if (name == "f16")
    return set(Elem::F16);
  if (name == "bf16")
    return set(Elem::BF16);
  if (name == "nvfp4")
    return set(Elem::E2M1, Elem::E4M3, 1, 16, Elem::F32);
  if (name == "mxfp4")
    return set(Elem::E2M1, Elem::E8M0, 1, 32);
  if (name == "mxfp8")
    return set(Elem::E4M3, Elem::E8M0, 1, 32);
  if (name == "fp8")
    return set(Elem::E4M3, Elem::F32);
  if (name == "fp8-128")
    return set(Elem::E4M3, Elem::F32, 128, 128);
  if (name == "int8")
    return set(Elem::I8, Elem::F32, 1, 0);
  if (name == "uint4-zero") {
    w.zeroPoint = true;
    return set(Elem::U4, Elem::F32, 1, 32);
  }
  return name == "int4" && set(Elem::I4, Elem::F32, 1, 32);
}

/// Two threads that start together, as a pool's would.
struct Sample {
  double wall, cpu;
};
Sample measure(const CompiledGemm &gemm, void *const *args, unsigned threads,
               std::vector<std::unique_ptr<GuardedBuffer>> &scratch,
               int repeat) {
  std::atomic<unsigned> ready{0};
  std::vector<double> cpu(threads);
  int64_t grain = gemm.launch.grain;
  int64_t grains = (gemm.launch.extent + grain - 1) / grain;
  auto work = [&](unsigned t) {
    ++ready;
    while (ready < threads)
      ;
    double start = seconds(CLOCK_THREAD_CPUTIME_ID);
    int64_t lo = grains * t / threads * grain;
    int64_t hi =
        std::min(gemm.launch.extent, grains * int64_t(t + 1) / threads * grain);
    for (int i = 0; i < repeat; ++i)
      for (int64_t at = lo; at < hi; at += 4 * grain)
        gemm.kernel(args, at, std::min(hi, at + 4 * grain), scratch[t]->data());
    cpu[t] = seconds(CLOCK_THREAD_CPUTIME_ID) - start;
  };
  std::vector<std::thread> pool;
  for (unsigned t = 1; t < threads; ++t)
    pool.emplace_back(work, t);
  while (ready + 1 < threads)
    ;
  double start = seconds(CLOCK_MONOTONIC);
  work(0);
  for (std::thread &thread : pool)
    thread.join();
  return {(seconds(CLOCK_MONOTONIC) - start) / repeat,
          *std::max_element(cpu.begin(), cpu.end()) / repeat};
}

void report(const char *label, double t, double flops, double weights,
            double bytes) {
  printf("%s %9.1f us %7.1f GFLOP/s %6.2f Gweights/s %5.1f GB/s\n", label,
         t * 1e6, flops / t * 1e-9, weights / t * 1e-9, bytes / t * 1e-9);
}

int bench(const cpu::GemmSpec &spec, const std::string &name, unsigned threads,
          double budget, const char *asmFile) {
  double start = seconds(CLOCK_MONOTONIC);
  CompiledGemm gemm(spec, nullptr, asmFile != nullptr);
  if (!gemm.kernel) {
    fprintf(stderr, "%s\n", gemm.error.c_str());
    return 2;
  }
  double compileTime = seconds(CLOCK_MONOTONIC) - start;
  if (asmFile)
    std::ofstream(asmFile) << gemm.assembly;

  int64_t batches = 1, sizeA = spec.m * spec.k, sizeC = spec.m * spec.n;
  for (const auto &dim : spec.batch)
    batches *= dim.extent;
  uint64_t bytesB = spec.bKind == cpu::GemmB::Packed
                        ? cpu::gemmPanels(spec.weight).total
                        : batches * spec.n * spec.k * 4;
  GuardedBuffer a(batches * sizeA * 4, 0), b(bytesB, 0), c(batches * sizeC * 4);
  std::mt19937 random(1);
  for (int64_t i = 0; i < batches * sizeA; ++i)
    reinterpret_cast<float *>(a.data())[i] = float(random() % 1000) / 500 - 1;
  for (uint64_t i = 0; i + 4 <= bytesB; i += 4) {
    uint32_t bits = random();
    bool floats = !spec.weight.scaled();
    float value = float(bits % 1000) / 500 - 1;
    bits &= 0x3f3f3f3f;
    std::memcpy(b.data() + i, floats ? (void *)&value : (void *)&bits, 4);
  }
  std::vector<std::unique_ptr<GuardedBuffer>> scratch;
  for (unsigned t = 0; t < threads; ++t)
    scratch.push_back(
        std::make_unique<GuardedBuffer>(gemm.launch.scratchBytes));
  void *args[] = {a.data(), b.data(), c.data()};

  Sample once = measure(gemm, args, threads, scratch, 1);
  int repeat = std::max(1, int(0.002 / once.wall));
  std::vector<double> wall, cpu;
  double end = seconds(CLOCK_MONOTONIC) + budget;
  do {
    Sample sample = measure(gemm, args, threads, scratch, repeat);
    wall.push_back(sample.wall);
    cpu.push_back(sample.cpu);
  } while (seconds(CLOCK_MONOTONIC) < end || wall.size() < 5);
  std::sort(wall.begin(), wall.end());
  std::sort(cpu.begin(), cpu.end());
  double flops = 2.0 * batches * spec.m * spec.n * spec.k;
  double weights = double(batches) * spec.n * spec.k;
  printf("%s %ldx%ldx%ld threads %u: %s grain %ld, scratch %lu, compiled in "
         "%.0f ms\n",
         name.c_str(), long(spec.m), long(spec.n), long(spec.k), threads,
         gemm.launch.schedule.c_str(), long(gemm.launch.grain),
         (unsigned long)gemm.launch.scratchBytes, compileTime * 1e3);
  report("  wall best  ", wall[0], flops, weights, bytesB);
  report("  wall median", wall[wall.size() / 2], flops, weights, bytesB);
  report("  cpu  best  ", cpu[0], flops, weights, bytesB);
  report("  cpu  median", cpu[cpu.size() / 2], flops, weights, bytesB);
  return 0;
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 5) {
    fprintf(stderr, "usage: gemm-bench FORMAT|attention-qk|attention-pv M N K "
                    "[THREADS [MILLISECONDS [ASM-FILE]]]\n");
    return 2;
  }
  std::string name = argv[1];
  cpu::GemmSpec spec;
  spec.symbol = "gemm";
  spec.m = atol(argv[2]);
  spec.n = spec.weight.n = atol(argv[3]);
  spec.k = spec.weight.k = atol(argv[4]);
  if (name.rfind("attention", 0) == 0) {
    spec.bKind = name == "attention-qk" ? cpu::GemmB::RowsN : cpu::GemmB::RowsK;
    spec.batch = {{12, spec.m * spec.k, spec.n * spec.k, spec.m * spec.n}};
  } else if (!setFormat(name, spec.weight)) {
    fprintf(stderr, "gemm-bench: unknown format '%s'\n", name.c_str());
    return 2;
  }
  unsigned threads = argc > 5 ? atoi(argv[5]) : 1;
  double budget = argc > 6 ? atof(argv[6]) * 1e-3 : 0.5;
  return bench(spec, name, threads, budget, argc > 7 ? argv[7] : nullptr);
}
