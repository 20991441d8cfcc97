// RUN: lathe-opt %s --lathe-hoist-row-ops --split-input-file | FileCheck %s

lathe.weight @w {data = #lathe.blob<"w.bin", 0, 32, "0000000000000001">} : !lathe.weight<2x4xf32, #lathe.dense<f32>>

// A Gemm's rows, and rows in another order; what follows goes along.

// CHECK-LABEL: func @rows
// CHECK: %[[L:.*]] = lathe.linear %arg0, {{.*}} -> tensor<?x?x4xf32>
// CHECK: %[[A:.*]] = lathe.activation relu %[[L]]
// CHECK: %[[Y:.*]] = lathe.index_expr <"read(0, [fdiv(i0, seq), mod(i0, seq), i1])">(%[[A]]) shape ["batch*seq", "4"]
// CHECK: %[[M:.*]] = lathe.linear %arg0
// CHECK: %[[Z:.*]] = lathe.index_expr <"read(0, [i1, i0, i2])">(%[[M]]) shape ["seq", "batch", "4"]
// CHECK: return %[[Y]], %[[Z]]
func.func @rows(%x: tensor<?x?x2xf32> {lathe.dims = ["batch", "seq", "2"], lathe.name = "x"}) -> (tensor<?x4xf32>, tensor<?x?x4xf32>) {
  %shape = arith.constant dense<[-1, 2]> : tensor<2xi64>
  %w = lathe.use_weight @w : !lathe.weight<2x4xf32, #lathe.dense<f32>>
  %r = lathe.onnx "Reshape"(%x, %shape) {opset = 17 : i64} : (tensor<?x?x2xf32>, tensor<2xi64>) -> tensor<?x2xf32>
  %l = lathe.linear %r, %w : (tensor<?x2xf32>, !lathe.weight<2x4xf32, #lathe.dense<f32>>) -> tensor<?x4xf32>
  %a = lathe.activation relu %l : tensor<?x4xf32>
  %t = lathe.onnx "Transpose"(%x) {perm = array<i64: 1, 0, 2>, opset = 17 : i64} : (tensor<?x?x2xf32>) -> tensor<?x?x2xf32>
  %m = lathe.linear %t, %w : (tensor<?x?x2xf32>, !lathe.weight<2x4xf32, #lathe.dense<f32>>) -> tensor<?x?x4xf32>
  return %a, %m : tensor<?x4xf32>, tensor<?x?x4xf32>
}

// -----

lathe.weight @w {data = #lathe.blob<"w.bin", 0, 32, "0000000000000001">} : !lathe.weight<2x4xf32, #lathe.dense<f32>>

// A slice would compute more rows, a change of columns other rows, windows are
// no plain order.

// CHECK-LABEL: func @stay
// CHECK: %[[S:.*]] = lathe.onnx "Slice"
// CHECK: lathe.linear %[[S]]
// CHECK: %[[C:.*]] = lathe.onnx "Transpose"
// CHECK: lathe.linear %[[C]]
// CHECK: lathe.onnx "Reshape"
// CHECK: %[[W:.*]] = lathe.onnx "Reshape"
// CHECK: lathe.linear %[[W]]
func.func @stay(%x: tensor<?x4x2xf32> {lathe.dims = ["batch", "4", "2"], lathe.name = "x"},
                %z: tensor<?x2x2xf32> {lathe.dims = ["batch", "2", "2"], lathe.name = "z"},
                %g: tensor<?x4x4x2xf32> {lathe.dims = ["batch", "4", "4", "2"], lathe.name = "g"}) -> (tensor<?x1x4xf32>, tensor<?x2x4xf32>, tensor<?x4x4xf32>) {
  %w = lathe.use_weight @w : !lathe.weight<2x4xf32, #lathe.dense<f32>>
  %zero = arith.constant dense<0> : tensor<1xi64>
  %one = arith.constant dense<1> : tensor<1xi64>
  %six = arith.constant dense<[-1, 2, 2, 2, 2, 2]> : tensor<6xi64>
  %win = arith.constant dense<[-1, 4, 2]> : tensor<3xi64>
  %s = lathe.onnx "Slice"(%x, %zero, %one, %one) {opset = 17 : i64} : (tensor<?x4x2xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<?x1x2xf32>
  %l = lathe.linear %s, %w : (tensor<?x1x2xf32>, !lathe.weight<2x4xf32, #lathe.dense<f32>>) -> tensor<?x1x4xf32>
  %c = lathe.onnx "Transpose"(%z) {perm = array<i64: 0, 2, 1>, opset = 17 : i64} : (tensor<?x2x2xf32>) -> tensor<?x2x2xf32>
  %m = lathe.linear %c, %w : (tensor<?x2x2xf32>, !lathe.weight<2x4xf32, #lathe.dense<f32>>) -> tensor<?x2x4xf32>
  %g6 = lathe.onnx "Reshape"(%g, %six) {opset = 17 : i64} : (tensor<?x4x4x2xf32>, tensor<6xi64>) -> tensor<?x2x2x2x2x2xf32>
  %gt = lathe.onnx "Transpose"(%g6) {perm = array<i64: 0, 1, 3, 2, 4, 5>, opset = 17 : i64} : (tensor<?x2x2x2x2x2xf32>) -> tensor<?x2x2x2x2x2xf32>
  %gw = lathe.onnx "Reshape"(%gt, %win) {opset = 17 : i64} : (tensor<?x2x2x2x2x2xf32>, tensor<3xi64>) -> tensor<?x4x2xf32>
  %n = lathe.linear %gw, %w : (tensor<?x4x2xf32>, !lathe.weight<2x4xf32, #lathe.dense<f32>>) -> tensor<?x4x4xf32>
  return %l, %m, %n : tensor<?x1x4xf32>, tensor<?x2x4xf32>, tensor<?x4x4xf32>
}
