// verify: an engine against the f64 reference, launch by launch and as a whole.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Report/Verify.h"
#include "CodeFlips.h"

#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/KernelSelect/Machine.h"
#include "nibble/KernelSelect/Passes.h"
#include "nibble/Reference/Interpreter.h"
#include "nibble/rt/device.h"
#include "nibble/rt/generator.h"
#include "nibble/rt/session.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/GlobPattern.h"

#include <chrono>
#include <cmath>

using namespace mlir;
using namespace nibble;
using ref::RefTensor;

using Clock = std::chrono::steady_clock;

/// Error of the arithmetic a kernel may make, by the type of its result: f32
/// accumulation, or one rounding of a narrower type gone the other way now and
/// then because the f32 value before it differs in the last bits.
static rt::Tolerance getDefaultTolerance(Type element) {
  rt::Tolerance tolerance;
  if (isa<nq::ScaledType>(element) ||
      (isa<FloatType>(element) && element.getIntOrFloatBitWidth() <= 8))
    tolerance.frobenius = 1e-2;
  else if (element.isBF16())
    tolerance.frobenius = 1e-3;
  else if (element.isF16())
    tolerance.frobenius = 1e-4;
  else if (isa<FloatType>(element))
    tolerance.frobenius = 1e-5;
  else
    tolerance.atol = 0;
  return tolerance;
}

/// The element type that says how exact result `r` of a kernel can be. Sums of
/// what the kernel has rounded are as exact as those values: a rounding that
/// went the other way is in both.
static Type getJudgedType(func::FuncOp kernel, unsigned r) {
  Value value = kernel.front().getTerminator()->getOperand(r);
  if (auto statistics = value.getDefiningOp<nq::StatisticsOp>())
    value = statistics.getInput();
  return cast<RankedTensorType>(value.getType()).getElementType();
}

/// Attention on tensor cores rounds its weights to the type of the values, or,
/// if these are codes, of the queries, before it sums (docs/numerics.md): 2^-10
/// with f16, 2^-7.5 with bf16. Scores of codes have fewer bits on devices.
static double getWeightTolerance(nq::AttentionOp op) {
  auto isBf16 = [](Value value) {
    return cast<RankedTensorType>(value.getType()).getElementType().isBF16();
  };
  bool areCodes = bool(nq::getScaledElement(op.getV().getType()));
  return isBf16(areCodes ? op.getQ() : op.getV())    ? std::exp2(-7.5)
         : nq::getScaledElement(op.getQ().getType()) ? 0x1p-9
                                                     : 0x1p-10;
}

/// Where the graph quantizes weights, one on a boundary of codes has either
/// code, as with other quantizers; more of them, as scores of codes are off by
/// up to 2^-12.7 of their products on devices (docs/numerics.md).
static double getCodeTolerance(nq::AttentionOp op, bool onTensorCores) {
  bool areCodes = bool(nq::getScaledElement(op.getQ().getType()));
  return onTensorCores && areCodes ? 0x1p-6 : 1e-2;
}

static void allowRoundedWeights(func::FuncOp kernel, rt::Tolerance &tolerance) {
  auto name = kernel->getAttrOfType<StringAttr>(kKernelClassAttr);
  bool isOnTensorCores = name && (name.getValue() == "attention.wgmma" ||
                                  name.getValue() == "attention.tcgen05");
  for (auto op : kernel.getOps<nq::AttentionOp>()) {
    double bound = isOnTensorCores ? getWeightTolerance(op) : 0;
    if (op.getWeightCodes())
      bound = getCodeTolerance(op, isOnTensorCores);
    if (tolerance.frobenius)
      tolerance.frobenius = std::max(*tolerance.frobenius, bound);
  }
}

/// Compares piece by piece: values may have gigabytes as doubles.
static void compareTensors(const RefTensor &actual, const RefTensor &expected,
                           rt::Comparison &comparison) {
  constexpr int64_t kPiece = 1 << 14;
  std::vector<double> a(kPiece), e(kPiece);
  std::vector<int64_t> ints(kPiece);
  auto read = [&](const RefTensor &tensor, int64_t begin, int64_t count,
                  double *out) {
    if (!tensor.isInteger())
      return tensor.read(begin, count, out);
    tensor.read(begin, count, ints.data());
    std::copy_n(ints.data(), count, out);
  };
  for (int64_t begin = 0; begin < actual.size(); begin += kPiece) {
    int64_t count = std::min(kPiece, actual.size() - begin);
    read(actual, begin, count, a.data());
    read(expected, begin, count, e.data());
    comparison.add(a.data(), e.data(), count);
  }
}

