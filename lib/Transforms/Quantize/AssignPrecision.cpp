// assign-precision: the policy's formats become attributes of layers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/Quantize/AssignPrecision.h"

#include "Feasibility.h"

#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Support/Refusal.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

namespace nibble {
#define GEN_PASS_DEF_ASSIGNPRECISION
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

static constexpr llvm::StringLiteral kPass = "assign-precision";

std::string PrecisionSummary::str() const {
  std::string text;
  for (const auto &[name, count] : chosen)
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + name;
  if (untouchedLinear)
    text += (text.empty() ? "" : ", ") + std::to_string(untouchedLinear) +
            " without a rule";
  if (fallbacks)
    text += "; " + std::to_string(fallbacks) + " by --allow-fallback";
  return text;
}

namespace {

/// What became of the layers that a rule decides.
struct RuleUse {
  unsigned decided = 0;  ///< satisfied, applied or refused
  unsigned noFormat = 0; ///< have no such format of their own
  Operation *first = nullptr;
};

class Assigner {
public:
  Assigner(const PrecisionPolicy &policy, FallbackPolicy &fallbacks,
           PrecisionSummary &summary)
      : policy(policy), fallbacks(fallbacks), summary(summary),
        uses(policy.rules.size()) {}

  LogicalResult run(ModuleOp module) {
    for (auto function : module.getOps<func::FuncOp>())
      if (!function->hasAttr(kKernelAttr))
        llvm::append_range(layers, collectLayers(function));
    for (const Layer &layer : layers)
      decide(layer);
    for (size_t i = 0; i < uses.size(); ++i)
      checkRule(module, i);
    return success(!failed);
  }

private:
  void decide(const Layer &layer) {
    auto index = policy.find(layer.name, layer.kind);
    if (!index) {
      summary.untouchedLinear += layer.kind == LayerKind::Linear;
      return;
    }
    const PolicyRule &rule = policy.rules[*index];
    RuleUse &use = uses[*index];
    if (!use.first)
      use.first = layer.op;
    Verdict verdict = judge(layer, rule.format);
    if (verdict.kind == Verdict::NoFormat) {
      ++use.noFormat;
      report(layer, rule, "as the model has it",
             getSpelling(layer.kind).str() +
                 " ops have no format of their own");
      return;
    }
    ++use.decided;
    if (verdict.kind == Verdict::Impossible)
      return fallOrRefuse(layer, rule, verdict.reason, verdict.alternative);
    apply(layer, rule, rule.format, verdict);
    report(layer, rule, rule.format.str(), verdict.reason);
  }

  void apply(const Layer &layer, const PolicyRule &rule,
             const LayerFormat &format, const Verdict &verdict) {
    Builder builder(layer.op->getContext());
    if (isa<nq::NqDialect>(layer.op->getDialect()) &&
        layer.kind != LayerKind::Other &&
        rule.format.precision != Precision::Keep)
      layer.op->setAttr(kRequestedAttr, builder.getStringAttr(getSpelling(
                                            rule.format.precision)));
    if (layer.kind == LayerKind::Linear)
      ++summary.chosen[getSpelling(format.precision).str()];
    if (verdict.kind != Verdict::Apply)
      return;
    layer.op->setAttr(kPrecisionAttr, builder.getStringAttr(format.str()));
    if (format.isQuantized())
      layer.op->setAttr(kWeightAmaxAttr,
                        builder.getF32FloatAttr(verdict.weightAmax));
  }

  void report(const Layer &layer, const PolicyRule &rule, StringRef chosen,
              StringRef reason) {
    remarkDone(layer.op->getLoc(), kPass)
        << RemarkArg("kind", getSpelling(layer.kind))
        << RemarkArg("requested", getSpelling(rule.format.precision))
        << RemarkArg("chosen", chosen) << RemarkArg("rule", rule.where)
        << RemarkArg("reason", reason.empty()
                                   ? StringRef("the rule asks for it")
                                   : reason);
  }

  /// Tries what --allow-fallback offers, in order.
  void fallOrRefuse(const Layer &layer, const PolicyRule &rule,
                    StringRef reason, const char *other) {
    std::string tried;
    for (StringRef name : fallbacks.formatsFor(layer.name)) {
      LayerFormat format = LayerFormat::get(*parsePrecision(name));
      Verdict verdict = judge(layer, format);
      if (verdict.kind == Verdict::Impossible ||
          verdict.kind == Verdict::NoFormat) {
        tried += "; " + name.str() +
                 ", which is allowed, is impossible: " + verdict.reason;
        continue;
      }
      fallbacks.permits(layer.name, name);
      ++summary.fallbacks;
      apply(layer, rule, format, verdict);
      std::string why = (reason + " (allowed by --allow-fallback)").str();
      report(layer, rule, format.str(), why);
      emitRemark(layer.op->getLoc())
          << "layer '" << layer.name << "': requested "
          << getSpelling(rule.format.precision) << ", chosen " << name << ": "
          << why;
      return;
    }
    refuse(layer, rule, (reason + tried).str(), other);
  }

