//===- NqOps.td - Graph ops -------------------------------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_NQ_OPS_TD
#define NIBBLE_NQ_OPS_TD

include "NqDialect.td"
include "NqTypes.td"
include "NqAttrs.td"
include "NqInterfaces.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/ControlFlowInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Nq_Op<string mnemonic, list<Trait> traits = []>
    : Op<Nq_Dialect, mnemonic, traits>;

def Nq_AnyTensor : StaticShapeTensorOf<[AnyType]>;
def Nq_FloatTensor : StaticShapeTensorOf<[AnyFloat]>;

def Nq_ConstantOp : Nq_Op<"constant", [Pure]> {
  let summary = "constant held in resources: codes, scales, global scale";
  let description = [{
    Data always stands in linear (row-major) order whatever the layout in the
    result type says; packing into the layout happens when the engine is
    written.

    For a scaled result, `codes` and `scales` are raw bytes
    (`tensor<Nxi8>`; 4-bit codes two per byte, element 2i in the low nibble),
    `global` is a rank-0 tensor of the global type, `zero_points` one byte per
    scale. For a plain result, `codes` has the shape and element type of the
    result and nothing else is present.

    ```mlir
    %w = nq.constant codes(dense_resource<w> : tensor<32xi8>)
           scales(dense_resource<w_s> : tensor<4xi8>) global(dense<0.5> : tensor<f32>)
           : tensor<4x16x!nq.nvfp4>
    ```
  }];
  let arguments = (ins ElementsAttr:$codes,
                       OptionalAttr<ElementsAttr>:$scales,
                       OptionalAttr<ElementsAttr>:$global,
                       OptionalAttr<ElementsAttr>:$zero_points);
  let results = (outs Nq_AnyTensor:$result);
  let assemblyFormat = [{
    `codes` `(` $codes `)` (`scales` `(` $scales^ `)`)? (`global` `(` $global^ `)`)?
    (`zero_points` `(` $zero_points^ `)`)? attr-dict `:` type($result)
  }];
  let hasVerifier = 1;
}

