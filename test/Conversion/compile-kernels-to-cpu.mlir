// The code generator as a pass leaves the module alone where it succeeds.
// RUN: nibble-opt %s --compile-kernels-to-cpu | FileCheck %s

// CHECK-LABEL: func.func @copy
// CHECK: memref.load
func.func @copy(%a: memref<8xf32>, %b: memref<8xf32>, %lo: index, %hi: index, %scratch: memref<?xi8>) attributes {nibble.kernel} {
  %c1 = arith.constant 1 : index
  scf.for %i = %lo to %hi step %c1 {
    %x = memref.load %a[%i] : memref<8xf32>
    memref.store %x, %b[%i] : memref<8xf32>
  }
  return
}
