// RUN: lathe-opt %s --lathe-raise-linear --split-input-file | FileCheck %s

// CHECK: lathe.weight @w {data = #lathe.blob<{{.*}}, 0, 32, "{{.*}}">} : !lathe.weight<2x4xf32, #lathe.dense<f32>>
// CHECK: lathe.weight @b {{.*}} : !lathe.weight<4xf32, #lathe.dense<f32>>
// CHECK-LABEL: func @matmul_add
// CHECK-DAG: %[[W:.*]] = lathe.use_weight @w
// CHECK-DAG: %[[B:.*]] = lathe.use_weight @b
// CHECK: %[[Y:.*]] = lathe.linear %arg0, %[[W]] bias(%[[B]])
// CHECK: %[[R:.*]] = lathe.onnx "Reshape"(%[[Y]]
// CHECK: return %[[R]]
func.func @matmul_add(%x: tensor<?x?x2xf32>, %shape: tensor<4xi64>) -> tensor<?x?x1x4xf32> {
  %w = arith.constant {onnx.from = {outputs = ["w"]}} dense<[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]> : tensor<2x4xf32>
  %b = arith.constant {onnx.from = {outputs = ["b"]}} dense<[1.0, 2.0, 3.0, 4.5]> : tensor<4xf32>
  %p = lathe.onnx "MatMul"(%x, %w) {opset = 17 : i64} : (tensor<?x?x2xf32>, tensor<2x4xf32>) -> tensor<?x?x4xf32>
  %r = lathe.onnx "Reshape"(%p, %shape) {opset = 17 : i64} : (tensor<?x?x4xf32>, tensor<4xi64>) -> tensor<?x?x1x4xf32>
  %y = lathe.onnx "Add"(%b, %r) {opset = 17 : i64} : (tensor<4xf32>, tensor<?x?x1x4xf32>) -> tensor<?x?x1x4xf32>
  return %y : tensor<?x?x1x4xf32>
}

// -----

// Behind a cast and a transposition; rows counted in another way around a Gemm.

// CHECK: lathe.weight @w {{.*}} : !lathe.weight<2x4xf32, #lathe.dense<f16, transposed>>
// CHECK: lathe.weight @v {{.*}} : !lathe.weight<2x4xf32, #lathe.dense<f32, transposed>>
// CHECK-LABEL: func @encodings
// CHECK: %[[A:.*]] = lathe.linear %arg0,
// CHECK: %[[B:.*]] = lathe.linear %arg1, {{.*}} -> tensor<?x?x4xf32>
// CHECK: lathe.onnx "Reshape"(%[[B]], {{.*}}) {{.*}} -> tensor<?x4xf32>
func.func @encodings(%x: tensor<?x?x2xf32>, %m: tensor<?x?x2xf32>) -> (tensor<?x4xf32>, tensor<?x?x4xf32>) {
  %w = arith.constant {onnx.from = {outputs = ["w"]}} dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 9.0]]> : tensor<4x2xf16>
  %v = arith.constant {onnx.from = {outputs = ["v"]}} dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]]> : tensor<4x2xf32>
  %shape = arith.constant dense<[-1, 2]> : tensor<2xi64>
  %c = lathe.onnx "Cast"(%w) {to = 1 : i64, opset = 17 : i64} : (tensor<4x2xf16>) -> tensor<4x2xf32>
  %t = lathe.onnx "Transpose"(%c) {perm = array<i64: 1, 0>, opset = 17 : i64} : (tensor<4x2xf32>) -> tensor<2x4xf32>
  %p = lathe.onnx "MatMul"(%x, %t) {opset = 17 : i64} : (tensor<?x?x2xf32>, tensor<2x4xf32>) -> tensor<?x?x4xf32>
  %r = lathe.onnx "Reshape"(%m, %shape) {opset = 17 : i64} : (tensor<?x?x2xf32>, tensor<2xi64>) -> tensor<?x2xf32>
  %none = lathe.none : none
  %g = lathe.onnx "Gemm"(%r, %v, %none) {transB = 1 : i64, opset = 17 : i64} : (tensor<?x2xf32>, tensor<4x2xf32>, none) -> tensor<?x4xf32>
  return %g, %p : tensor<?x4xf32>, tensor<?x?x4xf32>
}

// -----

// alpha goes into the weight; a bias that is computed stays an Add, and so does
// one that has another shape.

// CHECK-LABEL: func @gemm
// CHECK: %[[A:.*]] = lathe.linear %arg0, %{{[^ ]*}} {{.*}}
// CHECK: lathe.onnx "Gemm"
// CHECK: %[[C:.*]] = lathe.linear %arg0, %{{[^ ]*}} :
// CHECK: lathe.onnx "Add"(%[[C]],
func.func @gemm(%x: tensor<3x2xf32>, %b: tensor<2xf32>) -> (tensor<3x2xf32>, tensor<3x2xf32>, tensor<3x2xf32>) {
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %pos = arith.constant dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %none = lathe.none : none
  %g = lathe.onnx "Gemm"(%x, %w, %none) {alpha = 2.0 : f32, opset = 17 : i64} : (tensor<3x2xf32>, tensor<2x2xf32>, none) -> tensor<3x2xf32>
  %h = lathe.onnx "Gemm"(%x, %w, %b) {opset = 17 : i64} : (tensor<3x2xf32>, tensor<2x2xf32>, tensor<2xf32>) -> tensor<3x2xf32>
  %p = lathe.onnx "MatMul"(%x, %w) {opset = 17 : i64} : (tensor<3x2xf32>, tensor<2x2xf32>) -> tensor<3x2xf32>
  %y = lathe.onnx "Add"(%p, %pos) {opset = 17 : i64} : (tensor<3x2xf32>, tensor<3x2xf32>) -> tensor<3x2xf32>
  return %g, %h, %y : tensor<3x2xf32>, tensor<3x2xf32>, tensor<3x2xf32>
}

// -----

// Not linears: two activations, a weight on the left, transA, a stack of
// weights.

// CHECK-LABEL: func @neither
// CHECK-NOT: lathe.linear
// CHECK: return
func.func @neither(%x: tensor<?x2x2xf32>, %z: tensor<?x2x2xf32>, %m: tensor<2x3xf32>) -> (tensor<?x2x2xf32>, tensor<?x2x2xf32>, tensor<3x2xf32>, tensor<2x2x2xf32>) {
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %s = arith.constant dense<[[[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]]]> : tensor<2x2x2xf32>
  %none = lathe.none : none
  %0 = lathe.onnx "MatMul"(%x, %z) {opset = 17 : i64} : (tensor<?x2x2xf32>, tensor<?x2x2xf32>) -> tensor<?x2x2xf32>
  %1 = lathe.onnx "MatMul"(%w, %z) {opset = 17 : i64} : (tensor<2x2xf32>, tensor<?x2x2xf32>) -> tensor<?x2x2xf32>
  %2 = lathe.onnx "Gemm"(%m, %w, %none) {transA = 1 : i64, opset = 17 : i64} : (tensor<2x3xf32>, tensor<2x2xf32>, none) -> tensor<3x2xf32>
  %3 = lathe.onnx "MatMul"(%x, %s) {opset = 17 : i64} : (tensor<?x2x2xf32>, tensor<2x2x2xf32>) -> tensor<2x2x2xf32>
  return %0, %1, %2, %3 : tensor<?x2x2xf32>, tensor<?x2x2xf32>, tensor<3x2xf32>, tensor<2x2x2xf32>
}
