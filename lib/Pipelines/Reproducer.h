// Reproducer bundle: a folder with all that is needed to see a failure again.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_PIPELINES_REPRODUCER_H
#define NIBBLE_LIB_PIPELINES_REPRODUCER_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/JSON.h"

#include <string>

namespace nibble {

/// Constants up to this size in all are written; larger ones would make a file
/// that nobody can send, and are left out.
constexpr int64_t kReproducerConstants = int64_t(64) << 20;

struct Reproducer {
  mlir::ModuleOp before;    ///< IR in front of the stage
  llvm::StringRef stage;    ///< "layout"
  llvm::StringRef pipeline; ///< "builtin.module(...)"
  llvm::StringRef command;  ///< of the user
  llvm::json::Value report; ///< explain so far, with the errors
};

/// Writes FOLDER/nibble-repro-HASH/{before-STAGE.mlir, report.json, README.txt}
/// and returns the path of the bundle. The hash is over IR (constants by name),
/// pipeline and errors: one failure, one folder. Fails with what the file
/// system says.
llvm::Expected<std::string> writeReproducer(const Reproducer &reproducer,
                                            llvm::StringRef folder);

} // namespace nibble

#endif // NIBBLE_LIB_PIPELINES_REPRODUCER_H