static func::FuncOp getEntry(ModuleOp module) {
  for (auto function : module.getOps<func::FuncOp>())
    if (function->hasAttr(kEntryAttr))
      return function;
  return {};
}

static StringRef getPortName(func::FuncOp entry, unsigned i, bool isInput) {
  auto name = isInput ? entry.getArgAttrOfType<StringAttr>(i, kNameAttr)
                      : entry.getResultAttrOfType<StringAttr>(i, kNameAttr);
  return name ? name.getValue() : StringRef();
}

/// The same graph with activations left as they are: quantize ops give way to
/// their inputs, weights of attention have no codes.
static void dropActivationQuantization(ModuleOp module) {
  module.walk([](nq::AttentionOp op) {
    op.removeWeightTypeAttr();
    op.removeWeightScaleAttr();
  });
  SmallVector<nq::QuantizeOp> ops;
  module.walk([&](nq::QuantizeOp op) { ops.push_back(op); });
  for (nq::QuantizeOp op : ops) {
    for (OpOperand &use : llvm::make_early_inc_range(op->getUses())) {
      if (isa<nq::MatmulOp>(use.getOwner())) {
        use.set(op.getInput());
      } else if (auto dequantize = dyn_cast<nq::DequantizeOp>(use.getOwner())) {
        OpBuilder builder(dequantize);
        Value value = nq::CastOp::create(
            builder, dequantize.getLoc(), dequantize.getResult().getType(),
            op.getInput(), /*saturate=*/true, StringAttr());
        dequantize.getResult().replaceAllUsesWith(value);
        dequantize->erase();
      }
    }
    if (op->use_empty())
      op->erase();
  }
}

namespace {

class Verifier {
public:
  Verifier(MLIRContext &context, const VerifyOptions &options)
      : context(context), options(options), compiler(context, options.compile) {
  }

  FailureOr<VerifyReport> run() {
    if (failed(compile()) || failed(openEngine()) || failed(checkPlan()) ||
        failed(fillInputs()) || failed(verifyLaunches()))
      return failure();
    if (options.whole && failed(verifyOutputs()))
      return failure();
    for (const LayerReport &layer : report.layers)
      report.badLayers += !layer.problem.empty();
    report.beforeRounding = options.compile.splitOutputRounding;
    return report;
  }

private:
  LogicalResult fail(const Twine &message) {
    return emitError(UnknownLoc::get(&context)) << message.str();
  }
  LogicalResult check(const rt::Status &status) {
    return status.ok() ? success() : fail(status.str());
  }

  LogicalResult compile() {
    if (failed(compiler.runTo(Stage::Canonical)))
      return failure();
    if (quantizes())
      unquantized = compiler.getModule().clone();
    if (failed(compiler.runTo(Stage::Quantize)))
      return failure();
    canonical = compiler.getModule().clone();
    return compiler.runTo(options.engine.empty() ? Stage::Engine
                                                 : Stage::Lower);
  }

  bool isForGpu() const { return isGpuTarget(options.compile.target); }
  std::string getDeviceName() const {
    if (!options.device.empty())
      return options.device;
    return isForGpu() ? "emu" : "cpu";
  }

  /// Nibble quantizes the model, so that the graph before is the baseline.
  bool quantizes() const {
    return !options.compile.quantize.empty() || !options.compile.policy.empty();
  }

  LogicalResult openEngine() {
    auto path =
        options.engine.empty() ? options.compile.output : options.engine;
    auto engine = rt::Engine::load(path);
    if (!engine.ok())
      return check(engine.status());
    rt::DeviceOptions deviceOptions;
    deviceOptions.threads = options.threads;
    deviceOptions.target = isForGpu() ? options.compile.target : "";
    auto device = rt::createDevice(getDeviceName(), deviceOptions);
    if (!device.ok())
      return check(device.status());
    auto session = rt::Session::create(*engine, *device);
    if (!session.ok())
      return check(session.status());
    auto created = rt::Context::create(*session);
    if (!created.ok())
      return check(created.status());
    execution = std::move(*created);
    return success();
  }

  const rt::EntryInfo &info() { return execution->session().info().entries[0]; }

