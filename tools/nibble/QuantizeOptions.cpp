// Options that change numbers, shared by the verbs that compile: formats, and
// rewrites that are not exact.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "QuantizeOptions.h"

#include "Commands.h"

#include "nibble/Pipelines/Calibration.h"

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

namespace cl = llvm::cl;
using namespace nibble;

namespace {
cl::opt<std::string> quantize(
    "quantize",
    cl::desc("format of all matmuls with weights that --policy does not "
             "decide: nvfp4, mxfp4, mxfp8, fp8, int4, w4a8, w4a16, bf16, f16; "
             "options as in a policy: 'nvfp4 recipe=compressed-tensors'"),
    cl::value_desc("FORMAT"), cl::sub(cl::SubCommand::getAll()));
cl::opt<std::string>
    policy("policy",
           cl::desc("rules 'GLOB: FORMAT', one a line; the first one that "
                    "matches a layer decides (docs/quantize.md)"),
           cl::value_desc("FILE"), cl::sub(cl::SubCommand::getAll()));
cl::opt<std::string>
    calib("calib",
          cl::desc("samples of the inputs: a folder for each sample with "
                   "INPUT.npy files, or files INPUT.SAMPLE.npy"),
          cl::value_desc("DIR"), cl::sub(cl::SubCommand::getAll()));
cl::opt<std::string> calibMethod("calib-method",
                                 cl::desc("max (default) or percentile:99.9"),
                                 cl::init("max"), cl::value_desc("METHOD"),
                                 cl::sub(cl::SubCommand::getAll()));
cl::list<std::string> allowFallback(
    "allow-fallback",
    cl::desc("let layers that cannot get the format asked for have this one; "
             "repeatable"),
    cl::value_desc("GLOB:FORMAT"), cl::sub(cl::SubCommand::getAll()));
cl::list<std::string> allowRewrite(
    "allow-rewrite",
    cl::desc("let a rewrite that is not exact run (repeatable): "
             "allow-less-rounding, trust-large-masks or fold-norm-weight; "
             "docs/passes.md has the error bound of each"),
    cl::value_desc("NAME"), cl::sub(cl::SubCommand::getAll()));
} // namespace

static int usage(const llvm::Twine &message) {
  llvm::errs() << "error: " << message << "\n";
  return kExitUsage;
}

int checkQuantizeOptions(const CompileOptions &options) {
  if (!options.quantize.empty())
    if (auto format = LayerFormat::parse(options.quantize); !format)
      return usage("--quantize: " + llvm::toString(format.takeError()));
  if (auto method = CalibrationMethod::parse(options.calibMethod); !method)
    return usage(llvm::toString(method.takeError()));
  if (auto permissions =
          FallbackPolicy::parse(options.allowFallback, getPrecisionNames());
      !permissions)
    return usage(llvm::toString(permissions.takeError()));
  for (const std::string &name : options.allowedRewrites)
    if (!isInexactRewrite(name))
      return usage("--allow-rewrite '" + name +
                   "' is not a rewrite that can be allowed; there are " +
                   listInexactRewrites());
  if (!options.calib.empty() && options.quantize.empty() &&
      options.policy.empty())
    return usage("--calib needs --quantize or --policy: models that come "
                 "quantized have their scales");
  return kExitOk;
}

int readQuantizeOptions(CompileOptions &options) {
  options.quantize = quantize;
  options.policy = policy;
  options.calib = calib;
  options.calibMethod = calibMethod;
  options.allowFallback.assign(allowFallback.begin(), allowFallback.end());
  options.allowedRewrites.assign(allowRewrite.begin(), allowRewrite.end());
  return checkQuantizeOptions(options);
}

std::string *findQuantizeOption(CompileOptions &options, llvm::StringRef name) {
  if (name == "--quantize")
    return &options.quantize;
  if (name == "--policy")
    return &options.policy;
  if (name == "--calib")
    return &options.calib;
  if (name == "--calib-method")
    return &options.calibMethod;
  if (name == "--allow-fallback")
    return &options.allowFallback.emplace_back();
  if (name == "--allow-rewrite")
    return &options.allowedRewrites.emplace_back();
  return nullptr;
}
