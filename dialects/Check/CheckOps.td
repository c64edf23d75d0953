//===- CheckOps.td - Assertions and probes for tests ------*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CHECK_OPS_TD
#define NIBBLE_CHECK_OPS_TD

include "mlir/IR/OpBase.td"
include "mlir/IR/BuiltinAttributeInterfaces.td"

def Check_Dialect : Dialect {
  let name = "check";
  let cppNamespace = "::nibble::check";
  let summary = "Assertions and probes for tests; never in a shipped engine";
}

class Check_Op<string mnemonic, list<Trait> traits = []>
    : Op<Check_Dialect, mnemonic, traits>;

def Check_ExpectEqOp : Check_Op<"expect_eq", [SameTypeOperands]> {
  let summary = "two tensors are equal, bit for bit (codes and scales included)";
  let arguments = (ins StaticShapeTensorOf<[AnyType]>:$actual,
                       StaticShapeTensorOf<[AnyType]>:$expected);
  let assemblyFormat = "$actual `,` $expected attr-dict `:` type($actual)";
}

def Check_ExpectCloseOp : Check_Op<"expect_close", []> {
  let summary = "|actual - expected| <= atol + rtol * |expected| everywhere";
  let arguments = (ins StaticShapeTensorOf<[AnyFloat]>:$actual,
                       StaticShapeTensorOf<[AnyFloat]>:$expected,
                       F64Attr:$rtol, F64Attr:$atol);
  let assemblyFormat = [{
    $actual `,` $expected `rtol` $rtol `atol` $atol attr-dict
    `:` type($actual) `,` type($expected)
  }];
}

def Check_ProbeOp : Check_Op<"probe", []> {
  let summary = "name a value so that a test can read it";
  let arguments = (ins StaticShapeTensorOf<[AnyType]>:$value, StrAttr:$name);
  let assemblyFormat = "$value `as` $name attr-dict `:` type($value)";
}

#endif // NIBBLE_CHECK_OPS_TD
