//===- Passes.td - Conversions, by target -----------------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CONVERSION_PASSES_TD
#define NIBBLE_CONVERSION_PASSES_TD

include "mlir/Pass/PassBase.td"

def LowerKernelsToCpu : Pass<"lower-kernels-to-cpu", "::mlir::ModuleOp"> {
  let summary = "Write every kernel of the plan as loops over memory";
  let description = [{
    Assumes a plan as outline-kernels leaves it. Guarantees: a nested module
    `cpu_kernels` with one function on memrefs per kernel, in the form that
    `cpu::compileToSharedObject` takes; every launch has its extent, grain, scratch size and flops; arguments
    that a launch uses in place (`in_place`) carry `nibble.may_alias`. The
    tensor-level kernels stay: they say what is computed.

    Refuses kernels that no emitter covers: an error that names the layer and the reason. Example:
    test/Conversion/lower-kernels-to-cpu.mlir.
  }];
  let dependentDialects = [
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
    "::mlir::vector::VectorDialect", "::mlir::math::MathDialect",
    "::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect"];
}

#endif // NIBBLE_CONVERSION_PASSES_TD
