// nibble verify MODEL.onnx|ENGINE.nbl --reference f64
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Commands.h"
#include "QuantizeOptions.h"

#include "nibble/KernelSelect/Machine.h"
#include "nibble/Report/Verify.h"
#include "nibble/rt/engine.h"

#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

namespace cl = llvm::cl;
using namespace nibble;

namespace {
cl::SubCommand command("verify", "compare an engine with the f64 reference");
cl::opt<std::string> input(cl::Positional, cl::desc("MODEL.onnx|ENGINE.nbl"),
                           cl::Required, cl::sub(command));
cl::opt<std::string> reference("reference", cl::desc("f64, the only one"),
                               cl::init("f64"), cl::sub(command));
cl::opt<std::string> target("target",
                            cl::desc("cpu (default), cpu:native or sm_90a; of "
                                     "an engine, its own"),
                            cl::init("cpu"), cl::sub(command));
cl::opt<std::string> device("device",
                            cl::desc("cpu, cuda or emu; default: cpu, and emu "
                                     "for targets that are GPUs"),
                            cl::sub(command));
cl::opt<std::string> baseline(
    "baseline",
    cl::desc("FP32 model for the format error (default: the same model without "
             "activation quantization)"),
    cl::value_desc("FP32.onnx"), cl::sub(command));
cl::opt<std::string> model("model",
                           cl::desc("source of the engine, if it moved"),
                           cl::value_desc("MODEL.onnx"), cl::sub(command));
cl::list<std::string> inputs("input", cl::desc("@FILE.npy, normal:seed=1, ..."),
                             cl::value_desc("NAME=..."), cl::sub(command));
cl::list<std::string> shapes("shape", cl::desc("bind the shape of an input"),
                             cl::value_desc("NAME=1x970x2048"),
                             cl::sub(command));
cl::list<std::string> states("state",
                             cl::desc("an input and an output that are one "
                                      "state; as the engine was compiled"),
                             cl::value_desc("INPUT=OUTPUT"), cl::sub(command));
cl::opt<std::string> layers("layers", cl::desc("only layers that match"),
                            cl::init("*"), cl::value_desc("GLOB"),
                            cl::sub(command));
cl::opt<bool> firstBad("first-bad", cl::desc("print only the first bad layer"),
                       cl::sub(command));
cl::opt<bool> layersOnly("layers-only",
                         cl::desc("do not evaluate the whole graph in f64"),
                         cl::sub(command));
cl::opt<bool>
    deviceCodes("device-codes",
                cl::desc("evaluate the whole graph also with the codes that "
                         "the device made, ties decided as it did"),
                cl::sub(command));
cl::opt<std::string> tolerance("tol", cl::desc("instead of the defaults"),
                               cl::value_desc("fro=1e-5,cos=..."),
                               cl::sub(command));
cl::opt<unsigned> threads("threads", cl::desc("default 2"), cl::init(2),
                          cl::sub(command));
cl::opt<bool> json("json", cl::desc("report as JSON"), cl::sub(command));
} // namespace

static int usage(const llvm::Twine &message) {
  llvm::errs() << "error: " << message << "\n";
  return kExitUsage;
}

/// Takes model, shapes and target from what the engine records.
static int readEngine(VerifyOptions &options) {
  auto engine = rt::Engine::load(options.engine);
  if (!engine.ok()) {
    llvm::errs() << "error: " << engine.status().str() << "\n";
    return rt::exitCode(engine.status().code());
  }
  const rt::EngineInfo &info = (*engine)->info();
  options.compile.input =
      model.empty() ? std::string(info.model) : model.getValue();
  auto hash = hashFile(options.compile.input);
  if (failed(hash) || *hash != llvm::StringRef(info.modelHash))
    return usage("the source of this engine, '" + options.compile.input +
                 "', is not there or has changed since; give it with --model");
  if (info.entries.size() > 1)
    llvm::errs() << "note: only entry point '" << info.entries[0].name
                 << "' of " << info.entries.size()
                 << " is verified; verify the models of the others on their "
                    "own\n";
  if (info.target != "cpu")
    options.compile.target = std::string(info.target);
  for (const rt::PortInfo &port : info.entries[0].inputs) {
    std::string shape = std::string(port.name) + "=";
    for (size_t i = 0; i < port.shape.size(); ++i)
      shape += (i ? "x" : "") + std::to_string(port.shape[i]);
    if (port.shape.size())
      options.compile.shapes.push_back(shape);
  }
  return kExitOk;
}

static int readOptions(VerifyOptions &options) {
  if (reference != "f64")
    return usage("--reference '" + reference + "': there is only f64");
  options.compile.input = input;
  options.compile.target = target;
  options.compile.shapes.assign(shapes.begin(), shapes.end());
  options.compile.states.assign(states.begin(), states.end());
  if (int code = readQuantizeOptions(options.compile))
    return code;
  if (!getMachine(target))
    return usage("--target '" + target + "' is not known; there are " +
                 llvm::join(getTargetNames(), ", "));
  options.device = device;
  options.baseline = baseline;
  options.layers = layers;
  options.threads = std::max(1u, threads.getValue());
  options.whole = !layersOnly;
  options.deviceCodes = deviceCodes;
  for (llvm::StringRef text : inputs) {
    auto [name, spec] = text.split('=');
    if (name.empty() || spec.empty())
      return usage("--input '" + text + "' is not NAME=SOURCE");
    options.inputs[name.str()] = spec.str();
  }
  if (!tolerance.empty()) {
    auto parsed = rt::parseTolerance(tolerance);
    if (!parsed.ok())
      return usage(parsed.status().str());
    options.tolerance = *parsed;
  }
  if (!llvm::StringRef(input).ends_with(".nbl")) {
    // A private engine that keeps the accumulators of matmuls.
    options.compile.splitOutputRounding = true;
    return kExitOk;
  }
  options.engine = input;
  return readEngine(options);
}

int verifyCommand(int argc, char **argv) {
  if (!cl::ParseCommandLineOptions(argc, argv, "", &llvm::errs()))
    return kExitUsage;
  VerifyOptions options;
  if (int code = readOptions(options))
    return code;
  llvm::SmallString<128> temporary;
  if (options.engine.empty()) {
    if (llvm::sys::fs::createTemporaryFile("nibble-verify", "nbl", temporary))
      return usage("cannot create a temporary file");
    options.compile.output = temporary.str().str();
  }
  // Copied early: the linker, a library here, resets all options when it runs.
  const bool asJson = json, onlyFirstBad = firstBad;
  auto context = createContext();
  DiagnosticPrinter diagnostics(*context);
  auto report = verifyModel(*context, options);
  if (!temporary.empty())
    llvm::sys::fs::remove(temporary);
  if (failed(report))
    return diagnostics.getExitCode();
  if (onlyFirstBad)
    llvm::erase_if(report->layers, [](const LayerReport &layer) {
      return layer.problem.empty();
    });
  if (onlyFirstBad && report->layers.size() > 1)
    report->layers.resize(1);
  if (asJson)
    printVerifyReportJson(*report, llvm::outs());
  else
    printVerifyReport(*report, llvm::outs());
  return report->badLayers ? kExitMismatch : kExitOk;
}
