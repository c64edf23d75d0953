// Plan -> engine file.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Engine/WriteEngine.h"

#include "nibble/Analysis/InPlace.h"
#include "nibble/Analysis/MemoryPlan.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Engine/PackLayout.h"
#include "nibble/rt/engine_writer.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/StringMap.h"

using namespace mlir;
using namespace nibble;

std::string nibble::getRuntimeType(RankedTensorType type, StringRef dtype) {
  if (dtype.starts_with("uint"))
    return ("ui" + dtype.drop_front(4)).str();
  std::string text;
  llvm::raw_string_ostream os(text);
  os << type.getElementType();
  return text;
}

static std::vector<int64_t> shapeOf(RankedTensorType type) {
  return {type.getShape().begin(), type.getShape().end()};
}

namespace {

/// The constant parts of an nq.constant or arith.constant.
struct ConstantParts {
  RankedTensorType type;
  ElementsAttr codes, scales, global, zeroPoints;

  static ConstantParts get(Operation *op) {
    auto type = cast<RankedTensorType>(op->getResult(0).getType());
    if (auto constant = dyn_cast<nq::ConstantOp>(op))
      return {type, constant.getCodes(),
              constant.getScales().value_or(ElementsAttr()),
              constant.getGlobal().value_or(ElementsAttr()),
              constant.getZeroPoints().value_or(ElementsAttr())};
    return {type,
            cast<ElementsAttr>(cast<arith::ConstantOp>(op).getValue()),
            {},
            {},
            {}};
  }
};

class PlanWriter {
public:
  PlanWriter(ModuleOp module, const WriteEngineOptions &options)
      : module(module), options(options) {}

  LogicalResult run(StringRef object) {
    if (failed(check(writer.open(options.path, options.target))))
      return failure();
    writer.setToolVersion("nibble 0.1.0");
    writer.setSource({options.model, options.modelHash, options.command});
    writer.setReport(options.report);
    if (!options.cpuFeatures.empty())
      writer.setCpuFeatures(options.cpuFeatures);
    auto code = addCode(object);
    if (failed(check(code.status())))
      return failure();
    codeIndex = *code;
    for (auto state : module.getOps<nq::StateOp>())
      if (failed(addState(state)))
        return failure();
    for (auto function : module.getOps<func::FuncOp>())
      if (function->hasAttr(kEntryAttr) && failed(addEntry(function)))
        return failure();
    return check(writer.finish());
  }

private:
  /// PTX is stored with the zero that ends it.
  rt::Result<uint32_t> addCode(StringRef object) {
    if (options.target == "cpu")
      return writer.addCode(rt::CodeKind::CpuObject, "kernels", object.data(),
                            object.size());
    std::string text = object.str();
    auto ptx = writer.addCode(rt::CodeKind::Ptx, "kernels", text.c_str(),
                              text.size() + 1);
    if (!ptx.ok() || options.cubin.empty())
      return ptx;
    return writer.addCode(rt::CodeKind::Cubin, "kernels." + options.target,
                          options.cubin.data(), options.cubin.size(), *ptx);
  }

  LogicalResult check(const rt::Status &status) {
    if (status.ok())
      return success();
    return module.emitError()
           << "cannot write '" << options.path << "': " << status.str();
  }

  LogicalResult addState(nq::StateOp op) {
    auto type = cast<RankedTensorType>(op.getType());
    rt::PortDesc port;
    port.name = op.getSymName().str();
    port.dtype = getRuntimeType(type, "");
    port.shape = shapeOf(type);
    port.byteSize = nq::getStorageRegions(type).total;
    auto index = writer.addState(port);
    if (failed(check(index.status())))
      return failure();
    states[op.getSymName()] = *index;
    return success();
  }

  /// Ports of candidates are stored as their kernels want them: larger, where
  /// the layout has gaps. Without scales they are elements in a row then.
  static void addGaps(RankedTensorType type, rt::PortDesc &port) {
    nq::LayoutAttr layout = nq::getLayout(type);
    if (!layout)
      return;
    int64_t stored = layout.getStorageSize(type.getShape());
    if (nq::getScaledElement(type))
      port.byteSize = nq::getStorageRegions(type).total;
    else if (stored != type.getNumElements())
      port.shape = {stored};
  }

