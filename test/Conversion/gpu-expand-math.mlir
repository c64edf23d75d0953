// Functions of f32 by two instructions; f64 and other functions are left to
// cpu-expand-math.
// RUN: nibble-opt %s --gpu-expand-math | FileCheck %s

// CHECK-LABEL: func.func @exp
// CHECK: arith.minimumf
// CHECK-COUNT-2: llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f32"
// CHECK-NOT: math.exp
func.func @exp(%x: vector<2xf32>) -> vector<2xf32> {
  %y = math.exp %x : vector<2xf32>
  return %y : vector<2xf32>
}

// One power and one reciprocal each, and no tanh is left.
// CHECK-LABEL: func.func @gelu
// CHECK-NOT: math.tanh
// CHECK-COUNT-1: llvm.call_intrinsic "llvm.nvvm.ex2.approx.ftz.f32"
// CHECK: nvvm.rcp.approx.ftz.f
// CHECK-NEXT: arith.mulf %arg0
// CHECK-NEXT: return
func.func @gelu(%x: f32, %u: f32) -> f32 {
  %half = arith.constant 0.5 : f32
  %one = arith.constant 1.0 : f32
  %k = arith.constant 0.797884583 : f32
  %v = arith.mulf %u, %k : f32
  %t = math.tanh %v : f32
  %s = arith.addf %t, %one : f32
  %h = arith.mulf %x, %half : f32
  %y = arith.mulf %h, %s : f32
  return %y : f32
}

// CHECK-LABEL: func.func @logistic
// CHECK-NOT: arith.divf
// CHECK: nvvm.rcp.approx.ftz.f
func.func @logistic(%x: f32) -> f32 {
  %one = arith.constant 1.0 : f32
  %m = arith.negf %x : f32
  %e = math.exp %m : f32
  %s = arith.addf %e, %one : f32
  %y = arith.divf %one, %s : f32
  return %y : f32
}

// CHECK-LABEL: func.func @inverse_root
// CHECK: llvm.call_intrinsic "llvm.nvvm.rsqrt.approx.f"
// CHECK: math.fma
// CHECK: llvm.intr.minnum
// CHECK: math.fma
// CHECK-NOT: arith.divf
func.func @inverse_root(%x: f32) -> f32 {
  %one = arith.constant 1.0 : f32
  %s = math.sqrt %x : f32
  %y = arith.divf %one, %s : f32
  return %y : f32
}

// As norms have it: no denormal numbers.
// CHECK-LABEL: func.func @inverse_root_of_sum
// CHECK: llvm.call_intrinsic "llvm.nvvm.rsqrt.approx.ftz.f"
func.func @inverse_root_of_sum(%x: f32) -> f32 {
  %one = arith.constant 1.0 : f32
  %small = arith.constant 1.0e-6 : f32
  %v = arith.addf %x, %small : f32
  %s = math.sqrt %v : f32
  %y = arith.divf %one, %s : f32
  return %y : f32
}

// CHECK-LABEL: func.func @left
// CHECK: math.tanh
// CHECK: math.log
// CHECK: math.exp {{.*}} : f16
// CHECK: arith.divf
func.func @left(%x: f64, %y: f32, %z: f16) -> (f64, f32, f16, f32) {
  %a = math.tanh %x : f64
  %b = math.log %y : f32
  %c = math.exp %z : f16
  %d = arith.divf %y, %b : f32
  return %a, %b, %c, %d : f64, f32, f16, f32
}
