// nibble compile MODEL.onnx -o ENGINE.nbl
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Commands.h"
#include "QuantizeOptions.h"

#include "nibble/Analysis/MemoryPlan.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/KernelSelect/Machine.h"
#include "nibble/Pipelines/Compiler.h"
#include "nibble/Report/Explain.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/Path.h"
#include "llvm/Support/Process.h"
#include "llvm/Support/raw_ostream.h"

#include <chrono>

namespace cl = llvm::cl;
using namespace nibble;

namespace {
cl::SubCommand command("compile", "compile a model to an engine file");
cl::opt<std::string> input(cl::Positional, cl::desc("MODEL.onnx"), cl::Required,
                           cl::sub(command));
cl::opt<std::string> output("o", cl::desc("engine file to write"),
                            cl::value_desc("ENGINE.nbl"), cl::sub(command));
cl::opt<std::string> target("target",
                            cl::desc("cpu (default), cpu:native, sm_90a, "
                                     "sm_100a or sm_110a"),
                            cl::init("cpu"), cl::sub(command));
cl::list<std::string> shapes("shape", cl::desc("bind the shape of an input"),
                             cl::value_desc("NAME=1x970x2048"),
                             cl::sub(command));
cl::list<std::string> entries(
    "entry",
    cl::desc("another model that becomes an entry point of the same engine, "
             "beside 'main', with shared constants and states (repeatable); "
             "its shapes are fixed"),
    cl::value_desc("NAME=MODEL.onnx"), cl::sub(command));
cl::list<std::string> states(
    "state",
    cl::desc("an input and an output that are one state (a KV cache), kept "
             "between runs; * stands for the same text on both sides"),
    cl::value_desc("INPUT=OUTPUT"), cl::sub(command));
cl::opt<std::string> maxMemory(
    "max-memory",
    cl::desc("refuse to compile what needs more: constants, arena, states, "
             "inputs and outputs together"),
    cl::value_desc("2GiB"), cl::sub(command));
cl::opt<std::string> stopAfter(
    "stop-after",
    cl::desc("import, canonical, quantize, fuse, layout, select or lower; "
             "prints the IR if there is no -o"),
    cl::value_desc("STAGE"), cl::sub(command));
cl::opt<std::string> dumpStages("dump-stages",
                                cl::desc("write the IR after each stage"),
                                cl::value_desc("DIR"), cl::sub(command));
cl::opt<std::string> dumpKernels("dump-kernels",
                                 cl::desc("write the code of the kernels"),
                                 cl::value_desc("DIR"), cl::sub(command));
cl::opt<std::string> tuningDb(
    "tuning-db",
    cl::desc("measured schedules that go before those of the compiler"),
    cl::value_desc("FILE.jsonl"), cl::sub(command));
cl::opt<bool> locked("locked",
                     cl::desc("refuse shapes whose schedule was not measured"),
                     cl::sub(command));
cl::opt<bool> overlapLaunches(
    "overlap-launches",
    cl::desc(
        "kernels of a GPU may begin before the one before them ends: about "
        "a microsecond less per launch, more for some on an H100"),
    cl::sub(command));
cl::opt<int64_t> candidates(
    "candidates",
    cl::desc("write an engine of up to N schedules for each product on tensor "
             "cores, for nibble-run bench --candidates"),
    cl::value_desc("N"), cl::init(0), cl::sub(command));
cl::list<std::string>
    noFusion("no-fusion",
             cl::desc("switch off a fusion or a recognition by name "
                      "(repeatable), or all fusions"),
             cl::value_desc("NAME"), cl::sub(command));
cl::list<std::string>
    forceFusion("force-fusion",
                cl::desc("do a fusion by name also where it does not pay on "
                         "the target (repeatable)"),
                cl::value_desc("NAME"), cl::sub(command));
cl::opt<std::string> reproducerDir(
    "reproducer-dir",
    cl::desc("where the folder with a stage that fails goes (default: that of "
             "the engine)"),
    cl::value_desc("DIR"), cl::sub(command));
cl::opt<bool> dryRun("dry-run", cl::desc("compile but write no engine"),
                     cl::sub(command));
cl::opt<bool> json("json", cl::desc("print the summary as JSON on stdout"),
                   cl::sub(command));

/// Layers not as requested that a summary lists; explain has them all.
constexpr unsigned kShownShortfalls = 3;

/// What the summary tells.
struct Summary {
  // Copied early: the linker, a library here, resets all options when it runs.
  std::string engine;
  bool asJson = false;
  unsigned launches = 0, kernels = 0, reformats = 0;
  int64_t arena = 0, bound = 0, bytes = 0;
  MemoryUse memory;
  double seconds = 0;
  llvm::ArrayRef<std::pair<Stage, double>> stages;
};
} // namespace

