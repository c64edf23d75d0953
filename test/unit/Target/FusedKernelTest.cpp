// Kernels of matrix products and what follows them, compiled and compared with
// the reference interpreter.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "FusedKernelHarness.h"

using namespace nibble::test;
using std::string;
using std::to_string;

namespace {

string tensor(std::initializer_list<int64_t> shape, const string &element) {
  string text = "tensor<";
  for (int64_t extent : shape)
    text += to_string(extent) + "x";
  return text + element + ">";
}

/// A weight [N, K] in panels.
string weight(int64_t n, int64_t k, const string &element) {
  string panels = "tiles [[16], []] order [0, 2, 1]", codes = panels;
  bool fourBit = element == "!nq.nvfp4" || element == "!nq.mxfp4";
  if (fourBit)
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

void check(const string &text, double limit) {
  FusedKernelRun run(text);
  // Products around 1, far from the limits of f16: codes of FP8 are large.
  bool fp8 = text.find("fp8, #nq.layout") != string::npos;
  run.checks.scale = 0.25;
  run.checks.lowScale = fp8 ? -10 : -6;
  run.checks.highScale = fp8 ? -7 : -3;
  run.checkNear(limit);
  if (testing::Test::HasFailure())
    fprintf(stderr, "%s\n%s\n", text.c_str(),
            getenv("NIBBLE_SHOW_LOOPS") ? run.loops.c_str() : "");
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
             const string &element) {
  string x = text.argument(tensor({1, m, k}, "f16"));
  string wg = text.argument(weight(n, k, element));
  string wu = text.argument(weight(n, k, element));
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

} // namespace