  /// A launch of the plan is one of the engine, or several kernels of a GPU.
  static unsigned countKernels(exec::LaunchOp launch) {
    return launch.getGpu() ? launch.getGpu()->size() : 1;
  }

  /// Values of the engine in the order in which WriteEngine.cpp adds them.
  unsigned numberValues() {
    unsigned next = 0;
    for (BlockArgument argument : plan.getArguments())
      numbers[argument] = next++;
    for (Operation &op : plan.front().without_terminator()) {
      for (Value result : op.getResults())
        numbers[result] = next++;
      auto launch = dyn_cast<exec::LaunchOp>(op);
      if (launch && launch.getWorkspace())
        workspaces[launch] = next++;
      if (launch && launch.getCounters())
        ++next; // zeros, which stay
    }
    return next;
  }

  /// Launches of the plan and of the engine are the same, in order, and what
  /// they read and write has the same numbers.
  LogicalResult checkPlan() {
    plan = getEntry(compiler.getModule());
    bool same = numberValues() == info().values.size();
    size_t next = 0;
    for (auto launch : plan.getOps<exec::LaunchOp>()) {
      launches.push_back(launch);
      firstKernel.push_back(next);
      for (unsigned i = 0; same && i < countKernels(launch); ++i, ++next)
        same = next < info().launches.size() &&
               StringRef(info().launches[next].layer) == launch.getLayer() &&
               StringRef(info().launches[next].op) == launch.getKind();
    }
    if (same && next == info().launches.size())
      return success();
    return fail(
        "the engine was not made from this model by this build with "
        "these options: its launches or their values differ; verify it with "
        "the options of its own command, or rebuild it with: " +
        std::string(execution->session().info().command));
  }

  LogicalResult fillInputs() {
    for (unsigned i = 0; i < info().inputs.size(); ++i) {
      const rt::PortInfo &port = info().inputs[i];
      auto it = options.inputs.find(std::string(port.name));
      std::string spec = it != options.inputs.end()
                             ? it->second
                             : "normal:seed=" + std::to_string(i + 1);
      auto array = makeInput(spec, port);
      if (failed(array))
        return failure();
      if (failed(check(execution->setInput(0, i, array->data.data(),
                                           array->data.size()))))
        return failure();
      auto type = cast<RankedTensorType>(plan.getArgumentTypes()[i]);
      auto tensor = RefTensor::fromStorage(
          type,
          {reinterpret_cast<const char *>(array->data.data()),
           array->data.size()},
          [&] { return emitError(UnknownLoc::get(&context)); });
      if (failed(tensor))
        return failure();
      arguments.push_back(*tensor);
    }
    for (const auto &input : options.inputs)
      if (llvm::none_of(info().inputs, [&](const rt::PortInfo &port) {
            return port.name == input.first;
          }))
        return fail("the model has no input '" + input.first + "'");
    return success();
  }

  FailureOr<rt::Array> makeInput(StringRef spec, const rt::PortInfo &port) {
    std::string dtype(port.dtype), note;
    if (spec.consume_front("@")) {
      auto file = rt::readNpy(spec.str());
      if (!file.ok())
        return failure(failed(check(file.status())));
      auto array = rt::adaptArray(std::move(*file), dtype, port.shape, note);
      if (!array.ok())
        return failure(failed(check(array.status())));
      return *array;
    }
    auto generator = rt::parseGenerator(spec.str());
    if (!generator.ok())
      return failure(failed(check(generator.status())));
    auto array = rt::generate(*generator, dtype, port.shape);
    if (!array.ok())
      return failure(failed(
          check(std::move(rt::Status(array.status()))
                    .withContext("input '" + std::string(port.name) + "'"))));
    return *array;
  }

  /// A value as the device holds it; constants as the model holds them, so that
  /// a wrong packing shows.
  FailureOr<RefTensor> readValue(Value value, unsigned index) {
    auto type = cast<RankedTensorType>(value.getType());
    auto report = [&] { return emitError(value.getLoc()); };
    Value root = value;
    while (auto alias = root.getDefiningOp<exec::AliasOp>())
      root = alias.getInput();
    if (auto constant = root.getDefiningOp<nq::ConstantOp>()) {
      auto tensor = RefTensor::fromConstant(constant);
      return failed(tensor) ? tensor
                            : FailureOr<RefTensor>(tensor->withType(type));
    }
    if (auto constant = root.getDefiningOp<arith::ConstantOp>()) {
      auto tensor =
          RefTensor::fromAttr(cast<ElementsAttr>(constant.getValue()), report);
      return failed(tensor) ? tensor
                            : FailureOr<RefTensor>(tensor->withType(type));
    }
    std::vector<char> bytes(info().values[index].byteSize);
    if (failed(
            check(execution->readValue(0, index, bytes.data(), bytes.size()))))
      return failure();
    return RefTensor::fromStorage(type, bytes, report);
  }

