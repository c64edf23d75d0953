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
    predicate that failed.

    Refuses regions that no class covers, and classes that do less than the
    model asks for, unless the region carries a permission (`permit-fallbacks`)
    for the format that is multiplied: an error that names the layer, the reason and the fix
    (exit code 3). Example: test/KernelSelect/select-kernels.mlir.
  }];
  let options = [Option<"target", "target", "std::string", "\"sm_110a\"",
                        "target to choose for">];
  let dependentDialects = ["::nibble::nq::NqDialect"];
}

#endif // NIBBLE_KERNELSELECT_PASSES_TD
