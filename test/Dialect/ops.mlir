// RUN: lathe-opt %s | lathe-opt | FileCheck %s

// CHECK-LABEL: func @carrier
func.func @carrier(%x: tensor<30x8xf32>, %i: tensor<?xi64>) -> tensor<?x8xf32> {
  // CHECK: lathe.onnx "Gather"(%{{.*}}, %{{.*}}) {axis = 0 : i64, opset = 17 : i64}
  %y = lathe.onnx "Gather"(%x, %i) {axis = 0 : i64, opset = 17 : i64}
      : (tensor<30x8xf32>, tensor<?xi64>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}
