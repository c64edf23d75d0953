// nibble-emu: runs a bare PTX kernel on the emulator.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Arguments.h"
#include "Launches.h"
#include "report/Limits.h"
#include "report/Report.h"

#include "nibble/rt/json_writer.h"

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <sstream>

using namespace nibble::emu;
using nibble::rt::JsonWriter;

namespace {

enum Exit { kOk = 0, kMismatch = 1, kUsage = 2, kUnsupported = 4, kDevice = 5 };

int fail(int code, const std::string &message) {
  std::cerr << "error: " << message << "\n";
  return code;
}

/// What a run has come to; code kDevice: the program is at fault.
struct Outcome {
  int code = kOk;
  std::string message, kernel;
  Counters counters;
};

/// Of all seeds: how many, how many of them with a fault, the first of those.
struct Summary {
  uint64_t first = 0, last = 0, failed = 0, firstFailed = 0;
};

//===----------------------------------------------------------------------===//
// One run
//===----------------------------------------------------------------------===//

Outcome stop(int code, const std::string &message) {
  Outcome outcome;
  outcome.code = code;
  outcome.message = message;
  return outcome;
}

const Module::Kernel *choose(const Module &module, const Options &options,
                             std::string &problem) {
  std::vector<std::string> names = module.kernelNames();
  const Module::Kernel *kernel = module.find(
      options.kernel.empty() && names.size() == 1 ? names[0] : options.kernel);
  if (kernel)
    return kernel;
  problem = "--kernel '" + options.kernel + "' is not one of:";
  for (const std::string &name : names)
    problem += " " + name;
  return nullptr;
}

std::string configure(const Options &options, Module::LaunchConfig &config) {
  if (!parseDim3(options.grid, config.grid) ||
      !parseDim3(options.block, config.block) ||
      !parseDim3(options.cluster, config.cluster))
    return "--grid, --block and --cluster are X,Y,Z";
  if (options.sums != "exact" && options.sums != "hopper")
    return "--sums '" + options.sums + "' is not exact or hopper";
  config.dynamicShared = options.shared;
  config.threads = options.threads;
  config.maxInstructions = options.maxInstructions;
  config.hopperSums = options.sums == "hopper";
  for (const std::string &names : options.withChecks)
    if (std::string problem = config.checks.enable(names); !problem.empty())
      return "--check: " + problem;
  for (const std::string &names : options.withoutChecks)
    if (std::string problem = config.checks.disable(names); !problem.empty())
      return "--no-check: " + problem;
  return "";
}

/// Each run begins with memory and a module of its own.
Outcome runOnce(const Options &options, const std::string &text, uint64_t seed,
                bool write) {
  GlobalMemory memory;
  Module module(memory);
  if (ptx::Error error = module.load(text))
    return stop(kUnsupported, options.file + ":" + std::to_string(error.line) +
                                  ": " + error.message);
  std::string problem;
  const Module::Kernel *kernel = choose(module, options, problem);
  if (!kernel)
    return stop(kUsage, problem);
  Module::LaunchConfig config;
  if (problem = configure(options, config); !problem.empty())
    return stop(kUsage, problem);
  config.seed = seed;
  Arguments arguments(memory);
  for (const std::string &argument : options.arguments)
    if (problem = arguments.add(argument, kernel->code); !problem.empty())
      return stop(kUsage, problem);
  if (problem = arguments.finish(kernel->code); !problem.empty())
    return stop(kUsage, problem);
  Outcome outcome;
  outcome.kernel = kernel->code.name;
  outcome.message =
      module.launch(*kernel, config, arguments.params(), outcome.counters);
  outcome.code = outcome.message.empty() ? kOk : kDevice;
  if (outcome.code == kOk && write)
    if (problem = arguments.write(); !problem.empty())
      return stop(kUnsupported, problem);
  return outcome;
}

//===----------------------------------------------------------------------===//
// Reports
//===----------------------------------------------------------------------===//

void print(const Outcome &outcome, const Summary &summary,
           const Limits *limits) {
  JsonWriter json;
  json.beginObject();
  json.field("schema", "nibble.emu/1").field("kernel", outcome.kernel);
  json.key("seeds").beginObject();
  json.field("first", summary.first)
      .field("last", summary.last)
      .field("failed", summary.failed);
  if (summary.failed)
    json.field("first_failed", summary.firstFailed);
  json.endObject();
  writeCounters(json, outcome.counters);
  if (limits)
    writeEstimate(json, outcome.counters, *limits);
  json.endObject();
  std::cout << json.str();
}

//===----------------------------------------------------------------------===//
// All seeds
//===----------------------------------------------------------------------===//

int runAll(const Options &options, const std::string &text) {
  Summary summary{options.seed, options.seed};
  if (!options.seeds.empty() &&
      !parseSeeds(options.seeds, summary.first, summary.last))
    return fail(kUsage, "--seeds '" + options.seeds + "' is not FIRST..LAST");
  Limits limits;
  if (!options.target.empty())
    if (std::string problem = readLimits(options.target, limits);
        !problem.empty())
      return fail(kUsage, problem);
  Outcome good, bad;
  for (uint64_t seed = summary.first; seed <= summary.last; ++seed) {
    // The last run writes the results, if all are good.
    Outcome outcome =
        runOnce(options, text, seed, seed == summary.last && !summary.failed);
    if (outcome.code != kOk && outcome.code != kDevice)
      return fail(outcome.code, outcome.message);
    if (outcome.code == kOk) {
      good = outcome;
      continue;
    }
    if (summary.failed++ == 0)
      bad = outcome, summary.firstFailed = seed;
  }
  if (options.json)
    print(good.kernel.empty() ? bad : good, summary,
          options.target.empty() ? nullptr : &limits);
  if (!summary.failed)
    return kOk;
  std::string which;
  if (!options.seeds.empty())
    which = std::to_string(summary.failed) + " of " +
            std::to_string(summary.last - summary.first + 1) +
            " seeds fail, the first is " + std::to_string(summary.firstFailed) +
            ": ";
  return fail(kDevice, which + bad.message);
}

int list(const std::string &text, const Options &options) {
  GlobalMemory memory;
  Module module(memory);
  if (ptx::Error error = module.load(text))
    return fail(kUnsupported, options.file + ":" + std::to_string(error.line) +
                                  ": " + error.message);
  for (const std::string &name : module.kernelNames())
    std::cout << name << "\n";
  return kOk;
}

int run(Options options) {
  if (!options.launch.empty())
    if (std::string problem = readLaunch(options.launch, options);
        !problem.empty())
      return fail(kUsage, problem);
  if (options.file.empty())
    return fail(kUsage, "FILE or --launch is required");
  std::ifstream file(options.file, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file)
    return fail(kUnsupported, "cannot read '" + options.file + "'");
  return options.list ? list(text.str(), options) : runAll(options, text.str());
}

} // namespace

