// Text and code of a configuration.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TileKernel.h"

#include "nibble/Conversion/TileToNVVM/TileToNVVM.h"
#include "nibble/Target/Gpu/GpuTarget.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"
#include "llvm/Support/FormatVariadic.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::test;

static int64_t bytesOf(const std::string &type) {
  return type.find("f8") == 0 || type == "i8" ? 1 : type == "f32" ? 4 : 2;
}

static std::string
replaced(std::string text,
         std::vector<std::pair<std::string, std::string>> names) {
  for (auto &[from, to] : names)
    for (size_t at; (at = text.find(from)) != std::string::npos;)
      text.replace(at, from.size(), to);
  return text;
}

std::string TileConfig::str() const {
  static const char *const kinds[] = {"scaled", "full", "gated", "both",
                                      "tanh"};
  return llvm::formatv("{0}x{1}x{2} {3}*{4}->{5} tile {6}x{7} s{8} w{9} "
                       "c{10}x{11} <{12}> grid {13} {14} W{15} panel {16}x{17} "
                       "swizzle {18}{19} turns {20} splits {21}",
                       m, n, k, a, b, out, tileM, tileN, stages, warpgroups,
                       clusterM, clusterN, raster, clusters, kinds[kind], width,
                       panel, buffers, swizzle, transposed ? " transposed" : "",
                       turns, splits)
      .str();
}

namespace {

/// Pieces of the text of a kernel.
struct Writer {
  const TileConfig &c;
  bool two = c.kind == TileConfig::Both;

  int64_t part() const {
    return c.splits == 1 ? c.tileN
                         : 8 * ((c.tileN / 8 + c.splits - 1) / c.splits);
  }
  int64_t columns() const {
    return c.kind == TileConfig::Gated ? part() / 2 : part();
  }
  int64_t panel() const {
    if (c.panel)
      return c.panel;
    int64_t wide = c.transposed ? 64 : 128 / bytesOf(c.out);
    while (wide > columns())
      wide /= 2;
    return wide;
  }
  std::string vectorOf(const std::string &type, int64_t count) const {
    return llvm::formatv("vector<{0}x{1}>", count, type).str();
  }
  std::string cast(const std::string &from, const std::string &to,
                   int64_t count) const {
    if (c.out == "f32")
      return "";
    return llvm::formatv("        {0} = arith.truncf {1} : {2} to {3}\n", to,
                         from, vectorOf("f32", count), vectorOf(c.out, count))
        .str();
  }
  std::string yield(const std::string &value, int64_t count) const {
    std::string last = c.out == "f32" ? value : "%out";
    return cast(value, "%out", count) + "        tile.yield " + last + " : " +
           vectorOf(c.out, count) + "\n";
  }

  std::string body() const {
    std::string w = vectorOf("f32", c.width);
    std::string scale = "        %s = vector.broadcast %alpha : f32 to " + w +
                        "\n        %y = arith.mulf %x, %s : " + w + "\n";
    switch (c.kind) {
    case TileConfig::Scaled:
      return scale + yield("%y", c.width);
    case TileConfig::Tanh:
      return scale + "        %t = math.tanh %y : " + w + "\n" +
             yield("%t", c.width);
    case TileConfig::Full:
      return "        %rc = arith.mulf %r, %c : " + w +
             "\n        %y = arith.mulf %x, %rc : " + w +
             "\n        %ef = arith.extf %e : " + vectorOf("bf16", c.width) +
             " to " + w + "\n        %z = arith.addf %y, %ef : " + w + "\n" +
             yield("%z", c.width);
    case TileConfig::Gated:
      return scale +
             "        %g = vector.extract %y[0] : f32 from vector<2xf32>\n"
             "        %u = vector.extract %x[1] : f32 from vector<2xf32>\n"
             "        %p = arith.mulf %g, %u : f32\n"
             "        %v = vector.broadcast %p : f32 to vector<1xf32>\n" +
             yield("%v", 1);
    case TileConfig::Both:
      return scale + "        %z = arith.mulf %y, %x2 : " + w + "\n" +
             yield("%z", c.width);
    }
    return "";
  }

