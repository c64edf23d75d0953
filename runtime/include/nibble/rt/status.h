// Status and Result: how every runtime function reports failure.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_STATUS_H
#define NIBBLE_RT_STATUS_H

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace nibble {
namespace rt {

/// What kind of failure. The numbers are those of `nbl_code` in the C ABI.
enum class Code : int {
  Ok = 0,
  InvalidArgument = 1, ///< the caller asked for something that cannot be
  NotFound = 2,        ///< no such file, entry point, input, ...
  Malformed = 3,       ///< a file is truncated, corrupt or inconsistent
  Unsupported = 4,     ///< well-formed, but not for this build or version
  Io = 5,              ///< the operating system refused
  Device = 6,          ///< the device refused, or is not in this build
  OutOfMemory = 7,
  Mismatch = 8, ///< results differ beyond the tolerance
  Internal = 9  ///< a bug of Nibble
};

/// "malformed", "device", ...
const char *codeName(Code code);

/// Exit code of the tools: 0 ok, 1 mismatch, 2 usage, 4 malformed or
/// unsupported input, 5 device.
int exitCode(Code code);

/// A code, a message (what, where, why, what to do) and the chain of contexts
/// in which it happened, innermost first. The ok status is one null pointer.
class [[nodiscard]] Status {
public:
  Status() = default;
  Status(Code code, std::string message);

  static Status success() { return Status(); }

  bool ok() const { return !rep; }
  Code code() const { return rep ? rep->code : Code::Ok; }
  const std::string &message() const;
  const std::vector<std::string> &contexts() const;

  /// Returns this status with one more (outer) context, for example
  /// "loading engine 'mlp.nbl'". Does nothing to an ok status.
  Status &&withContext(std::string context) &&;

  /// "outermost: ...: innermost: message".
  std::string str() const;

private:
  struct Rep {
    Code code;
    std::string message;
    std::vector<std::string> contexts;
  };
  std::shared_ptr<Rep> rep;
};

/// A value or the status that says why there is none.
template <typename T> class [[nodiscard]] Result {
public:
  Result(T value) : value(std::move(value)) {}
  Result(Status status) : failure(std::move(status)) {}

  bool ok() const { return value.has_value(); }
  const Status &status() const { return failure; }
  T &operator*() & { return *value; }
  const T &operator*() const & { return *value; }
  T operator*() && { return std::move(*value); }
  T *operator->() { return &*value; }
  const T *operator->() const { return &*value; }

private:
  std::optional<T> value;
  Status failure;
};

/// printf-style construction: `error(Code::Io, "cannot open '%s'", path)`.
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
Status error(Code code, const char *format, ...);

} // namespace rt
} // namespace nibble

/// Returns from the enclosing function when `expr` is not ok.
#define NIBBLE_RETURN_IF_ERROR(expr)                                           \
  do {                                                                         \
    ::nibble::rt::Status nibbleStatus = (expr);                                \
    if (!nibbleStatus.ok())                                                    \
      return nibbleStatus;                                                     \
  } while (false)

#endif // NIBBLE_RT_STATUS_H
