// Formats and policy files: what is read, which rule wins, what is refused.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/Quantize/PrecisionPolicy.h"

#include <gtest/gtest.h>

using namespace nibble;

static LayerFormat format(llvm::StringRef text) {
  return llvm::cantFail(LayerFormat::parse(text));
}

static std::string formatError(llvm::StringRef text) {
  auto parsed = LayerFormat::parse(text);
  return parsed ? "no error" : llvm::toString(parsed.takeError());
}

static std::string policyError(llvm::StringRef text) {
  auto parsed = PrecisionPolicy::parse(text, "p");
  return parsed ? "no error" : llvm::toString(parsed.takeError());
}

static bool contains(const std::string &text, llvm::StringRef part) {
  return llvm::StringRef(text).contains(part);
}

TEST(LayerFormat, DefaultsPrintInFull) {
  EXPECT_EQ(format("nvfp4").str(),
            "nvfp4 recipe=modelopt-torch block=16 activations=nvfp4 "
            "activation-recipe=trt-dynamic");
  EXPECT_EQ(format("w4a8").str(),
            "w4a8 recipe=modelopt-torch block=32 activations=fp8");
  EXPECT_EQ(format("w4a16").str(),
            "w4a16 recipe=modelopt-torch block=16 activations=none");
  EXPECT_EQ(format("int4").str(),
            "int4 recipe=modelopt block=128 activations=none");
  EXPECT_EQ(format("fp8").str(),
            "fp8 recipe=modelopt scales=tensor activations=fp8");
  EXPECT_EQ(format("bf16").str(), "bf16");
}

TEST(LayerFormat, PrintedTextIsReadBack) {
  for (const char *text :
       {"nvfp4 recipe=compressed-tensors block=32 activations=fp8",
        "mxfp4 recipe=ocp activations=mxfp8 activation-recipe=torchao-ceil",
        "fp8 scales=channel activations=none", "int4 block=64", "keep", "f32"})
    EXPECT_EQ(format(format(text).str()).str(), format(text).str()) << text;
}

TEST(LayerFormat, NamesOfRecipesAreThoseOfTheirTools) {
  EXPECT_EQ(format("nvfp4 recipe=modelopt").recipe, "modelopt-torch");
  EXPECT_EQ(format("mxfp4 recipe=torchao").recipe, "ocp");
  EXPECT_EQ(format("mxfp8 recipe=modelopt-onnx").recipe, "modelopt");
}

TEST(LayerFormat, OnlyStaticScalesNeedCalibration) {
  EXPECT_TRUE(format("nvfp4").needsCalibration());
  EXPECT_TRUE(format("w4a8").needsCalibration());
  EXPECT_TRUE(format("mxfp4 activations=fp8").needsCalibration());
  EXPECT_FALSE(format("mxfp8").needsCalibration());
  EXPECT_FALSE(format("nvfp4 activations=none").needsCalibration());
}

TEST(LayerFormat, SaysWhatIsWrong) {
  EXPECT_TRUE(contains(formatError("nvfp5"), "did you mean 'nvfp4'?"));
  EXPECT_TRUE(contains(formatError(""), "no format given"));
  EXPECT_EQ(formatError("int4 recipe=torchao"),
            "unknown recipe 'torchao' for int4 weights; the only one is "
            "modelopt");
  EXPECT_EQ(formatError("bf16 recipe=modelopt"), "bf16 has no recipe");
  EXPECT_EQ(formatError("nvfp4 block=64"),
            "block of nvfp4 must be 16 or 32, not '64'");
  EXPECT_EQ(formatError("fp8 block=16"), "fp8 has no blocks");
  EXPECT_EQ(formatError("nvfp4 scales=channel"),
            "'scales' is an option of fp8 only");
  EXPECT_EQ(formatError("nvfp4 block=16 block=32"),
            "option 'block' is given twice");
  EXPECT_EQ(formatError("fp8 activation-recipe=torchao"),
            "activations 'fp8' have no recipe; only nvfp4, mxfp4 and mxfp8 do");
  EXPECT_EQ(formatError("nvfp4 optional"), "'optional' is not OPTION=VALUE");
}

