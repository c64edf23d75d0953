// A control loop at a fixed rate: encode now and then, act in every tick.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   control-loop ENGINE.nbl [--device cpu] [--hz 100] [--ticks 500]
//                [--encode main] [--act act] [--realtime] [--record FILE]
//
// --record writes the bytes of the action of each tick. Exit codes: 0 ok, 1 the
// loop allocated memory, 2 usage, 4 engine, 5 device.
#include "Clock.h"
#include "Policy.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

struct Options {
  std::string engine, device = "cpu", encode = "main", act = "act", record;
  double hertz = 100;
  uint64_t ticks = 500;
  bool realtime = false;
};

struct Measured {
  explicit Measured(size_t n)
      : late(n), submit(n), other(n), act(n), encodeAndAct(n) {}
  Latencies late, submit, other, act, encodeAndAct;
};

} // namespace

static int usage(const char *what) {
  std::fprintf(stderr,
               "error: %s\nusage: control-loop ENGINE.nbl [--device cpu] "
               "[--hz 100] [--ticks 500] [--encode main] [--act act] "
               "[--realtime] [--record FILE]\n",
               what);
  return 2;
}

static int parse(int argc, char **argv, Options &o) {
  for (int i = 1; i < argc; ++i) {
    std::string word = argv[i];
    if (word == "--realtime") {
      o.realtime = true;
    } else if (word[0] != '-') {
      o.engine = word;
    } else if (i + 1 == argc) {
      return usage((word + " needs a value").c_str());
    } else if (word == "--hz" || word == "--ticks") {
      double value = std::atof(argv[++i]);
      if (!(value >= 1 && value <= 1e6))
        return usage((word + " wants a number from 1 to 1000000").c_str());
      (word == "--hz") ? void(o.hertz = value)
                       : void(o.ticks = uint64_t(value));
    } else {
      std::string *to = word == "--device"   ? &o.device
                        : word == "--encode" ? &o.encode
                        : word == "--act"    ? &o.act
                        : word == "--record" ? &o.record
                                             : nullptr;
      if (!to)
        return usage(("unknown option " + word).c_str());
      *to = argv[++i];
    }
  }
  return o.engine.empty() ? usage("no engine") : 0;
}

static int fail(const nbl::Status &status) {
  std::fprintf(stderr, "error: %s\n", status.message().c_str());
  switch (status.code()) {
  case NBL_DEVICE:
  case NBL_OUT_OF_MEMORY:
    return 5;
  case NBL_INVALID_ARGUMENT:
  case NBL_NOT_FOUND:
    return 2;
  default:
    return 4;
  }
}

/// Stands for sensors: the same values in every run of the program.
static float sensor(uint64_t tick, size_t i) {
  return float(std::sin(0.1 * double(tick) + 0.37 * double(i % 1000)));
}

/// One tick, from the sensors to the action.
static nbl::Status tick(Policy &policy, uint64_t index, bool encode,
                        double begin, Measured &measured) {
  if (encode)
    for (size_t i = 0; i < policy.promptSize(); ++i)
      policy.writePrompt(i, sensor(index, i));
  for (size_t i = 0; i < policy.observationSize(); ++i)
    policy.writeObservation(i, sensor(index, i));
  double start = now();
  if (encode)
    if (nbl::Status failed = policy.submitEncode())
      return failed;
  if (nbl::Status failed = policy.submitAct())
    return failed;
  double submitted = now();
  measured.submit.add(submitted - start);
  // Here a robot does what needs no action: it logs, filters, checks limits.
  nbl::Status failed = policy.wait();
  double done = now();
  measured.other.add(done - submitted);
  (encode ? measured.encodeAndAct : measured.act).add(done - begin);
  return failed;
}

static void report(const Options &o, const FixedRateClock &clock,
                   const Measured &m, uint64_t allocations) {
  std::printf("ticks %llu at %g Hz, missed %llu, skipped %llu\n",
              (unsigned long long)o.ticks, o.hertz,
              (unsigned long long)clock.missed(),
              (unsigned long long)clock.skipped());
  std::printf("%-12s %8s %8s %8s %8s %8s\n", "ms", "p50", "p90", "p95", "p99",
              "max");
  std::printf("%s%s%s%s%s", m.late.row("wakes late").c_str(),
              m.submit.row("submit").c_str(), m.other.row("wait").c_str(),
              m.act.row("act").c_str(),
              m.encodeAndAct.row("encode+act").c_str());
  std::printf("allocations in the loop: %llu\n",
              (unsigned long long)allocations);
}

static int loop(const Options &o, Policy &policy, FILE *record) {
  FixedRateClock clock(o.hertz);
  Measured measured(o.ticks);
  uint64_t before = policy.allocations();
  int64_t left = 0; // steps before the cache is full
  clock.start();
  for (uint64_t i = 0; i < o.ticks; ++i) {
    measured.late.add(clock.waitForTick());
    bool encode = left == 0;
    left = (encode ? policy.stepsPerPrompt() : left) - 1;
    if (nbl::Status failed =
            tick(policy, i, encode, clock.tickTime(), measured))
      return fail(failed);
    clock.finishTick();
    if (record)
      std::fwrite(policy.actionBytes(), 1, policy.actionByteSize(), record);
  }
  uint64_t allocations = policy.allocations() - before;
  report(o, clock, measured, allocations);
  return allocations ? 1 : 0;
}

int main(int argc, char **argv) {
  Options o;
  if (int code = parse(argc, argv, o))
    return code;
  Policy policy;
  double begin = now();
  if (nbl::Status failed = policy.open(o.engine, o.device, o.encode, o.act))
    return fail(failed);
  if (policy.tokens() < 1 || policy.stepsPerPrompt() < 1)
    return usage("the engine has no policy: wanted a prompt x "
                 "[1,tokens,width] and caches [1,heads,slots,size] of more "
                 "slots than tokens (test/models/policy.py)");
  std::printf("%s, prepared in %.1f ms\n%lld tokens, %lld slots, %lld steps "
              "per prompt\n",
              policy.description().c_str(), (now() - begin) * 1e3,
              (long long)policy.tokens(), (long long)policy.cacheSlots(),
              (long long)policy.stepsPerPrompt());
  if (o.realtime)
    if (std::string refused = becomeRealtime(); !refused.empty())
      std::fprintf(stderr, "warning: not in real time: %s\n", refused.c_str());
  FILE *record =
      o.record.empty() ? nullptr : std::fopen(o.record.c_str(), "wb");
  if (!o.record.empty() && !record)
    return usage(("cannot write " + o.record).c_str());
  int code = loop(o, policy, record);
  if (record)
    std::fclose(record);
  return code;
}
