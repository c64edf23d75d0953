// Kernels with matrix products and the ops that follow them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToCpu/FusedKernel.h"
#include "AttentionEmitter.h"
#include "EmitNest.h"
#include "FusedPlan.h"
#include "KernelFunction.h"
#include "nibble/Conversion/NqToCpu/MatmulKernel.h"

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

class FusedLowering {
public:
  FusedLowering(func::FuncOp kernel, ModuleOp target, FusedPlan &plan)
      : kernel(kernel), plan(plan),
        function(kernel, target, kernel.getName(), /*bytes=*/true) {}

  KernelInfo run() {
    function.bindArguments(plan.graph, plan.stages);
    for (FusedGroup &group : plan.groups)
      gemmBytes = std::max<int64_t>(gemmBytes, scratchOf(group));
    int64_t bytes = 0;
    for (FusedGroup &group : plan.groups) {
      // Groups run one after the other.
      function.info.scratchBytes = roundUp(gemmBytes, 64);
      emitGroup(group);
      bytes = std::max(bytes, function.info.scratchBytes);
    }
    function.info.scratchBytes = bytes;
    for (Nests &nests : plan.independent)
      for (auto &nest : nests)
        function.emitUnits(*nest, totalUnits());
    function.finish();
    return function.info;
  }

private:
  int64_t totalUnits() const {
    int64_t total = 0;
    for (const FusedGroup &group : plan.groups)
      total += group.units();
    for (const Nests &nests : plan.independent)
      for (auto &nest : nests)
        total += nest->plan.units;
    return total;
  }

  static int64_t scratchOf(const FusedGroup &group) {
    int64_t bytes = group.attention ? group.attention->scratchBytes : 0;
    for (const FusedProduct &product : group.products)
      bytes = std::max<int64_t>(bytes, product.launch.scratchBytes);
    return bytes;
  }

  //===--------------------------------------------------------------------===//
  // Products
  //===--------------------------------------------------------------------===//

  /// The first `count` elements of a buffer of bytes.
  Value typed(Value bytes, int64_t offset, Type element, int64_t count) {
    if (element.isInteger(8) && offset == 0)
      return bytes;
    return memref::ViewOp::create(function.b, MemRefType::get({count}, element),
                                  bytes, function.index(offset), ValueRange());
  }

  Value argumentOf(Value operand) {
    return function.function.getArgument(
        cast<BlockArgument>(operand).getArgNumber());
  }

  /// A product, its C in a strip at `stripAt` of the scratch.
  std::unique_ptr<GemmEmitter> makeProduct(FusedProduct &product,
                                           int64_t stripAt) {
    const GemmSpec &spec = product.spec;
    GemmCode code(function.b, kernel.getLoc());
    GemmArgs args;
    args.a = typed(argumentOf(product.op.getA()), 0, code.elementType(spec.a),
                   spec.m * spec.k);
    args.b = argumentOf(product.op.getB());
    if (spec.bKind != GemmB::Packed)
      args.b =
          typed(args.b, 0, code.elementType(spec.weight.code), spec.n * spec.k);
    args.scratch = function.getScratch();
    args.c = typed(args.scratch, stripAt, code.elementType(spec.c),
                   product.launch.rows * spec.strideC);
    auto emitter =
        makeGemm(function.b, kernel.getLoc(), spec, args, /*epilogue=*/nullptr);
    emitter->begin();
    return emitter;
  }

  /// Where one product of a group, or attention, leaves a run of columns.
  struct Strip {
    Tensor *tensor;
    int64_t offset; ///< in the scratch, bytes
    std::unique_ptr<GemmEmitter> emitter = nullptr;
  };

  std::vector<Strip> makeStrips(FusedGroup &group) {
    std::vector<Strip> strips;
    for (FusedProduct &product : group.products) {
      int64_t at = function.info.scratchBytes;
      int64_t bytes = product.launch.rows * group.stripColumns() *
                      elementBytes(*product.tensor);
      function.info.scratchBytes += roundUp(bytes, 64);
      strips.push_back({product.tensor, at, makeProduct(product, at)});
    }
    return strips;
  }

