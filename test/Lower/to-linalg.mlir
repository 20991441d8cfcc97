// RUN: lathe-opt %s --lathe-to-linalg=weights=arguments --split-input-file --verify-diagnostics | FileCheck %s
// RUN: lathe-opt %s --lathe-to-linalg=weights=arguments --split-input-file --verify-diagnostics | mlir-opt-22 --split-input-file -o /dev/null

// The named dim is read off the argument; the weight is a further one.

lathe.weight @w {data = #lathe.blob<"none.onnx", 0, 128, "5d41402abc4b2a76">} : !lathe.weight<4x8xf32, #lathe.dense<f32>>

// CHECK-LABEL: func.func @plain(
// CHECK-SAME: %[[X:.*]]: tensor<?x4xf32>, %[[W:.*]]: tensor<4x8xf32>) -> tensor<?x8xf32>
// CHECK: tensor.dim %[[X]]
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "reduction"]{{.*}} ins(%[[X]], %[[W]] :
// CHECK-NOT: lathe.
func.func @plain(%x: tensor<?x4xf32> {lathe.dims = ["n", "4"]}) -> tensor<?x8xf32> {
  %w = lathe.use_weight @w : !lathe.weight<4x8xf32, #lathe.dense<f32>>
  %0 = lathe.linear %x, %w : (tensor<?x4xf32>, !lathe.weight<4x8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}

// -----

// Sub-layers are inlined.

// CHECK-LABEL: func.func @plain(
// CHECK: math.tanh
// CHECK: arith.addf
// CHECK: return
func.func @plain(%x: tensor<?x4xf32> {lathe.dims = ["n", "4"]}) -> tensor<?x4xf32> {
  %0 = lathe.sublayer ffn <"blocks.0.ffn"> residual(%x) source(%x) {
  ^bb0(%s: tensor<?x4xf32>):
    %1 = lathe.activation tanh %s : tensor<?x4xf32>
    lathe.yield %1 : tensor<?x4xf32>
  } : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}


// -----

// Both operands of a linear with `acts` are rounded; the sums are f32.

lathe.weight @w {data = #lathe.blob<"none.onnx", 0, 64, "5d41402abc4b2a76">} : !lathe.weight<4x8xf32, #lathe.dense<bf16>>

// CHECK-LABEL: func.func @plain(
// CHECK-COUNT-2: arith.truncf %{{.*}} : f32 to bf16
// CHECK: linalg.generic {{.*}}iterator_types = ["parallel", "parallel", "reduction"]{{.*}} outs(%{{.*}} : tensor<?x8xf32>)
// CHECK-NOT: lathe.
func.func @plain(%x: tensor<?x4xf32> {lathe.dims = ["n", "4"]}) -> tensor<?x8xf32> {
  %w = lathe.use_weight @w : !lathe.weight<4x8xf32, #lathe.dense<bf16>>
  %0 = lathe.linear %x, %w {acts = bf16} : (tensor<?x4xf32>, !lathe.weight<4x8xf32, #lathe.dense<bf16>>) -> tensor<?x8xf32>
  return %0 : tensor<?x8xf32>
}
