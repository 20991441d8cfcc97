// RUN: lathe-opt %s --lathe-materialize-index-exprs --split-input-file | FileCheck %s

// Movement in front of an operation that computes is one expression; what comes
// back to where it was is nothing; equal ones are one.

// CHECK-LABEL: func @movement
// CHECK-NEXT: %[[V:.*]] = lathe.index_expr <"read(0, [i0, i2, 4*i1 + i3])">(%arg0) shape ["batch", "2", "seq", "4"]
// CHECK-NEXT: %[[E:.*]] = lathe.onnx "Erf"(%[[V]])
// CHECK-NEXT: %[[F:.*]] = lathe.onnx "Erf"(%arg0)
// CHECK-NEXT: return %[[E]], %[[F]], %[[V]]
func.func @movement(%x: tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "x"}) -> (tensor<?x2x?x4xf32>, tensor<?x?x8xf32>, tensor<?x2x?x4xf32>) {
  %split = arith.constant dense<[0, 0, 2, 4]> : tensor<4xi64>
  %merge = arith.constant dense<[0, 0, 8]> : tensor<3xi64>
  %a = lathe.onnx "Reshape"(%x, %split) {opset = 17 : i64} : (tensor<?x?x8xf32>, tensor<4xi64>) -> tensor<?x?x2x4xf32>
  %b = lathe.onnx "Transpose"(%a) {perm = array<i64: 0, 2, 1, 3>, opset = 17 : i64} : (tensor<?x?x2x4xf32>) -> tensor<?x2x?x4xf32>
  %e = lathe.onnx "Erf"(%b) {opset = 17 : i64} : (tensor<?x2x?x4xf32>) -> tensor<?x2x?x4xf32>
  %c = lathe.onnx "Transpose"(%b) {perm = array<i64: 0, 2, 1, 3>, opset = 17 : i64} : (tensor<?x2x?x4xf32>) -> tensor<?x?x2x4xf32>
  %d = lathe.onnx "Reshape"(%c, %merge) {opset = 17 : i64} : (tensor<?x?x2x4xf32>, tensor<3xi64>) -> tensor<?x?x8xf32>
  %f = lathe.onnx "Erf"(%d) {opset = 17 : i64} : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
  return %e, %f, %b : tensor<?x2x?x4xf32>, tensor<?x?x8xf32>, tensor<?x2x?x4xf32>
}

// -----

// Positions and shape arithmetic; constants are computed; a factor is work and
// stays, and so does a cast between float types.

// CHECK-LABEL: func @closed
// CHECK-DAG: %[[C:.*]] = arith.constant dense<[3, 4]> : tensor<2xi64>
// CHECK-DAG: %[[P:.*]] = lathe.index_expr <"i0 + past">() shape ["seq"] : () -> tensor<?xi64>
// CHECK-DAG: %[[V:.*]] = lathe.index_expr <"read(0, [i0, i2, i1])">(%arg0) shape ["batch", "8", "seq"]
// CHECK-DAG: %[[M:.*]] = lathe.onnx "Mul"(%[[V]],
// CHECK-DAG: %[[H:.*]] = lathe.onnx "Cast"(%[[V]]) {{.*}} -> tensor<?x8x?xf16>
// CHECK: return %[[C]], %[[P]], %[[M]], %[[H]]
func.func @closed(%x: tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "x"},
                  %p: tensor<?x?xf32> {lathe.dims = ["batch", "past"], lathe.name = "p"}) -> (tensor<2xi64>, tensor<?xi64>, tensor<?x8x?xf32>, tensor<?x8x?xf16>) {
  %one = arith.constant dense<1> : tensor<i64>
  %a = arith.constant dense<[2, 3]> : tensor<2xi64>
  %half = arith.constant dense<0.5> : tensor<f32>
  %c = lathe.onnx "Add"(%a, %one) {opset = 17 : i64} : (tensor<2xi64>, tensor<i64>) -> tensor<2xi64>
  %xs = lathe.onnx "Shape"(%x) {opset = 17 : i64} : (tensor<?x?x8xf32>) -> tensor<3xi64>
  %ps = lathe.onnx "Shape"(%p) {opset = 17 : i64} : (tensor<?x?xf32>) -> tensor<2xi64>
  %n = lathe.onnx "Gather"(%xs, %one) {axis = 0 : i64, opset = 17 : i64} : (tensor<3xi64>, tensor<i64>) -> tensor<i64>
  %m = lathe.onnx "Gather"(%ps, %one) {axis = 0 : i64, opset = 17 : i64} : (tensor<2xi64>, tensor<i64>) -> tensor<i64>
  %e = lathe.onnx "Add"(%m, %n) {opset = 17 : i64} : (tensor<i64>, tensor<i64>) -> tensor<i64>
  %r = lathe.onnx "Range"(%m, %e, %one) {opset = 17 : i64} : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %t = lathe.onnx "Transpose"(%x) {perm = array<i64: 0, 2, 1>, opset = 17 : i64} : (tensor<?x?x8xf32>) -> tensor<?x8x?xf32>
  %s = lathe.onnx "Mul"(%t, %half) {opset = 17 : i64} : (tensor<?x8x?xf32>, tensor<f32>) -> tensor<?x8x?xf32>
  %h = lathe.onnx "Cast"(%t) {to = 10 : i64, opset = 17 : i64} : (tensor<?x8x?xf32>) -> tensor<?x8x?xf16>
  return %c, %r, %s, %h : tensor<2xi64>, tensor<?xi64>, tensor<?x8x?xf32>, tensor<?x8x?xf16>
}

// -----

// A cast of what was not moved stays a cast; a shape that data decide stays with
// the node that is to blame.

// CHECK-LABEL: func @kept
// CHECK-DAG: %[[F:.*]] = lathe.onnx "Cast"(%arg0) {{.*}} -> tensor<?x8xf16>
// CHECK-DAG: %[[P:.*]] = lathe.onnx "Pad"(%arg1, %arg2)
// CHECK: return %[[F]], %[[P]]
func.func @kept(%x: tensor<?x8xi64> {lathe.dims = ["n", "8"], lathe.name = "x"},
                %y: tensor<4xf32> {lathe.dims = ["4"], lathe.name = "y"},
                %pads: tensor<2xi64> {lathe.dims = ["2"], lathe.name = "pads"}) -> (tensor<?x8xf16>, tensor<?xf32>) {
  %like = arith.constant dense<0.0> : tensor<f16>
  %f = lathe.onnx "CastLike"(%x, %like) {opset = 17 : i64} : (tensor<?x8xi64>, tensor<f16>) -> tensor<?x8xf16>
  %p = lathe.onnx "Pad"(%y, %pads) {opset = 17 : i64} : (tensor<4xf32>, tensor<2xi64>) -> tensor<?xf32>
  return %f, %p : tensor<?x8xf16>, tensor<?xf32>
}
