//===- ExecOps.td - The plan ------------------------------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_EXEC_OPS_TD
#define NIBBLE_EXEC_OPS_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/SymbolInterfaces.td"
include "mlir/Interfaces/SideEffectInterfaces.td"

def Exec_Dialect : Dialect {
  let name = "exec";
  let cppNamespace = "::nibble::exec";
  let summary = "The plan: launches of kernels on buffers";
  let description = [{
    What the engine writer reads: an entry point (a `func.func` with the
    attribute `nibble.entry`) whose body holds constants, `exec.launch` and
    `exec.alias` only. See README.md beside this file.
  }];
}

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

    Set by `lower`: `extent` (size of the index range that threads share),
    `grain` (ranges are multiples of it), `scratch` (bytes per thread).
    Set by `plan-memory`: `offsets`, one per result, in the arena of the entry
    point; -1 for a result that is written straight into an output buffer.
  }];
  let arguments = (ins FlatSymbolRefAttr:$kernel, Variadic<Exec_Tensor>:$inputs,
                       StrAttr:$layer, StrAttr:$kind,
                       OptionalAttr<I64Attr>:$extent, OptionalAttr<I64Attr>:$grain,
                       OptionalAttr<I64Attr>:$scratch,
                       OptionalAttr<DenseI64ArrayAttr>:$offsets);
  let results = (outs Variadic<Exec_Tensor>:$results);
  let assemblyFormat = [{
    $kernel `(` $inputs `)` `layer` $layer `kind` $kind
    (`extent` $extent^)? (`grain` $grain^)? (`scratch` $scratch^)?
    (`offsets` $offsets^)? attr-dict `:` functional-type($inputs, $results)
  }];
  let hasVerifier = 1;
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
