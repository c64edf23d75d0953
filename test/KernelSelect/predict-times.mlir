// nibble predict: rows of a tuning database for shapes, the model beside measured rows, and what is wrong with its inputs.
// RUN: sed -n -e 's|^// SHAPE: ||p' %s > %t.jsonl
// RUN: nibble predict %t.jsonl --target sm_110a 2>&1 | FileCheck %s
// SHAPE: {"kernel": "gemm.tcgen05.mxf4nvf4", "m": 10, "n": 1024, "k": 4096, "products": 1, "result_bytes": 2}

// 2.36 MB of codes and scales at 250 GB/s, and a launch.
// CHECK-DAG: {"kernel": "gemm.tcgen05.mxf4nvf4", "m": 10, "n": 1024, "k": 4096, "products": 1, "result_bytes": 2, "schedule": "{{.*}}", "us": 11.{{[0-9]+}}, "predicted": true, "bound": "dram", "device": "Jetson Thor"}
// CHECK-DAG: 1 rows predicted for Jetson Thor; model error on NVIDIA H200, {{[0-9]+}} kernels: median

// RUN: nibble predict --check | FileCheck %s --check-prefix=CHECKED
// CHECKED: kernel, M, N, K, products, schedule {{ *}}us predicted  ratio by
// CHECKED: gemm.wgmma.e4m3 {{.*}}102.19
// CHECKED: model error on NVIDIA H200, {{[0-9]+}} kernels: median {{[0-9]}} %, 90 % within {{[0-9]+}} %
// CHECKED-NEXT: {{[0-9]+}} shapes: of {{[0-9]+}} the measured best schedule is, by the model, within 10 % of its own choice

// RUN: sed -e 's/tcgen05.mxf4nvf4/stream.f16/' %t.jsonl > %t.stream && not nibble predict %t.stream 2>&1 | FileCheck %s --check-prefix=CLASS
// CLASS: error: the model does not know kernels of class 'gemm.stream.f16'; it knows gemm.wgmma.* and gemm.tcgen05.*
// RUN: echo '{"kernel": "gemm.wgmma.f16", "m": 0}' > %t.zero && not nibble predict %t.zero 2>&1 | FileCheck %s --check-prefix=ZERO
// ZERO: error: line 1 of '{{.*}}' has no positive number 'm'
// RUN: echo '{}' > %t.machine && not nibble predict --check --machine %t.machine 2>&1 | FileCheck %s --check-prefix=MACHINE
// MACHINE: error: machine file '{{.*}}' is not of schema nibble.emu-target/1
// RUN: not nibble predict %t.jsonl --target cpu 2>&1 | FileCheck %s --check-prefix=TARGET
// TARGET: error: there is no machine for target 'cpu'; sm_90a, sm_100a and sm_110a have one