  std::string epilogue() const {
    std::string w = vectorOf("f32", c.width), args = "%x: " + w, more;
    if (two)
      args += ", %x2: " + w;
    if (c.kind == TileConfig::Full) {
      args +=
          ", %r: " + w + ", %c: " + w + ", %e: " + vectorOf("bf16", c.width);
      more = " rows(%rows : memref<MxF>) cols(%cols : memref<NxF>) "
             "elements(%elements : memref<MxNxE>)";
    }
    std::string sums = two ? "%sum#0, %sum#1" : "%sum#0",
                types = two ? "!acc, !acc" : "!acc",
                parts = two ? "!part, !part" : "!part", reduce;
    if (c.splits > 1) {
      reduce = "      %part:" + std::string(two ? "2" : "1") +
               " = tile.reduce " + sums + " : " + types + " -> " + parts + "\n";
      sums = two ? "%part#0, %part#1" : "%part#0";
      types = parts;
    }
    return reduce +
           llvm::formatv(
               "      %frag = tile.epilogue {0} at [%m, %n]{1} ({2}) {{\n"
               "{3}      } : {4} -> !frag\n"
               "      tile.store %frag to %d[{5}] {6}panel {7} buffers {8} : "
               "!frag, !d\n",
               sums, more, args, body(), types,
               c.transposed ? "%n, %m" : "%m, %n",
               c.transposed ? "transposed " : "", panel(), c.buffers)
               .str();
  }
};

const char *const kText = R"(
!a = !tile.slot<BMxBKxAT, swizzle SWIZZLE>
!b = !tile.slot<BNxBKxBT, swizzle SWIZZLE>
!stages = !tile.ring<STAGES, !a, !b IFTWO(, !b)>
!acc = !tile.acc<BMxBNxf32>
!part = !tile.acc<BMxPNxf32>
!frag = !tile.fragment<BMxBCxOT>
!d = memref<ROxCOxOT>
tile.kernel @k target "sm_90a" grid GRID cluster [CLUSTERM, CLUSTERN, SPLITS]
    (%a: memref<MxKxAT>, %b: memref<NxKxBT>, %b2: memref<NxKxBT>, %rows: memref<MxF>,
     %cols: memref<NxF>, %elements: memref<MxNxE>, %scale: memref<1xF>, %d: !d, %copy: memref<1xF>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %blocks = arith.constant BLOCKS : index
  %ring = tile.ring : !stages
  tile.role @load warps 4 REG40 {
    tile.once {
      %passed = memref.load %scale[%c0] : memref<1xF>
      memref.store %passed, %copy[%c0] : memref<1xF>
    }
    tile.for_tiles [TM, TN] raster <RASTER> (%m: index, %n: index) {
      scf.for %k = %c0 to %blocks step %c1 {
        %at = tile.slice %k of ALL_K
        %s:COUNT = tile.acquire %ring : !stages
        tile.load %a[%m, %at] to %s#0 MULTICASTN : memref<MxKxAT>, !a
        tile.load %b[%n, %at] to %s#1 MULTICASTM : memref<NxKxBT>, !b
        IFTWO(tile.load %b2[%n, %at] to %s#2 MULTICASTM : memref<NxKxBT>, !b)
        tile.publish %ring : !stages
      }
    }
  }
  tile.role @multiply warps WARPS REGCC TURNS {
    %alpha = memref.load %scale[%c0] : memref<1xF>
    tile.for_tiles [TM, TN] raster <RASTER> (%m: index, %n: index) {
      %zero = tile.zero : !acc
      %zero2 = tile.zero : !acc
      %sum:2 = scf.for %k = %c0 to %blocks step %c1 iter_args(%c = %zero, %e = %zero2) -> (!acc, !acc) {
        %s:COUNT = tile.wait %ring : !stages
        %next = tile.mma %s#0, %s#1 into %c : !a, !b, !acc
        %next2 = tile.mma %s#0, %s#2 into %e : !a, !b, !acc
        tile.release %ring : !stages
        scf.yield %next, %next2 : !acc, !acc
      }
EPILOGUE    }
  }
}
)";

} // namespace

/// Lines of the second product go where there is none.
static std::string withoutSecond(std::string text) {
  return replaced(
      text,
      {{"      %zero2 = tile.zero : !acc\n", ""},
       {"%sum:2 =", "%sum:1 ="},
       {"iter_args(%c = %zero, %e = %zero2) -> (!acc, !acc)",
        "iter_args(%c = %zero) -> (!acc)"},
       {"        %next2 = tile.mma %s#0, %s#2 into %e : !a, !b, !acc\n", ""},
       {"scf.yield %next, %next2 : !acc, !acc", "scf.yield %next : !acc"},
       {" IFTWO(, !b)", ""},
       {"        IFTWO(tile.load %b2[%n, %at] to %s#2 MULTICASTM : "
        "memref<NxKxBT>, !b)\n",
        ""}});
}

/// All of K is one slice.
static std::string withoutSplits(std::string text) {
  return replaced(text, {{"        %at = tile.slice %k of ALL_K\n", ""},
                         {"%at", "%k"},
                         {", SPLITS]", "]"}});
}

