// Collects the remarks of a compile: everything a report is made of.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_REPORT_DECISIONS_H
#define NIBBLE_REPORT_DECISIONS_H

#include "mlir/IR/MLIRContext.h"
#include "llvm/ADT/StringMap.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace nibble {

/// One remark: a decision of a pass about a layer.
struct Decision {
  enum class Kind { Done, Missed, Failed, Analysis };
  Kind kind;
  std::string pass, layer;
  /// All arguments in the order they were given, "layer" among them.
  std::vector<std::pair<std::string, std::string>> args;

  /// Value of an argument, or "".
  llvm::StringRef get(llvm::StringRef key) const;
  int64_t getInt(llvm::StringRef key) const;
  double getDouble(llvm::StringRef key) const;
};
llvm::StringRef getKindName(Decision::Kind kind);

/// One error of a compile.
struct Problem {
  std::string layer, message; ///< layer: "" if it is about no single one
  std::vector<std::string> notes;
};

/// Filled while passes run; outlives the context that fills it.
class Decisions {
public:
  void add(Decision decision);
  /// While muted, nothing is added: what a compile inside of a compile decides
  /// (calibration) is not about the engine.
  void setMuted(bool value) { muted = value; }
  const std::vector<Decision> &all() const { return list; }
  /// Those of one pass, in order.
  std::vector<const Decision *> of(llvm::StringRef pass) const;

private:
  std::mutex mutex;
  std::atomic<bool> muted{false};
  std::vector<Decision> list;
};

/// Makes a context send the remarks of Nibble to `decisions`. One sink per
/// context.
void collectDecisions(mlir::MLIRContext &context,
                      std::shared_ptr<Decisions> decisions);

} // namespace nibble

#endif // NIBBLE_REPORT_DECISIONS_H
