// Speed of typical loop kernels on one thread; not a test.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LoopKernelHarness.h"

using namespace nibble::test;

static std::string map(const std::string &type, const std::string &ops,
                       const std::string &element) {
  std::string shaped = "tensor<" + type + ">";
  return "func.func @k(%a: " + shaped + ") -> " + shaped +
         " {\n%e = tensor.empty() : " + shaped +
         "\n%r = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, "
         "b)>, affine_map<(a, b) -> (a, b)>], iterator_types = [\"parallel\", "
         "\"parallel\"]} ins(%a : " +
         shaped + ") outs(%e : " + shaped + ") {\n^bb0(%x: " + element +
         ", %o: " + element + "):\n" + ops + "\nlinalg.yield %y : " + element +
         "\n} -> " + shaped + "\nreturn %r : " + shaped + "\n}";
}

static std::string unary(const std::string &in, const std::string &out,
                         const std::string &op, const std::string &more = "") {
  return "func.func @k(%a: tensor<" + in + ">" + more + ") -> tensor<" + out +
         "> {\n" + op + "\nreturn %r : tensor<" + out + ">\n}";
}

static void report(const char *name, const std::string &text, double bytes) {
  LoopKernelRun run(text);
  if (!run.ok()) {
    printf("%-36s %s\n", name, run.error.c_str());
    return;
  }
  if (const char *folder = getenv("NIBBLE_DUMP_KERNELS")) {
    std::string base = std::string(folder) + "/" + name;
    for (char &c : base)
      if (c == ' ')
        c = '_';
    FILE *file = fopen((base + ".s").c_str(), "w");
    fputs(run.assembly.c_str(), file);
    fclose(file);
    file = fopen((base + ".mlir").c_str(), "w");
    fputs(run.loops.c_str(), file);
    fclose(file);
  }
  double ms = run.time(7);
  printf("%-36s %9.3f ms %8.2f GB/s  extent %lld grain %lld\n", name, ms,
         bytes / ms * 1e-6, (long long)run.info.extent,
         (long long)run.info.grain);
}

