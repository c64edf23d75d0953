// Measured schedules: rows of tuning/<target>.jsonl.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A row is one JSON object on a line:
//
//   {"kernel": "gemm.wgmma.e4m3", "m": 976, "n": 32768, "k": 2048,
//    "products": 1, "result_bytes": 2, "schedule": "128x256 s4 c1x1 m4 w2 p2",
//    "us": 103.9, "device": "NVIDIA H100 80GB HBM3"}
//
// `result_bytes` are those that an element of the product becomes, in all
// results. The row of a shape with the least time counts. Files are merged by
// concatenation; `nibble-run bench --candidates --rows` writes them.
//
// With `"predicted": true` nobody measured it: `nibble predict` wrote it, "us"
// is what the time model says, and any measured row of the shape goes first.
#ifndef NIBBLE_KERNELSELECT_TUNINGDB_H
#define NIBBLE_KERNELSELECT_TUNINGDB_H

#include "nibble/Conversion/NqToTile/GemmSchedule.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"

#include <string>
#include <vector>

namespace nibble {

class TuningDb {
public:
  struct Row {
    GemmSchedule schedule;
    double microseconds = 0;
    std::string device;
    bool predicted = false;
  };
  /// A line of the file. Of `shape`, only what the line says is set.
  struct Entry {
    std::string kernel;
    GemmShape shape;
    Row row;
  };

  /// Reads rows; an error names the line and what is wrong with it.
  static llvm::Expected<TuningDb> parse(llvm::StringRef text,
                                        llvm::StringRef name);
  static llvm::Expected<TuningDb> load(llvm::StringRef path);
  /// Lines without schedule and time: shapes to find schedules for.
  static llvm::Expected<std::vector<Entry>> parseShapes(llvm::StringRef text,
                                                        llvm::StringRef name);
  /// The rows that the compiler was built with; empty for other targets.
  static const TuningDb &getBuiltIn(llvm::StringRef target);

  /// The best row, or null.
  const Row *find(llvm::StringRef kernel, const GemmShape &shape) const;
  size_t size() const { return rows.size(); }
  /// All lines, in their order.
  const std::vector<Entry> &all() const { return entries; }

private:
  llvm::StringMap<Row> rows;
  std::vector<Entry> entries;
};

} // namespace nibble

#endif // NIBBLE_KERNELSELECT_TUNINGDB_H