TEST(PrecisionPolicy, FirstMatchDecides) {
  auto policy = llvm::cantFail(PrecisionPolicy::parse("# comment\n"
                                                      "\n"
                                                      "*/down: fp8 # costly\n"
                                                      "*/mlp/*: nvfp4\r\n"
                                                      "*: keep kind=linear\n",
                                                      "p"));
  ASSERT_EQ(policy.rules.size(), 3u);
  EXPECT_EQ(policy.find("/l.0/mlp/down", LayerKind::Linear), 0u);
  EXPECT_EQ(policy.find("/l.0/mlp/up", LayerKind::Linear), 1u);
  EXPECT_EQ(policy.find("/l.0/q", LayerKind::Linear), 2u);
  EXPECT_EQ(policy.find("/l.0/norm", LayerKind::Norm), std::nullopt);
  EXPECT_EQ(policy.rules[0].where, "p:3");
  EXPECT_EQ(policy.rules[1].format.precision, Precision::Nvfp4);
}

TEST(PrecisionPolicy, GlobsMayHoldColonsBlanksAndBraces) {
  auto policy =
      llvm::cantFail(PrecisionPolicy::parse("a:b/{x,y}: fp8\n"
                                            "\" odd # name \": bf16 optional\n",
                                            "p"));
  EXPECT_EQ(policy.find("a:b/y", LayerKind::Linear), 0u);
  EXPECT_EQ(policy.find("a:b/z", LayerKind::Linear), std::nullopt);
  EXPECT_EQ(policy.find(" odd # name ", LayerKind::Norm), 1u);
  EXPECT_TRUE(policy.rules[1].optional);
}

TEST(PrecisionPolicy, DefaultComesLastAndNeedNotMatch) {
  auto policy = llvm::cantFail(PrecisionPolicy::parse("a: fp8", "p"));
  policy.addDefault(format("mxfp8"));
  EXPECT_EQ(policy.find("a", LayerKind::Linear), 0u);
  EXPECT_EQ(policy.find("b", LayerKind::Linear), 1u);
  EXPECT_EQ(policy.find("b", LayerKind::Embedding), std::nullopt);
  EXPECT_TRUE(policy.rules[1].optional);
}

TEST(PrecisionPolicy, ErrorsHaveLineAndColumn) {
  EXPECT_TRUE(contains(policyError("\n  */mlp/* nvfp4"),
                       "p:2:3: no ':' between glob and format"));
  EXPECT_TRUE(contains(policyError("*/mlp/*: nvfp"), "p:1:10: unknown format"));
  EXPECT_TRUE(contains(policyError("a:   fp8   scales=row"),
                       "p:1:12: scales of fp8 must be 'tensor' or 'channel'"));
  EXPECT_TRUE(contains(policyError("a: fp8 optional block=1"),
                       "p:1:17: fp8 has no blocks"));
  EXPECT_TRUE(contains(policyError("a: fp8 kind=liner"),
                       "p:1:8: unknown kind 'liner', did you mean 'linear'?"));
  EXPECT_TRUE(contains(policyError(": fp8"), "p:1:1: no glob before ':'"));
  EXPECT_TRUE(contains(policyError("[a: fp8"), "p:1:1: bad glob '[a'"));
  EXPECT_TRUE(contains(policyError("a:"), "no format given"));
  EXPECT_EQ(policyError("# nothing\n"), "p: has no rules");
}

TEST(PrecisionPolicy, ReportsAllFaultyLines) {
  std::string errors = policyError("a: x1\nb: fp8\nc: x2\n");
  EXPECT_TRUE(contains(errors, "p:1:4:"));
  EXPECT_TRUE(contains(errors, "p:3:4:"));
  EXPECT_FALSE(contains(errors, "p:2:"));
}
