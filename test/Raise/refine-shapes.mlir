// RUN: lathe-opt %s -lathe-refine-shapes | FileCheck %s

// CHECK-LABEL: func.func @plain
// CHECK-SAME: tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "x"}
// CHECK-SAME: tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "y"}
// CHECK-SAME: -> (tensor<?x8x?xf32> {lathe.dims = ["batch", "8", "seq"], lathe.name = "z"})
func.func @plain(%x: tensor<?x?x8xf32> {lathe.name = "x", lathe.dims = ["batch", "seq", "8"]},
                 %y: tensor<?x?x?xf32> {lathe.name = "y", lathe.dims = ["s1", "s2", "s3"]})
    -> (tensor<*xf32> {lathe.name = "z"}) {
  // CHECK: lathe.onnx "Add"{{.*}} -> tensor<?x?x8xf32>
  %0 = lathe.onnx "Add"(%x, %y) {opset = 17 : i64} : (tensor<?x?x8xf32>, tensor<?x?x?xf32>) -> tensor<*xf32>
  // CHECK: lathe.onnx "Transpose"{{.*}} -> tensor<?x8x?xf32>
  %1 = lathe.onnx "Transpose"(%0) {opset = 17 : i64, perm = array<i64: 0, 2, 1>} : (tensor<*xf32>) -> tensor<*xf32>
  // CHECK: return %{{.*}} : tensor<?x8x?xf32>
  return %1 : tensor<*xf32>
}

// What nodes need of the dims stays when they are gone.

// CHECK-LABEL: func.func @checks
// CHECK-SAME: lathe.checks = {{\[\[}}"n", "<=", "8", "node 'rows' (Slice)"], ["3*n", "==", "m", "node 'kept' (Add)"]]
func.func @checks(%x: tensor<?x3xf32> {lathe.name = "x", lathe.dims = ["n", "3"]},
                  %t: tensor<8x3xf32> {lathe.name = "t", lathe.dims = ["8", "3"]},
                  %m: tensor<?xf32> {lathe.name = "m", lathe.dims = ["m"]}) -> tensor<?x3xf32>
    attributes {lathe.checks = [["3*n", "==", "m", "node 'kept' (Add)"]]} {
  %zero = arith.constant dense<0> : tensor<1xi64>
  %n = lathe.onnx "Shape"(%x) {end = 1 : i64, opset = 17 : i64} : (tensor<?x3xf32>) -> tensor<1xi64>
  %r = lathe.onnx "Slice"(%t, %zero, %n, %zero) {opset = 17 : i64} : (tensor<8x3xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<?x3xf32> loc("rows")
  return %r : tensor<?x3xf32>
}
