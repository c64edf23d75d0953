// Attention on Hopper's tensor cores: the function, its roles, barriers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionKernel.h"

#include "Kernel.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using llvm::divideCeil;

namespace nibble {
namespace gpu {

using Predicate = LLVM::ICmpPredicate;

AttentionKernel::AttentionKernel(const AttentionShape &shape,
                                 const AttentionSchedule &schedule,
                                 Location loc, mlir::gpu::GPUModuleOp target,
                                 const Twine &symbol)
    : shape(shape), schedule(schedule),
      function(createFunction(target, symbol)), code(loc, function) {}

//===----------------------------------------------------------------------===//
// Parameters
//===----------------------------------------------------------------------===//

/// Maps of q, k and v, the result, the mask and the lengths if there are,
/// factors.
LLVM::LLVMFuncOp AttentionKernel::createFunction(mlir::gpu::GPUModuleOp target,
                                                 const Twine &symbol) {
  addMaps();
  OpBuilder b = OpBuilder::atBlockEnd(target.getBody());
  MLIRContext *context = target.getContext();
  SmallVector<Type> types;
  for (const KernelArg &arg : launch.args)
    types.push_back(LLVM::LLVMPointerType::get(
        context, arg.kind == KernelArg::Map ? 0 : 1));
  auto type =
      LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context), types);
  auto result =
      LLVM::LLVMFuncOp::create(b, target.getLoc(), symbol.str(), type);
  result.addEntryBlock(b);
  result->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(), b.getUnitAttr());
  result->setAttr(NVVM::NVVMDialect::getReqntidAttrName(),
                  b.getDenseI32ArrayAttr(int32_t(schedule.threads())));
  result->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                  b.getI32IntegerAttr(1));
  if (schedule.splits > 1)
    result->setAttr(NVVM::NVVMDialect::getClusterDimAttrName(),
                    b.getDenseI32ArrayAttr({int32_t(schedule.splits), 1, 1}));
  auto bytes = LLVM::LLVMArrayType::get(b.getI8Type(), 128);
  for (auto [i, arg] : llvm::enumerate(launch.args)) {
    if (arg.kind != KernelArg::Map)
      continue;
    result.setArgAttr(i, NVVM::NVVMDialect::getGridConstantAttrName(),
                      b.getUnitAttr());
    result.setArgAttr(i, LLVM::LLVMDialect::getByValAttrName(),
                      TypeAttr::get(bytes));
    result.setArgAttr(i, LLVM::LLVMDialect::getAlignAttrName(),
                      b.getI64IntegerAttr(64));
  }
  launch.symbol = symbol.str();
  return result;
}

/// Dimensions: element, row, matrix, batch.
TensorMap AttentionKernel::makeMap(const StridedTensor &tensor, int64_t rows,
                                   int64_t rowStride, int64_t matrices,
                                   int64_t matrixStride, int64_t elements,
                                   int64_t box) {
  TensorMap map;
  int64_t bytes = tensor.bytes();
  map.type = bytes == 1                ? TensorMap::U8
             : tensor.element.isBF16() ? TensorMap::BF16
                                       : TensorMap::F16;
  map.swizzle = TensorMap::Bytes128;
  map.sizes = {elements, rows, matrices, shape.batch};
  map.box = {128 / bytes, box, 1, 1};
  int64_t next = llvm::alignTo(elements * bytes, 16);
  int64_t strides[] = {rowStride, matrixStride, tensor.strides[0]};
  for (unsigned d = 0; d < 3; ++d) {
    // Nobody steps along a dimension of one.
    map.strides.push_back(map.sizes[d + 1] == 1 ? next : strides[d] * bytes);
    next = map.strides.back() * map.sizes[d + 1];
  }
  return map;
}

TensorMap AttentionKernel::makeRaw(TensorMap map, int64_t bytes) {
  map.swizzle = TensorMap::None;
  map.box[0] = bytes;
  return map;
}

