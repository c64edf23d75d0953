// FP8 activations times weights of 4 bits: weights become FP8 where that rounds nothing and is faster, or rounds by permission. 1.5 x 1.875 has six
// significant bits: 2.8125 becomes 2.75.
// RUN: nibble-opt %s --permit-fallbacks='permissions=*rounded*:fp8,*few*:fp8' --round-weights=target=sm_90a --select-kernels=target=sm_90a 2>/dev/null | FileCheck %s --check-prefixes=CHECK,HOPPER
// RUN: nibble-opt %s --permit-fallbacks='permissions=*rounded*:fp8,*few*:fp8' --round-weights=target=cpu --select-kernels=target=cpu 2>/dev/null | FileCheck %s --check-prefixes=CHECK,CPU
// RUN: nibble-opt %s --permit-fallbacks='permissions=*rounded*:fp8,*few*:fp8' --round-weights=target=sm_100a --select-kernels=target=sm_100a 2>/dev/null | FileCheck %s --check-prefixes=CHECK,BLACKWELL
// RUN: nibble-opt %s --permit-fallbacks='permissions=*rounded*:fp8,*few*:fp8' --round-weights=target=sm_90a --remarks-filter=nibble --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=TOLD

// TOLD: round-weights {{.*}}layer=exact, norm_error=0.0{{.*}}reason="{{.*}}nothing is rounded"
// CHECK-LABEL: func.func @exact
// HOPPER: nq.constant codes(dense_resource<fp8.codes{{.*}}>{{.*}} : tensor<1024x1024x!nq.scaled<f8E4M3FN, f32 per 1x?>>
// BLACKWELL: nq.constant codes(dense_resource<fp8.codes
// BLACKWELL: nibble.kernel_class = "gemm.tcgen05.f8f6f4", nibble.math = "fp8"
// HOPPER: nibble.kernel_class = "gemm.wgmma.e4m3", nibble.math = "fp8"
// HOPPER-NOT: nibble.rounded
// HOPPER: nibble.requested = "fp8 x mxfp4"
// CPU: tensor<1024x1024x!nq.mxfp4>
// CPU: nibble.kernel_class = "gemm.cpu"
func.func @exact(%x: tensor<1024x1024x!nq.fp8>) -> tensor<1024x1024xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<51> : tensor<524288xi8>) scales(dense<120> : tensor<32768xi8>) : tensor<1024x1024x!nq.mxfp4>
  %y = nq.region "gemm"(%x, %w) : (tensor<1024x1024x!nq.fp8>, tensor<1024x1024x!nq.mxfp4>) -> tensor<1024x1024xf16> {
  ^bb0(%a: tensor<1024x1024x!nq.fp8>, %b: tensor<1024x1024x!nq.mxfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<1024x1024x!nq.fp8>, tensor<1024x1024x!nq.mxfp4>) -> tensor<1024x1024xf16> loc("exact")
    nq.yield %0 : tensor<1024x1024xf16>
  } loc("exact")
  return %y : tensor<1024x1024xf16>
}

// TOLD: round-weights {{.*}}layer=kept,{{.*}}reason="weights would be rounded by up to 2.2 % of one, 2.2 % in the norm, and nobody permitted that"
// CHECK-LABEL: func.func @kept
// CHECK: tensor<1024x1024x!nq.nvfp4>
func.func @kept(%x: tensor<1024x1024x!nq.fp8>) -> tensor<1024x1024xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<51> : tensor<524288xi8>) scales(dense<63> : tensor<65536xi8>) global(dense<0.5> : tensor<f32>) : tensor<1024x1024x!nq.nvfp4>
  %y = nq.region "gemm"(%x, %w) : (tensor<1024x1024x!nq.fp8>, tensor<1024x1024x!nq.nvfp4>) -> tensor<1024x1024xf16> {
  ^bb0(%a: tensor<1024x1024x!nq.fp8>, %b: tensor<1024x1024x!nq.nvfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<1024x1024x!nq.fp8>, tensor<1024x1024x!nq.nvfp4>) -> tensor<1024x1024xf16> loc("kept")
    nq.yield %0 : tensor<1024x1024xf16>
  } loc("kept")
  return %y : tensor<1024x1024xf16>
}

// TOLD: round-weights {{.*}}chosen="weights as FP8, expanded at compile time", layer=rounded, {{.*}}reason="permitted by the user; weights are rounded by up to 2.2 % of one, 2.2 % in the norm", worst_error=2.2
// CHECK-LABEL: func.func @rounded
// CHECK: nq.constant codes(dense_resource<fp8.codes
// HOPPER: nibble.kernel_class = "gemm.wgmma.e4m3.lossy", nibble.math = "fp8"
// BLACKWELL: nibble.kernel_class = "gemm.tcgen05.f8f6f4.lossy", nibble.math = "fp8"
// CPU: nibble.kernel_class = "gemm.cpu.lossy", nibble.math = "fp8"
// CHECK: nibble.rounded = " by up to 2.2 % of one, 2.2 % in the norm"
func.func @rounded(%x: tensor<1024x1024x!nq.fp8>) -> tensor<1024x1024xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<51> : tensor<524288xi8>) scales(dense<63> : tensor<65536xi8>) global(dense<0.5> : tensor<f32>) : tensor<1024x1024x!nq.nvfp4>
  %y = nq.region "gemm"(%x, %w) : (tensor<1024x1024x!nq.fp8>, tensor<1024x1024x!nq.nvfp4>) -> tensor<1024x1024xf16> {
  ^bb0(%a: tensor<1024x1024x!nq.fp8>, %b: tensor<1024x1024x!nq.nvfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<1024x1024x!nq.fp8>, tensor<1024x1024x!nq.nvfp4>) -> tensor<1024x1024xf16> loc("rounded")
    nq.yield %0 : tensor<1024x1024xf16>
  } loc("rounded")
  return %y : tensor<1024x1024xf16>
}

// Few rows: the permission is of no use on the GPU.
// TOLD: round-weights {{.*}}layer=few,{{.*}}reason="M = 4: reading the weights takes the time, and FP8 has twice the bytes"
// CHECK-LABEL: func.func @few
// HOPPER: tensor<1024x1024x!nq.nvfp4>
// BLACKWELL: tensor<1024x1024x!nq.nvfp4>
// CPU: nq.constant codes(dense_resource<fp8.codes
func.func @few(%x: tensor<4x1024x!nq.fp8>) -> tensor<4x1024xf16> attributes {nibble.entry} {
  %w = nq.constant codes(dense<51> : tensor<524288xi8>) scales(dense<63> : tensor<65536xi8>) global(dense<0.5> : tensor<f32>) : tensor<1024x1024x!nq.nvfp4>
  %y = nq.region "gemm"(%x, %w) : (tensor<4x1024x!nq.fp8>, tensor<1024x1024x!nq.nvfp4>) -> tensor<4x1024xf16> {
  ^bb0(%a: tensor<4x1024x!nq.fp8>, %b: tensor<1024x1024x!nq.nvfp4>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<4x1024x!nq.fp8>, tensor<1024x1024x!nq.nvfp4>) -> tensor<4x1024xf16> loc("few")
    nq.yield %0 : tensor<4x1024xf16>
  } loc("few")
  return %y : tensor<4x1024xf16>
}