  LogicalResult verifyLaunches() {
    auto glob = llvm::GlobPattern::create(options.layers);
    if (!glob)
      return fail("--layers: " + llvm::toString(glob.takeError()));
    for (unsigned i = 0; i < launches.size(); ++i)
      if (failed(verifyLaunch(i, glob->match(launches[i].getLayer()))))
        return failure();
    return success();
  }

  const rt::ValueInfo &getValueInfo(Value value) {
    return info().values[numbers.lookup(value)];
  }

  /// True if a result of a launch is the buffer of an operand, too.
  bool isInPlace(exec::LaunchOp launch, Value value) {
    const rt::ValueInfo &result = getValueInfo(value);
    for (Value input : launch.getInputs()) {
      const rt::ValueInfo &operand = getValueInfo(input);
      if (operand.storage == result.storage && operand.index == result.index &&
          operand.offset == result.offset)
        return true;
    }
    return false;
  }

  LogicalResult poison(unsigned value) {
    std::vector<char> bytes(info().values[value].byteSize, -1);
    return check(execution->writeValue(0, value, bytes.data(), bytes.size()));
  }

  /// What the kernel does not write must not look like a result.
  LogicalResult poisonResults(exec::LaunchOp launch) {
    for (Value result : launch.getResults())
      // Or it would be an operand that is poisoned.
      if (!isInPlace(launch, result) && failed(poison(numbers.lookup(result))))
        return failure();
    auto workspace = workspaces.find(launch);
    return workspace == workspaces.end() ? success()
                                         : poison(workspace->second);
  }

  LogicalResult verifyLaunch(unsigned i, bool wanted) {
    exec::LaunchOp launch = launches[i];
    ref::Interpreter::Results inputs;
    for (Value value : launch.getInputs()) {
      if (!wanted)
        break;
      auto tensor = readValue(value, numbers.lookup(value));
      if (failed(tensor))
        return failure();
      inputs.push_back(*tensor);
    }
    if (failed(poisonResults(launch)))
      return failure();
    for (unsigned k = 0; k < countKernels(launch); ++k)
      if (failed(check(execution->runLaunch(0, firstKernel[i] + k))))
        return failure();
    if (!wanted)
      return success();
    auto expected = evaluateLaunch(launch, inputs);
    if (failed(expected))
      return failure();
    ref::Interpreter::Results results;
    for (auto [r, result] : llvm::enumerate(launch.getResults())) {
      auto actual = readValue(result, numbers.lookup(result));
      if (failed(actual))
        return failure();
      addLayer(launch, r, *actual, (*expected)[r]);
      results.push_back(*actual);
    }
    return options.deviceCodes ? followLaunch(launch, results) : success();
  }

  //===--------------------------------------------------------------------===//
  // The plan in f64, on codes of the device
  //===--------------------------------------------------------------------===//

  /// A value of that run; what no launch makes is what the device has.
  FailureOr<RefTensor> getFollowed(Value value) {
    if (RefTensor known = followed.lookup(value))
      return known;
    if (auto alias = value.getDefiningOp<exec::AliasOp>()) {
      auto input = getFollowed(alias.getInput());
      if (failed(input))
        return failure();
      return input->withType(cast<RankedTensorType>(value.getType()));
    }
    return readValue(value, numbers.lookup(value));
  }

  /// `actual`: what the device made, on inputs of its own.
  LogicalResult followLaunch(exec::LaunchOp launch,
                             ArrayRef<RefTensor> actual) {
    ref::Interpreter::Results inputs;
    for (Value value : launch.getInputs()) {
      auto tensor = getFollowed(value);
      if (failed(tensor))
        return failure();
      inputs.push_back(*tensor);
    }
    auto exact = evaluateLaunch(launch, inputs);
    if (failed(exact))
      return failure();
    size_t first = report.layers.size() - actual.size();
    for (auto [r, result] : llvm::enumerate(launch.getResults())) {
      bool hasCodes = actual[r].isScaled();
      followed[result] = hasCodes ? actual[r] : (*exact)[r];
      if (hasCodes)
        report.layers[first + r].flipsOfGraph =
            countCodeFlips(actual[r], (*exact)[r]);
    }
    return success();
  }

