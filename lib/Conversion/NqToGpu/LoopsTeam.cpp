// Threads that put together what each has of a fold.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LoopsTeam.h"
#include "PackedHalves.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace nibble {
namespace gpu {

using Values = SmallVector<Value>;

Value BlockExchange::get(unsigned i, Type type) {
  // Accumulators of one fold need memory of their own.
  while (buffers.size() <= i)
    buffers.push_back({});
  auto &[known, memory] = buffers[i];
  if (known != type) {
    known = type;
    Type stored = type.isIndex() ? f.b.getI32Type() : type;
    memory = f.makeShared(stored, 32);
  }
  return memory;
}

/// What bits of an f32 without its sign were, as pairs of 16 bits.
static std::optional<cpu::PackedHalves> findMagnitudes(cpu::Lanes bits) {
  auto masked = bits.v.getDefiningOp<arith::AndIOp>();
  auto cast =
      masked ? masked.getLhs().getDefiningOp<arith::BitcastOp>() : nullptr;
  DenseElementsAttr mask;
  if (!cast || !matchPattern(masked.getRhs(), m_Constant(&mask)) ||
      !mask.isSplat() || mask.getSplatValue<APInt>() != 0x7fffffff)
    return std::nullopt;
  return cpu::findPackedHalves(bits.wrap(cast.getIn()));
}

/// `size` lanes; of a product that is added without being rounded, it again.
static Value slice(ImplicitLocOpBuilder &b, Value lanes, int64_t from,
                   int64_t size) {
  if (arith::MulFOp product = cpu::findFusedProduct(lanes))
    return arith::MulFOp::create(b, slice(b, product.getLhs(), from, size),
                                 slice(b, product.getRhs(), from, size),
                                 product.getFastmath());
  auto numbers = llvm::to_vector(llvm::seq<int64_t>(from, from + size));
  return vector::ShuffleOp::create(b, lanes, lanes, numbers);
}

Value foldLanes(ImplicitLocOpBuilder &b, const cpu::Reduction &reduction,
                unsigned i, Value lanes) {
  auto type = dyn_cast<VectorType>(lanes.getType());
  if (!type)
    return lanes;
  if (reduction.kinds[i] == vector::CombiningKind::MAXUI)
    if (auto pairs = findMagnitudes({&b, lanes}))
      return cpu::largestMagnitude(*pairs);
  // Four sums of independent lanes go on side by side.
  int64_t count = type.getNumElements();
  if (count > 4 && count % 4 == 0) {
    Value sums = slice(b, lanes, 0, 4);
    for (int64_t from = 4; from < count; from += 4)
      sums = cpu::combine(b, reduction, i, slice(b, lanes, from, 4), sums);
    lanes = sums;
    count = 4;
  }
  for (int64_t half = count / 2; half >= 1; half /= 2)
    lanes = cpu::combine(b, reduction, i, slice(b, lanes, half, half),
                         slice(b, lanes, 0, half));
  return vector::ExtractOp::create(b, lanes, 0);
}

//===----------------------------------------------------------------------===//
// Warps
//===----------------------------------------------------------------------===//

static Value shuffle32(ImplicitLocOpBuilder &b, Value value, int64_t offset) {
  auto op = mlir::gpu::ShuffleOp::create(b, value, int32_t(offset), 32,
                                         mlir::gpu::ShuffleMode::XOR);
  return op.getShuffleResult();
}

/// The same as an integer of 32 bits or more.
static Value toBits(ImplicitLocOpBuilder &b, Value value) {
  Type type = value.getType();
  if (type.isIndex())
    return arith::IndexCastOp::create(b, b.getI32Type(), value);
  unsigned width = type.getIntOrFloatBitWidth();
  if (isa<FloatType>(type))
    value = arith::BitcastOp::create(b, b.getIntegerType(width), value);
  if (width < 32)
    value = arith::ExtUIOp::create(b, b.getI32Type(), value);
  return value;
}

static Value fromBits(ImplicitLocOpBuilder &b, Value bits, Type type) {
  if (type.isIndex())
    return arith::IndexCastOp::create(b, type, bits);
  unsigned width = type.getIntOrFloatBitWidth();
  if (width < 32)
    bits = arith::TruncIOp::create(b, b.getIntegerType(width), bits);
  if (isa<FloatType>(type))
    bits = arith::BitcastOp::create(b, type, bits);
  return bits;
}

/// The value of the lane whose number differs in `offset`.
static Value shuffle(ImplicitLocOpBuilder &b, Value value, int64_t offset) {
  Value bits = toBits(b, value);
  if (!bits.getType().isInteger(64))
    return fromBits(b, shuffle32(b, bits, offset), value.getType());
  Type i32 = b.getI32Type(), i64 = b.getI64Type();
  Value half = arith::ConstantOp::create(b, b.getI64IntegerAttr(32));
  Value low = arith::TruncIOp::create(b, i32, bits);
  Value high = arith::TruncIOp::create(
      b, i32, arith::ShRUIOp::create(b, bits, half).getResult());
  low = arith::ExtUIOp::create(b, i64, shuffle32(b, low, offset));
  high = arith::ExtUIOp::create(b, i64, shuffle32(b, high, offset));
  Value both = arith::OrIOp::create(
      b, low, arith::ShLIOp::create(b, high, half).getResult());
  return fromBits(b, both, value.getType());
}

Values foldWarp(ImplicitLocOpBuilder &b, const cpu::Reduction &reduction,
                int64_t lanes, ArrayRef<Value> values) {
  Values result(values);
  for (int64_t offset = lanes / 2; offset >= 1; offset /= 2)
    for (auto [i, value] : llvm::enumerate(result))
      value = cpu::combine(b, reduction, i, shuffle(b, value, offset), value);
  return result;
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

namespace {
/// Warps leave their values in shared memory, the first one takes them.
class BlockFold {
public:
  BlockFold(GpuFunction &f, BlockExchange &exchange,
            const cpu::Reduction &reduction)
      : f(f), b(f.b), exchange(exchange), reduction(reduction),
        warps(f.getThreads() / 32) {}

  Values run(ArrayRef<Value> values) {
    Values mine = foldWarp(b, reduction, 32, values);
    // What a fold before this left must have been read.
    mlir::gpu::BarrierOp::create(b);
    leave(mine);
    mlir::gpu::BarrierOp::create(b);
    return foldWarp(b, reduction, 32, take(mine));
  }

private:
  Value compare(arith::CmpIPredicate predicate, Value x, int64_t y) {
    return arith::CmpIOp::create(b, predicate, x, f.index(y));
  }

  void leave(ArrayRef<Value> values) {
    Value lane = arith::RemUIOp::create(b, f.threadId(), f.index(32));
    Value warp = arith::DivUIOp::create(b, f.threadId(), f.index(32));
    auto first =
        scf::IfOp::create(b, compare(arith::CmpIPredicate::eq, lane, 0),
                          /*withElseRegion=*/false);
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(first.thenYield());
    for (auto [i, value] : llvm::enumerate(values)) {
      Value memory = exchange.get(i, value.getType());
      Type stored = cast<MemRefType>(memory.getType()).getElementType();
      memref::StoreOp::create(b, fit(value, stored), memory, warp);
    }
  }

  Values take(ArrayRef<Value> values) {
    Value lane = arith::RemUIOp::create(b, f.threadId(), f.index(32));
    Value has = compare(arith::CmpIPredicate::ult, lane, warps);
    Value at = arith::SelectOp::create(b, has, lane, f.index(0));
    Values result;
    for (auto [i, value] : llvm::enumerate(values)) {
      Type type = value.getType();
      Value other =
          fit(memref::LoadOp::create(b, exchange.get(i, type), at).getResult(),
              type);
      result.push_back(arith::SelectOp::create(
          b, has, other, cpu::neutral(b, reduction, i, type)));
    }
    return result;
  }

  /// Accumulators that are not stored as they are: i1 and indices.
  Value fit(Value value, Type type) {
    Type from = value.getType();
    if (from == type)
      return value;
    if (from.isIndex() || type.isIndex())
      return arith::IndexCastOp::create(b, type, value);
    if (from.getIntOrFloatBitWidth() < type.getIntOrFloatBitWidth())
      return arith::ExtUIOp::create(b, type, value);
    return arith::TruncIOp::create(b, type, value);
  }

  GpuFunction &f;
  ImplicitLocOpBuilder &b;
  BlockExchange &exchange;
  const cpu::Reduction &reduction;
  int64_t warps;
};
} // namespace

Values foldTeam(GpuFunction &f, BlockExchange &exchange,
                const cpu::Reduction &reduction, int64_t team,
                ArrayRef<Value> values) {
  if (team <= 32)
    return foldWarp(f.b, reduction, team, values);
  return BlockFold(f, exchange, reduction).run(values);
}

//===----------------------------------------------------------------------===//
// Teams of warps
//===----------------------------------------------------------------------===//

/// All in a tree: neighbours first.
static Value combineAll(ImplicitLocOpBuilder &b,
                        const cpu::Reduction &reduction, unsigned i,
                        Values values) {
  while (values.size() > 1) {
    Values next;
    for (size_t k = 0; k + 1 < values.size(); k += 2)
      next.push_back(cpu::combine(b, reduction, i, values[k + 1], values[k]));
    if (values.size() % 2)
      next.push_back(values.back());
    values = std::move(next);
  }
  return values.front();
}

Values foldGroups(GpuFunction &f, const cpu::Reduction &reduction,
                  int64_t lanes, int64_t groups, Value first,
                  ArrayRef<Value> values) {
  ImplicitLocOpBuilder &b = f.b;
  Values mine = foldWarp(b, reduction, lanes, values), memory, result;
  Value lane = arith::RemUIOp::create(b, f.threadId(), f.index(lanes));
  Value group = arith::DivUIOp::create(b, f.threadId(), f.index(lanes));
  for (Value value : mine)
    memory.push_back(f.makeShared(value.getType(), f.getThreads() / lanes));
  Value isFirst =
      arith::CmpIOp::create(b, arith::CmpIPredicate::eq, lane, f.index(0));
  auto leave = scf::IfOp::create(b, isFirst, /*withElseRegion=*/false);
  b.setInsertionPoint(leave.thenYield());
  for (auto [value, buffer] : llvm::zip(mine, memory))
    memref::StoreOp::create(b, value, buffer, group);
  b.setInsertionPointAfter(leave);
  mlir::gpu::BarrierOp::create(b);
  auto at = [&](Value buffer, Value number) -> Value {
    if (first)
      number = arith::AddIOp::create(b, first, number);
    return memref::LoadOp::create(b, buffer, number);
  };
  if (groups <= 8 || lanes < 32) {
    for (auto [i, buffer] : llvm::enumerate(memory)) {
      Values all;
      for (int64_t k = 0; k < groups; ++k)
        all.push_back(at(buffer, f.index(k)));
      result.push_back(combineAll(b, reduction, i, all));
    }
    return result;
  }
  Value has = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, lane,
                                    f.index(groups));
  Value safe = arith::SelectOp::create(b, has, lane, f.index(0));
  for (auto [i, buffer] : llvm::enumerate(memory)) {
    Value other = at(buffer, safe);
    result.push_back(arith::SelectOp::create(
        b, has, other, cpu::neutral(b, reduction, i, other.getType())));
  }
  return foldWarp(b, reduction, 32, result);
}

} // namespace gpu
} // namespace nibble
