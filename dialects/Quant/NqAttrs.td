//===- NqAttrs.td - Layouts and enumerations --------------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_NQ_ATTRS_TD
#define NIBBLE_NQ_ATTRS_TD

include "NqDialect.td"

def Nq_LayoutAttr : AttrDef<Nq_Dialect, "Layout"> {
  let mnemonic = "layout";
  let summary = "storage order of a tensor: tiling + permutation + swizzle";
  let description = [{
    `#nq.layout<tiles [[T, ..], ..] order [..] (swizzle [B, M, S, W?])? (scales <..>)?>`

    Each logical dimension d is split by its tile factors T1..Tn (outer to
    inner) into n+1 digits: the outermost has extent ceil(dim / (T1*..*Tn)),
    the others T1..Tn. All digits are numbered dimension by dimension, outer
    digit first; `order` lists them from slowest to fastest in storage. Sizes
    that the factors do not divide are padded with zeros. (Rows of padding of
    scales in 128x4 tiles may be anything: only their own products have it.)

    `swizzle [B, M, S]` XORs B bits of the element offset, starting at bit
    M + S, into the bits starting at bit M. W, if it is there, says how words
    of eight 4-bit elements hold their bits (nibble/Dialect/Quant/WordCode.h): 1,
    so that E2M1 becomes pairs of f16 in few instructions, 2, pairs of bf16.

    `scales` is the layout of the grid of scales of a scaled tensor.

    The 128x4 scale-factor tile of tcgen05 over a grid [M, Kb] is
    `tiles [[4, 32], [4]] order [0, 3, 2, 1, 4]`.
  }];
  let parameters = (ins
    ArrayRefParameter<"::mlir::DenseI64ArrayAttr">:$tiles,
    ArrayRefParameter<"int64_t">:$order,
    ArrayRefParameter<"int64_t">:$swizzle,
    "::nibble::nq::LayoutAttr":$scales);
  let hasCustomAssemblyFormat = 1;
  let genVerifyDecl = 1;
  let extraClassDeclaration = [{
    /// Row-major layout of a tensor of `rank` dimensions.
    static LayoutAttr getRowMajor(::mlir::MLIRContext *context, int64_t rank);
    int64_t getRank() const { return getTiles().size(); }
    /// Extents of all digits for a tensor of `shape`, in digit order.
    ::llvm::SmallVector<int64_t> getDigitExtents(::llvm::ArrayRef<int64_t> shape) const;
    /// Elements of storage for a tensor of `shape`, padding included.
    int64_t getStorageSize(::llvm::ArrayRef<int64_t> shape) const;
    /// Storage offset (in elements) of the element at `index`.
    int64_t getOffset(::llvm::ArrayRef<int64_t> index,
                      ::llvm::ArrayRef<int64_t> shape) const;
    /// Logical index stored at `offset`; may lie in the padding, that is at or
    /// beyond `shape`.
    ::llvm::SmallVector<int64_t> getIndex(int64_t offset,
                                          ::llvm::ArrayRef<int64_t> shape) const;
    /// Layout of the tensor after permuting its logical dimensions: dimension
    /// i of the result is dimension perm[i] of this.
    LayoutAttr permute(::llvm::ArrayRef<int64_t> perm) const;
    /// True if storage order equals row-major order.
    bool isRowMajor() const;
  }];
}

def Nq_NormLayer : I32EnumAttrCase<"layer", 0>;
def Nq_NormRms : I32EnumAttrCase<"rms", 1>;
def Nq_NormKind : I32EnumAttr<"NormKind", "kind of normalization",
                              [Nq_NormLayer, Nq_NormRms]> {
  let cppNamespace = "::nibble::nq";
  let genSpecializedAttr = 0;
}
def Nq_NormKindAttr : EnumAttr<Nq_Dialect, Nq_NormKind, "norm_kind">;

#endif // NIBBLE_NQ_ATTRS_TD
