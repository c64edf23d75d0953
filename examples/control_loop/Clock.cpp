// A clock with a fixed rate, and percentiles of what it measures.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Clock.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <sched.h>
#include <sys/mman.h>

double now() {
  timespec time;
  ::clock_gettime(CLOCK_MONOTONIC, &time);
  return double(time.tv_sec) + double(time.tv_nsec) * 1e-9;
}

static void sleepUntil(double seconds) {
  timespec until;
  until.tv_sec = time_t(seconds);
  until.tv_nsec = long((seconds - double(until.tv_sec)) * 1e9);
  while (::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr) ==
         EINTR) {
  }
}

FixedRateClock::FixedRateClock(double hertz) : step(1 / hertz) {}

void FixedRateClock::start() {
  begin = now();
  index = 0;
}

double FixedRateClock::waitForTick() {
  ++index;
  sleepUntil(tickTime());
  return now() - tickTime();
}

void FixedRateClock::finishTick() {
  double late = now() - (tickTime() + step);
  if (late <= 0)
    return;
  ++missedTicks;
  auto lost = uint64_t(late / step) + 1;
  skippedTicks += lost;
  index += lost;
}

std::string Latencies::row(const std::string &name) const {
  char text[160];
  std::snprintf(text, sizeof text, "%-12s", name.c_str());
  std::string row = text;
  if (times.empty())
    return row + "       -\n";
  std::vector<double> sorted = times;
  std::sort(sorted.begin(), sorted.end());
  for (double p : {0.5, 0.9, 0.95, 0.99, 1.0}) {
    double rank = p * double(sorted.size() - 1);
    auto below = size_t(rank);
    size_t above = std::min(below + 1, sorted.size() - 1);
    double value = sorted[below] +
                   (rank - double(below)) * (sorted[above] - sorted[below]);
    std::snprintf(text, sizeof text, " %8.3f", value * 1e3);
    row += text;
  }
  return row + "\n";
}

std::string becomeRealtime() {
  std::string refused;
  sched_param priority = {};
  priority.sched_priority = 80;
  if (::sched_setscheduler(0, SCHED_FIFO, &priority))
    refused += std::string("SCHED_FIFO: ") + std::strerror(errno);
  if (::mlockall(MCL_CURRENT | MCL_FUTURE))
    refused += std::string(refused.empty() ? "" : "; ") +
               "locked memory: " + std::strerror(errno);
  return refused;
}
