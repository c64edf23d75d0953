// calibrate: the graph on the CPU, with probes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Pipelines/Calibration.h"

#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Support/Refusal.h"
#include "nibble/Transforms/Quantize/Layers.h"
#include "nibble/Transforms/Remarks.h"
#include "nibble/rt/array.h"
#include "nibble/rt/device.h"
#include "nibble/rt/session.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/FileSystem.h"

#include <thread>

using namespace mlir;
using namespace nibble;

/// |x| in f32.
static Value createMagnitude(OpBuilder &builder, Value x) {
  auto type = cast<RankedTensorType>(x.getType());
  Type f32 = builder.getF32Type();
  Location loc = builder.getUnknownLoc();
  Value init = tensor::EmptyOp::create(builder, loc, type.getShape(), f32);
  auto map = builder.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> loops(type.getRank(),
                                         utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             builder, loc, TypeRange{init.getType()}, ValueRange{x},
             ValueRange{init}, ArrayRef<AffineMap>{map, map}, loops,
             [&](OpBuilder &b, Location loc, ValueRange args) {
               Value wide = args[0];
               if (wide.getType() != f32)
                 wide = arith::ExtFOp::create(b, loc, f32, wide);
               linalg::YieldOp::create(
                   b, loc, Value(math::AbsFOp::create(b, loc, wide)));
             })
      .getResult(0);
}

namespace {

/// A tensor whose range is wanted, and the layers that want it.
struct Probe {
  SmallVector<nq::MatmulOp> layers;
  std::optional<MagnitudeHistogram> histogram;
  std::string nonFiniteSample; ///< the first sample with a NaN or infinity
  unsigned output = 0;         ///< result number in the probed graph
};

class Calibrator {
public:
  Calibrator(ModuleOp module, const CompileOptions &options,
             Decisions &decisions)
      : module(module), context(*module.getContext()), options(options),
        decisions(decisions) {}

  LogicalResult run() {
    if (failed(findProbes()))
      return failure();
    if (probes.empty()) {
      if (!options.calib.empty())
        emitRemark(UnknownLoc::get(&context))
            << "--calib '" << options.calib
            << "' was not needed: no layer has static scales";
      return success();
    }
    auto parsed = CalibrationMethod::parse(options.calibMethod);
    if (!parsed)
      return fail(llvm::toString(parsed.takeError()));
    method = *parsed;
    if (options.calib.empty())
      return refuseWithoutSamples();
    SmallString<128> path;
    if (llvm::sys::fs::createTemporaryFile("nibble-calib", "nbl", path))
      return fail("cannot create a temporary file");
    llvm::scope_exit cleanup([&] { llvm::sys::fs::remove(path); });
    if (failed(findSamplesOfEntry()) || failed(compile(path)) ||
        failed(open(path)) || failed(bindProbes()))
      return failure();
    for (const CalibrationSample &sample : samples)
      if (failed(runSample(sample)))
        return failure();
    return finish();
  }

private:
  LogicalResult fail(const Twine &message) {
    return emitError(UnknownLoc::get(&context))
           << "calibration: " << message.str();
  }
  LogicalResult check(const rt::Status &status) {
    return status.ok() ? success() : fail(status.str());
  }

  LogicalResult findProbes() {
    for (auto function : module.getOps<func::FuncOp>()) {
      if (!function->hasAttr(kEntryAttr))
        continue;
      for (const Layer &layer : collectLayers(function)) {
        auto format = getPrecision(layer.op);
        if (failed(format))
          return failure();
        if (!*format || !(*format)->needsCalibration())
          continue;
        if (entry && entry != function)
          return fail("models with several entry points are not supported");
        entry = function;
        auto matmul = cast<nq::MatmulOp>(layer.op);
        probes[matmul.getA()].layers.push_back(matmul);
      }
    }
    return success();
  }

  LogicalResult refuseWithoutSamples() {
    unsigned layers = 0;
    for (auto &probe : probes)
      layers += probe.second.layers.size();
    nq::MatmulOp first = probes.front().second.layers.front();
    auto format = getPrecision(first);
    return emitRefusal(
        first.getLoc(),
        {"quantize", getLayerName(first.getLoc()),
         getSpelling((*format)->precision),
         std::to_string(layers) +
             " layers, this one first, need scales of their activations from "
             "samples, and there are none",
         "give samples of the model's inputs with --calib DIR, choose a format "
         "with dynamic scales only (mxfp8, mxfp4), or quantize weights only "
         "with the option activations=none"});
  }

