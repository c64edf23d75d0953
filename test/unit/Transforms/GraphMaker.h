// The steps of a random graph.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TRANSFORMS_GRAPHMAKER_H
#define NIBBLE_TEST_UNIT_TRANSFORMS_GRAPHMAKER_H

#include "Random.h"
#include "RandomGraph.h"

#include "mlir/IR/Builders.h"

#include <optional>

namespace nibble::test {

/// A value of the graph, and what the rules of RandomGraph.h need to know.
struct Entry {
  mlir::Value value;
  bool constant = false;    ///< depends on constants only
  bool dequantized = false; ///< comes from a dequantize by casts and moves
  bool rounded = false;     ///< ... and lost bits on the way
};

/// Data of a plain constant, to be written once more by another op.
struct Data {
  mlir::RankedTensorType type;
  std::vector<double> values;
};

/// How a tensor was quantized statically, to be done again.
struct StaticQuant {
  mlir::Value result;
  Data scale;
  std::optional<Data> global, zeroPoint;
};

class GraphMaker {
public:
  GraphMaker(mlir::OpBuilder &builder, mlir::Block &block, uint64_t seed,
             const GraphOptions &options);

  /// One step; does nothing where no value fits.
  void step(unsigned index);
  /// What the function returns: values without users and some others.
  llvm::SmallVector<mlir::Value> pickOutputs();

private:
  using Shape = llvm::SmallVector<int64_t>;
  using Step = void (GraphMaker::*)();
  struct Weighted {
    Step step;
    unsigned weight;
  };
  static const std::vector<Weighted> &getSteps();

  // GraphMaker.cpp: types, constants, choice of values
  mlir::RankedTensorType tensorOf(mlir::Value value) const {
    return llvm::cast<mlir::RankedTensorType>(value.getType());
  }
  mlir::RankedTensorType withElement(mlir::Value value, mlir::Type element) {
    return mlir::RankedTensorType::get(tensorOf(value).getShape(), element);
  }
  mlir::Type floatType(unsigned index);
  mlir::Type pickWide();
  mlir::Type pickFloat();
  Shape pickShape(unsigned minRank, unsigned maxRank);
  bool fits(llvm::ArrayRef<int64_t> shape) const;
  /// A recent value for which `accept` is true, or null.
  const Entry *pick(llvm::function_ref<bool(const Entry &)> accept);
  const Entry *pickPlain(unsigned minRank = 0);
  const Entry *pickArithmetic(unsigned minRank = 0);
  void add(Entry entry) { entries.push_back(entry); }
  /// The entry of a value computed from `from` by a cast or move.
  Entry derive(const Entry &from, mlir::Value value, bool rounds);
  /// Constant data of few significant bits, written by one of three ops.
  mlir::Value makeConstant(const Data &data);
  Data makeData(mlir::RankedTensorType type);
  mlir::ElementsAttr makeAttr(mlir::RankedTensorType type,
                              std::vector<char> bytes);
  mlir::Value makeEmpty(mlir::RankedTensorType type);

  // QuantSteps.cpp
  bool isConstant(mlir::Value value) const;
  nq::ScaledType pickStaticType(int64_t rank);
  nq::ScaledType pickDynamicType();
  mlir::Type pickStorage();
  StaticQuant makeScales(mlir::RankedTensorType result, bool shortScales);
  mlir::Value quantizeAs(mlir::Value input, const StaticQuant &like,
                         mlir::RankedTensorType type);
  mlir::Value makeScaledConstant(mlir::RankedTensorType type);
  mlir::Value repeatWeight();
  std::vector<char> makeCodes(mlir::RankedTensorType type);
  void addStaticQuantize();
  void addDynamicQuantize();
  void repeatQuantize();
  void addDequantize();
  void addConcatOfDequantized();
  void addRequantize();
  void addNotation();
  void addScaledWeight();

  // FloatSteps.cpp
  mlir::Value castTo(mlir::Value value, mlir::Type element);
  mlir::Value genericCast(mlir::Value value,
                          llvm::ArrayRef<mlir::Type> elements);
  void addArgument();
  void addConstant();
  void repeatConstant();
  void addCast();
  void addCastChain();
  void addGenericCast();
  void addUnary();
  void addBinary();
  void addNorm();
  void addMatmul();
  void addNormedProduct();
  Entry normalize(const Entry &from);
  std::optional<Entry> pickWeight(int64_t k);

  // MoveSteps.cpp
  /// A random move of `value`, or null if none fits.
  mlir::Value move(mlir::Value value);
  mlir::Value transpose(mlir::Value value);
  mlir::Value reshape(mlir::Value value);
  mlir::Value slice(mlir::Value value);
  mlir::Value broadcast(mlir::Value value);
  void addMove();
  void addConcat();

  mlir::OpBuilder &builder;
  mlir::Block &block;
  mlir::Location loc;
  uint64_t seed;
  GraphOptions options;
  Random random;
  std::vector<Entry> entries;
  std::vector<StaticQuant> quants;
  std::vector<Data> constants;
  std::vector<nq::ConstantOp> weights;
};

} // namespace nibble::test

#endif // NIBBLE_TEST_UNIT_TRANSFORMS_GRAPHMAKER_H
