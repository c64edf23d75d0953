// nibble predict: times by the model, for rows of a tuning database, and beside
// measured ones.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Commands.h"

#include "nibble/Conversion/NqToTile/GemmTime.h"
#include "nibble/KernelSelect/CheckModel.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/CommandLine.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/MemoryBuffer.h"
#include "llvm/Support/raw_ostream.h"

namespace cl = llvm::cl;
using namespace nibble;

namespace {
cl::SubCommand command("predict", "times of products by the time model");
cl::opt<std::string> input(cl::Positional,
                           cl::desc("SHAPES.jsonl: kernel, m, n, k, products, "
                                    "result_bytes on each line"),
                           cl::sub(command));
cl::opt<std::string> target("target", cl::desc("sm_90a, sm_100a or sm_110a"),
                            cl::init("sm_110a"), cl::sub(command));
cl::opt<bool> check("check", cl::desc("print the model beside measured rows"),
                    cl::sub(command));
cl::opt<std::string> rowsFile("rows",
                              cl::desc("with --check: a tuning database other "
                                       "than that of sm_90a"),
                              cl::value_desc("FILE"), cl::sub(command));
cl::opt<std::string>
    machineFile("machine",
                cl::desc("a machine file other than that of the target"),
                cl::value_desc("FILE"), cl::sub(command));
} // namespace

static int fail(const llvm::Twine &message) {
  llvm::errs() << "error: " << message << "\n";
  return kExitUsage;
}

static llvm::Expected<TimeMachine> getMachineFor(llvm::StringRef name) {
  if (!machineFile.empty())
    return loadTimeMachine(machineFile);
  if (const TimeMachine *machine = getTimeMachine(name))
    return *machine;
  return llvm::createStringError("there is no machine for target '" + name +
                                 "'; sm_90a, sm_100a and sm_110a have one");
}

//===----------------------------------------------------------------------===//
// Beside measured rows
//===----------------------------------------------------------------------===//

static std::string describe(const TuningDb::Entry &row) {
  return llvm::formatv("{0,-26} {1,5} {2,5} {3,5} x{4} {5,-33}", row.kernel,
                       row.shape.m, row.shape.n, row.shape.k,
                       row.shape.products, row.row.schedule.str());
}

namespace {
/// Of a shape: the row with the least measured time.
struct Winner {
  const CheckedRow *row = nullptr;
};
} // namespace

/// Only winners were kept, so what can be said is where the model would have
/// them among all candidates.
static std::string judgeChoices(llvm::ArrayRef<CheckedRow> rows,
                                const TimeMachine &machine) {
  llvm::StringMap<Winner> winners;
  for (const CheckedRow &row : rows) {
    const TuningDb::Entry &e = *row.row;
    Winner &winner =
        winners[llvm::formatv("{0} {1} {2} {3} {4}", e.kernel, e.shape.m,
                              e.shape.n, e.shape.k, e.shape.products)
                    .str()];
    if (!winner.row || e.row.microseconds < winner.row->row->row.microseconds)
      winner.row = &row;
  }
  size_t near = 0;
  for (const auto &entry : winners) {
    const CheckedRow &row = *entry.second.row;
    double best = row.predicted.seconds;
    for (const GemmSchedule &schedule :
         getCandidates(row.shape, kSm90SharedBytes, int64_t(machine.sms)))
      best = std::min(best, predictTime(schedule, row.shape, machine).seconds);
    near += row.predicted.seconds <= 1.1 * best;
  }
  return llvm::formatv("{0} shapes: of {1} the measured best schedule is, by "
                       "the model, within 10 % of its own choice",
                       winners.size(), near);
}

static int checkRows() {
  auto machine = getMachineFor("sm_90a");
  if (!machine)
    return fail(llvm::toString(machine.takeError()));
  TuningDb loaded;
  const TuningDb *db = &TuningDb::getBuiltIn("sm_90a");
  if (!rowsFile.empty()) {
    auto file = TuningDb::load(rowsFile);
    if (!file)
      return fail(llvm::toString(file.takeError()));
    loaded = std::move(*file);
    db = &loaded;
  }
  std::vector<CheckedRow> rows = checkModel(*db, *machine);
  llvm::outs() << llvm::formatv("{0,-79} {1,9} {2,9} {3,6} by\n",
                                "kernel, M, N, K, products, schedule", "us",
                                "predicted", "ratio");
  for (const CheckedRow &row : rows)
    llvm::outs() << llvm::formatv("{0,-79} {1,9:f2} {2,9:f2} {3,6:f3} {4}\n",
                                  describe(*row.row), row.row->row.microseconds,
                                  row.predicted.seconds * 1e6, row.getRatio(),
                                  row.predicted.bound);
  llvm::outs() << getModelError(rows).str() << "\n"
               << judgeChoices(rows, *machine) << "\n";
  return kExitOk;
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

/// In the order that measured rows have.
static void printRow(const TuningDb::Entry &entry,
                     const PredictedSchedule &best,
                     const TimeMachine &machine) {
  const GemmShape &s = entry.shape;
  llvm::outs() << llvm::formatv(
      "{{\"kernel\": \"{0}\", \"m\": {1}, \"n\": {2}, \"k\": {3}, "
      "\"products\": {4}, \"result_bytes\": {5}, \"schedule\": \"{6}\", "
      "\"us\": {7:f3}, \"predicted\": true, \"bound\": \"{8}\", \"device\": "
      "\"{9}\"}\n",
      entry.kernel, s.m, s.n, s.k, s.products, s.getResultBytes(),
      best.schedule.str(), best.time.seconds * 1e6, best.time.bound,
      machine.name);
}

static int printRows() {
  auto machine = getMachineFor(target);
  if (!machine)
    return fail(llvm::toString(machine.takeError()));
  auto file = llvm::MemoryBuffer::getFile(input);
  if (!file)
    return fail("cannot read '" + input + "': " + file.getError().message());
  auto shapes = TuningDb::parseShapes((*file)->getBuffer(), input);
  if (!shapes)
    return fail(llvm::toString(shapes.takeError()));
  for (const TuningDb::Entry &entry : *shapes) {
    std::optional<GemmShape> shape = getRowShape(entry.kernel, entry.shape);
    if (!shape)
      return fail("the model does not know kernels of class '" + entry.kernel +
                  "'; it knows gemm.wgmma.* and gemm.tcgen05.*");
    std::optional<PredictedSchedule> best = predictSchedule(*shape, *machine);
    if (!best)
      return fail("no schedule of " + entry.kernel + " fits " +
                  llvm::Twine(shape->m) + "x" + llvm::Twine(shape->n) + "x" +
                  llvm::Twine(shape->k));
    printRow(entry, *best, *machine);
  }
  llvm::errs() << shapes->size() << " rows predicted for " << machine->name
               << "; " << getModelError().str() << "\n";
  return kExitOk;
}

int predictCommand(int argc, char **argv) {
  if (!cl::ParseCommandLineOptions(argc, argv, "", &llvm::errs()))
    return kExitUsage;
  if (check == !input.empty())
    return fail("give a file of shapes, or --check");
  return check ? checkRows() : printRows();
}
