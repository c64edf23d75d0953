// Attributes of the plan: launches of GPU kernels.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Exec/ExecOps.h"

#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace nibble::exec;

/// [1, 2, 255]
static ParseResult parseBytes(AsmParser &parser, SmallVector<uint8_t> &bytes) {
  return parser.parseCommaSeparatedList(
      AsmParser::Delimiter::Square, [&]() -> ParseResult {
        int64_t byte = 0;
        SMLoc loc = parser.getCurrentLocation();
        if (parser.parseInteger(byte))
          return failure();
        if (byte < 0 || byte > 255)
          return parser.emitError(loc) << byte << " is not a byte";
        bytes.push_back(byte);
        return success();
      });
}

static void printBytes(AsmPrinter &printer, ArrayRef<uint8_t> bytes) {
  printer << "[";
  llvm::interleaveComma(bytes, printer,
                        [&](uint8_t byte) { printer << unsigned(byte); });
  printer << "]";
}

#define GET_ATTRDEF_CLASSES
#include "dialects/Exec/ExecAttrs.cpp.inc"

void ExecDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Exec/ExecAttrs.cpp.inc"
      >();
}
