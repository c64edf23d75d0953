// The code of attention on Hopper's tensor cores, being written.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONKERNEL_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONKERNEL_H

#include "AttentionWgmma.h"

#include "Code.h"

namespace nibble {
namespace gpu {

using sm90::Int;

/// What a thread carries for each of its two rows, lane / 4 and 8 further on,
/// from tile to tile of keys. A weight is 2^(score * factor + exponent), where
/// `exponent` makes the largest one 2^kHeadroom.
struct AttentionRows {
  mlir::Value top[2];      ///< largest score; -inf: nothing was seen
  mlir::Value exponent[2]; ///< see above
  mlir::Value total[2];    ///< of the weights of this thread
  mlir::Value fade[2];     ///< what the sums before the last weights become
  /// Of weights that become codes: what makes numbers of codes of them. All
  /// keys of the row have been seen then, and the rest stays as it is.
  mlir::Value share[2];
};

/// Stage and phase of the ring, as one role sees them.
struct AttentionRing {
  mlir::Value stage, phase;
};

/// Writes the function. Rows of a warp and registers of a thread are those of
/// wgmma's fragment D (Sm90/Mma.h, Acc).
class AttentionKernel {
public:
  /// `exponents` of weights: so high that f16 holds small weights without
  /// loss, and the largest one is no infinity.
  static constexpr double kHeadroom = 14;
  /// Named barriers beside 0, where all threads begin, and those of takeTurn.
  static constexpr int64_t kExpandersBarrier = 3, kClearedBarrier = 4,
                           kExpandedBarrier = 5;

  AttentionKernel(const AttentionShape &shape,
                  const AttentionSchedule &schedule, mlir::Location loc,
                  mlir::gpu::GPUModuleOp target, const llvm::Twine &symbol);

  KernelLaunch write();

protected:
  // Kernels for Blackwell have parameters, places, masks and scales of scores
  // from here, and products and results of their own (AttentionTcgen05Kernel).
  using Values = llvm::SmallVector<mlir::Value>;

  // AttentionKernel.cpp: the function, its roles, barriers.
  mlir::LLVM::LLVMFuncOp createFunction(mlir::gpu::GPUModuleOp target,
                                        const llvm::Twine &symbol);
  void addMaps();
  TensorMap makeMap(const StridedTensor &tensor, int64_t rows,
                    int64_t rowStride, int64_t matrices, int64_t matrixStride,
                    int64_t elements, int64_t box);
  /// The same without swizzle, rows of `bytes`.
  static TensorMap makeRaw(TensorMap map, int64_t bytes);
  /// The pointer, a further parameter, of a factor that is loaded.
  void addPointer(const TensorFactor &factor);
  mlir::Value loadFactor(const TensorFactor &factor);
  void findThread();
  /// The number of keys of the block, as it is in memory, and what follows.
  mlir::Value loadLength();
  void findLength(mlir::Value loaded);
  /// Of the rows of cluster `item`.
  void findPlace(Int item);
  void findTiles();
  Int firstHidden(Int query);
  void writeOthers(mlir::Value begins);
  mlir::Value negate(mlir::Value condition);
  void writeBarriers();
  void setRegisters(int64_t count);
  void expect(mlir::Value barrier, Int bytes);
  void waitFor(mlir::Value barrier, mlir::Value phase);
  void arrive(mlir::Value barrier);
  mlir::Value barrierAt(int64_t begin, mlir::Value stage);
  void advance(AttentionRing &ring) { advance(ring, schedule.slots); }
  void advance(AttentionRing &ring, int64_t slots);
  /// If a tile of that kind is expanded.
  void advanceRaw(AttentionRing &raw, mlir::Value isKey);
  void release(mlir::Value stage);
  void waitFull(const AttentionRing &ring);
  /// `body` for the rows of one cluster after the other, or for those of this
  /// one. The cells are carried.
  void forItems(llvm::ArrayRef<mlir::Value *> cells,
                llvm::function_ref<void()> body);
  mlir::Value ofBlock(mlir::Value address, Int block);
  void clusterArrive();
  void clusterWait();
  // Barriers: rows of Q of a warpgroup have come, and can be replaced; all
  // other splits can take sums, and theirs have come; slots are full, and
  // empty.
  int64_t queriesFull() const { return schedule.barriers(); }
  int64_t queriesEmpty() const { return schedule.barriers() + 16; }
  int64_t ready() const { return schedule.barriers() + 32; }
  int64_t received() const { return schedule.barriers() + 40; }
  int64_t fullBegin() const { return schedule.barriers() + 48; }
  int64_t emptyBegin() const { return fullBegin() + 8 * schedule.slots; }
  // Of tiles that are expanded.
  int64_t rawFull() const { return emptyBegin() + 8 * schedule.slots; }
  int64_t rawEmpty() const { return rawFull() + 8 * schedule.rawSlots; }
  bool isCluster() const { return schedule.splits > 1; }

