// The linker runs last: symbols that nothing defines are its error. The second run is for the host.
// RUN: not nibble-opt %s --compile-kernels-to-cpu 2>&1 | FileCheck %s
// RUN: not nibble-opt %s --compile-kernels-to-cpu=cpu=native 2>&1 | FileCheck %s
// RUN: not nibble-opt %s --compile-kernels-to-cpu=cpu=6502 2>&1 | FileCheck %s --check-prefix=CPU
// CHECK: error: kernel code calls 'nowhere', which nothing defines
// CPU: error: {{.*}}6502
func.func private @nowhere(%x: f32) -> f32
func.func @call(%a: memref<8xf32>, %lo: index, %hi: index, %scratch: memref<?xi8>) attributes {nibble.kernel} {
  %x = memref.load %a[%lo] : memref<8xf32>
  %y = func.call @nowhere(%x) : (f32) -> f32
  memref.store %y, %a[%lo] : memref<8xf32>
  return
}
