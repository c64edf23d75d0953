// Remarks -> decisions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Report/Decisions.h"

#include "nibble/Transforms/Remarks.h"

#include "mlir/IR/Remarks.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
using namespace nibble;

llvm::StringRef nibble::getKindName(Decision::Kind kind) {
  static constexpr llvm::StringLiteral kNames[] = {"done", "missed", "failed",
                                                   "analysis"};
  return kNames[int(kind)];
}

llvm::StringRef Decision::get(llvm::StringRef key) const {
  for (const auto &[name, value] : args)
    if (name == key)
      return value;
  return "";
}

int64_t Decision::getInt(llvm::StringRef key) const {
  int64_t value = 0;
  get(key).getAsInteger(10, value);
  return value;
}

double Decision::getDouble(llvm::StringRef key) const {
  double value = 0;
  get(key).getAsDouble(value);
  return value;
}

void Decisions::add(Decision decision) {
  if (muted)
    return;
  std::lock_guard<std::mutex> lock(mutex);
  list.push_back(std::move(decision));
}

std::vector<const Decision *> Decisions::of(llvm::StringRef pass) const {
  std::vector<const Decision *> found;
  for (const Decision &decision : list)
    if (decision.pass == pass)
      found.push_back(&decision);
  return found;
}

namespace {
class Collector : public remark::detail::MLIRRemarkStreamerBase {
public:
  explicit Collector(std::shared_ptr<Decisions> decisions)
      : decisions(std::move(decisions)) {}

  void streamOptimizationRemark(const remark::detail::Remark &remark) override {
    Decision decision;
    decision.kind = getKind(remark.getRemarkType());
    decision.pass = remark.getRemarkName().str();
    // Names come from files and may hold any bytes; reports are UTF-8.
    for (const remark::detail::Remark::Arg &arg : remark.getArgs())
      decision.args.emplace_back(arg.key, llvm::json::fixUTF8(arg.val));
    decision.layer = decision.get("layer").str();
    decisions->add(std::move(decision));
  }

private:
  static Decision::Kind getKind(llvm::remarks::Type type) {
    switch (type) {
    case llvm::remarks::Type::Passed:
      return Decision::Kind::Done;
    case llvm::remarks::Type::Missed:
      return Decision::Kind::Missed;
    case llvm::remarks::Type::Failure:
      return Decision::Kind::Failed;
    default:
      return Decision::Kind::Analysis;
    }
  }

  std::shared_ptr<Decisions> decisions;
};
} // namespace

void nibble::collectDecisions(MLIRContext &context,
                              std::shared_ptr<Decisions> decisions) {
  // A kind whose own pattern is not set is not reported, whatever `all` says.
  std::string pattern = kRemarkCategory.str();
  remark::RemarkCategories categories{pattern, pattern, pattern, pattern,
                                      pattern};
  // Fails only if the context has an engine already; the first sink stays.
  (void)remark::enableOptimizationRemarks(
      context, std::make_unique<Collector>(std::move(decisions)),
      std::make_unique<remark::RemarkEmittingPolicyAll>(), categories);
}
