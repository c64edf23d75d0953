//===- ExecAttrs.td - How kernels of a GPU are launched ---*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_EXEC_ATTRS_TD
#define NIBBLE_EXEC_ATTRS_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/AttrTypeBase.td"

def Exec_Dialect : Dialect {
  let name = "exec";
  let cppNamespace = "::nibble::exec";
  let summary = "The plan: launches of kernels on buffers";
  let description = [{
    What the engine writer reads: an entry point (a `func.func` with the
    attribute `nibble.entry`) whose body holds constants, `exec.launch`,
    `exec.alias`, and `nq.state_read` and `nq.state_write` only. See README.md beside this file.
  }];
  let useDefaultAttributePrinterParser = 1;
  let extraClassDeclaration = [{
    void registerAttributes();
  }];
}

def Exec_TensorMapAttr : AttrDef<Exec_Dialect, "TensorMap"> {
  let mnemonic = "tensor_map";
  let summary = "what cuTensorMapEncodeTiled is given, with CUDA's numbers";
  let description = [{
    `sizes` in elements, fastest dimension first; `strides` in bytes, of
    dimensions 1 and up; `box` in elements. No interleave, elements side by
    side, zeros beyond the end.
  }];
  let parameters = (ins "int64_t":$type, "int64_t":$swizzle,
                        "int64_t":$l2Promotion,
                        ArrayRefParameter<"int64_t">:$sizes,
                        OptionalArrayRefParameter<"int64_t">:$strides,
                        ArrayRefParameter<"int64_t">:$box);
  let assemblyFormat = [{
    `<` `type` `=` $type `,` `swizzle` `=` $swizzle `,` `l2_promotion` `=` $l2Promotion
    `,` `sizes` `=` `[` $sizes `]` (`,` `strides` `=` `[` $strides^ `]`)?
    `,` `box` `=` `[` $box `]` `>`
  }];
}

def Exec_GpuArgAttr : AttrDef<Exec_Dialect, "GpuArg"> {
  let mnemonic = "gpu_arg";
  let summary = "one parameter of a kernel: an address, a tensor map, or bytes";
  let description = [{
    `value` counts the operands of the launch, then its results; behind them
    is the workspace, if there is one, and behind that the counters. With `map`, the parameter is a tensor map over the memory
    at its address plus `offset` bytes; with `bytes`, a scalar as it lies in
    memory.
  }];
  let parameters = (ins DefaultValuedParameter<"int64_t", "0">:$value,
                        DefaultValuedParameter<"int64_t", "0">:$offset,
                        OptionalArrayRefParameter<"uint8_t">:$bytes,
                        OptionalParameter<"::nibble::exec::TensorMapAttr">:$map);
  let assemblyFormat = [{
    `<` struct($value, $offset, custom<Bytes>($bytes), $map) `>`
  }];
}

def Exec_GpuLaunchAttr : AttrDef<Exec_Dialect, "GpuLaunch"> {
  let mnemonic = "gpu_launch";
  let summary = "launch of one kernel of the gpu.module";
  let parameters = (ins StringRefParameter<>:$symbol,
                        ArrayRefParameter<"int64_t">:$grid,
                        ArrayRefParameter<"int64_t">:$block,
                        ArrayRefParameter<"int64_t">:$cluster,
                        "int64_t":$sharedBytes,
                        ArrayRefParameter<"::nibble::exec::GpuArgAttr">:$args);
  let assemblyFormat = [{
    `<` $symbol `,` `grid` `=` `[` $grid `]` `,` `block` `=` `[` $block `]`
    `,` `cluster` `=` `[` $cluster `]` `,` `shared` `=` $sharedBytes
    `,` `args` `=` `[` $args `]` `>`
  }];
}

#endif // NIBBLE_EXEC_ATTRS_TD
