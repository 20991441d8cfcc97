// RUN: lathe-opt %s --lathe-raise-rope --split-input-file | FileCheck %s

// x * cos + rotate_half(x) * sin; both tables are made once.

// CHECK-LABEL: func @half
// CHECK-DAG: %[[C:.*]] = lathe.index_expr <"cos(i1*read(0, [i2]))">(%{{.*}}) shape ["1", "seq", "2"]
// CHECK-DAG: %[[S:.*]] = lathe.index_expr <"sin(i1*read(0, [i2]))">(%{{.*}}) shape ["1", "seq", "2"]
// CHECK-NOT: cos(
// CHECK: %[[R:.*]] = lathe.rope half %arg0 <"[i0, i2, 4*i1 + i3]"> cos(%[[C]]) sin(%[[S]]) heads 2 x 4 rotary 4
// CHECK: lathe.index_expr <"read(0, [i0, i2, 4*i1 + i3])">(%[[R]]) shape ["batch", "2", "seq", "4"]
func.func @half(%x: tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "x"}) -> tensor<?x2x?x4xf32> {
  %freq = arith.constant dense<[1.0, 0.01]> : tensor<2xf32>
  %shape = arith.constant dense<[0, 0, 2, 4]> : tensor<4xi64>
  %i0 = arith.constant dense<0> : tensor<i64>
  %i1 = arith.constant dense<1> : tensor<i64>
  %ax0 = arith.constant dense<0> : tensor<1xi64>
  %ax1 = arith.constant dense<1> : tensor<1xi64>
  %sizes = arith.constant dense<2> : tensor<2xi64>
  %x4 = lathe.onnx "Reshape"(%x, %shape) {opset = 17 : i64} : (tensor<?x?x8xf32>, tensor<4xi64>) -> tensor<?x?x2x4xf32>
  %xt = lathe.onnx "Transpose"(%x4) {perm = array<i64: 0, 2, 1, 3>, opset = 17 : i64} : (tensor<?x?x2x4xf32>) -> tensor<?x2x?x4xf32>
  %dims = lathe.onnx "Shape"(%x) {opset = 17 : i64} : (tensor<?x?x8xf32>) -> tensor<3xi64>
  %n = lathe.onnx "Gather"(%dims, %i1) {axis = 0 : i64, opset = 17 : i64} : (tensor<3xi64>, tensor<i64>) -> tensor<i64>
  %r = lathe.onnx "Range"(%i0, %n, %i1) {opset = 17 : i64} : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %rf = lathe.onnx "Cast"(%r) {to = 1 : i64, opset = 17 : i64} : (tensor<?xi64>) -> tensor<?xf32>
  %ru = lathe.onnx "Unsqueeze"(%rf, %ax1) {opset = 17 : i64} : (tensor<?xf32>, tensor<1xi64>) -> tensor<?x1xf32>
  %fu = lathe.onnx "Unsqueeze"(%freq, %ax0) {opset = 17 : i64} : (tensor<2xf32>, tensor<1xi64>) -> tensor<1x2xf32>
  %a = lathe.onnx "MatMul"(%ru, %fu) {opset = 17 : i64} : (tensor<?x1xf32>, tensor<1x2xf32>) -> tensor<?x2xf32>
  %aa = lathe.onnx "Concat"(%a, %a) {axis = -1 : i64, opset = 17 : i64} : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x4xf32>
  %cos = lathe.onnx "Cos"(%aa) {opset = 17 : i64} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %sin = lathe.onnx "Sin"(%aa) {opset = 17 : i64} : (tensor<?x4xf32>) -> tensor<?x4xf32>
  %lo, %hi = lathe.onnx "Split"(%xt, %sizes) {axis = 3 : i64, opset = 17 : i64} : (tensor<?x2x?x4xf32>, tensor<2xi64>) -> (tensor<?x2x?x2xf32>, tensor<?x2x?x2xf32>)
  %neg = lathe.onnx "Neg"(%hi) {opset = 17 : i64} : (tensor<?x2x?x2xf32>) -> tensor<?x2x?x2xf32>
  %rot = lathe.onnx "Concat"(%neg, %lo) {axis = -1 : i64, opset = 17 : i64} : (tensor<?x2x?x2xf32>, tensor<?x2x?x2xf32>) -> tensor<?x2x?x4xf32>
  %p = lathe.onnx "Mul"(%xt, %cos) {opset = 17 : i64} : (tensor<?x2x?x4xf32>, tensor<?x4xf32>) -> tensor<?x2x?x4xf32>
  %q = lathe.onnx "Mul"(%sin, %rot) {opset = 17 : i64} : (tensor<?x4xf32>, tensor<?x2x?x4xf32>) -> tensor<?x2x?x4xf32>
  %y = lathe.onnx "Add"(%p, %q) {opset = 17 : i64} : (tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>) -> tensor<?x2x?x4xf32>
  return %y : tensor<?x2x?x4xf32>
}