  void refuse(const Layer &layer, const PolicyRule &rule,
              const std::string &reason, const std::string &other) {
    failed = true;
    std::string name = layer.name.str();
    emitRefusal(layer.op->getLoc(),
                {kPass, layer.name, getSpelling(rule.format.precision),
                 reason + " (" + rule.where + ")",
                 "give it another format in the policy ('" + name + ": " +
                     other +
                     "'), or let it fall back: "
                     "--allow-fallback '" +
                     name + ":" + other + "'"});
  }

  /// A rule that decides nothing is a typo, or asks for what does not exist.
  void checkRule(ModuleOp module, size_t index) {
    const PolicyRule &rule = policy.rules[index];
    const RuleUse &use = uses[index];
    if (use.decided || rule.optional)
      return;
    failed = true;
    if (use.noFormat) {
      StringRef layer = getLayerName(use.first->getLoc());
      emitRefusal(use.first->getLoc(),
                  {kPass, layer, getSpelling(rule.format.precision),
                   "rule '" + rule.glob.getText().str() + "' (" + rule.where +
                       ") matches only ops that have no such format of their "
                       "own; this one is '" +
                       use.first->getName().getStringRef().str() + "'",
                   "quantized formats are for matmuls with constant weights, "
                   "f16 and bf16 for matmuls, attention and embeddings; mark "
                   "the rule 'optional' to let it pass"});
      return;
    }
    // Not about one layer: the location of the file is in the text.
    emitError(UnknownLoc::get(module.getContext()))
        << rule.where << ": rule '" << rule.glob.getText() << "' "
        << whyUnused(index)
        << "; correct it, or mark it 'optional' if that is intended";
  }

  std::string whyUnused(size_t index) {
    const PolicyRule &rule = policy.rules[index];
    for (const Layer &layer : layers) {
      if (!rule.glob.match(layer.name))
        continue;
      if (rule.kind && *rule.kind != layer.kind)
        return "matches no layer of kind " + getSpelling(*rule.kind).str() +
               " (layer '" + layer.name.str() + "' is of kind " +
               getSpelling(layer.kind).str() + ")";
      size_t winner = *policy.find(layer.name, layer.kind);
      return "decides nothing: the layers it matches, such as '" +
             layer.name.str() + "', are decided by " +
             policy.rules[winner].where + " before it";
    }
    return "matches no layer" + nameSome();
  }

  /// A few names to correct a glob by.
  std::string nameSome() {
    std::string text;
    unsigned count = 0;
    for (const Layer &layer : layers)
      if (layer.kind == LayerKind::Linear && count++ < 3)
        text += (count == 1 ? " (matmuls with weights are '" : ", '") +
                layer.name.str() + "'";
    if (count > 3)
      text += " and " + std::to_string(count - 3) + " more";
    return text.empty() ? text : text + ")";
  }

  const PrecisionPolicy &policy;
  FallbackPolicy &fallbacks;
  PrecisionSummary &summary;
  std::vector<Layer> layers;
  std::vector<RuleUse> uses;
  bool failed = false;
};

struct AssignPrecisionPass
    : nibble::impl::AssignPrecisionBase<AssignPrecisionPass> {
  using nibble::impl::AssignPrecisionBase<
      AssignPrecisionPass>::AssignPrecisionBase;

  AssignPrecisionPass(const PrecisionPolicy &policy, FallbackPolicy &fallbacks,
                      PrecisionSummary &summary)
      : policy(&policy), fallbacks(&fallbacks), summary(&summary) {}

  void runOnOperation() override {
    PrecisionPolicy ownPolicy;
    FallbackPolicy ownFallbacks;
    PrecisionSummary ownSummary;
    if (!policy && failed(readOptions(ownPolicy, ownFallbacks)))
      return signalPassFailure();
    Assigner assigner(policy ? *policy : ownPolicy,
                      fallbacks ? *fallbacks : ownFallbacks,
                      summary ? *summary : ownSummary);
    if (failed(assigner.run(getOperation())))
      signalPassFailure();
  }

  LogicalResult fail(llvm::Error error) {
    return emitError(UnknownLoc::get(&getContext()))
           << llvm::toString(std::move(error));
  }

  /// The options of the pass, when it does not come from C++.
  LogicalResult readOptions(PrecisionPolicy &ownPolicy,
                            FallbackPolicy &ownFallbacks) {
    if (!policyFile.empty()) {
      auto loaded = PrecisionPolicy::load(policyFile);
      if (!loaded)
        return fail(loaded.takeError());
      ownPolicy = std::move(*loaded);
    }
    if (!format.empty()) {
      auto parsed = LayerFormat::parse(format);
      if (!parsed)
        return fail(parsed.takeError());
      ownPolicy.addDefault(*parsed);
    }
    std::vector<std::string> texts(allowFallback.begin(), allowFallback.end());
    auto permissions = FallbackPolicy::parse(texts, getPrecisionNames());
    if (!permissions)
      return fail(permissions.takeError());
    ownFallbacks = std::move(*permissions);
    return success();
  }

  const PrecisionPolicy *policy = nullptr;
  FallbackPolicy *fallbacks = nullptr;
  PrecisionSummary *summary = nullptr;
};

} // namespace

std::unique_ptr<Pass>
nibble::createAssignPrecisionPass(const PrecisionPolicy &policy,
                                  FallbackPolicy &fallbacks,
                                  PrecisionSummary &summary) {
  return std::make_unique<AssignPrecisionPass>(policy, fallbacks, summary);
}