  static int64_t elementBytes(const Tensor &tensor) {
    return storageType(tensor.element).getIntOrFloatBitWidth() / 8;
  }

  void noteGrain(const FusedGroup &group) {
    int64_t rows = group.products[0].launch.rows, work = 0;
    for (const FusedProduct &product : group.products)
      work += rows * product.spec.k * group.block;
    // About 2^18 multiplications, some ten microseconds; and no less than
    // shares one packing of A, as long as that leaves work for all threads.
    int64_t grain = (int64_t(1) << 18) / std::max<int64_t>(work, 1);
    int64_t fair = group.units() / (2 * GemmSpec().threads);
    grain = std::max(grain, std::min(fair, group.stripBlocks));
    function.noteGrain(std::clamp<int64_t>(grain, 1, group.blocks),
                       work * group.units());
  }

  void emitGroup(FusedGroup &group) {
    if (group.attention)
      return emitAttention(group);
    std::vector<Strip> strips = makeStrips(group);
    bindTail(group);
    noteGrain(group);
    std::pair<Value, Value> range = function.claim(group.units(), totalUnits());
    Value low = range.first, high = range.second;
    GemmCode code(function.b, kernel.getLoc());
    Value from = code.div(low, group.blocks);
    Value to = code.div(code.add(high, group.blocks - 1), group.blocks);
    code.loop(from, to, 1, [&](Value segment) {
      Value base = code.mul(segment, group.blocks);
      Value first = code.max(code.sub(low, base), code.index(0));
      Value end = code.min(code.sub(high, base), code.index(group.blocks));
      for (auto [i, strip] : llvm::enumerate(strips)) {
        strip.emitter->moveTo(code.b);
        strip.emitter->enterSegment(segment, /*isPrepared=*/i > 0);
      }
      code.loop(first, end, group.stripBlocks, [&](Value run) {
        Value runEnd = code.min(code.add(run, group.stripBlocks), end);
        emitRun(code, group, strips, run, runEnd);
      });
    });
  }

  /// Blocks [from, to) of a segment: the products to their strips, then the
  /// tail.
  void emitRun(GemmCode &code, FusedGroup &group, std::vector<Strip> &strips,
               Value from, Value to) {
    int64_t panels = group.block / kPanelColumns;
    Value rowFrom = strips[0].emitter->rowFrom;
    Value rowTo = strips[0].emitter->rowTo;
    Value firstColumn = code.mul(from, group.block);
    Value origin =
        code.add(code.mul(rowFrom, group.stripColumns()), firstColumn);
    Value end = code.min(code.mul(to, panels),
                         code.index(ceilDiv(group.columns, kPanelColumns)));
    for (Strip &strip : strips) {
      strip.emitter->moveTo(code.b);
      strip.emitter->placeC(code.sub(code.index(0), origin));
      strip.emitter->emitPanels(code.mul(from, panels), end);
    }
    code.loop(rowFrom, rowTo, 1, [&](Value row) {
      for (FusedTail &tail : group.tails)
        emitTail(code, group, tail, strips, row, code.sub(row, rowFrom), from,
                 to);
    });
  }

  //===--------------------------------------------------------------------===//
  // Attention
  //===--------------------------------------------------------------------===//

  Value operandOf(GemmCode &code, Value operand) {
    if (!operand)
      return Value();
    auto type = cast<RankedTensorType>(operand.getType());
    return typed(argumentOf(operand), 0, storageOf(type.getElementType()),
                 type.getNumElements());
  }

  /// bf16 stays what it is: vectors of it convert.
  static Type storageOf(Type element) {
    return element.isBF16() ? element : storageType(element);
  }

