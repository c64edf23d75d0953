// emitGemm: checks the shape, makes the function, picks the kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToCpu/Gemm.h"
#include "GemmInteger.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/Support/raw_ostream.h"

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

using Elem = rt::StorageFormat;

bool isDenseFloat(Elem format) {
  return format == Elem::F32 || format == Elem::F16 || format == Elem::BF16;
}

bool usesSmallKernel(const GemmSpec &spec) {
  return spec.bKind == GemmB::Packed && spec.m <= kSmallRows;
}

/// Elements from the first to the last one of an operand.
int64_t extentOf(const GemmSpec &spec, int64_t rows, int64_t columns,
                 int64_t stride, int64_t GemmBatchDim::*batchStride) {
  int64_t last = (rows - 1) * (stride ? stride : columns) + columns - 1;
  for (const GemmBatchDim &dim : spec.batch)
    last += (dim.extent - 1) * dim.*batchStride;
  return last + 1;
}

MemRefType bufferOfB(GemmCode &code, const GemmSpec &spec) {
  if (spec.bKind == GemmB::Packed)
    return MemRefType::get({int64_t(gemmPanels(spec.weight).total)},
                           code.b.getI8Type());
  bool rowsK = spec.bKind == GemmB::RowsK;
  int64_t extent =
      extentOf(spec, rowsK ? spec.k : spec.n, rowsK ? spec.n : spec.k,
               spec.strideB, &GemmBatchDim::strideB);
  return MemRefType::get({extent}, code.elementType(spec.weight.code));
}

SmallVector<Type> argumentTypes(GemmCode &code, const GemmSpec &spec) {
  SmallVector<Type> types;
  auto dense = [&](int64_t extent, Elem format) {
    types.push_back(MemRefType::get({extent}, code.elementType(format)));
  };
  dense(spec.scaledA.scaled() ? spec.scaledA.bytes
                              : extentOf(spec, spec.m, spec.k, spec.strideA,
                                         &GemmBatchDim::strideA),
        spec.a);
  types.push_back(bufferOfB(code, spec));
  if (spec.bias != Elem::None)
    dense(spec.n, spec.bias);
  llvm::append_range(types, spec.extra);
  dense(extentOf(spec, spec.m, spec.n, spec.strideC, &GemmBatchDim::strideC),
        spec.c);
  Type index = code.b.getIndexType();
  types.append({index, index,
                MemRefType::get({ShapedType::kDynamic}, code.b.getI8Type())});
  return types;
}

GemmArgs splitArguments(const GemmSpec &spec, Block &body) {
  GemmArgs args;
  unsigned next = 0;
  args.a = body.getArgument(next++);
  args.b = body.getArgument(next++);
  if (spec.bias != Elem::None)
    args.bias = body.getArgument(next++);
  for (size_t i = 0; i < spec.extra.size(); ++i)
    args.extra.push_back(body.getArgument(next++));
  args.c = body.getArgument(next++);
  args.lo = body.getArgument(next++);
  args.hi = body.getArgument(next++);
  args.scratch = body.getArgument(next++);
  return args;
}

int64_t batchCount(const GemmSpec &spec) {
  int64_t count = 1;
  for (const GemmBatchDim &dim : spec.batch)
    count *= dim.extent;
  return count;
}

void planSmall(const GemmSpec &spec, GemmLaunch &kernel) {
  int64_t panels = ceilDiv(spec.n, kPanelColumns);
  kernel.extent = batchCount(spec) * panels;
  // About 2^18 multiplications, some ten microseconds.
  int64_t work = std::max<int64_t>(spec.k * kPanelColumns * spec.m, 1);
  kernel.grain = std::clamp<int64_t>((int64_t(1) << 18) / work, 1, panels);
  kernel.rows = spec.m;
  kernel.scratchBytes = smallScratchBytes(spec);
  llvm::raw_string_ostream(kernel.schedule)
      << "stream rows=" << spec.m << " panel=" << kPanelColumns;
}

void planBlocked(const GemmSpec &spec, const BlockedPlan &plan,
                 GemmLaunch &kernel) {
  int64_t panels = ceilDiv(spec.n, kPanelColumns);
  kernel.extent = batchCount(spec) * plan.rowBlocks * panels;
  // A call packs A once: give it panels enough to pay for that.
  int64_t fair = std::max<int64_t>(kernel.extent / (2 * spec.threads), 1);
  kernel.grain = std::min<int64_t>({plan.panelGroup, panels, fair});
  kernel.rowBlocks = plan.rowBlocks;
  kernel.rows = plan.rowsPerBlock;
  kernel.scratchBytes = plan.scratchBytes;
  llvm::raw_string_ostream(kernel.schedule)
      << "blocked tile=" << plan.tileRows << "x" << kPanelColumns
      << " rows=" << plan.rowsPerBlock << " k=" << plan.kc
      << " group=" << plan.panelGroup;
}

void planInteger(const GemmSpec &spec, const IntegerPlan &plan,
                 GemmLaunch &kernel) {
  int64_t panels = ceilDiv(spec.n, kPanelColumns);
  kernel.extent = batchCount(spec) * plan.rowBlocks * panels;
  // A call packs A once, which costs about half a panel.
  int64_t work = std::max<int64_t>(spec.k * kPanelColumns * plan.rows, 1);
  int64_t fair = std::max<int64_t>(kernel.extent / (2 * spec.threads), 1);
  int64_t wanted = std::clamp<int64_t>((int64_t(1) << 19) / work, 8, 32);
  kernel.grain = std::min<int64_t>({wanted, panels, fair});
  kernel.rowBlocks = plan.rowBlocks;
  kernel.rows = plan.rows;
  kernel.scratchBytes = plan.scratchBytes;
  llvm::raw_string_ostream(kernel.schedule)
      << "integer rows=" << plan.rows << " panel=" << kPanelColumns
      << " k=" << plan.blocks * kIntegerBlock << " group=" << plan.panelGroup;
}

