// Every kernel waits where it begins, then lets the next one start; those that
// do it themselves, and functions that are no kernels, are left alone.
// RUN: nibble-opt %s --pass-pipeline="builtin.module(gpu.module(gpu-overlap-launches))" | FileCheck %s

gpu.module @kernels {
  // CHECK-LABEL: gpu.func @one
  // CHECK-NEXT: nvvm.griddepcontrol wait
  // CHECK-NEXT: nvvm.griddepcontrol launch_dependents
  // CHECK: memref.load
  gpu.func @one(%x: memref<1xf32>) kernel {
    %c0 = arith.constant 0 : index
    %v = memref.load %x[%c0] : memref<1xf32>
    memref.store %v, %x[%c0] : memref<1xf32>
    gpu.return
  }
  // CHECK-LABEL: gpu.func @called
  // CHECK-NOT: nvvm.griddepcontrol
  // CHECK: llvm.func @two
  gpu.func @called() {
    gpu.return
  }
  // CHECK-NEXT: nvvm.griddepcontrol wait
  // CHECK-NEXT: nvvm.griddepcontrol launch_dependents
  // CHECK-NEXT: llvm.return
  llvm.func @two() attributes {nvvm.kernel} {
    llvm.return
  }
  // CHECK-LABEL: llvm.func @three
  // CHECK-NEXT: nvvm.barrier0
  // CHECK-NEXT: nvvm.griddepcontrol wait
  // CHECK-NEXT: llvm.return
  llvm.func @three() attributes {nvvm.kernel} {
    nvvm.barrier0
    nvvm.griddepcontrol wait
    llvm.return
  }
}
