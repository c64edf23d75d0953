// Asynchronous work of a cluster: it happens some time after it was issued, in
// an order that the seed decides. SPDX-License-Identifier: Apache-2.0 WITH
// LLVM-exception
//
// An operation takes effect as a whole when it completes. Until then its
// destination is pending: a program that reads it has not waited. Operations of
// one queue (the tensor core of a CTA) complete in order, all others in any.
#ifndef NIBBLE_RT_EMULATOR_EXEC_ASYNC_H
#define NIBBLE_RT_EMULATOR_EXEC_ASYNC_H

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace nibble {
namespace emu {

class Warp;

/// One piece of asynchronous work.
struct AsyncOp {
  /// Takes effect. Throws a Fault (with the place of the issuing instruction).
  std::function<void()> complete;
  /// Reads its sources, where that may happen before it completes; null: then.
  std::function<void()> read;
  /// May it complete yet? Null: at any time.
  std::function<bool()> ready;
  uint32_t queue = 0; ///< 0: none; others complete in order
  bool hasRead = false;
  uint32_t line = 0; ///< of the PTX text; set when it is submitted
};

class AsyncWork {
public:
  /// Gives the operation a number, in order of issue.
  uint64_t submit(AsyncOp op);
  /// Completes one operation that may complete; false if there is none.
  bool step(std::mt19937_64 &random);
  bool empty() const { return free.empty() && bound.empty(); }
  /// Operations that still write memory of the cluster, or read it without end:
  /// all but stores, which read shared memory before anybody else gets it
  /// (kernels in use end without waiting for their last ones).
  size_t countUsers() const;
  /// The PTX lines that issued them: "12 (3 times), 40".
  std::string linesOfUsers() const;
  /// True if the operation has completed.
  bool isDone(uint64_t number) const;
  bool hasRead(uint64_t number) const;

  const Warp *running = nullptr; ///< whose instruction submits

private:
  struct Pending {
    uint64_t number;
    std::unique_ptr<AsyncOp> op;
  };
  using Pendings = std::vector<Pending>; ///< in order of issue
  void findReady();
  /// Of all that may go on, in order of issue.
  std::pair<Pendings *, size_t> pick(size_t which);
  const AsyncOp *find(uint64_t number) const;
  template <typename Visit> void visitUsers(Visit visit) const;

  /// Those that may go on at any time: there may be thousands.
  Pendings free;
  /// Those of queues, and those that wait.
  Pendings bound;
  std::vector<size_t> ready;    ///< of `bound`, what may go on in a step
  std::vector<uint32_t> queues; ///< that have an older operation
  uint64_t next = 1;
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_ASYNC_H
