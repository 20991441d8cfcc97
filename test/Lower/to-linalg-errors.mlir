// RUN: lathe-opt %s --lathe-to-linalg --split-input-file --verify-diagnostics

func.func @plain(%x: tensor<?x4xf32> {lathe.dims = ["n", "4"]}) -> tensor<?x4xf32> {
  %axis = arith.constant dense<1> : tensor<i64>
  // expected-error@+1 {{node (CumSum, opset 14): it is written as loops over buffers, not in linalg on tensors}}
  %0 = lathe.onnx "CumSum"(%x, %axis) {opset = 14 : i64} : (tensor<?x4xf32>, tensor<i64>) -> tensor<?x4xf32>
  return %0 : tensor<?x4xf32>
}

// -----

// expected-error@+1 {{entry 'plain': dim 'n' is no extent of an input alone}}
func.func @plain(%x: tensor<?x4xf32> {lathe.dims = ["2*n", "4"]}) -> tensor<?x4xf32> {
  return %x : tensor<?x4xf32>
}

// -----

// expected-error@+1 {{every entry has a cache, which tensors cannot say}}
module {
  func.func @decode(%c: !lathe.kv<2, 8, 8, f32>) {
    return
  }
}
