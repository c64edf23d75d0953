// Assertions of tests: ops of the check dialect.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Eval.h"

#include "nibble/Dialect/Check/CheckOps.h"

#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;

static FailureOr<Results> evalExpectEq(const OpCall &call) {
  std::vector<char> actual = call.operands[0].toStorage(),
                    expected = call.operands[1].toStorage();
  for (size_t i = 0; i < actual.size(); ++i)
    if (actual[i] != expected[i])
      return call.error() << "values differ first at byte " << i << " of "
                          << actual.size();
  return Results{};
}

static FailureOr<Results> evalExpectClose(const OpCall &call) {
  auto op = cast<check::ExpectCloseOp>(call.op);
  double rtol = op.getRtol().convertToDouble(),
         atol = op.getAtol().convertToDouble();
  std::vector<double> actual = call.operands[0].toFloats(),
                      expected = call.operands[1].toFloats();
  for (size_t i = 0; i < actual.size(); ++i) {
    double a = actual[i], e = expected[i];
    if (a == e || (std::isnan(a) && std::isnan(e)) ||
        std::fabs(a - e) <= atol + rtol * std::fabs(e))
      continue;
    return call.error() << "element " << i << " is " << a << ", expected " << e;
  }
  return Results{};
}

static FailureOr<Results> evalProbe(const OpCall &) { return Results{}; }

void nibble::ref::addCheckEvals(EvalTable &table) {
  table["check.expect_eq"] = evalExpectEq;
  table["check.expect_close"] = evalExpectClose;
  table["check.probe"] = evalProbe;
}
