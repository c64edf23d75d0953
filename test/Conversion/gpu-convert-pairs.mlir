// For Blackwell, bf16 is widened and multiplied as pairs in words. Other chips, and numbers that are no pairs, keep their conversions.
// RUN: nibble-opt %s --gpu-convert-pairs --canonicalize | FileCheck %s

gpu.module @thor attributes {nibble.chip = "sm_110a"} {
  // A product is rounded once either way; its factors are read as they were rounded.
  // CHECK-LABEL: gpu.func @product
  // CHECK: arith.truncf {{.*}}vector<4xbf16>
  // CHECK-NOT: arith.extf
  // CHECK-NOT: arith.mulf
  // CHECK-COUNT-2: mul.rn.bf16x2
  // CHECK-NOT: arith.truncf
  gpu.func @product(%x: memref<4xf32>, %y: memref<4xbf16>) kernel {
    %c0 = arith.constant 0 : index
    %v = vector.load %x[%c0] : memref<4xf32>, vector<4xf32>
    %w = vector.load %y[%c0] : memref<4xbf16>, vector<4xbf16>
    %h = arith.truncf %v : vector<4xf32> to vector<4xbf16>
    %a = arith.extf %h : vector<4xbf16> to vector<4xf32>
    %b = arith.extf %w : vector<4xbf16> to vector<4xf32>
    %p = arith.mulf %a, %b : vector<4xf32>
    %q = arith.truncf %p : vector<4xf32> to vector<4xbf16>
    vector.store %q, %y[%c0] : memref<4xbf16>, vector<4xbf16>
    gpu.return
  }

  // CHECK-LABEL: gpu.func @widen
  // CHECK: arith.shli
  // CHECK: arith.andi
  // CHECK-NOT: arith.extf
  gpu.func @widen(%x: memref<2xf32>, %y: memref<2xbf16>) kernel {
    %c0 = arith.constant 0 : index
    %w = vector.load %y[%c0] : memref<2xbf16>, vector<2xbf16>
    %b = arith.extf %w : vector<2xbf16> to vector<2xf32>
    vector.store %b, %x[%c0] : memref<2xf32>, vector<2xf32>
    gpu.return
  }

  // CHECK-LABEL: gpu.func @odd
  // CHECK: arith.extf
  // CHECK: arith.extf {{.*}}f16
  gpu.func @odd(%x: memref<3xf32>, %y: memref<3xbf16>, %z: memref<3xf16>) kernel {
    %c0 = arith.constant 0 : index
    %w = vector.load %y[%c0] : memref<3xbf16>, vector<3xbf16>
    %b = arith.extf %w : vector<3xbf16> to vector<3xf32>
    vector.store %b, %x[%c0] : memref<3xf32>, vector<3xf32>
    %u = vector.load %z[%c0] : memref<3xf16>, vector<3xf16>
    %f = arith.extf %u : vector<3xf16> to vector<3xf32>
    vector.store %f, %x[%c0] : memref<3xf32>, vector<3xf32>
    gpu.return
  }
}

gpu.module @hopper {
  // CHECK-LABEL: gpu.module @hopper
  // CHECK: arith.extf
  gpu.func @widen(%x: memref<2xf32>, %y: memref<2xbf16>) kernel {
    %c0 = arith.constant 0 : index
    %w = vector.load %y[%c0] : memref<2xbf16>, vector<2xbf16>
    %b = arith.extf %w : vector<2xbf16> to vector<2xf32>
    vector.store %b, %x[%c0] : memref<2xf32>, vector<2xf32>
    gpu.return
  }
}
