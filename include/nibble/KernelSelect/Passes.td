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

def SelectKernels : Pass<"select-kernels", "::mlir::func::FuncOp"> {
  let summary = "Choose the kernel class of every region";
  let description = [{
    Assumes regions with layouts. Guarantees: every region has the attributes
    `nibble.kernel_class` and `nibble.math` (what is multiplied), and one
    remark says everything about the choice: layers, formats asked for and
    chosen, layouts, reformats removed and remaining, bytes, flops, predicted
    time on `target`, the reason, and each class that was rejected with the
    predicate that failed. Products on tensor cores of sm_90a have
    `nibble.schedule`, too: the fastest that was measured for their shape
    (`tuning`, tuning/<target>.jsonl), or the best estimate, which the remark says.

    Refuses regions that no class covers, and classes that do less than the
    model asks for, unless the region carries a permission (`permit-fallbacks`)
    for the format that is multiplied: an error that names the layer, the reason and the fix
    (exit code 3). With `locked`, shapes that were not measured. Example: test/KernelSelect/select-kernels.mlir.
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
