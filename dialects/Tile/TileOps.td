//===- TileOps.td - Ops of a tensor-core kernel -----------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TILE_OPS_TD
#define NIBBLE_TILE_OPS_TD

include "TileDialect.td"
include "TileTypes.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/InferTypeOpInterface.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Tile_Op<string mnemonic, list<Trait> traits = []>
    : Op<Tile_Dialect, mnemonic, traits>;

def Tile_Count : ConfinedAttr<I64Attr, [IntPositive]>;

//===----------------------------------------------------------------------===//
// Structure
//===----------------------------------------------------------------------===//

def Tile_KernelOp : Tile_Op<"kernel", [
    IsolatedFromAbove, SingleBlock, NoTerminator, Symbol, SymbolTable]> {
  let summary = "a kernel: its launch, its rings, its roles";
  let description = [{
    `grid` thread blocks run (persistent: see `for_tiles`), in clusters of
    `cluster` = [blocks along m, along n], or [along m, along n, along k]: blocks
    along k do one output tile together, each a slice of K (`slice`, `reduce`).
    Roles take warps in the order they stand. Arguments are row-major memrefs in global memory, read and written
    through tensor maps, and scalars. `shared` lowers the limit of shared memory
    below the target's, so that several blocks share a multiprocessor.

    `pair` (tensor memory; a cluster of 2 blocks along m): the two blocks multiply
    together (cta_group::2), M = 2 x 128. Each has its own tile: rows of A,
    accumulators, and scales; of the N rows of B, which both multiply with, each
    holds one half, and block 0 issues the products of both.

    The verifier proves of all roles together: every ring is filled by one role
    and emptied by at least one, equally often; stages are taken and given back
    in pairs; shared memory, tensor memory, registers and threads suffice.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, StrAttr:$target, Tile_Count:$grid,
                       DefaultValuedAttr<DenseI64ArrayAttr, "{1, 1}">:$cluster,
                       OptionalAttr<Tile_Count>:$shared, UnitAttr:$pair);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $sym_name `target` $target `grid` $grid (`cluster` $cluster^)?
    (`shared` $shared^)? (`pair` $pair^)? attr-dict-with-keyword custom<ArgsAndBody>($body)
  }];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    /// Bytes of shared memory: rings, barriers, staging of stores.
    int64_t getSharedBytes();
    /// Columns of tensor memory: rings of accumulators, block scales.
    int64_t getTensorColumns();
    /// Blocks of a cluster along m (0), n (1) and k (2).
    int64_t getBlocks(unsigned axis) {
      return axis < getCluster().size() ? getCluster()[axis] : 1;
    }
    int64_t getClusterSize() { return getBlocks(0) * getBlocks(1) * getBlocks(2); }
  }];
}

def Tile_RoleOp : Tile_Op<"role", [
    HasParent<"KernelOp">, SingleBlock, NoTerminator, Symbol]> {
  let summary = "what some warps of the block do, from start to end";
  let description = [{
    `registers` per thread, if the role asks for other than its share of the
    file (setmaxnreg): whole warpgroups only, and then in every role.

    `turns` T cuts the warps into T teams of whole warpgroups, which take turns on
    tiles (ping-pong): team t does the tiles t, t + T, ... of its block, so that
    one team multiplies while another is in its epilogue. They take stages in
    that order, a team when the one before it has all of its tile. The body says what a
    team does with a tile, in one tile.for_tiles; shapes are those of a team. A
    ring's stages go to the team whose tile they are for; such a role publishes
    nothing.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, Tile_Count:$warps,
                       OptionalAttr<Tile_Count>:$registers,
                       OptionalAttr<Tile_Count>:$turns);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $sym_name `warps` $warps (`registers` $registers^)? (`turns` $turns^)?
    attr-dict-with-keyword $body
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    int64_t getTeams() { return getTurns().value_or(1); }
    /// Warps that do a tile together.
    int64_t getTeamWarps() { return getWarps() / getTeams(); }
    /// Number of the role's first warp in the block.
    int64_t getFirstWarp();
    /// True if the role is made of whole warpgroups (4 warps, aligned to 4).
    bool isWarpgroups() { return getWarps() % 4 == 0 && getFirstWarp() % 4 == 0; }
  }];
}