int main(int argc, char **argv) {
  Options options;
  CLI::App app("run a PTX kernel on the emulated GPU");
  auto *file = app.add_option("FILE", options.file, "PTX text");
  app.add_option("--launch", options.launch,
                 "JSON file with kernel, sizes and arguments")
      ->excludes(file);
  app.add_option("--kernel", options.kernel,
                 "entry point; the only one if absent");
  app.add_option("--grid", options.grid, "CTAs: X,Y,Z");
  app.add_option("--block", options.block, "threads of a CTA: X,Y,Z");
  app.add_option("--cluster", options.cluster, "CTAs of a cluster: X,Y,Z");
  app.add_option("--shared", options.shared, "bytes of dynamic shared memory");
  app.add_option("--arg", options.arguments,
                 "argument: in=A.npy, out=C.npy:f32:4x8, inout=A.npy,B.npy, "
                 "u32=5, bytes=00ff, map=.., mapout=..")
      ->delimiter('\0');
  auto *seed = app.add_option("--seed", options.seed,
                              "of the orders of warps and asynchronous work");
  app.add_option("--seeds", options.seeds, "runs with each of FIRST..LAST")
      ->excludes(seed);
  app.add_option("--check", options.withChecks,
                 "checks that are not on by themselves: tensor-waits");
  app.add_option("--no-check", options.withoutChecks,
                 "checks to leave out: uninitialized, registers, pending, "
                 "proxies, waits, races, all; several with commas");
  app.add_option("--max-instructions", options.maxInstructions,
                 "of a cluster's warps; more is a fault (0: any number)");
  app.add_option("--sums", options.sums,
                 "of tensor cores: exact (rounded once), or hopper: the bits "
                 "of an H100 (sm_90a)")
      ->check(CLI::IsMember({"exact", "hopper"}));
  app.add_option("--threads", options.threads, "of the host");
  app.add_option("--target", options.target,
                 "JSON file with the limits of a machine, for times");
  app.add_flag("--json", options.json, "counters as JSON");
  app.add_flag("--list", options.list, "names of the kernels");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  return run(options);
}
