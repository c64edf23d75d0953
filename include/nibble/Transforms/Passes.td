//===- Passes.td - Graph passes, by stage -----------------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TRANSFORMS_PASSES_TD
#define NIBBLE_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// Stage canonical
//===----------------------------------------------------------------------===//

def BindStates : Pass<"bind-states", "::mlir::ModuleOp"> {
  let summary = "Make states of pairs of an input and an output";
  let description = [{
    ONNX has no states: a cache goes in as one input and comes out as an output.
    Assumes entry points whose arguments and results have names. Guarantees:
    for each `INPUT=OUTPUT`, the input is a read of the `nq.state` that has its
    name, the output a write of it, and both are gone from the entry point. One
    `*` may stand on both sides for the same text
    (`past_key_values.*.key=present.*.key`); entry points that have no such
    input keep what they have, and those that have it share the state.

    Refuses a name that no entry point has, an input without its output, a state
    of two types, above all a cache that grows along an axis.
    Example: test/Transforms/bind-states.mlir.
  }];
  let options = [ListOption<"states", "states", "std::string",
                            "pairs INPUT=OUTPUT">];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def ForwardStates : Pass<"forward-states", "::mlir::func::FuncOp"> {
  let summary = "Make states values inside of an entry point";
  let description = [{
    Assumes nothing. Guarantees that an entry point reads a state at most once, at
    its beginning, and writes it at most once, at its end: reads after a write
    are the written value, writes that another one follows are gone, as are those
    of the value that was read. In between everything is values, so other
    passes may reorder and merge at will.

    Refuses states inside of regions. Example: test/Transforms/forward-states.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def FoldQdq : Pass<"fold-qdq", "::mlir::func::FuncOp"> {
  let summary = "Turn Q/DQ notation into scaled tensors and scaled constants";
  let description = [{
    Assumes the form that import leaves: `nq.quantize` + `nq.codes` for a Q,
    `nq.assemble` + `nq.dequantize` for a DQ, scales as values.

    Guarantees: an `assemble` of constants is one `nq.constant` whose codes and
    scales are the file's, bit for bit; an `assemble` of the codes of a `quantize`
    with an equal scale (compared by value) is that quantized tensor; two
    levels of scales (E4M3 block scales dequantized by a global scale) become
    one two-level scaled type that keeps the declared type of the combined
    scale; a matmul reads scaled operands directly, through the casts and
    transposes that exporters put between DQ and MatMul.

    Refuses, by leaving the ops in place: scales that differ between Q and DQ,
    a global scale whose type differs from that of the combined scale.
    Example: test/Transforms/fold-qdq.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def FoldConstants : Pass<"fold-constants", "::mlir::func::FuncOp"> {
  let summary = "Evaluate ops on constants with the reference interpreter";
  let description = [{
    Assumes pure ops. Guarantees that an op whose operands are all constants is a
    constant, when that does not grow the data: the result is at most
    `max-growth` bytes larger than its operands. So weights
    that a file holds in high precision with a quantizer behind them are quantized
    here, while scaled weights are never expanded. Semantics are those of
    lib/Reference, so folding cannot disagree with `verify`.

    Refuses ops with results above `max-bytes`. Example:
    test/Transforms/fold-constants.mlir.
  }];
  let options = [
    Option<"maxGrowth", "max-growth", "int64_t", "1 << 20",
           "bytes a constant may be larger than what it replaces">,
    Option<"maxBytes", "max-bytes", "int64_t", "int64_t(1) << 31",
           "largest constant to create">];
  let dependentDialects = ["::nibble::nq::NqDialect", "::mlir::arith::ArithDialect"];
}

def MergeCasts : Pass<"merge-casts", "::mlir::func::FuncOp"> {
  let summary = "Merge chains of conversions into the one that is exactly equal";
  let description = [{
    Assumes nothing. Guarantees: a `linalg.generic` that only converts between
    f16, bf16, f32 and f64 is `nq.cast`; two casts in a row are one, or none, where
    that gives the same number for every value: the first one is exact for its
    source format, or the source has at most 16 bits and all its codes were tried, with the
    saturation and rounding mode of both. A cast behind a dequantize with
    constant scales is part of it where no code is rounded twice. A quantize reads f16
    and bf16 without a cast to f32 before it.

    Refuses, with a remark, chains in which the first conversion rounds to something
    that the second one would round otherwise (f32 -> f16 -> f8E4M3FN). All NaNs count as
    equal. Example: test/Transforms/merge-casts.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def MoveQdq : Pass<"move-qdq", "::mlir::func::FuncOp"> {
  let summary = "Move elements as codes: dequantize late, quantize early";
  let description = [{
    Assumes scaled tensors as `fold-qdq` leaves them. Guarantees: transpose, reshape,
    slice and concat move codes instead of dequantized values (and the casts
    behind them) where the scaled type means the same on both sides: always if one scale
    serves the tensor, else if every block of the result lies in one block of the input.
    Concat needs parts with provably equal scales (blocks: equal global scales). A quantize
    moves in front of transpose, reshape and broadcast, and of concat if a part comes
    from a dequantize that it may meet. So pairs become neighbors, for `cancel-qdq`.
    Dequantize only moves down and quantize only up, so the pass ends.

    Refuses: slices and broadcasts where the conversion would work on more elements than
    before, values that others compute with, static scales per block in front of a
    move, types whose blocks the move would cut (with a remark).
    Example: test/Transforms/move-qdq.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::linalg::LinalgDialect"];
}

def CancelQdq : Pass<"cancel-qdq", "::mlir::func::FuncOp"> {
  let summary = "Replace quantize(dequantize(q)) by q where every code comes back";
  let description = [{
    Assumes scaled tensors as `fold-qdq` leaves them. Guarantees: a static quantize
    of a dequantized tensor (maybe through casts) of the same scaled type and the same
    constant scales, compared by value, is that tensor if each code that it can hold comes
    back under each of its scales. This is tried with the roundings of the types in
    between and the recipe of rt/quantize.h: f16 overflows under large scales, subnormal
    scales lose bits, E5M2 infinities saturate.

    Refuses, with a remark that names the reason or the code that changes: other
    types or scales, scales that are not constants, dynamic recipes (the largest code of
    a block need not give its scale again). dequantize(quantize(x)) keeps its meaning.
    Example: test/Transforms/cancel-qdq.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def ShareConstants : Pass<"share-constants", "::mlir::ModuleOp"> {
  let summary = "Make constants of equal type and bytes one";
  let description = [{
    Assumes nothing. Guarantees: equal data is one attribute in the whole module (so it is
    in the engine once, whichever entry points read it), equal constants of a
    function are one op, `nq.constant` and `arith.constant` alike. Then CSE finds
    quantizers that only differed in the copy of their scale. The ends of the data are
    hashed, all bytes compared, in place: mapped files are not copied.

    Refuses constants whose types differ, their shapes included. Example:
    test/Transforms/share-constants.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def FlattenMatmul : Pass<"flatten-matmul", "::mlir::func::FuncOp"> {
  let summary = "Merge the batch of A into M when B has no batch";
  let description = [{
    Assumes nothing. Guarantees: a matmul of plain A [batch.., M, K] with B [K, N] is a
    matmul of [batch*M, K], with reshapes around it that move no data; extras of an
    epilogue that broadcast along N only stay as they are.

    Refuses (leaves) matmuls whose B has batch dimensions, whose A is a scaled tensor with
    blocks along M, or whose extras depend on the batch.
    Example: test/Transforms/flatten-matmul.mlir.
  }];
  let dependentDialects = ["::mlir::tensor::TensorDialect"];
}

def RecognizeNorm : Pass<"recognize-norm", "::mlir::func::FuncOp"> {
  let summary = "Turn decomposed LayerNorm and RMSNorm into nq.norm";
  let description = [{
    Assumes what import makes of the nodes: x / sqrt(mean(x^2) + epsilon) with
    Div, or Mul by Div(1, Sqrt), Reciprocal, Pow(-0.5) or Sqrt(Reciprocal); squares by
    Pow or Mul; for LayerNorm x - mean(x) in place of x; means over the last
    dimensions; optionally a gain on the root, not the input.

    Guarantees: such a group is one `nq.norm` that reads the input before
    a cast to f32; a gain, a bias and a cast to f16 or bf16 that follow, each
    the only user, become part of it, also of norms that import made. What is
    as large as the tensor is no gain or bias (it would be a residual). Values change by
    the order of f32 operations only: x * (1 / sqrt(v)) and x / sqrt(v) are
    equal but for their rounding in f32, which the reference does not
    perform. Roundings to f16 and bf16 stay: a gain behind a cast stays a
    product behind a norm without gain.

    Refuses, with a remark: means over other dimensions, squares of something
    else than the input, steps before the last that round to f16 or bf16. With
    `allow-less-rounding` (`--allow-rewrite allow-less-rounding`) those roundings
    are dropped: f32 inside, one rounding. With u as in recognize-rope and d the
    relative error that the roundings of squares and their mean make in the mean, results
    differ by at most (d / 2 + 5 u) |y| to first order (root, quotient, product and
    gain round once each, the norm once), LayerNorm's by u (|y| + |mean| / deviation)
    more; where squares overflow f16, the notation gives 0 and the norm does not.
    Example: test/Transforms/recognize-norm.mlir.
  }];
  let options = [Option<"allowLessRounding", "allow-less-rounding", "bool",
                        "false", "drop roundings to f16 and bf16 inside">];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def RecognizeRope : Pass<"recognize-rope", "::mlir::func::FuncOp"> {
  let summary = "Turn rotations of halves or pairs by tables into nq.rope";
  let description = [{
    Assumes what import makes of x * cos + rotate(x) * sin with rotate(x) =
    concat(-x2, x1) of the halves, or of the even and odd elements stacked; or
    of concat or stack(x1 * cos - x2 * sin, x2 * cos + x1 * sin).

    Guarantees: such a group is one `nq.rope` on [B, H, S, D]; an input
    [B, S, H, D] is transposed before and after. Tables with one column per
    element keep one per pair: both must be equal, by value or because they are
    computed from one number (concat(f, f), also through Cos, Mul, Cast, a
    gather of rows). A cast of the result to f16 or bf16 and, for partial
    rotation, the concat with the rest of x become part of the op. In f32
    nothing changes but the order of operations.

    With `allow-less-rounding`, on by default, products that the notation
    rounds to f16 or bf16 before their sum are not rounded (docs/numerics.md:
    f32 inside, one rounding). With u = 2^-11 (f16) or 2^-8 (bf16), results
    differ by at most u * (|x1 cos| + |x2 sin|) + 2 u |y|, plus 2^-24 where
    f16 is subnormal.

    Refuses, with a remark: other ranks, tables per head, tables whose pairs
    are not known to be equal. Example: test/Transforms/recognize-rope.mlir.
  }];
  let options = [Option<"allowLessRounding", "allow-less-rounding", "bool",
                        "true", "drop the rounding of products before the sum">];
  let dependentDialects = ["::nibble::nq::NqDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::linalg::LinalgDialect"];
}

def RecognizeAttention : Pass<"recognize-attention", "::mlir::func::FuncOp"> {
  let summary = "Turn MatMul - Softmax - MatMul into nq.attention";
  let description = [{
    Assumes matmuls with transposes absorbed (fold-qdq). Between the products, from the inside:
    factors by Mul or Div on scores, q or k (so also sqrt-split on both); c * tanh(x / c);
    masks that are added or select the score; Softmax over the last
    dimension, with casts around it, where(isnan(p), 0, p), and QuantizeLinear and
    DequantizeLinear (or codes that the product reads). Batch dimensions [B, H],
    [B * H] with reshapes between, or none. K may be transposed anywhere.

    Guarantees: one `nq.attention`; repeated key and value heads (Unsqueeze, Expand,
    Reshape; Tile; broadcast by the product) are read once, by query head groups; k
    is [B, Hkv, T, D]. A constant mask is `causal` (or `bottom_right`) if it masks
    exactly t > s (+ T - S) and provably gives weight zero: its value is
    -inf, or at most -(2 b + 746) with b the bound of scores that types give
    (largest values of f16 or FP8 q and k; softcap; f16 scores). Zero masks go. Selecting by -inf
    and adding where(visible, 0, -inf) make an i1 mask. Other added masks stay float
    masks, which is exact. Scores are taken to be finite. A row without visible position is zero; the
    notation gives NaN there if it has no isnan guard. In f32 nothing else changes but the order
    of operations.

    With `allow-less-rounding`, on by default, scores, scaled q and k, and
    weights are not rounded to f16 or bf16 (docs/numerics.md: f32 inside, one rounding).
    With u as in recognize-rope and d = u * (3 max(|s|, |s + mask|) + 2 scale * sum |q k|) for
    scores s, results differ by at most (e^(2 d) - 1 + 2 u) sum(p |v|) + 2 u |y|.

    FP8 keys and values with one scale each (E4M3 or E5M2, behind DequantizeLinear and a
    repeat, too) are operands as they are: what their notation rounds to f16 is not rounded,
    as where a matmul reads codes; and so are queries, next to those.

    Weights that are quantized to E4M3 or E5M2 with one constant scale (FP8 attention of Model
    Optimizer) make `weight_type` and `weight_scale`: in f32 the codes are the same. Where a rounding to f16 or
    bf16 goes, those of weights that lie within (e^(2 d) - 1 + u) of a border of codes may be a step off.

    Refuses, with a remark: scores or weights with other users, masks inside of
    the scale, other scaled operands (a quantized product stays what the
    model says), weights in other formats, with a scale that is computed, or with codes that
    overflow instead of saturating, shared queries, keys or values that are
    constants (linear layers), f64; select masks of a finite value: rows without visible
    position would have equal weights, unless the mask is constant and the
    bound above holds. `trust-large-masks` (`--allow-rewrite trust-large-masks`)
    takes values up to -1e4 as minus infinity: with |s| <= b for all scores, each masked
    position had at most e^(2 b - 1e4) of the weight of a visible one, so results differ by at most
    2 T e^(2 b - 1e4) max |v|, which is 0 in f32 for b < 4948; a row without visible
    position is zero, and was a mean of all values. Example: test/Transforms/recognize-attention.mlir.
  }];
  let options = [Option<"allowLessRounding", "allow-less-rounding", "bool",
                        "true", "drop the rounding of scores and weights">,
                 Option<"trustLargeMasks", "trust-large-masks", "bool", "false",
                        "mask values up to -1e4 mask out, whatever the scores">];
  let dependentDialects = ["::nibble::nq::NqDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::arith::ArithDialect"];
}

def RecognizeLengths : Pass<"recognize-lengths", "::mlir::func::FuncOp"> {
  let summary = "Turn masks of attention that hide what lies behind a position into lengths";
  let description = [{
    Assumes recognized attention (recognize-attention); masks that the importer gave `nq.attention` are read, too. Reads conjunctions of i1
    masks (And, Not, Or under Not), where(visible, 0 or another mask, -inf), products of a number and a condition cast to
    float, and sums of those with at most one other float mask. A part is a length if it compares, by <, <=, > or >=, a constant that counts the slots (0, 1, 2, ...) with an
    integer of one element, or one per batch entry, plus constants, plus 0, 1, 2, ... along the queries: a position that stands
    in an input or a state, or is computed.

    Guarantees: operand `lengths` = position + constant, exactly what the mask says for every position for which its own sums do
    not overflow, negative ones and those beyond the cache included. Rows that follow the position make the attention `causal` and
    `bottom_right`. The other parts stay as `mask`. A slot that is hidden has no part in the result, whatever it
    holds; in the notation, NaN there comes through (docs/numerics.md). Everything else is equal, but for the order of sums.

    Refuses, with a remark: finite values, which a score may outweigh; `trust-large-masks` takes values up to -1e4
    as minus infinity, with the bound of recognize-attention. Leaves alone: a second length, positions per head,
    and attention that is `causal` already, if it has several queries and the length follows them, or if it is
    `bottom_right`. Example: test/Transforms/recognize-lengths.mlir.
  }];
  let options = [Option<"trustLargeMasks", "trust-large-masks", "bool", "false",
                        "mask values up to -1e4 mask out, whatever the scores">];
  let dependentDialects = ["::nibble::nq::NqDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::arith::ArithDialect"];
}

def FoldNormWeight : Pass<"fold-norm-weight", "::mlir::func::FuncOp"> {
  let summary = "Fold the gain of a norm into the weights of the next matmuls";
  let description = [{
    Runs only if the user allows it by name (`--allow-rewrite fold-norm-weight`),
    as values change. Assumes recognized norms. Guarantees: a constant gain (Gemma's
    1 + w, too) inside of a norm, or in the multiplication behind a norm that
    is rounded first, is gone; row k of the weights of the matmuls that read it is
    multiplied by gain k, in f64, and rounded once to the weight's type. So the
    norm stores what it divides, and later quantization sees the folded weights.

    With normalized values x, gains g, weights w, n = sum |x g w| over k, and u_x,
    u_w half a unit in the last place of the types of activations and weights
    (2^-24 for f32, 2^-11 for f16, 2^-8 for bf16), each sum of products differs by at
    most (2 u_x + u_w) n: both roundings of x g to the activations' type differ from
    that of x, and each weight is rounded once. Where products are subnormal in
    f16, 2^-24 per product of the rest is added. The rounding of the result comes
    on top: u_x |y|.

    Refuses, with a remark: norms with a bias or over several dimensions,
    gains computed at run time, readers other than matmuls, weights that are
    quantized or no constant matrices, products beyond the range of the
    weight's type. Example: test/Transforms/fold-norm-weight.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

//===----------------------------------------------------------------------===//
// Stage quantize
//===----------------------------------------------------------------------===//

def AssignPrecision : Pass<"assign-precision", "::mlir::ModuleOp"> {
  let summary = "Decide the format of every layer that a policy speaks of";
  let description = [{
    Assumes a canonical graph whose ops carry ONNX node names. The formats and what
    each means for weights and activations are the table in
    `nibble/Transforms/Quantize/LayerFormat.h` and docs/quantize.md; the policy
    file is that of `PrecisionPolicy.h`. `format` is a rule for all matmuls with
    weights that no rule of the policy decides.

    Guarantees: a layer that must change has `nibble.precision` (the format with all
    its options) and, if its weight was read, `nibble.weight_amax`; layers of `nq`
    that a rule decides have `nibble.requested`. All layers are looked at
    before it fails.

    Refuses, unless `allow-fallback` lets the layer fall to a format that is possible: layers that
    come quantized (asking for what they are is fine), weights that are not constant,
    all zero, or have a NaN or infinity, K that is not a multiple of the block, f16
    for weights beyond 65504, f16 or bf16 for norms and convolutions of wider type,
    quantized formats for convolutions in loops. Fails on rules that decide nothing
    and are not `optional`, and on rules that match only ops without such a format.
    Example: test/Transforms/assign-precision.mlir.
  }];
  let options = [
    Option<"policyFile", "policy", "std::string", "\"\"", "policy file">,
    Option<"format", "format", "std::string", "\"\"",
           "format of matmuls that the policy does not decide">,
    ListOption<"allowFallback", "allow-fallback", "std::string",
               "GLOB:FORMAT, in order of preference">];
}

def NarrowLayers : Pass<"narrow-layers", "::mlir::func::FuncOp"> {
  let summary = "Round operands of layers to f16 or bf16 as assigned";
  let description = [{
    Assumes `nibble.precision` of `assign-precision`. Guarantees: a matmul or attention
    with format f16 or bf16 reads operands of that type (constants are rounded here, to nearest,
    ties to even, activations by `nq.cast`), its result type stays; an embedding's
    table is of that type and what is read from it is widened. Layers that share a constant share
    the rounded one.

    Refuses nothing: `assign-precision` has checked ranges.
    Example: test/Transforms/narrow-layers.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect", "::mlir::arith::ArithDialect"];
}

def QuantizeWeights : Pass<"quantize-weights", "::mlir::func::FuncOp"> {
  let summary = "Turn constant weights into codes and scales as assigned";
  let description = [{
    Assumes `nibble.precision` on matmuls with plain constant weights. Guarantees: B is
    an `nq.constant` [.., N, K] with scales along K and `transpose_b`, with
    the codes and scales of the recipe in `rt/quantize.h`, bit for bit; the matmul's result type
    stays; layers that share a weight in one format share its codes. The weight is
    read where the file has it, a few rows at a time, by all threads of the context:
    memory grows by the quantized weight only.

    Refuses what `assign-precision` refuses, if that has not looked at the layer
    (no `nibble.weight_amax`). Example: test/Transforms/quantize-weights.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def QuantizeActivations : Pass<"quantize-activations", "::mlir::func::FuncOp"> {
  let summary = "Quantize the activations of matmuls as assigned";
  let description = [{
    Assumes `nibble.precision` on matmuls and, where it asks for fp8 or nvfp4 activations,
    the calibrated `nibble.amax`. Guarantees: A comes from `nq.quantize`: fp8 static with scale
    amax/448; nvfp4 with dynamic block scales under the global scale amax/2688; mxfp8 and mxfp4
    dynamic, without calibration; layers that read one tensor in one format share
    its quantization. The attributes of the stage are gone, except `nibble.requested`.

    Refuses layers without an amax, or with one that is not a positive number.
    Example: test/Transforms/quantize-activations.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect", "::mlir::arith::ArithDialect"];
}

//===----------------------------------------------------------------------===//
// Stage fuse
//===----------------------------------------------------------------------===//

def SplitOutputRounding : Pass<"split-output-rounding", "::mlir::func::FuncOp"> {
  let summary = "Keep matmul results in f32 and round them in an op of its own";
  let description = [{
    For measuring: with it, a kernel's error is seen before the output
    rounding. Assumes a canonical graph. Guarantees: a matmul with an f16 or
    bf16 result yields f32, followed by `nq.cast`; values do not change, as the
    rounding was the last step anyway.

    Refuses nothing. Example: test/Transforms/split-output-rounding.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def FuseElementwise : Pass<"fuse-elementwise", "::mlir::func::FuncOp"> {
  let summary = "Fuse chains of elementwise ops into one linalg.generic";
  let description = [{
    Assumes linalg on tensors; casts between f16, bf16, f32 and f64 first become
    linalg.generic. Guarantees: an elementwise producer whose only user is
    another linalg op is inlined into it, so a chain is one kernel. Rounding is
    kept: the truncations and extensions of the chain stay in the body.

    Refuses producers with several users (they would be computed twice) and
    bodies that gather (`tensor.extract`). Example:
    test/Transforms/fuse-elementwise.mlir.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::affine::AffineDialect"];
}

def FuseGatedMlp : Pass<"fuse-gated-mlp", "::mlir::func::FuncOp"> {
  let summary = "Gate and up projections become one product, the gate its epilogue";
  let description = [{
    Assumes elementwise chains are fused. Guarantees: two matmuls with constant
    weights that read the same input, and whose results one elementwise op
    combines (GeGLU, SwiGLU), are one region of class `gemm` with two B operands.
    A is read once; every weight keeps its own block and global scales, so that
    different global scales of gate and up are right by construction. Values do
    not change: the body holds the same ops.

    Refuses (leaves, with a remark) products of different inputs, with other
    readers, or with weights computed at run time.
    Example: test/Transforms/fuse-gated-mlp.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def MergeSiblingProducts : Pass<"merge-sibling-products", "::mlir::func::FuncOp"> {
  let summary = "Products of one activation become one, with the weights side by side";
  let description = [{
    Assumes formats are decided and gated MLPs fused. For targets whose kernels
    have one product each: without it, query, key and value projections are
    three launches. Guarantees: matmuls without an epilogue that read the same
    value, with constant weights of one format, K and orientation, are one
    matmul of all columns; constants are joined exactly (codes and block scales
    are moved; scales per tensor that differ become one per column). If the
    elementwise ops that alone read the products do the same but for constants
    per column (biases), they are one op on all columns (unless one of their
    results is wanted in a buffer of its own). Slices of columns take
    the place of the results. Every element has the value that it had.

    Refuses (leaves, with a remark) products whose elements are combined (gate
    and up); a slice that would have to be copied, as it is an output, goes into
    a state or is an operand of a product; weights whose formats, global
    scales, or blocks across columns do not fit together; two products that are
    followed by different epilogues, which would become a kernel. Of NVFP4
    weights the global scale is rounded into the scale of each block, and a
    tensor has one: where they differ, no exact weight exists.
    Example: test/Transforms/merge-sibling-products.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect", "::mlir::tensor::TensorDialect"];
}

def FuseQkv : Pass<"fuse-qkv", "::mlir::func::FuncOp"> {
  let summary = "Products that read one input become one product with several weights";
  let description = [{
    Assumes gated MLPs are fused. Guarantees: matmuls with constant weights that
    read the same value (query, key and value projections) are one region of
    class `gemm`, together with what follows each of them alone: bias, scale,
    conversion, the split into heads, rotary embedding and the transposition of
    heads and positions, which become addresses of its stores; and with the
    `nq.update` that alone reads these rows, if it writes them into a state (or
    an input of the graph): the kernel stores the rows where the old value lies
    and touches nothing else of it. Values do not change.

    Refuses (leaves, with a remark) products between which a value would leave
    the region and come back; updates whose old value others read, or update,
    too (the kernel would have to copy it), whose old value is computed in the
    call, or whose positions are the innermost axis.

    With `views`, slices of the columns of one product (merge-sibling-products,
    or as the model has them) are treated like products: what computes from one
    of them is part of the region, unless its value would leave the region and
    come back. Slices that are only moved stay outside, for fuse-views. `views` also lets
    quantizers to scales that are known follow a product, and `nq.codes` of what they make:
    rows of a cache of codes. Example: test/Transforms/fuse-qkv.mlir.
  }];
  let options = [
    Option<"views", "views", "bool", "false",
           "slices of one product, and quantizers, too">,
  ];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def FuseMatmulEpilogue : Pass<"fuse-matmul-epilogue", "::mlir::func::FuncOp"> {
  let summary = "What follows a product element by element runs on its accumulators";
  let description = [{
    Assumes nothing. Guarantees: an elementwise op (bias, activation, scale,
    residual, conversion) that alone reads a product at the index it computes is
    part of the product's region, again and again until there is none. Roundings
    between the ops stay in the body. Values do not change.

    Refuses (leaves, with a remark) ops that need a value computed from the
    product elsewhere. Example: test/Transforms/fuse-matmul-epilogue.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def FuseAttention : Pass<"fuse-attention", "::mlir::func::FuncOp"> {
  let summary = "Attention stores its result as the next product reads it";
  let description = [{
    Assumes recognized attention. Guarantees: the transposition of heads and
    positions, the merge of heads, conversions and quantizers that alone follow an
    attention are part of its region, and `nq.assemble` in front of it that it alone
    reads: codes of a cache get their scale where they lie. Values do not change.

    Refuses nothing: what has other readers stays outside.
    Example: test/Transforms/fuse-attention.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def FuseRowwise : Pass<"fuse-rowwise", "::mlir::func::FuncOp"> {
  let summary = "Normalization or softmax and the elementwise ops around it are one pass over rows";
  let description = [{
    Assumes recognized norms. Guarantees: elementwise ops and look-ups that
    compute the input of a norm or softmax, and elementwise ops that alone read
    its result, are part of its region. A producer with other readers (a residual sum) becomes a
    further result. Values do not change.

    Refuses nothing. Example: test/Transforms/fuse-rowwise.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def FuseReduce : Pass<"fuse-reduce", "::mlir::func::FuncOp"> {
  let summary = "Reductions and what is computed from the same rows are one pass";
  let description = [{
    Assumes the fusions above have run. Guarantees: a reduction (pooling, a norm
    of an unusual form), the elementwise ops and reductions that read its result,
    and those that compute their operands for them alone, are one region of class
    `rowwise`, if for each index of leading dimensions that all their results have,
    everything depends on that index only: one block computes it, values between
    the ops stay with it. Values do not change.

    Refuses (leaves, with a remark) ops that share no leading dimension, and tensors
    with more than 256 KiB in a row, which one block would move alone.
    Example: test/Transforms/fuse-reduce.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def FuseQuantize : Pass<"fuse-quantize", "::mlir::func::FuncOp"> {
  let summary = "A quantizer runs in the kernel of its producer";
  let description = [{
    Assumes the other fusions have run. Guarantees: a quantize with constant
    scales, or with dynamic block scales along the last dimension, is part of the
    region of its producer; if others read the unquantized value it stays a
    result. Values do not change.

    Refuses (leaves, with a remark) quantizers of graph inputs, scales from the
    maximum of a whole tensor, and blocks over several rows.
    Example: test/Transforms/fuse-quantize.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def FuseViews : Pass<"fuse-views", "::mlir::func::FuncOp"> {
  let summary = "Readers of a slice of a product take it where it lies";
  let description = [{
    Assumes the fusions above have run. For targets whose kernels compute an
    address for every operand. Guarantees: a slice of columns of a product, the
    reshapes and transpositions behind it, and the op or region that reads them
    are one region; several readers repeat the moves, which cost nothing. Values
    do not change.

    Refuses (leaves, with a remark) readers that want a buffer with nothing else
    in it: outputs of the graph, states, operands of products.
    Example: test/Transforms/fuse-views.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def FormRegions : Pass<"form-regions", "::mlir::func::FuncOp"> {
  let summary = "Make a region of every op that no fusion took";
  let description = [{
    Assumes entry points of pure ops. Guarantees: an entry point holds regions,
    constants, reshapes and states only; every region is one kernel. With
    `explain`, a remark says for each op but products, attention, norms and
    quantizers why no kernel around it could take it: who reads it.

    Refuses nothing: ops with effects stay as they are and are refused, by name,
    by stage `select`. Example: test/Transforms/form-regions.mlir.
  }];
  let options = [Option<"explain", "explain", "bool", "true",
                        "say why ops are kernels of their own">];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def FuseNormStatistics : Pass<"fuse-norm-statistics", "::mlir::func::FuncOp"> {
  let summary = "A product sums the rows it stores for the norm behind it";
  let description = [{
    Assumes regions. Guarantees: where a norm reads the result of a product as it is
    stored, maybe in another shape, and that pays on `target`, the region of the
    product has further results, `nq.statistics` of its rows: f32 sums over tiles
    of `tile` columns, of the values as rounded for storage, each made by the one
    block that has the tile. The norm takes them as an operand, and its region is
    `elementwise`, unless something else in it needs whole rows: any block normalizes
    and quantizes any columns. Two norms of one value share them.
    Values change by the order of f32 sums only; those of the reference by
    roundings of f64, at most (tiles + 4) 2^-52 relative (docs/numerics.md).

    It pays where rows are few or long, see nibble/KernelSelect/RowStatistics.h for the
    rule and what was measured; never on the CPU. With `force` it is done
    wherever it is possible.

    Refuses (leaves, with a remark) norms over several dimensions, rows that are
    parts of rows of the product (heads) or cut by a reshape, rows written into a state, and
    what does not pay, with the times. Norms of anything but a product are none of
    its business. Example: test/Transforms/fuse-norm-statistics.mlir.
  }];
  let options = [
    Option<"target", "target", "std::string", "\"cpu\"", "target to decide for">,
    Option<"tile", "tile", "int64_t", "128", "columns of a sum">,
    Option<"force", "force", "bool", "false", "also where it does not pay">];
  let dependentDialects = ["::nibble::nq::NqDialect", "::mlir::tensor::TensorDialect"];
}

//===----------------------------------------------------------------------===//
// Stage layout
//===----------------------------------------------------------------------===//

def DecomposeForCpu : Pass<"decompose-for-cpu", "::mlir::func::FuncOp"> {
  let summary = "Break up graph ops that the CPU target has no kernel for";
  let description = [{
    Assumes a canonical graph. Guarantees: `nq.attention` has operands that its
    kernel takes (f32, f16, bf16, scaled ones dequantized to f32 first; masks of these or
    i1; keys whose scores fit into the scratch), or is matmul, scale and mask, softmax, matmul,
    with a remark that says why; a scaled activation that the GEMM family does not read as it is
    stored (zero points, blocks over several rows, a computed right operand) is
    dequantized to f32 first (code times scale rounded to f32 once, at most 2^-25
    relative, far below the f32 accumulation), with a remark that says why.

    Refuses nothing. Example: test/Transforms/decompose-for-cpu.mlir.
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::math::MathDialect", "::nibble::nq::NqDialect"];
}

def AssignLayouts : Pass<"assign-layouts", "::mlir::func::FuncOp"> {
  let summary = "Give every tensor one storage layout";
  let description = [{
    Assumes entry points of regions. Asks every region which layouts the kernel
    class of `target` needs (`nq::LayoutInterface`). Guarantees: every tensor has
    one layout, the one that leaves the fewest bytes to reformats; a producer
    stores it directly (`nq.reformat` inside its region, "absorbed by store"),
    loops that read it compute the addresses ("absorbed by load"); constants are
    packed when the engine is written, once per layout; padding for alignment
    (row pitch of 16 bytes, scale tiles of 128x4) is part of the layout.

    What is left, a graph input that is needed in another order or readers that
    disagree, is a region of class `reformat` of its own, with its reason, bytes
    and a remark.

    Refuses nothing. Example: test/Transforms/assign-layouts.mlir.
  }];
  let options = [Option<"target", "target", "std::string", "\"sm_110a\"",
                        "target whose kernels are asked">];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def SplitRegionsForCpu : Pass<"split-regions-for-cpu", "::mlir::func::FuncOp"> {
  let summary = "Take apart regions that the CPU target cannot run as one kernel";
  let description = [{
    Assumes regions after decompose-for-cpu, with packed weights. Guarantees: every
    region left is one kernel of the CPU target: loops, or products of one left
    operand with ops behind them that need no more than some columns of a row
    (elementwise ops, casts, heads and their transposition, rotation, scales per
    tensor or per block of columns). The predicate is the planner of the lowering
    itself. The ops of other regions stand in their place; each one is a remark
    with the reason. An `nq.update` at the end of a region comes out of it first: it
    is a kernel that copies rows in place, and the region stays one; so does what
    dequantizes operands in front of an attention.

    Refuses nothing. Example: test/Transforms/split-regions-for-cpu.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def PackCpuWeights : Pass<"pack-cpu-weights", "::mlir::func::FuncOp"> {
  let summary = "Give constant matmul operands the CPU panel layout";
  let description = [{
    Assumes matmuls with constant B. Guarantees: such a constant has a
    `#nq.layout` with panels of 16 columns of N, K inside a panel, N innermost,
    for codes and, where scales run along N, for scales. The data itself is
    packed when the engine is written, panel by panel. 4-bit floats that meet
    a 4-bit activation with block scales lie in groups of 8 k, for the kernels that
    multiply integers; a remark says which it is.

    Refuses (leaves row-major, packed at run time) constants with batch
    dimensions or several users that need different layouts.
    Example: test/Transforms/pack-cpu-weights.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

//===----------------------------------------------------------------------===//
// Stage select
//===----------------------------------------------------------------------===//

def OutlineKernels : Pass<"outline-kernels", "::mlir::ModuleOp"> {
  let summary = "Make every op of an entry point a launch of a kernel";
  let description = [{
    Assumes fused entry points. Guarantees: an entry point holds constants,
    `exec.launch`, `exec.alias` and accesses of states only; every kernel is a function on tensors that
    holds the op with the small constants and initial values it needs; equal kernels are one function, however
    many layers use them. An output that would be a constant, an argument or a
    view gets a copy kernel.

    Refuses ops that are not pure. Example: test/Transforms/outline-kernels.mlir.
  }];
  let dependentDialects = ["::nibble::exec::ExecDialect", "::nibble::nq::NqDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

def OrderLaunches : Pass<"order-launches", "::mlir::ModuleOp"> {
  let summary = "Order launches so that the arena needs little";
  let description = [{
    Assumes entry points of launches. Guarantees: a launch comes after those whose
    results it reads; a launch that writes over a state comes after the readers of
    the old value, where it does not need to come before them; the most bytes
    that live at a launch (operands that may be reused counted once) are no more
    than in the order of the model, which stays if nothing is gained. Constants
    come first, aliases right behind their sources.

    Refuses nothing; the order is the best of three heuristics
    (nibble/Analysis/OrderSteps.h). Example: test/Transforms/order-launches.mlir.
  }];
  let dependentDialects = ["::nibble::exec::ExecDialect"];
}

def ReuseBuffers : Pass<"reuse-buffers", "::mlir::ModuleOp"> {
  let summary = "Let results take over the buffers of operands that die";
  let description = [{
    Assumes entry points of launches in their final order that access a state as
    `forward-states` leaves it. Guarantees, as `in_place` of launches:
    a result in the arena takes over an operand in the arena that is not read
    afterwards, if the kernel allows it (nibble/Analysis/InPlace.h); the kernel
    of `nq.update` always runs in place, on a copy if somebody needs the old
    value; a value that `nq.state_write` writes is a launch result of its own
    that can be made in the state, as no launch reads the old value later: a copy
    at the end where this is not so. Copies are remarks.

    Refuses states that are read or written twice.
    Example: test/Transforms/reuse-buffers.mlir.
  }];
  let dependentDialects = ["::nibble::exec::ExecDialect", "::nibble::nq::NqDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

def PlanMemory : Pass<"plan-memory", "::mlir::ModuleOp"> {
  let summary = "Give every launch result an address in the arena";
  let description = [{
    Assumes entry points of launches, with reuse decided by `reuse-buffers`.
    Guarantees: results whose lives overlap do not overlap in memory, results live
    from their launch to the last launch that reads them or an alias of them,
    results that run in place lie where their operand lies, addresses are
    multiples of 64, results that leave the entry point or are a state's next
    value are written into the output buffers and the states. Attributes of the
    entry point: `nibble.arena`, the bytes of the arena, and
    `nibble.arena_bound`, the most bytes that live during a launch, which no arena
    can be smaller than. The packer: nibble/Analysis/PackBuffers.h; all facts for
    reports: nibble/Analysis/MemoryPlan.h.

    Refuses plans in which a launch writes over what is still read.
    Example: test/Transforms/plan-memory.mlir.
  }];
  let dependentDialects = ["::nibble::exec::ExecDialect"];
}

def CheckMemory : Pass<"check-memory", "::mlir::ModuleOp"> {
  let summary = "Refuse plans that need more memory than allowed";
  let description = [{
    Assumes planned entry points. Guarantees that constants (packed, each once),
    the largest arena, states, and inputs and outputs of all entry points have
    `max-memory` bytes together at most (docs/memory.md says what is counted).

    Refuses what needs more, naming the fullest launch with its largest
    buffers, the largest constants, the states, and what to do. 0 is no limit.
    Example: test/Transforms/check-memory-errors.mlir.
  }];
  let options = [Option<"maxMemory", "max-memory", "int64_t", "0",
                        "bytes; 0: no limit">];
}

//===----------------------------------------------------------------------===//
// Borders between stages
//===----------------------------------------------------------------------===//

def VerifyStage : Pass<"verify-stage", "::mlir::ModuleOp"> {
  let summary = "Check that the IR is legal at the end of a stage";
  let description = [{
    Runs at every border, in release builds too. Assumes IR that MLIR's
    own verifiers accept. Guarantees that after `canonical` no codes travel
    without their scales except to or from an entry point; that after `fuse` and
    `layout` entry points hold regions, constants, reshapes and accesses of
    states only; that after `layout` every operand and result of a region has
    the layout that its kernel asks for (`nq::LayoutInterface`); that `select`
    leaves launches only; that tests' ops do not reach an engine.

    Refuses anything else, naming the op, its layer and the stage.
    Example: test/Transforms/verify-stage-errors.mlir.
  }];
  let options = [Option<"stage", "stage", "std::string", "\"canonical\"",
                        "name of the stage that has just ended">,
                 Option<"target", "target", "std::string", "\"cpu\"",
                        "target whose kernels are asked for their layouts">];
}

#endif // NIBBLE_TRANSFORMS_PASSES_TD
