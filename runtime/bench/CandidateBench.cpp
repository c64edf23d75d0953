// Results and times of candidates.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CandidateBench.h"

#include "CandidateCompare.h"
#include "Execution.h"

#include "nibble/rt/bench.h"
#include "nibble/rt/generator.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <thread>
#include <tuple>

#define XXH_INLINE_ALL
#include <xxhash.h>

using namespace nibble::rt;
using namespace nibble::rt::cli;

/// All ones are NaN in every float format.
static constexpr uint8_t kNanByte = 0xff, kOtherByte = 0x55;
static constexpr double kCoolSeconds = 2e-3, kHotRecordSeconds = 5e-3;
static constexpr uint64_t kMostRecorded = 64;

double Candidate::medianCool() const { return statistics(cool, {}).median; }
double Candidate::medianHot() const { return statistics(hot, {}).median; }
double Candidate::score() const {
  return std::sqrt(medianCool() * medianHot());
}

/// What is replayed.
struct CandidateBench::Recorded {
  std::unique_ptr<Recording> cool, hot;
  uint64_t coolLaunches = 0, hotLaunches = 0;
  double seconds = 0; ///< of a launch, roughly
};

CandidateBench::CandidateBench(Context &context,
                               const CandidateOptions &options, Streams streams)
    : context(context), device(context.session().device()), options(options),
      limit(std::string(device.name()) == "cuda" ? options.limit : 0, streams) {
}

Status CandidateBench::issue(const Candidate &candidate, uint64_t launches) {
  for (uint64_t i = 0; i < launches; ++i) {
    NIBBLE_RETURN_IF_ERROR(buffers->bind(context, candidate.entry, i));
    NIBBLE_RETURN_IF_ERROR(context.issue(candidate.entry));
  }
  return Status();
}

Result<uint64_t> CandidateBench::runOnce(const Candidate &candidate,
                                         uint64_t copy, uint8_t poison) {
  auto step = limit.begin(candidate.name);
  auto run = [&]() -> Status {
    NIBBLE_RETURN_IF_ERROR(buffers->poison(poison));
    NIBBLE_RETURN_IF_ERROR(buffers->bind(context, candidate.entry, copy));
    NIBBLE_RETURN_IF_ERROR(context.issue(candidate.entry));
    return device.synchronize();
  };
  NIBBLE_RETURN_IF_ERROR(run().withContext(
      "entry point " + candidate.name + ", schedule " + candidate.schedule +
      " (--except " + candidate.name + " leaves it out)"));
  uint64_t hash = 0;
  size_t outputs =
      context.session().info().entries[candidate.entry].outputs.size();
  for (uint32_t i = 0; i < outputs; ++i) {
    auto bytes = buffers->read(i);
    if (!bytes.ok())
      return bytes.status();
    hash = XXH3_64bits_withSeed(bytes->data(), bytes->size(), hash);
  }
  return hash;
}

/// The first of the members with the most frequent result.
static size_t findMost(const std::vector<size_t> &members,
                       const std::vector<uint64_t> &hashes) {
  std::map<uint64_t, size_t> votes;
  for (size_t i : members)
    ++votes[hashes[i]];
  size_t best = members.front();
  for (size_t i : members)
    if (votes[hashes[i]] > votes[hashes[best]])
      best = i;
  return best;
}

/// Marks those whose results are not those of most.
Status CandidateBench::compare(CandidateGroup &group, uint64_t copy,
                               const char *when) {
  std::vector<uint64_t> hashes;
  std::map<std::string_view, std::vector<size_t>> bySlices;
  for (const Candidate &candidate : group.candidates) {
    auto hash = runOnce(candidate, copy, kNanByte);
    if (!hash.ok())
      return hash.status();
    bySlices[getSlices(candidate.schedule)].push_back(hashes.size());
    hashes.push_back(*hash);
  }
  const std::vector<size_t> *largest = nullptr;
  for (const auto &[slices, members] : bySlices) {
    size_t best = findMost(members, hashes);
    for (size_t i : members)
      if (hashes[i] != hashes[best] && group.candidates[i].wrong.empty())
        NIBBLE_RETURN_IF_ERROR(describeDifference(
            group.candidates[i], group.candidates[best], copy, when));
    if (!largest || members.size() > largest->size())
      largest = &members;
  }
  size_t wanted = largest ? findMost(*largest, hashes) : 0;
  for (const auto &[slices, members] : bySlices)
    if (&members != largest)
      NIBBLE_RETURN_IF_ERROR(compareNumbers(
          group, members, findMost(members, hashes), wanted, copy, when));
  return Status();
}

Result<std::vector<std::vector<uint8_t>>>
CandidateBench::readOutputs(const Candidate &candidate, uint64_t copy) {
  auto hash = runOnce(candidate, copy, kNanByte);
  if (!hash.ok())
    return hash.status();
  std::vector<std::vector<uint8_t>> all;
  size_t outputs =
      context.session().info().entries[candidate.entry].outputs.size();
  for (uint32_t i = 0; i < outputs; ++i) {
    auto bytes = buffers->read(i);
    if (!bytes.ok())
      return bytes.status();
    all.push_back(std::move(*bytes));
  }
  return all;
}