void AttentionKernel::addPointer(const TensorFactor &factor) {
  if (factor.isNumber())
    return;
  factorArgs.push_back({&factor, unsigned(launch.args.size())});
  launch.args.push_back(KernelArg::pointer(*factor.value, factor.offset));
}

/// As f32.
Value AttentionKernel::loadFactor(const TensorFactor &factor) {
  if (factor.isNumber())
    return number(factor.number);
  for (auto [known, arg] : factorArgs)
    if (known == &factor) {
      Value loaded =
          LLVM::LoadOp::create(code, factor.element, function.getArgument(arg));
      return factor.element.isF32()
                 ? loaded
                 : LLVM::FPExtOp::create(code, code.getF32Type(), loaded)
                       .getResult();
    }
  llvm_unreachable("a factor without a parameter");
}

void AttentionKernel::addMaps() {
  const AttentionShape &s = shape;
  int64_t ofMatrix = s.q.strides[1] * (s.folds() ? s.group() : 1);
  launch.args.push_back(
      KernelArg::tensorMap(s.q.value,
                           makeMap(s.q, s.rows(), s.rowStride(), s.matrices(),
                                   ofMatrix, s.depth, 64 / schedule.splits),
                           s.q.offset * s.q.bytes()));
  for (const StridedTensor *tensor : {&s.k, &s.v}) {
    bool isKey = tensor == &s.k;
    TensorMap map =
        makeMap(*tensor, s.keys, tensor->strides[2], s.kvHeads,
                tensor->strides[1], isKey ? s.depth : s.width, schedule.keys);
    int64_t raw = isKey ? schedule.rawKeys : schedule.rawValues;
    launch.args.push_back(
        KernelArg::tensorMap(tensor->value, raw ? makeRaw(map, raw) : map,
                             tensor->offset * tensor->bytes()));
  }
  launch.args.push_back(KernelArg::pointer(s.result.value));
  maskArg = launch.args.size();
  if (s.mask)
    launch.args.push_back(KernelArg::pointer(s.mask->value));
  lengthsArg = launch.args.size();
  if (s.lengths)
    launch.args.push_back(KernelArg::pointer(s.lengths->value));
  for (const StridedTensor *tensor : {&s.q, &s.k, &s.v})
    addPointer(tensor->factor);
  if (s.codes)
    addPointer(s.codes->scale);
}

/// At first each warpgroup has the same share of the registers. One that
/// multiplies has enough.
void AttentionKernel::setRegisters(int64_t count) {
  if (schedule.warpgroups == 1)
    return;
  NVVM::SetMaxRegisterOp::create(code, uint32_t(count),
                                 count > schedule.registers()
                                     ? NVVM::SetMaxRegisterAction::increase
                                     : NVVM::SetMaxRegisterAction::decrease);
}

Value AttentionKernel::negate(Value condition) {
  return LLVM::XOrOp::create(code, condition,
                             code.constant(code.getI1Type(), 1));
}

/// Warps behind those that multiply.
void AttentionKernel::writeOthers(Value begins) {
  setRegisters(schedule.producerRegisters());
  NVVM::SyncWarpOp::create(code, code.get(-1));
  auto letOthersBegin = [&] {
    if (!isCluster())
      syncThreads("arrive", 0, schedule.threads());
  };
  Value idle = negate(begins);
  if (schedule.expands()) {
    Value expands = code.compare(Predicate::ugt, warp, schedule.warps());
    code.when(expands, [&] { writeExpander(); });
    idle = LLVM::AndOp::create(code, idle, negate(expands));
    code.when(negate(expands), letOthersBegin);
  } else {
    letOthersBegin();
  }
  code.when(begins, [&] { writeProducer(); });
  if (!isCluster())
    return;
  // Those of writeProducer, writeExpander and writeConsumer.
  code.when(idle, [&] { clusterWait(); });
  // The thread that copies may not have waited yet: no lane of its warp
  // arrives a second time before.
  NVVM::SyncWarpOp::create(code, code.get(-1));
  clusterArrive(), clusterWait();
}