  void noteAttentionGrain(const FusedGroup &group) {
    const AttentionPlan &plan = *group.attention;
    int64_t work = plan.work(), units = group.units();
    // A call packs keys and values once: it should do all rows that see them,
    // if that leaves work for all threads; and not less than some ten
    // microseconds.
    int64_t alike = plan.rowBlocks * (plan.heads / plan.kvHeads) / plan.stack;
    int64_t fair = std::max<int64_t>(units / (2 * GemmSpec().threads), 1);
    int64_t least = (int64_t(1) << 18) / std::max<int64_t>(work / units, 1);
    int64_t grain = std::max(std::min(fair, alike), least);
    function.noteGrain(std::clamp<int64_t>(grain, 1, units), work);
  }

  void emitAttention(FusedGroup &group) {
    const AttentionPlan &plan = *group.attention;
    Strip strip{group.attentionTensor, function.info.scratchBytes};
    int64_t queries = plan.stack == 1 ? plan.rowsPerBlock : plan.queries;
    int64_t count = queries * group.block;
    function.info.scratchBytes +=
        roundUp(count * elementBytes(*strip.tensor), 64);
    bindTail(group);
    noteAttentionGrain(group);
    std::pair<Value, Value> range = function.claim(group.units(), totalUnits());
    Value low = range.first, high = range.second;
    GemmCode code(function.b, kernel.getLoc());
    nq::AttentionOp op = plan.op;
    AttentionArgs args{
        operandOf(code, op.getQ()),       operandOf(code, op.getK()),
        operandOf(code, op.getV()),       operandOf(code, op.getMask()),
        operandOf(code, op.getLengths()), function.getScratch()};
    Type element = strip.tensor->element;
    Value memory = typed(args.scratch, strip.offset, element, count);
    AttentionEmitter emitter(code, plan, args);
    Value from = code.div(low, plan.rowBlocks);
    Value to = code.div(code.add(high, plan.rowBlocks - 1), plan.rowBlocks);
    code.loop(from, to, 1, [&](Value run) {
      Value base = code.mul(run, plan.rowBlocks);
      Value first = code.max(code.sub(low, base), code.index(0));
      Value end = code.min(code.sub(high, base), code.index(plan.rowBlocks));
      Value isNew =
          arith::CmpIOp::create(code.b, arith::CmpIPredicate::eq, run, from);
      emitRowBlocks(code, group, strip, emitter, memory, run, isNew, first,
                    end);
    });
  }

  /// Row blocks [from, to) of block of columns `run`, counted over all batches.
  void emitRowBlocks(GemmCode &code, FusedGroup &group, Strip &strip,
                     AttentionEmitter &emitter, Value memory, Value run,
                     Value isNew, Value from, Value to) {
    const AttentionPlan &plan = *group.attention;
    int64_t heads = group.block / plan.width;
    bool isShared = heads == plan.stack && plan.packsOnce();
    Value head = code.mul(run, heads);
    if (isShared)
      emitter.enterStack(head, isNew);
    auto format = strip.tensor->element.isF32()   ? rt::StorageFormat::F32
                  : strip.tensor->element.isF16() ? rt::StorageFormat::F16
                                                  : rt::StorageFormat::BF16;
    code.loop(from, to, 1, [&](Value block) {
      emitter.enterBlock(block);
      code.loop(0, heads, plan.stack, [&](Value j) {
        if (!isShared)
          emitter.enterStack(code.add(head, j));
        emitter.emitBlock(memory, code.mul(j, plan.width), group.block, format);
      });
      emitAttentionTail(code, group, strip, emitter, run);
    });
  }

  void emitAttentionTail(GemmCode &code, FusedGroup &group, Strip &strip,
                         AttentionEmitter &emitter, Value run) {
    const AttentionPlan &plan = *group.attention;
    Value batch = code.mul(code.div(run, group.blocks), plan.queries);
    Value block = code.rem(run, group.blocks);
    Value from = emitter.rowFrom, to = emitter.rowTo;
    if (plan.stack > 1)
      from = code.index(0), to = code.index(plan.queries);
    code.loop(from, to, 1, [&](Value query) {
      for (FusedTail &tail : group.tails)
        emitTail(code, group, tail, strip, code.add(batch, query),
                 code.sub(query, from), block, code.add(block, 1));
    });
  }