  LogicalResult findSamplesOfEntry() {
    std::vector<std::string> inputs;
    for (unsigned i = 0; i < entry.getNumArguments(); ++i) {
      auto name = entry.getArgAttrOfType<StringAttr>(i, kNameAttr);
      inputs.push_back(name ? name.getValue().str()
                            : "arg" + std::to_string(i));
    }
    auto found = findSamples(options.calib, inputs);
    if (!found)
      return fail(llvm::toString(found.takeError()));
    samples = std::move(*found);
    return success();
  }

  /// A copy of the graph that also gives the magnitudes of all probes.
  OwningOpRef<ModuleOp> createProbedGraph() {
    IRMapping mapping;
    OwningOpRef<ModuleOp> copy = cast<ModuleOp>(module->clone(mapping));
    auto function = copy->lookupSymbol<func::FuncOp>(entry.getSymName());
    Operation *terminator = function.front().getTerminator();
    firstOutput = function.getNumResults();
    for (auto &[value, probe] : probes) {
      Value x = mapping.lookup(value);
      OpBuilder builder(&context);
      builder.setInsertionPointAfterValue(x);
      Value magnitude = createMagnitude(builder, x);
      probe.output = function.getNumResults();
      probe.histogram.emplace(method.percentile < 100);
      auto name = builder.getNamedAttr(
          kNameAttr,
          builder.getStringAttr("probe" + std::to_string(probe.output)));
      (void)function.insertResult(probe.output, magnitude.getType(),
                                  builder.getDictionaryAttr(name));
      terminator->insertOperands(terminator->getNumOperands(), magnitude);
    }
    return copy;
  }

  LogicalResult compile(StringRef path) {
    CompileOptions plain;
    plain.input = options.input;
    plain.output = path.str();
    plain.command = options.command;
    plain.reproducerDir = options.reproducerDir;
    Compiler compiler(context, plain, createProbedGraph(), Stage::Fuse);
    decisions.setMuted(true);
    llvm::scope_exit restore([&] { decisions.setMuted(false); });
    return compiler.runTo(Stage::Engine);
  }

