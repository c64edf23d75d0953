// One registry for all tools: dialects and passes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Pipelines/RegisterAll.h"

#include "nibble/Conversion/Passes.h"
#include "nibble/Dialect/Check/CheckOps.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Dialect/Tile/TileOps.h"
#include "nibble/KernelSelect/KernelClass.h"
#include "nibble/KernelSelect/Passes.h"
#include "nibble/Pipelines/Stages.h"
#include "nibble/Target/Cpu/CpuTarget.h"
#include "nibble/Target/Gpu/GpuTarget.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Affine/IR/AffineOps.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/ControlFlow/IR/ControlFlow.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;
using namespace nibble;

void nibble::registerAllDialects(DialectRegistry &registry) {
  registry
      .insert<nq::NqDialect, exec::ExecDialect, check::CheckDialect,
              tile::TileDialect, affine::AffineDialect, arith::ArithDialect,
              cf::ControlFlowDialect, func::FuncDialect, linalg::LinalgDialect,
              LLVM::LLVMDialect, math::MathDialect, memref::MemRefDialect,
              scf::SCFDialect, tensor::TensorDialect, vector::VectorDialect>();
  cpu::registerCpuTarget(registry);
  gpu::registerGpuTarget(registry);
  registerKernelLayouts(registry);
}

void nibble::registerAllPasses() {
  registerNibbleTransformsPasses();
  registerNibbleConversionPasses();
  registerNibbleKernelSelectPasses();
  cpu::registerCpuTargetPasses();
  gpu::registerGpuTargetPasses();
  registerStagePipelines();
  mlir::registerCanonicalizerPass();
  mlir::registerCSEPass();
  mlir::registerSymbolDCEPass();
}
