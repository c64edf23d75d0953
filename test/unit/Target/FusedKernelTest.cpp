// Kernels of matrix products and what follows them, compiled and compared with
// the reference interpreter.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "FusedRun.h"

using namespace nibble::test;
using std::string;
using std::to_string;

namespace {

bool isFourBit(const string &element) {
  return element == "!nq.nvfp4" || element == "!nq.mxfp4";
}

/// A weight [N, K] in panels, as activations of type `from` want it.
string weight(int64_t n, int64_t k, const string &element,
              const string &from = "f16") {
  string panels = "tiles [[16], []] order [0, 2, 1]", codes = panels;
  bool fourBit = isFourBit(element);
  if (fourBit && isFourBit(from))
    codes = "tiles [[16], [8]] order [0, 2, 1, 3]";
  else if (fourBit)
    codes = "tiles [[2, 2, 4], [2, 2]] order [0, 4, 2, 6, 3, 1, 5]";
  if (fourBit || element == "!nq.mxfp8")
    codes += " scales <" + panels + ">";
  return tensor({n, k}, element + ", #nq.layout<" + codes + ">");
}

/// Text of a kernel: arguments are named as they are added, values as they are
/// made.
class KernelText {
public:
  string argument(const string &type) {
    string name = "%a" + to_string(count++);
    signature += (signature.empty() ? "" : ", ") + name + ": " + type;
    types[name] = type;
    return name;
  }
  string value(const string &type) {
    string name = "%v" + to_string(count++);
    types[name] = type;
    return name;
  }
  string matmul(const string &x, const string &w, const string &type) {
    string y = value(type);
    body += y + " = nq.matmul " + x + ", " + w + " transpose_b : (" + types[x] +
            ", " + types[w] + ") -> " + type + "\n";
    return y;
  }
  /// `ops` compute %y from %x0, %x1, ...; maps of the operands over (d0, d1,
  /// ...) of the result.
  string map(std::vector<string> operands, std::vector<string> maps,
             const string &type, int rank, const string &ops) {
    string y = value(type), dims, loops, list, ins, inTypes, arguments;
    for (int i = 0; i < rank; ++i) {
      dims += (i ? ", d" : "d") + to_string(i);
      loops += i ? ", \"parallel\"" : "\"parallel\"";
    }
    for (size_t i = 0; i < operands.size(); ++i) {
      string to = maps.size() > i && !maps[i].empty() ? maps[i] : dims;
      list += "affine_map<(" + dims + ") -> (" + to + ")>, ";
      ins += (i ? ", " : "") + operands[i];
      inTypes += (i ? ", " : "") + types[operands[i]];
      arguments += "%x" + to_string(i) + ": " + elementOf(operands[i]) + ", ";
    }
    string element = elementOf(y);
    body += "%e" + y.substr(1) + " = tensor.empty() : " + type + "\n" + y +
            " = linalg.generic {indexing_maps = [" + list + "affine_map<(" +
            dims + ") -> (" + dims + ")>], iterator_types = [" + loops +
            "]} ins(" + ins + " : " + inTypes + ") outs(%e" + y.substr(1) +
            " : " + type + ") {\n^bb0(" + arguments + "%o: " + element +
            "):\n" + ops + "\nlinalg.yield %y : " + element + "\n} -> " + type +
            "\n";
    return y;
  }
  /// Any op of one result: "name operands" : `signature` -> type.
  string op(const string &text, const string &from, const string &type) {
    string y = value(type);
    body += y + " = " + text + " : " + from + " -> " + type + "\n";
    return y;
  }
  string quantize(const string &x, const string &how, const string &type) {
    return op("nq.quantize " + x + " " + how, types[x], type);
  }
  void append(const string &text) { body += text; }
  string finish(std::vector<string> results) const {
    string list, resultTypes;
    for (size_t i = 0; i < results.size(); ++i) {
      list += (i ? ", " : "") + results[i];
      resultTypes += (i ? ", " : "") + types.at(results[i]);
    }
    return "func.func @k(" + signature + ") -> (" + resultTypes + ") {\n" +
           body + "return " + list + " : " + resultTypes + "\n}\n";
  }
  string elementOf(const string &name) const {
    string type = types.at(name);
    type = type.substr(7, type.size() - 8);
    size_t at = 0;
    while (at < type.size() && isdigit(type[at])) {
      size_t next = type.find('x', at);
      if (next == string::npos)
        break;
      at = next + 1;
    }
    return type.substr(at);
  }
  std::map<string, string> types;

private:
  string signature, body;
  int count = 0;
};

/// Products around 1, far from the limits of f16: codes of FP8 are large.
void setData(FusedRun &run, const string &text) {
  bool fp8 = text.find("fp8, #nq.layout") != string::npos;
  run.checks.scale = 0.25;
  run.checks.lowScale = fp8 ? -10 : -6;
  run.checks.highScale = fp8 ? -7 : -3;
  // Two small scales would leave nothing of f16.
  if (text.find("p4>, %a1") == string::npos)
    return;
  run.checks.lowScale += 3;
  run.checks.highScale += 3;
}

void show(const FusedRun &run, const string &text) {
  if (testing::Test::HasFailure())
    fprintf(stderr, "%s\n%s\n", text.c_str(),
            getenv("NIBBLE_SHOW_LOOPS") ? run.loops.c_str() : "");
}

void check(const string &text, double limit) {
  FusedRun run(text);
  setData(run, text);
  run.checkNear(limit);
  show(run, text);
}

const char kGelu[] = "%c0 = arith.constant 0.7978845608 : f32\n"
                     "%c1 = arith.constant 0.044715 : f32\n"
                     "%c2 = arith.constant 0.5 : f32\n"
                     "%c3 = arith.constant 1.0 : f32\n"
                     "%f = arith.extf %x0 : f16 to f32\n"
                     "%sq = arith.mulf %f, %f : f32\n"
                     "%cu = arith.mulf %sq, %c1 : f32\n"
                     "%in = arith.addf %cu, %c3 : f32\n"
                     "%in2 = arith.mulf %in, %f : f32\n"
                     "%in3 = arith.mulf %in2, %c0 : f32\n"
                     "%t = math.tanh %in3 : f32\n"
                     "%t1 = arith.addf %t, %c3 : f32\n"
                     "%h = arith.mulf %f, %c2 : f32\n"
                     "%g = arith.mulf %h, %t1 : f32\n";

/// gelu(x wg) * (x wu), with the roundings of an f16 graph.
string gated(KernelText &text, int64_t m, int64_t n, int64_t k,
             const string &element, const string &from = "f16") {
  string x = text.argument(tensor({1, m, k}, from));
  string wg = text.argument(weight(n, k, element, from));
  string wu = text.argument(weight(n, k, element, from));
  string type = tensor({1, m, n}, "f16");
  string g = text.matmul(x, wg, type), u = text.matmul(x, wu, type);
  string act = text.map({g}, {}, type, 3,
                        string(kGelu) + "%y = arith.truncf %g : f32 to f16");
  return text.map({act, u}, {}, type, 3, "%y = arith.mulf %x0, %x1 : f16");
}

void checkGated(int64_t m, int64_t n, int64_t k, const string &element) {
  KernelText text;
  string h = gated(text, m, n, k, element);
  check(text.finish({h}), 1e-3);
}

TEST(FusedKernel, GatedOnAnyRows) {
  for (int64_t m : {1, 5, 37, 64, 200})
    checkGated(m, 320, 96, "!nq.nvfp4");
}

TEST(FusedKernel, GatedOnAnyWeight) {
  for (string element : {"f16", "f32", "!nq.fp8", "!nq.mxfp8", "!nq.mxfp4"})
    for (int64_t m : {3, 19})
      checkGated(m, 160, 64, element);
}

TEST(FusedKernel, GatedOnOddSizes) {
  for (int64_t m : {2, 13})
    for (int64_t n : {1, 7, 24, 269, 400})
      checkGated(m, n, 50, "f16");
  checkGated(171, 4304, 32, "!nq.nvfp4");
}

TEST(FusedKernel, GatedOnScaledActivations) {
  const std::pair<string, string> formats[] = {{"!nq.nvfp4", "!nq.nvfp4"},
                                               {"!nq.mxfp4", "!nq.nvfp4"},
                                               {"!nq.fp8", "!nq.fp8"},
                                               {"!nq.mxfp8", "!nq.mxfp4"},
                                               {"!nq.nvfp4", "!nq.mxfp8"}};
  for (const auto &[from, element] : formats)
    for (int64_t m : {1, 5, 37}) {
      KernelText text;
      string h = gated(text, m, 272, 96, element, from);
      check(text.finish({h}), 1e-3);
    }
  KernelText text;
  string h = gated(text, 200, 304, 2080, "!nq.nvfp4", "!nq.nvfp4");
  check(text.finish({h}), 1e-3);
}

#ifndef NIBBLE_TEST_GPU_PRODUCTS
TEST(FusedKernelErrors, ProductsOfOneOperandInTwoWays) {
  KernelText text;
  string x = text.argument(tensor({1, 4, 64}, "!nq.nvfp4"));
  string wg = text.argument(weight(32, 64, "!nq.nvfp4", "!nq.nvfp4"));
  string wu = text.argument(weight(32, 64, "!nq.mxfp8"));
  string type = tensor({1, 4, 32}, "f16");
  string g = text.matmul(x, wg, type), u = text.matmul(x, wu, type);
  string y = text.map({g, u}, {}, type, 3, "%y = arith.mulf %x0, %x1 : f16");
  FusedRun run(text.finish({y}));
  EXPECT_FALSE(run.ok());
  EXPECT_NE(run.error.find("copies of the left operand"), string::npos)
      << run.error;
}
#endif

//===----------------------------------------------------------------------===//
// Quantized results
//===----------------------------------------------------------------------===//

/// The kernel that returns the hidden tensor as well has exactly its codes; the
/// one that does not has the same bytes.
void checkQuantized(int64_t m, int64_t n, int64_t k, const string &element,
                    const string &to, string how, const string &from = "f16") {
  KernelText text;
  string h = gated(text, m, n, k, element, from);
  string s = text.argument("tensor<f32>");
  string hidden = text.types[h], type = tensor({1, m, n}, to);
  size_t at = how.find("%s");
  if (at != string::npos)
    how.replace(at, 2, s + " : tensor<f32>");
  string q = text.quantize(h, how, type);
  string both = text.finish({h, q}), alone = text.finish({q});

  std::vector<char> codes;
  {
    FusedRun run(both);
    setData(run, both);
    run.checkNear(1e-2);
    ASSERT_EQ(run.outputs.size(), 2u);
    run.checkExact("func.func @q(%h: " + hidden + ", " + s +
                       ": tensor<f32>) -> " + type +
                       " {\n%r = nq.quantize %h " + how + " : " + hidden +
                       " -> " + type + "\nreturn %r : " + type + "\n}",
                   0, 1);
    codes = run.outputs[1];
    show(run, both);
  }
  FusedRun run(alone);
  setData(run, both);
  run.checkNear(1e-2);
  ASSERT_EQ(run.outputs.size(), 1u);
  EXPECT_TRUE(run.outputs[0] == codes);
  show(run, alone);
}

const char kNvfp4[] = "recipe(\"trt-dynamic\") global(%s)";

TEST(FusedKernel, GatedToNvfp4) {
  for (int64_t m : {1, 5, 37, 200})
    checkQuantized(m, 320, 96, "!nq.nvfp4", "!nq.nvfp4", kNvfp4);
  for (int64_t n : {24, 40, 272, 1000})
    checkQuantized(9, n, 32, "!nq.nvfp4", "!nq.nvfp4", kNvfp4);
  for (int64_t m : {1, 200})
    checkQuantized(m, 320, 96, "!nq.nvfp4", "!nq.nvfp4", kNvfp4, "!nq.nvfp4");
}

TEST(FusedKernel, GatedToMx) {
  for (int64_t m : {1, 64})
    for (int64_t n : {256, 4304, 40})
      checkQuantized(m, n, 64, "!nq.mxfp8", "!nq.mxfp8",
                     "recipe(\"modelopt\")");
  checkQuantized(7, 304, 64, "!nq.mxfp4", "!nq.mxfp4", "recipe(\"ocp\")");
}

TEST(FusedKernel, GatedToOneScale) {
  for (int64_t m : {1, 37})
    for (int64_t n : {33, 512}) {
      checkQuantized(m, n, 64, "!nq.fp8", "!nq.fp8", "scale(%s)");
      checkQuantized(m, n, 64, "f16", "!nq.scaled<si8, f32 per tensor>",
                     "scale(%s)");
    }
}

//===----------------------------------------------------------------------===//
// Other tails
//===----------------------------------------------------------------------===//

TEST(FusedKernel, BiasAndGelu) {
  for (int64_t m : {1, 5, 37, 200})
    for (int64_t n : {24, 304}) {
      KernelText text;
      string x = text.argument(tensor({2, m, 48}, "f16"));
      string w = text.argument(weight(n, 48, "!nq.nvfp4"));
      string bias = text.argument(tensor({n}, "f16"));
      string type = tensor({2, m, n}, "f16");
      string y = text.matmul(x, w, type);
      y = text.map({y, bias}, {"", "d2"}, type, 3,
                   "%y = arith.addf %x0, %x1 : f16");
      y = text.map({y}, {}, type, 3,
                   string(kGelu) + "%y = arith.truncf %g : f32 to f16");
      check(text.finish({y}), 1e-3);
    }
}

TEST(FusedKernel, ResidualInAnyPrecision) {
  for (string element : {"f32", "bf16"})
    for (int64_t m : {3, 37}) {
      KernelText text;
      string x = text.argument(tensor({1, m, 64}, element));
      string w = text.argument(weight(200, 64, "!nq.fp8"));
      string type = tensor({1, m, 200}, element);
      string residual = text.argument(type);
      string gate = text.argument(tensor({1, 1, 200}, element));
      string y = text.matmul(x, w, type);
      y = text.map({y, gate}, {"", "d0, 0, d2"}, type, 3,
                   "%y = arith.mulf %x0, %x1 : " + element);
      y = text.map({y, residual}, {}, type, 3,
                   "%y = arith.addf %x0, %x1 : " + element);
      check(text.finish({y}), element == "f32" ? 1e-5 : 1e-2);
    }
}

TEST(FusedKernel, SeveralResults) {
  for (int64_t m : {4, 29}) {
    KernelText text;
    string h = gated(text, m, 112, 64, "!nq.nvfp4");
    string wide =
        text.op("nq.cast " + h, text.types[h], tensor({1, m, 112}, "f32"));
    // %v3 and %v4 are the products.
    check(text.finish({wide, "%v4", h, "%v3"}), 1e-3);
  }
}

/// x = product + residual, rounded to `element`, and the statistics of what is
/// stored.
void checkStatistics(int64_t m, int64_t n, const string &element,
                     const string &kind, int64_t tile) {
  KernelText text;
  string x = text.argument(tensor({m, 64}, "f16"));
  string w = text.argument(weight(n, 64, "!nq.nvfp4"));
  string type = tensor({m, n}, element);
  string residual = text.argument(type);
  string y = text.matmul(x, w, type);
  y = text.map({y, residual}, {}, type, 2,
               "%y = arith.addf %x0, %x1 : " + element);
  string sums = tensor({m, (n + tile - 1) / tile}, "f32");
  std::vector<string> results{y};
  string names, types;
  for (int i = 0; i < (kind == "layer" ? 2 : 1); ++i) {
    results.push_back(text.value(sums));
    names += (i ? ", " : "") + results.back();
    types += (i ? ", " : "") + sums;
  }
  auto statistics = [&](const string &to, const string &of) {
    return to + " = nq.statistics " + kind + " " + of + " tile " +
           to_string(tile) + " : (" + type + ") -> (" + types + ")\n";
  };
  text.append(statistics(names, y));
  string kernel = text.finish(results);
  FusedRun run(kernel);
  setData(run, kernel);
  run.checkNear(element == "f32" ? 1e-5 : 1e-2);
  run.checkSums("func.func @k(%x: " + type + ") -> (" + types + ") {\n" +
                    statistics(names, "%x") + "return " + names + " : " +
                    types + "\n}\n",
                n);
  show(run, kernel);
}

/// Any split into tasks gives the same sums (checkParts): nobody adds to what
/// another one has summed.
TEST(FusedKernel, StatisticsOfStoredRows) {
  for (string kind : {"rms", "layer"})
    for (string element : {"f32", "f16", "bf16"})
      for (int64_t m : {1, 29, 194}) {
        checkStatistics(m, 333, element, kind, 128);
        checkStatistics(m, 512, element, kind, 128);
      }
}

TEST(FusedKernel, StatisticsOfAnyTiles) {
  for (string kind : {"rms", "layer"})
    for (int64_t tile : {2, 16, 48, 100, 128, 1000})
      for (int64_t n : {3, 64, 250})
        checkStatistics(13, n, "bf16", kind, tile);
  checkStatistics(13, 64, "bf16", "rms", 1);
}

/// A product without an epilogue: what is stored is a copy of its strip.
TEST(FusedKernel, StatisticsOfTheProductItself) {
  KernelText text;
  string x = text.argument(tensor({13, 64}, "f16"));
  string w = text.argument(weight(250, 64, "!nq.nvfp4"));
  string y = text.matmul(x, w, tensor({13, 250}, "bf16"));
  string sums = text.op("nq.statistics rms " + y + " tile 128",
                        "(tensor<13x250xbf16>)", tensor({13, 2}, "f32"));
  check(text.finish({y, sums}), 1e-2);
}

#ifndef NIBBLE_TEST_GPU_PRODUCTS
TEST(FusedKernelErrors, TilesTooLongForABlock) {
  KernelText text;
  string x = text.argument(tensor({13, 64}, "f16"));
  string w = text.argument(weight(5000, 64, "!nq.nvfp4"));
  string y = text.matmul(x, w, tensor({13, 5000}, "bf16"));
  string sums = text.op("nq.statistics rms " + y + " tile 2500",
                        "(tensor<13x5000xbf16>)", tensor({13, 2}, "f32"));
  FusedRun run(text.finish({y, sums}));
  EXPECT_NE(run.error.find("that belong together are longer than a block"),
            string::npos)
      << run.error;
}
#endif

TEST(FusedKernel, TransposedResult) {
  for (int64_t m : {5, 37}) {
    KernelText text;
    string x = text.argument(tensor({m, 64}, "f16"));
    string w = text.argument(weight(100, 64, "!nq.nvfp4"));
    string y = text.matmul(x, w, tensor({m, 100}, "f16"));
    y = text.map({y}, {"d1, d0"}, tensor({100, m}, "f16"), 2,
                 "%y = arith.negf %x0 : f16");
    check(text.finish({y}), 1e-3);
  }
}

TEST(FusedKernel, RunTimeOperand) {
  KernelText text;
  string x = text.argument(tensor({9, 64}, "f16"));
  string w = text.argument(tensor({40, 64}, "f16"));
  string y = text.matmul(x, w, tensor({9, 40}, "f16"));
  y = text.map({y}, {}, tensor({9, 40}, "f16"), 2, "%y = arith.negf %x0 : f16");
  check(text.finish({y}), 1e-3);
}

//===----------------------------------------------------------------------===//
// Heads
//===----------------------------------------------------------------------===//

/// x w as [B, H, S, D].
string heads(KernelText &text, const string &x, int64_t batch, int64_t rows,
             int64_t count, int64_t size, const string &element) {
  int64_t n = count * size;
  string w = text.argument(weight(n, 64, element));
  string y = text.matmul(x, w, tensor({batch, rows, n}, "f16"));
  string split = tensor({batch, rows, count, size}, "f16");
  string shape = to_string(batch) + ", " + to_string(rows) + ", " +
                 to_string(count) + ", " + to_string(size);
  string from = text.types[y];
  string s = text.value(split);
  text.append(s + " = tensor.expand_shape " + y +
              " [[0], [1], [2, 3]] output_shape [" + shape + "] : " + from +
              " into " + split + "\n");
  return text.map({s}, {"d0, d2, d1, d3"},
                  tensor({batch, count, rows, size}, "f16"), 4,
                  "%y = arith.addf %x0, %x0 : f16");
}

/// Q and K rotated, K quantized, V as it is; the numbers of heads differ.
void checkQkv(int64_t batch, int64_t rows, int64_t count, int64_t kvCount,
              int64_t size, const string &mode) {
  KernelText text;
  string x = text.argument(tensor({batch, rows, 64}, "f16"));
  string table = tensor({1, rows, size / 2}, "f32");
  string cos = text.argument(table), sin = text.argument(table);
  auto rotate = [&](const string &y) {
    string type = text.types[y];
    return text.op("nq.rope " + y + ", " + cos + ", " + sin + mode,
                   "(" + type + ", " + table + ", " + table + ")", type);
  };
  string q = rotate(heads(text, x, batch, rows, count, size, "!nq.nvfp4"));
  string k = rotate(heads(text, x, batch, rows, kvCount, size, "!nq.nvfp4"));
  string v = heads(text, x, batch, rows, kvCount, size, "!nq.fp8");
  string s = text.argument("tensor<f32>");
  string codes = text.quantize(k, "scale(" + s + " : tensor<f32>)",
                               tensor({batch, kvCount, rows, size}, "!nq.fp8"));
  check(text.finish({q, codes, v}), 1e-2);
}

TEST(FusedKernel, QkvWithRope) {
  for (int64_t rows : {1, 5, 37, 200})
    checkQkv(1, rows, 8, 1, 64, "");
  checkQkv(2, 11, 4, 4, 72, "");
  checkQkv(1, 9, 3, 1, 256, " {interleaved}");
  checkQkv(3, 2, 2, 1, 20, "");
}

TEST(FusedKernel, HeadsToBlockScales) {
  for (int64_t rows : {3, 50}) {
    KernelText text;
    string x = text.argument(tensor({1, rows, 64}, "f16"));
    string y = heads(text, x, 1, rows, 4, 48, "!nq.nvfp4");
    string s = text.argument("tensor<f32>");
    string q = text.quantize(
        y, "recipe(\"trt-dynamic\") global(" + s + " : tensor<f32>)",
        tensor({1, 4, rows, 48}, "!nq.nvfp4"));
    check(text.finish({q}), 1e-2);
  }
}

} // namespace
