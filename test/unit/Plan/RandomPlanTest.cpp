// Random graphs with states: plans checked byte by byte, and run with a
// poisoned arena beside the reference.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PlanHarness.h"

#include <chrono>

using namespace mlir;
using namespace nibble;
using namespace nibble::test;

namespace {

const char *const kMatrix = "tensor<24x24xf32>";
const char *const kRow = "tensor<24xf32>";

/// Writes entry points over two states; all values are 24x24 matrices, rows of
/// 24, or 4x24 rows for updates.
class RandomModule {
public:
  /// `epilogues`: products carry the ops behind them, as kernels of their own
  /// do; stage `fuse` expects them to stand alone.
  RandomModule(unsigned seed, bool epilogues)
      : random(seed), epilogues(epilogues) {
    text = "#id = affine_map<(d0, d1) -> (d0, d1)>\n"
           "#tr = affine_map<(d0, d1) -> (d1, d0)>\n"
           "#row = affine_map<(d0, d1) -> (d1)>\n"
           "#left = affine_map<(d0, d1) -> (d0)>\n"
           "#flat = affine_map<(d0) -> (d0)>\n"
           "nq.state @s0 : tensor<24x24xf32>\n"
           "nq.state @s1 : tensor<24x24xf32>\n";
  }

  void addEntry(const std::string &name, unsigned ops) {
    std::string m = kMatrix;
    text += "func.func @" + name + "(%x: " + m +
            " {nibble.name = \"x\"}, %r: " +
            "tensor<4x24xf32> {nibble.name = \"r\"}, %p: tensor<i64> " +
            "{nibble.name = \"p\"}) -> (" + m + " {nibble.name = \"a\"}, " + m +
            " {nibble.name = \"b\"}) attributes {nibble.entry} {\n";
    matrices = {"%x"};
    rows.clear();
    for (unsigned i = 0; i < ops; ++i)
      addOp();
    text += "return " + pick(matrices) + ", " + matrices.back() + " : " + m +
            ", " + m + "\n}\n";
  }

  std::string text;

private:
  std::string fresh() { return "%v" + std::to_string(count++); }

  /// Mostly a recent value, so that others die.
  std::string pick(const std::vector<std::string> &values) {
    size_t window = random() % 4 ? 4 : values.size();
    window = std::min(window, values.size());
    return values[values.size() - 1 - random() % window];
  }

  std::string line(const std::string &body) {
    std::string name = fresh();
    text += "  " + name + " = " + body + " loc(\"" + name.substr(1) + "\")\n";
    return name;
  }

  /// linalg.generic with the given maps; `body` makes %y.
  std::string generic(const std::string &maps, const std::string &loops,
                      const std::vector<std::string> &inputs,
                      const std::vector<std::string> &types,
                      const std::string &result, const std::string &body) {
    std::string init = line("tensor.empty() : " + result), args;
    std::string ins, inTypes;
    for (size_t i = 0; i < inputs.size(); ++i) {
      ins += (i ? ", " : "") + inputs[i];
      inTypes += (i ? ", " : "") + types[i];
      args += "%a" + std::to_string(i) + ": f32, ";
    }
    return line("linalg.generic {indexing_maps = [" + maps +
                "], iterator_types = [" + loops + "]} ins(" + ins + " : " +
                inTypes + ") outs(" + init + " : " + result + ") {\n  ^bb0(" +
                args + "%o: f32):\n" + body +
                "\n    linalg.yield %y : f32\n  } -> " + result);
  }

  std::string elementwise(const std::string &maps,
                          const std::vector<std::string> &inputs,
                          const std::vector<std::string> &types,
                          const std::string &body) {
    return generic(maps, "\"parallel\", \"parallel\"", inputs, types, kMatrix,
                   body);
  }

  std::string mean(const std::string &maps, const std::string &a,
                   const std::string &b, const char *second) {
    return elementwise(maps, {a, b}, {kMatrix, second},
                       "    %h = arith.constant 0.5 : f32\n"
                       "    %s = arith.addf %a0, %a1 : f32\n"
                       "    %y = arith.mulf %s, %h : f32");
  }

