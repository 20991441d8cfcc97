// RUN: lathe-opt %s --lathe-raise-attention --split-input-file | FileCheck %s

// Heads by reshape and transposition, the scale on both sides, padding as
// (1 - m) * min: rows that see nothing are the mean. The head merge shows the
// result.

// CHECK-LABEL: func @padding
// CHECK: %[[A:.*]] = lathe.attention q(%arg0 <"[i0, i2, 4*i1 + i3]">) k(%arg1 <"[i0, i2, 4*i1 + i3]">) v(%arg2 <"[i0, i2, 4*i1 + i3]">) keys "seq" heads 2 over 2 dims 4, 4 scale 2.500000e-01 mask <"read(0, [i0, i3]) != 0"> reads(%arg3) rows mean
// CHECK: %[[V:.*]] = lathe.index_expr <"read(0, [i0, i2, 4*i1 + i3])">(%[[A]]) shape ["batch", "2", "seq", "4"]
// CHECK: lathe.onnx "Transpose"(%[[V]])
// CHECK-NOT: "Softmax"
func.func @padding(%q: tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "q"},
                   %k: tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "k"},
                   %v: tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "v"},
                   %m: tensor<?x?xi64> {lathe.dims = ["batch", "seq"], lathe.name = "m"}) -> tensor<?x?x2x4xf32> {
  %shape = arith.constant dense<[0, 0, 2, 4]> : tensor<4xi64>
  %half = arith.constant dense<0.5> : tensor<f32>
  %one = arith.constant dense<1.0> : tensor<f32>
  %min = arith.constant dense<-3.40282347E+38> : tensor<f32>
  %axes = arith.constant dense<[1, 2]> : tensor<2xi64>
  %q4 = lathe.onnx "Reshape"(%q, %shape) {opset = 17 : i64} : (tensor<?x?x8xf32>, tensor<4xi64>) -> tensor<?x?x2x4xf32>
  %qt = lathe.onnx "Transpose"(%q4) {perm = array<i64: 0, 2, 1, 3>, opset = 17 : i64} : (tensor<?x?x2x4xf32>) -> tensor<?x2x?x4xf32>
  %k4 = lathe.onnx "Reshape"(%k, %shape) {opset = 17 : i64} : (tensor<?x?x8xf32>, tensor<4xi64>) -> tensor<?x?x2x4xf32>
  %kt = lathe.onnx "Transpose"(%k4) {perm = array<i64: 0, 2, 3, 1>, opset = 17 : i64} : (tensor<?x?x2x4xf32>) -> tensor<?x2x4x?xf32>
  %v4 = lathe.onnx "Reshape"(%v, %shape) {opset = 17 : i64} : (tensor<?x?x8xf32>, tensor<4xi64>) -> tensor<?x?x2x4xf32>
  %vt = lathe.onnx "Transpose"(%v4) {perm = array<i64: 0, 2, 1, 3>, opset = 17 : i64} : (tensor<?x?x2x4xf32>) -> tensor<?x2x?x4xf32>
  %qs = lathe.onnx "Mul"(%qt, %half) {opset = 17 : i64} : (tensor<?x2x?x4xf32>, tensor<f32>) -> tensor<?x2x?x4xf32>
  %ks = lathe.onnx "Mul"(%half, %kt) {opset = 17 : i64} : (tensor<f32>, tensor<?x2x4x?xf32>) -> tensor<?x2x4x?xf32>
  %s = lathe.onnx "MatMul"(%qs, %ks) {opset = 17 : i64} : (tensor<?x2x?x4xf32>, tensor<?x2x4x?xf32>) -> tensor<?x2x?x?xf32>
  %mu = lathe.onnx "Unsqueeze"(%m, %axes) {opset = 17 : i64} : (tensor<?x?xi64>, tensor<2xi64>) -> tensor<?x1x1x?xi64>
  %mf = lathe.onnx "Cast"(%mu) {to = 1 : i64, opset = 17 : i64} : (tensor<?x1x1x?xi64>) -> tensor<?x1x1x?xf32>
  %mi = lathe.onnx "Sub"(%one, %mf) {opset = 17 : i64} : (tensor<f32>, tensor<?x1x1x?xf32>) -> tensor<?x1x1x?xf32>
  %mm = lathe.onnx "Mul"(%mi, %min) {opset = 17 : i64} : (tensor<?x1x1x?xf32>, tensor<f32>) -> tensor<?x1x1x?xf32>
  %sm = lathe.onnx "Add"(%s, %mm) {opset = 17 : i64} : (tensor<?x2x?x?xf32>, tensor<?x1x1x?xf32>) -> tensor<?x2x?x?xf32>
  %p = lathe.onnx "Softmax"(%sm) {axis = -1 : i64, opset = 17 : i64} : (tensor<?x2x?x?xf32>) -> tensor<?x2x?x?xf32>
  %o = lathe.onnx "MatMul"(%p, %vt) {opset = 17 : i64} : (tensor<?x2x?x?xf32>, tensor<?x2x?x4xf32>) -> tensor<?x2x?x4xf32>
  %ot = lathe.onnx "Transpose"(%o) {perm = array<i64: 0, 2, 1, 3>, opset = 17 : i64} : (tensor<?x2x?x4xf32>) -> tensor<?x?x2x4xf32>
  return %ot : tensor<?x?x2x4xf32>
}