def Tile_ForTilesOp : Tile_Op<"for_tiles", [
    HasParent<"RoleOp">, SingleBlock, NoTerminator]> {
  let summary = "loop over the output tiles of this block";
  let description = [{
    `tiles` = [along m, along n], of a block's tile; a cluster takes neighbours,
    so extents are multiples of the cluster's along m and n. Cluster c of C does tiles c,
    c + C, ... in the order of `raster`. All roles of a kernel walk alike.
  }];
  let arguments = (ins DenseI64ArrayAttr:$tiles, Tile_RasterAttr:$raster);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "$tiles `raster` $raster attr-dict-with-keyword custom<ArgsAndBody>($body)";
  let hasVerifier = 1;
}

def Tile_OnceOp : Tile_Op<"once", [
    HasParent<"RoleOp">, SingleBlock, NoTerminator]> {
  let summary = "one thread of one block of the grid runs the body";
  let description = [{
    For small things beside the work of the kernel, such as passing on the scale
    of a result. No rings, no barriers.
  }];
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = "attr-dict-with-keyword $body";
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Rings
//===----------------------------------------------------------------------===//

def Tile_RingOp : Tile_Op<"ring", [HasParent<"KernelOp">]> {
  let summary = "allocate the stages and barriers of a ring";
  let results = (outs Tile_Ring:$ring);
  let assemblyFormat = "attr-dict `:` qualified(type($ring))";
  let hasVerifier = 1;
}

class Tile_TakeOp<string mnemonic> : Tile_Op<mnemonic, [InferTypeOpAdaptor]> {
  let arguments = (ins Tile_Ring:$ring);
  let results = (outs Variadic<AnyTypeOf<[Tile_Slot, Tile_Acc, Tile_Operand]>>:$slots);
  let assemblyFormat = "$ring attr-dict `:` qualified(type($ring))";
}

def Tile_AcquireOp : Tile_TakeOp<"acquire"> {
  let summary = "wait until the next stage is empty; it is this role's to fill";
}

def Tile_PublishOp : Tile_Op<"publish"> {
  let summary = "hand the acquired stage to its readers";
  let description = [{
    Readers may go on when all loads into the stage have arrived, or, for a ring
    of accumulators, when the mma that `accs` are results of are done.
  }];
  let arguments = (ins Tile_Ring:$ring, Variadic<Tile_Acc>:$accs);
  let assemblyFormat = "$ring (`(` $accs^ `:` qualified(type($accs)) `)`)? attr-dict `:` qualified(type($ring))";
  let hasVerifier = 1;
}

def Tile_WaitOp : Tile_TakeOp<"wait"> {
  let summary = "wait until the next stage is full; read it until the release";
}

def Tile_ReleaseOp : Tile_Op<"release"> {
  let summary = "give the stage back to be filled again";
  let description = [{
    Takes effect when the mma that read the stage are done; nobody waits for
    them here (sm_90a arrives one K block later, sm_100a commits).
  }];
  let arguments = (ins Tile_Ring:$ring);
  let assemblyFormat = "$ring attr-dict `:` qualified(type($ring))";
}

def Tile_LoadOp : Tile_Op<"load"> {
  let summary = "TMA load of a box into an acquired slot";
  let description = [{
    Coordinates count boxes: element `coords[i] * extent of the slot`. Elements
    beyond the end are zero. `multicast n`: the blocks of the cluster along n
    need the same box; each loads its share of the rows (of the first dimension
    that has more than one) for all. `half`: the two
    blocks of a pair load one half each of a box of twice the rows, which is what
    the first coordinate counts.

    ```mlir
    tile.load %a[%m, %k] to %slot : memref<976x2048xf8E4M3FN>, !tile.slot<128x128xf8E4M3FN, swizzle 128>
    ```
  }];
  let arguments = (ins AnyStaticShapeMemRef:$source, Variadic<Index>:$coords,
                       Tile_Slot:$slot, OptionalAttr<Tile_AxisAttr>:$multicast,
                       UnitAttr:$half);
  let assemblyFormat = [{
    $source `[` $coords `]` `to` $slot (`multicast` `` $multicast^)? (`half` $half^)? attr-dict
    `:` qualified(type($source)) `,` qualified(type($slot))
  }];
  let hasVerifier = 1;
}

//===----------------------------------------------------------------------===//
// Matrix products
//===----------------------------------------------------------------------===//

def Tile_ZeroOp : Tile_Op<"zero"> {
  let summary = "accumulator of zeros in registers";
  let description = [{
    On sm_90a the lowering peels the first K block rather than writing zeros. With
    tensor memory, sums that tile.promote adds to.
  }];
  let results = (outs Tile_Acc:$acc);
  let assemblyFormat = "attr-dict `:` qualified(type($acc))";
  let hasVerifier = 1;
}

def Tile_ClearOp : Tile_Op<"clear", [AllTypesMatch<["acc", "result"]>]> {
  let summary = "accumulator of zeros in an acquired stage (tensor memory)";
  let description = "The first mma overwrites rather than adds.";
  let arguments = (ins Tile_Acc:$acc);
  let results = (outs Tile_Acc:$result);
  let assemblyFormat = "$acc attr-dict `:` qualified(type($acc))";
  let hasVerifier = 1;
}

def Tile_ScalesOp : Tile_Op<"scales", [AttrSizedOperandSegments]> {
  let summary = "copy block scales from shared to tensor memory";
  let description = [{
    Slots hold 128x4 tiles of scales as they lie in global memory:
    [rows / 128] x [scales / 4] x 2 x 256 (TMA rows hold at most 256 elements),
    several slots one behind the other along the rows. With `from`, row 0 of the
    result is that row of theirs, a multiple of 32: an output tile may begin
    inside of 128 rows.

    ```mlir
    %s = tile.scales %lower, %upper from %row : !s, !s -> !tile.scales<128x16xf8E4M3FN>
    ```
  }];
  let arguments = (ins Variadic<Tile_Slot>:$slots, Optional<Index>:$from);
  let results = (outs Tile_ScaleTile:$result);
  let assemblyFormat = "$slots (`from` $from^)? attr-dict `:` qualified(type($slots)) `->` qualified(type($result))";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Tiles of 128 rows in all slots.
    int64_t getRowTiles();
    /// Columns of tensor memory.
    int64_t getColumns() {
      return getRowTiles() * getResult().getType().getShape()[1];
    }
  }];
}

