// Random quantized graphs and their inputs.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RandomGraph.h"

#include "GraphMaker.h"
#include "nibble/Dialect/Exec/ExecOps.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::test;

OwningOpRef<ModuleOp>
nibble::test::makeRandomGraph(MLIRContext &context, uint64_t seed,
                              const GraphOptions &options) {
  OpBuilder builder(&context);
  Location loc = builder.getUnknownLoc();
  OwningOpRef<ModuleOp> module = ModuleOp::create(loc);
  builder.setInsertionPointToEnd(module->getBody());
  auto function = func::FuncOp::create(builder, loc, "main",
                                       builder.getFunctionType({}, {}));
  function->setAttr(kEntryAttr, builder.getUnitAttr());
  Block *block = function.addEntryBlock();
  builder.setInsertionPointToEnd(block);
  GraphMaker maker(builder, *block, seed, options);
  for (unsigned i = 0; i < options.steps; ++i)
    maker.step(i);
  auto outputs = maker.pickOutputs();
  func::ReturnOp::create(builder, loc, outputs);
  function.setType(builder.getFunctionType(block->getArgumentTypes(),
                                           ValueRange(outputs).getTypes()));
  return module;
}

static double makeNumber(Random &random) {
  double x = random.normal();
  if (random.chance(2))
    x *= 30 + 70 * random.uniform();
  if (random.chance(2))
    x = random.chance(50) ? 0.0 : -0.0;
  // What quantizers meet at their borders.
  if (random.chance(10))
    x = std::ldexp(double(random.between(-16, 16)), random.between(-6, 0));
  return static_cast<float>(x);
}

static ref::RefTensor makeScaled(RankedTensorType type, Random &random) {
  auto scaled = nq::getScaledElement(type);
  auto bytes = std::make_shared<std::vector<std::vector<char>>>(3);
  rt::StorageFormat storage = ref::getFormat(scaled.getStorage()),
                    scale = ref::getFormat(scaled.getScale());
  int64_t cells =
      ShapedType::getNumElements(scaled.getScaleGrid(type.getShape()));
  (*bytes)[0].resize(scaled.getCodeBytes(type.getShape()));
  (*bytes)[1].resize(scaled.getScaleBytes(type.getShape()));
  for (int64_t i = 0; i < type.getNumElements(); ++i)
    rt::storeCode(storage, (*bytes)[0].data(), i,
                  rt::encode(storage, random.normal() * 3));
  for (int64_t i = 0; i < cells; ++i) {
    rt::storeCode(scale, (*bytes)[1].data(), i,
                  rt::encode(scale, 0.1 + random.uniform()));
    if (scaled.getZeroPoint())
      (*bytes)[2].push_back(static_cast<char>(random.below(8)));
  }
  ref::RefTensor::ScaledParts parts{(*bytes)[0], (*bytes)[1], (*bytes)[2],
                                    scaled.getGlobal() ? 0.5 : 1.0};
  return *ref::RefTensor::scaled(type, parts, bytes, nullptr);
}

std::vector<ref::RefTensor>
nibble::test::makeRandomInputs(func::FuncOp function, uint64_t seed) {
  std::vector<ref::RefTensor> inputs;
  for (auto [i, argument] : llvm::enumerate(function.getArgumentTypes())) {
    auto type = cast<RankedTensorType>(argument);
    Random random(seed, 1000 + i);
    if (nq::getScaledElement(type)) {
      inputs.push_back(makeScaled(type, random));
    } else if (type.getElementType().isIntOrIndex()) {
      std::vector<int64_t> values(type.getNumElements());
      for (int64_t &x : values)
        x = random.between(0, 1);
      inputs.push_back(ref::RefTensor::ints(type, values));
    } else {
      std::vector<double> values(type.getNumElements());
      for (double &x : values)
        x = makeNumber(random);
      inputs.push_back(ref::RefTensor::floats(type, values));
    }
  }
  return inputs;
}
