// Watches steps from a thread of its own.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "StepLimit.h"

#include "Execution.h"

#include <chrono>
#include <cstdlib>

using namespace nibble::rt;
using namespace nibble::rt::cli;

StepLimit::StepLimit(double seconds, Streams streams)
    : seconds(seconds), streams(streams) {
  if (seconds > 0)
    watcher = std::thread([this] { watch(); });
}

StepLimit::~StepLimit() {
  {
    std::lock_guard<std::mutex> lock(mutex);
    over = true;
  }
  changed.notify_all();
  if (watcher.joinable())
    watcher.join();
}

StepLimit::Step StepLimit::begin(const std::string &what) {
  std::lock_guard<std::mutex> lock(mutex);
  step = what;
  ++number;
  changed.notify_all();
  return Step(*this);
}

void StepLimit::end() {
  std::lock_guard<std::mutex> lock(mutex);
  step.clear();
  ++number;
  changed.notify_all();
}

void StepLimit::watch() {
  std::unique_lock<std::mutex> lock(mutex);
  while (!over) {
    uint64_t seen = number;
    auto moved = [&] { return over || number != seen; };
    if (step.empty()) {
      changed.wait(lock, moved);
      continue;
    }
    if (changed.wait_for(lock, std::chrono::duration<double>(seconds), moved))
      continue;
    streams.talk << "error: '" << printable(step) << "' did not end within "
                 << seconds << " s; --except " << printable(step)
                 << " leaves it out" << std::endl;
    std::_Exit(exitCode(Code::Device));
  }
}
