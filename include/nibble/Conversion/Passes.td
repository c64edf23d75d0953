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

def ConvertGemmsToTile : Pass<"convert-gemms-to-tile", "::mlir::ModuleOp"> {
  let summary = "Write matrix products of a plan as tile.kernel";
  let description = [{
    Assumes kernels as outline-kernels leaves them for target sm_90a. Guarantees:
    a nested module `tiles` with a `tile.kernel` of the same name for each kernel
    with a product; its arguments are operands, what the epilogue reads, and
    results. lower-kernels-to-gpu does the same and goes on.

    Refuses kernels that are no such product (nibble/Conversion/NqToTile/Gemm.h)
    and schedules that do not fit: an error that names the kernel and the reason.
    Example: test/Conversion/convert-gemms-to-tile.mlir.
  }];
  let options = [Option<"schedule", "schedule", "std::string", /*default=*/"\"\"",
                        "of all kernels (GemmSchedule.h); empty: the best estimate">];
  let dependentDialects = [
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
    "::mlir::vector::VectorDialect", "::mlir::math::MathDialect",
    "::mlir::arith::ArithDialect", "::nibble::tile::TileDialect"];
}

def LowerProductsToGpu : Pass<"lower-products-to-gpu", "::mlir::ModuleOp"> {
  let summary = "Write kernels with products for the FMA units of a GPU";
  let description = [{
    Assumes kernels as outline-kernels leaves them. Guarantees: a `gpu.module`
    `gpu_kernels` with one or more `gpu.func kernel` for each function that holds
    nq.matmul or nq.attention; the function carries `nibble.launches`, one text
    per launch ("SYMBOL grid XxYxZ block N values [BUFFER+BYTES, ..]": operands,
    results, then the workspace), and `nibble.workspace` in bytes. For tests:
    lower-kernels-to-gpu does the same and writes launches into the plan.

    Refuses f64, and what lowerLoopsToGpu refuses around products: an error at
    the op. Example: test/Conversion/lower-products-to-gpu.mlir.
  }];
  let options = [Option<"multiprocessors", "multiprocessors", "int64_t", /*default=*/"132",
                        "of the machine: how finely products are cut">];
  let dependentDialects = [
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
    "::mlir::vector::VectorDialect", "::mlir::math::MathDialect",
    "::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
    "::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect"];
}

#endif // NIBBLE_CONVERSION_PASSES_TD
