// Targets, and the rates of the machines behind them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_KERNELSELECT_MACHINE_H
#define NIBBLE_KERNELSELECT_MACHINE_H

#include "mlir/Support/LLVM.h"

#include <cstdint>
#include <optional>
#include <string>

namespace nibble {

/// Targets whose kernels come from one generator.
enum class TargetFamily { Cpu, Sm90, Sm100 };

/// What the matrix unit multiplies.
enum class MathFormat { F64, F32, F16, BF16, FP8, FP4, I8 };
llvm::StringRef getMathName(MathFormat format);

/// Dense rates: bytes per second, floating-point operations per second.
struct Rates {
  double bandwidth = 0;
  double f32 = 0, f16 = 0, fp8 = 0, fp4 = 0;
  /// Rate of a matrix product in `math`; f64 counts as f32.
  double of(MathFormat math) const;
  /// Seconds of the roofline: the longer of traffic and arithmetic.
  double getSeconds(double bytes, double flops, MathFormat math) const;
};

struct Machine {
  std::string target; ///< "sm_110a"
  TargetFamily family;
  std::string device; ///< "Jetson Thor T5000"
  Rates datasheet;    ///< dense, as the vendor states them
  Rates reached;      ///< what the best known programs reach
  std::string source; ///< of `reached`
  int64_t l2Bytes = 0;
  unsigned multiprocessors = 0;
  /// Of a GPU: seconds of a reduction over all threads of a block, and f32
  /// sums per second that the threads of a multiprocessor read all alike.
  double blockReduction = 0, sumsPerSecond = 0;
  bool isGpu() const { return family != TargetFamily::Cpu; }
  /// False if kernels with products do not write sums of rows (yet): on these,
  /// nq.statistics would be launches of their own.
  bool writesRowSums() const { return family != TargetFamily::Sm90; }
  /// True if a matrix unit multiplies this format by itself.
  bool hasMath(MathFormat math) const;
};

/// "cpu", "cpu:native", "sm_90a", "sm_100a", "sm_110a"; nothing for others.
std::optional<Machine> getMachine(llvm::StringRef target);
/// The same for a pass on `op`, where an error is told for others.
std::optional<Machine> getMachine(llvm::StringRef target, mlir::Operation *op);
/// False also for what is no target.
bool isGpuTarget(llvm::StringRef target);
/// All names of targets, for messages.
llvm::ArrayRef<llvm::StringLiteral> getTargetNames();

} // namespace nibble

#endif // NIBBLE_KERNELSELECT_MACHINE_H
