// FP8 activations times NVFP4 weights: exact in f16, faster in FP8, which rounds weights and needs a permission. Stages layout and
// select agree on the class.
// RUN: nibble-opt %s --widen-activations=target=sm_110a --select-kernels=target=sm_110a | FileCheck %s --check-prefix=EXACT
// RUN: nibble-opt %s --permit-fallbacks='permissions=*down*:fp8' --round-weights=target=sm_110a --assign-layouts=target=sm_110a --select-kernels=target=sm_110a 2>%t | FileCheck %s --check-prefix=LOSSY
// RUN: FileCheck %s --check-prefix=TOLD < %t
// RUN: nibble-opt %s --permit-fallbacks='permissions=*up*:fp8,*down*:bf16' --widen-activations=target=sm_110a --select-kernels=target=sm_110a | FileCheck %s --check-prefix=EXACT
// RUN: not nibble-opt %s --permit-fallbacks='permissions=down' 2>&1 | FileCheck %s --check-prefix=BAD

// EXACT: nq.widen
// EXACT: nq.region "gemm"
// EXACT: nibble.kernel_class = "gemm.tcgen05.f16.expand", nibble.math = "f16"
// LOSSY: nq.region "gemm"
// LOSSY: nibble.kernel_class = "gemm.tcgen05.f8f6f4.lossy", nibble.math = "fp8", nibble.permitted = ["fp8"]
// TOLD: remark: {{.*}}layer 'mlp/down_proj': requested {{.*}}, chosen fp8: permitted by the user
// BAD: error: {{.*}}'down'
func.func @w4a8(%x: tensor<4096x64x!nq.fp8>) -> tensor<4096x1024xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<51> : tensor<32768xi8>) scales(dense<63> : tensor<4096xi8>) global(dense<0.5> : tensor<f32>) : tensor<1024x64x!nq.nvfp4>
  %y = nq.region "gemm"(%x, %w) : (tensor<4096x64x!nq.fp8>, tensor<1024x64x!nq.nvfp4>) -> tensor<4096x1024xf16> {
  ^bb0(%a: tensor<4096x64x!nq.fp8>, %b: tensor<1024x64x!nq.nvfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<4096x64x!nq.fp8>, tensor<1024x64x!nq.nvfp4>) -> tensor<4096x1024xf16> loc("mlp/down_proj")
    nq.yield %0 : tensor<4096x1024xf16>
  } loc("mlp/down_proj")
  return %y : tensor<4096x1024xf16>
}