// -----

// Pairs of neighbours, computed apart and stacked; the rest passes by.

// CHECK-LABEL: func @interleaved_partial
// CHECK: lathe.rope interleaved %arg0 <"[i0, i2, i1, i3]"> cos(%{{.*}}) sin(%{{.*}}) heads 2 x 6 rotary 4
// CHECK-NOT: "Mul"
// CHECK: return
func.func @interleaved_partial(%x: tensor<?x3x2x6xf32> {lathe.dims = ["batch", "3", "2", "6"], lathe.name = "x"}) -> tensor<?x3x2x6xf32> {
  %cos = arith.constant dense<[[[0.5, 0.25]], [[1.0, 2.0]], [[3.0, 4.0]]]> : tensor<3x1x2xf32>
  %sin = arith.constant dense<[[[0.1, 0.2]], [[0.3, 0.4]], [[0.5, 0.6]]]> : tensor<3x1x2xf32>
  %sizes = arith.constant dense<[4, 2]> : tensor<2xi64>
  %pairs = arith.constant dense<[0, 0, 0, 2, 2]> : tensor<5xi64>
  %flat = arith.constant dense<[0, 0, 0, 4]> : tensor<4xi64>
  %i0 = arith.constant dense<0> : tensor<i64>
  %i1 = arith.constant dense<1> : tensor<i64>
  %ax4 = arith.constant dense<4> : tensor<1xi64>
  %xr, %xp = lathe.onnx "Split"(%x, %sizes) {axis = 3 : i64, opset = 17 : i64} : (tensor<?x3x2x6xf32>, tensor<2xi64>) -> (tensor<?x3x2x4xf32>, tensor<?x3x2x2xf32>)
  %x5 = lathe.onnx "Reshape"(%xr, %pairs) {opset = 17 : i64} : (tensor<?x3x2x4xf32>, tensor<5xi64>) -> tensor<?x3x2x2x2xf32>
  %a = lathe.onnx "Gather"(%x5, %i0) {axis = 4 : i64, opset = 17 : i64} : (tensor<?x3x2x2x2xf32>, tensor<i64>) -> tensor<?x3x2x2xf32>
  %b = lathe.onnx "Gather"(%x5, %i1) {axis = 4 : i64, opset = 17 : i64} : (tensor<?x3x2x2x2xf32>, tensor<i64>) -> tensor<?x3x2x2xf32>
  %ac = lathe.onnx "Mul"(%a, %cos) {opset = 17 : i64} : (tensor<?x3x2x2xf32>, tensor<3x1x2xf32>) -> tensor<?x3x2x2xf32>
  %bs = lathe.onnx "Mul"(%b, %sin) {opset = 17 : i64} : (tensor<?x3x2x2xf32>, tensor<3x1x2xf32>) -> tensor<?x3x2x2xf32>
  %p = lathe.onnx "Sub"(%ac, %bs) {opset = 17 : i64} : (tensor<?x3x2x2xf32>, tensor<?x3x2x2xf32>) -> tensor<?x3x2x2xf32>
  %as = lathe.onnx "Mul"(%a, %sin) {opset = 17 : i64} : (tensor<?x3x2x2xf32>, tensor<3x1x2xf32>) -> tensor<?x3x2x2xf32>
  %bc = lathe.onnx "Mul"(%b, %cos) {opset = 17 : i64} : (tensor<?x3x2x2xf32>, tensor<3x1x2xf32>) -> tensor<?x3x2x2xf32>
  %q = lathe.onnx "Add"(%as, %bc) {opset = 17 : i64} : (tensor<?x3x2x2xf32>, tensor<?x3x2x2xf32>) -> tensor<?x3x2x2xf32>
  %pu = lathe.onnx "Unsqueeze"(%p, %ax4) {opset = 17 : i64} : (tensor<?x3x2x2xf32>, tensor<1xi64>) -> tensor<?x3x2x2x1xf32>
  %qu = lathe.onnx "Unsqueeze"(%q, %ax4) {opset = 17 : i64} : (tensor<?x3x2x2xf32>, tensor<1xi64>) -> tensor<?x3x2x2x1xf32>
  %st = lathe.onnx "Concat"(%pu, %qu) {axis = 4 : i64, opset = 17 : i64} : (tensor<?x3x2x2x1xf32>, tensor<?x3x2x2x1xf32>) -> tensor<?x3x2x2x2xf32>
  %r = lathe.onnx "Reshape"(%st, %flat) {opset = 17 : i64} : (tensor<?x3x2x2x2xf32>, tensor<4xi64>) -> tensor<?x3x2x4xf32>
  %y = lathe.onnx "Concat"(%r, %xp) {axis = -1 : i64, opset = 17 : i64} : (tensor<?x3x2x4xf32>, tensor<?x3x2x2xf32>) -> tensor<?x3x2x6xf32>
  return %y : tensor<?x3x2x6xf32>
}

