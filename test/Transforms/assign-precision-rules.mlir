// Rules that decide nothing, or ask for what no op has, are errors unless they are optional.
// RUN: split-file %s %t
// RUN: not nibble-opt %t/graph.mlir --assign-precision="policy=%t/typo.policy" 2>&1 | FileCheck %s --check-prefix=TYPO
// RUN: not nibble-opt %t/graph.mlir --assign-precision="policy=%t/shadowed.policy" 2>&1 | FileCheck %s --check-prefix=SHADOWED
// RUN: not nibble-opt %t/graph.mlir --assign-precision="policy=%t/kind.policy" 2>&1 | FileCheck %s --check-prefix=KIND
// RUN: not nibble-opt %t/graph.mlir --assign-precision="policy=%t/none.policy" 2>&1 | FileCheck %s --check-prefix=NONE
// RUN: not nibble-opt %t/graph.mlir --assign-precision="policy=%t/norm.policy" 2>&1 | FileCheck %s --check-prefix=NORM
// RUN: not nibble-opt %t/graph.mlir --assign-precision="policy=%t/syntax.policy" 2>&1 | FileCheck %s --check-prefix=SYNTAX
// RUN: nibble-opt %t/graph.mlir --assign-precision="policy=%t/optional.policy" | FileCheck %s --check-prefix=OPTIONAL

//--- graph.mlir
func.func @main(%x: tensor<2x32xf32>) -> tensor<2x4xf32> attributes {nibble.entry} {
  %one = arith.constant dense<1.0> : tensor<32xf32>
  %n = nq.norm rms %x scale(%one : tensor<32xf32>) {axis = 1 : i64, epsilon = 1.0e-6 : f64} : tensor<2x32xf32> -> tensor<2x32xf32> loc("/norm")
  %w = nq.constant codes(dense<1.0> : tensor<32x4xf32>) : tensor<32x4xf32>
  %y = nq.matmul %n, %w : (tensor<2x32xf32>, tensor<32x4xf32>) -> tensor<2x4xf32> loc("/mlp/up")
  return %y : tensor<2x4xf32>
}

//--- typo.policy
# TYPO: error: typo.policy:2: rule '/mpl/*' matches no layer (matmuls with weights are '/mlp/up'); correct it, or mark it 'optional' if that is intended
/mpl/*: mxfp8

//--- shadowed.policy
# SHADOWED: shadowed.policy:3: rule '*/up' decides nothing: the layers it matches, such as '/mlp/up', are decided by shadowed.policy:2 before it
/mlp/*: mxfp8
*/up: mxfp4

//--- kind.policy
# KIND: kind.policy:2: rule '*/up' matches no layer of kind norm (layer '/mlp/up' is of kind linear)
*/up: f32 kind=norm

//--- none.policy
# NONE: layer '/norm': requested nvfp4, refused: rule '/norm' (none.policy:2) matches only ops that have no such format of their own; this one is 'nq.norm'
/norm: nvfp4

//--- norm.policy
# NORM: layer '/norm': requested bf16, refused: norm layers compute in f32 and keep the model's type; only matmuls, attention and embeddings can be given f16 or bf16 (norm.policy:2); give it another format in the policy ('/norm: f32')
/norm: bf16

//--- syntax.policy
# SYNTAX: error: syntax.policy:4:8: unknown format 'nvfp5'
# SYNTAX: syntax.policy:5:17: unknown recipe 'torch' for nvfp4 weights; recipes are modelopt, modelopt-torch,

/mlp/*:nvfp5
/mlp/*: nvfp4   recipe=torch

//--- optional.policy
# OPTIONAL: nq.matmul
# OPTIONAL-SAME: nibble.requested = "mxfp8"
/mpl/*: nvfp4 optional
/norm: nvfp4 optional
/mlp/*: mxfp8
