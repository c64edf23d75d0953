// Types, constants and the choice of values of random graphs.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GraphMaker.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/DialectResourceBlobManager.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::test;

GraphMaker::GraphMaker(OpBuilder &builder, Block &block, uint64_t seed,
                       const GraphOptions &options)
    : builder(builder), block(block), loc(builder.getUnknownLoc()), seed(seed),
      options(options), random(seed) {
  addArgument();
  if (random.chance(50))
    addArgument();
}

const std::vector<GraphMaker::Weighted> &GraphMaker::getSteps() {
  static const std::vector<Weighted> steps = {
      {&GraphMaker::addArgument, 2},
      {&GraphMaker::addConstant, 3},
      {&GraphMaker::repeatConstant, 4},
      {&GraphMaker::addCast, 8},
      {&GraphMaker::addCastChain, 8},
      {&GraphMaker::addGenericCast, 5},
      {&GraphMaker::addUnary, 6},
      {&GraphMaker::addBinary, 6},
      {&GraphMaker::addNorm, 3},
      {&GraphMaker::addMatmul, 8},
      {&GraphMaker::addMove, 18},
      {&GraphMaker::addConcat, 8},
      {&GraphMaker::addStaticQuantize, 12},
      {&GraphMaker::addDynamicQuantize, 8},
      {&GraphMaker::repeatQuantize, 5},
      {&GraphMaker::addDequantize, 20},
      {&GraphMaker::addRequantize, 14},
      {&GraphMaker::addNotation, 6},
      {&GraphMaker::addScaledWeight, 6},
      {&GraphMaker::addConcatOfDequantized, 5}};
  return steps;
}

void GraphMaker::step(unsigned index) {
  // A stream of its own: what one step draws does not change the next.
  random = Random(seed, index + 1);
  if (options.normedProducts && random.chance(options.normedProducts))
    return addNormedProduct();
  unsigned total = 0;
  for (const Weighted &weighted : getSteps())
    total += weighted.weight;
  unsigned at = random.below(total);
  for (const Weighted &weighted : getSteps()) {
    if (at < weighted.weight)
      return (this->*weighted.step)();
    at -= weighted.weight;
  }
}

SmallVector<Value> GraphMaker::pickOutputs() {
  random = Random(seed, 0x6f757470u);
  SmallVector<Value> outputs;
  for (const Entry &entry : llvm::reverse(entries)) {
    bool unused = entry.value.use_empty();
    if (isa<BlockArgument>(entry.value) || outputs.size() >= 5)
      continue;
    // Some results stay dead.
    if (unused ? random.chance(85) : random.chance(10))
      outputs.push_back(entry.value);
  }
  if (outputs.empty())
    outputs.push_back(entries.back().value);
  for (Value &output : outputs)
    if (options.plainOutputs && nq::getScaledElement(output.getType()))
      output = nq::DequantizeOp::create(
          builder, loc, withElement(output, builder.getF32Type()), output);
  return outputs;
}

//===----------------------------------------------------------------------===//
// Types and shapes
//===----------------------------------------------------------------------===//

Type GraphMaker::floatType(unsigned index) {
  MLIRContext *context = builder.getContext();
  switch (index) {
  case 0:
    return builder.getF32Type();
  case 1:
    return builder.getF16Type();
  case 2:
    return builder.getBF16Type();
  case 3:
    return builder.getF64Type();
  case 4:
    return Float8E4M3FNType::get(context);
  case 5:
    return Float8E5M2Type::get(context);
  case 6:
    return Float4E2M1FNType::get(context);
  default:
    return Float8E8M0FNUType::get(context);
  }
}

Type GraphMaker::pickWide() {
  return floatType(random.pick({0u, 0u, 0u, 1u, 1u, 1u, 2u, 2u, 3u}));
}

Type GraphMaker::pickFloat() {
  return random.chance(65) ? pickWide()
                           : floatType(random.pick({4u, 4u, 5u, 5u, 6u, 7u}));
}