def Tile_ExpandOp : Tile_Op<"expand"> {
  let summary = "codes of 4 or 8 bits in shared memory as operand A of an mma (sm_90a)";
  let description = [{
    The result is code * scale * 2^exponent, exactly, in f16 or bf16; `exponent`
    is what the format needs for that, and the epilogue undoes it. Scales are
    E4M3 or (for bf16) E8M0, one for `per` elements along K; codes without
    scales have others, on sums (tile.promote) or behind them.

    Both slots are packed so that 16 bytes (or 8, of 32 k) of a lane are what it
    multiplies (FragmentLayout.h): codes are [M / 16] x 1 x [2 K] x i32 ([4 K] of 8 bits),
    scales [M / 16] x 1 x [16 K / per].

    ```mlir
    %w = tile.expand %c from f4E2M1FN scales(%s : !s) per 16 exponent -7 : !c -> !tile.expanded<128x64xf16>
    ```
  }];
  let arguments = (ins Tile_Slot:$codes, TypeAttr:$format, Optional<Tile_Slot>:$scales,
                       OptionalAttr<Tile_Count>:$per, I64Attr:$exponent);
  let results = (outs Tile_Expanded:$result);
  let assemblyFormat = [{
    $codes `from` $format (`scales` `(` $scales^ `:` qualified(type($scales)) `)` `per` $per)?
    `exponent` $exponent attr-dict `:` qualified(type($codes)) `->` qualified(type($result))
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// The exponent that makes products of codes of `format` and scales of
    /// `scale` (null: none) exact in `element`; nothing if there is no such
    /// expansion.
    static std::optional<int64_t> getExactExponent(
        ::mlir::Type format, ::mlir::Type scale, ::mlir::Type element);
  }];
}

