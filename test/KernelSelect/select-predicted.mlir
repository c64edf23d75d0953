// Schedules for Thor: predicted ones of tuning/sm_110a.jsonl, measured ones of --tuning-db before them, estimates for other shapes; what --locked takes.
// RUN: nibble-opt %s --select-kernels=target=sm_110a --remarks-filter=nibble --remark-format=emitRemark 2>&1 | FileCheck %s
// RUN: not nibble-opt %s --select-kernels="target=sm_110a locked=true" 2>&1 | FileCheck %s --check-prefix=LOCKED
// RUN: sed -n -e 's|^// ROW: ||p' %s > %t.jsonl
// RUN: nibble-opt %s --select-kernels="target=sm_110a tuning=%t.jsonl" --remarks-filter=nibble --remark-format=emitRemark 2>&1 | FileCheck %s --check-prefix=MEASURED

// ROW: {"kernel": "gemm.tcgen05.f16", "m": 50, "n": 1024, "k": 2048, "products": 1, "result_bytes": 2, "schedule": "128x16 s4 c1x1 m1 w1 p2", "us": 99.5, "device": "a Thor"}

// CHECK-DAG: select-kernels {{.*}}layer=expert_o,{{.*}}predicted_us=1.8{{[0-9]+}}e+01,{{.*}}reason="the matrix unit multiplies these formats; schedule predicted: 18.{{[0-9]}} us by the time model, nothing measured; model error on NVIDIA H200, {{[0-9]+}} kernels: median {{[0-9]}} %, 90 % within {{[0-9]+}} %"
// CHECK-DAG: select-kernels {{.*}}layer=other,{{.*}}reason="the matrix unit multiplies these formats; schedule estimated, {{[0-9.]+}} us; this shape is not in the tuning database"

// LOCKED: error: {{.*}}expert_o{{.*}}schedule predicted

// MEASURED-DAG: select-kernels {{.*}}layer=expert_o,{{.*}}schedule measured: 99.5 us on a Thor"{{.*}}schedule="128x16 s4 c1x1 m1 w1 p2"

func.func @main(%x: tensor<50x2048xf16>, %w: tensor<1024x2048xf16>, %v: tensor<1008x2048xf16>) -> (tensor<50x1024xf16>, tensor<50x1008xf16>) attributes {nibble.entry} {
  %y = nq.region "gemm"(%x, %w) : (tensor<50x2048xf16>, tensor<1024x2048xf16>) -> tensor<50x1024xf16> {
  ^bb0(%a: tensor<50x2048xf16>, %b: tensor<1024x2048xf16>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<50x2048xf16>, tensor<1024x2048xf16>) -> tensor<50x1024xf16> loc("expert_o")
    nq.yield %0 : tensor<50x1024xf16>
  } loc("expert_o")
  %z = nq.region "gemm"(%x, %v) : (tensor<50x2048xf16>, tensor<1008x2048xf16>) -> tensor<50x1008xf16> {
  ^bb0(%a: tensor<50x2048xf16>, %b: tensor<1008x2048xf16>):
    %0 = nq.matmul %a, %b transpose_b : (tensor<50x2048xf16>, tensor<1008x2048xf16>) -> tensor<50x1008xf16> loc("other")
    nq.yield %0 : tensor<50x1008xf16>
  } loc("other")
  return %y, %z : tensor<50x1024xf16>, tensor<50x1008xf16>
}
