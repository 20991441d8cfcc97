// RUN: lathe-opt %s --lathe-raise-linear --lathe-raise-embedding --split-input-file | FileCheck %s

// A tied head is one weight, also where the file has it twice.

// CHECK: lathe.weight @h {{.*}} : !lathe.weight<2x3xf32, #lathe.dense<f32, transposed>>
// CHECK-NOT: lathe.weight @
// CHECK-LABEL: func @tied
// CHECK: %[[T:.*]] = lathe.use_weight @h
// CHECK: %[[E:.*]] = lathe.embedding %arg0, %[[T]] transposed :
// CHECK: lathe.linear %[[E]],
func.func @tied(%ids: tensor<?x?xi64>) -> tensor<?x?x3xf32> {
  %e = arith.constant {onnx.from = {outputs = ["e"]}} dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %h = arith.constant {onnx.from = {outputs = ["h"]}} dense<[[1.0, 3.0, 5.0], [2.0, 4.0, 6.0]]> : tensor<2x3xf32>
  %x = lathe.onnx "Gather"(%e, %ids) {axis = 0 : i64, opset = 17 : i64} : (tensor<3x2xf32>, tensor<?x?xi64>) -> tensor<?x?x2xf32>
  %y = lathe.onnx "MatMul"(%x, %h) {opset = 17 : i64} : (tensor<?x?x2xf32>, tensor<2x3xf32>) -> tensor<?x?x3xf32>
  return %y : tensor<?x?x3xf32>
}

// -----

// A table of its own is read by rows.

// CHECK: lathe.weight @e {{.*}} : !lathe.weight<3x2xf32, #lathe.dense<f32>>
// CHECK-LABEL: func @untied
// CHECK: %[[T:.*]] = lathe.use_weight @e
// CHECK: lathe.embedding %arg0, %[[T]] :
func.func @untied(%ids: tensor<?x?xi64>) -> tensor<?x?x2xf32> {
  %e = arith.constant {onnx.from = {outputs = ["e"]}} dense<[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]> : tensor<3x2xf32>
  %x = lathe.onnx "Gather"(%e, %ids) {axis = 0 : i64, opset = 17 : i64} : (tensor<3x2xf32>, tensor<?x?xi64>) -> tensor<?x?x2xf32>
  return %x : tensor<?x?x2xf32>
}

// -----

// Not embeddings: columns, integers, a stack of tables.

// CHECK-LABEL: func @neither
// CHECK-NOT: lathe.embedding
// CHECK: return
func.func @neither(%i: tensor<?xi64>) -> (tensor<2x?xf32>, tensor<?x2xi64>, tensor<?x2x2xf32>) {
  %w = arith.constant dense<[[1.0, 2.0], [3.0, 4.0]]> : tensor<2x2xf32>
  %n = arith.constant dense<[[1, 2], [3, 4]]> : tensor<2x2xi64>
  %s = arith.constant dense<[[[1.0, 2.0], [3.0, 4.0]], [[1.0, 2.0], [3.0, 4.0]]]> : tensor<2x2x2xf32>
  %0 = lathe.onnx "Gather"(%w, %i) {axis = 1 : i64, opset = 17 : i64} : (tensor<2x2xf32>, tensor<?xi64>) -> tensor<2x?xf32>
  %1 = lathe.onnx "Gather"(%n, %i) {opset = 17 : i64} : (tensor<2x2xi64>, tensor<?xi64>) -> tensor<?x2xi64>
  %2 = lathe.onnx "Gather"(%s, %i) {opset = 17 : i64} : (tensor<2x2x2xf32>, tensor<?xi64>) -> tensor<?x2x2xf32>
  return %0, %1, %2 : tensor<2x?xf32>, tensor<?x2xi64>, tensor<?x2x2xf32>
}
