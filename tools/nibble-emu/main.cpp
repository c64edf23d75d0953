// nibble-emu: runs a bare PTX kernel on the emulator.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Arguments.h"

#include <CLI/CLI.hpp>
#include <fstream>
#include <iostream>
#include <sstream>

using namespace nibble::emu;

namespace {

enum Exit { kOk = 0, kMismatch = 1, kUsage = 2, kUnsupported = 4, kDevice = 5 };

struct Options {
  std::string file, kernel, grid = "1", block = "1", cluster = "1",
                            sums = "exact";
  std::vector<std::string> arguments;
  uint32_t shared = 0;
  unsigned threads = 0;
  uint64_t seed = 1, maxInstructions = 0;
  bool json = false, list = false;
};

int fail(int code, const std::string &message) {
  std::cerr << "error: " << message << "\n";
  return code;
}

void print(const Module::Kernel &kernel, const Counters &c, bool json) {
  if (!json)
    return;
  std::cout << "{\"schema\": \"nibble.emu/1\", \"kernel\": \""
            << kernel.code.name << "\", \"instructions\": " << c.instructions
            << ", \"global_read\": " << c.globalRead
            << ", \"global_written\": " << c.globalWritten
            << ", \"shared_read\": " << c.sharedRead
            << ", \"shared_written\": " << c.sharedWritten << "}\n";
}

int launch(Module &module, GlobalMemory &memory, const Options &options) {
  std::vector<std::string> names = module.kernelNames();
  const Module::Kernel *kernel = module.find(
      options.kernel.empty() && names.size() == 1 ? names[0] : options.kernel);
  if (!kernel) {
    std::string all;
    for (const std::string &name : names)
      all += " " + name;
    return fail(kUsage,
                "--kernel '" + options.kernel + "' is not one of:" + all);
  }
  Module::LaunchConfig config;
  if (!parseDim3(options.grid, config.grid) ||
      !parseDim3(options.block, config.block) ||
      !parseDim3(options.cluster, config.cluster))
    return fail(kUsage, "--grid, --block and --cluster are X,Y,Z");
  config.dynamicShared = options.shared;
  config.threads = options.threads;
  config.seed = options.seed;
  config.maxInstructions = options.maxInstructions;
  config.hopperSums = options.sums == "hopper";
  Arguments arguments(memory);
  for (const std::string &text : options.arguments)
    if (std::string problem = arguments.add(text, kernel->code);
        !problem.empty())
      return fail(kUsage, problem);
  if (std::string problem = arguments.finish(kernel->code); !problem.empty())
    return fail(kUsage, problem);
  Counters counters;
  std::string fault =
      module.launch(*kernel, config, arguments.params(), counters);
  print(*kernel, counters, options.json);
  if (!fault.empty())
    return fail(kDevice, fault);
  std::string problem = arguments.write();
  return problem.empty() ? kOk : fail(kUnsupported, problem);
}

int run(const Options &options) {
  std::ifstream file(options.file, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file)
    return fail(kUnsupported, "cannot read '" + options.file + "'");
  GlobalMemory memory;
  Module module(memory);
  if (ptx::Error error = module.load(text.str()))
    return fail(kUnsupported, options.file + ":" + std::to_string(error.line) +
                                  ": " + error.message);
  if (!options.list)
    return launch(module, memory, options);
  for (const std::string &name : module.kernelNames())
    std::cout << name << "\n";
  return kOk;
}

} // namespace

int main(int argc, char **argv) {
  Options options;
  CLI::App app("run a PTX kernel on the emulated GPU");
  app.add_option("FILE", options.file, "PTX text")->required();
  app.add_option("--kernel", options.kernel,
                 "entry point; the only one if absent");
  app.add_option("--grid", options.grid, "CTAs: X,Y,Z");
  app.add_option("--block", options.block, "threads of a CTA: X,Y,Z");
  app.add_option("--cluster", options.cluster, "CTAs of a cluster: X,Y,Z");
  app.add_option("--shared", options.shared, "bytes of dynamic shared memory");
  app.add_option("--arg", options.arguments,
                 "argument: in=A.npy, out=C.npy:f32:4x8, inout=A.npy,B.npy, "
                 "u32=5, bytes=00ff")
      ->delimiter('\0');
  app.add_option("--seed", options.seed,
                 "of the orders of warps and asynchronous work");
  app.add_option("--max-instructions", options.maxInstructions,
                 "of a cluster's warps; more is a fault (0: any number)");
  app.add_option("--sums", options.sums,
                 "of tensor cores: exact (rounded once), or hopper: the bits "
                 "of an H100 (sm_90a)")
      ->check(CLI::IsMember({"exact", "hopper"}));
  app.add_option("--threads", options.threads, "of the host");
  app.add_flag("--json", options.json, "counters as JSON");
  app.add_flag("--list", options.list, "names of the kernels");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  return run(options);
}
