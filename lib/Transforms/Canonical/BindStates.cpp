// bind-states: an input and an output of an entry point become a state.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/IR/Builders.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/StringSet.h"

namespace nibble {
#define GEN_PASS_DEF_BINDSTATES
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

/// What `*` stands for if `pattern` matches `name`; nothing if it does not. A
/// pattern without `*` matches itself, and `*` stands for nothing.
static std::optional<StringRef> match(StringRef pattern, StringRef name) {
  auto [before, after] = pattern.split('*');
  if (!pattern.contains('*'))
    return pattern == name ? std::optional<StringRef>("") : std::nullopt;
  if (name.size() < before.size() + after.size() ||
      !name.consume_front(before) || !name.consume_back(after))
    return std::nullopt;
  return name;
}

static std::string substitute(StringRef pattern, StringRef star) {
  auto [before, after] = pattern.split('*');
  if (!pattern.contains('*'))
    return pattern.str();
  return (before + star + after).str();
}

static StringRef getPortName(func::FuncOp entry, unsigned i, bool isInput) {
  auto name = isInput ? entry.getArgAttrOfType<StringAttr>(i, kNameAttr)
                      : entry.getResultAttrOfType<StringAttr>(i, kNameAttr);
  return name ? name.getValue() : StringRef();
}

/// The axis along which two types differ, if they differ along one only.
static std::optional<int64_t> getGrownAxis(RankedTensorType a,
                                           RankedTensorType b) {
  std::optional<int64_t> axis;
  if (a.getElementType() != b.getElementType() || a.getRank() != b.getRank())
    return axis;
  for (int64_t d = 0; d < a.getRank(); ++d)
    if (a.getDimSize(d) != b.getDimSize(d)) {
      if (axis)
        return std::nullopt;
      axis = d;
    }
  return axis;
}

namespace {

/// Input and output number of one state.
struct Binding {
  unsigned input, output;
  StringRef name; ///< of the input, and of the state
};

struct BindStatesPass : nibble::impl::BindStatesBase<BindStatesPass> {
  using nibble::impl::BindStatesBase<BindStatesPass>::BindStatesBase;

  void runOnOperation() override {
    for (const std::string &text : states)
      if (failed(bind(text)))
        return refuse(text);
  }

  /// What a user asks for and cannot have: told as a remark, too.
  void refuse(StringRef text) {
    remark::failed(
        getOperation().getLoc(),
        remark::RemarkOpts::name("bind-states").category(kRemarkCategory))
        << RemarkArg("layer", "") << RemarkArg("requested", text)
        << RemarkArg("reason", "the input and the output cannot be one state");
    signalPassFailure();
  }

  LogicalResult fail(const Twine &message) {
    return getOperation().emitError() << message;
  }

  LogicalResult bind(StringRef text) {
    auto [from, to] = text.split('=');
    if (from.empty() || to.empty() || from.count('*') > 1 ||
        from.count('*') != to.count('*'))
      return fail("state '" + text +
                  "' is not INPUT=OUTPUT, with at most one * on each side");
    bool any = false;
    for (auto entry : getOperation().getOps<func::FuncOp>()) {
      if (!entry->hasAttr(kEntryAttr))
        continue;
      SmallVector<Binding> bindings;
      if (failed(findBindings(entry, from, to, bindings)))
        return failure();
      any |= !bindings.empty();
      if (failed(apply(entry, bindings)))
        return failure();
    }
    return any ? success() : failInput(from);
  }

  LogicalResult failInput(StringRef from) {
    InFlightDiagnostic diag = getOperation().emitError()
                              << "state '" << from
                              << "': no entry point has such an input";
    for (auto entry : getOperation().getOps<func::FuncOp>())
      for (unsigned i = 0;
           entry->hasAttr(kEntryAttr) && i < entry.getNumArguments(); ++i)
        diag.attachNote(entry.getLoc())
            << "input '" << getPortName(entry, i, true) << "' of '"
            << entry.getName() << "'";
    return diag;
  }