def Tile_ExpandIntoOp : Tile_Op<"expand_into"> {
  let summary = "codes of 4 or 8 bits in shared memory to an operand in tensor memory";
  let description = [{
    As tile.expand, into an acquired stage, by a role of four warps: a thread has
    a row. Both slots are packed so that what a thread reads at once are 16
    bytes, those of neighbouring rows side by side (LaneLayout.h): codes are
    1 x 1 x C x 256 of i32 (512 bytes for each 4 k of 8 bits), scales 1 x 1 x S.

    ```mlir
    tile.expand_into %o, %c from f4E2M1FN scales(%s : !s) per 16 exponent -7 : !tile.operand<128x64xf16>, !c
    ```
  }];
  let arguments = (ins Tile_Operand:$operand, Tile_Slot:$codes, TypeAttr:$format,
                       Optional<Tile_Slot>:$scales, OptionalAttr<Tile_Count>:$per,
                       I64Attr:$exponent);
  let assemblyFormat = [{
    $operand `,` $codes `from` $format (`scales` `(` $scales^ `:` qualified(type($scales)) `)` `per` $per)?
    `exponent` $exponent attr-dict `:` qualified(type($operand)) `,` qualified(type($codes))
  }];
  let hasVerifier = 1;
}

def Tile_MmaOp : Tile_Op<"mma", [AllTypesMatch<["acc", "result"]>]> {
  let summary = "acc + A * transpose(B), over one K block";
  let description = [{
    A is M x K, B is N x K (in a pair of blocks: one half of these rows), both
    K-major, swizzled, from a waited stage; A may be
    expanded, or in tensor memory, instead. With
    `scales`, of A and of B, elements count times the scale of their block
    (`f8E4M3FN` per 16, or `f8E8M0FNU` per 32, along K). Legal formats and
    shapes are the target's (TileMma.cpp).

    ```mlir
    %d = tile.mma %a, %b into %c : !a, !b, !tile.acc<128x256xf32>
    %e = tile.mma %a, %b into %c scales(%sa, %sb : !sa, !sb) : !a, !b, !tile.acc<128x256xf32>
    ```
  }];
  let arguments = (ins AnyTypeOf<[Tile_Slot, Tile_Expanded, Tile_Operand]>:$a, Tile_Slot:$b, Tile_Acc:$acc,
                       Variadic<Tile_ScaleTile>:$scales);
  let results = (outs Tile_Acc:$result);
  let assemblyFormat = [{
    $a `,` $b `into` $acc (`scales` `(` $scales^ `:` qualified(type($scales)) `)`)? attr-dict
    `:` qualified(type($a)) `,` qualified(type($b)) `,` qualified(type($acc))
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    bool isExpanded() { return ::llvm::isa<ExpandedType>(getA().getType()); }
    ::mlir::Type getElementA();
    ::llvm::ArrayRef<int64_t> getShapeA();
  }];
}

def Tile_PromoteOp : Tile_Op<"promote", [AllTypesMatch<["acc", "result"]>, AttrSizedOperandSegments]> {
  let summary = "acc + sums of one block of K times their scales";
  let description = [{
    Waits for the products in `partial`, and adds to each element of `acc` that of
    `partial` times the scales of its row and its column, in f32, by one fused
    multiply-add. Both accumulators are registers of the role; with tensor memory,
    `partial` is of a stage that was waited for, and sums that an epilogue reads
    go back there, before the stage is given back.

    `packed`: scales of rows in a waited slot, [M / 16] x 1 x 16, of rows 0, 8, 1,
    9, ... of each 16; with tensor memory 1 x 1 x M, in order. `rows` (rows x
    blocks) and `cols` (blocks x columns) are in global memory: coordinates are
    the tile, [m, n], and the block of K. With `group` G, a multiple of N, a scale
    is for G columns. `transposed` (tensor memory): the same of the product with
    its operands exchanged: `rows` are blocks x rows, of G each, `cols` are
    columns x blocks.

    `late`: adds the sums of the round before, while products of this one are
    under way into a second accumulator; those of the last round are added
    behind the loop. `acc` is carried by the loop, and scales are in global
    memory, as the stage is given back before they are used.
  }];
  let arguments = (ins Tile_Acc:$partial, Tile_Acc:$acc, Optional<Tile_Slot>:$packed,
                       Optional<AnyStaticShapeMemRef>:$rows, Optional<AnyStaticShapeMemRef>:$cols,
                       Variadic<Index>:$coords, DefaultValuedAttr<Tile_Count, "1">:$group,
                       UnitAttr:$late, UnitAttr:$transposed);
  let results = (outs Tile_Acc:$result);
  let assemblyFormat = [{
    $partial `into` $acc (`at` `[` $coords^ `]`)? (`packed` `(` $packed^ `:` qualified(type($packed)) `)`)?
    (`rows` `(` $rows^ `:` qualified(type($rows)) `)`)?
    (`cols` `(` $cols^ `:` qualified(type($cols)) `)`)? (`group` $group^)? (`transposed` $transposed^)? (`late` $late^)? attr-dict
    `:` qualified(type($partial)) `,` qualified(type($acc))
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::llvm::ArrayRef<int64_t> getAccShape() { return getAcc().getType().getShape(); }
  }];
}