  // AttentionCopy.cpp: the thread that copies.
  void writeProducer();
  void copyQueries(mlir::Value phase);
  void copyFirstPass(AttentionRing &ring, AttentionRing &raw);
  void copyTile(bool isKey, Int tile, const AttentionRing &ring,
                const AttentionRing &raw);
  void copyPanels(bool isKey, Int tile, const AttentionRing &ring);
  void copyRaw(bool isKey, Int tile, const AttentionRing &raw);
  /// To all blocks in `blocks`, bits of the cluster, if there are several.
  void copy(mlir::Value map, Int target, llvm::ArrayRef<Int> coords,
            mlir::Value barrier, mlir::Value blocks);

  // AttentionExpand.cpp: FP8 tiles as the products take them.
  void writeExpander();
  void expandValueTiles(AttentionRing &ring, AttentionRing &raw);
  void passFirstTiles(AttentionRing &ring, AttentionRing &raw);
  void expandAllTiles(AttentionRing &ring, AttentionRing &raw);
  void meetExpanders(llvm::StringRef how);
  void expandTile(bool isKey, const AttentionRing &ring,
                  const AttentionRing &raw);
  void expandPieces(bool isKey, Int piece, int64_t count, mlir::Value from,
                    mlir::Value to);
  /// Four codes as two words.
  Values expandCodes(mlir::Value codes, mlir::Type storage, mlir::Type type);

  // AttentionConsumer.cpp: products.
  void writeConsumer();
  void findRows();
  /// Before the weights of the first tile meet its values: of keys that are not
  /// there, these become zeros.
  void clearBeyond(const AttentionRing &ring);
  mlir::Value getGroup() { return code.get(code.shr(warp, 2)); }
  /// Scores of a tile, alone on the tensor cores of the warpgroup.
  Values writeScores(AttentionRing &ring);
  /// A walk over all keys, for maximum and sum of the rows.
  void writeFirstPass(AttentionRows &rows, AttentionRing &ring);
  /// Weights of the first tile.
  Values writeFirst(AttentionRows &rows, AttentionRing &ring);
  void writeRounds(Values &sums, Values &weights, AttentionRows &rows,
                   AttentionRing &ring);
  void writeRound(Values &sums, Values &weights, AttentionRows &rows,
                  AttentionRing &ring, mlir::Value &tile);
  Values multiplyKeys(mlir::Value stage);
  void beginValues(Values &sums, Values &weights, mlir::Value slot);
  void fade(Values &sums, const AttentionRows &rows);
  /// Warpgroups take turns on the tensor cores, so that one computes weights
  /// while another one's products run.
  void takeTurn();
  void passTurn();
  /// bar.sync or .arrive.
  void syncThreads(llvm::StringRef how, Int barrier, int64_t threads);
  void multiplyValues(Values &sums, llvm::ArrayRef<mlir::Value> weights,
                      mlir::Value stage);
  /// wgmma.fence or wait, which the values pass through, so that nothing that
  /// computes or uses them moves across.
  Values pass(llvm::ArrayRef<mlir::Value> values, const std::string &text);
  mlir::Value getDescriptor(Int bytes, int64_t leading);
  void commit();

  // AttentionScores.cpp: masks and softmax of a tile.
  void adjust(Values &scores, Int tile);
  mlir::Value capped(mlir::Value score);
  mlir::Value bounded(mlir::Value mask);
  mlir::Value masked(mlir::Value score, int64_t r, Int key);
  void hideBeyond(Values &scores, Int tile);
  void begin(AttentionRows &rows);
  /// Scores become weights, of all that was seen so far or, if they become
  /// codes, of the whole row.
  void weigh(Values &scores, Int tile, AttentionRows &rows);
  void softmax(Values &scores, AttentionRows &rows);
  /// Four weights as codes, the first one lowest.
  mlir::Value encodeWeights(llvm::ArrayRef<mlir::Value> four);
  Values packCodes(llvm::ArrayRef<mlir::Value> weights);
  Values pack(llvm::ArrayRef<mlir::Value> weights);
  void findTop(llvm::ArrayRef<mlir::Value> scores, mlir::Value factor,
               unsigned r, AttentionRows &rows);
  /// Over the four threads of a row.
  mlir::Value
  reduce(mlir::Value x,
         llvm::function_ref<mlir::Value(mlir::Value, mlir::Value)> combine);
  /// Two numbers rounded to nearest, the first one in the low half.
  mlir::Value pack(mlir::Value low, mlir::Value high, mlir::Type type);
  mlir::Value exp2(mlir::Value x);
  mlir::Value number(double value);
  bool isAdjusted() const {
    return shape.mask || shape.softcap != 0 || !(shape.scoreScale() > 0);
  }
  /// Of scores, with what is loaded; times log2 e if they are not adjusted.
  void findScale();
  mlir::Value scoreFactor();
  mlir::Value isScaleNegative();
  void turnScores(Values &scores);

