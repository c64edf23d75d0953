// Names that scopes declare anew: each use means the innermost declaration.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PtxHarness.h"

using namespace nibble::emu::ptx;

namespace {

/// All instructions of the first function, as "opcode operand operand; ..".
std::string spelled(const Module &module) {
  std::string text;
  for (const Instruction &made : module.functions.at(0).body) {
    if (!made.guard.empty())
      text += "@" + std::string(made.guard) + " ";
    text += made.opcode;
    for (const Operand &operand : made.operands)
      text += " " + std::string(operand.text);
    text += "; ";
  }
  return text;
}

std::string spelledBody(const std::string &statements) {
  return spelled(parsedBody(statements));
}

TEST(PtxScopes, RenameShadowingRegisters) {
  EXPECT_EQ(
      spelledBody(".reg .pred p; { .reg .pred p; @p ret; { @p ret; } } @p "
                  "ret; { .reg .pred p; @p ret; }"),
      "@p#2 ret; @p#2 ret; @p ret; @p#3 ret; ");
}

TEST(PtxScopes, MeanTheOuterRegisterBeforeADeclaration) {
  EXPECT_EQ(spelledBody(".reg .b32 x; { mov x; .reg .b32 x; mov x; }"),
            "mov x; mov x#2; ");
}

TEST(PtxScopes, KeepNamesOfTheFirstOfSiblings) {
  EXPECT_EQ(
      spelledBody("{ .reg .b32 x; mov x; } { .reg .b32 x; mov x; } mov x;"),
      "mov x; mov x#2; mov x; ");
}

TEST(PtxScopes, ShadowPartOfASet) {
  EXPECT_EQ(spelledBody(".reg .b32 %r<12>; { .reg .b32 %r<3>; mov %r2, %r3, "
                        "%r11; } mov %r2;"),
            "mov %r#2_2 %r3 %r11; mov %r2; ");
}

TEST(PtxScopes, TellSetsFromSingleRegisters) {
  EXPECT_EQ(spelledBody(".reg .b32 r<4>; { .reg .b32 r2; mov r2, r1; } { .reg "
                        ".b32 r, r4; mov r4, r; }"),
            "mov r2#2 r1; mov r4 r; ");
  EXPECT_EQ(
      spelledBody("{ .reg .b32 r2; mov r2; } { .reg .b32 r<4>; mov r2, r3; "
                  "}"),
      "mov r2; mov r#2_2 r#2_3; ");
}

TEST(PtxScopes, KnowSetsWhoseNamesEndInDigits) {
  EXPECT_EQ(spelledBody(".reg .b32 %f2<4>; { .reg .b32 %f2<4>; mov %f23; mov "
                        "%f24; mov %f2; } mov %f23;"),
            "mov %f2#2_3; mov %f24; mov %f2; mov %f23; ");
}

TEST(PtxScopes, RenamePartsOfVectors) {
  EXPECT_EQ(
      spelledBody(".reg .v4 .f32 v; { .reg .v4 .f32 v; mov v.x, %tid.x; }"),
      "mov v#2.x %tid.x; ");
}

TEST(PtxScopes, RenameInVectorsAndAddresses) {
  Module module =
      parsedBody(".reg .b32 x; { .reg .b32 x; ld {x}, [x+4], [m, {x}]; }");
  const auto &operands = module.functions.at(0).body.at(0).operands;
  EXPECT_EQ(operands[0].parts[0].text, "x#2");
  EXPECT_EQ(operands[1].parts[0].text, "x#2");
  EXPECT_EQ(operands[1].parts[0].offset, 4);
  EXPECT_EQ(operands[2].parts[1].parts[0].text, "x#2");
}

TEST(PtxScopes, BindLabelsToTheirScope) {
  Module module =
      parsedBody("{ W: bra D; bra W; D: } { W: bra D; bra W; D: } W: "
                 "bra W; bra E; { bra E; bra F; } E:");
  EXPECT_EQ(spelled(module), "bra D; bra W; bra D#2; bra W#2; bra W#3; bra E; "
                             "bra E; bra F; ");
  const auto &labels = module.functions[0].labels;
  ASSERT_EQ(labels.size(), 6u);
  EXPECT_EQ(labels[2].name, "W#2");
  EXPECT_EQ(labels[2].index, 2u);
  EXPECT_EQ(labels[3].name, "D#2");
}

TEST(PtxScopes, BindTargetsAndPrototypes) {
  Module module = parsedBody("{ A: t: .branchtargets A, B; brx a, t; B: } { A: "
                             "t: .branchtargets A, B; "
                             "p: .callprototype _; brx a, t; call a, p; B: }");
  const Function &k = module.functions.at(0);
  EXPECT_EQ(spelled(module), "brx a t; brx a t#2; call a p; ");
  EXPECT_EQ(k.targets.at(1).name, "t#2");
  EXPECT_EQ(k.targets[1].symbols[0], "A#2");
  EXPECT_EQ(k.targets[1].symbols[1], "B#2");
}

TEST(PtxScopes, KeepNamesOfModulesApart) {
  Module module =
      parsed(".global .u32 g;\n.func f() { mov g; { .reg .b32 g; mov "
             "g; } mov g; }");
  EXPECT_EQ(spelled(module), "mov g; mov g#2; mov g; ");
}

TEST(PtxScopes, ForgetOtherFunctions) {
  Module module = parsed(".func a() { .reg .b32 x; ret; }\n"
                         ".func b() { .reg .b32 x; ret; }");
  EXPECT_EQ(module.functions.at(1).variables.at(0).name, "x");
}

TEST(PtxScopes, RefuseTwoInOneScope) {
  EXPECT_EQ(errorOfBody(".reg .b32 x;\n.reg .b64 x;"),
            "6: 'x' is declared twice");
  EXPECT_EQ(errorOfBody(".reg .b32 r<4>; .reg .b32 r2;"),
            "5: 'r2' is declared twice");
  EXPECT_EQ(errorOfBody("X: X:"), "5: 'X' is declared twice");
  EXPECT_EQ(errorOfBody(".reg .b32 x;\nx: ret;"), "6: 'x' is declared twice");
  EXPECT_EQ(errorOf(".func f(.reg .b32 x, .reg .b32 x) { ret; }"),
            "4: 'x' is declared twice");
}

} // namespace