  rt::PortDesc getPort(func::FuncOp entry, unsigned i, bool isInput) {
    auto attrs = isInput ? entry.getArgAttrDict(i) : entry.getResultAttrDict(i);
    auto get = [&](StringRef name) {
      auto attr = attrs ? attrs.getAs<StringAttr>(name) : StringAttr();
      return attr ? attr.getValue() : StringRef();
    };
    auto type = cast<RankedTensorType>(isInput ? entry.getArgumentTypes()[i]
                                               : entry.getResultTypes()[i]);
    rt::PortDesc port;
    port.name = get(kNameAttr).str();
    port.dtype = getRuntimeType(type, get(kDtypeAttr));
    port.shape = shapeOf(type);
    addGaps(type, port);
    return port;
  }

  rt::ValueDesc describe(Value value, rt::Storage storage, uint32_t index,
                         uint64_t offset) {
    auto type = cast<RankedTensorType>(value.getType());
    rt::ValueDesc desc;
    desc.name = "v" + std::to_string(entry.values.size());
    desc.dtype = getRuntimeType(type, "");
    desc.shape = shapeOf(type);
    desc.storage = storage;
    desc.index = index;
    desc.offset = offset;
    desc.byteSize = nq::getStorageRegions(type).total;
    return desc;
  }

  void addValue(Value value, rt::ValueDesc desc) {
    indexOf[value] = entry.values.size();
    entry.values.push_back(std::move(desc));
  }

  LogicalResult addConstant(Operation *op) {
    ConstantParts parts = ConstantParts::get(op);
    auto key =
        std::make_pair(Attribute(op->getAttrDictionary()), Type(parts.type));
    auto [it, isNew] = constants.try_emplace(key, 0);
    if (isNew) {
      uint64_t size = nq::getStorageRegions(parts.type).total;
      StringRef name = getLayerName(op->getLoc());
      std::string unique =
          (Twine("c") + Twine(constants.size() - 1) + "." + name).str();
      auto index = writer.addConstant(
          unique, size, [&](const rt::EngineWriter::Append &append) {
            return packConstant(parts.type, parts.codes, parts.scales,
                                parts.global, parts.zeroPoints, append);
          });
      if (failed(check(index.status())))
        return failure();
      it->second = *index;
    }
    addValue(op->getResult(0),
             describe(op->getResult(0), rt::Storage::Constant, it->second, 0));
    return success();
  }

  FailureOr<uint32_t> getKernel(StringRef symbol) {
    auto [it, isNew] = kernels.try_emplace(symbol, 0);
    if (isNew) {
      auto index = writer.addKernel(symbol.str(), codeIndex);
      if (failed(check(index.status())))
        return failure();
      it->second = *index;
    }
    return it->second;
  }

  /// Of values that the kernel updates in place: all but the rows written.
  static uint64_t getBytesLeftAlone(exec::LaunchOp op) {
    auto kernel = SymbolTable::lookupNearestSymbolFrom<func::FuncOp>(
        op, op.getKernelAttr());
    auto bytesOf = [](Value value) {
      return nq::getStorageRegions(cast<RankedTensorType>(value.getType()))
          .total;
    };
    uint64_t bytes = 0;
    for (auto [operand, result] : getUpdatedOperands(kernel)) {
      auto update = kernel.front()
                        .getTerminator()
                        ->getOperand(result)
                        .getDefiningOp<nq::UpdateOp>();
      bytes += 2 * bytesOf(update.getInput()) - bytesOf(update.getRows());
    }
    return bytes;
  }

  LogicalResult addLaunch(exec::LaunchOp op) {
    if ((!op.getExtent() && !op.getGpu()) || !op.getOffsets())
      return op.emitOpError()
             << "layer '" << op.getLayer() << "' is not lowered and planned";
    rt::LaunchDesc launch;
    launch.layer = op.getLayer();
    launch.op = op.getKind();
    launch.results = op.getNumResults();
    for (Value input : op.getInputs()) {
      launch.args.push_back(indexOf.lookup(input));
      launch.bytes += entry.values[launch.args.back()].byteSize;
    }
    for (auto [result, offset] : llvm::zip(op.getResults(), *op.getOffsets())) {
      addValue(result, describeResult(result, offset));
      launch.args.push_back(indexOf.lookup(result));
      launch.bytes += entry.values.back().byteSize;
    }
    launch.bytes -= getBytesLeftAlone(op);
    if (auto flops = op->getAttrOfType<IntegerAttr>("flops"))
      launch.flops = flops.getInt();
    if (op.getGpu())
      return addGpuLaunches(op, launch);
    FailureOr<uint32_t> kernel = getKernel(op.getKernel());
    if (failed(kernel))
      return failure();
    launch.kernel = *kernel;
    launch.extent = *op.getExtent();
    launch.grain = op.getGrain().value_or(1);
    launch.scratchBytes = op.getScratch().value_or(0);
    entry.launches.push_back(std::move(launch));
    return success();
  }

