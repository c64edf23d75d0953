//===- Passes.td - Selection of kernels -------------------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_KERNELSELECT_PASSES_TD
#define NIBBLE_KERNELSELECT_PASSES_TD

include "mlir/Pass/PassBase.td"

def PermitFallbacks : Pass<"permit-fallbacks", "::mlir::func::FuncOp"> {
  let summary = "Note on every region what its layers may fall to";
  let description = [{
    Assumes regions. Guarantees: a region all of whose products may fall to a
    format (--allow-fallback) carries that in `nibble.permitted`, so that the
    stages `layout` and `select` come to the same kernel class. Uses up no
    permission: a permission counts as used when a kernel is chosen by it.

    Refuses malformed permissions. Example: test/KernelSelect/lossy.mlir.
  }];
  let options = [ListOption<"permissions", "permissions", "std::string",
                            "GLOB:FORMAT, as of --allow-fallback">];
}

def RoundWeights : Pass<"round-weights", "::mlir::func::FuncOp"> {
  let summary = "Expand weights of 4 bits next to FP8 activations to FP8";
  let description = [{
    Assumes regions without layouts, after `permit-fallbacks`. Constant weights of 4 bits
    whose activations are E4M3 with a scale per tensor or row become E4M3 with one
    scale per row: code times block scale, divided by a power of two of the row (INT4: by what the
    row's maximum wants), so that the product is one of FP8 on the matrix unit. Guarantees:
    where any weight is rounded by that, the layer has the permission to fall to fp8
    (--allow-fallback), its matmul has `nibble.rounded`, and its kernel class is one that is
    called lossy. Where none is (MXFP4 with scales of a row within 2^14, NVFP4 with
    scales of few bits) no permission is needed, and no value changes. A remark tells the worst
    relative error of a weight, and that of all in the norm.

    On GPUs only where the rooflines say that FP8 is faster (more than 64 rows: twice the bytes
    of weights, twice the rate); on the CPU, which wins nothing, only with the permission.
    Refuses constants whose bytes were not loaded. Example: test/KernelSelect/round-weights.mlir.
  }];
  let options = [Option<"target", "target", "std::string", "\"sm_90a\"",
                        "target to choose for">];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def AbsorbZeroPoints : Pass<"absorb-zero-points", "::mlir::func::FuncOp"> {
  let summary = "Store integer weights as codes less their zero points";
  let description = [{
    Assumes regions without layouts. Guarantees: constant integer weights with zero points become
    signed integers without any: of 4 bits where all differences are from -8 to 7 (zero points
    of 8), else of 8 bits, if kernels that expand weights take those. Scales stay, and no value
    changes; 4-bit codes that become 8-bit ones take twice the bytes, which a remark tells.

    Leaves alone what is no 8-bit integer, or would run on FMA units anyway, and says so. Does
    nothing for CPUs. Refuses constants whose bytes were not loaded. Example:
    test/KernelSelect/absorb-zero-points.mlir.
  }];
  let options = [Option<"target", "target", "std::string", "\"sm_90a\"",
                        "target to choose for">];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def RepeatScales : Pass<"repeat-scales", "::mlir::func::FuncOp"> {
  let summary = "Store scales of square blocks of FP8 weights once for each row";
  let description = [{
    Assumes regions without layouts. Guarantees: constant FP8 weights in blocks of several
    rows (128x128) whose activations are f16 or bf16 have blocks of one row, with the same
    scales: kernels that expand weights multiply sums of rows by scales that they load as they
    load codes. A remark tells the bytes of scales before and after; no value changes.

    Does nothing for CPUs. Refuses constants whose bytes were not loaded. Example:
    test/KernelSelect/repeat-scales.mlir.
  }];
  let options = [Option<"target", "target", "std::string", "\"sm_90a\"",
                        "target to choose for">];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def WidenActivations : Pass<"widen-activations", "::mlir::func::FuncOp"> {
  let summary = "Store codes of activations as f16 or bf16 where only those are multiplied";
  let description = [{
    Assumes regions without layouts, after `permit-fallbacks`. A product of quantized
    activations and weights that no matrix instruction of `target` takes, whose operands are
    both exact in f16 or in bf16, can be multiplied in that: the kernel expands weights in
    registers, but activations come to it as they lie in memory. Guarantees: where a
    class for tensor cores then takes the product (KernelClass.h), the kernel that makes the
    activation stores its codes as f16 (bf16 next to E8M0 scales), still one value with its
    scale (`nq.widen`), as a further result; codes that nobody else reads are not stored.
    An activation that no kernel of this entry point makes is converted by one of its own.
    A remark says how many bytes that takes. No value changes.

    Leaves products alone that run on tensor cores as they are, and says of others why
    widening does not help. Does nothing on the CPU. Refuses nothing but names that
    are no target. Example:
    test/KernelSelect/widen-activations.mlir.
  }];
  let options = [Option<"target", "target", "std::string", "\"sm_90a\"",
                        "target to choose for">];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def SelectKernels : Pass<"select-kernels", "::mlir::func::FuncOp"> {
  let summary = "Choose the kernel class of every region";
  let description = [{
    Assumes regions with layouts. Guarantees: every region has the attributes
    `nibble.kernel_class` and `nibble.math` (what is multiplied), and one
    remark says everything about the choice: layers, formats asked for and
    chosen, layouts, reformats removed and remaining, bytes, flops, predicted
    time on `target` (TimeModel.h), the reason, and each class that was rejected with the
    predicate that failed. Products on tensor cores have
    `nibble.schedule`, too: the fastest that was measured for their shape
    (`tuning`, tuning/<target>.jsonl), else the row that was predicted for it, else
    the best estimate, which the remark says.

    Refuses regions that no class covers, and classes that do less than the
    model asks for, unless the region carries a permission (`permit-fallbacks`)
    for the format that is multiplied: an error that names the layer, the reason and the fix
    (exit code 3). With `locked`, shapes that were not measured, predicted rows or not. Example: test/KernelSelect/select-kernels.mlir.
  }];
  let options = [Option<"target", "target", "std::string", "\"sm_110a\"",
                        "target to choose for">,
                 Option<"tuning", "tuning", "std::string", "\"\"",
                        "tuning database that goes before the built-in one">,
                 Option<"locked", "locked", "bool", "false",
                        "only schedules that were measured">];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

def ExpandCandidates : Pass<"expand-candidates", "::mlir::ModuleOp"> {
  let summary = "Make an entry point for every schedule worth measuring";
  let description = [{
    Assumes a plan as outline-kernels leaves it. Guarantees: in place of the
    model's entry points, for every kernel with a schedule up to `max` entry
    points `KERNEL/0`, `KERNEL/1` ..., best estimate first; all operands are
    inputs. Each has one launch: its layer is the schedule, its kind the shape as
    a row of the tuning database has it. `nibble-run bench --candidates` measures
    such engines.

    Refuses models without such kernels. Example: test/KernelSelect/expand-candidates.mlir.
  }];
  let options = [Option<"target", "target", "std::string", "\"sm_90a\"",
                        "target to choose for">,
                 Option<"max", "max", "int64_t", "40", "schedules per kernel">];
}

#endif // NIBBLE_KERNELSELECT_PASSES_TD
