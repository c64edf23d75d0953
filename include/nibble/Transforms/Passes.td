//===- Passes.td - Graph passes, by stage -----------------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TRANSFORMS_PASSES_TD
#define NIBBLE_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

//===----------------------------------------------------------------------===//
// Stage canonical
//===----------------------------------------------------------------------===//

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
    `allow-less-rounding` those roundings are dropped; each was at most half a
    unit in the last place of an intermediate value, squares could overflow.
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
    dimension, with casts around it, and where(isnan(p), 0, p). Batch dimensions [B, H],
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

    Refuses, with a remark: scores or weights with other users, masks inside of
    the scale, scaled operands or weights (a quantized product stays what the
    model says), shared queries, keys or values that are
    constants (linear layers), f64; select masks of a finite value: rows without visible
    position would have equal weights, unless the mask is constant and the
    bound above holds. `trust-large-masks` takes values up to
    -1e4 as minus infinity. Example: test/Transforms/recognize-attention.mlir.
  }];
  let options = [Option<"allowLessRounding", "allow-less-rounding", "bool",
                        "true", "drop the rounding of scores and weights">,
                 Option<"trustLargeMasks", "trust-large-masks", "bool", "false",
                        "mask values up to -1e4 mask out, whatever the scores">];
  let dependentDialects = ["::nibble::nq::NqDialect", "::mlir::tensor::TensorDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::arith::ArithDialect"];
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

def FuseQkv : Pass<"fuse-qkv", "::mlir::func::FuncOp"> {
  let summary = "Products that read one input become one product with several weights";
  let description = [{
    Assumes gated MLPs are fused. Guarantees: matmuls with constant weights that
    read the same value (query, key and value projections) are one region of
    class `gemm`, together with what follows each of them alone: bias, scale,
    conversion, the split into heads, rotary embedding and the transposition of
    heads and positions, which become addresses of its stores. Values do not
    change.

    Refuses (leaves, with a remark) products between which a value would leave
    the region and come back. Example: test/Transforms/fuse-qkv.mlir.
  }];
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
    positions, the merge of heads and conversions that alone follow an attention
    are part of its region. Values do not change.

    Refuses nothing: what has other readers stays outside.
    Example: test/Transforms/fuse-attention.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def FuseRowwise : Pass<"fuse-rowwise", "::mlir::func::FuncOp"> {
  let summary = "Normalization or softmax and the elementwise ops around it are one pass over rows";
  let description = [{
    Assumes recognized norms. Guarantees: elementwise ops that compute the input
    of a norm or softmax, and elementwise ops that alone read its result, are
    part of its region. A producer with other readers (a residual sum) becomes a
    further result. Values do not change.

    Refuses nothing. Example: test/Transforms/fuse-rowwise.mlir.
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

def FormRegions : Pass<"form-regions", "::mlir::func::FuncOp"> {
  let summary = "Make a region of every op that no fusion took";
  let description = [{
    Assumes entry points of pure ops. Guarantees: an entry point holds regions,
    constants, reshapes and states only; every region is one kernel.

    Refuses nothing: ops with effects stay as they are and are refused, by name,
    by stage `select`. Example: test/Transforms/form-regions.mlir.
  }];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

//===----------------------------------------------------------------------===//
// Stage layout
//===----------------------------------------------------------------------===//

def DecomposeForCpu : Pass<"decompose-for-cpu", "::mlir::func::FuncOp"> {
  let summary = "Break up graph ops that the CPU target has no kernel for";
  let description = [{
    Assumes a canonical graph. Guarantees: `nq.attention` is matmul, scale and mask,
    softmax, matmul; a scaled activation operand of a matmul is dequantized to f32 first
    (the CPU multiplies in f32: code times scale rounded to f32 once, at
    most 2^-25 relative, far below the f32 accumulation).

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
    Assumes regions after decompose-for-cpu. Guarantees: every region left is one
    kernel of the CPU target: loops (no matmul, no attention), or a GEMM. The ops
    of other regions stand in their place; each one is a remark with the reason.

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
    packed when the engine is written, panel by panel.

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
    `exec.launch` and `exec.alias` only; every kernel is a function on tensors that
    holds the op with the small constants and initial values it needs; equal kernels are one function, however
    many layers use them. An output that would be a constant, an argument or a
    view gets a copy kernel.

    Refuses ops that are not pure. Example: test/Transforms/outline-kernels.mlir.
  }];
  let dependentDialects = ["::nibble::exec::ExecDialect", "::nibble::nq::NqDialect",
                           "::mlir::linalg::LinalgDialect", "::mlir::tensor::TensorDialect"];
}

def PlanMemory : Pass<"plan-memory", "::mlir::ModuleOp"> {
  let summary = "Give every launch result an address in the arena";
  let description = [{
    Assumes entry points of launches. Guarantees: results whose lives
    overlap do not overlap in memory, results live from their launch to the last
    launch that reads them or an alias of them, addresses are multiples of 64,
    results that leave the entry point are written into the output buffers.
    The arena size is the attribute `nibble.arena` of the entry point.

    Refuses nothing; placement is greedy by size, then by first use.
    Example: test/Transforms/plan-memory.mlir.
  }];
  let dependentDialects = ["::nibble::exec::ExecDialect"];
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