static void summarize(mlir::ModuleOp module, Summary &summary) {
  llvm::StringSet<> kernels;
  module.walk([&](exec::LaunchOp launch) {
    ++summary.launches;
    kernels.insert(launch.getKernel());
    summary.reformats += launch.getKind() == "reformat";
  });
  summary.kernels = kernels.size();
  for (auto entry : module.getOps<mlir::func::FuncOp>()) {
    auto get = [&](llvm::StringRef name) {
      auto attr = entry->getAttrOfType<mlir::IntegerAttr>(name);
      return attr ? attr.getInt() : 0;
    };
    summary.arena = std::max(summary.arena, get(kArenaAttr));
    summary.bound = std::max(summary.bound, get(kArenaBoundAttr));
  }
  summary.memory = computeMemoryUse(module);
}

/// What was decided, and what is not as it was asked for. Nothing before stage
/// `select`, which decides.
static void printDecisions(const llvm::json::Value &report) {
  const llvm::json::Object &document = *report.getAsObject();
  if (document.getArray("layers")->empty())
    return;
  llvm::errs() << summarize(report) << "\n";
  printShortfalls(report, kShownShortfalls, llvm::errs());
  if (size_t hazards = document.getArray("hazards")->size())
    llvm::errs() << hazards
                 << " hazards in the model: see nibble inspect --lint\n";
}

static void printSummary(const Summary &s, const llvm::json::Value &report) {
  if (!s.asJson)
    printDecisions(report);
  if (s.asJson) {
    const llvm::json::Object &totals =
        *report.getAsObject()->getObject("totals");
    llvm::json::OStream os(llvm::outs(), 2);
    os.object([&] {
      os.attribute("schema", "nibble.compile/1");
      os.attribute("engine", s.engine);
      os.attribute("source_layers", *totals.getInteger("source_layers"));
      os.attribute("as_requested", *totals.getInteger("as_requested"));
      os.attribute("launches", s.launches);
      os.attribute("distinct_kernels", s.kernels);
      os.attribute("runtime_reformats", s.reformats);
      os.attribute("arena_bytes", s.arena);
      os.attribute("arena_bound_bytes", s.bound);
      os.attribute("constant_bytes", s.memory.constants);
      os.attribute("state_bytes", s.memory.states);
      os.attribute("memory_bytes", s.memory.total());
      os.attribute("engine_bytes", s.bytes);
      os.attribute("seconds", s.seconds);
      os.attributeObject("stage_seconds", [&] {
        for (auto [stage, seconds] : s.stages)
          os.attribute(getStageName(stage), seconds);
      });
    });
    llvm::outs() << "\n";
    return;
  }
  llvm::errs() << llvm::formatv(
      "{0}: {1} launches of {2} kernels, {3} reformats at run time, arena "
      "{4:f1} MiB, engine {5:f1} MiB, {6:f2} s\n",
      s.engine.empty() ? std::string("compiled") : s.engine, s.launches,
      s.kernels, s.reformats, double(s.arena) / (1 << 20),
      double(s.bytes) / (1 << 20), s.seconds);
}

/// One line that is overwritten on a terminal; nothing in a log.
static void showProgress(Stage stage) {
  if (!llvm::sys::Process::StandardErrIsDisplayed())
    return;
  llvm::errs() << "\r\033[K[" << int(stage) + 1 << "/8] "
               << getStageName(stage);
  if (stage == Stage::Engine)
    llvm::errs() << "\r\033[K";
}