  FailureOr<ref::Interpreter::Results>
  evaluateLaunch(exec::LaunchOp launch, ArrayRef<RefTensor> inputs) {
    auto begin = Clock::now();
    ref::InterpreterOptions interpreterOptions;
    interpreterOptions.threads = options.threads;
    auto results =
        ref::Interpreter(interpreterOptions).run(getKernel(launch), inputs);
    report.referenceSeconds +=
        std::chrono::duration<double>(Clock::now() - begin).count();
    return results;
  }

  func::FuncOp getKernel(exec::LaunchOp launch) {
    return compiler.getModule().lookupSymbol<func::FuncOp>(
        launch.getKernelAttr().getAttr());
  }

  void addLayer(exec::LaunchOp launch, unsigned r, const RefTensor &actual,
                const RefTensor &expected) {
    func::FuncOp kernel = getKernel(launch);
    rt::Tolerance tolerance = getDefaultTolerance(getJudgedType(kernel, r));
    allowRoundedWeights(kernel, tolerance);
    rt::Comparison comparison(options.tolerance.value_or(tolerance));
    compareTensors(actual, expected, comparison);
    LayerReport layer;
    layer.layer = launch.getLayer();
    layer.kind = launch.getKind();
    llvm::raw_string_ostream(layer.dtype) << actual.getElementType();
    layer.kernel = comparison.metrics();
    if (actual.isScaled())
      layer.flips = countCodeFlips(actual, expected);
    if (rt::Status verdict = comparison.verdict(); !verdict.ok())
      layer.problem = verdict.message();
    report.layers.push_back(std::move(layer));
  }

  /// Values by layer name of a whole graph in f64; only float tensors whose
  /// layer the report has.
  struct WholeRun {
    ref::Interpreter::Results outputs;
    llvm::StringMap<RefTensor> layers;
  };

  /// The arguments in the types of another entry point: a baseline may take
  /// f32 where the model takes f16.
  FailureOr<std::vector<RefTensor>> adaptArguments(func::FuncOp entry) {
    std::vector<RefTensor> adapted;
    if (entry.getNumArguments() != arguments.size())
      return failure(failed(fail("the baseline has other inputs")));
    for (auto [tensor, type] : llvm::zip(arguments, entry.getArgumentTypes())) {
      auto wanted = cast<RankedTensorType>(type);
      if (tensor.getType() == wanted) {
        adapted.push_back(tensor);
        continue;
      }
      if (tensor.getShape() != wanted.getShape() || tensor.isInteger() ||
          !isa<FloatType>(wanted.getElementType())) {
        InFlightDiagnostic diag = emitError(UnknownLoc::get(&context))
                                  << "an input is " << tensor.getType()
                                  << " in the model and " << wanted
                                  << " in the baseline";
        return failure();
      }
      adapted.push_back(tensor.rounded(
          wanted, ref::getRounding(wanted.getElementType()), options.threads));
    }
    return adapted;
  }

  FailureOr<WholeRun> evaluateWhole(ModuleOp module) {
    WholeRun whole;
    llvm::StringSet<> wanted;
    for (const LayerReport &layer : report.layers)
      wanted.insert(layer.layer);
    ref::InterpreterOptions interpreterOptions;
    interpreterOptions.threads = options.threads;
    interpreterOptions.probe = [&](Operation *op, ArrayRef<RefTensor> results) {
      StringRef name = getLayerName(op->getLoc());
      if (results.size() == 1 && wanted.contains(name) &&
          isa<FloatType>(results[0].getElementType()) &&
          !op->hasTrait<OpTrait::ConstantLike>() && !isa<nq::ConstantOp>(op))
        whole.layers[name] = results[0]; // the last op of a node is its value
    };
    auto adapted = adaptArguments(getEntry(module));
    if (failed(adapted))
      return failure();
    auto begin = Clock::now();
    auto outputs =
        ref::Interpreter(interpreterOptions).run(getEntry(module), *adapted);
    report.referenceSeconds +=
        std::chrono::duration<double>(Clock::now() - begin).count();
    if (failed(outputs))
      return failure();
    whole.outputs = *outputs;
    return whole;
  }