  LogicalResult findBindings(func::FuncOp entry, StringRef from, StringRef to,
                             SmallVectorImpl<Binding> &bindings) {
    for (unsigned i = 0; i < entry.getNumArguments(); ++i) {
      StringRef name = getPortName(entry, i, true);
      auto star = match(from, name);
      if (!star)
        continue;
      std::string wanted = substitute(to, *star);
      std::optional<unsigned> output;
      for (unsigned j = 0; j < entry.getNumResults(); ++j)
        if (getPortName(entry, j, false) == wanted)
          output = j;
      if (!output)
        return entry.emitError()
               << "state '" << name << "': '" << entry.getName()
               << "' has no output '" << wanted << "' to pair it with";
      if (failed(checkTypes(entry, i, *output)))
        return failure();
      bindings.push_back({i, *output, name});
    }
    return success();
  }

  LogicalResult checkTypes(func::FuncOp entry, unsigned input,
                           unsigned output) {
    auto a = cast<RankedTensorType>(entry.getArgumentTypes()[input]);
    auto b = cast<RankedTensorType>(entry.getResultTypes()[output]);
    if (a == b)
      return success();
    InFlightDiagnostic diag =
        entry.emitError() << "state '" << getPortName(entry, input, true)
                          << "': the input is " << a << ", the output '"
                          << getPortName(entry, output, false) << "' is " << b;
    if (auto axis = getGrownAxis(a, b))
      return diag << "; a cache that grows along axis " << *axis
                  << " has no fixed place. Export the model with a cache of "
                     "fixed size that a step writes its rows into (a static "
                     "cache: TensorScatter, ScatterElements or Where)";
    return diag << "; a state has one type";
  }

  LogicalResult apply(func::FuncOp entry, ArrayRef<Binding> bindings) {
    llvm::BitVector inputs(entry.getNumArguments()),
        outputs(entry.getNumResults());
    Operation *terminator = entry.front().getTerminator();
    for (const Binding &binding : bindings) {
      if (outputs.test(binding.output))
        return entry.emitError() << "state '" << binding.name << "': output '"
                                 << getPortName(entry, binding.output, false)
                                 << "' belongs to another state already";
      inputs.set(binding.input);
      outputs.set(binding.output);
      BlockArgument argument = entry.getArgument(binding.input);
      auto symbol = getState(entry, binding.name, argument.getType());
      if (failed(symbol))
        return failure();
      Location loc = NameLoc::get(
          StringAttr::get(entry.getContext(), binding.name), entry.getLoc());
      OpBuilder builder = OpBuilder::atBlockBegin(&entry.front());
      auto read =
          nq::StateReadOp::create(builder, loc, argument.getType(), *symbol);
      argument.replaceAllUsesWith(read.getResult());
      builder.setInsertionPoint(terminator);
      nq::StateWriteOp::create(builder, loc, *symbol,
                               terminator->getOperand(binding.output));
    }
    terminator->eraseOperands(outputs);
    if (failed(entry.eraseArguments(inputs)) ||
        failed(entry.eraseResults(outputs)))
      return entry.emitError() << "cannot drop inputs and outputs";
    return success();
  }

  /// The state `name`; several entry points share it.
  FailureOr<FlatSymbolRefAttr> getState(func::FuncOp entry, StringRef name,
                                        Type type) {
    ModuleOp module = getOperation();
    Operation *known = SymbolTable::lookupSymbolIn(module, name);
    if (auto state = dyn_cast_if_present<nq::StateOp>(known)) {
      if (state.getType() == type)
        return FlatSymbolRefAttr::get(state.getSymNameAttr());
      return entry.emitError()
             << "state '" << name << "' is " << state.getType()
             << " elsewhere, and " << type << " in '" << entry.getName() << "'";
    }
    if (known)
      return entry.emitError()
             << "state '" << name << "': something else has this name already";
    OpBuilder builder = OpBuilder::atBlockBegin(module.getBody());
    auto state = nq::StateOp::create(builder, entry.getLoc(), name, type);
    return FlatSymbolRefAttr::get(state.getSymNameAttr());
  }
};

} // namespace
