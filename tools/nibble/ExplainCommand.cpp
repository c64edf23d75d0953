// nibble explain ENGINE.nbl|MODEL.onnx, nibble diff A B
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Commands.h"
#include "QuantizeOptions.h"

#include "nibble/KernelSelect/Machine.h"
#include "nibble/Pipelines/Compiler.h"
#include "nibble/Report/Explain.h"
#include "nibble/rt/engine.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/ToolOutputFile.h"
#include "llvm/Support/raw_ostream.h"

namespace cl = llvm::cl;
using namespace nibble;

namespace {
cl::SubCommand explainVerb("explain",
                           "what was decided for each layer, and why");
cl::SubCommand diffVerb("diff", "compare two engines by source layer");
cl::opt<std::string> input(cl::Positional, cl::desc("ENGINE.nbl|MODEL.onnx"),
                           cl::Required, cl::sub(explainVerb));
cl::opt<std::string> first(cl::Positional, cl::desc("A"), cl::Required,
                           cl::sub(diffVerb));
cl::opt<std::string> second(cl::Positional, cl::desc("B"), cl::Required,
                            cl::sub(diffVerb));
cl::opt<std::string> target("target", cl::desc("for models (default cpu)"),
                            cl::init("cpu"), cl::sub(explainVerb),
                            cl::sub(diffVerb));
cl::list<std::string> shapes("shape", cl::desc("bind the shape of an input"),
                             cl::value_desc("NAME=1x970x2048"),
                             cl::sub(explainVerb), cl::sub(diffVerb));
cl::list<std::string>
    states("state", cl::desc("an input and an output that are one state"),
           cl::value_desc("INPUT=OUTPUT"), cl::sub(explainVerb),
           cl::sub(diffVerb));
cl::opt<std::string> layer("layer", cl::desc("only layers that match"),
                           cl::init("*"), cl::value_desc("GLOB"),
                           cl::sub(explainVerb));
cl::opt<std::string> html("html", cl::desc("write a page"),
                          cl::value_desc("FILE"), cl::sub(explainVerb));
cl::opt<bool> memory("memory", cl::desc("the memory plan"),
                     cl::sub(explainVerb));
cl::opt<bool> json("json", cl::desc("the report as JSON on stdout"),
                   cl::sub(explainVerb), cl::sub(diffVerb));
cl::opt<std::string> maxSlowdown("max-slowdown",
                                 cl::desc("of predicted times (default 3%)"),
                                 cl::init("3%"), cl::value_desc("PERCENT"),
                                 cl::sub(diffVerb));
} // namespace

static int fail(const llvm::Twine &message, int code) {
  llvm::errs() << "error: " << message << "\n";
  return code;
}

/// The report that an engine carries.
static int readEngine(llvm::StringRef path, llvm::json::Value &report) {
  auto engine = rt::Engine::load(path.str());
  if (!engine.ok())
    return fail(engine.status().str(), rt::exitCode(engine.status().code()));
  std::string_view text = (*engine)->info().report;
  if (text.empty())
    return fail("'" + path +
                    "' carries no report: it was made by an older "
                    "build; compile it again with: " +
                    std::string((*engine)->info().command),
                kExitUnsupported);
  auto parsed = llvm::json::parse(llvm::StringRef(text.data(), text.size()));
  if (!parsed)
    return fail("the report in '" + path +
                    "' is damaged: " + llvm::toString(parsed.takeError()),
                kExitUnsupported);
  const llvm::json::Object *object = parsed->getAsObject();
  if (!object || object->getString("schema") != "nibble.explain/1")
    return fail("the report in '" + path +
                    "' is not of schema "
                    "nibble.explain/1",
                kExitUnsupported);
  report = std::move(*parsed);
  return kExitOk;
}

/// Compiles as far as decisions go. A refusal still has its report.
static int compileModel(llvm::StringRef path, llvm::json::Value &report) {
  std::optional<Machine> machine = getMachine(target);
  if (!machine)
    return fail("--target '" + target + "' is not known; there are " +
                    llvm::join(getTargetNames(), ", "),
                kExitUsage);
  CompileOptions options;
  options.input = path.str();
  options.target = target;
  options.shapes.assign(shapes.begin(), shapes.end());
  options.states.assign(states.begin(), states.end());
  options.stopAfter = machine->isGpu() ? Stage::Select : Stage::Lower;
  if (int code = readQuantizeOptions(options))
    return code;
  auto context = createContext();
  DiagnosticPrinter diagnostics(*context);
  Compiler compiler(*context, options);
  int code = failed(compiler.run()) ? diagnostics.getExitCode() : kExitOk;
  report = compiler.getReport();
  return code;
}

static int getReport(llvm::StringRef path, llvm::json::Value &report) {
  return path.ends_with(".nbl") ? readEngine(path, report)
                                : compileModel(path, report);
}

static int writeHtml(llvm::StringRef path, const llvm::json::Value &report) {
  std::error_code error;
  llvm::ToolOutputFile file(path, error, llvm::sys::fs::OF_None);
  if (error)
    return fail("cannot write '" + path + "': " + error.message(), kExitUsage);
  printExplanationHtml(report, file.os());
  file.keep();
  return kExitOk;
}

int explainCommand(int argc, char **argv) {
  if (!cl::ParseCommandLineOptions(argc, argv, "", &llvm::errs()))
    return kExitUsage;
  // Copied early: the linker, a library here, resets all options when it runs.
  const std::string glob = layer, page = html;
  const bool asJson = json, asMemory = memory;
  llvm::json::Value report = nullptr;
  int code = getReport(input.getValue(), report);
  if (!report.getAsObject())
    return code;
  if (!page.empty())
    if (int problem = writeHtml(page, report))
      return problem;
  if (asJson)
    llvm::outs() << llvm::formatv("{0:2}", filterExplanation(report, glob))
                 << "\n";
  else if (asMemory)
    printMemory(report, llvm::outs());
  else if (page.empty())
    printExplanation(report, glob, llvm::outs());
  return code;
}

int diffCommand(int argc, char **argv) {
  if (!cl::ParseCommandLineOptions(argc, argv, "", &llvm::errs()))
    return kExitUsage;
  const bool asJson = json;
  const std::string paths[] = {first, second};
  DiffOptions options;
  double percent;
  if (llvm::StringRef(maxSlowdown).rtrim('%').getAsDouble(percent) ||
      percent < 0)
    return fail("--max-slowdown '" + maxSlowdown + "' is not a percentage",
                kExitUsage);
  options.maxSlowdown = percent / 100;
  llvm::json::Value reports[] = {nullptr, nullptr};
  for (int i : {0, 1})
    if (int code = getReport(paths[i], reports[i]))
      return code;
  llvm::json::Value diff = diffReports(reports[0], reports[1], options);
  if (asJson)
    llvm::outs() << llvm::formatv("{0:2}", diff) << "\n";
  else
    printDiff(diff, llvm::outs());
  bool worse = !diff.getAsObject()->getArray("regressions")->empty();
  return worse ? kExitMismatch : kExitOk;
}