int main() {
  std::string gelu = "%h = arith.constant 0.5 : f32\n"
                     "%q = arith.constant 0.707106781 : f32\n"
                     "%one = arith.constant 1.0 : f32\n"
                     "%s = arith.mulf %x, %q : f32\n"
                     "%t = math.erf %s : f32\n"
                     "%p = arith.addf %t, %one : f32\n"
                     "%m = arith.mulf %x, %h : f32\n"
                     "%y = arith.mulf %m, %p : f32";
  std::string tanhGelu =
      "%h = arith.constant 0.5 : f32\n%q = arith.constant 0.79788456 : f32\n"
      "%w = arith.constant 0.044715 : f32\n%one = arith.constant 1.0 : f32\n"
      "%x2 = arith.mulf %x, %x : f32\n%x3 = arith.mulf %x2, %x : f32\n"
      "%wx = arith.mulf %x3, %w : f32\n%in = arith.addf %x, %wx : f32\n"
      "%s = arith.mulf %in, %q : f32\n%t = math.tanh %s : f32\n"
      "%p = arith.addf %t, %one : f32\n%m = arith.mulf %x, %h : f32\n"
      "%y = arith.mulf %m, %p : f32";
  double big = 970.0 * 16384;
  report("add f32 1M",
         map("1024x1024xf32", "%y = arith.addf %x, %x : f32", "f32"),
         8.0 * 1048576);
  report("gelu erf f32 1M", map("1024x1024xf32", gelu, "f32"), 8.0 * 1048576);
  report("gelu erf f32 128x1536", map("128x1536xf32", gelu, "f32"),
         8.0 * 128 * 1536);
  report("gelu tanh f32 1M", map("1024x1024xf32", tanhGelu, "f32"),
         8.0 * 1048576);
  report("exp f32 1M", map("1024x1024xf32", "%y = math.exp %x : f32", "f32"),
         8.0 * 1048576);
  report("mul f16 1M",
         map("1024x1024xf16", "%y = arith.mulf %x, %x : f16", "f16"),
         4.0 * 1048576);
  report("mul bf16 1M",
         map("1024x1024xbf16", "%y = arith.mulf %x, %x : bf16", "bf16"),
         4.0 * 1048576);
  for (std::string type : {"12x128x128xf32", "12x128x128xf16"})
    report(("softmax " + type).c_str(),
           unary(type, type,
                 "%e = tensor.empty() : tensor<" + type +
                     ">\n%r = linalg.softmax dimension(2) ins(%a : tensor<" +
                     type + ">) outs(%e : tensor<" + type + ">) -> tensor<" +
                     type + ">"),
           (type[10] == 'x' ? 8.0 : 8.0) * 12 * 128 * 128);
  report("layernorm 128x384 f32",
         "func.func @k(%a: tensor<128x384xf32>, %s: tensor<384xf32>, %b: "
         "tensor<384xf32>) -> tensor<128x384xf32> {\n%r = nq.norm layer %a "
         "scale(%s : tensor<384xf32>) bias(%b : tensor<384xf32>) {axis = 1 : "
         "i64, epsilon = 1.0e-5 : f64} : tensor<128x384xf32> -> "
         "tensor<128x384xf32>\nreturn %r : tensor<128x384xf32>\n}",
         8.0 * 128 * 384);
  report("rmsnorm 970x2048 bf16",
         "func.func @k(%a: tensor<970x2048xbf16>, %s: tensor<2048xf32>) -> "
         "tensor<970x2048xbf16> {\n%r = nq.norm rms %a scale(%s : "
         "tensor<2048xf32>) {axis = 1 : i64, epsilon = 1.0e-5 : f64} : "
         "tensor<970x2048xbf16> -> tensor<970x2048xbf16>\nreturn %r : "
         "tensor<970x2048xbf16>\n}",
         4.0 * 970 * 2048);
  for (std::string from : {"f32", "f16"})
    for (std::string recipe : {"trt-dynamic", "modelopt-torch"})
      report(("nvfp4 " + recipe + " 970x16384 " + from).c_str(),
             unary("970x16384x" + from, "970x16384x!nq.nvfp4",
                   "%r = nq.quantize %a recipe(\"" + recipe +
                       "\") global(%g : tensor<f32>) : tensor<970x16384x" +
                       from + "> -> tensor<970x16384x!nq.nvfp4>",
                   ", %g: tensor<f32>"),
             big * ((from == "f32" ? 4 : 2) + 0.5625));
  report("mxfp8 970x16384 f32",
         unary("970x16384xf32", "970x16384x!nq.mxfp8",
               "%r = nq.quantize %a recipe(\"modelopt\") : "
               "tensor<970x16384xf32> -> tensor<970x16384x!nq.mxfp8>"),
         big * 5);
  for (std::string from : {"f32", "f16"})
    report(
        ("fp8 static 970x16384 " + from).c_str(),
        unary(
            "970x16384x" + from, "970x16384x!nq.fp8",
            "%r = nq.quantize %a scale(%s : tensor<f32>) : tensor<970x16384x" +
                from + "> -> tensor<970x16384x!nq.fp8>",
            ", %s: tensor<f32>"),
        big * (from == "f32" ? 5 : 3));
  report(
      "int8 static 970x2048 f32",
      unary(
          "970x2048xf32", "970x2048x!nq.scaled<si8, f32 per tensor>",
          "%r = nq.quantize %a scale(%s : tensor<f32>) : tensor<970x2048xf32> "
          "-> tensor<970x2048x!nq.scaled<si8, f32 per tensor>>",
          ", %s: tensor<f32>"),
      970.0 * 2048 * 5);
  for (std::string type : {"!nq.nvfp4", "!nq.fp8", "!nq.mxfp8"})
    report(("dequantize 970x2048 f32 " + type).c_str(),
           unary("970x2048x" + type, "970x2048xf32",
                 "%r = nq.dequantize %a : tensor<970x2048x" + type +
                     "> -> tensor<970x2048xf32>"),
           970.0 * 2048 * 5);
  report("transpose 1024x1024 f32",
         unary("1024x1024xf32", "1024x1024xf32",
               "%e = tensor.empty() : tensor<1024x1024xf32>\n%r = "
               "linalg.transpose ins(%a : tensor<1024x1024xf32>) outs(%e : "
               "tensor<1024x1024xf32>) permutation = [1, 0]"),
         8.0 * 1048576);
  report("transpose 1x128x12x64 heads f32",
         unary("1x128x12x64xf32", "1x12x128x64xf32",
               "%e = tensor.empty() : tensor<1x12x128x64xf32>\n%r = "
               "linalg.transpose ins(%a : tensor<1x128x12x64xf32>) outs(%e : "
               "tensor<1x12x128x64xf32>) permutation = [0, 2, 1, 3]"),
         8.0 * 128 * 12 * 64);
  report("transpose 1x128x12x64 keys f32",
         unary("1x128x12x64xf32", "1x12x64x128xf32",
               "%e = tensor.empty() : tensor<1x12x64x128xf32>\n%r = "
               "linalg.transpose ins(%a : tensor<1x128x12x64xf32>) outs(%e : "
               "tensor<1x12x64x128xf32>) permutation = [0, 2, 3, 1]"),
         8.0 * 128 * 12 * 64);
  std::string reduce =
      "%c = arith.constant 0.0 : f32\n%e = tensor.empty() : "
      "tensor<1024xf32>\n%f = linalg.fill ins(%c : f32) outs(%e : "
      "tensor<1024xf32>) -> tensor<1024xf32>\n%r = linalg.generic "
      "{indexing_maps = [affine_map<(a, b) -> (a, b)>, affine_map<(a, b) -> "
      "(MAP)>], iterator_types = [ITER]} ins(%a : tensor<1024x1024xf32>) "
      "outs(%f : tensor<1024xf32>) {\n^bb0(%x: f32, %o: f32):\n%y = arith.addf "
      "%x, %o : f32\nlinalg.yield %y : f32\n} -> tensor<1024xf32>";
  auto replaced = [&](const std::string &dim, const std::string &iterators) {
    std::string text = reduce;
    text.replace(text.find("MAP"), 3, dim);
    text.replace(text.find("ITER"), 4, iterators);
    return unary("1024x1024xf32", "1024xf32", text);
  };
  report("sum rows 1024x1024", replaced("a", "\"parallel\", \"reduction\""),
         4.0 * 1048576);
  report("sum columns 1024x1024", replaced("b", "\"reduction\", \"parallel\""),
         4.0 * 1048576);
}
