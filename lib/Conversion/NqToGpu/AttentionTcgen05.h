// Attention on Blackwell's tensor cores.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONTCGEN05_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONTCGEN05_H

#include "AttentionWgmma.h"

namespace nibble {
namespace gpu {

/// How an attention is spread over the machine, and a block laid out. A block
/// has 128 rows of queries and walks over tiles of keys and values; where there
/// are few rows, blocks of a cluster have the same ones and share the keys. One
/// thread copies them ahead, as pieces of up to two panels (128 bytes of each
/// key), into slots of shared memory; one multiplies; four warps, a row for
/// each thread, make weights of scores. FP8 pieces that are expanded come to
/// slots of their own; two more warps write what they stand for into the
/// others. Where the graph quantizes weights, a block walks over the keys
/// twice, first for maximum and sum of its rows alone; codes of weights are
/// multiplied with FP8 values as they are.
struct AttentionTcgen05Schedule : AttentionSchedule {
  AttentionTcgen05Schedule(const AttentionShape &shape,
                           const GpuTarget &target);

  static constexpr int64_t kRowWarps = 4, kExpandingWarps = 2;
  // Threads, in warps of their own.
  static constexpr int64_t kCopier = 32 * kRowWarps, kMultiplier = kCopier + 32,
                           kExpanders = kMultiplier + 32;
  static constexpr int64_t kPiecePanels = 2;

  int64_t blockThreads() const {
    return kExpanders + (expands() ? 32 * kExpandingWarps : 0);
  }

  bool walksTwice;    ///< over the keys: weights are codes of whole rows
  int64_t valueBytes; ///< of weights and values, as they are multiplied

  int64_t keyPieces() const { return llvm::divideCeil(panelsQK, kPiecePanels); }
  int64_t valuePieces() const {
    return llvm::divideCeil(panelsV, kPiecePanels);
  }
  int64_t pieces(bool isKey) const {
    return isKey ? keyPieces() : valuePieces();
  }
  int64_t panels(bool isKey, int64_t piece) const {
    int64_t all = isKey ? panelsQK : panelsV;
    return std::min(all - piece * kPiecePanels, kPiecePanels);
  }
  int64_t panelBytes() const { return keys * 128; }
  int64_t pieceBytes() const {
    return std::min(std::max(panelsQK, panelsV), kPiecePanels) * panelBytes();
  }

  // Columns of tensor memory: two tiles of scores, which weights take the place
  // of, and sums.
  int64_t sumsColumn() const { return 2 * keys; }
  int64_t tensorColumns() const {
    return llvm::PowerOf2Ceil(std::max<int64_t>(2 * keys + columns, 32));
  }
  /// Of sums that a thread has at once.
  int64_t stepColumns() const { return columns % 32 ? 16 : 32; }

  // Bytes from the begin of shared memory. Results take the place of all that
  // was read: rows of 16-byte chunks, an odd number of them, so that 8 threads
  // write to different banks. Blocks that share the keys have sums there, and
  // behind them the exponent and total of each row.
  int64_t slotBegin() const { return qBytes(); }
  int64_t codesBegin() const { return slotBegin() + slots * pieceBytes(); }
  int64_t resultPitch(int64_t elementBytes) const {
    return (columns * elementBytes / 16 | 1) * 16;
  }
  int64_t totalsBegin() const { return rows() * resultPitch(4); }
  /// Exponent and total of each row, from each block, between the two walks.
  int64_t receivedBegin() const { return ringEnd; }
  int64_t receivedBytes() const {
    return walksTwice && splits > 1 ? splits * rows() * 8 : 0;
  }
  /// Q has come; scores of either tile; weights; sums; scores of either tile
  /// were read in the first walk; totals have come; full and empty slots, of
  /// operands and of codes.
  int64_t barrierBegin() const { return receivedBegin() + receivedBytes(); }
  static constexpr int64_t kBarriers = 8;
  int64_t fullBegin() const { return barrierBegin() + kBarriers * 8; }
  int64_t emptyBegin() const { return fullBegin() + slots * 8; }
  int64_t codesFull() const { return emptyBegin() + slots * 8; }
  int64_t codesEmpty() const { return codesFull() + rawSlots * 8; }
  /// Where the address of tensor memory is.
  int64_t tensorAddress() const { return codesEmpty() + rawSlots * 8; }
  int64_t bytes() const { return tensorAddress() + 8; }

private:
  void findSplits(const AttentionShape &shape, const GpuTarget &target);
  double estimate(const AttentionShape &shape, const GpuTarget &target) const;

  int64_t ringEnd = 0;
};

/// Why emitAttentionTcgen05 does not take the part; empty if it does.
std::string whyNotAttentionTcgen05(mlir::func::FuncOp part);

/// As emitAttentionWgmma.
mlir::FailureOr<std::optional<GpuKernel>>
emitAttentionTcgen05(mlir::func::FuncOp part, mlir::gpu::GPUModuleOp target,
                     const GpuTarget &options, std::string &why);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_ATTENTIONTCGEN05_H
