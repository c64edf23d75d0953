// select-kernels: the kernel class of every region, and why.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PredictRegion.h"

#include "nibble/KernelSelect/KernelClass.h"
#include "nibble/KernelSelect/Passes.h"
#include "nibble/Support/FallbackPolicy.h"
#include "nibble/Support/Refusal.h"
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Remarks.h"

#include "llvm/ADT/SetVector.h"
#include "llvm/Support/JSON.h"

namespace nibble {
#define GEN_PASS_DEF_SELECTKERNELS
#include "lib/KernelSelect/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

/// Layers whose ops a region holds, in order.
static llvm::json::Array getLayers(nq::RegionOp region) {
  SetVector<StringRef> names;
  for (Operation &op : region.getBlock().without_terminator())
    if (StringRef name = getLayerName(op.getLoc()); !name.empty())
      names.insert(name);
  llvm::json::Array array;
  for (StringRef name : names)
    array.push_back(llvm::json::fixUTF8(name));
  return array;
}

/// Layers whose formats the kernel decides: the products, or its root.
static llvm::json::Array getDecided(nq::RegionOp region) {
  SetVector<StringRef> names;
  for (Operation &op : region.getBlock().without_terminator())
    if (isa<nq::MatmulOp, nq::AttentionOp>(op))
      names.insert(getLayerName(op.getLoc()));
  if (names.empty())
    names.insert(getLayerName(region.getLoc()));
  llvm::json::Array array;
  for (StringRef name : names)
    array.push_back(llvm::json::fixUTF8(name));
  return array;
}

static std::string print(Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return text;
}

/// Types with their layouts.
static llvm::json::Array getTypes(ValueRange values) {
  llvm::json::Array array;
  for (Value value : values)
    array.push_back(print(value.getType()));
  return array;
}

static llvm::json::Array getRejected(const KernelChoice &choice) {
  llvm::json::Array array;
  for (const RejectedKernel &rejected : choice.rejected)
    array.push_back(llvm::json::Object{{"kernel", rejected.kernel},
                                       {"reason", rejected.reason}});
  return array;
}

static std::string toText(llvm::json::Value value) {
  std::string text;
  llvm::raw_string_ostream(text) << value;
  return text;
}

static llvm::json::Array getFusions(nq::RegionOp region) {
  llvm::json::Array array;
  if (std::optional<ArrayAttr> names = region.getFused())
    for (Attribute name : *names)
      array.push_back(cast<StringAttr>(name).str());
  return array;
}

static std::string printLayout(Type type) {
  std::string text;
  if (nq::LayoutAttr layout = nq::getLayout(type))
    llvm::raw_string_ostream(text) << layout;
  return text.empty() ? "row-major" : text;
}

static llvm::json::Object describeReformat(StringRef how, Type from, Type to) {
  return llvm::json::Object{
      {"how", how.str()},
      {"from", printLayout(from)},
      {"to", printLayout(to)},
      {"bytes", nq::getStorageRegions(cast<RankedTensorType>(from)).total +
                    nq::getStorageRegions(cast<RankedTensorType>(to)).total}};
}

/// What would have been a kernel of its own: changes of layout in the loads and
/// stores of the region, and constants that are packed at compile time.
static llvm::json::Array getRemovedReformats(nq::RegionOp region) {
  llvm::json::Array array;
  if (region.getKind() == "reformat")
    return array;
  for (auto op : region.getBlock().getOps<nq::ReformatOp>())
    array.push_back(describeReformat(op.getReason().value_or("absorbed"),
                                     op.getInput().getType(), op.getType()));
  for (Value input : region.getInputs())
    if (isa_and_present<nq::ConstantOp>(input.getDefiningOp()) &&
        nq::getLayout(input.getType())) {
      auto type = cast<RankedTensorType>(input.getType());
      array.push_back(describeReformat(
          "packed at compile time",
          RankedTensorType::get(type.getShape(), type.getElementType()), type));
    }
  return array;
}

/// The change of layout that the region is.
static llvm::json::Array getRemainingReformats(nq::RegionOp region) {
  llvm::json::Array array;
  if (region.getKind() == "reformat")
    for (auto op : region.getBlock().getOps<nq::ReformatOp>())
      array.push_back(describeReformat("at run time", op.getInput().getType(),
                                       op.getType()));
  return array;
}

namespace {
struct SelectKernelsPass : nibble::impl::SelectKernelsBase<SelectKernelsPass> {
  using nibble::impl::SelectKernelsBase<SelectKernelsPass>::SelectKernelsBase;
  SelectKernelsPass(StringRef name, FallbackPolicy *fallbacks, StringRef file,
                    bool onlyMeasured)
      : fallbacks(fallbacks) {
    target = name.str();
    tuning = file.str();
    locked = onlyMeasured;
  }

  void runOnOperation() override {
    if (!getOperation()->hasAttr(kEntryAttr))
      return;
    std::optional<Machine> machine = getMachine(target, getOperation());
    if (!machine)
      return signalPassFailure();
    if (failed(readTuning()))
      return signalPassFailure();
    bool ok = true;
    int64_t index = 0;
    for (auto region : getOperation().front().getOps<nq::RegionOp>())
      ok &= select(region, *machine, index++);
    if (!ok)
      signalPassFailure();
  }

  LogicalResult readTuning() {
    if (tuning.empty())
      return success();
    auto read = TuningDb::load(tuning);
    if (!read)
      return getOperation().emitError() << llvm::toString(read.takeError());
    measured = std::move(*read);
    return success();
  }

  /// The user's database goes before the built-in one.
  ScheduleChoice schedule(nq::RegionOp region, const KernelChoice &choice,
                          const Machine &machine) {
    if (!choice.kernel)
      return {};
    return chooseSchedule(region, *choice.kernel, machine,
                          {&measured, &TuningDb::getBuiltIn(target)});
  }

