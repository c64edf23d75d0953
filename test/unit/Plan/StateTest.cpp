// States end to end: entry points that share them, contexts that do not.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PlanHarness.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::test;

namespace {

/// `prefill` writes a whole cache and its length, `step` a row at a time;
/// `reset` empties it. The result is a weighted sum of the cache.
const char *const kCache = R"(
#id = affine_map<(d0, d1) -> (d0, d1)>
#row = affine_map<(d0, d1) -> (d1)>
#sum = affine_map<(d0, d1) -> (d1)>
nq.state @cache : tensor<40x24xf32>
nq.state @length : tensor<i64>

func.func @prefill(%rows: tensor<8x24xf32> {nibble.name = "rows"}) -> (tensor<24xf32> {nibble.name = "y"}) attributes {nibble.entry} {
  %zero = arith.constant dense<0> : tensor<i64>
  %eight = arith.constant dense<8> : tensor<i64>
  %old = nq.state_read @cache : tensor<40x24xf32>
  %new = nq.update %old[%zero] with %rows axis 0 : tensor<40x24xf32>, tensor<i64>, tensor<8x24xf32>
  nq.state_write @cache, %new : tensor<40x24xf32>
  nq.state_write @length, %eight : tensor<i64>
  %c0 = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<24xf32>
  %f = linalg.fill ins(%c0 : f32) outs(%e : tensor<24xf32>) -> tensor<24xf32>
  %y = linalg.generic {indexing_maps = [#id, #sum], iterator_types = ["reduction", "parallel"]} ins(%new : tensor<40x24xf32>) outs(%f : tensor<24xf32>) {
  ^bb0(%a: f32, %o: f32):
    %s = arith.addf %a, %o : f32
    linalg.yield %s : f32
  } -> tensor<24xf32>
  return %y : tensor<24xf32>
}

func.func @step(%r: tensor<1x24xf32> {nibble.name = "r"}) -> (tensor<24xf32> {nibble.name = "y"}) attributes {nibble.entry} {
  %at = nq.state_read @length : tensor<i64>
  %old = nq.state_read @cache : tensor<40x24xf32>
  %new = nq.update %old[%at] with %r axis 0 : tensor<40x24xf32>, tensor<i64>, tensor<1x24xf32>
  nq.state_write @cache, %new : tensor<40x24xf32>
  %e = tensor.empty() : tensor<i64>
  %next = linalg.generic {indexing_maps = [affine_map<() -> ()>, affine_map<() -> ()>], iterator_types = []} ins(%at : tensor<i64>) outs(%e : tensor<i64>) {
  ^bb0(%a: i64, %o: i64):
    %one = arith.constant 1 : i64
    %s = arith.addi %a, %one : i64
    linalg.yield %s : i64
  } -> tensor<i64>
  nq.state_write @length, %next : tensor<i64>
  %after = nq.state_read @cache : tensor<40x24xf32>
  %c0 = arith.constant 0.0 : f32
  %e2 = tensor.empty() : tensor<24xf32>
  %f = linalg.fill ins(%c0 : f32) outs(%e2 : tensor<24xf32>) -> tensor<24xf32>
  %y = linalg.generic {indexing_maps = [#id, #sum], iterator_types = ["reduction", "parallel"]} ins(%after : tensor<40x24xf32>) outs(%f : tensor<24xf32>) {
  ^bb0(%a: f32, %o: f32):
    %s = arith.addf %a, %o : f32
    linalg.yield %s : f32
  } -> tensor<24xf32>
  return %y : tensor<24xf32>
}
)";

RefTensor makeInput(PlannedModule &module, unsigned entry,
                    std::mt19937 &random) {
  Type type = module.entries(*module.original)[entry].getArgumentTypes()[0];
  return makeFloats(cast<RankedTensorType>(type), random);
}

TEST(States, EntryPointsShareThemAndContextsDoNot) {
  PlannedModule module(kCache);
  ASSERT_TRUE(module.compile());
  auto a = module.makeRun(), b = module.makeRun();
  ref::Interpreter referenceA, referenceB;
  std::mt19937 random(1);
  for (int i = 0; i < 3; ++i) { // from zero
    RefTensor input = makeInput(module, 1, random);
    runAndCompare(module, *a, referenceA, 1, input);
  }
  RefTensor rows = makeInput(module, 0, random);
  runAndCompare(module, *b, referenceB, 0, rows);
  for (int i = 0; i < 40; ++i) { // 8 + 40 rows: beyond the end of the cache
    RefTensor input = makeInput(module, 1, random);
    runAndCompare(module, *b, referenceB, 1, input);
    if (i % 8 == 0)
      runAndCompare(module, *a, referenceA, 1, input);
  }
}

TEST(States, ResetIsTheBeginning) {
  PlannedModule module(kCache);
  ASSERT_TRUE(module.compile());
  auto run = module.makeRun();
  std::mt19937 random(2);
  RefTensor rows = makeInput(module, 0, random);
  {
    ref::Interpreter reference;
    runAndCompare(module, *run, reference, 0, rows);
  }
  ASSERT_TRUE(run->resetStates().ok());
  ref::Interpreter fresh;
  for (int i = 0; i < 3; ++i)
    runAndCompare(module, *run, fresh, 1, makeInput(module, 1, random));
}

TEST(States, AStepMovesItsRowsOnly) {
  PlannedModule module(kCache);
  ASSERT_TRUE(module.compile());
  // The update runs in the state: no launch of a copy, no arena for a cache.
  for (func::FuncOp entry : module.entries(*module.plan)) {
    EXPECT_LT(computeMemoryPlan(entry).bound, 40 * 24 * 4);
    entry.walk([&](exec::LaunchOp launch) {
      EXPECT_NE(launch.getKind(), entry.getName() == "step" ? "copy" : "");
    });
  }
  const rt::EngineInfo &info = module.session->info();
  ASSERT_EQ(info.states.size(), 2u);
  EXPECT_EQ(info.states[0].name, "cache");
  EXPECT_EQ(info.states[0].byteSize, 40u * 24 * 4);
}

/// Both states change, each takes the other's value.
TEST(States, Swap) {
  PlannedModule module(R"(
nq.state @s : tensor<4xf32>
nq.state @t : tensor<4xf32>
func.func @set(%x: tensor<4xf32> {nibble.name = "x"}) -> (tensor<4xf32> {nibble.name = "y"}) attributes {nibble.entry} {
  nq.state_write @s, %x : tensor<4xf32>
  %t = nq.state_read @t : tensor<4xf32>
  return %t : tensor<4xf32>
}
func.func @swap(%x: tensor<4xf32> {nibble.name = "x"}) -> (tensor<4xf32> {nibble.name = "y"}) attributes {nibble.entry} {
  %s = nq.state_read @s : tensor<4xf32>
  %t = nq.state_read @t : tensor<4xf32>
  nq.state_write @s, %t : tensor<4xf32>
  nq.state_write @t, %s : tensor<4xf32>
  return %x : tensor<4xf32>
}
)");
  ASSERT_TRUE(module.compile());
  auto run = module.makeRun();
  ref::Interpreter reference;
  std::mt19937 random(3);
  for (unsigned entry : {0, 1, 0, 1, 1, 0, 1, 0})
    runAndCompare(module, *run, reference, entry,
                  makeInput(module, entry, random));
}

} // namespace
