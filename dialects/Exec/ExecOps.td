//===- ExecOps.td - The plan ------------------------------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_EXEC_OPS_TD
#define NIBBLE_EXEC_OPS_TD

include "ExecAttrs.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

class Exec_Op<string mnemonic, list<Trait> traits = []>
    : Op<Exec_Dialect, mnemonic, traits>;

def Exec_Tensor : StaticShapeTensorOf<[AnyType]>;

def Exec_LaunchOp : Exec_Op<"launch", [
    DeclareOpInterfaceMethods<SymbolUserOpInterface>]> {
  let summary = "run a kernel";
  let description = [{
    `kernel` is a `func.func` of the same module on tensors: the exact meaning
    of the launch, evaluated by the reference interpreter. `layer` is the name
    of the ONNX node the kernel's last op came from, `kind` its op.

    Set by `reuse-buffers`: `in_place`, one number per result: the operand whose
    buffer the result takes over element by element, or -1. The kernel must
    allow it (nibble/Analysis/InPlace.h), and the operand must die here.
    Set by `lower`: `extent` (size of the index range that threads share),
    `grain` (ranges are multiples of it), `scratch` (bytes per thread).
    For GPUs instead: `gpu`, the kernels of the gpu.module that run one after
    the other, `workspace`, bytes of memory that they share, and `counters`,
    bytes that are zeros before and behind every launch.
    Set by `plan-memory`: `workspace_offset`, and `offsets`, one per result, in the arena of the entry
    point (whose beginning are the counters of all launches); -1 for a result that is written straight into an output buffer or
    a state (`nq.state_write`).
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<Exec_Tensor>:$inputs,
                       StrAttr:$layer, StrAttr:$kind,
                       OptionalAttr<I64Attr>:$extent, OptionalAttr<I64Attr>:$grain,
                       OptionalAttr<I64Attr>:$scratch,
                       OptionalAttr<DenseI64ArrayAttr>:$offsets,
                       OptionalAttr<DenseI64ArrayAttr>:$in_place,
                       OptionalAttr<TypedArrayAttrBase<Exec_GpuLaunchAttr, "launches">>:$gpu,
                       OptionalAttr<I64Attr>:$workspace,
                       OptionalAttr<I64Attr>:$counters,
                       OptionalAttr<I64Attr>:$workspace_offset);
  let results = (outs Variadic<Exec_Tensor>:$results);
  let builders = [OpBuilder<(ins "::mlir::TypeRange":$results,
      "::mlir::FlatSymbolRefAttr":$kernel, "::mlir::ValueRange":$inputs,
      "::llvm::StringRef":$layer, "::llvm::StringRef":$kind)>];
  let assemblyFormat = [{
    $kernel `(` $inputs `)` `layer` $layer `kind` $kind
    (`in_place` $in_place^)?
    (`extent` $extent^)? (`grain` $grain^)? (`scratch` $scratch^)?
    (`offsets` $offsets^)? attr-dict `:` functional-type($inputs, $results)
  }];
  let hasVerifier = 1;
  let extraClassDeclaration = [{
    ::llvm::LogicalResult verifyGpu();
    /// Number of the workspace among the values of `gpu`.
    unsigned getWorkspaceValue() { return getInputs().size() + getNumResults(); }
    /// Operand whose buffer result `i` takes over, or a null value.
    ::mlir::Value getInPlaceOperand(unsigned i);
  }];
}

def Exec_AliasOp : Exec_Op<"alias", [Pure]> {
  let summary = "the same buffer under another shape";
  let description = [{
    A reshape of row-major storage: no bytes move. Element types are equal, and
    so is the size of storage.
  }];
  let arguments = (ins Exec_Tensor:$input);
  let results = (outs Exec_Tensor:$result);
  let assemblyFormat = "$input attr-dict `:` type($input) `->` type($result)";
  let hasVerifier = 1;
}

#endif // NIBBLE_EXEC_OPS_TD
