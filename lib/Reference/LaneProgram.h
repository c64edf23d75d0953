// Scalar code of a region, compiled to instructions over arrays of lanes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A register is an array of `laneCount` doubles or int64s. Each instruction is
// a function that loops over a range of lanes, so that its dispatch costs
// nothing against its work.
#ifndef NIBBLE_LIB_REFERENCE_LANEPROGRAM_H
#define NIBBLE_LIB_REFERENCE_LANEPROGRAM_H

#include "nibble/Reference/RefTensor.h"

#include "llvm/ADT/DenseMap.h"

namespace nibble::ref {

constexpr unsigned laneCount = 256;

/// A register of the float or of the integer file.
struct LaneReg {
  bool isFloat = true;
  uint32_t index = 0;
  bool operator==(const LaneReg &o) const {
    return isFloat == o.isFloat && index == o.index;
  }
};

struct LaneInstr;
struct LaneFrame;
using LaneFn = void (*)(const LaneInstr &, LaneFrame &, unsigned begin,
                        unsigned end);

struct LaneInstr {
  LaneFn fn = nullptr;
  uint32_t dst = 0, a = 0, b = 0, c = 0;      ///< register numbers, file by op
  Rounding rounding{rt::StorageFormat::None}; ///< of a float result
  /// Operands of type f32 are rounded to f32 before an op that is not
  /// continuous (comparison, floor, conversion to integer, bitcast).
  bool snap = false;
  uint8_t width = 64;    ///< bits of an integer result
  uint8_t srcWidth = 64; ///< bits of integer operands
  rt::StorageFormat srcFormat = rt::StorageFormat::None; ///< bitcast
  rt::StorageFormat dstFormat = rt::StorageFormat::None;
  uint32_t gather = 0; ///< index into LaneProgram::gathers
};

/// tensor.extract: element at the indices in integer registers.
struct LaneGather {
  RefTensor tensor;
  llvm::SmallVector<uint32_t> indices;
  mlir::Operation *op = nullptr;
};

struct LaneProgram;

/// Registers of one thread.
struct LaneFrame {
  explicit LaneFrame(const LaneProgram &program);

  const LaneProgram &program;
  /// Where each register is: in `own`, or in place in an operand.
  std::vector<double *> f;
  std::vector<int64_t *> i;
  /// First failed gather.
  const LaneGather *bad = nullptr;
  int64_t badDim = 0, badIndex = 0;

  double *ownFloats(uint32_t reg) { return floats.get() + reg * laneCount; }
  int64_t *ownInts(uint32_t reg) { return ints.get() + reg * laneCount; }
  void run(unsigned begin, unsigned end);
  void run(llvm::ArrayRef<LaneInstr> instrs, unsigned begin, unsigned end) {
    for (const LaneInstr &instr : instrs)
      instr.fn(instr, *this, begin, end);
  }

private:
  Buffer<double> floats;
  Buffer<int64_t> ints;
};

struct LaneProgram {
  /// Value of an SSA value from outside of the code, or null.
  using Lookup = llvm::function_ref<const RefTensor *(mlir::Value)>;

  /// Compiles the body of a region; yields are the operands of its terminator.
  static mlir::FailureOr<LaneProgram> compile(mlir::Block &body, Lookup lookup);
  /// Compiles one elementwise op on scalars or tensors: its operands are the
  /// arguments, its results the yields.
  static mlir::FailureOr<LaneProgram> compile(mlir::Operation *op);

  std::vector<LaneInstr> instrs;
  llvm::SmallVector<LaneReg> args;
  llvm::SmallVector<LaneReg> yields;
  struct Constant {
    LaneReg reg;
    double number = 0;
    int64_t integer = 0;
  };
  std::vector<Constant> constants;
  struct LoopIndex {
    int64_t dim;
    uint32_t reg;
  };
  std::vector<LoopIndex> indices; ///< linalg.index
  std::vector<LaneGather> gathers;
  uint32_t numFloats = 0, numInts = 0;

  /// True for each instruction that depends on one of `regs`.
  std::vector<bool> dependsOn(llvm::ArrayRef<LaneReg> regs) const;
  /// Register each instruction writes, and those it reads.
  std::vector<LaneReg> writes;
  std::vector<llvm::SmallVector<LaneReg, 4>> reads;
};

/// Fills `instr` for a scalar op: function, roundings and widths, not the
/// registers. False if the op is not known.
bool selectLaneOp(mlir::Operation *op, LaneInstr &instr);
/// Gather of floats or of integers.
LaneFn getGatherFn(bool isFloat);

} // namespace nibble::ref

#endif // NIBBLE_LIB_REFERENCE_LANEPROGRAM_H