Status CandidateBench::compareNumbers(CandidateGroup &group,
                                      const std::vector<size_t> &members,
                                      size_t found, size_t wanted,
                                      uint64_t copy, const char *when) {
  const Candidate &right = group.candidates[wanted];
  auto theirs = readOutputs(right, copy);
  if (!theirs.ok())
    return theirs.status();
  auto ours = readOutputs(group.candidates[found], copy);
  if (!ours.ok())
    return ours.status();
  const EntryInfo &entry = context.session().info().entries[right.entry];
  for (size_t i = 0; i < ours->size(); ++i) {
    std::string why = whyNotClose(entry.outputs[i], (*ours)[i], (*theirs)[i]);
    for (size_t member : why.empty() ? std::vector<size_t>() : members)
      if (group.candidates[member].wrong.empty())
        group.candidates[member].wrong =
            std::string(when) + ": output " + std::to_string(i) +
            " is not close to that of " + right.name + ": " + why;
  }
  return Status();
}

Status CandidateBench::describeDifference(Candidate &wrong,
                                          const Candidate &right, uint64_t copy,
                                          const char *when) {
  wrong.wrong = std::string(when) + ": other results than " + right.name;
  auto wanted = readOutputs(right, copy);
  if (!wanted.ok())
    return wanted.status();
  auto all = readOutputs(wrong, copy);
  if (!all.ok())
    return all.status();
  for (uint32_t i = 0; i < all->size(); ++i) {
    const std::vector<uint8_t> &found = (*all)[i];
    size_t count = 0, first = 0;
    for (size_t b = found.size(); b-- > 0;)
      if (found[b] != (*wanted)[i][b]) {
        ++count;
        first = b;
      }
    if (count)
      wrong.wrong += "; output " + std::to_string(i) + ": " +
                     std::to_string(count) + " of " +
                     std::to_string(found.size()) + " bytes, the first at " +
                     std::to_string(first);
  }
  return Status();
}

/// With another poison results must be the same. One candidate is enough: the
/// others agree with it.
Status CandidateBench::checkWritten(CandidateGroup &group) {
  auto right = std::find_if(group.candidates.begin(), group.candidates.end(),
                            [](auto &c) { return c.wrong.empty(); });
  if (right == group.candidates.end())
    return Status();
  auto nan = runOnce(*right, 0, kNanByte);
  auto other = runOnce(*right, 0, kOtherByte);
  if (!nan.ok() || !other.ok())
    return nan.ok() ? other.status() : nan.status();
  // Gaps of layouts that are not known are left as they were.
  if (*nan == *other || buffers->hasUnknownGaps())
    return Status();
  for (Candidate &candidate : group.candidates)
    if (candidate.wrong.empty())
      candidate.wrong = "results depend on what was in the output before: not "
                        "all of it is written";
  return Status();
}

Status CandidateBench::record(const Candidate &candidate, uint64_t launches,
                              std::unique_ptr<Recording> &recording) {
  if (!device.canRecord())
    return Status();
  auto made = device.record([&] { return issue(candidate, launches); });
  if (made.ok())
    recording = std::move(*made);
  return made.status();
}

/// Seconds of a launch, from `launches` of them.
static Result<double> timed(Device &device, Recording *recording,
                            uint64_t replays, uint64_t launches,
                            const std::function<Status()> &issue) {
  auto time = device.time([&]() -> Status {
    for (uint64_t i = 0; i < replays; ++i)
      NIBBLE_RETURN_IF_ERROR(recording ? recording->replay() : issue());
    return Status();
  });
  if (!time.ok())
    return time;
  return *time / double(replays * launches);
}

Status CandidateBench::measureCool(Candidate &candidate, Recorded &r) {
  auto step = limit.begin(candidate.name);
  NIBBLE_RETURN_IF_ERROR(device.synchronize());
  std::this_thread::sleep_for(std::chrono::duration<double>(options.pause));
  // Not timed: while it runs, what is timed gets into the queue.
  NIBBLE_RETURN_IF_ERROR(r.cool ? r.cool->replay()
                                : issue(candidate, r.coolLaunches));
  auto seconds = timed(device, r.cool.get(), 1, r.coolLaunches,
                       [&] { return issue(candidate, r.coolLaunches); });
  if (seconds.ok())
    candidate.cool.push_back(*seconds);
  return seconds.status();
}

