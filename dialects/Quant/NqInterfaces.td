//===- NqInterfaces.td - What kernels ask of their operands -*- tablegen -*-===//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_NQ_INTERFACES_TD
#define NIBBLE_NQ_INTERFACES_TD

include "mlir/IR/OpBase.td"

def Nq_LayoutInterface : OpInterface<"LayoutInterface"> {
  let cppNamespace = "::nibble::nq";
  let description = [{
    Answers which storage layouts the kernel of an op needs on a target. Stage
    `layout` asks every op of an entry point and gives each tensor one layout.
    Kernel classes implement it for nq.region as an external model
    (KernelSelect); without it, everything is row-major.
  }];
  let methods = [InterfaceMethod<
    [{Layout of every operand and result: null for row-major, `any` for what the
      kernel can read or write in every layout.}],
    "::nibble::nq::RequiredLayouts", "getRequiredLayouts",
    (ins "::llvm::StringRef":$target)>];
}

#endif // NIBBLE_NQ_INTERFACES_TD
