// Command line of nibble-run, with CLI11.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CommandLine.h"

#include "nibble/rt/options.h"

#include <CLI/CLI.hpp>

using namespace nibble::rt;
using namespace nibble::rt::cli;

static void addExecuteOptions(CLI::App *verb, ExecuteOptions &o) {
  verb->add_option("ENGINE", o.engine, "engine file (.nbl)")->required();
  verb->add_option("--device", o.device, "cpu, null, cuda or emu")
      ->capture_default_str();
  verb->add_option("--threads", o.threads,
                   "threads of the cpu device (default 2)")
      ->check(CLI::Range(1, 1024));
  verb->add_option("--entry", o.entry,
                   "entry point; needed if there are several");
  verb->add_option("--input", o.inputs,
                   "NAME=@FILE.npy, or NAME=normal:seed=1, uniform:seed=1,"
                   "low=0,high=9, outliers:seed=1, zeros, ones")
      ->allow_extra_args(false);
  verb->add_flag("--check", o.check, "verify the hashes of all constants");
  verb->add_flag("--json", o.json, "print JSON instead of text");
  verb->add_flag_callback(
      "--no-graphs", [&o] { o.graphs = false; },
      "launch kernels one by one, so that profilers show the NVTX range of "
      "each layer");
}

/// Parses `text` into `value`; CLI11 prints what the parser complains about.
template <typename T, typename Parse>
static CLI::Option *addParsed(CLI::App *verb, const char *name, T &value,
                              Parse parse, const char *help) {
  return verb->add_option_function<std::string>(
      name,
      [&value, parse](const std::string &text) {
        auto parsed = parse(text);
        if (!parsed.ok())
          throw CLI::ValidationError(parsed.status().message());
        value = *parsed;
      },
      help);
}

static CLI::App *addRun(CLI::App &app, cli::RunOptions &o) {
  CLI::App *verb = app.add_subcommand("run", "run an engine once");
  addExecuteOptions(verb, o);
  verb->add_option("--output", o.outputs, "NAME=@FILE.npy")
      ->allow_extra_args(false);
  verb->add_option("--expect", o.expects,
                   "NAME=@FILE.npy: compare; exit 1 beyond the tolerance")
      ->allow_extra_args(false);
  verb->add_option("--tol", o.tolerances,
                   "[NAME:]rtol=,atol=,cos=,fro=,sqnr= or exact "
                   "(default by type: f32 rtol=1e-4,atol=1e-5)")
      ->allow_extra_args(false);
  return verb;
}

/// What only `bench --candidates` takes.
static void addCandidateOptions(CLI::App *verb, CandidateOptions &o) {
  CLI::Option *flag =
      verb->add_flag("--candidates", o.enabled,
                     "compare the entry points of an engine made by nibble "
                     "compile --candidates: results and times; --entry names "
                     "one group");
  auto add = [&](CLI::Option *option) { option->needs(flag); };
  add(verb->add_option("--rows", o.rows,
                       "append the best schedules to this file, as rows of "
                       "tuning/TARGET.jsonl"));
  add(verb->add_option("--peers", o.peers,
                       "times of others to compare with: rows with kernel, m, "
                       "n, k, products, peer, us_cool, us_hot"));
  add(verb->add_option("--except", o.except, "entry points to leave out")
          ->allow_extra_args(false));
  add(addParsed(verb, "--rounds", o.rounds, parseCount, "default 7"));
  add(addParsed(verb, "--pause", o.pause, parseDuration,
                "idle before a cool measurement, default 20ms"));
  add(addParsed(verb, "--hot", o.hot, parseDuration,
                "of a hot measurement, at least, default 50ms"));
  add(addParsed(verb, "--limit", o.limit, parseDuration,
                "give up on a kernel of a GPU after this, default 30s"));
  add(addParsed(verb, "--seed", o.seed, parseCount,
                "of data and order, default 1"));
  for (const char *other :
       {"--input", "--warmup", "--duration", "--iterations", "--percentile",
        "--layers", "--trace", "--no-graphs"})
    flag->excludes(verb->get_option(other));
}