  //===--------------------------------------------------------------------===//
  // Tails
  //===--------------------------------------------------------------------===//

  void bindTail(FusedGroup &group) {
    for (unsigned i : group.stages)
      for (Tensor *tensor : plan.stages.stages[i].tensors)
        if (tensor->stored && !plan.stages.isResult(tensor))
          function.bindScratch(*tensor);
  }

  /// The blocks of one kind among [from, to).
  void emitTail(GemmCode &code, FusedGroup &group, FusedTail &tail,
                ArrayRef<Strip> strips, Value row, Value rowOfStrip, Value from,
                Value to) {
    int64_t base = tail.columns.start / group.block;
    Value low = code.max(from, code.index(base));
    Value high = code.min(to, code.index(base + tail.columns.blocks));
    code.loop(low, high, 1, [&](Value block) {
      Value column = code.mul(code.sub(block, from), group.block);
      Value at = code.add(code.mul(rowOfStrip, group.stripColumns()), column);
      for (const Strip &strip : strips)
        bindStrip(code, strip, at);
      Value number = code.sub(block, code.index(base));
      for (Nests &nests : tail.nests)
        for (auto &nest : nests) {
          OpBuilder::InsertionGuard guard(code.b);
          emitNest(code.b, *nest, {row, number});
        }
    });
  }

  /// The block of columns that begins at element `at` of a strip.
  void bindStrip(GemmCode &code, const Strip &strip, Value at) {
    Tensor &tensor = *strip.tensor;
    Value byte =
        code.add(code.mul(at, elementBytes(tensor)), code.index(strip.offset));
    auto type =
        MemRefType::get({tensor.blockElements}, storageType(tensor.element));
    tensor.buffer.memref = memref::ViewOp::create(
        code.b, type, function.getScratch(), byte, ValueRange());
  }

  func::FuncOp kernel;
  FusedPlan &plan;
  KernelFunction function;
  int64_t gemmBytes = 0;
};

Block &bodyOf(Operation *op) { return op->getRegion(0).front(); }

bool hasProducts(Block &body) {
  return llvm::any_of(body, llvm::IsaPred<nq::MatmulOp, nq::AttentionOp>);
}

} // namespace

bool isFusedKernel(func::FuncOp kernel) { return hasProducts(bodyOf(kernel)); }

FailureOr<FusedKernel> lowerFusedKernel(func::FuncOp kernel, ModuleOp target) {
  std::string why;
  FusedPlan plan(kernel.getContext());
  if (failed(plan.make(bodyOf(kernel), why)))
    return kernel.emitError()
           << "the CPU target cannot run kernel '" << kernel.getName()
           << "' with its matrix products as one: " << why;
  FusedKernel result;
  for (const FusedGroup &group : plan.groups) {
    if (group.attention)
      result.flops += 2 * group.attention->work();
    for (const FusedProduct &product : group.products)
      result.flops += 2 * product.spec.m * product.spec.n * product.spec.k;
  }
  for (auto op : bodyOf(kernel).getOps<nq::StatisticsOp>())
    result.flops += op.getFlops();
  result.info = FusedLowering(kernel, target, plan).run();
  return result;
}

std::string whyNoKernel(Operation *op) {
  Block &body = bodyOf(op);
  std::string why;
  // A product alone has a kernel of its own, or an error of its own.
  if (isMatmulAlone(body))
    return why;
  if (hasProducts(body)) {
    FusedPlan plan(op->getContext());
    (void)plan.make(body, why);
    return why;
  }
  KernelGraph graph(op->getContext());
  (void)readQuietly(graph, body, /*products=*/false, why);
  return why;
}

} // namespace cpu
} // namespace nibble
