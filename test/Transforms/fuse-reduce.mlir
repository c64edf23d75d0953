// Pooling over positions with its count, division and norm is one pass; rows that are too long, or shared by nothing, stay apart.
// RUN: nibble-opt %s --fuse-reduce --remark-format=emitRemark --remarks-filter=nibble -o %t 2>%t.remarks
// RUN: FileCheck %s --input-file=%t
// RUN: FileCheck %s --check-prefix=REMARK --input-file=%t.remarks

#id3 = affine_map<(d0, d1, d2) -> (d0, d1, d2)>
#x = affine_map<(d0, d1, d2) -> (d0, d2, d1)>
#mask = affine_map<(d0, d1, d2) -> (d0, d2, 0)>
#sum = affine_map<(d0, d1, d2) -> (d0, d1)>
#id = affine_map<(d0, d1) -> (d0, d1)>
#first = affine_map<(d0, d1) -> (d0, 0)>
#row = affine_map<(d0, d1) -> (d0)>
#column = affine_map<(d0, d1) -> (d1)>

// CHECK-LABEL: func.func @pooling
// REMARK: [Passed] fuse-reduce {{.*}}one pass over the rows of 7 ops
func.func @pooling(%x: tensor<2x8x16xf32>, %tokens: tensor<2x8x1xi64>) -> tensor<2x16xf32> {
  // CHECK: %[[R:.*]] = nq.region "rowwise"(%{{.*}}, %{{.*}}) fused ["fuse-reduce"] : (tensor<2x8x1xi64>, tensor<2x8x16xf32>) -> tensor<2x16xf32>
  // CHECK-COUNT-7: linalg.generic
  // CHECK: return %[[R]]
  %zero = arith.constant 0.0 : f32
  %em = tensor.empty() : tensor<2x8x1xf32>
  %m = linalg.generic {indexing_maps = [#id3, #id3], iterator_types = ["parallel", "parallel", "parallel"]}
      ins(%tokens : tensor<2x8x1xi64>) outs(%em : tensor<2x8x1xf32>) {
  ^bb0(%a: i64, %o: f32):
    %f = arith.sitofp %a : i64 to f32
    linalg.yield %f : f32
  } -> tensor<2x8x1xf32>
  %es = tensor.empty() : tensor<2x16xf32>
  %is = linalg.fill ins(%zero : f32) outs(%es : tensor<2x16xf32>) -> tensor<2x16xf32>
  %s = linalg.generic {indexing_maps = [#x, #mask, #sum], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%x, %m : tensor<2x8x16xf32>, tensor<2x8x1xf32>) outs(%is : tensor<2x16xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %p = arith.mulf %a, %b : f32
    %t = arith.addf %o, %p : f32
    linalg.yield %t : f32
  } -> tensor<2x16xf32>
  %ec = tensor.empty() : tensor<2x1xf32>
  %ic = linalg.fill ins(%zero : f32) outs(%ec : tensor<2x1xf32>) -> tensor<2x1xf32>
  %c = linalg.generic {indexing_maps = [#x, #sum], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%m : tensor<2x8x1xf32>) outs(%ic : tensor<2x1xf32>) {
  ^bb0(%a: f32, %o: f32):
    %t = arith.addf %o, %a : f32
    linalg.yield %t : f32
  } -> tensor<2x1xf32>
  %mean = linalg.generic {indexing_maps = [#id, #first, #id], iterator_types = ["parallel", "parallel"]}
      ins(%s, %c : tensor<2x16xf32>, tensor<2x1xf32>) outs(%es : tensor<2x16xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %q = arith.divf %a, %b : f32
    linalg.yield %q : f32
  } -> tensor<2x16xf32>
  %el = tensor.empty() : tensor<2xf32>
  %il = linalg.fill ins(%zero : f32) outs(%el : tensor<2xf32>) -> tensor<2xf32>
  %l = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
      ins(%mean : tensor<2x16xf32>) outs(%il : tensor<2xf32>) {
  ^bb0(%a: f32, %o: f32):
    %p = arith.mulf %a, %a : f32
    %t = arith.addf %o, %p : f32
    linalg.yield %t : f32
  } -> tensor<2xf32>
  %le = tensor.expand_shape %l [[0, 1]] output_shape [2, 1] : tensor<2xf32> into tensor<2x1xf32>
  %root = linalg.generic {indexing_maps = [#id, #id], iterator_types = ["parallel", "parallel"]}
      ins(%le : tensor<2x1xf32>) outs(%ec : tensor<2x1xf32>) {
  ^bb0(%a: f32, %o: f32):
    %q = math.sqrt %a : f32
    linalg.yield %q : f32
  } -> tensor<2x1xf32>
  %y = linalg.generic {indexing_maps = [#id, #first, #id], iterator_types = ["parallel", "parallel"]}
      ins(%mean, %root : tensor<2x16xf32>, tensor<2x1xf32>) outs(%es : tensor<2x16xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %q = arith.divf %a, %b : f32
    linalg.yield %q : f32
  } -> tensor<2x16xf32>
  return %y : tensor<2x16xf32>
}

// 65664 numbers in a row: 256.5 KiB.
// CHECK-LABEL: func.func @long_rows
// CHECK-NOT: nq.region
// REMARK: [Missed] fuse-reduce {{.*}}one block would move 256 KiB alone, more than 256
func.func @long_rows(%x: tensor<2x65664xf32>) -> tensor<2xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<2xf32>
  %i = linalg.fill ins(%zero : f32) outs(%e : tensor<2xf32>) -> tensor<2xf32>
  %s = linalg.generic {indexing_maps = [#id, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<2x65664xf32>) outs(%i : tensor<2xf32>) {
  ^bb0(%a: f32, %o: f32):
    %t = arith.addf %o, %a : f32
    linalg.yield %t : f32
  } -> tensor<2xf32>
  %y = linalg.generic {indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>], iterator_types = ["parallel"]}
      ins(%s : tensor<2xf32>) outs(%e : tensor<2xf32>) {
  ^bb0(%a: f32, %o: f32):
    %q = math.sqrt %a : f32
    linalg.yield %q : f32
  } -> tensor<2xf32>
  return %y : tensor<2xf32>
}

// The maximum of each column is needed by all rows.
// CHECK-LABEL: func.func @columns
// CHECK-NOT: nq.region
// REMARK: [Missed] fuse-reduce {{.*}}they share no leading dimension
func.func @columns(%x: tensor<4x8xf32>) -> tensor<4x8xf32> {
  %low = arith.constant 0xFF800000 : f32
  %e = tensor.empty() : tensor<8xf32>
  %i = linalg.fill ins(%low : f32) outs(%e : tensor<8xf32>) -> tensor<8xf32>
  %s = linalg.generic {indexing_maps = [affine_map<(d0, d1) -> (d1, d0)>, #row], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<4x8xf32>) outs(%i : tensor<8xf32>) {
  ^bb0(%a: f32, %o: f32):
    %t = arith.maximumf %o, %a : f32
    linalg.yield %t : f32
  } -> tensor<8xf32>
  %ey = tensor.empty() : tensor<4x8xf32>
  %y = linalg.generic {indexing_maps = [#id, #column, #id], iterator_types = ["parallel", "parallel"]}
      ins(%x, %s : tensor<4x8xf32>, tensor<8xf32>) outs(%ey : tensor<4x8xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    %q = arith.divf %a, %b : f32
    linalg.yield %q : f32
  } -> tensor<4x8xf32>
  return %y : tensor<4x8xf32>
}
