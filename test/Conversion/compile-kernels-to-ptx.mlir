// Kernels of a gpu.module become PTX: indices of 32 bits, memrefs as addresses,
// no contraction, 16 bytes per access.
// RUN: nibble-opt %s --compile-kernels-to-ptx="output=-" -o /dev/null | FileCheck %s
// RUN: nibble-opt %s --compile-kernels-to-ptx="chip=sm_110a output=-" -o /dev/null | FileCheck %s --check-prefix=THOR

// CHECK-NOT: .extern .func
// CHECK: .version 9.0
// CHECK: .target sm_90a
// THOR: .target sm_110a
gpu.module @kernels {
  // CHECK-LABEL: .visible .entry scale(
  // CHECK-COUNT-2: .param .u64 .ptr
  // CHECK: .maxntid 128
  // CHECK-NOT: mul.lo.s64
  // CHECK: mul.wide
  // CHECK: ld.global{{.*}}.v4.b32
  // CHECK: mul.rn.f32
  // CHECK: add.rn.f32
  // CHECK: st.global.v4.b32
  gpu.func @scale(%x: memref<4096xf32>, %y: memref<4096xf32>) kernel
      attributes {known_block_size = array<i32: 128, 1, 1>} {
    %c4 = arith.constant 4 : index
    %c128 = arith.constant 128 : index
    %two = arith.constant dense<3.0> : vector<4xf32>
    %one = arith.constant dense<1.0> : vector<4xf32>
    %b = gpu.block_id x
    %t = gpu.thread_id x
    %base = arith.muli %b, %c128 : index
    %thread = arith.addi %base, %t : index
    %i = arith.muli %thread, %c4 : index
    %v = vector.load %x[%i] {alignment = 16} : memref<4096xf32>, vector<4xf32>
    %m = arith.mulf %v, %two : vector<4xf32>
    %a = arith.addf %m, %one : vector<4xf32>
    vector.store %a, %y[%i] {alignment = 16} : memref<4096xf32>, vector<4xf32>
    gpu.return
  }

  // Math becomes polynomials, bf16 converts in hardware.
  // CHECK-LABEL: .visible .entry row(
  // CHECK: cvt.f32.bf16
  // CHECK: shfl.sync.bfly.b32
  // CHECK: bar.sync
  // CHECK: fma.rn.f32
  gpu.func @row(%x: memref<256xbf16>, %y: memref<256xf32>)
      workgroup(%shared: memref<8xf32, #gpu.address_space<workgroup>>) kernel
      attributes {known_block_size = array<i32: 256, 1, 1>} {
    %c0 = arith.constant 0 : index
    %t = gpu.thread_id x
    %v = memref.load %x[%t] : memref<256xbf16>
    %f = arith.extf %v : bf16 to f32
    %o = arith.constant 1 : i32
    %w = arith.constant 32 : i32
    %s, %ok = gpu.shuffle xor %f, %o, %w : f32
    memref.store %s, %shared[%c0] : memref<8xf32, #gpu.address_space<workgroup>>
    gpu.barrier
    %r = memref.load %shared[%c0] : memref<8xf32, #gpu.address_space<workgroup>>
    %e = math.exp %r : f32
    memref.store %e, %y[%t] : memref<256xf32>
    gpu.return
  }
}