std::string TileConfig::text() const {
  Writer writer{*this};
  auto number = [](int64_t value) { return std::to_string(value); };
  auto tiles = [](int64_t size, int64_t tile, int64_t blocks) {
    int64_t count = (size + tile - 1) / tile;
    return (count + blocks - 1) / blocks * blocks;
  };
  std::string text = kText;
  if (!writer.two)
    text = withoutSecond(text);
  text = replaced(text, {{"IFTWO(, !b)", ", !b"},
                         {"IFTWO(tile.load %b2[%n, %at] to %s#2 MULTICASTM : "
                          "memref<NxKxBT>, !b)",
                          "tile.load %b2[%n, %at] to %s#2 MULTICASTM : "
                          "memref<NxKxBT>, !b"}});
  if (splits == 1)
    text = withoutSplits(text);
  int64_t blockK = swizzle / bytesOf(a), allK = (k + blockK - 1) / blockK;
  int64_t tilesM = tiles(m, tileM, clusterM),
          tilesN = tiles(n, tileN, clusterN);
  int64_t blocks =
      splits > 1 ? tilesM * tilesN * splits : clusters * clusterM * clusterN;
  return replaced(
      text,
      {{"EPILOGUE", writer.epilogue()},
       {"COUNT", writer.two ? "3" : "2"},
       {"MULTICASTN", clusterN > 1 ? "multicast n" : ""},
       {"MULTICASTM", clusterM > 1 ? "multicast m" : ""},
       {"CLUSTERM", number(clusterM)},
       {"CLUSTERN", number(clusterN)},
       {"SPLITS", number(splits)},
       {"GRID", number(blocks)},
       {"STAGES", number(stages)},
       {"SWIZZLE", number(swizzle)},
       {"ALL_K", number(allK)},
       {"BLOCKS", number((allK + splits - 1) / splits)},
       {"RASTER", raster},
       {"WARPS", number(4 * warpgroups)},
       {"REG40", registers ? "registers 40" : ""},
       {"REGCC", registers ? "registers 232" : ""},
       {"TURNS", turns > 1 ? "turns " + number(turns) : ""},
       {"TM, TN", number(tilesM) + ", " + number(tilesN)},
       {"ROxCOxOT", number(rowsOut()) + "x" + number(columnsOut()) + "x" + out},
       {"BMxBKxAT", number(tileM) + "x" + number(blockK) + "x" + a},
       {"BNxBKxBT", number(tileN) + "x" + number(blockK) + "x" + b},
       {"BMxBNx", number(tileM) + "x" + number(tileN) + "x"},
       {"BMxPNx", number(tileM) + "x" + number(writer.part()) + "x"},
       {"BMxBCxOT", number(tileM) + "x" + number(writer.columns()) + "x" + out},
       {"MxKxAT", number(m) + "x" + number(k) + "x" + a},
       {"NxKxBT", number(n) + "x" + number(k) + "x" + b},
       {"MxNxE", number(m) + "x" + number(n) + "xbf16"},
       {"MxF", number(m) + "xf32"},
       {"NxF", number(n) + "xf32"},
       {"1xF>", "1xf32>"}});
}

static std::unique_ptr<MLIRContext> makeContext() {
  DialectRegistry registry;
  registry
      .insert<tile::TileDialect, arith::ArithDialect, math::MathDialect,
              memref::MemRefDialect, scf::SCFDialect, vector::VectorDialect>();
  nibble::gpu::registerGpuTarget(registry);
  auto context =
      std::make_unique<MLIRContext>(registry, MLIRContext::Threading::DISABLED);
  context->loadAllAvailableDialects();
  return context;
}

TileKernel::TileKernel(const TileConfig &config) : config(config) {
  auto context = makeContext();
  ScopedDiagnosticHandler handler(context.get(), [&](Diagnostic &diagnostic) {
    error += diagnostic.str() + "\n";
    return success();
  });
  auto module = parseSourceString<ModuleOp>(config.text(), context.get());
  if (!module) {
    error += config.text();
    return;
  }
  OpBuilder builder(context.get());
  builder.setInsertionPointToEnd(module->getBody());
  auto target =
      mlir::gpu::GPUModuleOp::create(builder, module->getLoc(), "gpu_kernels");
  auto kernel = *module->getOps<tile::KernelOp>().begin();
  auto lowered = lowerTileKernel(kernel, target);
  if (failed(lowered) || failed(verify(*module)))
    return;
  launch = *lowered;
  auto code = nibble::gpu::emitPtx(target, {});
  if (!code)
    error += llvm::toString(code.takeError());
  else
    ptx = *code;
}
