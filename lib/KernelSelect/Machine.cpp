// Machine files: datasheets, and rates that programs reach.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/Machine.h"

#include "mlir/IR/Operation.h"

#include "llvm/ADT/StringRef.h"

#include <algorithm>

using namespace nibble;

llvm::StringRef nibble::getMathName(MathFormat format) {
  static constexpr llvm::StringLiteral kNames[] = {"f64", "f32", "f16", "bf16",
                                                   "fp8", "fp4", "i8"};
  return kNames[int(format)];
}

double Rates::of(MathFormat math) const {
  switch (math) {
  case MathFormat::F64:
  case MathFormat::F32:
    return f32;
  case MathFormat::F16:
  case MathFormat::BF16:
    return f16;
  case MathFormat::FP8:
  case MathFormat::I8:
    return fp8;
  case MathFormat::FP4:
    return fp4;
  }
  return f32;
}

double Rates::getSeconds(double bytes, double flops, MathFormat math) const {
  double arithmetic = of(math) > 0 ? flops / of(math) : 0;
  return std::max(bandwidth > 0 ? bytes / bandwidth : 0, arithmetic);
}

bool Machine::hasMath(MathFormat math) const {
  if (family == TargetFamily::Cpu)
    return math == MathFormat::F32 || math == MathFormat::F64 ||
           math == MathFormat::I8;
  return math != MathFormat::F64 &&
         (math != MathFormat::FP4 || family == TargetFamily::Sm100);
}

llvm::ArrayRef<llvm::StringLiteral> nibble::getTargetNames() {
  static constexpr llvm::StringLiteral kTargets[] = {
      "cpu", "cpu:native", "sm_90a", "sm_100a", "sm_110a"};
  return kTargets;
}

/// One core pair of AVX2 at 3 GHz: two 8-lane FMAs per cycle and core; 8-bit
/// integers in pairs of instructions over 32 lanes, twice that. Rates of an
/// actual host differ; reports say that these are assumed.
static Machine getCpu(llvm::StringRef target) {
  Rates rates{20e9, 192e9, 192e9, 384e9, 384e9};
  return {target.str(),
          TargetFamily::Cpu,
          "two x86-64-v3 cores",
          rates,
          rates,
          "assumed: 3 GHz, 20 GB/s",
          32 << 20,
          2};
}

/// Measured on an H100 (RowStatistics.h); other GPUs are assumed to need as
/// many cycles: 1.58 GHz on Thor are 0.8 of the 1.98 GHz there.
constexpr double kBlockReduction = 0.4e-6, kSumsPerSecond = 1e11;

std::optional<Machine> nibble::getMachine(llvm::StringRef target) {
  if (target == "cpu" || target == "cpu:native")
    return getCpu(target);
  if (target == "sm_90a")
    return Machine{"sm_90a",
                   TargetFamily::Sm90,
                   "H100 SXM",
                   {3.35e12, 67e12, 989e12, 1979e12, 0},
                   {2.99e12, 50e12, 671e12, 1324e12, 0},
                   "measured: device copy, cuBLASLt at 8192^3",
                   50 << 20,
                   132,
                   kBlockReduction,
                   kSumsPerSecond};
  if (target == "sm_100a")
    return Machine{"sm_100a",
                   TargetFamily::Sm100,
                   "B200",
                   {8e12, 80e12, 2250e12, 4500e12, 9000e12},
                   {7e12, 60e12, 1600e12, 3200e12, 6000e12},
                   "published: best known kernels",
                   126 << 20,
                   148,
                   kBlockReduction,
                   kSumsPerSecond};
  if (target == "sm_110a")
    return Machine{"sm_110a",
                   TargetFamily::Sm100,
                   "Jetson Thor T5000",
                   {273e9, 8.1e12, 258e12, 517e12, 1035e12},
                   {256e9, 6e12, 100e12, 205e12, 360e12},
                   "published: device copy, cuBLAS, CUTLASS NVFP4",
                   32 << 20,
                   20,
                   kBlockReduction * 1.25,
                   kSumsPerSecond / 1.25};
  return std::nullopt;
}

std::optional<Machine> nibble::getMachine(llvm::StringRef target,
                                          mlir::Operation *op) {
  std::optional<Machine> machine = getMachine(target);
  if (!machine)
    op->emitError() << "there is no target '" << target << "'";
  return machine;
}

bool nibble::isGpuTarget(llvm::StringRef target) {
  std::optional<Machine> machine = getMachine(target);
  return machine && machine->isGpu();
}