  void addOp() {
    std::string a = pick(matrices), b = pick(matrices), m = kMatrix;
    std::string state = random() % 2 ? "@s0" : "@s1";
    switch (random() % 14) {
    case 0:
    case 1:
      return add(mean("#id, #id, #id", a, b, kMatrix));
    case 2:
      return add(mean("#tr, #id, #id", a, b, kMatrix));
    case 3:
      return add(
          elementwise("#id, #id", {a}, {m}, "    %y = arith.negf %a0 : f32"));
    case 4:
      return addRow(a);
    case 5:
      if (!rows.empty())
        add(mean("#id, #row, #id", a, pick(rows), kRow));
      return;
    case 6:
      return add(softmax(a));
    case 7:
      return add(line("nq.norm rms " + a +
                      " {axis = 1 : i64, epsilon = 1.0e-6 : f64} : " + m +
                      " -> " + m));
    case 8:
      return add(matmul(a, b, pick(matrices)));
    case 9:
      return add(flat(a));
    case 10:
      return add(own(a, b));
    case 11:
      return add(line("nq.update " + a + "[%p] with %r axis 0 : " + m +
                      ", tensor<i64>, tensor<4x24xf32>"));
    case 12:
      return add(line("nq.state_read " + state + " : " + m));
    default:
      text += "  nq.state_write " + state + ", " + a + " : " + m + "\n";
    }
  }

  void add(std::string name) { matrices.push_back(std::move(name)); }

  void addRow(const std::string &a) {
    std::string zero = line("arith.constant 0.0 : f32");
    std::string empty = line(std::string("tensor.empty() : ") + kRow);
    std::string init = line("linalg.fill ins(" + zero + " : f32) outs(" +
                            empty + " : " + kRow + ") -> " + kRow);
    rows.push_back(
        line("linalg.generic {indexing_maps = [#id, #left], iterator_types = "
             "[\"parallel\", \"reduction\"]} ins(" +
             a + " : " + kMatrix + ") outs(" + init + " : " + kRow +
             ") {\n  ^bb0(%a0: f32, %o: f32):\n"
             "    %c = arith.constant 0.2 : f32\n"
             "    %t = arith.mulf %a0, %c : f32\n"
             "    %y = arith.addf %t, %o : f32\n    linalg.yield %y : f32\n"
             "  } -> " +
             kRow));
  }

  std::string softmax(const std::string &a) {
    std::string init = line(std::string("tensor.empty() : ") + kMatrix);
    return line(std::string("linalg.softmax dimension(") +
                (random() % 2 ? "0" : "1") + ") ins(" + a + " : " + kMatrix +
                ") outs(" + init + " : " + kMatrix + ") -> " + kMatrix);
  }

  /// 0.1 * a b + c
  std::string matmul(const std::string &a, const std::string &b,
                     const std::string &c) {
    std::string m = kMatrix, types = " : (" + m + ", " + m + ") -> " + m;
    std::string sum = "    %k = arith.constant 0.1 : f32\n"
                      "    %t = arith.mulf %a0, %k : f32\n"
                      "    %y = arith.addf %t, %a1 : f32";
    if (epilogues)
      return line("nq.matmul " + a + ", " + b + " epilogue(" + c + " : " + m +
                  ") {\n  ^bb0(%a0: f32, %a1: f32):\n" + sum +
                  "\n    nq.yield %y : f32\n  }" + types);
    std::string product = line("nq.matmul " + a + ", " + b + types);
    return elementwise("#id, #id, #id", {product, c}, {m, m}, sum);
  }

  /// Through another shape, where it is changed.
  std::string flat(const std::string &a) {
    std::string view = line("tensor.collapse_shape " + a +
                            " [[0, 1]] : " + kMatrix + " into tensor<576xf32>");
    std::string value =
        generic("#flat, #flat", "\"parallel\"", {view}, {"tensor<576xf32>"},
                "tensor<576xf32>", "    %y = math.absf %a0 : f32");
    return line("tensor.expand_shape " + value +
                " [[0, 1]] output_shape [24, 24] : tensor<576xf32> into " +
                kMatrix);
  }

  /// Reads elements of `a` by extract: its own, or the one across.
  std::string own(const std::string &a, const std::string &b) {
    std::string at = random() % 2 ? "%i, %j" : "%j, %i";
    return elementwise(
        "#id, #id", {b}, {kMatrix},
        "    %i = linalg.index 0 : index\n    %j = linalg.index 1 : index\n"
        "    %e = tensor.extract " +
            a + "[" + at + "] : " + kMatrix +
            "\n    %h = arith.constant 0.25 : f32\n"
            "    %s = arith.subf %e, %a0 : f32\n"
            "    %y = arith.mulf %s, %h : f32");
  }

