// RUN: lathe-opt %s --lathe-raise-conv --split-input-file | FileCheck %s

// Patches, and a pointwise convolution.

// CHECK: lathe.weight @w {{.*}} : !lathe.weight<12x2xf32, #lathe.dense<f32, transposed>>
// CHECK-LABEL: func @patches
// CHECK: %[[P:.*]] = lathe.index_expr <"read(0, [i0, fdiv(i3, 4), 2*i1 + mod(fdiv(i3, 2), 2), 2*i2 + mod(i3, 2)])">(%arg0) shape ["batch", "4", "4", "12"]
// CHECK: %[[L:.*]] = lathe.linear %[[P]], %{{.*}} bias(%{{.*}}) {{.*}} -> tensor<?x4x4x2xf32>
// CHECK: %[[V:.*]] = lathe.index_expr <"read(0, [i0, i2, i3, i1])">(%[[L]]) shape ["batch", "2", "4", "4"]
// CHECK: return %[[V]]
func.func @patches(%x: tensor<?x3x8x8xf32> {lathe.dims = ["batch", "3", "8", "8"], lathe.name = "x"}) -> tensor<?x2x4x4xf32> {
  %w = arith.constant {onnx.from = {outputs = ["w"]}} dense<1.5> : tensor<2x3x2x2xf32>
  %b = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
  %y = lathe.onnx "Conv"(%x, %w, %b) {kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>, opset = 17 : i64} : (tensor<?x3x8x8xf32>, tensor<2x3x2x2xf32>, tensor<2xf32>) -> tensor<?x2x4x4xf32>
  return %y : tensor<?x2x4x4xf32>
}

// -----

// Padding is a selection of 0.

// CHECK-LABEL: func @padded
// CHECK: lathe.index_expr <"sel(({{.*}}), read(0, [i0, fdiv(i2, 3), i1 + mod(i2, 3) - 1]), 0)">(%arg0) shape ["batch", "len", "6"]
// CHECK: lathe.linear
func.func @padded(%x: tensor<?x2x?xf32> {lathe.dims = ["batch", "2", "len"], lathe.name = "x"}) -> tensor<?x4x?xf32> {
  %w = arith.constant dense<1.5> : tensor<4x2x3xf32>
  %y = lathe.onnx "Conv"(%x, %w) {kernel_shape = array<i64: 3>, pads = array<i64: 1, 1>, opset = 17 : i64} : (tensor<?x2x?xf32>, tensor<4x2x3xf32>) -> tensor<?x4x?xf32>
  return %y : tensor<?x4x?xf32>
}

// -----

// Groups, a kernel that is computed, padding that the operator finds itself.

// CHECK-LABEL: func @refused
// CHECK-COUNT-3: "Conv"
// CHECK-NOT: lathe.linear
func.func @refused(%x: tensor<?x2x8xf32> {lathe.dims = ["batch", "2", "8"], lathe.name = "x"},
                   %k: tensor<4x2x3xf32> {lathe.dims = ["4", "2", "3"], lathe.name = "k"}) -> (tensor<?x2x6xf32>, tensor<?x4x6xf32>, tensor<?x4x8xf32>) {
  %g = arith.constant dense<1.5> : tensor<2x1x3xf32>
  %w = arith.constant dense<1.5> : tensor<4x2x3xf32>
  %0 = lathe.onnx "Conv"(%x, %g) {group = 2 : i64, opset = 17 : i64} : (tensor<?x2x8xf32>, tensor<2x1x3xf32>) -> tensor<?x2x6xf32>
  %1 = lathe.onnx "Conv"(%x, %k) {opset = 17 : i64} : (tensor<?x2x8xf32>, tensor<4x2x3xf32>) -> tensor<?x4x6xf32>
  %2 = lathe.onnx "Conv"(%x, %w) {auto_pad = "SAME_UPPER", opset = 17 : i64} : (tensor<?x2x8xf32>, tensor<4x2x3xf32>) -> tensor<?x4x8xf32>
  return %0, %1, %2 : tensor<?x2x6xf32>, tensor<?x4x6xf32>, tensor<?x4x8xf32>
}
