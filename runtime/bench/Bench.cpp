// The verb bench: latencies of an entry point, of its parts and its launches.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "BenchVerb.h"

#include "Candidates.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

using namespace nibble::rt;
using namespace nibble::rt::cli;

Status BenchVerb::runOnce(double &seconds) {
  double start = now();
  NIBBLE_RETURN_IF_ERROR(execution.context->run(execution.entry));
  seconds = secondsSince(start);
  return Status();
}

Status BenchVerb::measure() {
  NIBBLE_RETURN_IF_ERROR(runOnce(firstSeconds));
  double seconds = 0;
  for (double start = now(); secondsSince(start) < options.warmup;)
    NIBBLE_RETURN_IF_ERROR(runOnce(seconds));
  uint64_t before = execution.device->allocations();
  std::vector<double> times;
  double start = now();
  do {
    NIBBLE_RETURN_IF_ERROR(runOnce(seconds));
    times.push_back(seconds);
  } while (options.iterations ? times.size() < options.iterations
                              : secondsSince(start) < options.duration);
  allocations += execution.device->allocations() - before;
  whole = statistics(std::move(times), options.percentiles);
  return Status();
}

/// Passes of their own: what they add must not disturb the whole.
size_t BenchVerb::fewerRuns() const {
  size_t least = std::min<size_t>(whole.count, 3);
  return std::min<size_t>(std::max(whole.count / 3, least), 1000);
}

/// Inputs keep the values that they were set to.
Status BenchVerb::stageAll() {
  Context &context = *execution.context;
  for (uint32_t i = 0; i < execution.info().inputs.size(); ++i)
    NIBBLE_RETURN_IF_ERROR(context.stageInput(execution.entry, i).status());
  for (uint32_t i = 0; i < execution.info().outputs.size(); ++i)
    NIBBLE_RETURN_IF_ERROR(context.stageOutput(execution.entry, i).status());
  return context.prepare(execution.entry);
}

Status BenchVerb::measureSplit() {
  NIBBLE_RETURN_IF_ERROR(stageAll());
  auto timeline = execution.device->createTimeline(4);
  if (!timeline.ok())
    return timeline.status();
  Context &context = *execution.context;
  std::vector<double> endToEnd, enqueue, copyIn, compute, copyOut, parts(4);
  uint64_t before = execution.device->allocations();
  for (size_t i = 0, runs = fewerRuns(); i < runs; ++i) {
    double start = now();
    NIBBLE_RETURN_IF_ERROR(context.submit(execution.entry));
    double submitted = now();
    NIBBLE_RETURN_IF_ERROR(context.wait());
    double end = now();
    enqueue.push_back(submitted - start);
    endToEnd.push_back(end - start);
    NIBBLE_RETURN_IF_ERROR(context.submitInParts(execution.entry, **timeline));
    NIBBLE_RETURN_IF_ERROR((*timeline)->read(parts));
    copyIn.push_back(parts[1]);
    compute.push_back(parts[2] - parts[1]);
    copyOut.push_back(parts[3] - parts[2]);
    if (options.trace.empty() || i >= Trace::kRuns)
      continue;
    trace.add(Trace::Host, "submit", start, submitted - start);
    trace.add(Trace::Host, "wait", submitted, end - submitted);
    trace.add(Trace::Run, "copy in", end, parts[1]);
    trace.add(Trace::Run, std::string(execution.info().name), end + parts[1],
              parts[2] - parts[1]);
    trace.add(Trace::Run, "copy out", end + parts[2], parts[3] - parts[2]);
  }
  allocations += execution.device->allocations() - before;
  auto summary = [&](std::vector<double> &times) {
    return statistics(std::move(times), options.percentiles);
  };
  split = {summary(endToEnd), summary(enqueue), summary(copyIn),
           summary(compute), summary(copyOut)};
  return Status();
}

Status BenchVerb::measureLayers() {
  size_t count = execution.info().launches.size();
  std::vector<std::vector<double>> times(count);
  std::vector<double> points(count + 1);
  auto timeline = execution.device->createTimeline(count + 1);
  if (!timeline.ok())
    return timeline.status();
  for (size_t run = 0, runs = fewerRuns(); run < runs; ++run) {
    double start = now();
    NIBBLE_RETURN_IF_ERROR((*timeline)->hold());
    Status issued =
        execution.context->issueInParts(execution.entry, **timeline);
    (*timeline)->release();
    NIBBLE_RETURN_IF_ERROR(issued);
    NIBBLE_RETURN_IF_ERROR((*timeline)->read(points));
    for (size_t i = 0; i < count; ++i) {
      double seconds = points[i + 1] - points[i];
      times[i].push_back(seconds);
      if (!options.trace.empty() && run < Trace::kRuns)
        trace.add(execution.info().launches[i], uint32_t(i), start + points[i],
                  seconds);
    }
  }
  for (std::vector<double> &launch : times)
    layers.push_back(statistics(std::move(launch), {}));
  return Status();
}

Status BenchVerb::readPeaks() {
  peaks = peaksOf(execution.device->limits());
  if (options.peaks.empty())
    return Status();
  Result<Peaks> given = parsePeaks(options.peaks);
  if (given.ok())
    peaks = *given;
  return given.status();
}

void BenchVerb::warn() {
  std::ostringstream text;
  text << std::setprecision(2);
  if (whole.count < 10)
    warnings.push_back("only " + std::to_string(whole.count) +
                       " measurements: use a longer --duration");
  if (whole.cov > 0.05) {
    text << "times vary by " << whole.cov * 100
         << " % (coefficient of variation): other load or a changing clock; "
            "trust min and median";
    warnings.push_back(text.str());
  }
  if (options.device == "null")
    warnings.push_back("the null device computes nothing: these are the costs "
                       "of the runtime alone");
  if (options.device == "emu")
    warnings.push_back("the device is emulated: times are those of the "
                       "emulator, not of a GPU");
  if (allocations)
    warnings.push_back("memory was allocated " + std::to_string(allocations) +
                       " times in steady state");
  if (options.layers && !peaks.known())
    warnings.push_back("what this device can do is not known (" +
                       execution.device->description() +
                       "), so there are no bounds: give --peaks "
                       "memory=GB/s,f8=TFLOP/s,f16=,f32=");
}

int BenchVerb::execute() {
  Status status = prepare(options, Missing::Generate, streams, execution);
  if (status.ok() && options.layers)
    status = readPeaks();
  if (status.ok())
    status = measure();
  if (status.ok())
    status = measureSplit();
  if (status.ok() && (options.layers || !options.trace.empty()))
    status = measureLayers();
  if (status.ok() && !options.trace.empty())
    status = trace.write(options.trace, options.engine + " on " +
                                            execution.device->description());
  if (!status.ok())
    return fail(status, streams);
  std::vector<double> medians;
  for (const Statistics &launch : layers)
    medians.push_back(launch.median);
  if (options.layers)
    table = layerTimes(*execution.engine, execution.entry, medians, peaks);
  warn();
  options.json ? printJson() : printText();
  for (const std::string &warning : warnings)
    streams.talk << "warning: " << warning << "\n";
  return 0;
}

int cli::bench(const BenchOptions &options, Streams streams) {
  if (options.candidates.enabled)
    return benchCandidates(options, streams);
  return BenchVerb(options, streams).execute();
}
