// What is malformed, hostile or over a limit is an error with line and words.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PtxHarness.h"

using namespace nibble::emu::ptx;

namespace {

std::string repeat(const std::string &text, size_t times) {
  std::string all;
  for (size_t i = 0; i < times; ++i)
    all += text;
  return all;
}

TEST(PtxErrors, OfHeaders) {
  Module module;
  auto message = [&](const char *text) { return parse(text, module).message; };
  EXPECT_EQ(message(""), "expected '.version', found the end of the text");
  EXPECT_EQ(message(".target sm_90"), "expected '.version', found '.target'");
  EXPECT_EQ(message(".version 9"), "expected a version such as 9.0, found '9'");
  EXPECT_EQ(message(".version 9.0e5"),
            "expected a version such as 9.0, found '9.0e5'");
  EXPECT_EQ(message(".version 9.0\n.entry"),
            "expected '.target', found '.entry'");
  EXPECT_EQ(message(".version 9.0 .target sm_90 .address_size 32"),
            "only addresses of 64 bits are supported");
}

TEST(PtxErrors, NameWhatWasFoundAndWhere) {
  EXPECT_EQ(errorOfBody("mov.u32 a, b\nret;"), "6: expected ';', found 'ret'");
  EXPECT_EQ(errorOfBody("mov.u32 a,;"), "5: expected an operand, found ';'");
  EXPECT_EQ(errorOfBody("@p L: ret;"),
            "5: a guard needs an instruction, not a label");
  EXPECT_EQ(errorOfBody("@p {}"), "5: expected an instruction, found '{'");
  EXPECT_EQ(errorOfBody(";"),
            "5: expected an instruction, a declaration or '}', found ';'");
  EXPECT_EQ(errorOfBody("ld.u32 a, [d;"), "5: expected ']', found ';'");
  EXPECT_EQ(errorOfBody("ld.u32 a, g[1];"),
            "5: elements of arrays are not supported; write ['g+bytes]");
  EXPECT_EQ(errorOfBody("mov.u32 a, #;"), "5: unexpected character '#'");
  EXPECT_EQ(errorOfBody("%r1, %r2;"), "5: '%r1' is not an instruction");
  EXPECT_EQ(errorOfBody("t .branchtargets A;"),
            "5: expected ':', found '.branchtargets'");
  EXPECT_EQ(errorOfBody("mov.u32 a, b.1;"),
            "5: expected an operand, found 'b.1'");
  EXPECT_EQ(errorOf(".entry k() { @p"),
            "4: expected an instruction, found the end of the text");
  EXPECT_EQ(errorOf("\n.global .b33 x;"), "5: expected a type, found '.b33'");
  EXPECT_EQ(errorOf(".func f() .fast { ret; }"),
            "4: expected a body or a directive of a function, found '.fast'");
  EXPECT_EQ(errorOf(".func f() {\n{ ret;\n}\n"),
            "7: expected '}' of the function 'f', found the end of the text");
  EXPECT_EQ(errorOf(".reg .b32 x;"),
            "4: registers, parameters and local memory "
            "belong into functions");
  EXPECT_EQ(errorOf("/* a\n"), "4: the comment that starts here has no end");
  EXPECT_EQ(errorOf(".file 1 \"a\n"),
            "4: the string that starts here has no end");
  EXPECT_EQ(errorOf(".section .x {\n"),
            "4: the block that starts here has no end");
}

TEST(PtxErrors, OfConstants) {
  EXPECT_EQ(errorOfBody("mov.u32 a, 12abc;"), "5: '12abc' is not a number");
  EXPECT_EQ(errorOfBody("mov.u32 a, 08;"), "5: '08' is not a number");
  EXPECT_EQ(errorOfBody("mov.f32 a, 0f3f8;"), "5: '0f3f8' is not a number");
  EXPECT_EQ(errorOfBody("mov.u32 a, 0x12345678123456789;"),
            "5: the number has more than 64 bits");
  EXPECT_EQ(errorOfBody("mov.f32 a, 1e999;"),
            "5: the number is out of the range of a double");
  EXPECT_EQ(errorOfBody("mov.u32 a, 1/0;"), "5: a constant is divided by zero");
  EXPECT_EQ(errorOfBody("mov.u32 a, 1<<64;"),
            "5: a constant is shifted by 64 bits");
  EXPECT_EQ(errorOfBody("mov.f32 a, 1.0*2;"),
            "5: a float and an integer meet at '*'");
  EXPECT_EQ(errorOfBody("mov.b64 a, -0x8000000000000000 / -1;"), "");
}

TEST(PtxErrors, OfDeclarations) {
  EXPECT_EQ(errorOf(".global .u32 a;\n.global .u32 a;"),
            "5: 'a' is defined twice");
  EXPECT_EQ(errorOf(".func f() { ret; }\n.func f() { ret; }"),
            "5: 'f' is defined twice");
  EXPECT_EQ(errorOf(".global .align 3 .b8 a;"),
            "4: the alignment 3 is not a power of two");
  EXPECT_EQ(errorOf(".global .pred a;"),
            "4: expected a type that can be in memory, found '.pred'");
  EXPECT_EQ(errorOf(".global .v4 .u64 a;"), "4: a vector has at most 128 bits");
  EXPECT_EQ(errorOf(".global .b8 a[0];"), "4: an array without elements");
  EXPECT_EQ(errorOf(".global .b8 a[];"),
            "4: only what is .extern, or has initial "
            "values, can have no size");
  EXPECT_EQ(errorOf(".global .b8 a<3>;"), "4: only registers come in sets");
  EXPECT_EQ(errorOfBody(".reg .b32 a[3];"), "5: registers cannot be arrays");
  EXPECT_EQ(errorOf(".entry k(.global .b32 x) { ret; }"),
            "4: expected a parameter, found '.global'");
  EXPECT_EQ(errorOf(".entry k(.param .b32 y,\n.reg .b32 x) { ret; }"),
            "5: parameter 'x' of a kernel must be .param");
}

TEST(PtxErrors, OfInitialValues) {
  const char *fit = "4: the initial value does not fit the type";
  EXPECT_EQ(errorOf(".global .f32 a = 1;"), fit);
  EXPECT_EQ(errorOf(".global .u32 a = 1.0;"), fit);
  EXPECT_EQ(errorOf(".global .f16 a = 1.0;"), fit);
  EXPECT_EQ(errorOf(".shared .u32 a = 1;"), "4: 'a' can have no initial value");
  EXPECT_EQ(errorOf(".global .u32 a[2] = {1,2,3};"),
            "4: more than 2 values in braces");
  EXPECT_EQ(errorOf(".global .u32 a[2] = 1;"), "4: expected '{', found '1'");
  EXPECT_EQ(errorOf(".global .u32 a = {1};"),
            "4: expected a constant, found '{'");
  EXPECT_EQ(errorOf(".global .u64 a = b;"), "4: 'b' is not declared");
  EXPECT_EQ(errorOf(".global .u16 a; .global .u16 b = a;"),
            "4: an address needs a variable of 32 or 64 bits");
  EXPECT_EQ(errorOf(".global .u32 a; .global .u8 b = 0xf0(a);"),
            "4: a mask selects one byte, for a variable of bytes");
}

TEST(PtxErrors, OfHostileSizes) {
  EXPECT_EQ(errorOfBody(".reg .b32 %r<4000000000>;"),
            "5: the number of registers is 4000000000; the limit is 1048576");
  EXPECT_EQ(errorOfBody(repeat(".reg .b32 a<1000000>; {", 2) + "}}"),
            "5: the function has more than 1048576 registers");
  EXPECT_EQ(errorOf(".global .b8 a[1152921504606846976];"),
            "4: the array is too large");
  EXPECT_EQ(errorOf(".global .b8 a[4294967296][4294967296][4294967296];"),
            "4: the array is too large");
  EXPECT_EQ(errorOf(".global .b8 a" + repeat("[1]", 17) + ";"),
            "4: the array is too large");
  EXPECT_EQ(errorOf(".global .b8 a[2][1000000000] = {{1},{2}};"),
            "4: too many bytes of initial values");
  EXPECT_EQ(
      errorOf(".global .b64 a[][68719476736] = {" + repeat("{},", 9) + "{1}};"),
      "4: the array is too large");
  EXPECT_EQ(errorOfBody(repeat("a;", (2 << 20) + 1)),
            "5: more than 2097152 instructions");
  Module module;
  EXPECT_EQ(parse(repeat(" ", (64 << 20) + 1), module).message,
            "the text has 67108865 bytes; the limit is 67108864");
  EXPECT_EQ(errorOf(".file 4000000000 \"a\""),
            "4: the number of a file is 4000000000; the limit is 65536");
}

TEST(PtxErrors, OfHostileNesting) {
  EXPECT_EQ(errorOfBody(repeat("{", 100000)), "5: scopes nest too deeply");
  EXPECT_EQ(errorOfBody("mov a, " + repeat("(", 100000)),
            "5: the expression nests too deeply");
  EXPECT_EQ(errorOfBody("mov a, " + repeat("- ", 100000) + "1;"),
            "5: the expression nests too deeply");
  EXPECT_EQ(errorOfBody("mov a, " + repeat("(.u64)", 100000) + "1;"),
            "5: the expression nests too deeply");
  EXPECT_EQ(errorOfBody("mov a, " + repeat("1?", 100000)),
            "5: the expression nests too deeply");
  EXPECT_EQ(errorOfBody("mov a, " + repeat("{", 100000)),
            "5: expected an operand, found '{'");
  EXPECT_EQ(errorOf(".global .b8 a[1] = " + repeat("{", 100000)),
            "4: expected a constant, found '{'");
  EXPECT_EQ(errorOfBody("mov {" + repeat("a, ", 5000) + "a};"),
            "5: more than 4096 operands in a list");
}

TEST(PtxErrors, OfEveryTruncation) {
  const std::string text =
      std::string(kHeader) +
      ".global .u64 g[2] = {1, 0x2};\n.func (.param .b32 r) f(.param .b32 x);\n"
      ".entry k(.param .u64 p) .maxntid 1, 2 {\n.reg .b32 %r<3>;\n{ .reg .pred "
      "q;\n"
      "@!q ld.v2.u32 {%r1, _}, [p+(1<<3)]; call (%r1), f, (%r2);\n"
      "t: .branchtargets A;\nA: setp.eq q|_, %tid.x, -1; }\n}\n";
  for (size_t size = 0; size + 2 < text.size(); ++size) {
    Module module;
    Error error = parse(text.substr(0, size), module);
    EXPECT_EQ(error.message.empty(), !error) << size;
    EXPECT_LE(error.line, 12u);
    if (size > text.find("f(.param") + 16) {
      EXPECT_TRUE(error || size < text.find(".entry") + 7) << size;
    }
  }
}

TEST(PtxErrors, ShortenAndCleanWhatTheyQuote) {
  std::string message = errorOfBody("mov a, b " + std::string(500, 'x') + ";");
  EXPECT_EQ(message,
            "5: expected ';', found '" + std::string(48, 'x') + "...'");
  EXPECT_EQ(errorOfBody("\xff"), "5: unexpected character '?'");
}

} // namespace