// -----

// Repeated key heads, a causal mask of -inf and a guard: rows that see nothing
// are zero. Queries scaled by a division behind the product.

// CHECK-LABEL: func @grouped
// CHECK: lathe.attention q(%arg0 <"[i0, i1, i2, i3]">) k(%arg1 <"[i0, i1, i2, i3]">) v(%arg2 <"[i0, i1, i2, i3]">) keys "seq" heads 4 over 2 dims 4, 4 scale 5.000000e-01 mask <"i3 <= i2">
// CHECK-NOT: rows
// CHECK-NOT: "Softmax"
// CHECK: return
func.func @grouped(%q: tensor<?x4x?x4xf32> {lathe.dims = ["batch", "4", "seq", "4"], lathe.name = "q"},
                   %k: tensor<?x2x?x4xf32> {lathe.dims = ["batch", "2", "seq", "4"], lathe.name = "k"},
                   %v: tensor<?x2x?x4xf32> {lathe.dims = ["batch", "2", "seq", "4"], lathe.name = "v"}) -> tensor<?x4x?x4xf32> {
  %two = arith.constant dense<2> : tensor<1xi64>
  %sqrt = arith.constant dense<2.0> : tensor<f32>
  %zero = arith.constant dense<0.0> : tensor<f32>
  %inf = arith.constant dense<0xFF800000> : tensor<f32>
  %reps = arith.constant dense<[1, 1, 2, 1, 1]> : tensor<5xi64>
  %shape = arith.constant dense<[0, 4, -1, 4]> : tensor<4xi64>
  %axis2 = arith.constant dense<2> : tensor<1xi64>
  %i0 = arith.constant dense<0> : tensor<i64>
  %i1 = arith.constant dense<1> : tensor<i64>
  %i2 = arith.constant dense<2> : tensor<i64>
  %ax0 = arith.constant dense<0> : tensor<1xi64>
  %ax1 = arith.constant dense<1> : tensor<1xi64>
  %ku = lathe.onnx "Unsqueeze"(%k, %axis2) {opset = 17 : i64} : (tensor<?x2x?x4xf32>, tensor<1xi64>) -> tensor<?x2x1x?x4xf32>
  %ke = lathe.onnx "Expand"(%ku, %reps) {opset = 17 : i64} : (tensor<?x2x1x?x4xf32>, tensor<5xi64>) -> tensor<?x2x2x?x4xf32>
  %kr = lathe.onnx "Reshape"(%ke, %shape) {opset = 17 : i64} : (tensor<?x2x2x?x4xf32>, tensor<4xi64>) -> tensor<?x4x?x4xf32>
  %vu = lathe.onnx "Unsqueeze"(%v, %axis2) {opset = 17 : i64} : (tensor<?x2x?x4xf32>, tensor<1xi64>) -> tensor<?x2x1x?x4xf32>
  %ve = lathe.onnx "Expand"(%vu, %reps) {opset = 17 : i64} : (tensor<?x2x1x?x4xf32>, tensor<5xi64>) -> tensor<?x2x2x?x4xf32>
  %vr = lathe.onnx "Reshape"(%ve, %shape) {opset = 17 : i64} : (tensor<?x2x2x?x4xf32>, tensor<4xi64>) -> tensor<?x4x?x4xf32>
  %kt = lathe.onnx "Transpose"(%kr) {perm = array<i64: 0, 1, 3, 2>, opset = 17 : i64} : (tensor<?x4x?x4xf32>) -> tensor<?x4x4x?xf32>
  %s0 = lathe.onnx "MatMul"(%q, %kt) {opset = 17 : i64} : (tensor<?x4x?x4xf32>, tensor<?x4x4x?xf32>) -> tensor<?x4x?x?xf32>
  %s = lathe.onnx "Div"(%s0, %sqrt) {opset = 17 : i64} : (tensor<?x4x?x?xf32>, tensor<f32>) -> tensor<?x4x?x?xf32>
  %dims = lathe.onnx "Shape"(%q) {opset = 17 : i64} : (tensor<?x4x?x4xf32>) -> tensor<4xi64>
  %n = lathe.onnx "Gather"(%dims, %i2) {axis = 0 : i64, opset = 17 : i64} : (tensor<4xi64>, tensor<i64>) -> tensor<i64>
  %r = lathe.onnx "Range"(%i0, %n, %i1) {opset = 17 : i64} : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %ri = lathe.onnx "Unsqueeze"(%r, %ax1) {opset = 17 : i64} : (tensor<?xi64>, tensor<1xi64>) -> tensor<?x1xi64>
  %rj = lathe.onnx "Unsqueeze"(%r, %ax0) {opset = 17 : i64} : (tensor<?xi64>, tensor<1xi64>) -> tensor<1x?xi64>
  %c = lathe.onnx "LessOrEqual"(%rj, %ri) {opset = 17 : i64} : (tensor<1x?xi64>, tensor<?x1xi64>) -> tensor<?x?xi1>
  %m = lathe.onnx "Where"(%c, %zero, %inf) {opset = 17 : i64} : (tensor<?x?xi1>, tensor<f32>, tensor<f32>) -> tensor<?x?xf32>
  %sm = lathe.onnx "Add"(%s, %m) {opset = 17 : i64} : (tensor<?x4x?x?xf32>, tensor<?x?xf32>) -> tensor<?x4x?x?xf32>
  %p0 = lathe.onnx "Softmax"(%sm) {axis = -1 : i64, opset = 17 : i64} : (tensor<?x4x?x?xf32>) -> tensor<?x4x?x?xf32>
  %nan = lathe.onnx "IsNaN"(%p0) {opset = 17 : i64} : (tensor<?x4x?x?xf32>) -> tensor<?x4x?x?xi1>
  %p = lathe.onnx "Where"(%nan, %zero, %p0) {opset = 17 : i64} : (tensor<?x4x?x?xi1>, tensor<f32>, tensor<?x4x?x?xf32>) -> tensor<?x4x?x?xf32>
  %o = lathe.onnx "MatMul"(%p, %vr) {opset = 17 : i64} : (tensor<?x4x?x?xf32>, tensor<?x4x?x4xf32>) -> tensor<?x4x?x4xf32>
  return %o : tensor<?x4x?x4xf32>
}

