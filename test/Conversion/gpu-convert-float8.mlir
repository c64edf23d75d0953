// Two numbers per instruction; bounds of the largest number are its own, other
// bounds stay, and without any what overflows becomes NaN.
// RUN: nibble-opt %s --gpu-convert-float8 --canonicalize | FileCheck %s

gpu.module @kernels {
  // CHECK-LABEL: gpu.func @bounds
  // CHECK-NOT: arith.minimumf
  // CHECK-NOT: arith.truncf
  // CHECK-COUNT-2: nvvm.convert.f32x2.to.f8x2 {{.*}}sat = #nvvm.sat_mode<satfinite>
  // CHECK-NOT: arith.cmpf
  // CHECK: vector.store {{.*}}, vector<3xi8>
  gpu.func @bounds(%x: memref<3xf32>, %y: memref<3xi8>) kernel {
    %c0 = arith.constant 0 : index
    %high = arith.constant dense<448.0> : vector<3xf32>
    %low = arith.constant dense<-448.0> : vector<3xf32>
    %v = vector.load %x[%c0] : memref<3xf32>, vector<3xf32>
    %a = arith.minimumf %v, %high : vector<3xf32>
    %b = arith.maximumf %a, %low : vector<3xf32>
    %q = arith.truncf %b : vector<3xf32> to vector<3xf8E4M3FN>
    %i = arith.bitcast %q : vector<3xf8E4M3FN> to vector<3xi8>
    vector.store %i, %y[%c0] : memref<3xi8>, vector<3xi8>
    gpu.return
  }

  // NaN would become the bound.
  // CHECK-LABEL: gpu.func @nan
  // CHECK: arith.minnumf
  // CHECK: nvvm.convert.f32x2.to.f8x2
  // CHECK-NOT: arith.cmpf
  // CHECK: gpu.return
  gpu.func @nan(%x: memref<1xf32>, %y: memref<1xi8>) kernel {
    %c0 = arith.constant 0 : index
    %high = arith.constant 448.0 : f32
    %low = arith.constant -448.0 : f32
    %v = memref.load %x[%c0] : memref<1xf32>
    %a = arith.minnumf %v, %high : f32
    %b = arith.maxnumf %a, %low : f32
    %q = arith.truncf %b : f32 to f8E4M3FN
    %i = arith.bitcast %q : f8E4M3FN to i8
    memref.store %i, %y[%c0] : memref<1xi8>
    gpu.return
  }

  // CHECK-LABEL: gpu.func @overflow
  // CHECK: nvvm.convert.f32x2.to.f8x2
  // CHECK: arith.cmpf oge
  // CHECK: arith.addi
  gpu.func @overflow(%x: memref<1xf32>, %y: memref<1xi8>) kernel {
    %c0 = arith.constant 0 : index
    %v = memref.load %x[%c0] : memref<1xf32>
    %q = arith.truncf %v : f32 to f8E5M2
    %i = arith.bitcast %q : f8E5M2 to i8
    memref.store %i, %y[%c0] : memref<1xi8>
    gpu.return
  }

  // CHECK-LABEL: gpu.func @decode
  // CHECK: nvvm.convert.f8x2.to.f16x2
  // CHECK: arith.extf {{.*}} : f16 to f32
  gpu.func @decode(%x: memref<2xi8>, %y: memref<2xf32>) kernel {
    %c0 = arith.constant 0 : index
    %v = vector.load %x[%c0] : memref<2xi8>, vector<2xi8>
    %q = arith.bitcast %v : vector<2xi8> to vector<2xf8E4M3FN>
    %w = arith.extf %q : vector<2xf8E4M3FN> to vector<2xf32>
    vector.store %w, %y[%c0] : memref<2xf32>, vector<2xf32>
    gpu.return
  }
}