  //===--------------------------------------------------------------------===//
  // GPU
  //===--------------------------------------------------------------------===//

  /// One launch of the plan is one or several kernels, one after the other.
  LogicalResult addGpuLaunches(exec::LaunchOp op, rt::LaunchDesc launch) {
    if (op.getWorkspace()) {
      launch.args.push_back(entry.values.size());
      ++launch.results;
      entry.values.push_back(describeBytes(
          *op.getWorkspace(), op.getWorkspaceOffset().value_or(0)));
    }
    if (op.getCounters()) {
      launch.args.push_back(entry.values.size());
      ++launch.results;
      entry.values.push_back(describeBytes(*op.getCounters(), /*offset=*/0));
    }
    for (auto gpu : op.getGpu()->getAsRange<exec::GpuLaunchAttr>()) {
      FailureOr<uint32_t> kernel = getKernel(gpu.getSymbol());
      if (failed(kernel))
        return failure();
      rt::LaunchDesc desc = launch;
      desc.kernel = *kernel;
      desc.gpu = describeGpu(gpu);
      // Kernels wait themselves for what is before them (GpuKernel.h).
      desc.gpu->overlap = options.overlap && !entry.launches.empty() &&
                          entry.launches.back().gpu;
      keepPassedArgs(desc);
      entry.launches.push_back(std::move(desc));
      // The work of a layer is told once.
      launch.bytes = launch.flops = 0;
    }
    return success();
  }

  /// Of the arena.
  rt::ValueDesc describeBytes(int64_t size, int64_t offset) {
    rt::ValueDesc desc;
    desc.name = "v" + std::to_string(entry.values.size());
    desc.dtype = "ui8";
    desc.shape = {size};
    desc.byteSize = size;
    desc.offset = offset;
    return desc;
  }

  static rt::Dim3 getDim3(ArrayRef<int64_t> dims) {
    return {uint32_t(dims[0]), uint32_t(dims[1]), uint32_t(dims[2])};
  }

  static rt::TensorMapDesc describeMap(exec::TensorMapAttr attr) {
    rt::TensorMapDesc map;
    map.type = attr.getType();
    map.swizzle = attr.getSwizzle();
    map.l2Promotion = attr.getL2Promotion();
    map.sizes.assign(attr.getSizes().begin(), attr.getSizes().end());
    map.strides.assign(attr.getStrides().begin(), attr.getStrides().end());
    map.box.assign(attr.getBox().begin(), attr.getBox().end());
    map.elementStrides.assign(map.box.size(), 1);
    return map;
  }

  static rt::GpuArgDesc describeArg(exec::GpuArgAttr attr) {
    if (attr.getMap())
      return rt::GpuArgDesc::tensorMap(
          attr.getValue(), describeMap(attr.getMap()), attr.getOffset());
    rt::GpuArgDesc arg =
        rt::GpuArgDesc::pointer(attr.getValue(), attr.getOffset());
    if (attr.getBytes().empty())
      return arg;
    arg.kind = rt::GpuArgKind::Bytes;
    arg.bytes.assign(attr.getBytes().begin(), attr.getBytes().end());
    return arg;
  }

  static rt::GpuLaunchDesc describeGpu(exec::GpuLaunchAttr attr) {
    rt::GpuLaunchDesc gpu;
    gpu.grid = getDim3(attr.getGrid());
    gpu.block = getDim3(attr.getBlock());
    gpu.cluster = getDim3(attr.getCluster());
    gpu.sharedBytes = attr.getSharedBytes();
    for (exec::GpuArgAttr arg : attr.getArgs())
      gpu.args.push_back(describeArg(arg));
    return gpu;
  }