  bool refuseUnmeasured(nq::RegionOp region, const ScheduleChoice &choice) {
    emitRefusal(region.getLoc(),
                {"select-kernels", getLayerName(region.getLoc()),
                 "a measured schedule (--locked)", choice.reason,
                 "measure it (docs/performance.md) and give the rows with "
                 "--tuning-db, or compile without --locked"});
    return false;
  }

  bool select(nq::RegionOp region, const Machine &machine, int64_t index) {
    KernelChoice choice = chooseKernel(region, machine);
    ScheduleChoice chosen = schedule(region, choice, machine);
    explain(region, machine, choice, chosen, index);
    if (locked && !chosen.schedule.empty() && !chosen.measured)
      return refuseUnmeasured(region, chosen);
    StringRef layer = getLayerName(region.getLoc());
    if (choice.kernel && !choice.asRequested && permits(region, choice))
      emitRemark(region.getLoc())
          << "layer '" << layer << "': requested " << choice.requested
          << ", chosen " << choice.chosen << ": " << choice.reason
          << " (allowed by --allow-fallback)";
    else if (!choice.kernel || !choice.asRequested)
      return refuse(region, choice);
    Builder builder(region.getContext());
    region->setAttr(kKernelClassAttr,
                    builder.getStringAttr(choice.kernel->name));
    region->setAttr(kMathAttr, builder.getStringAttr(choice.chosen));
    if (!chosen.schedule.empty())
      region->setAttr(kScheduleAttr, builder.getStringAttr(chosen.schedule));
    return true;
  }

  /// True if the user let the region have what was chosen, which uses up the
  /// permissions of its layers.
  bool permits(nq::RegionOp region, const KernelChoice &choice) {
    if (!isPermitted(region, choice.chosen))
      return false;
    for (StringRef layer : getProductLayers(region))
      if (fallbacks)
        fallbacks->permits(layer, choice.chosen);
    return true;
  }

  bool refuse(nq::RegionOp region, const KernelChoice &choice) {
    std::string requested =
        choice.requested.empty() ? "these types" : choice.requested;
    InFlightDiagnostic diag =
        emitRefusal(region.getLoc(),
                    {"select-kernels", getLayerName(region.getLoc()), requested,
                     (Twine(target) + " has no kernel for " + region.getKind() +
                      " of " + requested)
                         .str(),
                     choice.suggestion});
    for (const RejectedKernel &rejected : choice.rejected)
      diag.attachNote() << rejected.kernel << ": " << rejected.reason;
    return false;
  }

  /// Everything that a report tells about the region.
  void explain(nq::RegionOp region, const Machine &machine,
               const KernelChoice &choice, const ScheduleChoice &chosen,
               int64_t index) {
    Traffic traffic = getTraffic(region);
    int64_t flops = getFlops(region), bytes = traffic.read + traffic.written;
    MathFormat math = choice.kernel ? choice.kernel->math : MathFormat::F32;
    if (!machine.hasMath(math)) // numbers of that format, in f32
      math = MathFormat::F32;
    auto remark = mlir::remark::analysis(
        region.getLoc(), mlir::remark::RemarkOpts::name("select-kernels")
                             .category(kRemarkCategory));
    double datasheet = machine.datasheet.getSeconds(bytes, flops, math);
    double reached = machine.reached.getSeconds(bytes, flops, math);
    std::optional<double> predicted =
        predictRegion(region, choice.kernel, chosen, machine);
    bool memoryBound = machine.reached.getSeconds(bytes, 0, math) >= reached;
    remark << RemarkArg("layer", getLayerName(region.getLoc()))
           << RemarkArg("entry", getOperation().getSymName())
           << RemarkArg("index", index) << RemarkArg("target", machine.target)
           << RemarkArg("op", region.getKind())
           << RemarkArg("layers", toText(getLayers(region)))
           << RemarkArg("decides", toText(getDecided(region)))
           << RemarkArg("fused", toText(getFusions(region)))
           << RemarkArg("reformats_removed",
                        toText(getRemovedReformats(region)))
           << RemarkArg("reformats_remaining",
                        toText(getRemainingReformats(region)))
           << RemarkArg("requested", choice.requested)
           << RemarkArg("chosen", choice.chosen)
           << RemarkArg("as_requested", choice.kernel && choice.asRequested)
           << RemarkArg("kernel", choice.kernel ? choice.kernel->name.str()
                                                : std::string())
           << RemarkArg("schedule", chosen.schedule)
           << RemarkArg("inputs", toText(getTypes(region.getInputs())))
           << RemarkArg("results", toText(getTypes(region.getResults())))
           << RemarkArg("bytes_read", traffic.read)
           << RemarkArg("bytes_written", traffic.written)
           << RemarkArg("flops", flops)
           << RemarkArg("datasheet_us", datasheet * 1e6)
           << RemarkArg("reached_us", reached * 1e6)
           << RemarkArg("predicted_us", predicted ? *predicted * 1e6 : 0.0)
           << RemarkArg("bound", memoryBound ? "memory" : "arithmetic")
           << RemarkArg("reason",
                        choice.reason +
                            (chosen.reason.empty() ? "" : "; " + chosen.reason))
           << RemarkArg("rejected", toText(getRejected(choice)))
           << RemarkArg("suggestion", choice.suggestion);
  }

  FallbackPolicy *fallbacks = nullptr;
  TuningDb measured;
};
} // namespace

std::unique_ptr<Pass> nibble::createSelectKernelsPass(StringRef target,
                                                      FallbackPolicy *fallbacks,
                                                      StringRef tuning,
                                                      bool locked) {
  return std::make_unique<SelectKernelsPass>(target, fallbacks, tuning, locked);
}
