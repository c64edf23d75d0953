// The meaning of what the parser reads: modules, declarations, initial values,
// functions, instructions and operands.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PtxHarness.h"

#include <cstring>

using namespace nibble::emu::ptx;
using Kind = Operand::Kind;

namespace {

const Instruction &only(const Module &module) {
  EXPECT_EQ(module.functions.at(0).body.size(), 1u);
  return module.functions[0].body.at(0);
}

/// The operand behind `mov.b64 d,`.
Operand operandOf(const std::string &text) {
  return only(parsedBody("mov.b64 d, " + text + ";")).operands.at(1);
}

/// Text of names does not outlive its module.
std::string textOf(const Module &module, size_t operand) {
  return std::string(only(module).operands.at(operand).text);
}

uint64_t bitsOfDouble(double value) {
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

TEST(PtxTypes, HaveTheirBits) {
  const std::pair<const char *, unsigned> types[] = {
      {"pred", 1}, {"b8", 8},     {"u16", 16},    {"s32", 32},
      {"b64", 64}, {"b128", 128}, {"f16x2", 32},  {"bf16", 16},
      {"f32", 32}, {"f64", 64},   {"bf16x2", 32}, {"texref", 64}};
  for (auto [name, bits] : types) {
    Type type;
    ASSERT_TRUE(parseType(name, type)) << name;
    EXPECT_EQ(bitsOf(type), bits) << name;
  }
  Type type;
  EXPECT_FALSE(parseType("b33", type));
  EXPECT_FALSE(parseType(".b32", type));
}

TEST(PtxModule, HasItsHeader) {
  Module module;
  ASSERT_FALSE(parse(".version 9.12\n.target sm_110a, debug, texmode_unified\n",
                     module));
  EXPECT_EQ(module.versionMajor, 9u);
  EXPECT_EQ(module.versionMinor, 12u);
  EXPECT_EQ(module.target, "sm_110a");
  ASSERT_EQ(module.targetOptions.size(), 2u);
  EXPECT_EQ(module.targetOptions[1], "texmode_unified");
}

TEST(PtxModule, EndsAtNul) {
  Module module = parsed(std::string(".global .b8 a;") + '\0' + "garbage {{");
  EXPECT_EQ(module.variables.size(), 1u);
}

TEST(PtxModule, SkipsCommentsSectionsAndLineMarkers) {
  Module module = parsed("// a {\n/* b\n*/ # 1 \"x\"\n@@DWARF .byte 1\n"
                         ".section .debug_str {\nL: // }\n.b8 1,2\n}\n"
                         ".global .b8 a; /* } */ .global .b8 b;");
  ASSERT_EQ(module.variables.size(), 2u);
  EXPECT_EQ(module.variables[1].line, 12u);
}

TEST(PtxModule, KeepsFilesAndAliases) {
  Module module = parsed(".file 2 \"b.cu\"\n.file 1 \"a.cu\", 11, 22\n"
                         ".func f() { ret; }\n.func g();\n.alias g, f;\n");
  ASSERT_EQ(module.files.size(), 3u);
  EXPECT_EQ(module.files[0], "");
  EXPECT_EQ(module.files[1], "a.cu");
  EXPECT_EQ(module.files[2], "b.cu");
  ASSERT_EQ(module.aliases.size(), 1u);
  EXPECT_EQ(module.aliases[0].name, "g");
  EXPECT_EQ(module.aliases[0].aliasee, "f");
}

TEST(PtxVariables, HaveSpaceTypeAlignmentAndSize) {
  Module module = parsed(".visible .global .align 16 .v4 .f32 v[3];\n"
                         ".const .b16 c[2][5], d;\n"
                         ".extern .shared .align 1024 .b8 s[];\n"
                         ".global .attribute(.managed) .u64 m;\n"
                         ".weak .global .attribute(.unified(1, 2)) .b8 w;\n");
  const auto &v = module.variables;
  ASSERT_EQ(v.size(), 6u);
  EXPECT_EQ(v[0].align, 16u);
  EXPECT_EQ(v[0].vector, 4u);
  EXPECT_TRUE(v[0].isArray && v[0].isVisible && !v[0].isExtern);
  EXPECT_EQ(v[0].byteSize(), 48u);
  EXPECT_EQ(v[1].space, Space::Const);
  EXPECT_EQ(v[1].elements, 10u);
  EXPECT_EQ(v[2].byteSize(), 2u);
  EXPECT_FALSE(v[2].isArray);
  EXPECT_TRUE(v[3].unsized && v[3].isExtern);
  EXPECT_EQ(v[3].byteSize(), 0u);
  EXPECT_TRUE(v[4].isManaged);
  EXPECT_TRUE(v[5].isWeak && !v[5].isManaged);
}

TEST(PtxVariables, HaveInitialBytes) {
  Module module = parsed(".global .u32 a = 0x01020304;\n"
                         ".global .b8 b[5] = {1, -1, 0x1ff};\n"
                         ".global .u16 c[2][3] = {{1}, {2, 3}};\n"
                         ".global .f32 f[2] = {0f7FC00001, -1.5};\n"
                         ".global .f64 g = 0f3F800000;\n"
                         ".global .v2 .u8 v[] = {{1, 2}, {3}};\n"
                         ".const .b128 w = -2;\n");
  using Bytes = std::vector<uint8_t>;
  auto bytes = [&](size_t i) { return module.variables.at(i).bytes; };
  EXPECT_EQ(bytes(0), (Bytes{4, 3, 2, 1}));
  EXPECT_EQ(bytes(1), (Bytes{1, 255, 255}));
  EXPECT_EQ(bytes(2), (Bytes{1, 0, 0, 0, 0, 0, 2, 0, 3, 0}));
  EXPECT_EQ(bytes(3), (Bytes{1, 0, 0xc0, 0x7f, 0, 0, 0xc0, 0xbf}));
  EXPECT_EQ(bytes(4), (Bytes{0, 0, 0, 0, 0, 0, 0xf0, 0x3f}));
  EXPECT_EQ(bytes(5), (Bytes{1, 2, 3}));
  EXPECT_EQ(module.variables[5].elements, 2u);
  EXPECT_EQ(module.variables[5].byteSize(), 4u);
  EXPECT_FALSE(module.variables[5].unsized);
  EXPECT_EQ(bytes(6).front(), 0xfe);
  EXPECT_EQ(bytes(6).back(), 0xff);
  EXPECT_EQ(bytes(6).size(), 16u);
}

TEST(PtxVariables, HaveReferences) {
  Module module =
      parsed(".global .u32 a;\n.func f() { ret; }\n"
             ".global .u64 p[4] = {f, 7, generic(a)+8, a+(1<<3)};\n"
             ".global .u8 m[2] = {0xff00(a), 0xff(generic(a)+1)};\n");
  const Variable &p = module.variables.at(1), &m = module.variables.at(2);
  ASSERT_EQ(p.references.size(), 3u);
  EXPECT_EQ(p.references[0].symbol, "f");
  EXPECT_EQ(p.references[0].at, 0u);
  EXPECT_EQ(p.references[0].size, 8u);
  EXPECT_FALSE(p.references[0].generic);
  EXPECT_EQ(p.references[1].at, 16u);
  EXPECT_EQ(p.references[1].offset, 8);
  EXPECT_TRUE(p.references[1].generic);
  EXPECT_EQ(p.references[2].offset, 8);
  EXPECT_EQ(p.bytes.size(), 16u);
  ASSERT_EQ(m.references.size(), 2u);
  EXPECT_EQ(m.references[0].shift, 8u);
  EXPECT_EQ(m.references[0].size, 1u);
  EXPECT_EQ(m.references[1].at, 1u);
  EXPECT_EQ(m.references[1].offset, 1);
  EXPECT_TRUE(m.references[1].generic);
}

TEST(PtxVariables, OfTwoDeclarationsTheDefinitionStays) {
  Module module =
      parsed(".extern .global .u32 a[];\n.global .u32 b;\n"
             ".visible .global .u32 a[3];\n.extern .global .u32 a[];");
  ASSERT_EQ(module.variables.size(), 2u);
  EXPECT_EQ(module.variables[0].name, "a");
  EXPECT_EQ(module.variables[0].elements, 3u);
  EXPECT_FALSE(module.variables[0].isExtern);
  EXPECT_TRUE(module.variables[0].isVisible);
}

TEST(PtxFunctions, HaveParametersAndDirectives) {
  Module module =
      parsed(".visible .entry k(.param .align 64 .b8 map[128],\n"
             " .param .u64 .ptr .global .align 16 x, .param .f32 _)\n"
             ".maxntid 128, 2\n.minnctapersm 3\n.explicitcluster\n"
             ".reqnctapercluster 2, 1, 1\n.pragma \"nounroll\";\n{ ret; }\n"
             ".func (.reg .b32 r) f(.reg .pred p, .param .b8 v[]) .noreturn { "
             "trap; }");
  const Function &k = module.functions.at(0), &f = module.functions.at(1);
  EXPECT_TRUE(k.isEntry && k.isVisible && k.hasBody);
  ASSERT_EQ(k.parameters.size(), 3u);
  EXPECT_EQ(k.parameters[0].align, 64u);
  EXPECT_EQ(k.parameters[0].byteSize(), 128u);
  EXPECT_EQ(k.parameters[1].name, "x");
  EXPECT_EQ(k.parameters[1].type, Type::U64);
  EXPECT_EQ(k.parameters[1].align, 0u);
  EXPECT_EQ(k.parameters[1].space, Space::Param);
  ASSERT_EQ(k.directives.size(), 4u);
  EXPECT_EQ(k.directives[0].name, "maxntid");
  EXPECT_EQ(k.directives[0].values, (std::vector<uint64_t>{128, 2}));
  EXPECT_TRUE(k.directives[2].values.empty());
  EXPECT_FALSE(f.isEntry);
  ASSERT_EQ(f.results.size(), 1u);
  EXPECT_EQ(f.results[0].space, Space::Reg);
  EXPECT_EQ(f.parameters[0].type, Type::Pred);
  EXPECT_TRUE(f.parameters[1].unsized);
  EXPECT_EQ(f.parameters[1].byteSize(), 0u);
  EXPECT_EQ(f.directives[0].name, "noreturn");
}

TEST(PtxFunctions, OfTwoDeclarationsTheBodyStays) {
  Module module = parsed(".func f();\n.func g() { ret; }\n.func f() { trap; }\n"
                         ".func g();");
  ASSERT_EQ(module.functions.size(), 2u);
  EXPECT_EQ(module.functions[0].name, "f");
  EXPECT_TRUE(module.functions[0].hasBody);
  EXPECT_TRUE(module.functions[1].hasBody);
}

TEST(PtxBody, HasRegistersAndVariables) {
  Module module = parsedBody(".reg .b32 %r<9>, x; .reg .pred none<0>;\n"
                             ".shared .align 8 .b8 s[16]; .reg .v4 .f32 v;");
  const auto &variables = module.functions.at(0).variables;
  ASSERT_EQ(variables.size(), 4u);
  EXPECT_EQ(variables[0].name, "%r");
  EXPECT_EQ(variables[0].count, 9u);
  EXPECT_EQ(variables[0].byteSize(), 4u);
  EXPECT_EQ(variables[1].count, 0u);
  EXPECT_EQ(variables[2].space, Space::Shared);
  EXPECT_EQ(variables[2].byteSize(), 16u);
  EXPECT_EQ(variables[3].vector, 4u);
}

TEST(PtxBody, PlacesInstructionsInTextAndSource) {
  Module module =
      parsedBody("ret;\n.loc 2 449 9, function_name $L, inlined_at 1 "
                 "11 3\n@!%p1 bra\nL;\n.loc 1 7 1\nL: exit;");
  const auto &body = module.functions.at(0).body;
  ASSERT_EQ(body.size(), 3u);
  EXPECT_EQ(body[0].line, 5u);
  EXPECT_EQ(body[0].source.file, 0u);
  EXPECT_EQ(body[1].line, 7u);
  EXPECT_EQ(body[1].source.file, 2u);
  EXPECT_EQ(body[1].source.line, 449u);
  EXPECT_EQ(body[1].source.column, 9u);
  EXPECT_EQ(body[1].guard, "%p1");
  EXPECT_TRUE(body[1].guardNegated);
  EXPECT_TRUE(body[2].guard.empty());
  EXPECT_EQ(body[2].source.line, 7u);
}

TEST(PtxBody, HasLabelsTargetsAndPrototypes) {
  Module module = parsedBody(
      "$A: B: ret;\nt: .branchtargets $A, B, C;\nc: .calltargets k;\n"
      "p: .callprototype (.param .b32 _) _ (.param .align 8 .b8 _[12]) ;\nC:");
  const Function &k = module.functions.at(0);
  ASSERT_EQ(k.labels.size(), 3u);
  EXPECT_EQ(k.labels[0].name, "$A");
  EXPECT_EQ(k.labels[1].index, 0u);
  EXPECT_EQ(k.labels[2].index, 1u);
  ASSERT_EQ(k.targets.size(), 2u);
  EXPECT_EQ(k.targets[0].name, "t");
  EXPECT_EQ(k.targets[0].symbols,
            (std::vector<std::string_view>{"$A", "B", "C"}));
  ASSERT_EQ(k.prototypes.size(), 1u);
  EXPECT_EQ(k.prototypes[0].name, "p");
  EXPECT_EQ(k.prototypes[0].results.size(), 1u);
  EXPECT_EQ(k.prototypes[0].parameters.at(0).byteSize(), 12u);
}

TEST(PtxInstruction, HasOpcodeAndModifiers) {
  Module module = parsedBody("cp.async.bulk.tensor.2d.shared::cluster.mbarrier:"
                             ":complete_tx::bytes .L2 "
                             "[%r1+16], [%rd1, {%r1, 3}], [%r3];");
  const Instruction &made = only(module);
  EXPECT_EQ(made.opcode, "cp");
  EXPECT_EQ(made.modifiers,
            (std::vector<std::string_view>{
                "async", "bulk", "tensor", "2d", "shared::cluster",
                "mbarrier::complete_tx::bytes", "L2"}));
  ASSERT_EQ(made.operands.size(), 3u);
  EXPECT_EQ(made.operands[0].kind, Kind::Address);
  EXPECT_EQ(made.operands[0].parts.at(0).text, "%r1");
  EXPECT_EQ(made.operands[0].parts.at(0).offset, 16);
  ASSERT_EQ(made.operands[1].parts.size(), 2u);
  EXPECT_EQ(made.operands[1].parts[1].kind, Kind::Vector);
  EXPECT_EQ(made.operands[1].parts[1].parts.at(1).bits, 3u);
}

TEST(PtxOperands, AreSymbols) {
  EXPECT_EQ(textOf(parsedBody("mov.u32 a, %clusterid.x;"), 1), "%clusterid.x");
  EXPECT_EQ(textOf(parsedBody("vadd.u32 a, b.h1, c;"), 1), "b.h1");
  EXPECT_EQ(operandOf("g+4+4").offset, 8);
  EXPECT_EQ(operandOf("g + -4").offset, -4);
  EXPECT_TRUE(operandOf("!p").negated);
  EXPECT_TRUE(operandOf("-p").negated);
  EXPECT_EQ(operandOf("-p").kind, Kind::Symbol);
  EXPECT_EQ(operandOf("_").kind, Kind::Sink);
}

TEST(PtxOperands, AreIntegers) {
  const std::pair<const char *, int64_t> cases[] = {
      {"10", 10},       {"-1", -1},          {"0x1F", 31},
      {"017U", 15},     {"0b101", 5},        {"0", 0},
      {"WARP_SZ", 32},  {"-WARP_SZ", -32},   {"(1<<3)", 8},
      {"1|6", 7},       {"2+3*4", 14},       {"(2+3)*4", 20},
      {"7 % 4", 3},     {"-7/2", -3},        {"!0", 1},
      {"~0", -1},       {"-(3)", -3},        {"5 > 3 ? 2+1 : 7", 3},
      {"0 ? 1 : 2", 2}, {"1 == 1 && 0", 0},  {"0 || 3 != 4", 1},
      {"6 & 3 ^ 1", 3}, {"-8 >> 1", -4},     {"(.s64)-3", -3},
      {"-1 < 1", 1},    {"-1 < (.u64)1", 0}, {"1 - 2 - 3", -4},
      {"-1 > 1U", 1},   {"1.0 <= 2.0", 1},   {"0xFFFFFFFFFFFFFFFF", -1}};
  for (auto [text, value] : cases) {
    Operand operand = operandOf(text);
    EXPECT_EQ(operand.kind, Kind::Integer) << text;
    EXPECT_EQ(int64_t(operand.bits), value) << text;
  }
}

TEST(PtxOperands, AreFloats) {
  Operand single = operandOf("0f3F800000");
  EXPECT_EQ(single.kind, Kind::Float);
  EXPECT_FALSE(single.isDouble);
  EXPECT_EQ(single.bits, 0x3f800000u);
  Operand bits = operandOf("0dBFF0000000000000");
  EXPECT_TRUE(bits.isDouble);
  EXPECT_EQ(bits.bits, 0xbff0000000000000u);
  const std::pair<const char *, double> cases[] = {
      {"1.5", 1.5},         {".5", .5},           {"5.", 5},
      {"5e3", 5000},        {"-1.5e-3", -1.5e-3}, {"1.0+2.0", 3},
      {"0f40000000*1.5", 3}};
  for (auto [text, value] : cases) {
    EXPECT_TRUE(operandOf(text).isDouble) << text;
    EXPECT_EQ(operandOf(text).bits, bitsOfDouble(value)) << text;
  }
}

TEST(PtxOperands, ArePairsAndVectors) {
  Module module = parsedBody("shfl.sync.idx.b32 a|p, _|q, {a, _, 1};");
  const auto &operands = only(module).operands;
  EXPECT_EQ(operands.at(0).kind, Kind::Pair);
  EXPECT_EQ(operands[0].parts.at(1).text, "p");
  EXPECT_EQ(operands.at(1).parts.at(0).kind, Kind::Sink);
  EXPECT_EQ(operands.at(2).kind, Kind::Vector);
  EXPECT_EQ(operands[2].parts.size(), 3u);
  Module texture = parsedBody("tex.2d.v2 {a, b}|p, [t, s, {x, y}];");
  EXPECT_EQ(only(texture).operands.at(0).kind, Kind::Pair);
  EXPECT_EQ(only(texture).operands[0].parts.at(0).kind, Kind::Vector);
  EXPECT_EQ(only(texture).operands.at(1).parts.size(), 3u);
}

TEST(PtxOperands, OfCallsAreLists) {
  Module module = parsedBody("call.uni (r), %rd1, (a, 3, _), p;");
  const auto &operands = only(module).operands;
  ASSERT_EQ(operands.size(), 4u);
  EXPECT_EQ(operands[0].kind, Kind::Vector);
  EXPECT_EQ(operands[1].text, "%rd1");
  EXPECT_EQ(operands[2].parts.size(), 3u);
  EXPECT_EQ(operands[3].text, "p");
  EXPECT_TRUE(only(parsedBody("call f, ();")).operands.at(1).parts.empty());
}

} // namespace
