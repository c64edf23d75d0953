// Kernels whose sizes matter to the GPU: long rows, many rows, folds by warps,
// by blocks and in parts; and updates of states in place. The kernels of
// LoopKernelTest.cpp run on the GPU, too.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GpuLoopHarness.h"

using namespace nibble;
using namespace nibble::test;

namespace {

std::string tensor(const std::string &shape, const std::string &element) {
  return "tensor<" + shape + (shape.empty() ? "" : "x") + element + ">";
}

void check(const std::string &signature, const std::string &body,
           Checks checks = {}, unsigned seeds = 2) {
  std::string text = "func.func @k" + signature + " {\n" + body + "\n}\n";
  GpuLoopRun run(text);
  for (unsigned seed = 1; seed <= seeds; ++seed)
    run.check(checks, seed);
  if (testing::Test::HasFailure())
    fprintf(stderr, "%s\n", text.c_str());
}

Checks within(double relative, double absolute) {
  Checks checks;
  checks.relative = relative;
  checks.absolute = absolute;
  return checks;
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

void checkSoftmax(const std::string &shape, const std::string &element, int dim,
                  Checks checks) {
  std::string t = tensor(shape, element);
  check("(%a: " + t + ") -> " + t,
        "%e = tensor.empty() : " + t + "\n%r = linalg.softmax dimension(" +
            std::to_string(dim) + ") ins(%a : " + t + ") outs(%e : " + t +
            ") -> " + t + "\nreturn %r : " + t,
        checks);
}

TEST(GpuLoopKernel, SoftmaxOfLongAndManyRows) {
  for (std::string shape : {"3x5000", "2x20000", "3x1027", "700x40", "1100x7",
                            "5x2048", "1x30001", "2x130x256"})
    checkSoftmax(shape, "f32", std::count(shape.begin(), shape.end(), 'x'),
                 within(1e-5, 1e-7));
  checkSoftmax("2x4096", "f16", 1, within(2e-3, 1e-7));
  // Rows that are not aligned, by warps and by several of them; some blocks
  // have rows left over.
  for (std::string shape : {"37x970", "3x971", "1x1x970", "9x2x33", "5x12"})
    checkSoftmax(shape, "f16", std::count(shape.begin(), shape.end(), 'x'),
                 within(2e-3, 1e-7));
  checkSoftmax("2600x97", "f16", 1, within(2e-3, 1e-7));
  checkSoftmax("130x300", "bf16", 1, within(1e-2, 1e-7));
  // Rows along an outer dimension, of one row and of many.
  checkSoftmax("300x70", "f32", 0, within(1e-5, 1e-7));
  checkSoftmax("3000x200", "f32", 0, within(1e-5, 1e-7));
  checkSoftmax("40x30x17", "f32", 1, within(1e-5, 1e-7));
}

void checkNorm(const std::string &kind, const std::string &shape,
               const std::string &element, int axis, Checks checks) {
  std::string t = tensor(shape, element);
  std::string last = shape.substr(shape.rfind('x') + 1),
              s = tensor(last, element);
  check("(%a: " + t + ", %s: " + s + ") -> " + t,
        "%r = nq.norm " + kind + " %a scale(%s : " + s + ") {axis = " +
            std::to_string(axis) + " : i64, epsilon = 1.0e-6 : f64} : " + t +
            " -> " + t + "\nreturn %r : " + t,
        checks);
}

TEST(GpuLoopKernel, NormsOfLongAndManyRows) {
  for (std::string kind : {"rms", "layer"}) {
    checkNorm(kind, "3x4100", "f32", 1, within(1e-4, 1e-4));
    checkNorm(kind, "5x2048", "f16", 1, within(2e-3, 1e-3));
    checkNorm(kind, "2x12289", "f32", 1, within(1e-4, 1e-4));
    checkNorm(kind, "700x33", "f32", 1, within(1e-4, 1e-4));
    checkNorm(kind, "2x300x64", "f32", 2, within(1e-4, 1e-4));
    checkNorm(kind, "1x16384", "bf16", 1, within(1e-2, 1e-2));
    checkNorm(kind, "1x3x60000", "f32", 1, within(1e-3, 1e-3));
    checkNorm(kind, "3x1000", "f16", 1, within(2e-3, 1e-3));
    checkNorm(kind, "1100x264", "bf16", 1, within(1e-2, 1e-2));
    checkNorm(kind, "2x7x5", "f32", 2, within(1e-4, 1e-4));
    checkNorm(kind, "2x31999", "f16", 1, within(2e-3, 1e-3));
  }
}

/// A kernel whose pieces are looked at one by one.
struct PartialRun : GpuLoopRun {
  using GpuLoopRun::Buffers;
  using GpuLoopRun::GpuLoopRun;
  using LoopKernelRun::compare;
  using LoopKernelRun::makeInputs;
  using LoopKernelRun::runReference;
};

/// A norm that is quantized in the same kernel: the norm within its bound, and
/// exactly the codes of what the norm gave, which a sum in another order may
/// have moved across the border of two codes. `before`: ops on the norm %n,
/// or on the scale %g, for the operands of `quantize`.
void checkNormAndQuantize(const std::string &kind, const std::string &shape,
                          const std::string &element, const std::string &type,
                          const std::string &quantize,
                          const std::string &before = "") {
  SCOPED_TRACE(kind + " " + shape + " " + type);
  std::string t = tensor(shape, element), q = tensor(shape, type),
              g = "tensor<f32>";
  std::string scale = tensor(shape.substr(shape.rfind('x') + 1), element);
  std::string end =
      before + "%r = nq.quantize %n " + quantize + " : " + t + " -> " + q;
  PartialRun run(
      "func.func @k(%a: " + t + ", %s: " + scale + ", %g: " + g + ") -> (" + t +
      ", " + q + ") {\n%n = nq.norm " + kind + " %a scale(%s : " + scale +
      ") {axis = 1 : i64, epsilon = 1.0e-6 : f64} : " + t + " -> " + t + "\n" +
      end + "\nreturn %n, %r : " + t + ", " + q + "\n}\n");
  PartialRun codes("func.func @k(%n: " + t + ", %g: " + g + ") -> " + q +
                   " {\n" + end + "\nreturn %r : " + q + "\n}\n");
  Checks checks = element == "f32" ? within(1e-4, 1e-4) : within(1e-2, 1e-3);
  auto inputs = run.makeInputs(checks);
  auto outputs = run.runOnGpu(inputs);
  auto norm = run.runReference(inputs);
  auto quantized = codes.runReference({outputs[0], inputs[2]});
  ASSERT_TRUE(mlir::succeeded(norm) && mlir::succeeded(quantized));
  run.compare(0, outputs[0], (*norm)[0], checks);
  codes.compare(0, outputs[1], (*quantized)[0], checks);
}

TEST(GpuLoopKernel, NormAndQuantize) {
  for (std::string kind : {"rms", "layer"})
    for (std::string shape :
         {"9x2048", "5x1152", "7x96", "6x640", "150x352", "2x16384"})
      for (std::string element : {"f32", "f16", "bf16"}) {
        checkNormAndQuantize(
            kind, shape, element, "!nq.nvfp4",
            "recipe(\"trt-dynamic\") global(%g : tensor<f32>)");
        checkNormAndQuantize(kind, shape, element, "!nq.mxfp8",
                             "recipe(\"modelopt\")");
        checkNormAndQuantize(kind, shape, element, "!nq.fp8",
                             "scale(%g : tensor<f32>)");
      }
}

/// %t: for each of `rows` x `blocks` blocks of %n, its largest magnitude / 448.
std::string scalesOf(int rows, int blocks, int width,
                     const std::string &element) {
  auto shape = [&](std::string sizes) {
    return tensor(std::to_string(rows) + "x" + sizes, element);
  };
  std::string all = shape(std::to_string(blocks * width)),
              cut = shape(std::to_string(blocks) + "x" + std::to_string(width)),
              scales = tensor(
                  std::to_string(rows) + "x" + std::to_string(blocks), "f32");
  std::string wide = element == "f32"
                         ? "%w = arith.mulf %p, %one : f32"
                         : "%w = arith.extf %p : " + element + " to f32";
  return "%b = tensor.expand_shape %n [[0], [1, 2]] output_shape [" +
         std::to_string(rows) + ", " + std::to_string(blocks) + ", " +
         std::to_string(width) + "] : " + all + " into " + cut +
         "\n%z = arith.constant 0.0 : f32\n%one = arith.constant 1.0 : f32\n"
         "%me = tensor.empty() : " +
         scales + "\n%mf = linalg.fill ins(%z : f32) outs(%me : " + scales +
         ") -> " + scales +
         "\n%m = linalg.generic {indexing_maps = [affine_map<(a, b, c) -> (a, "
         "b, c)>, affine_map<(a, b, c) -> (a, b)>], iterator_types = "
         "[\"parallel\", \"parallel\", \"reduction\"]} ins(%b : " +
         cut + ") outs(%mf : " + scales + ") {\n^bb0(%p: " + element +
         ", %o: f32):\n" + wide +
         "\n%y = math.absf %w : f32\n%v = arith.maximumf %o, %y : f32\n"
         "linalg.yield %v : f32\n} -> " +
         scales +
         "\n%t = linalg.generic {indexing_maps = [affine_map<(a, b) -> (a, "
         "b)>, "
         "affine_map<(a, b) -> (a, b)>], iterator_types = [\"parallel\", "
         "\"parallel\"]} ins(%m : " +
         scales + ") outs(%me : " + scales +
         ") {\n^bb0(%p: f32, %o: f32):\n%c = arith.constant 0.00223214286 : "
         "f32\n%l = arith.constant 1.0e-12 : f32\n%y = arith.mulf %p, %c : "
         "f32\n%v = arith.maximumf %y, %l : f32\nlinalg.yield %v : f32\n} -> " +
         scales + "\n";
}

/// Scales in f32, of tokens and of blocks, that are found beside the norm.
TEST(GpuLoopKernel, NormAndQuantizeByToken) {
  struct Case {
    int rows, blocks, width;
  };
  for (std::string element : {"f32", "f16", "bf16"})
    for (Case c : {Case{9, 1, 1152}, Case{5, 9, 128}, Case{3, 16, 128},
                   Case{130, 1, 256}, Case{2, 1, 16384}}) {
      std::string scales = tensor(
          std::to_string(c.rows) + "x" + std::to_string(c.blocks), "f32");
      checkNormAndQuantize(
          c.blocks == 9 ? "layer" : "rms",
          std::to_string(c.rows) + "x" + std::to_string(c.blocks * c.width),
          element,
          "!nq.scaled<f8E4M3FN, f32 per 1x" + std::to_string(c.width) + ">",
          "scale(%t : " + scales + ")",
          scalesOf(c.rows, c.blocks, c.width, element));
    }
}

//===----------------------------------------------------------------------===//
// Scales in tiles
//===----------------------------------------------------------------------===//

/// `got`, with what rows of padding should be in place of what they are: nobody
/// reads them. Columns of padding stay.
std::vector<char> withoutRowsOfPadding(mlir::RankedTensorType type,
                                       std::vector<char> got,
                                       const std::vector<char> &want) {
  auto grid = nq::getScaledElement(type).getScaleGrid(type.getShape());
  nq::LayoutAttr layout = nq::getLayout(type).getScales();
  int64_t first = nq::getStorageRegions(type).scales;
  for (int64_t i = 0; i < layout.getStorageSize(grid); ++i)
    if (layout.getIndex(i, grid)[grid.size() - 2] >= grid[grid.size() - 2])
      got[first + i] = want[first + i];
  return got;
}

/// Scales in tiles of 128x4. With `normed`, behind a norm, whose result is
/// quantized as it came out.
void checkTiles(const std::string &shape, const std::string &element,
                const std::string &format, bool normed, size_t launches = 1) {
  SCOPED_TRACE(shape + " " + element + " " + format);
  bool isBatched = std::count(shape.begin(), shape.end(), 'x') == 2;
  std::string layout = isBatched
                           ? "tiles [[], [], []] order [0, 1, 2] scales "
                             "<tiles [[], [4, 32], [4]] order [0, 1, 4, 3, "
                             "2, 5]>"
                           : "tiles [[], []] order [0, 1] scales <tiles "
                             "[[4, 32], [4]] order [0, 3, 2, 1, 4]>";
  std::string t = tensor(shape, element), q = tensor(shape, "!nq." + format),
              l = tensor(shape,
                         "!nq." + format + ", #nq.layout<" + layout + ">"),
              c = tensor(shape.substr(shape.rfind('x') + 1), element);
  std::string recipe = format == "nvfp4" ? "recipe(\"trt-dynamic\") global(%g "
                                           ": tensor<f32>)"
                                         : "recipe(\"modelopt\")";
  std::string end = "%q = nq.quantize %n " + recipe + " : " + t + " -> " + q +
                    "\n%r = nq.reformat %q : " + q + " -> " + l + "\n";
  std::string codesText = "func.func @k(%n: " + t + ", %g: tensor<f32>) -> " +
                          l + " {\n" + end + "return %r : " + l + "\n}\n";
  std::string text = codesText;
  if (normed)
    text = "func.func @k(%a: " + t + ", %g: tensor<f32>, %s: " + c + ") -> (" +
           l + ", " + t + ") {\n%n = nq.norm rms %a scale(%s : " + c +
           ") {axis = " + (isBatched ? "2" : "1") +
           " : i64, epsilon = 1.0e-6 : f64} : " + t + " -> " + t + "\n" + end +
           "return %r, %n : " + l + ", " + t + "\n}\n";
  PartialRun run(text), codes(codesText);
  EXPECT_EQ(run.gpuKernel.launches.size(), launches) << run.gpuCode;
  auto inputs = run.makeInputs({});
  auto outputs = run.runOnGpu(inputs);
  if (normed)
    inputs[0] = outputs[1];
  auto wanted = codes.runReference({inputs[0], inputs[1]});
  ASSERT_TRUE(mlir::succeeded(wanted));
  const auto &want = (*wanted)[0];
  codes.compare(
      0, withoutRowsOfPadding(want.getType(), outputs[0], want.toStorage()),
      want, {});
}

TEST(GpuLoopKernel, QuantizesIntoTilesOfScales) {
  for (std::string element : {"f32", "f16", "bf16"})
    for (bool normed : {false, true})
      for (std::string format : {"nvfp4", "mxfp8"})
        for (std::string shape :
             {"1x129x384", "7x64", "300x160", "1x1x2048", "5x1184", "2x3x96"})
          checkTiles(shape, element, format, normed);
  // Through shared memory, and as loops over all elements.
  checkTiles("66x24608", "f16", "nvfp4", false);
  checkTiles("3x32800", "f16", "nvfp4", false, 3);
}

TEST(GpuLoopKernel, LargeQuantize) {
  std::string t = "tensor<70x1030xf16>", q = "tensor<70x1030x!nq.fp8>";
  check("(%a: " + t + ", %s: tensor<f32>) -> " + q,
        "%r = nq.quantize %a scale(%s : tensor<f32>) : " + t + " -> " + q +
            "\nreturn %r : " + q);
  t = "tensor<300x512xf32>", q = "tensor<300x512x!nq.nvfp4>";
  check("(%a: " + t + ", %g: tensor<f32>) -> " + q,
        "%r = nq.quantize %a recipe(\"trt-dynamic\") global(%g : tensor<f32>) "
        ": " +
            t + " -> " + q + "\nreturn %r : " + q);
}

/// Short rows whose elements are not those of one thread: warps of one block do
/// a row each, by shared memory of their own; the last block has fewer.
TEST(GpuLoopKernel, NormAndRotationByWarps) {
  for (std::string heads : {"1x2x700", "1x1x1061", "1x3x95"}) {
    std::string x = "tensor<" + heads + "x64xf16>",
                c = "tensor<1x" + heads.substr(4) + "x32xf16>",
                g = "tensor<64xf16>";
    std::string text =
        "(%x: " + x + ", %g: " + g + ", %c: " + c + ", %d: " + c + ") -> " + x;
    check(text,
          "%n = nq.norm rms %x scale(%g : " + g +
              ") {axis = 3 : i64, epsilon = 1.0e-6 : f64} : " + x + " -> " + x +
              "\n%r = nq.rope %n, %c, %d : (" + x + ", " + c + ", " + c +
              ") -> " + x + "\nreturn %r : " + x,
          within(4e-3, 4e-3), 1);
  }
}

/// Codes that are stored wider, alone and beside themselves: the same numbers.
TEST(GpuLoopKernel, QuantizeAndWiden) {
  auto widen = [](const std::string &shape, const std::string &from,
                  const std::string &to, const std::string &quantize) {
    std::string x = tensor(shape, "f16"), q = tensor(shape, from),
                w = tensor(shape, to);
    std::string body = "%q = nq.quantize %a " + quantize + " : " + x + " -> " +
                       q + "\n%w = nq.widen %q : " + q + " -> " + w + "\n";
    std::string rows = tensor("7x1", "f32"), g = tensor("", "f32");
    std::string signature = "(%a: " + x + ", %g: " + g + ", %s: " + rows + ")";
    check(signature + " -> " + w, body + "return %w : " + w);
    check(signature + " -> (" + q + ", " + w + ")",
          body + "return %q, %w : " + q + ", " + w);
  };
  std::string one = "scale(%g : tensor<f32>)", wide = "!nq.scaled<";
  for (std::string shape : {"7x50", "7x2048", "7x72"})
    for (std::string element : {"f16", "bf16"}) {
      widen(shape, "!nq.fp8", wide + element + ", f32 per tensor>", one);
      widen(shape, "!nq.scaled<f8E5M2, f32 per tensor>",
            wide + element + ", f32 per tensor>", one);
      widen(shape, "!nq.scaled<f8E4M3FN, f32 per 1x?>",
            wide + element + ", f32 per 1x?>", "scale(%s : tensor<7x1xf32>)");
    }
  for (std::string element : {"f16", "bf16"})
    widen("7x512", "!nq.nvfp4", wide + element + ", f32 per tensor>",
          "recipe(\"trt-dynamic\") global(%g : tensor<f32>)");
  for (std::string type : {"!nq.mxfp4", "!nq.mxfp8"})
    widen("7x512", type, "!nq.scaled<bf16, f32 per tensor>",
          "recipe(\"modelopt\")");
}

//===----------------------------------------------------------------------===//
// Reductions
//===----------------------------------------------------------------------===//

void checkFold(const std::string &in, const std::string &out,
               const std::string &dims, const std::string &outDims,
               const std::string &iterators, const std::string &type,
               const std::string &init, const std::string &op, Checks checks) {
  std::string a = tensor(in, type), r = tensor(out, type);
  SCOPED_TRACE(op + " " + in + " to " + out);
  check("(%a: " + a + ") -> " + r,
        "%c = arith.constant " + init + " : " + type +
            "\n%e = tensor.empty() : " + r + "\n%f = linalg.fill ins(%c : " +
            type + ") outs(%e : " + r + ") -> " + r +
            "\n%r = linalg.generic {indexing_maps = [affine_map<(" + dims +
            ") -> (" + dims + ")>, affine_map<(" + dims + ") -> (" + outDims +
            ")>], iterator_types = [" + iterators + "]} ins(%a : " + a +
            ") outs(%f : " + r + ") {\n^bb0(%x: " + type + ", %o: " + type +
            "):\n%y = " + op + " %o, %x : " + type + "\nlinalg.yield %y : " +
            type + "\n} -> " + r + "\nreturn %r : " + r,
        checks);
}

const char *const kInner = "\"parallel\", \"reduction\"";
const char *const kOuter = "\"reduction\", \"parallel\"";
const char *const kAll = "\"reduction\", \"reduction\"";

TEST(GpuLoopKernel, FoldsAlongRows) {
  for (std::string in :
       {"2x100000", "1x50001", "7x4096", "1000x33", "3000x64", "40x1000"}) {
    std::string out = in.substr(0, in.find('x'));
    checkFold(in, out, "a, b", "a", kInner, "f32", "0.5", "arith.addf",
              within(1e-5, 3e-2));
    checkFold(in, out, "a, b", "a", kInner, "f32", "0xFF800000",
              "arith.maximumf", within(0, 0));
  }
  Checks exact = within(0, 0);
  checkFold("3x5000", "3", "a, b", "a", kInner, "i64", "3", "arith.addi",
            exact);
  checkFold("3x5000", "3", "a, b", "a", kInner, "i8", "127", "arith.minsi",
            exact);
  checkFold("3x50000", "3", "a, b", "a", kInner, "i1", "0", "arith.xori",
            exact);
  checkFold("3x5000", "3", "a, b", "a", kInner, "f64", "0.0", "arith.addf",
            within(1e-12, 1e-9));
  checkFold("3x70000", "3", "a, b", "a", kInner, "f16", "0x7C00",
            "arith.minimumf", exact);
}

TEST(GpuLoopKernel, FoldsAlongColumns) {
  for (std::string in :
       {"3000x7", "5000x64", "100x3000", "20000x1", "257x129"}) {
    std::string out = in.substr(in.find('x') + 1);
    checkFold(in, out, "a, b", "b", kOuter, "f32", "0.5", "arith.addf",
              within(1e-5, 2e-2));
    checkFold(in, out, "a, b", "b", kOuter, "f32", "0x7F800000",
              "arith.minnumf", within(0, 0));
  }
  checkFold("5x70x6x80", "70x80", "a, b, c, d", "b, d",
            "\"reduction\", \"parallel\", \"reduction\", \"parallel\"", "f32",
            "0.0", "arith.addf", within(1e-5, 1e-3));
}

TEST(GpuLoopKernel, FoldsOfWholeTensors) {
  checkFold("300x1000", "", "a, b", "", kAll, "f32", "1.0", "arith.addf",
            within(1e-5, 5e-2));
  checkFold("301x997", "", "a, b", "", kAll, "i32", "0", "arith.addi",
            within(0, 0));
  checkFold("9x7", "", "a, b", "", kAll, "f32", "0xFF800000", "arith.maxnumf",
            within(0, 0));
}

TEST(GpuLoopKernel, NansInMaxima) {
  Checks special = within(0, 0);
  special.special = true;
  for (std::string op : {"arith.maximumf", "arith.maxnumf"})
    checkFold("50x700", "50", "a, b", "a", kInner, "f32", "0xFF800000", op,
              special);
}

//===----------------------------------------------------------------------===//
// Moves
//===----------------------------------------------------------------------===//

TEST(GpuLoopKernel, TransposesOfManyTiles) {
  for (std::string element :
       {"f32", "f16", "i8", "i64", "f4E2M1FN", "f8E4M3FN"})
    for (auto [from, to, permutation] :
         {std::array<std::string, 3>{"130x258", "258x130", "1, 0"},
          {"128x64", "64x128", "1, 0"},
          {"3x66x4x32", "3x4x66x32", "0, 2, 1, 3"},
          {"2x65x36", "2x36x65", "0, 2, 1"},
          {"17x1001", "1001x17", "1, 0"},
          {"3x40x2x24", "24x3x2x40", "3, 0, 2, 1"}}) {
      std::string a = tensor(from, element), r = tensor(to, element);
      check("(%a: " + a + ") -> " + r,
            "%e = tensor.empty() : " + r +
                "\n%r = linalg.transpose ins(%a : " + a + ") outs(%e : " + r +
                ") permutation = [" + permutation + "]\nreturn %r : " + r,
            within(0, 0), 1);
    }
}

//===----------------------------------------------------------------------===//
// Updates in place
//===----------------------------------------------------------------------===//

/// Rows at positions inside, at the ends and outside of the state.
void checkUpdate(const std::string &state, const std::string &rows,
                 const std::string &element, int axis,
                 const std::string &position = "i64") {
  std::string s = tensor(state, element), r = tensor(rows, element);
  std::string text =
      "(%s: " + s + ", %p: tensor<" + position + ">, %r: " + r + ") -> " + s;
  check(text,
        "%n = nq.update %s[%p] with %r axis " + std::to_string(axis) + " : " +
            s + ", tensor<" + position + ">, " + r + "\nreturn %n : " + s,
        within(0, 0), 12);
}

TEST(GpuLoopKernel, Updates) {
  checkUpdate("1x2x18x16", "1x2x1x16", "f16", 2);
  checkUpdate("1x2x18x16", "1x2x5x16", "f32", 2);
  checkUpdate("3x18x7", "3x4x7", "f32", 1, "i32");
  checkUpdate("18x33", "3x33", "i8", 0);
  checkUpdate("4x18", "4x3", "f32", 1);
  checkUpdate("2x1x16", "2x1x16", "bf16", 1);
  checkUpdate("18x64", "2x64", "f8E4M3FN", 0);
}

TEST(GpuLoopKernel, FarPositionsWriteNothing) {
  std::string s = "tensor<8x4xf32>", r = "tensor<2x4xf32>";
  Checks far = within(0, 0);
  far.low = int64_t(1) << 32; // 0 in 32 bits
  far.high = far.low + 7;
  check("(%s: " + s + ", %p: tensor<i64>, %r: " + r + ") -> " + s,
        "%n = nq.update %s[%p] with %r axis 0 : " + s + ", tensor<i64>, " + r +
            "\nreturn %n : " + s,
        far);
}

TEST(GpuLoopKernel, RotatedRowsGoIntoTheCache) {
  std::string x = "tensor<1x2x3x20xf16>", c = "tensor<1x3x8xf32>",
              s = "tensor<1x2x18x20xf16>";
  for (std::string mode : {"", "{interleaved} "})
    check("(%s: " + s + ", %p: tensor<i64>, %a: " + x + ", %c: " + c +
              ", %d: " + c + ") -> " + s,
          "%y = nq.rope %a, %c, %d " + mode + ": (" + x + ", " + c + ", " + c +
              ") -> " + x + "\n%n = nq.update %s[%p] with %y axis 2 : " + s +
              ", tensor<i64>, " + x + "\nreturn %n : " + s,
          within(1e-3, 1e-3), 6);
}

/// Heads beside each other, as a product leaves them.
TEST(GpuLoopKernel, RotatedRowsOfHeadsGoIntoTheCache) {
  for (std::string size : {"64", "20"}) {
    std::string from = "tensor<1x3x2x" + size + "xf16>",
                x = "tensor<1x2x3x" + size + "xf16>",
                c = "tensor<1x3x" + std::to_string(std::stoi(size) / 2) +
                    "xf16>",
                s = "tensor<1x2x18x" + size + "xf16>";
    check("(%s: " + s + ", %p: tensor<i64>, %a: " + from + ", %c: " + c +
              ", %d: " + c + ") -> " + s,
          "%e = tensor.empty() : " + x + "\n%t = linalg.transpose ins(%a : " +
              from + ") outs(%e : " + x + ") permutation = [0, 2, 1, 3]\n" +
              "%y = nq.rope %t, %c, %d : (" + x + ", " + c + ", " + c +
              ") -> " + x + "\n%n = nq.update %s[%p] with %y axis 2 : " + s +
              ", tensor<i64>, " + x + "\nreturn %n : " + s,
          within(1e-3, 1e-3), 6);
  }
}

} // namespace
