// What stage canonical computes at compile time, on layers of real size.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Random.h"
#include "nibble/Pipelines/RegisterAll.h"
#include "nibble/Pipelines/Stages.h"
#include "nibble/Reference/Interpreter.h"

#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/Parser/Parser.h"
#include "mlir/Pass/PassManager.h"

#include "gtest/gtest.h"

#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::test;

namespace {

/// The conditioning of a diffusion policy: sin and cos of a constant t, an MLP
/// 1024 -> 1024 -> 1024 in FP8, a dense layer 1024 -> 3072 in NVFP4, unrolled
/// over the steps; the table is added to an argument.
class TimestepTable {
public:
  TimestepTable() {
    DialectRegistry registry;
    registerAllDialects(registry);
    context.appendDialectRegistry(registry);
    context.loadAllAvailableDialects();
    std::string text = head;
    for (int i = 0; i < steps; ++i)
      text += makeStep(i);
    text += "%table = tensor.concat dim(0) ";
    for (int i = 0; i < steps; ++i)
      text += (i ? ", %y" : "%y") + std::to_string(i);
    text += " : (";
    for (int i = 0; i < steps; ++i)
      text += i ? ", tensor<1x3072xf32>" : "tensor<1x3072xf32>";
    text += ") -> tensor<10x3072xf32>\n" + std::string(tail);
    module = parseSourceString<ModuleOp>(text, &context);
    fillWeights();
  }

  func::FuncOp main() { return module->lookupSymbol<func::FuncOp>("main"); }

  LogicalResult runStage() {
    PassManager pm(&context);
    buildCanonicalPipeline(pm, {});
    return pm.run(*module);
  }

  static constexpr int steps = 10;
  MLIRContext context;
  OwningOpRef<ModuleOp> module;

private:
  static constexpr const char *head = R"(
#id = affine_map<(d0, d1) -> (d0, d1)>
#one = affine_map<(d0, d1) -> (d0, 0)>
func.func @main(%x: tensor<10x3072xf32>, %z: tensor<4x1024xf16>) -> (tensor<10x3072xf32>, tensor<4x3072xf16>) {
  %freq = nq.constant codes(dense<0.25> : tensor<1x512xf32>) : tensor<1x512xf32>
  %fc = nq.constant codes(dense<0> : tensor<1048576xi8>) scales(dense<[0, 0, 0, 60]> : tensor<4xi8>) : tensor<1024x1024x!nq.fp8>
  %dense = nq.constant codes(dense<0> : tensor<1572864xi8>) scales(dense<0> : tensor<196608xi8>) global(dense<0.125> : tensor<f32>) : tensor<3072x1024x!nq.nvfp4>
  %bias = nq.constant codes(dense<0.5> : tensor<1x3072xf32>) : tensor<1x3072xf32>
  %init512 = tensor.empty() : tensor<1x512xf32>
  %init1024 = tensor.empty() : tensor<1x1024xf16>
  %et = tensor.empty() : tensor<1024x1024xf32>
  %init3072 = tensor.empty() : tensor<1x3072xf32>
  %et3 = tensor.empty() : tensor<1024x3072xf16>
)";
  static constexpr const char *tail = R"(
  %e = tensor.empty() : tensor<10x3072xf32>
  %sum = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
    ins(%x, %table : tensor<10x3072xf32>, tensor<10x3072xf32>) outs(%e : tensor<10x3072xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<10x3072xf32>
  %live = nq.matmul %z, %dense transpose_b : (tensor<4x1024xf16>, tensor<3072x1024x!nq.nvfp4>) -> tensor<4x3072xf16>
  return %sum, %live : tensor<10x3072xf32>, tensor<4x3072xf16>
}
)";

