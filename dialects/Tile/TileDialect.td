//===- TileDialect.td - The inside of a tensor-core kernel -*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TILE_DIALECT_TD
#define NIBBLE_TILE_DIALECT_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"
include "mlir/IR/EnumAttr.td"
include "mlir/IR/BuiltinAttributes.td"

def Tile_Dialect : Dialect {
  let name = "tile";
  let cppNamespace = "::nibble::tile";
  let summary = "The inside of a tensor-core kernel: roles of warps, rings of stages, mma, epilogue, store";
  let description = [{
    One description of a GEMM-like kernel, lowered for Hopper (wgmma) or
    Blackwell (tcgen05). See README.md beside this file for the rationale.
  }];
  let useDefaultTypePrinterParser = 1;
  let useDefaultAttributePrinterParser = 1;
  let extraClassDeclaration = [{
    void registerTypes();
    void registerAttributes();
  }];
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

def Tile_AxisM : I32EnumAttrCase<"m", 0>;
def Tile_AxisN : I32EnumAttrCase<"n", 1>;
def Tile_Axis : I32EnumAttr<"Axis", "axis of the grid of output tiles",
                            [Tile_AxisM, Tile_AxisN]> {
  let cppNamespace = "::nibble::tile";
  let genSpecializedAttr = 0;
}
def Tile_AxisAttr : EnumAttr<Tile_Dialect, Tile_Axis, "axis">;

def Tile_RasterAttr : AttrDef<Tile_Dialect, "Raster"> {
  let mnemonic = "raster";
  let summary = "order in which output tiles are done";
  let description = [{
    `<m, group 4>`: the grid of tiles is cut into groups of 4 rows of tiles; in
    a group, m runs fastest, then n; then comes the next group (the last may be
    smaller). `n` exchanges the two. It decides which operand stays in the L2
    cache.
  }];
  let parameters = (ins EnumParameter<Tile_Axis>:$fastest, "int64_t":$group);
  let assemblyFormat = "`<` $fastest `,` `group` $group `>`";
  let genVerifyDecl = 1;
}

#endif // NIBBLE_TILE_DIALECT_TD