  FailureOr<OwningOpRef<ModuleOp>> getBaseline() {
    if (options.baseline.empty() && unquantized) {
      report.baseline = "the model before quantization";
      return OwningOpRef<ModuleOp>(unquantized->clone());
    }
    if (options.baseline.empty()) {
      OwningOpRef<ModuleOp> module = canonical->clone();
      dropActivationQuantization(*module);
      report.baseline = "the model without activation quantization";
      return module;
    }
    CompileOptions baseline = options.compile;
    baseline.input = options.baseline;
    baseline.dumpStages.clear();
    baseline.quantize.clear();
    baseline.policy.clear();
    Compiler other(context, baseline);
    if (failed(other.runTo(Stage::Canonical)))
      return failure();
    report.baseline = options.baseline;
    return OwningOpRef<ModuleOp>(other.getModule().clone());
  }

  LogicalResult verifyOutputs() {
    auto exact = evaluateWhole(*canonical);
    auto baselineModule = getBaseline();
    if (failed(exact) || failed(baselineModule))
      return failure();
    func::FuncOp baselineEntry = getEntry(**baselineModule);
    if (baselineEntry.getNumArguments() != plan.getNumArguments() ||
        baselineEntry.getNumResults() != plan.getNumResults())
      return fail("the baseline has other inputs or outputs than the model");
    auto baseline = evaluateWhole(**baselineModule);
    if (failed(baseline))
      return failure();
    Operation *terminator = plan.front().getTerminator();
    for (unsigned i = 0; i < terminator->getNumOperands(); ++i)
      if (failed(addOutput(i, terminator->getOperand(i), exact->outputs[i],
                           baseline->outputs[i])))
        return failure();
    addFormatErrors(*exact, *baseline);
    return success();
  }

  LogicalResult addOutput(unsigned i, Value value, const RefTensor &exact,
                          const RefTensor &baseline) {
    auto type = cast<RankedTensorType>(value.getType());
    std::vector<char> bytes(info().outputs[i].byteSize);
    if (failed(check(execution->getOutput(0, i, bytes.data(), bytes.size()))))
      return failure();
    auto actual = RefTensor::fromStorage(
        type, bytes, [&] { return emitError(value.getLoc()); });
    if (failed(actual))
      return failure();
    if (exact.size() != baseline.size())
      return fail("output " + Twine(i) + " of the baseline has another shape");
    OutputReport output;
    output.name = getPortName(plan, i, false);
    rt::Comparison kernel, format, total;
    compareTensors(*actual, exact, kernel);
    compareTensors(exact, baseline, format);
    compareTensors(*actual, baseline, total);
    output.kernel = kernel.metrics();
    output.format = format.metrics();
    output.total = total.metrics();
    if (options.deviceCodes) {
      auto sameCodes = getFollowed(value);
      if (failed(sameCodes))
        return failure();
      rt::Comparison comparison;
      compareTensors(*actual, *sameCodes, comparison);
      output.sameCodes = comparison.metrics();
    }
    report.outputs.push_back(output);
    return success();
  }

  void addFormatErrors(const WholeRun &exact, const WholeRun &baseline) {
    for (LayerReport &layer : report.layers) {
      RefTensor a = exact.layers.lookup(layer.layer);
      RefTensor b = baseline.layers.lookup(layer.layer);
      if (!a || !b || a.size() != b.size())
        continue;
      rt::Comparison comparison;
      compareTensors(a, b, comparison);
      layer.format = comparison.metrics();
    }
  }

  MLIRContext &context;
  const VerifyOptions &options;
  Compiler compiler;
  OwningOpRef<ModuleOp> canonical;
  OwningOpRef<ModuleOp> unquantized; ///< null if the model is obeyed as it is
  func::FuncOp plan;
  SmallVector<exec::LaunchOp> launches;
  SmallVector<unsigned> firstKernel; ///< of each launch, in the engine
  llvm::DenseMap<Value, unsigned> numbers;
  llvm::DenseMap<Operation *, unsigned> workspaces;
  std::unique_ptr<rt::Context> execution;
  std::vector<RefTensor> arguments;
  llvm::DenseMap<Value, RefTensor> followed;
  VerifyReport report;
};

} // namespace

FailureOr<VerifyReport> nibble::verifyModel(MLIRContext &context,
                                            const VerifyOptions &options) {
  return Verifier(context, options).run();
}