  /// Values of step `i` end in its number.
  static std::string makeStep(int i) {
    std::string text = R"(
  %tN = arith.constant dense<TIME> : tensor<1x1xf32>
  %sN, %cN = linalg.generic {indexing_maps = [#one, #id, #id, #id], iterator_types = ["parallel", "parallel"]}
    ins(%tN, %freq : tensor<1x1xf32>, tensor<1x512xf32>) outs(%init512, %init512 : tensor<1x512xf32>, tensor<1x512xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32, %p: f32):
    %m = arith.mulf %a, %b : f32
    %s = math.sin %m : f32
    %c = math.cos %m : f32
    linalg.yield %s, %c : f32, f32
  } -> (tensor<1x512xf32>, tensor<1x512xf32>)
  %eN = tensor.concat dim(1) %sN, %cN : (tensor<1x512xf32>, tensor<1x512xf32>) -> tensor<1x1024xf32>
  %hN = nq.cast %eN : tensor<1x1024xf32> -> tensor<1x1024xf16>
  %dN = nq.dequantize %fc : tensor<1024x1024x!nq.fp8> -> tensor<1024x1024xf32>
  %wN = linalg.transpose ins(%dN : tensor<1024x1024xf32>) outs(%et : tensor<1024x1024xf32>) permutation = [1, 0]
  %vN = nq.cast %wN : tensor<1024x1024xf32> -> tensor<1024x1024xf16>
  %aN = nq.matmul %hN, %vN : (tensor<1x1024xf16>, tensor<1024x1024xf16>) -> tensor<1x1024xf16>
  %bN = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
    ins(%aN : tensor<1x1024xf16>) outs(%init1024 : tensor<1x1024xf16>) {
  ^bb0(%a: f16, %o: f16):
    %w = arith.extf %a : f16 to f32
    %n = arith.negf %w : f32
    %g = math.exp %n : f32
    %one = arith.constant 1.0 : f32
    %d = arith.addf %g, %one : f32
    %q = arith.divf %w, %d : f32
    %r = arith.truncf %q : f32 to f16
    linalg.yield %r : f16
  } -> tensor<1x1024xf16>
  %kN = nq.dequantize %dense : tensor<3072x1024x!nq.nvfp4> -> tensor<3072x1024xf16>
  %lN = linalg.transpose ins(%kN : tensor<3072x1024xf16>) outs(%et3 : tensor<1024x3072xf16>) permutation = [1, 0]
  %mN = nq.matmul %bN, %lN : (tensor<1x1024xf16>, tensor<1024x3072xf16>) -> tensor<1x3072xf32>
  %yN = linalg.generic {indexing_maps = [#id, #id, #id], iterator_types = ["parallel", "parallel"]}
    ins(%mN, %bias : tensor<1x3072xf32>, tensor<1x3072xf32>) outs(%init3072 : tensor<1x3072xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %s = arith.addf %a, %b : f32
    linalg.yield %s : f32
  } -> tensor<1x3072xf32>
)";
    auto replace = [&](const std::string &key, const std::string &value) {
      for (size_t at = 0; (at = text.find(key, at)) != std::string::npos;
           at += value.size())
        text.replace(at, key.size(), value);
    };
    replace("TIME", std::to_string(1.0 - 0.1 * i));
    for (const char *name :
         {"t", "s", "c", "e", "h", "d", "w", "v", "a", "b", "k", "l", "m", "y"})
      replace(std::string("%") + name + "N",
              std::string("%") + name + std::to_string(i));
    return text;
  }

  /// Random finite codes and scales around 1 in place of the zeros.
  void fillWeights() {
    Random random(1);
    main().walk([&](nq::ConstantOp op) {
      auto scaled = nq::getScaledElement(op.getResult().getType());
      if (!scaled)
        return;
      auto fill = [&](ElementsAttr attr, bool scales) -> ElementsAttr {
        std::vector<char> bytes(attr.getNumElements());
        for (char &byte : bytes)
          byte = scales ? 0x30 + random.below(8) : random.below(256) & 0xb7;
        return DenseResourceElementsAttr::get(
            attr.getShapedType(), "weight",
            HeapAsmResourceBlob::allocateAndCopyWithAlign(ArrayRef<char>(bytes),
                                                          64));
      };
      op.setCodesAttr(fill(op.getCodes(), false));
      if (scaled.getGlobal())
        op.setScalesAttr(fill(*op.getScales(), true));
    });
  }
};

TEST(StageCanonical, EvaluatesTimestepTables) {
  TimestepTable table;
  ASSERT_TRUE(table.module);
  // One row of arguments is enough: the second result does not matter here.
  auto x = cast<RankedTensorType>(table.main().getArgumentTypes()[0]);
  auto z = cast<RankedTensorType>(table.main().getArgumentTypes()[1]);
  llvm::SmallVector<ref::RefTensor> inputs{ref::RefTensor::splat(x, 0.0),
                                           ref::RefTensor::splat(z, 1.0)};
  auto before = ref::Interpreter().run(table.main(), inputs);
  ASSERT_TRUE(succeeded(before));
  ASSERT_TRUE(succeeded(table.runStage()));
  auto after = ref::Interpreter().run(table.main(), inputs);
  ASSERT_TRUE(succeeded(after));

  // All that is left computes with the arguments.
  std::vector<std::string> left;
  int64_t plain = 0, scaled = 0;
  for (Operation &op : table.main().front().without_terminator()) {
    if (auto constant = dyn_cast<nq::ConstantOp>(op)) {
      auto type = cast<RankedTensorType>(constant.getResult().getType());
      (nq::getScaledElement(type) ? scaled : plain) +=
          nq::getStorageRegions(type).total;
      continue;
    }
    left.push_back(op.getName().getStringRef().str());
  }
  EXPECT_EQ(left, (std::vector<std::string>{"tensor.empty", "linalg.generic",
                                            "nq.matmul"}));
  // The table; no weight was expanded, the FP8 weight is gone.
  EXPECT_EQ(plain, 10 * 3072 * 4);
  EXPECT_LT(scaled, 3072 * 1024 * 5 / 8);

  // Folded results are stored in f32, and f16 where the model says so. Matmuls
  // that read scaled weights skip a rounding of the weights to f16, as
  // docs/numerics.md says, so f16 results in the middle may be off by one.
  double worst = 0, largest = 0;
  for (int64_t i = 0; i < (*before)[0].size(); ++i) {
    double want = (*before)[0].floatAt(i), got = (*after)[0].floatAt(i);
    worst = std::max(worst, std::fabs(want - got));
    largest = std::max(largest, std::fabs(want));
  }
  EXPECT_GT(largest, 1);
  EXPECT_LT(worst, 1e-3 * largest);
  EXPECT_NE((*after)[0].floatAt(0), (*after)[0].floatAt(3072))
      << "steps must differ";
}

} // namespace