//===----------------------------------------------------------------------===//
// Slices of K
//===----------------------------------------------------------------------===//

def Tile_SliceOp : Tile_Op<"slice", [Pure]> {
  let summary = "K block number `index` of those that this block of the cluster does";
  let description = [{
    Of `blocks` K blocks each of the S blocks of the cluster along k does
    ceil(blocks / S) neighbouring ones, which a loop from 0 counts. Behind the
    last one there is nothing: loads give zeros.
  }];
  let arguments = (ins Index:$index, Tile_Count:$blocks);
  let results = (outs Index:$result);
  let assemblyFormat = "$index `of` $blocks attr-dict";
  let hasVerifier = 1;
}

def Tile_ReduceOp : Tile_Op<"reduce"> {
  let summary = "sums of the blocks of the cluster along k, of some columns in each (sm_90a)";
  let description = [{
    Adds up the accumulators of the S blocks that do a tile together, in the
    order of the blocks, and gives each block the sums of its part of the N
    columns: P = 8 * ceil(N / 8 / S), the part of block r beginning at
    min(r * P, N - P). Where N does not come out even, the last parts overlap;
    sums there are the same bits. An epilogue on the result and stores of what
    it makes are those of the part; coordinates stay those of the tile.

    Blocks write to each other's shared memory, once: a cluster does at most one
    tile.

    ```mlir
    %p = tile.reduce %sum : !tile.acc<128x64xf32> -> !tile.acc<128x16xf32>
    ```
  }];
  let arguments = (ins Variadic<Tile_Acc>:$accs);
  let results = (outs Variadic<Tile_Acc>:$parts);
  let assemblyFormat = "$accs attr-dict `:` qualified(type($accs)) `->` qualified(type($parts))";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Columns of a part of `columns` in `splits` blocks.
    static int64_t getPartColumns(int64_t columns, int64_t splits);
    /// Bytes of shared memory where the sums of all blocks arrive.
    int64_t getReceivedBytes();
    /// These bytes and a barrier.
    int64_t getStagingBytes() { return getReceivedBytes() + 16; }
    AccType getAccType() { return ::llvm::cast<AccType>(getAccs()[0].getType()); }
  }];
}

//===----------------------------------------------------------------------===//
// Results
//===----------------------------------------------------------------------===//

def Tile_EpilogueOp : Tile_Op<"epilogue", [AttrSizedOperandSegments, SingleBlock]> {
  let summary = "arithmetic on accumulators, a piece of a row at a time";
  let description = [{
    The body computes W neighbouring columns of one row: its first arguments are
    `vector<WxT>` of each accumulator (several of one shape: gate and up have
    their columns side by side), then one vector for each operand: the
    row's element of `rows` W times, the columns' elements of `cols`, those of
    `elements` at the same place (`transposed`: at [n, m]). It may use scalars from outside, and has no
    side effects. `[m, n]` is the tile, of which accumulators from a `reduce` are a
    part. A result `vector<VxU>` of the body makes
    a fragment of N / W * V columns: V = W / 2 joins gate and up, or packs codes
    of 4 bits. What neighbours have in common is a `block_max`.
  }];
  let arguments = (ins Variadic<Tile_Acc>:$accs, Index:$m, Index:$n,
                       Variadic<AnyStaticShapeMemRef>:$rows,
                       Variadic<AnyStaticShapeMemRef>:$cols,
                       Variadic<AnyStaticShapeMemRef>:$elements,
                       UnitAttr:$transposed);
  let results = (outs Variadic<Tile_Fragment>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $accs `at` `[` $m `,` $n `]` (`rows` `(` $rows^ `:` qualified(type($rows)) `)`)?
    (`cols` `(` $cols^ `:` qualified(type($cols)) `)`)?
    (`elements` `(` $elements^ `:` qualified(type($elements)) `)`)? (`transposed` $transposed^)?
    attr-dict-with-keyword custom<ArgsAndBody>($body) `:` qualified(type($accs)) `->` qualified(type($results))
  }];
  let hasVerifier = 1;
  let hasRegionVerifier = 1;
  let extraClassDeclaration = [{
    /// The type of every accumulator.
    AccType getAccType() { return ::llvm::cast<AccType>(getAccs()[0].getType()); }
    /// The op that gave this block its part of the tile's columns, if one did.
    ReduceOp getReduce();
    /// Rows and columns of the tile.
    ::llvm::ArrayRef<int64_t> getTileShape();
    /// Bytes of shared memory where warps find each other's maxima.
    int64_t getStagingBytes();
  }];
}