def Nq_QuantizeOp : Nq_Op<"quantize", [Pure, AttrSizedOperandSegments]> {
  let summary = "quantize a float tensor to a scaled tensor";
  let description = [{
    Static: `scale` given, one per block of the result type (rank 0 if per
    tensor): code = sat(RNE(x / scale) + zero_point), the division in f32.

    Dynamic: no `scale`; `recipe` names how block scales come from the data
    (see rt/quantize.h for each, bit for bit); `global` is the per-tensor scale
    if the result type has one.

    ```mlir
    %q = nq.quantize %x scale(%s : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.fp8>
    %d = nq.quantize %x recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<2x32xf16> -> tensor<2x32x!nq.nvfp4>
    ```
  }];
  let arguments = (ins Nq_FloatTensor:$input,
                       Optional<Nq_FloatTensor>:$scale,
                       Optional<Nq_FloatTensor>:$global,
                       Optional<Nq_AnyTensor>:$zero_point,
                       OptionalAttr<StrAttr>:$recipe,
                       DefaultValuedAttr<BoolAttr, "true">:$saturate);
  let results = (outs Nq_AnyTensor:$result);
  let assemblyFormat = [{
    $input (`recipe` `(` $recipe^ `)`)? (`scale` `(` $scale^ `:` type($scale) `)`)?
    (`global` `(` $global^ `:` type($global) `)`)?
    (`zero_point` `(` $zero_point^ `:` type($zero_point) `)`)?
    attr-dict `:` type($input) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Nq_DequantizeOp : Nq_Op<"dequantize", [Pure]> {
  let summary = "value of a scaled tensor, rounded once to the result type";
  let arguments = (ins Nq_AnyTensor:$input);
  let results = (outs Nq_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
  let hasCanonicalizeMethod = 1;
}

def Nq_AssembleOp : Nq_Op<"assemble", [Pure, AttrSizedOperandSegments]> {
  let summary = "bind raw codes to their scales";
  let description = [{
    The notation of Q/DQ files, where codes, scales and zero points are separate
    tensors. Exists only up to the end of stage `canonical`, except on codes
    that enter through an entry point. `codes` is a tensor of the storage type
    (integers signless); `scales` has the shape of the scale grid, or rank 0 or
    one element if per tensor; E8M0 scales may come as i8 bit patterns.

    ```mlir
    %q = nq.assemble %codes scales(%s : tensor<4x1xf32>)
           : tensor<4x16xf4E2M1FN> -> tensor<4x16x!nq.scaled<f4E2M1FN, f32 per 1x16>>
    ```
  }];
  let arguments = (ins Nq_AnyTensor:$codes, Nq_AnyTensor:$scales,
                       Optional<Nq_FloatTensor>:$global,
                       Optional<Nq_AnyTensor>:$zero_point);
  let results = (outs Nq_AnyTensor:$result);
  let assemblyFormat = [{
    $codes `scales` `(` $scales `:` type($scales) `)`
    (`global` `(` $global^ `:` type($global) `)`)?
    (`zero_point` `(` $zero_point^ `:` type($zero_point) `)`)?
    attr-dict `:` type($codes) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Nq_CodesOp : Nq_Op<"codes", [Pure]> {
  let summary = "raw codes of a scaled tensor (Q/DQ notation, see assemble)";
  let description = [{
    The result has the shape of the input and its storage type, integers
    signless. Does not survive stage `canonical` except to leave an entry point.
  }];
  let arguments = (ins Nq_AnyTensor:$input);
  let results = (outs Nq_AnyTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Nq_ScalesOp : Nq_Op<"scales", [Pure]> {
  let summary = "block scales of a scaled tensor (Q/DQ notation, see assemble)";
  let description = [{
    The result has the shape of the scale grid and the scale type (or i8 for
    E8M0 bit patterns); the global scale is not included.
  }];
  let arguments = (ins Nq_AnyTensor:$input);
  let results = (outs Nq_AnyTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

def Nq_CastOp : Nq_Op<"cast", [Pure]> {
  let summary = "elementwise conversion between float formats";
  let description = [{
    RNE; `saturate` as ONNX Cast for 8-bit and 4-bit floats (ignored by wider
    formats); `round_mode` (`up`, `down`, `nearest`) only for f8E8M0FNU.
  }];
  let arguments = (ins Nq_FloatTensor:$input,
                       DefaultValuedAttr<BoolAttr, "true">:$saturate,
                       OptionalAttr<StrAttr>:$round_mode);
  let results = (outs Nq_FloatTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
  let hasCanonicalizeMethod = 1;
}

def Nq_WidenOp : Nq_Op<"widen", [Pure]> {
  let summary = "the same values of a scaled tensor with codes in f16 or bf16";
  let description = [{
    For kernels that multiply codes in a wider format than they were rounded to:
    no value changes. Stage `layout` makes it (pass `widen-activations`).

    Scales of f32, f16 and bf16 are kept: codes, less zero points, become numbers of
    the wider format. Block scales of E4M3 or E8M0 are multiplied into the codes, and
    what was the global scale becomes the one scale of the tensor (1 if there is none).
    The verifier knows which are exact: codes of 8 bits or less in both formats, times
    E4M3 of E2M1 in both, times E8M0 in bf16.

    ```mlir
    %w = nq.widen %q : tensor<4x32x!nq.fp8> -> tensor<4x32x!nq.scaled<f16, f32 per tensor>>
    ```
  }];
  let arguments = (ins Nq_AnyTensor:$input);
  let results = (outs Nq_AnyTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Type of the widened codes of `type` in `element` (f16 or bf16); nothing,
    /// with the reason in `why`, if that is not exact.
    static ::mlir::FailureOr<ScaledType>
    getWidened(ScaledType type, ::mlir::Type element, std::string &why);
    /// True if block scales are multiplied into the codes.
    static bool takesScales(ScaledType type);
  }];
}

def Nq_ReformatOp : Nq_Op<"reformat", [Pure]> {
  let summary = "same values in another layout";
  let description = [{
    The only op that changes a layout. Each one left for run time appears in the
    report with its bytes and `reason`.
  }];
  let arguments = (ins Nq_AnyTensor:$input, OptionalAttr<StrAttr>:$reason);
  let results = (outs Nq_AnyTensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
  let hasFolder = 1;
}

def Nq_MatmulOp : Nq_Op<"matmul", [Pure]> {
  let summary = "batched matrix product of plain or scaled tensors";
  let description = [{
    A [batch.., M, K] times B [batch.., K, N] (or [batch.., N, K] with
    `transpose_b`); batch dimensions broadcast as in numpy. Result
    [batch.., M, N] = RNE(epilogue(sum over k of value(a) * value(b))), the sum
    of exact products in f32 (any order), f64 operands in f64.

    The optional epilogue region gets the f32 accumulator and, for each of
    `extras`, one element converted to f32 (broadcast over the result as in
    numpy); it yields one f32.

    ```mlir
    %y = nq.matmul %x, %w transpose_b : (tensor<2x32x!nq.nvfp4>, tensor<8x32x!nq.nvfp4>) -> tensor<2x8xf16>
    ```
  }];
  let arguments = (ins Nq_AnyTensor:$a, Nq_AnyTensor:$b,
                       Variadic<Nq_FloatTensor>:$extras, UnitAttr:$transpose_b);
  let results = (outs Nq_FloatTensor:$result);
  let regions = (region AnyRegion:$epilogue);
  let builders = [OpBuilder<(ins "::mlir::Type":$result, "::mlir::Value":$a,
                                 "::mlir::Value":$b, "bool":$transposeB)>];
  let assemblyFormat = [{
    $a `,` $b (`transpose_b` $transpose_b^)?
    (`epilogue` `(` $extras^ `:` type($extras) `)`)? ($epilogue^)?
    attr-dict-with-keyword
    `:` `(` type($a) `,` type($b) `)` `->` type($result)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    int64_t getM(); int64_t getN(); int64_t getK();
    /// Shape of the result for operand shapes, or failure if they do not fit.
    static ::mlir::FailureOr<::llvm::SmallVector<int64_t>>
    inferShape(::llvm::ArrayRef<int64_t> a, ::llvm::ArrayRef<int64_t> b,
               bool transposeB);
  }];
}

def Nq_YieldOp : Nq_Op<"yield", [Pure, Terminator, ReturnLike,
                                 ParentOneOf<["MatmulOp", "RegionOp"]>]> {
  let summary = "values of an epilogue or of a fusion region";
  let arguments = (ins Variadic<AnyType>:$values);
  let assemblyFormat = "($values^ `:` type($values))? attr-dict";
}

def Nq_RegionOp : Nq_Op<"region", [
    IsolatedFromAbove, SingleBlock, Pure]> {
  let summary = "fusion region: ops that become one kernel";
  let description = [{
    What stage `fuse` decides: the ops of the body run as one kernel, values
    between them never reach device memory. The body says exactly what is
    computed, with all its roundings; `kind` is the kernel class that covers it
    (`gemm`, `attention`, `rowwise`, `elementwise`, `reduce`, `gather`, ...),
    `fused` lists the passes that put ops together. Matmuls of one region that
    share A are one product with several B operands ("merged"): each keeps its
    own scales, so different global scales cannot be confused.

    The body sees its inputs as block arguments and nothing else, except
    constants of its own. It has no effects: states are read and written around
    it. Locations of the ops inside name the layers.

    ```mlir
    %h = nq.region "gemm" (%x, %wg, %wu) fused ["fuse-gated-mlp"]
        : (tensor<4x32xf16>, tensor<64x32x!nq.fp8>, tensor<64x32x!nq.fp8>) -> tensor<4x64xf16> {
    ^bb0(%a: tensor<4x32xf16>, %b: tensor<64x32x!nq.fp8>, %c: tensor<64x32x!nq.fp8>):
      %g = nq.matmul %a, %b transpose_b : (...) -> tensor<4x64xf16>
      ...
      nq.yield %y : tensor<4x64xf16>
    }
    ```
  }];
  let arguments = (ins StrAttr:$kind, Variadic<Nq_AnyTensor>:$inputs,
                       OptionalAttr<StrArrayAttr>:$fused);
  let results = (outs Variadic<Nq_AnyTensor>:$results);
  let regions = (region SizedRegion<1>:$body);
  let assemblyFormat = [{
    $kind `(` $inputs `)` (`fused` $fused^)? attr-dict
    `:` functional-type($inputs, $results) $body
  }];
  let hasVerifier = 1;
  let hasCanonicalizeMethod = 1;
  let extraClassDeclaration = [{
    ::mlir::Block &getBlock() { return getBody().front(); }
    YieldOp getYield();
    /// The op that gives the kernel its name: the last matmul or attention of
    /// the body, else its last op that is no reshape.
    ::mlir::Operation *getRoot();
  }];
}

def Nq_AttentionOp : Nq_Op<"attention", [Pure, AttrSizedOperandSegments]> {
  let summary = "scaled dot-product attention";
  let description = [{
    q [B, Hq, S, D], k [B, Hkv, T, D], v [B, Hkv, T, Dv]; Hq a multiple of Hkv
    (query head h reads kv head h / (Hq / Hkv)). scores = softcap(scale * q k^T)
    + mask; `mask` broadcasts to [B, Hq, S, T], float (added) or i1 (false =
    masked out); `causal` masks t > s + (T - S) if `bottom_right`, else t > s.
    Softmax over T in f32; a row with every position masked is zero.
    softcap(x) = c * tanh(x / c) if c != 0.

    `lengths`, [B] or [1], i32 or i64, says how many keys of each batch entry (or
    of all) are there, as in a cache of fixed capacity T of which the beginning is
    filled: keys t >= lengths[b] do not exist. What k and v hold there, NaN
    included, does not matter, and kernels do not read it but for the rest of a
    tile. `bottom_right` aligns the last query with the last key there is: it
    masks t > s + (lengths[b] - S), so query s sees keys t < lengths[b] - S + 1 + s.
    Every number is allowed: none or a negative number of keys gives zeros; more
    than T means all T (with `bottom_right`, query s sees the first
    min(T, lengths[b] - S + 1 + s)).

    `weight_type` and `weight_scale`, both or neither: the graph quantizes the weights,
    as FP8 attention of Model Optimizer does. A weight is what the softmax gives in f32,
    divided by the sum of its row; its code is that of nq.quantize to one scale
    (divided by the scale in f32, RNE, saturating), and code times scale is what the values
    are multiplied by. The type is f8E4M3FN or f8E5M2, the scale positive and normal.

    ```mlir
    %y = nq.attention %q, %k, %v lengths(%n : tensor<1xi64>) {scale = 0.125 : f64}
           : (tensor<1x8x1x64xf16>, tensor<1x2x4096x64xf16>, tensor<1x2x4096x64xf16>) -> tensor<1x8x1x64xf16>
    ```
  }];
  let arguments = (ins Nq_AnyTensor:$q, Nq_AnyTensor:$k, Nq_AnyTensor:$v,
                       Optional<Nq_AnyTensor>:$mask,
                       Optional<Nq_AnyTensor>:$lengths, F64Attr:$scale,
                       DefaultValuedAttr<F64Attr, "0.0">:$softcap,
                       UnitAttr:$causal, UnitAttr:$bottom_right,
                       OptionalAttr<TypeAttr>:$weight_type,
                       OptionalAttr<F32Attr>:$weight_scale);
  let results = (outs Nq_FloatTensor:$result);
  let assemblyFormat = [{
    $q `,` $k `,` $v (`mask` `(` $mask^ `:` type($mask) `)`)?
    (`lengths` `(` $lengths^ `:` type($lengths) `)`)? attr-dict
    `:` `(` type($q) `,` type($k) `,` type($v) `)` `->` type($result)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// What the graph rounds weights to.
    struct WeightCodes {
      ::mlir::Type type;
      float scale;
    };
    /// Nothing if they are not quantized.
    std::optional<WeightCodes> getWeightCodes();
    /// "" if weights can have codes of that type and scale, or the reason.
    static std::string whyNoWeightCodes(::mlir::Type type,
                                        const ::llvm::APFloat &scale);
  }];
}

def Nq_StatisticsOp : Nq_Op<"statistics", [Pure]> {
  let summary = "sums over tiles of the last dimension, for a norm behind";
  let description = [{
    What nq.norm needs to know of rows, in tiles of `tile` elements of the last
    dimension (the last tile may be partial): for `rms` one result, the sum of
    squares of each tile; for `layer` two, the sum of each tile and the sum of
    squares of what is left without the mean of the tile. Two parts, as
    sums of squares about zero would cancel where the mean is large.

    Results have the shape of the input with ceil(extent / tile) in place of the
    last extent; they are f32 sums (f64 of f64) in any order within a tile. A tile
    is summed by whoever computes it: no value is added to by two of them.

    ```mlir
    %s = nq.statistics rms %x tile 128 : (tensor<4x300xf16>) -> tensor<4x3xf32>
    %t:2 = nq.statistics layer %x tile 128 : (tensor<4x300xf16>) -> (tensor<4x3xf32>, tensor<4x3xf32>)
    ```
  }];
  let arguments = (ins Nq_NormKindAttr:$kind, Nq_FloatTensor:$input,
                       ConfinedAttr<I64Attr, [IntPositive]>:$tile);
  let results = (outs Variadic<Nq_FloatTensor>:$sums);
  let assemblyFormat = [{
    $kind $input `tile` $tile attr-dict `:` functional-type($input, $sums)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    /// Number of results for a kind of norm.
    static unsigned getCount(NormKind kind);
    /// Type of each result for an input type.
    static ::mlir::RankedTensorType getType(::mlir::RankedTensorType input,
                                            int64_t tile);
    /// Additions and multiplications: 2 per element for `rms`, 4 for `layer`.
    int64_t getFlops();
  }];
}

def Nq_NormOp : Nq_Op<"norm", [Pure, AttrSizedOperandSegments]> {
  let summary = "layer or RMS normalization over the trailing dimensions";
  let description = [{
    Over dimensions [axis, rank): layer: (x - mean) / sqrt(var + epsilon), rms:
    x / sqrt(mean(x^2) + epsilon); then * scale + bias, both broadcast against the
    input as in numpy. All in f32, one rounding to the result type.

    With `statistics`, the results of an nq.statistics of the same kind and
    `tile` over the rows of the input (maybe in another shape), mean and variance
    come from them: every element can be computed by itself. With n elements in a tile
    and N in a row: mean = sum(sums) / N, var = sum(squares + n (sums / n - mean)^2)
    / N; for `rms`, mean(x^2) = sum(squares) / N. The axis is the last one then.

    ```mlir
    %y = nq.norm rms %x statistics(%s : tensor<4x3xf32>) tile 128 {axis = 1 : i64, epsilon = 1.0e-6 : f64}
           : tensor<4x300xf16> -> tensor<4x300xf16>
    ```
  }];
  let arguments = (ins Nq_NormKindAttr:$kind, Nq_FloatTensor:$input,
                       Optional<Nq_FloatTensor>:$scale, Optional<Nq_FloatTensor>:$bias,
                       Variadic<Nq_FloatTensor>:$statistics,
                       I64Attr:$axis, F64Attr:$epsilon,
                       OptionalAttr<ConfinedAttr<I64Attr, [IntPositive]>>:$tile);
  let results = (outs Nq_FloatTensor:$result);
  let builders = [
    OpBuilder<(ins "::mlir::Type":$result, "NormKind":$kind,
                   "::mlir::Value":$input, "::mlir::Value":$scale,
                   "::mlir::Value":$bias, "int64_t":$axis,
                   "::llvm::APFloat":$epsilon), [{
      build($_builder, $_state, result, kind, input, scale, bias,
            ::mlir::ValueRange(), axis, epsilon, ::mlir::IntegerAttr());
    }]>,
    OpBuilder<(ins "::mlir::Type":$result, "NormKindAttr":$kind,
                   "::mlir::Value":$input, "::mlir::Value":$scale,
                   "::mlir::Value":$bias, "::mlir::IntegerAttr":$axis,
                   "::mlir::FloatAttr":$epsilon), [{
      build($_builder, $_state, result, kind, input, scale, bias,
            ::mlir::ValueRange(), axis, epsilon, ::mlir::IntegerAttr());
    }]>];
  let assemblyFormat = [{
    $kind $input (`scale` `(` $scale^ `:` type($scale) `)`)?
    (`bias` `(` $bias^ `:` type($bias) `)`)?
    (`statistics` `(` $statistics^ `:` type($statistics) `)` `tile` $tile)?
    attr-dict `:` type($input) `->` type($result)
  }];
  let hasVerifier = 1;
}

def Nq_RopeOp : Nq_Op<"rope", [Pure]> {
  let summary = "rotary position embedding";
  let description = [{
    input [B, H, S, D]; cos, sin [B or 1, S, R/2], already gathered by position;
    the first R of D elements rotate: pairs (i, i + R/2), or (2i, 2i+1) if
    `interleaved`; the rest passes through.
  }];
  let arguments = (ins Nq_FloatTensor:$input, Nq_FloatTensor:$cos,
                       Nq_FloatTensor:$sin, UnitAttr:$interleaved);
  let results = (outs Nq_FloatTensor:$result);
  let assemblyFormat = [{
    $input `,` $cos `,` $sin attr-dict `:` `(` type($input) `,` type($cos) `,`
    type($sin) `)` `->` type($result)
  }];
  let hasVerifier = 1;
}

def Nq_UpdateOp : Nq_Op<"update", [Pure, AllTypesMatch<["input", "result"]>]> {
  let summary = "a tensor with consecutive slices along an axis replaced";
  let description = [{
    The result equals `input` but for the slices position .. position + n - 1
    along `axis`, which are those of `rows` (n = extent of `rows` along the axis;
    all other extents are equal). Slices whose position is outside of `input`
    are dropped. `position` has one element of type i64 or i32. Element types
    are plain, of 8 bits or more.

    This is how a KV cache grows by a step; in a plan, it always happens in place
    (pass `reuse-buffers`), so only the rows move.

    ```mlir
    %new = nq.update %old[%pos] with %rows axis 2
             : tensor<1x2x64x16xf16>, tensor<i64>, tensor<1x2x1x16xf16>
    ```
  }];
  let arguments = (ins Nq_AnyTensor:$input, Nq_AnyTensor:$position,
                       Nq_AnyTensor:$rows, I64Attr:$axis);
  let results = (outs Nq_AnyTensor:$result);
  let assemblyFormat = [{
    $input `[` $position `]` `with` $rows `axis` $axis attr-dict
    `:` type($input) `,` type($position) `,` type($rows)
  }];
  let hasVerifier = 1;
}

def Nq_StateOp : Nq_Op<"state", [Symbol]> {
  let summary = "named storage that outlives a call (KV cache)";
  let description = [{
    Stands in the module; all entry points share it. Zero when a context is
    created. Read and written as a whole by `state_read` and `state_write`; a
    write of rows is a `state_write` of an `update` of a `state_read`, and moves
    the rows only.
  }];
  let arguments = (ins SymbolNameAttr:$sym_name, TypeAttr:$type);
  let assemblyFormat = "$sym_name `:` $type attr-dict";
  let hasVerifier = 1;
}

def Nq_StateReadOp : Nq_Op<"state_read", [
    MemoryEffects<[MemRead]>,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "value that a state has here, in program order";
  let arguments = (ins FlatSymbolRefAttr:$state);
  let results = (outs Nq_AnyTensor:$result);
  let assemblyFormat = "$state attr-dict `:` type($result)";
}

def Nq_StateWriteOp : Nq_Op<"state_write", [
    MemoryEffects<[MemWrite]>,
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "replace the value of a state";
  let arguments = (ins FlatSymbolRefAttr:$state, Nq_AnyTensor:$value);
  let assemblyFormat = "$state `,` $value attr-dict `:` type($value)";
}

#endif // NIBBLE_NQ_OPS_TD