// -----

// The operator, with positions.

// CHECK-LABEL: func @node
// CHECK: %[[C:.*]] = lathe.index_expr <"read({{[01]}}, [read({{[01]}}, [i0, i1]), i2])">
// CHECK: lathe.rope half %arg0 <"[i0, i1, i2, i3]"> cos(%{{.*}}) sin(%{{.*}}) heads 2 x 4 rotary 4
// CHECK-NOT: "RotaryEmbedding"
// CHECK: return
func.func @node(%x: tensor<?x2x?x4xf32> {lathe.dims = ["batch", "2", "seq", "4"], lathe.name = "x"},
                %p: tensor<?x?xi64> {lathe.dims = ["batch", "seq"], lathe.name = "p"}) -> tensor<?x2x?x4xf32> {
  %cos = arith.constant dense<[[0.5, 0.25], [1.0, 2.0], [3.0, 4.0]]> : tensor<3x2xf32>
  %sin = arith.constant dense<[[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]> : tensor<3x2xf32>
  %y = lathe.onnx "RotaryEmbedding"(%x, %cos, %sin, %p) {opset = 23 : i64} : (tensor<?x2x?x4xf32>, tensor<3x2xf32>, tensor<3x2xf32>, tensor<?x?xi64>) -> tensor<?x2x?x4xf32>
  return %y : tensor<?x2x?x4xf32>
}

// -----

// Rotations that read one another: two nodes, one that is spelled out, and a node
// again.

// CHECK-LABEL: func @chain
// CHECK-NOT: lathe.onnx
// CHECK: %[[A:.*]] = lathe.rope half %arg0
// CHECK-NOT: lathe.onnx
// CHECK: %[[B:.*]] = lathe.rope half %[[A]]
// CHECK-NOT: lathe.onnx
// CHECK: %[[C:.*]] = lathe.rope half %[[B]]
// CHECK-NOT: lathe.onnx
// CHECK: %[[D:.*]] = lathe.rope interleaved %
// CHECK-NOT: lathe.onnx
// CHECK: return %[[D]]
func.func @chain(%x: tensor<?x3x8xf32> {lathe.dims = ["batch", "3", "8"], lathe.name = "x"},
                 %p: tensor<?x3xi64> {lathe.dims = ["batch", "3"], lathe.name = "p"}) -> tensor<?x3x8xf32> {
  %cos = arith.constant dense<[[0.5, 0.25], [1.0, 2.0], [3.0, 4.0]]> : tensor<3x2xf32>
  %sin = arith.constant dense<[[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]]> : tensor<3x2xf32>
  %cosx = arith.constant dense<[[0.5, 0.25, 0.5, 0.25], [1.0, 2.0, 1.0, 2.0], [3.0, 4.0, 3.0, 4.0]]> : tensor<3x4xf32>
  %sinx = arith.constant dense<[[0.1, 0.2, 0.1, 0.2], [0.3, 0.4, 0.3, 0.4], [0.5, 0.6, 0.5, 0.6]]> : tensor<3x4xf32>
  %sizes = arith.constant dense<2> : tensor<2xi64>
  %split = arith.constant dense<[0, 0, 2, 4]> : tensor<4xi64>
  %merge = arith.constant dense<[0, 0, 8]> : tensor<3xi64>
  %a = lathe.onnx "RotaryEmbedding"(%x, %cos, %sin, %p) {num_heads = 2 : i64, opset = 24 : i64} : (tensor<?x3x8xf32>, tensor<3x2xf32>, tensor<3x2xf32>, tensor<?x3xi64>) -> tensor<?x3x8xf32>
  %b = lathe.onnx "RotaryEmbedding"(%a, %cos, %sin, %p) {num_heads = 2 : i64, opset = 24 : i64} : (tensor<?x3x8xf32>, tensor<3x2xf32>, tensor<3x2xf32>, tensor<?x3xi64>) -> tensor<?x3x8xf32>
  %b4 = lathe.onnx "Reshape"(%b, %split) {opset = 24 : i64} : (tensor<?x3x8xf32>, tensor<4xi64>) -> tensor<?x3x2x4xf32>
  %bt = lathe.onnx "Transpose"(%b4) {perm = array<i64: 0, 2, 1, 3>, opset = 24 : i64} : (tensor<?x3x2x4xf32>) -> tensor<?x2x3x4xf32>
  %lo, %hi = lathe.onnx "Split"(%bt, %sizes) {axis = 3 : i64, opset = 24 : i64} : (tensor<?x2x3x4xf32>, tensor<2xi64>) -> (tensor<?x2x3x2xf32>, tensor<?x2x3x2xf32>)
  %neg = lathe.onnx "Neg"(%hi) {opset = 24 : i64} : (tensor<?x2x3x2xf32>) -> tensor<?x2x3x2xf32>
  %rot = lathe.onnx "Concat"(%neg, %lo) {axis = -1 : i64, opset = 24 : i64} : (tensor<?x2x3x2xf32>, tensor<?x2x3x2xf32>) -> tensor<?x2x3x4xf32>
  %bc = lathe.onnx "Mul"(%bt, %cosx) {opset = 24 : i64} : (tensor<?x2x3x4xf32>, tensor<3x4xf32>) -> tensor<?x2x3x4xf32>
  %rs = lathe.onnx "Mul"(%rot, %sinx) {opset = 24 : i64} : (tensor<?x2x3x4xf32>, tensor<3x4xf32>) -> tensor<?x2x3x4xf32>
  %c4 = lathe.onnx "Add"(%bc, %rs) {opset = 24 : i64} : (tensor<?x2x3x4xf32>, tensor<?x2x3x4xf32>) -> tensor<?x2x3x4xf32>
  %ct = lathe.onnx "Transpose"(%c4) {perm = array<i64: 0, 2, 1, 3>, opset = 24 : i64} : (tensor<?x2x3x4xf32>) -> tensor<?x3x2x4xf32>
  %c = lathe.onnx "Reshape"(%ct, %merge) {opset = 24 : i64} : (tensor<?x3x2x4xf32>, tensor<3xi64>) -> tensor<?x3x8xf32>
  %d = lathe.onnx "RotaryEmbedding"(%c, %cos, %sin, %p) {num_heads = 2 : i64, interleaved = 1 : i64, opset = 24 : i64} : (tensor<?x3x8xf32>, tensor<3x2xf32>, tensor<3x2xf32>, tensor<?x3xi64>) -> tensor<?x3x8xf32>
  return %d : tensor<?x3x8xf32>
}

// -----

// No rotations: the halves have other angles; both signs are plus.

// CHECK-LABEL: func @neither
// CHECK-NOT: lathe.rope
// CHECK: return
func.func @neither(%x: tensor<?x2x3x4xf32> {lathe.dims = ["batch", "2", "3", "4"], lathe.name = "x"}) -> (tensor<?x2x3x4xf32>, tensor<?x2x3x4xf32>) {
  %cos = arith.constant dense<[[0.5, 0.25, 0.5, 0.5], [1.0, 2.0, 1.0, 2.0], [3.0, 4.0, 3.0, 4.0]]> : tensor<3x4xf32>
  %ok = arith.constant dense<[[0.5, 0.25, 0.5, 0.25], [1.0, 2.0, 1.0, 2.0], [3.0, 4.0, 3.0, 4.0]]> : tensor<3x4xf32>
  %sizes = arith.constant dense<2> : tensor<2xi64>
  %lo, %hi = lathe.onnx "Split"(%x, %sizes) {axis = 3 : i64, opset = 17 : i64} : (tensor<?x2x3x4xf32>, tensor<2xi64>) -> (tensor<?x2x3x2xf32>, tensor<?x2x3x2xf32>)
  %neg = lathe.onnx "Neg"(%hi) {opset = 17 : i64} : (tensor<?x2x3x2xf32>) -> tensor<?x2x3x2xf32>
  %rot = lathe.onnx "Concat"(%neg, %lo) {axis = -1 : i64, opset = 17 : i64} : (tensor<?x2x3x2xf32>, tensor<?x2x3x2xf32>) -> tensor<?x2x3x4xf32>
  %swap = lathe.onnx "Concat"(%hi, %lo) {axis = -1 : i64, opset = 17 : i64} : (tensor<?x2x3x2xf32>, tensor<?x2x3x2xf32>) -> tensor<?x2x3x4xf32>
  %p = lathe.onnx "Mul"(%x, %cos) {opset = 17 : i64} : (tensor<?x2x3x4xf32>, tensor<3x4xf32>) -> tensor<?x2x3x4xf32>
  %q = lathe.onnx "Mul"(%rot, %cos) {opset = 17 : i64} : (tensor<?x2x3x4xf32>, tensor<3x4xf32>) -> tensor<?x2x3x4xf32>
  %y = lathe.onnx "Add"(%p, %q) {opset = 17 : i64} : (tensor<?x2x3x4xf32>, tensor<?x2x3x4xf32>) -> tensor<?x2x3x4xf32>
  %r = lathe.onnx "Mul"(%x, %ok) {opset = 17 : i64} : (tensor<?x2x3x4xf32>, tensor<3x4xf32>) -> tensor<?x2x3x4xf32>
  %s = lathe.onnx "Mul"(%swap, %ok) {opset = 17 : i64} : (tensor<?x2x3x4xf32>, tensor<3x4xf32>) -> tensor<?x2x3x4xf32>
  %z = lathe.onnx "Add"(%r, %s) {opset = 17 : i64} : (tensor<?x2x3x4xf32>, tensor<?x2x3x4xf32>) -> tensor<?x2x3x4xf32>
  return %y, %z : tensor<?x2x3x4xf32>, tensor<?x2x3x4xf32>
}
