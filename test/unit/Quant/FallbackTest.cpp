// Permissions to fall back, and the mark of refusals.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Support/FallbackPolicy.h"
#include "nibble/Support/Refusal.h"
#include "nibble/Transforms/Quantize/LayerFormat.h"

#include "mlir/IR/Threading.h"

#include <gtest/gtest.h>

using namespace nibble;

static FallbackPolicy parse(std::vector<std::string> texts) {
  return llvm::cantFail(FallbackPolicy::parse(texts, getPrecisionNames()));
}

TEST(FallbackPolicy, OrderIsThatOfTheCommandLine) {
  FallbackPolicy policy = parse({"*/down:fp8", "*:bf16", "*/up:f32"});
  EXPECT_EQ(policy.formatsFor("/mlp/down"),
            (llvm::SmallVector<llvm::StringRef>{"fp8", "bf16"}));
  EXPECT_EQ(policy.formatsFor("/mlp/up"),
            (llvm::SmallVector<llvm::StringRef>{"bf16", "f32"}));
}

TEST(FallbackPolicy, PermitsLayerAndFormatTogether) {
  FallbackPolicy policy = parse({"*/down:fp8", "a:b/c:f16"});
  EXPECT_TRUE(policy.permits("/mlp/down", "fp8"));
  EXPECT_FALSE(policy.permits("/mlp/down", "f16"));
  EXPECT_FALSE(policy.permits("/mlp/up", "fp8"));
  EXPECT_TRUE(policy.permits("a:b/c", "f16"));
}

TEST(FallbackPolicy, ReportsWhatNobodyNeeded) {
  FallbackPolicy policy = parse({"*/down:fp8", "*/up:fp8"});
  policy.formatsFor("/mlp/up"); // to ask is not to use
  EXPECT_TRUE(policy.permits("/mlp/down", "fp8"));
  EXPECT_FALSE(policy.permits("/mlp/up", "bf16"));
  EXPECT_EQ(policy.unused(), std::vector<std::string>{"*/up:fp8"});
}

TEST(FallbackPolicy, RefusesMalformedText) {
  for (const char *text : {"f16", ":f16", "a:", "a:f17", "[a:f16"}) {
    std::vector<std::string> texts = {"*:f32", text};
    auto policy = FallbackPolicy::parse(texts, getPrecisionNames());
    EXPECT_FALSE(policy) << text;
    std::string error = llvm::toString(policy.takeError());
    EXPECT_TRUE(llvm::StringRef(error).starts_with(
        std::string("--allow-fallback '") + text + "' "))
        << error;
  }
}

TEST(Refusal, KeepsItsMarkThroughThreads) {
  mlir::MLIRContext context;
  unsigned refusals = 0, errors = 0;
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &diag) {
    ++errors;
    refusals += isRefusal(diag);
    return mlir::success();
  });
  mlir::Location loc = mlir::UnknownLoc::get(&context);
  {
    mlir::ParallelDiagnosticHandler parallel(&context);
    parallel.setOrderIDForThread(0);
    emitRefusal(loc, {"stage", "layer", "nvfp4", "K = 3", "choose another"});
    mlir::emitError(loc) << "something else";
    parallel.eraseOrderIDForThread();
  }
  EXPECT_EQ(errors, 2u);
  EXPECT_EQ(refusals, 1u);
}
