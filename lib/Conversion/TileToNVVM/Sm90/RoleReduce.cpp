// Slices of K: sums of the blocks of a cluster, added up.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A thread has the same rows and columns of the tile in all blocks, and its
// sums of a chunk (8 columns, two rows) are 16 bytes. So what a block gets are
// [sender, accumulator, part, chunk, thread] vectors: written and read without
// bank conflicts, by the threads that use them. A block sends to itself, too,
// so that all columns are added up in the order of the blocks, whoever does it.
#include "Role.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;
using namespace nibble::sm90;

static constexpr int64_t kVectorBytes = 16;

Int Role::getSlice(tile::SliceOp op) {
  int64_t share =
      llvm::divideCeil(int64_t(op.getBlocks()), kernel.getBlocks(2));
  return code.add(code.mul(kernel.threads.rankK, share), getInt(op.getIndex()));
}

namespace {

/// One tile.reduce.
class Reduction {
public:
  Reduction(Kernel &kernel, tile::RoleOp role, tile::ReduceOp op)
      : kernel(kernel), code(kernel.getCode()), role(role), op(op),
        splits(kernel.getBlocks(2)), columns(op.getAccType().getShape()[1]),
        chunks(tile::ReduceOp::getPartColumns(columns, splits) / 8),
        threads(role.getWarps() * 32),
        begin(kernel.shared.reductions.lookup(op)),
        thread(code.sub(kernel.threads.thread, role.getFirstWarp() * 32)) {}

  void send(ArrayRef<Acc> accs);
  void wait();
  /// Into `results`, whose registers have no values yet.
  void addUp(MutableArrayRef<Acc> results);

private:
  Value getBarrier() {
    return code.at(kernel.memory, begin + op.getReceivedBytes());
  }
  int64_t getSenderBytes() { return op.getReceivedBytes() / splits; }
  /// Of a chunk of 64 rows of an accumulator, among those of a sender.
  int64_t getPlace(int64_t part, int64_t chunk) {
    return (part * chunks + chunk) * threads * kVectorBytes;
  }
  int64_t getFirstChunk(int64_t split) {
    return std::min(split * chunks, columns / 8 - chunks);
  }
  Int ofBlock(int64_t split, Value address);
  void sendChunk(Value part, int64_t chunk, Int address, int64_t offset,
                 Int barrier);

  Kernel &kernel;
  Code &code;
  tile::RoleOp role;
  tile::ReduceOp op;
  int64_t splits, columns, chunks, threads, begin;
  Int thread;
};

} // namespace

/// The same place in the memory of a block of the cluster.
Int Reduction::ofBlock(int64_t split, Value address) {
  const Threads &t = kernel.threads;
  int64_t blocksM = kernel.getBlocks(0), blocksN = kernel.getBlocks(1);
  Int rank = code.add(code.add(t.rankM, code.mul(t.rankN, blocksM)),
                      split * blocksM * blocksN);
  Value there =
      NVVM::MapaOp::create(code, code.pointer(7), address, code.get(rank));
  return Int(LLVM::PtrToIntOp::create(code, code.i32(), there).getResult());
}

/// Bytes are counted at the barrier when they are there.
void Reduction::sendChunk(Value part, int64_t chunk, Int address,
                          int64_t offset, Int barrier) {
  SmallVector<Value> operands{code.get(address)};
  for (int64_t e = 4 * chunk; e < 4 * chunk + 4; ++e)
    operands.push_back(
        LLVM::ExtractValueOp::create(code, part, ArrayRef<int64_t>(e)));
  operands.push_back(code.get(barrier));
  code.emitAsm("st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4."
               "f32 [$0+" +
                   Twine(offset) + "], {$1, $2, $3, $4}, [$5];",
               "r,f,f,f,f,r,~{memory}", {}, operands, /*hasEffects=*/true);
}

/// A chunk for each block in turn: all of them receive all the time.
void Reduction::send(ArrayRef<Acc> accs) {
  code.when(code.equal(thread, 0), [&] {
    NVVM::MBarrierArriveExpectTxOp::create(
        code, Type(), getBarrier(), code.get(op.getReceivedBytes()),
        NVVM::MemScopeKind::CTA, /*relaxed=*/false, Value());
  });
  Int place = code.add(code.mul(kernel.threads.rankK, getSenderBytes()),
                       code.mul(thread, kVectorBytes));
  Value here = code.at(kernel.memory, code.add(place, begin));
  SmallVector<Int> places, barriers;
  for (int64_t split = 0; split < splits; ++split) {
    places.push_back(ofBlock(split, here));
    barriers.push_back(ofBlock(split, getBarrier()));
  }
  int64_t number = 0;
  for (const Acc &acc : accs)
    for (Value part : acc.parts) {
      for (int64_t i = 0; i < chunks; ++i)
        for (int64_t split = 0; split < splits; ++split)
          sendChunk(part, getFirstChunk(split) + i, places[split],
                    getPlace(number, i), barriers[split]);
      ++number;
    }
}

void Reduction::wait() {
  code.spin([&]() -> Value {
    return NVVM::MBarrierTryWaitOp::create(code, code.getI1Type(), getBarrier(),
                                           code.get(0), Value());
  });
}

void Reduction::addUp(MutableArrayRef<Acc> results) {
  Value base = LLVM::PtrToIntOp::create(code, code.i32(), kernel.memory);
  Int address = code.add(code.add(base, code.mul(thread, kVectorBytes)), begin);
  int64_t number = 0;
  for (Acc &acc : results)
    for (Value &part : acc.parts) {
      for (int64_t i = 0; i < chunks; ++i) {
        SmallVector<Value> sums;
        for (int64_t split = 0; split < splits; ++split) {
          Int at =
              code.add(address, split * getSenderBytes() + getPlace(number, i));
          auto words = loadWords(code, code.get(at), 4);
          for (auto [e, word] : llvm::enumerate(words)) {
            Value x = LLVM::BitcastOp::create(code, code.getF32Type(), word);
            if (split == 0)
              sums.push_back(x);
            else
              sums[e] = LLVM::FAddOp::create(code, sums[e], x);
          }
        }
        for (auto [e, sum] : llvm::enumerate(sums))
          part = LLVM::InsertValueOp::create(code, part, sum,
                                             ArrayRef(4 * i + int64_t(e)));
      }
      ++number;
    }
}

/// Nobody asks whether the memory of a block is free: there is one tile, and
/// all blocks have begun.
LogicalResult Role::writeReduce(tile::ReduceOp op) {
  FailureOr<SmallVector<Acc>> sums = settleAccs(op, op.getAccs());
  if (failed(sums))
    return failure();
  Reduction reduction(kernel, this->op, op);
  reduction.send(*sums);
  reduction.wait();
  SmallVector<Acc> results;
  for (Value part : op.getParts()) {
    Acc acc = mma->getZero(cast<tile::AccType>(part.getType()));
    acc.isZero = false;
    acc.isSettled = true;
    results.push_back(acc);
  }
  reduction.addUp(results);
  for (auto [part, acc] : llvm::zip(op.getParts(), results))
    accs[part] = acc;
  return success();
}

/// Where the block's part of the tile's columns begins.
Int Role::getFirstColumn(tile::EpilogueOp epilogue) {
  if (!epilogue.getReduce())
    return 0;
  int64_t columns = epilogue.getTileShape()[1];
  int64_t part = epilogue.getAccType().getShape()[1];
  Int first = code.mul(kernel.threads.rankK, part);
  bool overlaps = part * kernel.getBlocks(2) > columns;
  return overlaps ? code.min(first, columns - part) : first;
}
