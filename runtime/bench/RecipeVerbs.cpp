// The verbs strip and refill.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Execution.h"

#include "nibble/rt/recipe.h"

#include <iomanip>

using namespace nibble::rt;
using namespace nibble::rt::cli;

int cli::strip(const StripCommand &options, Streams streams) {
  StripOptions how;
  how.seed = options.seed;
  how.least = options.least;
  auto result =
      stripEngine(options.engine, options.recipe, options.seeded, how);
  if (!result.ok())
    return fail(result.status(), streams);
  streams.talk << options.recipe << ": " << std::fixed << std::setprecision(1)
               << double(result->strippedBytes) / (1 << 20)
               << " MiB of weights in " << result->ranges.size()
               << " constants left out; the engine computes with random ones\n";
  for (const std::string &name : result->kept)
    streams.talk << "note: constant '" << printable(name)
                 << "' stays: its type or layout is not known here\n";
  return 0;
}

int cli::refill(const std::string &recipe, const std::string &engine,
                Streams streams) {
  Status status = refillEngine(recipe, engine);
  return status.ok() ? 0 : fail(status, streams);
}