static CLI::App *addBench(CLI::App &app, BenchOptions &o) {
  CLI::App *verb = app.add_subcommand("bench", "measure an engine");
  addExecuteOptions(verb, o);
  addParsed(verb, "--warmup", o.warmup, parseDuration, "default 200ms");
  addParsed(verb, "--duration", o.duration, parseDuration, "default 3s");
  addParsed(verb, "--iterations", o.iterations, parseCount,
            "this many runs instead of a duration");
  addParsed(verb, "--percentile", o.percentiles, parseNumbers,
            "default 50,90,95,99");
  CLI::Option *layers = verb->add_flag(
      "--layers", o.layers,
      "a table of launches against what the device can do, and advice");
  verb->add_option("--peaks", o.peaks,
                   "memory=GB/s,f8=TFLOP/s,f16=,f32=: what the device can do, "
                   "where it is not known")
      ->needs(layers);
  verb->add_option("--trace", o.trace,
                   "write some runs as Chrome trace events (ui.perfetto.dev)");
  addCandidateOptions(verb, o.candidates);
  return verb;
}

static CLI::App *addInspect(CLI::App &app, InspectOptions &o) {
  CLI::App *verb = app.add_subcommand("inspect", "show what an engine holds");
  verb->add_option("FILE", o.file, "engine file (.nbl)")->required();
  verb->add_flag("--check", o.check, "verify all hashes");
  verb->add_flag("--launches", o.launches, "list values and launches");
  verb->add_flag("--json", o.json, "print JSON instead of text");
  return verb;
}

static CLI::App *addStrip(CLI::App &app, StripCommand &o) {
  CLI::App *verb = app.add_subcommand(
      "strip", "replace large weights by random ones and leave them out, for "
               "engines that are only measured");
  verb->add_option("ENGINE", o.engine, "engine file (.nbl)")->required();
  verb->add_option("-o,--recipe", o.recipe, "recipe to write")->required();
  verb->add_option("--seeded", o.seeded,
                   "also write the engine that the recipe makes");
  addParsed(verb, "--seed", o.seed, parseCount, "default 1");
  addParsed(verb, "--least", o.least, parseCount,
            "bytes; smaller constants stay, default 1048576");
  return verb;
}

int cli::runCommandLine(int argc, char **argv, Streams streams) {
  CLI::App app("Runs Nibble engines. Exit codes: 0 ok, 1 mismatch, 2 usage, "
               "4 malformed or unsupported input, 5 device.");
  app.require_subcommand(1);
  app.set_version_flag("--version", NIBBLE_VERSION);
  cli::RunOptions runOptions;
  BenchOptions benchOptions;
  InspectOptions inspectOptions;
  StripCommand stripCommand;
  std::string recipe, refilled;
  CLI::App *runVerb = addRun(app, runOptions);
  CLI::App *benchVerb = addBench(app, benchOptions);
  CLI::App *stripVerb = addStrip(app, stripCommand);
  CLI::App *refillVerb =
      app.add_subcommand("refill", "make the engine of a recipe of strip");
  refillVerb->add_option("RECIPE", recipe)->required();
  refillVerb->add_option("-o", refilled, "engine to write")->required();
  addInspect(app, inspectOptions);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError &stop) {
    // Help and version are data and end with 0; all else is wrong usage.
    return app.exit(stop, streams.data, streams.talk) ? 2 : 0;
  }
  if (runVerb->parsed())
    return cli::run(runOptions, streams);
  if (benchVerb->parsed())
    return bench(benchOptions, streams);
  if (stripVerb->parsed())
    return strip(stripCommand, streams);
  if (refillVerb->parsed())
    return refill(recipe, refilled, streams);
  return inspect(inspectOptions, streams);
}
