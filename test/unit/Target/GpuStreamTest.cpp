// Products that stream their weights, on the emulated GPU, compared with the
// reference interpreter.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GpuFusedHarness.h"
#include "GpuWeights.h"
#include "nibble/KernelSelect/StreamLayout.h"

using namespace nibble;
using namespace nibble::test;
using std::string;
using std::to_string;

namespace {

/// A weight next to activations of `a`.
string streamed(int64_t n, int64_t k, const string &element, const string &a,
                bool transposed = true) {
  return weight(n, k, element, transposed,
                [&](mlir::RankedTensorType type, MatrixDims dims) {
                  mlir::MLIRContext *context = type.getContext();
                  return getStreamLayout(
                      type, dims,
                      a.find("bf16") != string::npos
                          ? mlir::Type(mlir::BFloat16Type::get(context))
                          : mlir::Type(mlir::Float16Type::get(context)));
                });
}

string product(int64_t m, int64_t n, int64_t k, const string &a,
               const string &element, const string &result,
               bool transposed = true) {
  string left = tensor(m, k, a), right = streamed(n, k, element, a, transposed),
         y = tensor(m, n, result);
  return "func.func @k(%a: " + left + ", %b: " + right + ") -> " + y +
         " attributes {nibble.kernel_class = \"gemm.stream.f16.expand\"} {\n"
         "%y = nq.matmul %a, %b " +
         (transposed ? "transpose_b " : "") + ": (" + left + ", " + right +
         ") -> " + y + "\nreturn %y : " + y + "\n}";
}

/// Where sums of parts of k meet: in one block, in a cluster, in the block that
/// is done last, in shares of all blocks. Always one launch.
enum class Sums { OfBlock, OfCluster, OfLast, OfShares };

void checkSums(const GpuFusedRun &run, Sums want) {
  const gpu::GpuKernel &kernel = run.gpuKernel;
  ASSERT_EQ(kernel.launches.size(), 1u);
  EXPECT_EQ(kernel.launches[0].cluster[0], want == Sums::OfCluster ? 2 : 1);
  bool hasParts = want == Sums::OfLast || want == Sums::OfShares;
  EXPECT_EQ(kernel.workspaceBytes > 0, hasParts);
  EXPECT_EQ(kernel.counterBytes > 0, hasParts);
  // A share is left by compare and swap.
  EXPECT_EQ(run.ptx.find("global.cas") != string::npos, want == Sums::OfShares);
}

void check(const string &text, double limit = 2e-6,
           std::optional<Sums> want = {}, const gpu::GpuTarget &target = {}) {
  SCOPED_TRACE(text);
  GpuFusedRun run(text, /*onCpu=*/false, target);
  run.checks.scale = 0.25;
  run.checks.lowScale = -6;
  run.checks.highScale = -3;
  run.checkNear(limit);
  ASSERT_FALSE(run.gpuKernel.launches.empty());
  EXPECT_NE(run.gpuKernel.launches[0].symbol.find("_stream"), string::npos);
  if (want)
    checkSums(run, *want);
}

const char *const kFormats[] = {
    "f16",
    "!nq.nvfp4",
    "!nq.mxfp4",
    "!nq.scaled<f4E2M1FN, f8E4M3FN per 1x32, global f32>",
    "!nq.scaled<si4, f16 per 1x32>",
    "!nq.scaled<si4, f32 per 1x64>",
    "!nq.scaled<ui4, f32 per 1x128>",
    "!nq.scaled<si4, f32 per 1x?>",
    "!nq.fp8",
    "!nq.scaled<f8E5M2, f32 per 1x?>",
    "!nq.scaled<si8, f32 per 1x?>",
    "!nq.scaled<ui8, f16 per tensor>",
};

TEST(GpuStream, WeightsOfAnyFormat) {
  for (const char *element : kFormats)
    for (int64_t m : {1, 50})
      check(product(m, 72, 416, "f16", element, "f32"));
}

TEST(GpuStream, ActivationsInBf16) {
  for (string element : kFormats)
    check(product(7, 40, 288, "bf16", element == "f16" ? "bf16" : element,
                  "f32"));
}

/// Codes of FP8 that were widened, with one scale or one for each row.
TEST(GpuStream, WidenedActivations) {
  for (const char *per : {"tensor", "1x?"}) {
    string scales = string(", f32 per ") + per + ">";
    for (string element : kFormats) {
      if (element != "f16")
        check(product(50, 72, 416, "!nq.scaled<f16" + scales, element, "f32"));
      if (element != "f16")
        check(product(7, 40, 288, "!nq.scaled<bf16" + scales, element, "f32"));
    }
    check(product(1, 201, 160, "!nq.scaled<f16" + scales, "!nq.nvfp4", "f16"),
          1e-3);
  }
}

TEST(GpuStream, RowsOfAnyNumber) {
  for (int64_t m : {1, 7, 16, 50, 64})
    for (const char *element : {"!nq.nvfp4", "!nq.mxfp4"})
      check(product(m, 201, 160, "f16", element, "f16"), 1e-3);
}

/// K in one block, and in parts; K off every tile.
TEST(GpuStream, PlansOfAllKinds) {
  check(product(3, 2200, 32, "f16", "!nq.nvfp4", "f32"), 2e-6, Sums::OfBlock);
  check(product(5, 48, 4128, "f16", "!nq.nvfp4", "f32"), 2e-6, Sums::OfShares);
  check(product(20, 300, 2080, "f16", "!nq.mxfp4", "f32"), 2e-6,
        Sums::OfShares);
  check(product(33, 17, 2080, "bf16", "bf16", "f32"), 2e-6, Sums::OfShares);
  check(product(1, 264, 8192, "f16", "!nq.nvfp4", "f32"), 2e-6, Sums::OfLast);
  check(product(64, 260, 8192, "f16", "!nq.nvfp4", "f32"), 2e-6,
        Sums::OfShares);
  check(product(50, 203, 8224, "bf16", "!nq.mxfp4", "f32"), 2e-6,
        Sums::OfShares);
}

/// K in a cluster of two, which small products take where there are few
/// multiprocessors: one cluster, two; with wgmma (the first three) and without.
TEST(GpuStream, PlansWithClusters) {
  auto checkCluster = [](const string &text, int64_t multiprocessors) {
    gpu::GpuTarget target;
    target.multiprocessors = multiprocessors;
    check(text, 2e-6, Sums::OfCluster, target);
  };
  checkCluster(product(17, 40, 1056, "f16", "f16", "f32"), 2);
  checkCluster(product(17, 72, 512, "f16", "f16", "f32"), 4);
  checkCluster(product(33, 16, 1056, "f16", "!nq.nvfp4", "f32"), 2);
  checkCluster(product(33, 16, 1056, "f16", "!nq.mxfp4", "f32"), 2);
  checkCluster(product(16, 264, 2080, "f16", "!nq.nvfp4", "f32"), 2);
}

TEST(GpuStream, EitherOrderOfTheWeight) {
  for (const char *element :
       {"f16", "!nq.scaled<f4E2M1FN, f8E8M0FNU per 32x1>",
        "!nq.scaled<f4E2M1FN, f8E4M3FN per 16x1, global f32>",
        "!nq.scaled<si4, f32 per 32x1>", "!nq.fp8"})
    check(product(9, 40, 160, "f16", element, "f32", /*transposed=*/false));
}

/// A reshape in front, and an epilogue of the product's own.
TEST(GpuStream, BetweenOtherOps) {
  string x = "tensor<2x5x64xf16>", a = tensor(10, 64, "f16"),
         b = streamed(48, 64, "!nq.nvfp4", "f16"), y = tensor(10, 48, "f16");
  check("func.func @k(%x: " + x + ", %b: " + b + ", %r: " + y + ") -> " + y +
            " attributes {nibble.kernel_class = \"gemm.stream.f16.expand\"} {\n"
            "%a = tensor.collapse_shape %x [[0, 1], [2]] : " +
            x + " into " + a +
            "\n%y = nq.matmul %a, %b transpose_b epilogue(%r : " + y +
            ") {\n^bb0(%s: f32, %p: f32):\n%0 = arith.addf %s, %p : f32\n"
            "nq.yield %0 : f32\n} : (" +
            a + ", " + b + ") -> " + y + "\nreturn %y : " + y + "\n}",
        1e-3, Sums::OfBlock);
}

//===----------------------------------------------------------------------===//
// What follows
//===----------------------------------------------------------------------===//

/// Products of one activation, and ops behind them.
class Text {
public:
  Text(int64_t m, int64_t n, int64_t k, const string &a, const string &element)
      : a(tensor(m, k, a)), b(streamed(n, k, element, a)), y(tensor(m, n, a)),
        column("tensor<" + to_string(n) + "x" + a + ">"), type(a),
        arguments("%a: " + this->a) {}