  // AttentionResult.cpp: merge and store.
  void writeResult(Values &sums, AttentionRows &rows);
  void writeWhole(Values &sums, const AttentionRows &rows);
  void sumTotals(AttentionRows &rows);
  /// Over threads and splits, when all keys were seen, and what follows.
  void findShares(AttentionRows &rows);
  void exchangeTotals(AttentionRows &rows);
  /// Tells the other splits that they can send.
  void tellReady();
  /// To split `part`, which counts senders by their distance.
  Int numberAt(int64_t part);
  Int placeAt(int64_t part, Int bytes);
  void sendTotals(int64_t part, const AttentionRows &rows);
  void sendPart(int64_t part, llvm::ArrayRef<mlir::Value> sums,
                const AttentionRows &rows);
  void send(llvm::ArrayRef<mlir::Value> values, Int address, int64_t offset,
            Int barrier);
  void mergePart(int64_t part, llvm::ArrayRef<mlir::Value> sums,
                 const AttentionRows &rows);
  /// Exponents and totals that the other splits sent.
  llvm::SmallVector<Values> loadTotals();
  /// What sums of the blocks are worth in row r, this block's first.
  struct MergedRow {
    Values factors;
    mlir::Value exponent, total; ///< of all
  };
  /// Exponents are brought to the lowest one of blocks that saw something.
  MergedRow mergeTotals(llvm::ArrayRef<mlir::Value> exponents,
                        llvm::ArrayRef<mlir::Value> totals);
  /// What makes numbers of codes of weights; of rows that saw nothing, zero.
  mlir::Value shareOf(mlir::Value total);
  mlir::Value isZero(mlir::Value x);
  MergedRow merge(llvm::ArrayRef<Values> others, const AttentionRows &rows,
                  unsigned r);
  /// Of the blocks' sums of row r.
  Values getFactors(llvm::ArrayRef<Values> others, const AttentionRows &rows,
                    unsigned r);
  /// Of the thread, or of its rows, in vectors of all.
  Int placeOfThread() { return code.shl(thread, 4); }
  Int placeOfRows() { return code.shl(code.shr(thread, 2), 4); }
  Values loadFloats(mlir::Value address, int64_t count);
  Int sumBytes();
  mlir::Value valueFactor();
  void storeRow(llvm::ArrayRef<mlir::Value> sums, unsigned r,
                int64_t firstChunk);
  void storeHalves(llvm::ArrayRef<mlir::Value> sums, unsigned r,
                   mlir::Value line, mlir::Value isInside);
  void storeFloats(llvm::ArrayRef<mlir::Value> sums, unsigned r,
                   mlir::Value line, mlir::Value isInside);
  void store(mlir::Value value, mlir::Value line, int64_t bytes,
             unsigned alignment = 0);
  mlir::Value advanced(mlir::Value line, mlir::Value bytes);

  // AttentionCodes.cpp: the result as codes.
  void storeCodes(llvm::ArrayRef<mlir::Value> sums, unsigned r,
                  int64_t firstChunk, mlir::Value line, mlir::Value isInside);
  Values encode(llvm::ArrayRef<mlir::Value> sums, unsigned r);
  Values exchange(llvm::ArrayRef<mlir::Value> words);
  /// Behind the codes, once.
  void storeScale();

  // Rows of the matrix to queries and heads.
  Int queryOf(Int row);
  Int headOf(Int row);
  Int signedMin(Int a, Int b);
  Int signedMax(Int a, Int b);
  /// The cells are carried, as in Code::loop; asks before each round.
  void whileLoop(llvm::ArrayRef<mlir::Value *> cells,
                 llvm::function_ref<mlir::Value()> ask,
                 llvm::function_ref<void()> round);
  /// `values` as `then` leaves them, or as they are.
  void branch(mlir::Value condition, Values &values,
              llvm::function_ref<void()> then);
  mlir::Value at(int64_t bytes) { return code.at(memory, Int(bytes)); }

  const AttentionShape &shape;
  const AttentionSchedule &schedule;
  KernelLaunch launch;
  // Parameters; before the function, which is made from them.
  unsigned maskArg = 0, lengthsArg = 0;
  llvm::SmallVector<std::pair<const TensorFactor *, unsigned>> factorArgs;
  mlir::LLVM::LLVMFuncOp function;
  sm90::Code code;
  mlir::Value memory; ///< begin of shared memory
  mlir::Value thread, lane, warp;
  Int split = 0, cluster = 0, firstRow = 0, matrix = 0, batch = 0, kvHead = 0;
  Int length = 0;              ///< of the keys, loaded; at most keys + queries
  Int filled = 0;              ///< keys that there are
  Int lastTile = 0, tiles = 0; ///< of this block, from the last one down
  Int limit = 0;  ///< keys from here on are another block's, or none
  Int allSee = 0; ///< keys before that are seen by all rows
  Int rowOfThread = 0, keyOfThread = 0;
  Int ends[2] = {0, 0};    ///< keys that the thread's rows see
  mlir::Value maskRows[2]; ///< where the mask of the row begins
  mlir::Value loadedScale; ///< of scores, see findScale
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONKERNEL_H