bool GraphMaker::fits(ArrayRef<int64_t> shape) const {
  return ShapedType::getNumElements(shape) <= options.maxElements;
}

GraphMaker::Shape GraphMaker::pickShape(unsigned minRank, unsigned maxRank) {
  static const int64_t extents[] = {1,  2,  3,  4,  5,  6,  7,  8,
                                    16, 17, 24, 31, 32, 33, 40, 48};
  for (;;) {
    Shape shape(random.between(minRank, maxRank));
    for (int64_t &extent : shape)
      do
        extent = random.pick(ArrayRef<int64_t>(extents));
      while (extent > options.maxExtent);
    if (fits(shape))
      return shape;
  }
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

const Entry *GraphMaker::pick(llvm::function_ref<bool(const Entry &)> accept) {
  SmallVector<const Entry *> fitting;
  for (const Entry &entry : entries)
    if (accept(entry))
      fitting.push_back(&entry);
  if (fitting.empty())
    return nullptr;
  // Chains grow from what was made last.
  size_t recent =
      random.chance(70) ? std::min<size_t>(3, fitting.size()) : fitting.size();
  return fitting[fitting.size() - 1 - random.below(recent)];
}

const Entry *GraphMaker::pickPlain(unsigned minRank) {
  return pick([&](const Entry &entry) {
    auto type = tensorOf(entry.value);
    return isa<FloatType>(type.getElementType()) && type.getRank() >= minRank;
  });
}

const Entry *GraphMaker::pickArithmetic(unsigned minRank) {
  return pick([&](const Entry &entry) {
    auto type = tensorOf(entry.value);
    return isa<Float16Type, BFloat16Type, Float32Type, Float64Type>(
               type.getElementType()) &&
           type.getRank() >= minRank;
  });
}

Entry GraphMaker::derive(const Entry &from, Value value, bool rounds) {
  return {value, from.constant, from.dequantized,
          from.rounded || (from.dequantized && rounds)};
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

/// At most four significant bits, so that products of two and sums of a few are
/// exact in every type; zero now and then.
Data GraphMaker::makeData(RankedTensorType type) {
  std::vector<double> values(type.getNumElements());
  bool same = random.chance(15);
  for (double &x : values)
    x = std::ldexp(double(random.between(-15, 15)), random.between(-4, 0));
  if (same)
    std::fill(values.begin(), values.end(), values.empty() ? 0 : values[0]);
  return {type, ref::RefTensor::floats(type, values).toFloats()};
}

ElementsAttr GraphMaker::makeAttr(RankedTensorType type,
                                  std::vector<char> bytes) {
  auto blob = HeapAsmResourceBlob::allocateAndCopyWithAlign(bytes, 64);
  return DenseResourceElementsAttr::get(type, "random", std::move(blob));
}

Value GraphMaker::makeConstant(const Data &data) {
  bool integer = data.type.getElementType().isIntOrIndex();
  ref::RefTensor tensor;
  if (integer) {
    std::vector<int64_t> values(data.values.begin(), data.values.end());
    tensor = ref::RefTensor::ints(data.type, values);
  } else {
    tensor = ref::RefTensor::floats(data.type, data.values);
  }
  unsigned form = random.below(3);
  ElementsAttr attr =
      form == 0 ? makeAttr(data.type, tensor.toStorage()) : tensor.toAttr();
  if (form != 1)
    return nq::ConstantOp::create(builder, loc, data.type, attr, ElementsAttr(),
                                  ElementsAttr(), ElementsAttr());
  return arith::ConstantOp::create(builder, loc, data.type,
                                   cast<TypedAttr>(attr));
}

Value GraphMaker::makeEmpty(RankedTensorType type) {
  return tensor::EmptyOp::create(builder, loc, type.getShape(),
                                 type.getElementType());
}
