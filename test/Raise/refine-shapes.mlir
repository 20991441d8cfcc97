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
