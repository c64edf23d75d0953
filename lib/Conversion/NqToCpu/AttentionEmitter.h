// Emits attention for one block of query rows of one stack of heads.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   for each chunk of keys: pack K to panels of 16 keys     (once per stack
//     for each panel, for each tile: scores = scale * q k^T  if it is one)
//   for each row: softcap, mask, softmax
//   for each chunk of keys: pack V to panels of 16 columns
//     for each panel, for each tile: sums += scores * V
//   round the sums to the strip
//
// Few rows take K and V where they lie: eight keys at a time, summed along the
// lanes; values by whole rows. With lengths, keys end where the length says,
// and so do all loops.
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_ATTENTIONEMITTER_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_ATTENTIONEMITTER_H

#include "AttentionPlan.h"
#include "GemmCode.h"

namespace nibble {
namespace cpu {

/// Flat buffers of elements of the operands' types (i1: bytes; `mask` and
/// `lengths` may be null) and the scratch.
struct AttentionArgs {
  mlir::Value q, k, v, mask, lengths, scratch;
};

class AttentionEmitter {
public:
  /// Code is emitted where `code` stands.
  AttentionEmitter(GemmCode &code, const AttentionPlan &plan,
                   const AttentionArgs &args);

  /// Row block `block` of a stack: sets `rowFrom` and `rowTo`.
  void enterBlock(mlir::Value block);
  /// The stack whose first head is `head`, counted over all batches; packs its
  /// keys and values if that is done once. If `isNew` (an i1) is given and
  /// false, the stack before it has been entered last: its keys and values
  /// stay, if they are of the same kv head.
  void enterStack(mlir::Value head, mlir::Value isNew = {});
  /// Results of the block's rows in `strip`: query s (of the block) of the
  /// stack's head h begins at element `at` + s * `pitch` + h * width.
  void emitBlock(mlir::Value strip, mlir::Value at, int64_t pitch,
                 rt::StorageFormat format);

  mlir::Value rowFrom, rowTo; ///< rows of the block within its stack

private:
  using RowsBody = llvm::function_ref<void(int64_t rows, mlir::Value row)>;

  mlir::Value rowOfTile(mlir::Value tile);
  void loadLength();
  void findKeys();
  mlir::Value keysBefore(mlir::Value query);
  void forEachTile(RowsBody body);
  void
  forEachChunk(llvm::function_ref<void(mlir::Value from, mlir::Value to)> body);

  // AttentionPack.cpp
  void packKeys(mlir::Value from, mlir::Value to);
  void packKeyPanel(mlir::Value panel, mlir::Value to, int64_t count);
  void packEightKeys(mlir::Value key, mlir::Value to, int64_t count);
  void packValues(mlir::Value from, mlir::Value to);
  void packValueRow(mlir::Value from, mlir::Value to);

  void convertQueries();
  mlir::Value firstQuery();
  void emitScores(mlir::Value from, mlir::Value to);
  void emitSums(mlir::Value from, mlir::Value to);
  // AttentionDirect.cpp
  void emitDirectScores();
  void scoreEightKeys(mlir::Value row, mlir::Value key);
  void scoreOneKey(mlir::Value row, mlir::Value key);
  void emitDirectSums();
  void sumColumns(int64_t rows, mlir::Value row, int64_t column,
                  int64_t vectors);
  mlir::Value scaled(mlir::Value x);
  void finish(mlir::Value strip, mlir::Value at, int64_t pitch,
              rt::StorageFormat format);

  /// acc[rows][8 * vectors] += A * B: rows of A are `pitch` apart, those of B
  /// 16.
  struct Operand {
    mlir::Value memref, at;
    int64_t pitch = 0;
  };
  struct Tile {
    int64_t rows, vectors;
    Operand a, b;
  };
  /// Over `count` k, a multiple of 8, and `rest` more.
  llvm::SmallVector<mlir::Value> multiply(const Tile &tile, mlir::Value count,
                                          int64_t rest, mlir::ValueRange start);
  void step(llvm::SmallVectorImpl<mlir::Value> &sums, const Tile &tile,
            mlir::Value k, int64_t offset);
  void storeTile(mlir::ValueRange values, const Tile &tile, const Operand &to);
  void forEachPanel(mlir::Value from, mlir::Value to, int64_t size,
                    llvm::function_ref<void(mlir::Value, int64_t)> body);
  void sumKeys(mlir::Value first, mlir::Value key, mlir::Value count);

  // AttentionSoftmax.cpp
  void emitSoftmax();
  void softmaxRow(mlir::Value row);
  mlir::Value visibleKeys(mlir::Value row);
  void normalizeRow(mlir::Value at, mlir::Value end);
  void quantizeRow(mlir::Value at, mlir::Value end, mlir::Value total,
                   mlir::Value nothing);
  mlir::Value placeOfMask(mlir::Value row);
  mlir::Value adjust(mlir::Value scores, mlir::Value key, mlir::Value maskAt);
  mlir::Value loadMask(mlir::Value at, int64_t lanes);
  void adjustRow(mlir::Value at, mlir::Value limit, mlir::Value row);
  mlir::Value padRow(mlir::Value at, mlir::Value limit);
  mlir::Value maximumOf(mlir::Value at, mlir::Value end);
  mlir::Value largest(mlir::Value x, mlir::Value y);
  mlir::Value exponential(mlir::Value x);
  mlir::Value exponentials(mlir::Value at, mlir::Value end, mlir::Value top);

  GemmCode &code;
  const AttentionPlan &plan;
  AttentionArgs args;
  mlir::Value queries, packedKeys, packedValues, scores, sums;
  mlir::Value head;      ///< first head of the stack, over all batches
  mlir::Value queriesAt; ///< first row of the stack in q
  mlir::Value keysAt, valuesAt;
  mlir::Value length; ///< loaded, between 0 and keys + queries
  mlir::Value filled; ///< keys that there are
  mlir::Value keyEnd; ///< keys that some row of the block sees
  mlir::Value panelEnd;
};

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_ATTENTIONEMITTER_H
