// nibble explain ENGINE.nbl|MODEL.onnx, nibble diff A B
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Commands.h"
#include "QuantizeOptions.h"
#include "Reports.h"

#include "nibble/Report/Explain.h"

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
cl::opt<std::string> input(cl::Positional,
                           cl::desc("ENGINE.nbl|MODEL.onnx|REPORT.json"),
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
cl::opt<std::string> layer("layer",
                           cl::desc("only layers that match, in every detail"),
                           cl::value_desc("GLOB"), cl::sub(explainVerb));
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

static int writeHtml(llvm::StringRef path, const llvm::json::Value &report) {
  std::error_code error;
  llvm::ToolOutputFile file(path, error, llvm::sys::fs::OF_None);
  if (error)
    return fail("cannot write '" + path + "': " + error.message(), kExitUsage);
  printExplanationHtml(report, file.os());
  file.keep();
  return kExitOk;
}

/// Options copied early: the linker, a library here, resets all of them when it
/// runs.
static int readCompileOptions(CompileOptions &options) {
  options.target = target;
  options.shapes.assign(shapes.begin(), shapes.end());
  options.states.assign(states.begin(), states.end());
  return readQuantizeOptions(options);
}

int explainCommand(int argc, char **argv) {
  if (!cl::ParseCommandLineOptions(argc, argv, "", &llvm::errs()))
    return kExitUsage;
  const std::string path = input, page = html, glob = layer;
  const bool asJson = json, asMemory = memory;
  if (asJson + asMemory + !page.empty() > 1)
    return fail("give one of --json, --memory and --html", kExitUsage);
  CompileOptions compile;
  if (int code = readCompileOptions(compile))
    return code;
  llvm::json::Value report = nullptr;
  int code = getReport(path, compile, report);
  if (!report.getAsObject())
    return code;
  if (!glob.empty()) {
    auto filtered = filterExplanation(report, glob);
    if (!filtered)
      return fail("--layer: " + llvm::toString(filtered.takeError()),
                  kExitUsage);
    report = std::move(*filtered);
  }
  if (!page.empty()) {
    if (int problem = writeHtml(page, report))
      return problem;
  } else if (asJson) {
    llvm::outs() << llvm::formatv("{0:2}\n", report);
  } else if (asMemory) {
    printMemory(report, llvm::outs());
  } else {
    printExplanation(report, /*details=*/!glob.empty(), llvm::outs());
  }
  return code;
}

static int readMaxSlowdown(DiffOptions &options) {
  double percent;
  if (llvm::StringRef(maxSlowdown).rtrim('%').getAsDouble(percent) ||
      percent < 0)
    return fail("--max-slowdown '" + maxSlowdown + "' is not a percentage",
                kExitUsage);
  options.maxSlowdown = percent / 100;
  return kExitOk;
}

int diffCommand(int argc, char **argv) {
  if (!cl::ParseCommandLineOptions(argc, argv, "", &llvm::errs()))
    return kExitUsage;
  const bool asJson = json;
  const std::string paths[] = {first, second};
  CompileOptions compile;
  if (int code = readCompileOptions(compile))
    return code;
  DiffOptions options;
  if (int code = readMaxSlowdown(options))
    return code;
  llvm::json::Value reports[] = {nullptr, nullptr};
  for (int i : {0, 1})
    if (int code = getReport(paths[i], compile, reports[i]))
      return code;
  llvm::json::Value diff = diffReports(reports[0], reports[1], options);
  if (asJson)
    llvm::outs() << llvm::formatv("{0:2}\n", diff);
  else
    printDiff(diff, llvm::outs());
  bool worse = !diff.getAsObject()->getArray("regressions")->empty();
  return worse ? kExitMismatch : kExitOk;
}