std::string whyBadStrides(const GemmSpec &spec) {
  for (const GemmBatchDim &dim : spec.batch)
    if (dim.extent < 1 || (spec.bKind == GemmB::Packed && dim.strideB))
      return "a packed B cannot have batches";
  return "";
}

} // namespace

std::string whyUnsupported(const GemmSpec &spec) {
  if (spec.m <= 0 || spec.n <= 0 || spec.k <= 0)
    return "the product is empty";
  auto notDense = [](const char *what, Elem format) {
    return std::string(what) + " f32, f16 or bf16, not " +
           rt::formatName(format);
  };
  if (!isDenseFloat(spec.c))
    return notDense("results are", spec.c);
  if (!spec.scaledA.scaled() && !isDenseFloat(spec.a))
    return notDense("operands without scales are", spec.a);
  if (spec.scaledA.scaled())
    if (std::string problem = whyUnsupportedScaledA(spec); !problem.empty())
      return problem;
  if (spec.bias != Elem::None && !isDenseFloat(spec.bias))
    return std::string("there is no bias of type ") + rt::formatName(spec.bias);
  if (spec.bKind != GemmB::Packed)
    return isDenseFloat(spec.weight.code) ? ""
                                          : "a run-time B is f32, f16 or bf16";
  if (spec.weight.n != spec.n || spec.weight.k != spec.k)
    return "the weight has another shape than the product";
  std::string problem = whyUnsupported(spec.weight);
  if (problem.empty())
    problem = whyBadStrides(spec);
  if (problem.empty() && spec.weight.octets && !multipliesIntegers(spec))
    problem = "panels in groups of 8 k need a 4-bit activation with scale "
              "blocks of 16 or 32";
  if (problem.empty() && !usesSmallKernel(spec) && !chooseChunk(spec))
    problem = "scale blocks of " + std::to_string(spec.weight.blockK) +
              " along k do not fit chunks of k";
  return problem;
}

GemmLaunch planGemm(const GemmSpec &spec) {
  GemmLaunch launch;
  if (spec.weight.octets)
    planInteger(spec, IntegerPlan(spec), launch);
  else if (usesSmallKernel(spec))
    planSmall(spec, launch);
  else
    planBlocked(spec, BlockedPlan(spec), launch);
  return launch;
}

std::unique_ptr<GemmEmitter> makeGemm(OpBuilder &builder, Location loc,
                                      const GemmSpec &spec,
                                      const GemmArgs &args,
                                      GemmEpilogue epilogue) {
  if (spec.weight.octets)
    return makeIntegerGemm(builder, loc, spec, IntegerPlan(spec), args,
                           epilogue);
  if (usesSmallKernel(spec))
    return makeSmallGemm(builder, loc, spec, args, epilogue);
  return makeBlockedGemm(builder, loc, spec, BlockedPlan(spec), args, epilogue);
}

bool multipliesIntegers(const GemmSpec &spec) {
  const GemmWeight &w = spec.weight;
  auto isBlock = [](int64_t block) { return block == 16 || block == 32; };
  return spec.bKind == GemmB::Packed && spec.a == Elem::E2M1 &&
         spec.scaledA.scaled() && isBlock(spec.scaledA.run) &&
         (spec.scaledA.scale == Elem::E4M3 ||
          spec.scaledA.scale == Elem::E8M0) &&
         spec.k % spec.scaledA.run == 0 && w.code == Elem::E2M1 &&
         w.scalePerColumn() && w.scaleAlongK() && isBlock(w.blockK) &&
         spec.k % w.blockK == 0 && !w.zeroPoint;
}

FailureOr<GemmKernel> emitGemm(ModuleOp module, Location loc,
                               const GemmSpec &spec, GemmEpilogue epilogue) {
  std::string problem = whyUnsupported(spec);
  if (!problem.empty())
    return emitError(loc) << "no GEMM kernel '" << spec.symbol
                          << "': " << problem;
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  GemmCode code(builder, loc);
  GemmKernel kernel;
  kernel.func = func::FuncOp::create(
      builder, loc, spec.symbol,
      builder.getFunctionType(argumentTypes(code, spec), {}));
  kernel.func->setAttr("nibble.kernel", builder.getUnitAttr());
  Block *body = kernel.func.addEntryBlock();
  builder.setInsertionPointToStart(body);
  GemmArgs args = splitArguments(spec, *body);
  GemmLaunch launch = planGemm(spec);
  kernel.extent = launch.extent;
  kernel.grain = launch.grain;
  kernel.scratchBytes = launch.scratchBytes;
  kernel.schedule = launch.schedule;
  makeGemm(builder, loc, spec, args, epilogue)->emit();
  builder.setInsertionPointToEnd(body);
  func::ReturnOp::create(builder, loc);
  return kernel;
}

void registerGemmDialects(DialectRegistry &registry) {
  registry
      .insert<arith::ArithDialect, func::FuncDialect, LLVM::LLVMDialect,
              memref::MemRefDialect, scf::SCFDialect, vector::VectorDialect>();
}

} // namespace cpu
} // namespace nibble