KernelLaunch AttentionKernel::write() {
  int64_t clusters =
      schedule.walkers ? schedule.walkers : schedule.items(shape);
  launch.grid = {clusters * schedule.splits, 1, 1};
  launch.block = {schedule.threads(), 1, 1};
  launch.cluster = {schedule.splits, 1, 1};
  launch.sharedBytes = schedule.sharedBytes();
  memory = LLVM::AddressOfOp::create(code, sm90::getDynamicMemory(function));
  findThread();
  // On its way while barriers are written.
  Value loaded = loadLength();
  Value begins = code.equal(thread, 128 * schedule.warpgroups);
  code.when(begins, [&] { writeBarriers(); });
  if (shape.codes)
    storeScale();
  if (isCluster())
    clusterArrive();
  findLength(loaded);
  Value multiplies = code.less(warp, schedule.warps());
  code.when(multiplies, [&] {
    setRegisters(schedule.consumerRegisters());
    isCluster() ? clusterWait() : syncThreads("sync", 0, schedule.threads());
    writeConsumer();
  });
  code.when(negate(multiplies), [&] { writeOthers(begins); });
  LLVM::ReturnOp::create(code, ValueRange());
  return launch;
}

//===----------------------------------------------------------------------===//
// What the block does
//===----------------------------------------------------------------------===//

Int AttentionKernel::signedMin(Int a, Int b) {
  return Int(LLVM::SMinOp::create(code, code.get(a), code.get(b)).getResult());
}

Int AttentionKernel::signedMax(Int a, Int b) {
  return Int(LLVM::SMaxOp::create(code, code.get(a), code.get(b)).getResult());
}

Int AttentionKernel::queryOf(Int row) {
  if (shape.order == RowOrder::Query)
    return row;
  return shape.order == RowOrder::QueryFirst ? code.div(row, shape.group())
                                             : code.rem(row, shape.queries);
}

Int AttentionKernel::headOf(Int row) {
  if (shape.order == RowOrder::Query)
    return matrix;
  Int inGroup = shape.order == RowOrder::QueryFirst
                    ? code.rem(row, shape.group())
                    : code.div(row, shape.queries);
  return code.add(code.mul(matrix, shape.group()), inGroup);
}

/// Blocks of a cluster are neighbours; splits of the same rows first.
void AttentionKernel::findThread() {
  sm90::Code &c = code;
  thread = NVVM::ThreadIdXOp::create(c, c.i32());
  lane = c.get(c.bitAnd(thread, 31));
  // From lane 0, so that ptxas knows it to be uniform.
  warp = NVVM::ShflOp::create(c, c.i32(), c.get(-1), c.get(c.shr(thread, 5)),
                              c.get(0), c.get(31), NVVM::ShflKind::idx,
                              UnitAttr());
  Int block = Value(NVVM::BlockIdXOp::create(c, c.i32()));
  split = c.rem(block, schedule.splits);
  cluster = c.div(block, schedule.splits);
}

/// A cluster has one item (AttentionSchedule::walks).
Value AttentionKernel::loadLength() {
  if (!shape.lengths)
    return Value();
  const StridedTensor &t = *shape.lengths;
  Int ofBatch = code.div(cluster, schedule.rowBlocks(shape) * shape.matrices());
  Int at = code.add(code.mul(ofBatch, t.strides[0]), t.offset);
  int64_t bytes = t.element.getIntOrFloatBitWidth() / 8;
  Value address = LLVM::GEPOp::create(
      code, code.pointer(1), code.getI8Type(), function.getArgument(lengthsArg),
      ArrayRef<LLVM::GEPArg>(LLVM::GEPArg(code.get(code.mul(at, bytes)))));
  return LLVM::LoadOp::create(code, t.element, address, unsigned(bytes));
}