  string argument(const string &name, const string &type) {
    arguments += ", " + name + ": " + type;
    return name;
  }
  string matmul(const string &weight) {
    argument(weight, b);
    body += weight + "_y = nq.matmul %a, " + weight + " transpose_b : (" + a +
            ", " + b + ") -> " + y + "\n";
    return weight + "_y";
  }
  /// `code` computes %r from %p, %q ..., elements of the operands; those of
  /// type `column` are repeated.
  string map(const string &name, std::vector<std::pair<string, string>> inputs,
             const string &code) {
    string maps, names, types, block;
    const char *const kNames[] = {"%p", "%q", "%s"};
    for (size_t i = 0; i < inputs.size(); ++i) {
      string comma = i ? ", " : "";
      maps += inputs[i].second == column ? "#c, " : "#i, ";
      names += comma + inputs[i].first;
      types += comma + inputs[i].second;
      block += string(kNames[i]) + ": " + type + ", ";
    }
    body += name + "_e = tensor.empty() : " + y + "\n" + name +
            " = linalg.generic {indexing_maps = [" + maps +
            "#i], iterator_types = [\"parallel\", \"parallel\"]} ins(" + names +
            " : " + types + ") outs(" + name + "_e : " + y + ") {\n^bb0(" +
            block + "%o: " + type + "):\n" + code +
            "\nlinalg.yield %r : " + type + "\n} -> " + y + "\n";
    return name;
  }
  string finish(const string &values, const string &types) {
    string results = "(" + types + ")";
    return "#i = affine_map<(d0, d1) -> (d0, d1)>\n"
           "#c = affine_map<(d0, d1) -> (d1)>\nfunc.func @k(" +
           arguments + ") -> " + results +
           " attributes {nibble.kernel_class = \"gemm.stream." + type +
           ".expand\"} {\n" + body + "return " + values + " : " + types + "\n}";
  }

