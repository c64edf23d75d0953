// Attention as one kernel, compiled and compared with the reference
// interpreter.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionSizes.h"
#include "FusedRun.h"

using namespace nibble::test;
using std::string;
using std::to_string;

namespace {

/// Attention and `tail`, which computes %y of type `type` from %a; further
/// arguments as the tail names them.
struct Text {
  AttentionSizes s;
  string element = "f32", result = "f32", options = "", mask = "";
  string tail = "", type = "", arguments = "";
  string scale = "0.125";

  string heads() const { return s.resultType(result); }
  string str() const {
    string q = s.queryType(element), k = s.keyType(element),
           v = s.valueType(element);
    string y = tail.empty() ? "%a" : "%y", out = tail.empty() ? heads() : type;
    return "func.func @k(%q: " + q + ", %k: " + k + ", %v: " + v +
           (mask.empty() ? "" : ", %m: " + mask) + arguments + ") -> " + out +
           " {\n%a = nq.attention %q, %k, %v " +
           (mask.empty() ? "" : "mask(%m : " + mask + ") ") +
           "{scale = " + scale + " : f64" + options + "} : (" + q + ", " + k +
           ", " + v + ") -> " + heads() + "\n" + tail + "\nreturn " + y +
           " : " + out + "\n}";
  }
};

double limitOf(const string &element) {
  return element == "f32" ? 2e-6 : element == "f16" ? 1e-3 : 6e-3;
}

void check(const Text &text, double limit) {
  SCOPED_TRACE(text.str());
  FusedRun run(text.str());
  run.checkNear(limit);
}

void check(const Text &text) { check(text, limitOf(text.result)); }

/// Heads and positions change places, heads merge.
void mergeHeads(Text &text) {
  const AttentionSizes &s = text.s;
  string swapped = tensor({s.batch, s.queries, s.heads, s.width}, text.result);
  text.type = tensor({s.batch, s.queries, s.heads * s.width}, text.result);
  text.tail = "%e = tensor.empty() : " + swapped +
              "\n%t = linalg.transpose ins(%a : " + text.heads() +
              ") outs(%e : " + swapped +
              ") permutation = [0, 2, 1, 3]\n"
              "%y = tensor.collapse_shape %t [[0], [1], [2, 3]] : " +
              swapped + " into " + text.type;
}

TEST(AttentionKernel, ComputesAllSizes) {
  for (AttentionSizes s : {AttentionSizes{1, 2, 2, 64, 64, 32, 32},
                           AttentionSizes{2, 3, 3, 37, 53, 72, 72},
                           AttentionSizes{1, 1, 1, 1, 1, 1, 1},
                           AttentionSizes{1, 2, 2, 7, 17, 20, 12},
                           AttentionSizes{1, 1, 1, 130, 259, 16, 24},
                           AttentionSizes{1, 4, 4, 3, 8, 5, 40}})
    check({s});
}

TEST(AttentionKernel, SharesKvHeads) {
  // All heads of a kv head in one block of rows, or each by itself.
  for (int64_t queries : {1, 5, 40, 110})
    check({{2, 8, 2, queries, 33, 16, 24}});
  check({{1, 8, 1, 1, 70, 32, 32}, "f16", "f16", ", causal, bottom_right"});
  check(
      {{1, 4, 2, 9, 20, 8, 8}, "f32", "f32", ", causal", "tensor<4x9x20xf32>"});
}

TEST(AttentionKernel, TakesKeysWhereTheyLieForFewRows) {
  for (int64_t queries : {1, 2, 3, 7})
    check({{2, 2, 2, queries, 43, 64, 104}});
  check({{1, 4, 1, 1, 43, 40, 72}, "bf16", "f16"});
  check({{1, 2, 2, 6, 16, 8, 8}, "f32", "f32", ", causal", "tensor<6x16xf32>"});
}

TEST(AttentionKernel, ReadsAndWritesNarrowFloats) {
  for (const char *element : {"f16", "bf16"}) {
    check({{1, 2, 1, 33, 45, 72, 40}, element, element});
    check({{1, 2, 2, 9, 31, 24, 9}, element, "f32"});
  }
}

TEST(AttentionKernel, SumsManyKeysInPieces) {
  check({{1, 1, 1, 20, 1027, 16, 40}});
  check({{1, 1, 1, 300, 600, 24, 16}, "f32", "f32", ", causal"});
}

TEST(AttentionKernel, PacksLongKeysInChunks) {
  Text text{
      {1, 2, 1, 13, 4100, 1024, 72}, "bf16", "f32", ", causal, bottom_right"};
  // Outliers of long heads would make f32 scores inexact.
  text.scale = "0.0002";
  check(text);
  // Thousands of terms of either sign cancel each other.
  text = {{1, 1, 1, 13, 8000, 136, 512}};
  text.scale = "0.0005";
  check(text, 5e-6);
}

TEST(AttentionKernel, MasksTheFuture) {
  for (const char *options : {", causal", ", causal, bottom_right"})
    for (AttentionSizes s : {AttentionSizes{1, 2, 2, 50, 50, 16, 16},
                             AttentionSizes{2, 1, 1, 9, 41, 16, 16},
                             AttentionSizes{1, 1, 1, 41, 9, 16, 16}})
      check({s, "f32", "f32", options});
}

TEST(AttentionKernel, AddsMasksOfAnyBroadcast) {
  for (const char *mask :
       {"tensor<2x3x11x21xf32>", "tensor<2x1x1x21xf16>", "tensor<11x21xbf16>",
        "tensor<3x1x1xf32>", "tensor<21xi1>", "tensor<2x3x11x21xi1>",
        "tensor<2x1x11x1xi1>"})
    check({{2, 3, 3, 11, 21, 16, 16}, "f32", "f32", "", mask});
  check({{2, 3, 3, 11, 21, 16, 16},
         "f32",
         "f32",
         ", softcap = 0.5 : f64",
         "tensor<11x21xf32>"});
  check({{1, 2, 1, 11, 24, 16, 16},
         "f16",
         "f16",
         ", softcap = 2.0 : f64, causal"});
}

/// Finite numbers, none of which is a weight.
TEST(AttentionKernel, GivesZerosWhereNothingIsSeen) {
  Text text{{1, 2, 2, 30, 5, 8, 8},
            "f32",
            "f32",
            ", causal, bottom_right",
            "tensor<30x1xi1>"};
  FusedRun run(text.str());
  run.checkNear(2e-6);
  ASSERT_EQ(run.outputs.size(), 1u);
  auto *y = reinterpret_cast<const float *>(run.outputs[0].data());
  // Queries 0 .. 24 of a head come before the first key.
  for (int64_t head = 0; head < 2; ++head)
    for (int64_t i = 0; i < 25 * 8; ++i)
      EXPECT_EQ(y[head * 30 * 8 + i], 0.0f);
}

TEST(AttentionKernel, StoresInTheOrderOfTheNextReader) {
  for (AttentionSizes s : {AttentionSizes{2, 4, 2, 21, 30, 16, 16},
                           AttentionSizes{1, 4, 1, 1, 30, 16, 24},
                           AttentionSizes{1, 3, 3, 100, 30, 16, 72}}) {
    Text text{s, "f16", "f16"};
    mergeHeads(text);
    check(text);
  }
}

TEST(AttentionKernel, Quantizes) {
  struct {
    AttentionSizes s;
    const char *type, *operands;
  } cases[] = {
      // One scale: a head at a time.
      {{2, 4, 2, 21, 30, 16, 16}, "!nq.fp8", " scale(%s : tensor<f32>)"},
      // Blocks within a head, over two heads, and over all of a row.
      {{1, 4, 4, 21, 30, 16, 32}, "!nq.mxfp8", " recipe(\"ocp\")"},
      {{1, 4, 4, 21, 30, 16, 16}, "!nq.mxfp8", " recipe(\"ocp\")"},
      {{1, 4, 1, 2, 30, 16, 24},
       "!nq.scaled<f8E4M3FN, f8E8M0FNU per 1x96>",
       " recipe(\"ocp\")"},
  };
  for (auto &[s, type, operands] : cases) {
    Text text{s, "f16", "f16"};
    mergeHeads(text);
    bool isStatic = string(operands).find("scale(") != string::npos;
    if (isStatic)
      text.arguments = ", %s: tensor<f32>";
    text.tail.replace(text.tail.find("%y ="), 4, "%c =");
    string merged = text.type;
    text.type = tensor({s.batch, s.queries, s.heads * s.width}, type);
    text.tail += "\n%y = nq.quantize %c" + string(operands) + " : " + merged +
                 " -> " + text.type;
    SCOPED_TRACE(text.str());
    FusedRun run(text.str());
    run.checkNear(1e-2);
  }
}

TEST(AttentionKernel, SaysWhatItDoesNotTake) {
  auto why = [](const string &text) {
    FusedRun run(text);
    return nibble::cpu::whyNoKernel(run.getKernel());
  };
  EXPECT_EQ(why(Text{{1, 1, 1, 2, 3, 4, 4}}.str()), "");
  EXPECT_EQ(why(Text{{1, 1, 1, 2, 3, 4, 4}, "f64"}.str()),
            "'nq.attention' has no kernel: operands and results are f32, f16 "
            "or bf16, not f64");
  EXPECT_EQ(why(Text{{1, 1, 1, 1, 300000, 1, 1}}.str()),
            "'nq.attention' has no kernel: scores of a few rows do not fit "
            "into the scratch");
}

} // namespace