  LogicalResult open(StringRef path) {
    auto engine = rt::Engine::load(path.str());
    if (!engine.ok())
      return check(engine.status());
    rt::DeviceOptions options;
    options.threads = std::max(1u, std::thread::hardware_concurrency());
    auto device = rt::createDevice("cpu", options);
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

  bool isProbe(const rt::ValueInfo &value) {
    return value.storage == rt::Storage::Output && value.index >= firstOutput;
  }

  /// Magnitudes are read when their launch ends, so launches share memory;
  /// unless another launch reads them, too.
  LogicalResult bindProbes() {
    llvm::DenseSet<unsigned> kept;
    for (const rt::LaunchInfo &launch : info().launches)
      for (uint32_t arg : getInputs(launch))
        if (isProbe(info().values[arg]))
          kept.insert(info().values[arg].index);
    std::vector<std::pair<unsigned, uint64_t>> offsets;
    uint64_t shared = 0, own = 0;
    for (const rt::LaunchInfo &launch : info().launches) {
      uint64_t size = 0;
      for (uint32_t arg : getResults(launch)) {
        const rt::ValueInfo &value = info().values[arg];
        if (!isProbe(value) || kept.contains(value.index))
          continue;
        offsets.push_back({value.index, size});
        size += llvm::alignTo(value.byteSize, 64);
      }
      shared = std::max(shared, size);
    }
    for (unsigned index : kept) {
      offsets.push_back({index, shared + own});
      own += llvm::alignTo(info().outputs[index].byteSize, 64);
    }
    if (offsets.size() != probes.size())
      return fail("a probe was lost in compilation; this is a bug");
    memory.resize(shared + own + 64);
    char *base = reinterpret_cast<char *>(
        llvm::alignTo(reinterpret_cast<uintptr_t>(memory.data()), 64));
    for (auto [index, offset] : offsets)
      if (failed(check(execution->bindOutput(0, index, base + offset,
                                             info().outputs[index].byteSize))))
        return failure();
    return success();
  }

  ArrayRef<uint32_t> getInputs(const rt::LaunchInfo &launch) {
    return ArrayRef<uint32_t>(launch.args.data(), launch.args.size())
        .drop_back(launch.results);
  }
  ArrayRef<uint32_t> getResults(const rt::LaunchInfo &launch) {
    return ArrayRef<uint32_t>(launch.args.data(), launch.args.size())
        .take_back(launch.results);
  }

  LogicalResult setInputs(const CalibrationSample &sample) {
    for (unsigned i = 0; i < info().inputs.size(); ++i) {
      const rt::PortInfo &port = info().inputs[i];
      auto context = "sample '" + sample.name + "', input '" +
                     std::string(port.name) + "'";
      auto file = rt::readNpy(sample.files[i]);
      if (!file.ok())
        return check(std::move(rt::Status(file.status())).withContext(context));
      std::string note;
      auto array = rt::adaptArray(std::move(*file), std::string(port.dtype),
                                  port.shape, note);
      if (!array.ok())
        return check(
            std::move(rt::Status(array.status())).withContext(context));
      if (!note.empty() && noted.insert(i).second)
        emitRemark(UnknownLoc::get(&this->context))
            << "calibration: " << context << ": " << note;
      if (failed(check(execution->setInput(0, i, array->data.data(),
                                           array->data.size()))))
        return failure();
    }
    return success();
  }

  LogicalResult runSample(const CalibrationSample &sample) {
    if (failed(setInputs(sample)))
      return failure();
    rt::RunOptions runOptions;
    runOptions.probe = [&](const rt::ProbeEvent &event) {
      unsigned inputs = event.info->args.size() - event.info->results;
      for (auto [i, arg] : llvm::enumerate(getResults(*event.info)))
        if (const rt::ValueInfo &value = info().values[arg]; isProbe(value))
          record(value.index,
                 static_cast<const float *>(event.args[inputs + i]),
                 value.byteSize / sizeof(float), sample);
      return rt::Status();
    };
    return check(execution->run(0, runOptions));
  }

  void record(unsigned output, const float *magnitudes, int64_t count,
              const CalibrationSample &sample) {
    Probe &probe = (probes.begin() + (output - firstOutput))->second;
    probe.histogram->add(magnitudes, count);
    if (probe.histogram->sawNonFinite() && probe.nonFiniteSample.empty())
      probe.nonFiniteSample = "'" + sample.name + "'";
  }

  LogicalResult finish() {
    bool ok = true;
    for (auto &[value, probe] : probes)
      for (nq::MatmulOp layer : probe.layers)
        ok &= succeeded(setAmax(layer, probe));
    if (!ok)
      return failure();
    emitRemark(UnknownLoc::get(&context))
        << "calibrated " << probes.size() << " tensors on " << samples.size()
        << (samples.size() == 1 ? " sample" : " samples") << " of '"
        << options.calib << "' (" << method.str() << ")";
    return success();
  }

  LogicalResult setAmax(nq::MatmulOp layer, const Probe &probe) {
    const MagnitudeHistogram &histogram = *probe.histogram;
    float amax = histogram.getPercentile(method.percentile);
    std::string why;
    if (!probe.nonFiniteSample.empty())
      why = "its activations have a NaN or infinity on sample " +
            probe.nonFiniteSample;
    else if (histogram.getMax() == 0)
      why = "its activations are zero on all " +
            std::to_string(samples.size()) + " samples";
    else if (amax == 0)
      why = "its activations are zero up to " + method.str();
    if (!why.empty())
      return refuse(layer, why);
    remarkDone(layer.getLoc(), "calibrate")
        << RemarkArg("chosen", method.str()) << RemarkArg("amax", amax)
        << RemarkArg("max", histogram.getMax())
        << RemarkArg("samples", uint64_t(samples.size()))
        << RemarkArg("reason", "range of the activations on the samples");
    layer->setAttr(kAmaxAttr, Builder(&context).getF32FloatAttr(amax));
    return success();
  }

  LogicalResult refuse(nq::MatmulOp layer, const std::string &why) {
    auto format = getPrecision(layer);
    return emitRefusal(
        layer.getLoc(),
        {"quantize", getLayerName(layer.getLoc()),
         getSpelling((*format)->precision), why,
         "give samples that exercise this layer, or another format for it in "
         "the policy"});
  }

  ModuleOp module;
  MLIRContext &context;
  const CompileOptions &options;
  Decisions &decisions;
  CalibrationMethod method;
  func::FuncOp entry;
  llvm::MapVector<Value, Probe> probes;
  unsigned firstOutput = 0;
  std::vector<CalibrationSample> samples;
  std::unique_ptr<rt::Context> execution;
  std::vector<char> memory;
  std::set<unsigned> noted;
};

} // namespace

LogicalResult nibble::calibrate(ModuleOp module, const CompileOptions &options,
                                Decisions &decisions) {
  return Calibrator(module, options, decisions).run();
}