def Tile_BlockMaxOp : Tile_Op<"block_max", [Pure, HasParent<"EpilogueOp">, AllTypesMatch<["value", "result"]>]> {
  let summary = "the largest number of each block of neighbours";
  let description = [{
    Blocks are `block` neighbouring columns (along n) or rows (along m) of the
    tile, from its first one on. Each element becomes the largest of its block,
    as unsigned numbers: of bits of magnitudes, where a NaN is the largest. An
    epilogue has blocks of one kind, and no maximum of what follows from one.

    What depends on maxima alone is computed once per block, by one of the
    threads that have it.

    ```mlir
    %amax = tile.block_max %bits along n block 16 : vector<2xi32>
    ```
  }];
  let arguments = (ins VectorOfRankAndType<[1], [I16, I32]>:$value,
                       Tile_AxisAttr:$axis, Tile_Count:$block);
  let results = (outs VectorOfRankAndType<[1], [I16, I32]>:$result);
  let assemblyFormat = "$value `along` `` $axis `block` $block attr-dict `:` type($value)";
  let hasVerifier = 1;
}

def Tile_YieldOp : Tile_Op<"yield", [HasParent<"EpilogueOp">, Pure, Terminator]> {
  let summary = "results of an epilogue's body";
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "$values attr-dict `:` qualified(type($values))";
}

def Tile_StoreOp : Tile_Op<"store"> {
  let summary = "TMA store of a fragment through shared memory";
  let description = [{
    Coordinates count fragments, or tiles, of which a `reduce` left a part. Panels of `panel` columns are staged in shared
    memory, `buffers` of them in turn (all rows of the fragment); rows of a
    panel are 32, 64 or 128 bytes, swizzled. Elements beyond the end are not
    written. If the columns are no multiple of a panel, the last one overlaps.

    `transposed`: element [m, n] of the fragment goes to dest[n, m], for kernels
    whose M side is the weights. Coordinates are those of `dest`; a panel is
    then `panel` rows of it.
  }];
  let arguments = (ins Tile_Fragment:$value, AnyStaticShapeMemRef:$dest,
                       Variadic<Index>:$coords, Tile_Count:$panel, Tile_Count:$buffers,
                       UnitAttr:$transposed);
  let assemblyFormat = [{
    $value `to` $dest `[` $coords `]` (`transposed` $transposed^)?
    `panel` $panel `buffers` $buffers attr-dict
    `:` qualified(type($value)) `,` qualified(type($dest))
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Bytes of shared memory.
    int64_t getStagingBytes();
    /// Rows and columns that the fragments of a tile make, of all blocks along k.
    std::array<int64_t, 2> getTileShape();
  }];
}

def Tile_StoreBlocksOp : Tile_Op<"store_blocks"> {
  let summary = "one element of each block of a result, from registers";
  let description = [{
    `block` neighbouring columns of what an epilogue gives are equal, in each
    row: scales of what a `block_max` was taken of. The element for [m, n] of all
    tiles goes to dest[m, n / block]; those beyond the end are not written. These
    are few bytes of a row, which no tensor map could write. A `dest` of R x C x
    2 x 256 are the tiles of 128 x 4 block scales that products read
    (tile.scales), in which those behind the last column are zeros.

    `transposed`: `block` neighbouring rows are equal, and the element goes to
    dest[n, m / block].
  }];
  let arguments = (ins Tile_Fragment:$value, AnyStaticShapeMemRef:$dest,
                       Tile_Count:$block, UnitAttr:$transposed);
  let assemblyFormat = [{
    $value `to` $dest (`transposed` $transposed^)? `block` $block attr-dict
    `:` qualified(type($value)) `,` qualified(type($dest))
  }];
  let hasVerifier = 1;
}

#endif // NIBBLE_TILE_OPS_TD