// -----

// A softcap; a bias that is computed; a factor per head goes to the queries.

// CHECK-LABEL: func @cap_bias
// CHECK: %[[Q:.*]] = lathe.index_expr <"read(0, [0, i1, i2, i3])*read(1, [i1, 0, 0])">(%arg0, %{{.*}})
// CHECK: lathe.attention q(%[[Q]] <"[0, i1, i2, i3]">) {{.*}} scale 1.000000e+00 softcap 5.000000e+01 bias <"read(0, [i2, i3])"> reads(%arg3)
func.func @cap_bias(%q: tensor<1x2x3x4xf32> {lathe.dims = ["1", "2", "3", "4"], lathe.name = "q"},
                    %k: tensor<1x2x4x3xf32> {lathe.dims = ["1", "2", "4", "3"], lathe.name = "k"},
                    %v: tensor<1x2x3x4xf32> {lathe.dims = ["1", "2", "3", "4"], lathe.name = "v"},
                    %b: tensor<3x3xf32> {lathe.dims = ["3", "3"], lathe.name = "b"}) -> tensor<1x2x3x4xf32> {
  %cap = arith.constant dense<50.0> : tensor<f32>
  %h = arith.constant dense<[[[1.0]], [[2.0]]]> : tensor<2x1x1xf32>
  %s0 = lathe.onnx "MatMul"(%q, %k) {opset = 17 : i64} : (tensor<1x2x3x4xf32>, tensor<1x2x4x3xf32>) -> tensor<1x2x3x3xf32>
  %s = lathe.onnx "Mul"(%h, %s0) {opset = 17 : i64} : (tensor<2x1x1xf32>, tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  %d = lathe.onnx "Div"(%s, %cap) {opset = 17 : i64} : (tensor<1x2x3x3xf32>, tensor<f32>) -> tensor<1x2x3x3xf32>
  %t = lathe.activation tanh %d : tensor<1x2x3x3xf32>
  %c = lathe.onnx "Mul"(%t, %cap) {opset = 17 : i64} : (tensor<1x2x3x3xf32>, tensor<f32>) -> tensor<1x2x3x3xf32>
  %sb = lathe.onnx "Add"(%b, %c) {opset = 17 : i64} : (tensor<3x3xf32>, tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  %p = lathe.onnx "Softmax"(%sb) {axis = 3 : i64, opset = 17 : i64} : (tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  %o = lathe.onnx "MatMul"(%p, %v) {opset = 17 : i64} : (tensor<1x2x3x3xf32>, tensor<1x2x3x4xf32>) -> tensor<1x2x3x4xf32>
  return %o : tensor<1x2x3x4xf32>
}

// -----

// Operators: Attention with heads in the columns and appended rows, and
// com.microsoft's.

// CHECK-LABEL: func @nodes
// CHECK-DAG: %[[K:.*]] = lathe.index_expr <"sel(i2 <= past - 1, read(0, [i0, 0, i2, i3]), read(1, [i0, i2 - past, i3]))">(%arg3, %arg1) shape ["batch", "1", "past + seq", "4"]
// CHECK-DAG: %[[V:.*]] = lathe.index_expr <"sel(i2 <= past - 1, read(0, [i0, 0, i2, i3]), read(1, [i0, i2 - past, i3]))">(%arg4, %arg2)
// CHECK: %[[A:.*]] = lathe.attention q(%arg0 <"[i0, i2, 4*i1 + i3]">) k(%[[K]] <"[i0, 0, i2, i3]">) v(%[[V]] <"[i0, 0, i2, i3]">) {{.*}} heads 2 over 1 dims 4, 4 scale 5.000000e-01 mask <"i3 <= i2 + past">
// CHECK: %[[B:.*]] = lathe.attention q(%arg0 <"[i0, i2, 4*i1 + i3]">) k(%arg0 {{.*}} heads 2 over 2
// CHECK: return %[[A]], %[[K]], %[[V]], %[[B]]
func.func @nodes(%q: tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "q"},
                 %k: tensor<?x?x4xf32> {lathe.dims = ["batch", "seq", "4"], lathe.name = "k"},
                 %v: tensor<?x?x4xf32> {lathe.dims = ["batch", "seq", "4"], lathe.name = "v"},
                 %pk: tensor<?x1x?x4xf32> {lathe.dims = ["batch", "1", "past", "4"], lathe.name = "pk"},
                 %pv: tensor<?x1x?x4xf32> {lathe.dims = ["batch", "1", "past", "4"], lathe.name = "pv"})
    -> (tensor<?x?x8xf32>, tensor<?x1x?x4xf32>, tensor<?x1x?x4xf32>, tensor<?x?x8xf32>) {
  %none = lathe.none : none
  %a:3 = lathe.onnx "Attention"(%q, %k, %v, %none, %pk, %pv) {q_num_heads = 2 : i64, kv_num_heads = 1 : i64, is_causal = 1 : i64, opset = 23 : i64} : (tensor<?x?x8xf32>, tensor<?x?x4xf32>, tensor<?x?x4xf32>, none, tensor<?x1x?x4xf32>, tensor<?x1x?x4xf32>) -> (tensor<?x?x8xf32>, tensor<?x1x?x4xf32>, tensor<?x1x?x4xf32>)
  %b = lathe.onnx "MultiHeadAttention"(%q, %q, %q) {num_heads = 2 : i64, domain = "com.microsoft", opset = 1 : i64} : (tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  return %a#0, %a#1, %a#2, %b : tensor<?x?x8xf32>, tensor<?x1x?x4xf32>, tensor<?x1x?x4xf32>, tensor<?x?x8xf32>
}

// -----

// Attentions that read one another without anything in between: spelled out, and
// two nodes. The last one reads the second as queries, keys and values.

// CHECK-LABEL: func @chain
// CHECK-NOT: lathe.onnx
// CHECK: %[[A:.*]] = lathe.attention q(%arg0
// CHECK-NOT: lathe.onnx
// CHECK: %[[AV:.*]] = lathe.index_expr <"read(0, [i0, i2, 4*i1 + i3])">(%[[A]])
// CHECK: %[[B:.*]] = lathe.attention q(%[[AV]] <"[i0, i1, i2, i3]">) k(%arg1
// CHECK: %[[BV:.*]] = lathe.index_expr <"read(0, [i0, i2, 4*i1 + i3])">(%[[B]])
// CHECK-NOT: lathe.onnx
// CHECK: %[[C:.*]] = lathe.attention q(%[[BV]] <"[i0, i1, i2, i3]">) k(%[[BV]] <"[i0, i1, i2, i3]">) v(%[[BV]] <"[i0, i1, i2, i3]">)
// CHECK-NOT: lathe.onnx
// CHECK: return
func.func @chain(%q: tensor<?x2x?x4xf32> {lathe.dims = ["batch", "2", "seq", "4"], lathe.name = "q"},
                 %k: tensor<?x2x?x4xf32> {lathe.dims = ["batch", "2", "seq", "4"], lathe.name = "k"},
                 %v: tensor<?x2x?x4xf32> {lathe.dims = ["batch", "2", "seq", "4"], lathe.name = "v"}) -> tensor<?x2x?x4xf32> {
  %kt = lathe.onnx "Transpose"(%k) {perm = array<i64: 0, 1, 3, 2>, opset = 24 : i64} : (tensor<?x2x?x4xf32>) -> tensor<?x2x4x?xf32>
  %s = lathe.onnx "MatMul"(%q, %kt) {opset = 24 : i64} : (tensor<?x2x?x4xf32>, tensor<?x2x4x?xf32>) -> tensor<?x2x?x?xf32>
  %p = lathe.onnx "Softmax"(%s) {axis = -1 : i64, opset = 24 : i64} : (tensor<?x2x?x?xf32>) -> tensor<?x2x?x?xf32>
  %a = lathe.onnx "MatMul"(%p, %v) {opset = 24 : i64} : (tensor<?x2x?x?xf32>, tensor<?x2x?x4xf32>) -> tensor<?x2x?x4xf32>
  %b = lathe.onnx "Attention"(%a, %k, %v) {opset = 24 : i64} : (tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>) -> tensor<?x2x?x4xf32>
  %c = lathe.onnx "Attention"(%b, %b, %b) {is_causal = 1 : i64, opset = 24 : i64} : (tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>) -> tensor<?x2x?x4xf32>
  return %c : tensor<?x2x?x4xf32>
}

// -----

// With the heads in the columns there is nothing in between.

// CHECK-LABEL: func @chain_of_columns
// CHECK-NEXT: %[[A:.*]] = lathe.attention q(%arg0 <"[i0, i2, 4*i1 + i3]">) k(%arg0 <{{.*}}>) v(%arg0 <
// CHECK-NEXT: %[[B:.*]] = lathe.attention q(%[[A]] <"[i0, i2, 4*i1 + i3]">) k(%[[A]] <{{.*}}>) v(%[[A]] <
// CHECK-NEXT: %[[C:.*]] = lathe.attention q(%[[B]] <"[i0, i2, 4*i1 + i3]">) k(%[[B]] <{{.*}}>) v(%[[B]] <
// CHECK-NEXT: return %[[C]]
func.func @chain_of_columns(%q: tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "q"}) -> tensor<?x?x8xf32> {
  %a = lathe.onnx "Attention"(%q, %q, %q) {q_num_heads = 2 : i64, kv_num_heads = 2 : i64, opset = 24 : i64} : (tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  %b = lathe.onnx "Attention"(%a, %a, %a) {q_num_heads = 2 : i64, kv_num_heads = 2 : i64, opset = 24 : i64} : (tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  %c = lathe.onnx "Attention"(%b, %b, %b) {q_num_heads = 2 : i64, kv_num_heads = 2 : i64, opset = 24 : i64} : (tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  return %c : tensor<?x?x8xf32>
}

// -----

// Why not, at the Softmax: heads are mixed, the probabilities are a result, a
// constant that is too weak below the scale. A Softmax without products is no
// attention at all.

// CHECK-LABEL: func @refused
// CHECK-NOT: lathe.attention
// CHECK: "Softmax"{{.*}}lathe.unraised = "node 'mix' (Transpose): head mixing"
// CHECK: "Softmax"{{.*}}lathe.unraised = "(Softmax): the probabilities have 2 users"
// CHECK: "Softmax"{{.*}}lathe.unraised = "(Add): a masking constant is too weak below the scale"
// CHECK: "Softmax"(%arg3) {axis = -1 : i64, opset = 17 : i64}
func.func @refused(%q: tensor<1x2x3x4xf32> {lathe.dims = ["1", "2", "3", "4"], lathe.name = "q"},
                   %k: tensor<1x2x4x3xf32> {lathe.dims = ["1", "2", "4", "3"], lathe.name = "k"},
                   %v: tensor<1x2x3x4xf32> {lathe.dims = ["1", "2", "3", "4"], lathe.name = "v"},
                   %x: tensor<1x8xf32> {lathe.dims = ["1", "8"], lathe.name = "x"})
    -> (tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x3xf32>, tensor<1x2x3x4xf32>, tensor<1x8xf32>) {
  %weak = arith.constant dense<-10000.0> : tensor<f32>
  %tenth = arith.constant dense<0.1> : tensor<f32>
  %s = lathe.onnx "MatMul"(%q, %k) {opset = 17 : i64} : (tensor<1x2x3x4xf32>, tensor<1x2x4x3xf32>) -> tensor<1x2x3x3xf32>
  %t = lathe.onnx "Transpose"(%s) {perm = array<i64: 0, 2, 3, 1>, opset = 17 : i64, onnx.from = {node = "mix", outputs = ["t"]}} : (tensor<1x2x3x3xf32>) -> tensor<1x3x3x2xf32>
  %u = lathe.onnx "Transpose"(%t) {perm = array<i64: 0, 3, 1, 2>, opset = 17 : i64, onnx.from = {node = "mix", outputs = ["u"]}} : (tensor<1x3x3x2xf32>) -> tensor<1x2x3x3xf32>
  %p0 = lathe.onnx "Softmax"(%u) {axis = -1 : i64, opset = 17 : i64} : (tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  %o0 = lathe.onnx "MatMul"(%p0, %v) {opset = 17 : i64} : (tensor<1x2x3x3xf32>, tensor<1x2x3x4xf32>) -> tensor<1x2x3x4xf32>
  %p1 = lathe.onnx "Softmax"(%s) {axis = -1 : i64, opset = 17 : i64} : (tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  %o1 = lathe.onnx "MatMul"(%p1, %v) {opset = 17 : i64} : (tensor<1x2x3x3xf32>, tensor<1x2x3x4xf32>) -> tensor<1x2x3x4xf32>
  %m = lathe.onnx "Add"(%s, %weak) {opset = 17 : i64} : (tensor<1x2x3x3xf32>, tensor<f32>) -> tensor<1x2x3x3xf32>
  %c = lathe.onnx "Mul"(%m, %tenth) {opset = 17 : i64} : (tensor<1x2x3x3xf32>, tensor<f32>) -> tensor<1x2x3x3xf32>
  %p2 = lathe.onnx "Softmax"(%c) {axis = -1 : i64, opset = 17 : i64} : (tensor<1x2x3x3xf32>) -> tensor<1x2x3x3xf32>
  %o2 = lathe.onnx "MatMul"(%p2, %v) {opset = 17 : i64} : (tensor<1x2x3x3xf32>, tensor<1x2x3x4xf32>) -> tensor<1x2x3x4xf32>
  %p3 = lathe.onnx "Softmax"(%x) {axis = -1 : i64, opset = 17 : i64} : (tensor<1x8xf32>) -> tensor<1x8xf32>
  return %o0, %o1, %p1, %o2, %p3 : tensor<1x2x3x4xf32>, tensor<1x2x3x4xf32>, tensor<1x2x3x3xf32>, tensor<1x2x3x4xf32>, tensor<1x8xf32>
}
