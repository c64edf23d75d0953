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
    Assumes kernels as outline-kernels leaves them for the target `chip`. Guarantees:
    a nested module `tiles` with a `tile.kernel` of the same name for each kernel
    with a product; its arguments are operands, what the epilogue reads, and
    results. lower-kernels-to-gpu does the same and goes on.

    Refuses kernels that are no such product (nibble/Conversion/NqToTile/Gemm.h)
    and schedules that do not fit: an error that names the kernel and the reason.
    Example: test/Conversion/convert-gemms-to-tile.mlir.
  }];
  let options = [Option<"schedule", "schedule", "std::string", /*default=*/"\"\"",
                        "of all kernels (GemmSchedule.h); empty: the best estimate">,
                 Option<"chip", "chip", "std::string", /*default=*/"\"sm_90a\"",
                        "sm_90a, sm_100a or sm_110a">,
                 Option<"multiprocessors", "multiprocessors", "int64_t", /*default=*/"132",
                        "of the chip">];
  let dependentDialects = [
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
    "::mlir::vector::VectorDialect", "::mlir::math::MathDialect",
    "::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect",
    "::nibble::tile::TileDialect"];
}

def LowerLoopsToGpu : Pass<"lower-loops-to-gpu", "::mlir::ModuleOp"> {
  let summary = "Write kernels without products as kernels of a GPU";
  let description = [{
    Assumes kernels as outline-kernels leaves them: private functions on tensors, of which the pass takes those without nq.matmul and
    nq.attention. Guarantees: a module `gpu_kernels` with one `gpu.func` per launch, in order, which has the number of blocks as
    `nibble.blocks`, and in `nibble.workspace` the bytes of the workspace if there is one. It is the generator by itself (nibble/Conversion/NqToGpu/Loops.h), to look
    at: lower-kernels-to-gpu is the pass of the pipeline.

    Refuses what no loops can be made of: an error that names op and reason. Example: test/Conversion/lower-loops-to-gpu.mlir.
  }];
  let options = [Option<"chip", "chip", "std::string", "\"sm_90a\"", "LLVM's name of the GPU">];
  let dependentDialects = [
    "::mlir::gpu::GPUDialect", "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect",
    "::mlir::math::MathDialect", "::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect",
    "::mlir::NVVM::NVVMDialect"];
}

def ConvertTileToNVVMSm90 : Pass<"convert-tile-to-nvvm-sm90", "::mlir::ModuleOp"> {
  let summary = "Write kernels of the dialect tile as code for Hopper";
  let description = [{
    Assumes kernels that the verifier of `tile` accepts. Guarantees: each
    `tile.kernel` with target "sm_90a" is replaced by an `llvm.func` of its name
    in `gpu.module @gpu_kernels`, with what its launch needs (grid, block,
    cluster, bytes of dynamic shared memory, parameters) in `nibble.launch`;
    kernels for other targets stay. See `lowerTileKernel`.

    Refuses what is not written yet, with an error that names the layer and
    the reason: accumulators in f16, roles that load and multiply, 4-bit tensor
    maps, epilogues on other than 1, 2, 4 or 8 columns at once, loops over ops
    of tile with bounds that are no constants. Example:
    test/Conversion/convert-tile-to-nvvm-sm90.mlir.
  }];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
    "::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect",
    "::mlir::vector::VectorDialect"];
}

def ConvertTileToNVVMSm100 : Pass<"convert-tile-to-nvvm-sm100", "::mlir::ModuleOp"> {
  let summary = "Write kernels of the dialect tile as code for Blackwell";
  let description = [{
    Assumes kernels that the verifier of `tile` accepts. Guarantees: what
    convert-tile-to-nvvm-sm90 does, for kernels whose target has tensor memory
    (sm_100a, sm_110a): products are tcgen05.mma of one thread, block scales are
    copied to tensor memory, results are read from there by a role of four warps.

    Refuses what is not written yet, with an error that names the layer and the
    reason: operands that are expanded from codes, products of 4 and 8 bits,
    tiles of other than 128 rows, slices of K, roles that take turns. Example:
    test/Conversion/convert-tile-to-nvvm-sm100.mlir.
  }];
  let dependentDialects = [
    "::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
    "::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect",
    "::mlir::vector::VectorDialect"];
}

def LowerKernelsToGpu : Pass<"lower-kernels-to-gpu", "::mlir::ModuleOp"> {
  let summary = "Write every kernel of the plan as kernels of a GPU";
  let description = [{
    Assumes a plan as outline-kernels leaves it, for a GPU target; the kernel
    class that select-kernels chose says which generator writes a kernel.
    Guarantees: a `gpu.module @gpu_kernels` that `gpu::emitPtx` takes; every
    launch has `gpu` (its kernels, one after the other, with grids and
    parameters), `workspace` if they share memory, and its flops. The
    tensor-level kernels stay: they say what is computed.

    Refuses kernels that no generator covers: an error that names the layer and the reason. Example:
    test/Conversion/lower-kernels-to-gpu.mlir.
  }];
  let options = [Option<"target", "target", "std::string", /*default=*/"\"sm_90a\"",
                        "sm_90a, sm_100a or sm_110a">];
  let dependentDialects = [
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
    "::mlir::vector::VectorDialect", "::mlir::math::MathDialect",
    "::mlir::arith::ArithDialect", "::mlir::LLVM::LLVMDialect",
    "::mlir::gpu::GPUDialect", "::mlir::NVVM::NVVMDialect",
    "::nibble::tile::TileDialect"];
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
                        "of the machine: how finely products are cut">,
                 Option<"chip", "chip", "std::string", /*default=*/"\"sm_90a\"",
                        "sm_90a, sm_100a or sm_110a: what attention runs on">];
  let dependentDialects = [
    "::mlir::memref::MemRefDialect", "::mlir::scf::SCFDialect",
    "::mlir::vector::VectorDialect", "::mlir::math::MathDialect",
    "::mlir::arith::ArithDialect", "::mlir::gpu::GPUDialect",
    "::mlir::LLVM::LLVMDialect", "::mlir::NVVM::NVVMDialect"];
}

#endif // NIBBLE_CONVERSION_PASSES_TD