static int usage(const llvm::Twine &message) {
  llvm::errs() << "error: " << message << "\n";
  return kExitUsage;
}

static int readFusions(CompileOptions &options) {
  for (const std::string &name : noFusion) {
    if (name != "all" && !llvm::is_contained(getFusionNames(), name) &&
        !llvm::is_contained(getRecognitionNames(), name))
      return usage("--no-fusion '" + name +
                   "' is not a fusion; there are all, " +
                   llvm::join(getFusionNames(), ", ") + ", " +
                   llvm::join(getRecognitionNames(), ", "));
    options.disabledFusions.push_back(name);
  }
  for (const std::string &name : forceFusion) {
    if (!llvm::is_contained(getForcibleFusionNames(), name))
      return usage("--force-fusion '" + name +
                   "' is not a fusion that costs decide on; there is " +
                   llvm::join(getForcibleFusionNames(), ", "));
    if (llvm::is_contained(options.disabledFusions, name) ||
        llvm::is_contained(options.disabledFusions, "all"))
      return usage("--force-fusion '" + name +
                   "' is switched off by --no-fusion");
    options.forcedFusions.push_back(name);
  }
  return kExitOk;
}

static int checkOptions(CompileOptions &options) {
  if (!getMachine(target))
    return usage("--target '" + target + "' is not known; there are " +
                 llvm::join(getTargetNames(), ", "));
  if (!maxMemory.empty()) {
    auto bytes = parseBytes(maxMemory);
    if (failed(bytes))
      return usage("--max-memory '" + maxMemory +
                   "' is not a size like 2GiB, 512MiB or 1000000");
    options.maxMemory = *bytes;
  }
  if (!stopAfter.empty()) {
    options.stopAfter = parseStage(stopAfter);
    if (!options.stopAfter)
      return usage("--stop-after '" + stopAfter + "' is not a stage");
  }
  if (int code = readFusions(options))
    return code;
  if (dryRun && !options.stopAfter) {
    options.stopAfter = Stage::Lower;
    options.emitCode = false;
  }
  if (output.empty() && !options.stopAfter)
    return usage("no output: give -o ENGINE.nbl");
  return kExitOk;
}

int compileCommand(int argc, char **argv) {
  if (!cl::ParseCommandLineOptions(argc, argv, "", &llvm::errs()))
    return kExitUsage;
  CompileOptions options;
  options.input = input;
  options.output = output;
  options.target = target;
  options.shapes.assign(shapes.begin(), shapes.end());
  options.entries.assign(entries.begin(), entries.end());
  options.states.assign(states.begin(), states.end());
  options.dumpStages = dumpStages;
  options.tuningDb = tuningDb;
  options.locked = locked;
  options.overlapLaunches = overlapLaunches;
  options.candidates = candidates;
  options.dumpKernels = dumpKernels;
  options.command = quoteCommand(argc, argv);
  options.progress = showProgress;
  options.reproducerDir = reproducerDir.empty()
                              ? llvm::sys::path::parent_path(output).str()
                              : reproducerDir;
  if (int code = checkOptions(options))
    return code;
  if (int code = readQuantizeOptions(options))
    return code;

  Summary summary;
  summary.engine = output;
  summary.asJson = json;
  bool printIr = options.stopAfter && output.empty() && !dryRun;
  auto begin = std::chrono::steady_clock::now();
  auto context = createContext();
  DiagnosticPrinter diagnostics(*context);
  Compiler compiler(*context, options);
  if (failed(compiler.run())) {
    printDecisions(compiler.getReport());
    return diagnostics.getExitCode();
  }
  if (printIr) {
    compiler.getModule()->print(
        llvm::outs(), mlir::OpPrintingFlags().elideLargeResourceString(64));
    return kExitOk;
  }
  summarize(compiler.getModule(), summary);
  uint64_t bytes = 0;
  if (!summary.engine.empty() &&
      !llvm::sys::fs::file_size(summary.engine, bytes))
    summary.bytes = bytes;
  summary.seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
          .count();
  summary.stages = compiler.getSeconds();
  printSummary(summary, compiler.getReport());
  return kExitOk;
}