/// Longer ones let all queries see all keys. From lane 0, as `warp`.
void AttentionKernel::findLength(Value loaded) {
  filled = shape.keys;
  if (!shape.lengths)
    return;
  Type type = loaded.getType();
  loaded = LLVM::SMaxOp::create(code, loaded, code.constant(type, 0));
  loaded = LLVM::SMinOp::create(
      code, loaded, code.constant(type, shape.keys + shape.queries));
  if (!type.isInteger(32))
    loaded = LLVM::TruncOp::create(code, code.i32(), loaded);
  length = Value(NVVM::ShflOp::create(code, code.i32(), code.get(-1), loaded,
                                      code.get(0), code.get(31),
                                      NVVM::ShflKind::idx, UnitAttr()));
  filled = signedMin(length, shape.keys);
}

/// The longest rows come first.
void AttentionKernel::findPlace(Int item) {
  sm90::Code &c = code;
  int64_t rowBlocks = schedule.rowBlocks(shape);
  Int rowBlock = c.rem(item, rowBlocks);
  if (shape.causal)
    rowBlock = c.sub(rowBlocks - 1, rowBlock);
  firstRow = c.mul(rowBlock, schedule.rows());
  Int rest = c.div(item, rowBlocks);
  matrix = c.rem(rest, shape.matrices());
  batch = c.div(rest, shape.matrices());
  kvHead = shape.folds() ? matrix : c.div(matrix, shape.group());
}

void AttentionKernel::forItems(ArrayRef<Value *> cells,
                               function_ref<void()> body) {
  if (schedule.walkers == 0) {
    findPlace(cluster);
    findTiles();
    return body();
  }
  Value item = code.get(cluster);
  SmallVector<Value *> all(cells);
  all.push_back(&item);
  code.loop(all, [&]() -> Value {
    findPlace(item);
    findTiles();
    body();
    item = code.get(code.add(item, schedule.walkers));
    return code.less(item, schedule.items(shape));
  });
}

/// Of causal attention; maybe below 0.
Int AttentionKernel::firstHidden(Int query) {
  return shape.followsLength
             ? code.sub(code.add(query, length), shape.queries - 1)
             : code.add(query, shape.shift + 1);
}

/// Tiles are shared evenly. A block always has one, so that there is something
/// to begin with: without keys of its own, none of the tile is before `limit`,
/// and with lengths it is one behind the end of the keys, which is not read.
void AttentionKernel::findTiles() {
  sm90::Code &c = code;
  Int seen = filled;
  allSee = filled;
  if (shape.causal) {
    Int last = c.min(c.add(firstRow, schedule.rows() - 1), shape.rows() - 1);
    Int low = queryOf(firstRow), high = queryOf(last);
    if (shape.order == RowOrder::HeadOfGroup) {
      Value alike = c.equal(headOf(firstRow), headOf(last));
      low = c.select(alike, low, 0);
      high = c.select(alike, high, shape.queries - 1);
    }
    auto endOf = [&](Int query) {
      return signedMin(signedMax(firstHidden(query), 0), filled);
    };
    seen = endOf(high), allSee = endOf(low);
  }
  Int all = c.div(c.add(seen, schedule.keys - 1), schedule.keys);
  Int first = c.div(c.mul(all, split), schedule.splits);
  Int end = c.div(c.mul(all, c.add(split, 1)), schedule.splits);
  tiles = signedMax(c.sub(end, first), 1);
  lastTile = c.add(first, c.sub(tiles, 1));
  if (shape.lengths)
    lastTile =
        c.select(c.equal(first, end),
                 int64_t(divideCeil(shape.keys, schedule.keys)), lastTile);
  limit = signedMin(c.mul(end, schedule.keys), filled);
  allSee = signedMin(allSee, limit);
}

//===----------------------------------------------------------------------===//
// Barriers
//===----------------------------------------------------------------------===//

