//===- TileTypes.td - Shared and tensor memory, fragments -*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TILE_TYPES_TD
#define NIBBLE_TILE_TYPES_TD

include "TileDialect.td"

class Tile_Type<string name, string keyword> : TypeDef<Tile_Dialect, name> {
  let mnemonic = keyword;
  let genVerifyDecl = 1;
}

class Tile_Shaped<string name, string keyword> : Tile_Type<name, keyword> {
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape,
                        "::mlir::Type":$element);
  let assemblyFormat = "`<` custom<Shaped>($shape, $element) `>`";
}

def Tile_Slot : Tile_Type<"Slot", "slot"> {
  let summary = "a box of elements in shared memory, as TMA writes it";
  let description = [{
    Dense, row-major, the last dimension contiguous, 4-bit elements two per
    byte. With `swizzle S` (32, 64 or 128 bytes) rows are S bytes long and their
    16-byte chunks are exchanged as TMA does it; the slot is then aligned to 8
    rows. Every extent is at most 256, the last one a multiple of 16 bytes.

    `spread 1`: each 16 elements of 4 bits take 8 bytes, and 8 bytes nothing, as
    products of 4 and 8 bits want them.
  }];
  let parameters = (ins ArrayRefParameter<"int64_t">:$shape,
                        "::mlir::Type":$element,
                        DefaultValuedParameter<"int64_t", "0">:$swizzle,
                        DefaultValuedParameter<"int64_t", "0">:$spread);
  let assemblyFormat = [{
    `<` custom<Shaped>($shape, $element) (`,` `swizzle` $swizzle^)?
    (`,` `spread` $spread^)? `>`
  }];
  let extraClassDeclaration = [{
    int64_t getBytes() const;
    /// What a copy brings: without the bytes between spread elements.
    int64_t getLoadedBytes() const;
    /// Bits that an element takes.
    int64_t getElementBits() const;
    /// Bytes of the last dimension.
    int64_t getRowBytes() const;
    /// The dimension of which blocks of a cluster load a share each, for all:
    /// the first of more than one element.
    unsigned getSharedDim() const;
    /// In bytes: 8 rows of the swizzle, or 128.
    int64_t getAlignment() const { return getSwizzle() ? 8 * getSwizzle() : 128; }
  }];
}

def Tile_Acc : Tile_Shaped<"Acc", "acc"> {
  let summary = "accumulator of an mma: M x N";
  let description = [{
    On sm_90a the registers of the warps of a role; on sm_100a and sm_110a N
    columns of tensor memory. An `mma` updates it in place: the value it takes
    has no other use.
  }];
}

def Tile_Expanded : Tile_Shaped<"Expanded", "expanded"> {
  let summary = "operand A of an mma in registers: M x K, expanded from codes";
  let description = [{
    Only a name: tile.mma makes it piece by piece, while it multiplies the piece
    before. On sm_90a the operand A of wgmma.
  }];
}

def Tile_Operand : Tile_Shaped<"Operand", "operand"> {
  let summary = "operand A of an mma in tensor memory: M x K";
  let description = [{
    16-bit elements, two in a column; a row in each lane. A role of four warps writes
    it (tile.expand_into).
  }];
  let extraClassDeclaration = [{
    /// Columns of tensor memory.
    int64_t getColumns() const {
      return getShape()[1] * getElement().getIntOrFloatBitWidth() / 32;
    }
  }];
}

def Tile_ScaleTile : Tile_Shaped<"ScaleTile", "scales"> {
  let summary = "block scales in tensor memory: rows x scales along K";
  let description = [{
    Rows are a multiple of 128, scales of 4: the 128x4 tiles of tcgen05, each 4
    columns of tensor memory.
  }];
  let extraClassDeclaration = [{
    /// Columns of tensor memory.
    int64_t getColumns() const { return getShape()[0] / 128 * getShape()[1]; }
  }];
}

def Tile_Fragment : Tile_Shaped<"Fragment", "fragment"> {
  let summary = "result of an epilogue in registers: M x N";
}

def Tile_Ring : Tile_Type<"Ring", "ring"> {
  let summary = "stages that one role fills while others read";
  let description = [{
    Each stage holds all slots, with one full and one empty barrier. Slots are
    boxes in shared memory, or accumulators in tensor memory, or operands there,
    of one kind.
  }];
  let parameters = (ins "int64_t":$stages, ArrayRefParameter<"::mlir::Type">:$slots);
  let assemblyFormat = "`<` $stages `,` $slots `>`";
  let extraClassDeclaration = [{
    /// True if the stages are accumulators or operands in tensor memory.
    bool isTensorMemory() const;
    /// True if they are operands.
    bool isOperands() const;
    /// Bytes of shared memory: all stages, and 16 bytes of barriers for each.
    int64_t getSharedBytes() const;
    /// Columns of tensor memory.
    int64_t getColumns() const;
  }];
}

#endif // NIBBLE_TILE_TYPES_TD