Status CandidateBench::measureHot(Candidate &candidate, Recorded &r) {
  auto step = limit.begin(candidate.name);
  double once = r.seconds * double(r.hotLaunches);
  uint64_t replays = std::max<uint64_t>(
      uint64_t(std::ceil(options.hot / std::max(once, 1e-6))), 1);
  // Not timed: the power control settles for this kernel, not the one before.
  for (uint64_t i = 0; i < replays; ++i)
    NIBBLE_RETURN_IF_ERROR(r.hot ? r.hot->replay()
                                 : issue(candidate, r.hotLaunches));
  auto seconds = timed(device, r.hot.get(), replays, r.hotLaunches,
                       [&] { return issue(candidate, r.hotLaunches); });
  if (seconds.ok())
    candidate.hot.push_back(*seconds);
  return seconds.status();
}

/// A rough time of each, then the recordings; all candidates of a group are
/// measured with the same number of launches after a pause.
Status CandidateBench::prepare(CandidateGroup &group,
                               std::vector<Recorded> &recorded) {
  recorded.resize(group.candidates.size());
  double best = 1e9;
  for (size_t i = 0; i < recorded.size(); ++i) {
    auto step = limit.begin(group.candidates[i].name);
    auto seconds = timed(device, nullptr, 1, 2,
                         [&] { return issue(group.candidates[i], 2); });
    if (!seconds.ok())
      return seconds.status();
    recorded[i].seconds = *seconds;
    best = std::min(best, std::max(*seconds, 1e-7));
  }
  auto launches = [&](double seconds, uint64_t least, uint64_t most) {
    return std::min(std::max(uint64_t(seconds / best), least), most);
  };
  group.coolLaunches = launches(kCoolSeconds, 3, 8);
  group.hotLaunches =
      launches(kHotRecordSeconds, group.coolLaunches, kMostRecorded);
  // Whole turns through the copies, so that replays follow each other.
  group.hotLaunches = (group.hotLaunches + buffers->copies() - 1) /
                      buffers->copies() * buffers->copies();
  for (size_t i = 0; i < recorded.size(); ++i) {
    Recorded &r = recorded[i];
    r.coolLaunches = group.coolLaunches;
    r.hotLaunches = group.hotLaunches;
    NIBBLE_RETURN_IF_ERROR(record(group.candidates[i], r.coolLaunches, r.cool));
    NIBBLE_RETURN_IF_ERROR(record(group.candidates[i], r.hotLaunches, r.hot));
  }
  return Status();
}

void CandidateBench::drop(CandidateGroup &group) const {
  std::vector<double> scores;
  for (const Candidate &candidate : group.candidates)
    scores.push_back(candidate.score());
  std::vector<double> sorted = scores;
  std::sort(sorted.begin(), sorted.end());
  double bound = sorted[0] * 1.25;
  bound = std::max(bound, sorted[std::min<size_t>(sorted.size() - 1, 2)]);
  for (size_t i = 0; i < scores.size(); ++i)
    group.candidates[i].dropped |= scores[i] > bound;
}

Status CandidateBench::measure(CandidateGroup &group,
                               std::vector<Recorded> &recorded) {
  std::vector<size_t> order(group.candidates.size());
  for (size_t i = 0; i < order.size(); ++i)
    order[i] = i;
  for (uint64_t round = 0; round < options.rounds; ++round) {
    for (bool hot : {false, true}) {
      for (size_t i = order.size(); i > 1; --i)
        std::swap(order[i - 1],
                  order[splitMix64(~options.seed, randomWords++) % i]);
      for (size_t i : order) {
        Candidate &candidate = group.candidates[i];
        if (candidate.dropped)
          continue;
        NIBBLE_RETURN_IF_ERROR((hot ? measureHot(candidate, recorded[i])
                                    : measureCool(candidate, recorded[i]))
                                   .withContext(candidate.name));
      }
    }
    if (round == 1)
      drop(group);
  }
  return Status();
}

Status CandidateBench::run(CandidateGroup &group) {
  const EngineInfo &info = context.session().info();
  CandidateBuffers memory(device, info.entries[group.candidates[0].entry],
                          group.key);
  buffers = &memory;
  NIBBLE_RETURN_IF_ERROR(memory.create(options.seed));
  group.copies = memory.copies();
  group.rotatedBytes = memory.rotatedBytes();
  uint64_t last = group.copies - 1;
  NIBBLE_RETURN_IF_ERROR(compare(group, 0, "first inputs"));
  if (last)
    NIBBLE_RETURN_IF_ERROR(compare(group, last, "last inputs"));
  NIBBLE_RETURN_IF_ERROR(checkWritten(group));
  {
    // Recordings end before the memory that they use.
    std::vector<Recorded> recorded;
    NIBBLE_RETURN_IF_ERROR(prepare(group, recorded));
    NIBBLE_RETURN_IF_ERROR(measure(group, recorded));
    NIBBLE_RETURN_IF_ERROR(device.synchronize());
  }
  NIBBLE_RETURN_IF_ERROR(compare(group, last, "after the measurements"));
  auto before = [](const Candidate &a, const Candidate &b) {
    return std::make_tuple(!a.wrong.empty(), a.score(), a.entry) <
           std::make_tuple(!b.wrong.empty(), b.score(), b.entry);
  };
  std::sort(group.candidates.begin(), group.candidates.end(), before);
  return Status();
}
