// One graph, before and after a pipeline.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Trial.h"

#include "nibble/Reference/Interpreter.h"

#include "mlir/IR/Verifier.h"

#include <cmath>
#include <cstring>

using namespace mlir;
using namespace nibble;
using namespace nibble::test;

using Results = ref::Interpreter::Results;

func::FuncOp nibble::test::getMain(ModuleOp module) {
  return module.lookupSymbol<func::FuncOp>("main");
}

static FailureOr<Results> evaluate(ModuleOp module, uint64_t seed) {
  ref::InterpreterOptions options;
  options.threads = 1;
  func::FuncOp function = getMain(module);
  return ref::Interpreter(options).run(function,
                                       makeRandomInputs(function, seed));
}

//===----------------------------------------------------------------------===//
// Comparison
//===----------------------------------------------------------------------===//

static bool isSame(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || std::memcmp(&a, &b, sizeof a) == 0;
}

static std::string differ(const Twine &what, int64_t at, const Twine &before,
                          const Twine &after) {
  return (what + " " + Twine(at) + " was " + before + ", is " + after).str();
}

static std::string spell(double x) {
  char text[64];
  std::snprintf(text, sizeof text, "%.17g (%a)", x, x);
  return text;
}

static std::string compareBytes(StringRef what, ArrayRef<char> a,
                                ArrayRef<char> b) {
  if (a.size() != b.size())
    return differ("size of " + what, 0, Twine(a.size()), Twine(b.size()));
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i])
      return differ("byte of " + what, i, Twine(int(uint8_t(a[i]))),
                    Twine(int(uint8_t(b[i]))));
  return {};
}

/// Codes of NaNs are equal, too.
static std::string compareCodes(rt::StorageFormat format, ArrayRef<char> a,
                                ArrayRef<char> b, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    uint64_t x = rt::loadCode(format, a.data(), i),
             y = rt::loadCode(format, b.data(), i);
    if (x != y && !isSame(rt::decode(format, x), rt::decode(format, y)))
      return differ("code", i, Twine(x), Twine(y));
  }
  return {};
}

static std::string compareScaled(const ref::RefTensor &a,
                                 const ref::RefTensor &b) {
  auto x = a.getScaledParts(), y = b.getScaledParts();
  auto format = ref::getFormat(nq::getScaledElement(a.getType()).getStorage());
  auto text = compareCodes(format, x.codes, y.codes, a.size());
  if (text.empty())
    text = compareBytes("scales", x.scales, y.scales);
  if (text.empty())
    text = compareBytes("zero points", x.zeroPoints, y.zeroPoints);
  if (text.empty() && !isSame(x.global, y.global))
    text = differ("global scale", 0, spell(x.global), spell(y.global));
  return text;
}

/// What two numbers of a result may differ by.
static double getAllowed(const ref::RefTensor &tensor, Slack slack) {
  Type element = tensor.getElementType();
  if (slack.relative == 0 || !(element.isF32() || element.isF64()))
    return 0;
  double largest = 1;
  for (int64_t i = 0; i < tensor.size(); ++i)
    if (double x = std::abs(tensor.floatAt(i)); std::isfinite(x))
      largest = std::max(largest, x);
  return slack.relative * largest;
}

static std::string compare(const ref::RefTensor &a, const ref::RefTensor &b,
                           Slack slack) {
  if (a.getType() != b.getType())
    return "the type differs";
  if (a.isScaled())
    return compareScaled(a, b);
  double allowed = getAllowed(a, slack);
  for (int64_t i = 0; i < a.size(); ++i) {
    if (a.isInteger()) {
      if (a.intAt(i) != b.intAt(i))
        return differ("element", i, Twine(a.intAt(i)), Twine(b.intAt(i)));
      continue;
    }
    double x = a.floatAt(i), y = b.floatAt(i);
    if (!isSame(x, y) && !(allowed > 0 && std::abs(x - y) <= allowed))
      return differ("element", i, spell(x), spell(y));
  }
  return {};
}

static std::string compare(const Results &before, const Results &after,
                           Slack slack) {
  if (before.size() != after.size())
    return "the number of results differs";
  for (auto [i, pair] : llvm::enumerate(llvm::zip(before, after)))
    if (auto text = compare(std::get<0>(pair), std::get<1>(pair), slack);
        !text.empty())
      return "result " + std::to_string(i) + ": " + text;
  return {};
}

//===----------------------------------------------------------------------===//
// Trials
//===----------------------------------------------------------------------===//

static std::string print(ModuleOp module) {
  std::string text;
  llvm::raw_string_ostream os(text);
  module.print(os, OpPrintingFlags().enableDebugInfo(false));
  return text;
}

/// Without dead ops: every pattern driver removes those.
static std::string printLive(ModuleOp module) {
  OwningOpRef<ModuleOp> clone(module.clone());
  std::vector<Operation *> ops;
  for (Operation &op : getMain(*clone).front().without_terminator())
    ops.push_back(&op);
  for (Operation *op : llvm::reverse(ops))
    if (op->use_empty())
      op->erase();
  return print(*clone);
}

Outcome nibble::test::tryPipeline(ModuleOp module, const PipelineBuilder &build,
                                  uint64_t seed, Slack slack) {
  Outcome outcome;
  std::string diagnostics;
  ScopedDiagnosticHandler handler(module.getContext(), [&](Diagnostic &d) {
    if (d.getSeverity() == DiagnosticSeverity::Error)
      diagnostics += d.str() + "\n";
    return success();
  });
  auto fail = [&](const std::string &what) {
    outcome.problem = what + "\n" + diagnostics;
    return outcome;
  };
  FailureOr<Results> before = failure();
  if (succeeded(verify(module)))
    before = evaluate(module, seed);
  if (failed(before)) {
    outcome.valid = false;
    return fail("the random graph itself is not valid");
  }
  OwningOpRef<ModuleOp> clone(module.clone());
  PassManager pm(module.getContext());
  build(pm);
  bool ran = succeeded(pm.run(*clone));
  outcome.after = print(*clone);
  if (!ran)
    return fail("the pipeline fails");
  outcome.changed = printLive(module) != printLive(*clone);
  auto after = evaluate(*clone, seed);
  if (failed(after))
    return fail("the result cannot be evaluated");
  outcome.problem = compare(*before, *after, slack);
  return outcome;
}