  std::mt19937 random;
  bool epilogues;
  unsigned count = 0;
  std::vector<std::string> matrices, rows;
};

std::string makeModule(unsigned seed, unsigned ops, bool epilogues = true) {
  RandomModule module(seed, epilogues);
  module.addEntry("first", ops);
  module.addEntry("second", ops / 2);
  return module.text;
}

TEST(RandomPlan, EveryOperandIsThereWhenItIsRead) {
  double sum = 0;
  int inPlace = 0, launches = 0, count = 0;
  for (unsigned seed = 1; seed <= 300; ++seed) {
    std::string text = makeModule(seed, 10 + seed % 40);
    PlannedModule module(text);
    ASSERT_TRUE(module.select()) << text;
    for (func::FuncOp entry : module.entries(*module.plan)) {
      std::string problem = PlanChecker(entry).run();
      if (!problem.empty())
        entry.dump();
      ASSERT_EQ(problem, "") << "seed " << seed;
      MemoryPlan plan = computeMemoryPlan(entry);
      if (plan.bound > 0) {
        ASSERT_LE(plan.arena, 1.1 * plan.bound) << "seed " << seed;
        sum += double(plan.arena) / plan.bound;
        ++count;
      }
      entry.walk([&](exec::LaunchOp launch) {
        ++launches;
        inPlace += launch.getInPlace().has_value();
      });
    }
  }
  printf("%d launches, %d in place; arena / bound: mean %.4f\n", launches,
         inPlace, sum / count);
  EXPECT_GT(inPlace, launches / 10);
}

/// The checker above would be worth nothing if it let these pass.
TEST(RandomPlan, TheCheckerFindsDamage) {
  int found = 0, damaged = 0;
  for (unsigned seed = 1; seed <= 60; ++seed) {
    PlannedModule module(makeModule(seed, 30));
    ASSERT_TRUE(module.select());
    func::FuncOp entry = module.entries(*module.plan)[0];
    std::mt19937 random(seed);
    SmallVector<exec::LaunchOp> launches(
        entry.front().getOps<exec::LaunchOp>());
    exec::LaunchOp launch = launches[random() % launches.size()];
    SmallVector<int64_t> offsets(*launch.getOffsets());
    if (offsets[0] < 0)
      continue;
    offsets[0] = offsets[0] ? 0 : 64;
    launch.setOffsets(offsets);
    ++damaged;
    found += !PlanChecker(entry).run().empty();
  }
  printf("%d of %d damaged plans found (others are only different)\n", found,
         damaged);
  EXPECT_GT(found, damaged / 2);
}

/// Half of the graphs are fused into regions first.
TEST(RandomPlan, RunsAsTheReferenceSays) {
  int inPlace = 0, launches = 0;
  for (unsigned seed = 1; seed <= 30; ++seed) {
    bool fuse = seed % 2;
    std::string text = makeModule(1000 + seed, 24, /*epilogues=*/!fuse);
    PlannedModule module(text);
    ASSERT_TRUE(module.compile(fuse)) << text;
    for (func::FuncOp entry : module.entries(*module.plan)) {
      ASSERT_EQ(PlanChecker(entry).run(), "") << "seed " << seed;
      entry.walk([&](exec::LaunchOp launch) {
        launches += fuse;
        inPlace += fuse && launch.getInPlace();
      });
    }
    auto run = module.makeRun();
    ref::Interpreter reference;
    std::mt19937 random(seed);
    for (int step = 0; step < 5; ++step) {
      SmallVector<RefTensor> inputs;
      auto types = module.entries(*module.original)[0].getArgumentTypes();
      for (Type type : types.drop_back())
        inputs.push_back(makeFloats(cast<RankedTensorType>(type), random));
      // Positions beyond both ends, too.
      int64_t position = int64_t(random() % 34) - 5;
      inputs.push_back(
          RefTensor::splat(cast<RankedTensorType>(types.back()), position));
      runAndCompare(module, *run, reference, step % 2, inputs);
      if (testing::Test::HasFailure()) {
        fprintf(stderr, "seed %u, step %d\n%s\n", seed, step, text.c_str());
        module.plan->dump();
        return;
      }
    }
  }
  printf("fused: %d launches, %d in place\n", launches, inPlace);
}

} // namespace