  /// A kernel names only the values that it is given.
  static void keepPassedArgs(rt::LaunchDesc &launch) {
    std::vector<int> newIndex(launch.args.size(), -1);
    for (const rt::GpuArgDesc &arg : launch.gpu->args)
      if (arg.kind != rt::GpuArgKind::Bytes)
        newIndex[arg.arg] = 0;
    std::vector<uint32_t> args;
    size_t firstResult = launch.args.size() - launch.results, results = 0;
    for (size_t i = 0; i < launch.args.size(); ++i) {
      if (newIndex[i] < 0)
        continue;
      newIndex[i] = args.size();
      args.push_back(launch.args[i]);
      results += i >= firstResult;
    }
    for (rt::GpuArgDesc &arg : launch.gpu->args)
      if (arg.kind != rt::GpuArgKind::Bytes)
        arg.arg = newIndex[arg.arg];
    launch.args = std::move(args);
    launch.results = results;
  }

  /// In an output, in a state, or in the arena.
  rt::ValueDesc describeResult(Value result, int64_t offset) {
    if (auto it = outputOf.find(result); it != outputOf.end())
      return describe(result, rt::Storage::Output, it->second, 0);
    if (auto it = stateOf.find(result); it != stateOf.end())
      return describe(result, rt::Storage::State, it->second, 0);
    return describe(result, rt::Storage::Arena, 0, offset);
  }

  LogicalResult addOp(Operation *op) {
    if (auto launch = dyn_cast<exec::LaunchOp>(op))
      return addLaunch(launch);
    if (auto alias = dyn_cast<exec::AliasOp>(op)) {
      rt::ValueDesc source = entry.values[indexOf.lookup(alias.getInput())];
      source.shape =
          shapeOf(cast<RankedTensorType>(alias.getResult().getType()));
      source.name = "v" + std::to_string(entry.values.size());
      addValue(alias.getResult(), source);
      return success();
    }
    if (auto read = dyn_cast<nq::StateReadOp>(op)) {
      addValue(read.getResult(), describe(read.getResult(), rt::Storage::State,
                                          states.lookup(read.getState()), 0));
      return success();
    }
    // plan-memory made sure that the value is made in the state.
    if (isa<nq::StateWriteOp>(op))
      return success();
    return addConstant(op);
  }

  LogicalResult addEntry(func::FuncOp function) {
    entry = rt::EntryDesc();
    indexOf.clear();
    outputOf.clear();
    stateOf.clear();
    entry.name = function.getSymName().str();
    auto arena = function->getAttrOfType<IntegerAttr>(kArenaAttr);
    entry.arenaSize = arena ? arena.getInt() : 0;
    for (BlockArgument argument : function.getArguments()) {
      unsigned i = argument.getArgNumber();
      entry.inputs.push_back(getPort(function, i, true));
      addValue(argument, describe(argument, rt::Storage::Input, i, 0));
    }
    Operation *terminator = function.front().getTerminator();
    for (OpOperand &operand : terminator->getOpOperands()) {
      outputOf[exec::getRoot(operand.get())] = operand.getOperandNumber();
      entry.outputs.push_back(
          getPort(function, operand.getOperandNumber(), false));
    }
    for (auto write : function.front().getOps<nq::StateWriteOp>())
      stateOf[exec::getRoot(write.getValue())] =
          states.lookup(write.getState());
    for (Operation &op : function.front().without_terminator())
      if (failed(addOp(&op)))
        return failure();
    return check(writer.addEntry(entry).status());
  }

  ModuleOp module;
  const WriteEngineOptions &options;
  rt::EngineWriter writer;
  uint32_t codeIndex = 0;
  llvm::DenseMap<std::pair<Attribute, Type>, uint32_t> constants;
  llvm::StringMap<uint32_t> kernels, states;
  // Of the entry point being written:
  rt::EntryDesc entry;
  llvm::DenseMap<Value, uint32_t> indexOf, outputOf, stateOf;
};

} // namespace

LogicalResult nibble::writeEngine(ModuleOp module, StringRef object,
                                  const WriteEngineOptions &options) {
  return PlanWriter(module, options).run(object);
}