  string a, b, y, column, type, arguments, body;
};

string silu(const string &type) {
  return "%z0 = arith.extf %p : " + type +
         " to f32\n%z1 = arith.negf %z0 : f32\n%z2 = math.exp %z1 : f32\n"
         "%z3 = arith.constant 1.0 : f32\n%z4 = arith.addf %z2, %z3 : f32\n"
         "%z5 = arith.divf %z0, %z4 : f32\n%z6 = arith.truncf %z5 : f32 to " +
         type + "\n%r = arith.mulf %z6, %q : " + type;
}

/// Gate and up of each size of a block, whole, in clusters and in parts.
TEST(GpuStreamTail, Gated) {
  struct Case {
    int64_t m, n, k;
    Sums sums;
    int64_t multiprocessors = 132;
  };
  for (const Case &one :
       {Case{1, 2304, 96, Sums::OfBlock}, Case{7, 72, 2080, Sums::OfShares},
        Case{16, 201, 160, Sums::OfBlock}, Case{1, 264, 8192, Sums::OfLast},
        Case{50, 72, 4128, Sums::OfShares}, Case{64, 2304, 64, Sums::OfBlock},
        Case{33, 16, 1056, Sums::OfCluster, 2}})
    for (string type : {"f16", "bf16"}) {
      gpu::GpuTarget target;
      target.multiprocessors = one.multiprocessors;
      Text text(one.m, one.n, one.k, type, "!nq.nvfp4");
      string g = text.matmul("%g"), u = text.matmul("%u");
      string h = text.map("%h", {{g, text.y}, {u, text.y}}, silu(type));
      check(text.finish(h, text.y), type == "f16" ? 3e-3 : 2e-2, one.sums,
            target);
    }
}

TEST(GpuStreamTail, BiasAndResidual) {
  for (auto [m, k, sums] :
       {std::tuple(1, 64, Sums::OfBlock), std::tuple(16, 4128, Sums::OfShares),
        std::tuple(50, 8192, Sums::OfShares)})
    for (int64_t n : {136, 75}) {
      Text text(m, n, k, "f16", "!nq.nvfp4");
      string y = text.matmul("%b"), c = text.argument("%c", text.column),
             r = text.argument("%x", text.y);
      string h = text.map("%h", {{y, text.y}, {c, text.column}, {r, text.y}},
                          "%t = arith.addf %p, %q : f16\n"
                          "%r = arith.addf %t, %s : f16");
      check(text.finish(h, text.y), 3e-3,
            sums == Sums::OfBlock ? std::optional<Sums>() : sums);
    }
}

/// FP8 with a static scale, which is passed on, and the values themselves.
TEST(GpuStreamTail, SeveralResults) {
  for (auto [m, k] : {std::pair(1, 64), std::pair(16, 2080)}) {
    Text text(m, 72, k, "f16", "!nq.nvfp4");
    string y = text.matmul("%b"), s = text.argument("%scale", "tensor<f32>");
    string q = tensor(m, 72, "!nq.fp8");
    text.body += "%q = nq.quantize " + y +
                 " scale(%scale : tensor<f32>) : " + text.y + " -> " + q + "\n";
    check(text.finish(y + ", %q", text.y + ", " + q), 3e-3,
          k == 64 ? std::optional<Sums>() : Sums::OfShares);
  }
}

/// What needs more than one column of the product is loops of their own.
TEST(GpuStreamTail, CutWhereRowsAreNeeded) {
  Text text(5, 64, 96, "f16", "!nq.nvfp4");
  string y = text.matmul("%b");
  text.body += "%e = tensor.empty() : " + text.y +
               "\n%r = linalg.softmax dimension(1) ins(" + y + " : " + text.y +
               ") outs(%e : " + text.y + ") -> " + text.y + "\n";
  string function = text.finish("%r", text.y);
  SCOPED_TRACE(function);
  GpuFusedRun run(function, /*onCpu=*/false);
  run.checkNear(3e-3);
  ASSERT_EQ(run.gpuKernel.launches.size(), 2u);
  EXPECT_NE(run.gpuKernel.launches[0].symbol.find("_stream"), string::npos);
}

/// Weights that are stored for streams, on FMA units.
TEST(GpuStream, ReadByLoops) {
  for (const char *a : {"f16", "bf16"})
    for (bool transposed : {true, false}) {
      string text = product(
          9, 40, 160, a,
          transposed ? "!nq.nvfp4" : "!nq.scaled<f4E2M1FN, f8E8M0FNU per 32x1>",
          "f32", transposed);
      size_t at = text.find("gemm.stream.f16.expand");
      text.replace(at, strlen("gemm.stream.f16.expand"), "gemm.simt.expand");
      SCOPED_TRACE(text);
      GpuFusedRun run(text, /*onCpu=*/false);
      run.checkNear(2e-6);
    }
}

/// Row i of the identity times a weight is its column i: every code and scale.
TEST(GpuStream, DecodesEveryBit) {
  for (const char *element : kFormats) {
    if (string(element) == "f16")
      continue;
    GpuFusedRun run(product(32, 256, 32, "f16", element, "f32"),
                    /*onCpu=*/false);
    run.checkIdentity(32);
  }
}

/// Products of codes and scales that are no normal numbers of f16, and the
/// largest ones.
TEST(GpuStream, DecodesScalesOfAnySize) {
  for (auto [low, high] : {std::pair(-9.0, -6.0), std::pair(7.0, 8.8)}) {
    GpuFusedRun run(product(32, 256, 32, "f16", "!nq.nvfp4", "f32"),
                    /*onCpu=*/false);
    run.checks.lowScale = low;
    run.checks.highScale = high;
    run.checkIdentity(32);
  }
}

} // namespace