/// By the thread that copies, which need not wait for anybody then.
void AttentionKernel::writeBarriers() {
  sm90::Code &c = code;
  const AttentionSchedule &s = schedule;
  auto initialize = [&](int64_t address, int64_t arrivals) {
    NVVM::MBarrierInitOp::create(c, at(address), c.get(arrivals), Value());
  };
  for (unsigned i : {1, 0, 2})
    NVVM::PrefetchOp::create(c, NVVM::PrefetchCacheLevelAttr(),
                             NVVM::CacheEvictionPriorityAttr(),
                             function.getArgument(i), Value(), c.getUnitAttr());
  for (int64_t i = 0; i < s.warpgroups; ++i) {
    initialize(queriesFull() + 8 * i, 1);
    initialize(queriesEmpty() + 8 * i, 4);
  }
  if (s.splits > 1) {
    initialize(ready(), (s.splits - 1) * s.warps());
    initialize(received(), 1);
  }
  for (int64_t i = 0; i < s.slots; ++i) {
    initialize(fullBegin() + 8 * i, 1);
    initialize(emptyBegin() + 8 * i, s.warps());
  }
  for (int64_t i = 0; i < s.rawSlots; ++i) {
    initialize(rawFull() + 8 * i, 1);
    initialize(rawEmpty() + 8 * i, 1);
  }
  NVVM::FenceMbarrierInitOp::create(c);
  NVVM::FenceProxyOp::create(
      c, NVVM::ProxyKind::async_shared,
      NVVM::SharedSpaceAttr::get(c.getContext(),
                                 NVVM::SharedSpace::shared_cta));
  if (s.splits == 1)
    return;
  // Totals come with the sums, or before.
  Int bytes = s.factorBytes();
  expect(at(received()), shape.weightCodes ? bytes : c.add(sumBytes(), bytes));
}

/// That the other splits send to this one.
Int AttentionKernel::sumBytes() {
  const AttentionSchedule &s = schedule;
  auto end = [&](Int part) {
    return code.div(code.mul(part, s.columns / 8), s.splits);
  };
  Int mine = code.sub(end(code.add(split, 1)), end(split));
  return code.mul(mine, (s.splits - 1) * s.vectorBytes());
}

/// What it orders are barriers and reads of products, which are done: with
/// release it would be a fence of the whole device.
void AttentionKernel::clusterArrive() {
  NVVM::ClusterArriveRelaxedOp::create(code, UnitAttr());
}

void AttentionKernel::clusterWait() {
  NVVM::ClusterWaitOp::create(code, UnitAttr());
}

/// The same place in the memory of a block of the cluster.
Value AttentionKernel::ofBlock(Value address, Int block) {
  return NVVM::MapaOp::create(code, code.pointer(7), address, code.get(block));
}

Value AttentionKernel::barrierAt(int64_t begin, Value stage) {
  return code.at(at(begin), code.shl(stage, 3));
}

void AttentionKernel::waitFor(Value barrier, Value phase) {
  code.spin([&]() -> Value {
    return NVVM::MBarrierTryWaitOp::create(code, code.getI1Type(), barrier,
                                           phase, Value());
  });
}

void AttentionKernel::waitFull(const AttentionRing &ring) {
  waitFor(barrierAt(fullBegin(), ring.stage), ring.phase);
}

void AttentionKernel::arrive(Value barrier) {
  NVVM::MBarrierArriveOp::create(code, Type(), barrier, Value());
}

/// By each warp that reads, when its products are done.
void AttentionKernel::release(Value stage) {
  code.when(code.equal(lane, 0),
            [&] { arrive(barrierAt(emptyBegin(), stage)); });
}

void AttentionKernel::advance(AttentionRing &ring, int64_t slots) {
  Int next = code.add(ring.stage, 1);
  Value wraps = code.equal(next, slots);
  ring.stage = code.select(wraps, 0, next);
  ring.phase = code.select(wraps, code.bitXor(ring.phase, 1), ring.phase);
}

} // namespace gpu
} // namespace nibble
