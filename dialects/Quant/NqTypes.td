//===- NqTypes.td - Scaled element types ------------------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_NQ_TYPES_TD
#define NIBBLE_NQ_TYPES_TD

include "NqDialect.td"

def Nq_ScaledType : TypeDef<Nq_Dialect, "Scaled"> {
  let mnemonic = "scaled";
  let summary = "element of a tensor stored as low-precision codes with scales";
  let description = [{
    `!nq.scaled<STORAGE, SCALE per BLOCK (, global TYPE)? (, zero_point)?>`

    * STORAGE: `f4E2M1FN`, `f8E4M3FN`, `f8E5M2`, `si4`, `ui4`, `si8`, `ui8`;
      `f16` and `bf16` for narrow codes that a target stores wider (nq.widen).
    * SCALE: `f32`, `f16`, `bf16`, `f8E4M3FN`, `f8E8M0FNU`.
    * BLOCK: `tensor` for one scale in all, or a dimension list over the
      trailing dimensions, `?` meaning the full extent: `1x16` (NVFP4 along the
      last axis), `?x1` (per output channel of a KxN weight), `128x128`.
      Leading dimensions that the list does not cover have a scale each.
    * `global T`: a second, per-tensor scale. The effective scale of a block is
      `RNE_T(block_scale * global)`: T names the precision the model declares
      for the combined scale (f32 in ModelOpt files, f16 in Edge-LLM files).
    * `zero_point`: codes are offset by an integer per scale; integers only.

    Value of an element = (code - zero_point) * effective_scale, a real number.

    Short forms: `!nq.nvfp4`, `!nq.mxfp4`, `!nq.mxfp8`, `!nq.fp8`.
  }];
  let parameters = (ins
    "::mlir::Type":$storage,
    "::mlir::Type":$scale,
    ArrayRefParameter<"int64_t">:$block,
    "::mlir::Type":$global,
    "bool":$zeroPoint);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let skipDefaultBuilders = 0;
  let extraClassDeclaration = [{
    /// The four formats with a short form.
    static ScaledType getNvfp4(::mlir::MLIRContext *context);
    static ScaledType getMxfp4(::mlir::MLIRContext *context);
    static ScaledType getMxfp8(::mlir::MLIRContext *context);
    static ScaledType getFp8(::mlir::MLIRContext *context);

    /// True if one scale serves the whole tensor.
    bool isPerTensor() const { return getBlock().empty(); }
    /// Bits of one code: 4 or 8; 16 if it was widened.
    unsigned getStorageBits() const {
      return getStorage().getIntOrFloatBitWidth();
    }
    /// Block extents for a tensor of `shape`, one per dimension, `?` resolved
    /// and leading dimensions filled with 1 (or full extents if per tensor).
    ::llvm::SmallVector<int64_t> getBlockFor(::llvm::ArrayRef<int64_t> shape) const;
    /// Extents of the grid of scales: ceil(shape / block).
    ::llvm::SmallVector<int64_t> getScaleGrid(::llvm::ArrayRef<int64_t> shape) const;
    /// Bytes of the codes of a row-major tensor of `shape`.
    int64_t getCodeBytes(::llvm::ArrayRef<int64_t> shape) const;
    /// Bytes of all block scales of a tensor of `shape`.
    int64_t getScaleBytes(::llvm::ArrayRef<int64_t> shape) const;
  }];
}

#endif // NIBBLE_NQ_TYPES_TD
