// Layers that cannot get what is asked for are refused, all of them; permissions turn refusals into decisions.
// RUN: not nibble-opt %s --assign-precision="format=nvfp4" --mlir-print-debuginfo 2>&1 | FileCheck %s
// RUN: nibble-opt %s --assign-precision="format=nvfp4 allow-fallback=/{odd,input}:fp8,/odd:f32,/in*:bf16,/{left,f64,fp8}:keep,/{nan,zero}:f32,/big:f16" 2>&1 | FileCheck %s --check-prefix=FALL
// RUN: not nibble-opt %s --assign-precision="format=f16" 2>&1 | FileCheck %s --check-prefix=F16
// RUN: not nibble-opt %s --assign-precision="format=nvfp4 allow-fallback=/input:fp8" 2>&1 | FileCheck %s --check-prefix=TRIED
// RUN: not nibble-opt %s --assign-precision="format=nvfp5" 2>&1 | FileCheck %s --check-prefix=NAME
// RUN: not nibble-opt %s --assign-precision="format=nvfp4 allow-fallback=bf16" 2>&1 | FileCheck %s --check-prefix=PERMISSION

// NAME: unknown format 'nvfp5', did you mean 'nvfp4'?; formats are keep, f32,
// TRIED: layer '/input': requested nvfp4, refused: its weight is an input of the model, not a constant; fp8, which is allowed, is impossible: its weight is an input
// PERMISSION: --allow-fallback 'bf16' is not GLOB:FORMAT

func.func @main(%x: tensor<2x32xf32>, %odd: tensor<2x20xf32>, %w: tensor<32x4xf32>, %d: tensor<2x32xf64>)
    -> (tensor<2x4xf32>, tensor<2x4xf32>, tensor<4x2xf32>, tensor<2x4xf32>, tensor<2x4xf32>, tensor<2x4xf64>, tensor<2x4xf32>) attributes {nibble.entry} {
  // CHECK: layer '/odd': requested nvfp4, refused: K = 20 is not a multiple of the block of 16 (--quantize); give it another format in the policy ('/odd: bf16'), or let it fall back: --allow-fallback '/odd:bf16'
  // FALL: layer '/odd': requested nvfp4, chosen fp8: K = 20 is not a multiple of the block of 16 (allowed by --allow-fallback)
  %wo = nq.constant codes(dense<1.0> : tensor<20x4xf32>) : tensor<20x4xf32>
  %0 = nq.matmul %odd, %wo : (tensor<2x20xf32>, tensor<20x4xf32>) -> tensor<2x4xf32> loc("/odd")

  // CHECK: layer '/input': requested nvfp4, refused: its weight is an input of the model, not a constant
  // FALL: layer '/input': requested nvfp4, chosen bf16: its weight is an input of the model, not a constant (allowed by --allow-fallback)
  %1 = nq.matmul %x, %w : (tensor<2x32xf32>, tensor<32x4xf32>) -> tensor<2x4xf32> loc("/input")

  // CHECK: layer '/left': requested nvfp4, refused: its weight is the left operand of the product
  %wl = nq.constant codes(dense<1.0> : tensor<4x32xf32>) : tensor<4x32xf32>
  %t = linalg.softmax dimension(1) ins(%x : tensor<2x32xf32>) outs(%x : tensor<2x32xf32>) -> tensor<2x32xf32>
  %2 = nq.matmul %wl, %t transpose_b : (tensor<4x32xf32>, tensor<2x32xf32>) -> tensor<4x2xf32> loc("/left")

  // CHECK: layer '/nan': requested nvfp4, refused: its weight has a NaN or infinity at [17, 2]
  // FALL: layer '/left': requested nvfp4, chosen keep
  // FALL: layer '/nan': requested nvfp4, chosen f32
  %wn = nq.constant codes(dense_resource<nan> : tensor<32x4xf32>) : tensor<32x4xf32>
  %3 = nq.matmul %x, %wn : (tensor<2x32xf32>, tensor<32x4xf32>) -> tensor<2x4xf32> loc("/nan")

  // CHECK: layer '/zero': requested nvfp4, refused: its weight is all zero
  %wz = nq.constant codes(dense<0.0> : tensor<32x4xf32>) : tensor<32x4xf32>
  %4 = nq.matmul %x, %wz : (tensor<2x32xf32>, tensor<32x4xf32>) -> tensor<2x4xf32> loc("/zero")

  // CHECK: layer '/f64': requested nvfp4, refused: its weight has the element type f64, not f32, f16 or bf16
  %wd = nq.constant codes(dense<1.0> : tensor<32x4xf64>) : tensor<32x4xf64>
  %5 = nq.matmul %d, %wd : (tensor<2x32xf64>, tensor<32x4xf64>) -> tensor<2x4xf64> loc("/f64")

  // Models that come quantized are obeyed as they are.
  // CHECK: layer '/fp8': requested nvfp4, refused: it comes quantized (weights !nq.fp8), and models that come quantized are obeyed as they are (--quantize); give it another format in the policy ('/fp8: keep')
  // F16: layer '/fp8': requested f16, refused: it comes quantized
  // F16: layer '/big': requested f16, refused: its weight reaches 100000, beyond the 65504 of f16
  %w8 = nq.constant codes(dense<1> : tensor<128xi8>) scales(dense<1> : tensor<4xi8>) : tensor<4x32x!nq.fp8>
  %6 = nq.matmul %x, %w8 transpose_b : (tensor<2x32xf32>, tensor<4x32x!nq.fp8>) -> tensor<2x4xf32> loc("/fp8")
  return %0, %1, %2, %3, %4, %5, %6 : tensor<2x4xf32>, tensor<2x4xf32>, tensor<4x2xf32>, tensor<2x4xf32>, tensor<2x4xf32>, tensor<2x4xf64>, tensor<2x4xf32>
}

func.func @big(%x: tensor<2x32xf32>) -> tensor<2x4xf32> attributes {nibble.entry} {
  %w = nq.constant codes(dense<1.0e5> : tensor<32x4xf32>) : tensor<32x4xf32>
  %y = nq.matmul %x, %w : (tensor<2x32xf32>, tensor<32x4xf32>) -> tensor<2x4xf32> loc("/big")
  return %y : tensor<2x4xf32>
}

{-#
  dialect_resources: {
    builtin: {
      nan: "0x040000000000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000C07F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F0000803F"
    }
  }
#-}
