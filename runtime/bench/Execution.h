// An engine with its inputs in place: what run and bench start from.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_BENCH_EXECUTION_H
#define NIBBLE_RT_BENCH_EXECUTION_H

#include "nibble/rt/array.h"
#include "nibble/rt/cli.h"
#include "nibble/rt/session.h"

#include <memory>

namespace nibble {
namespace rt {
namespace cli {

struct Execution {
  std::shared_ptr<const Engine> engine;
  std::shared_ptr<Device> device;
  std::shared_ptr<Session> session;
  std::unique_ptr<Context> context;
  uint32_t entry = 0;
  double loadSeconds = 0; ///< engine, device, code, context

  const EntryInfo &info() const { return engine->info().entries[entry]; }
};

/// What to do with inputs that the user did not give.
enum class Missing { Refuse, Generate };

/// Loads the engine and creates device, session and context. The entry point is
/// left alone.
Status open(const ExecuteOptions &options, Execution &execution);
/// Does that for an entry point and sets all its inputs.
Status prepare(const ExecuteOptions &options, Missing missing, Streams streams,
               Execution &execution);

/// The number of the port called `name`, or an error that lists all.
Result<uint32_t> findPort(const std::vector<PortInfo> &ports, const char *what,
                          const std::string &name);
/// Splits "y=@y.npy" into name and file name.
Result<std::pair<std::string, std::string>>
parseFileArgument(const std::string &text);
/// "f32[1x128]", with anything unprintable in the type replaced.
std::string describePort(const PortInfo &port);
/// Names from a file, safe to print on a terminal.
std::string printable(std::string_view text);
double secondsSince(double start);
double now();

} // namespace cli
} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_BENCH_EXECUTION_H
