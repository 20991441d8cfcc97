// RUN: lathe-opt %s -lathe-print-index-exprs -o /dev/null | FileCheck %s

// Masks as exporters write them, and the form that they all have.

// CHECK-LABEL: function padding
// CHECK: assumption: every element of mask is 0 or 1
// CHECK: one minus: [batch, 1, 1, seq] float = sel(read(0, [i0, i3]) == 0, -3.4028234663852886e+38, 0)
// CHECK: fill: [batch, 1, 1, seq] float = sel(read(0, [i0, i3]) == 0, -inf, 0)
func.func @padding(%m: tensor<?x?xi64> {lathe.name = "mask", lathe.dims = ["batch", "seq"]}) {
  %axes = arith.constant dense<[1, 2]> : tensor<2xi64>
  %one = arith.constant dense<1.0> : tensor<f32>
  %zero = arith.constant dense<0.0> : tensor<f32>
  %min = arith.constant dense<0xFF7FFFFF> : tensor<f32>
  %inf = arith.constant dense<0xFF800000> : tensor<f32>
  %u = lathe.onnx "Unsqueeze"(%m, %axes) {opset = 17 : i64} : (tensor<?x?xi64>, tensor<2xi64>) -> tensor<?x1x1x?xi64>
  %f = lathe.onnx "Cast"(%u) {opset = 17 : i64, to = 1 : i64} : (tensor<?x1x1x?xi64>) -> tensor<?x1x1x?xf32>
  %r = lathe.onnx "Sub"(%one, %f) {opset = 17 : i64} : (tensor<f32>, tensor<?x1x1x?xf32>) -> tensor<?x1x1x?xf32>
  %n = lathe.onnx "Mul"(%r, %min) {opset = 17 : i64} : (tensor<?x1x1x?xf32>, tensor<f32>) -> tensor<?x1x1x?xf32> loc("one minus")
  %e = lathe.onnx "Equal"(%f, %zero) {opset = 17 : i64} : (tensor<?x1x1x?xf32>, tensor<f32>) -> tensor<?x1x1x?xi1>
  %w = lathe.onnx "Where"(%e, %inf, %zero) {opset = 17 : i64} : (tensor<?x1x1x?xi1>, tensor<f32>, tensor<f32>) -> tensor<?x1x1x?xf32> loc("fill")
  return
}

// CHECK-LABEL: function causal
// CHECK: later: [s, past + s] boolean = i1 >= i0 + past + 1
// CHECK: product: [s, past + s] float = sel(i1 >= i0 + past + 1, -1000000000, 0)
// CHECK: window: [s, past + s] boolean = (i1 <= i0 + past - 4 or i1 >= i0 + past + 1)
// CHECK: both: [batch, s, past + s] integer = sel(i2 <= i1 + past, 1, 0)*sel(read(0, [i0, i2]) == 0, 0, 1)
func.func @causal(%q: tensor<?xf32> {lathe.name = "q", lathe.dims = ["s"]},
                  %p: tensor<?xf32> {lathe.name = "p", lathe.dims = ["past"]},
                  %m: tensor<?x?xi1> {lathe.name = "mask", lathe.dims = ["batch", "past + s"]}) {
  %i0 = arith.constant dense<0> : tensor<i64>
  %i1 = arith.constant dense<1> : tensor<i64>
  %i4 = arith.constant dense<4> : tensor<i64>
  %ax0 = arith.constant dense<0> : tensor<1xi64>
  %ax1 = arith.constant dense<1> : tensor<1xi64>
  %big = arith.constant dense<-1.0e9> : tensor<f32>
  %s = lathe.onnx "Size"(%q) {opset = 17 : i64} : (tensor<?xf32>) -> tensor<i64>
  %n = lathe.onnx "Size"(%p) {opset = 17 : i64} : (tensor<?xf32>) -> tensor<i64>
  %t = lathe.onnx "Add"(%s, %n) {opset = 17 : i64} : (tensor<i64>, tensor<i64>) -> tensor<i64>
  %rows = lathe.onnx "Range"(%n, %t, %i1) {opset = 17 : i64} : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %keys = lathe.onnx "Range"(%i0, %t, %i1) {opset = 17 : i64} : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %i = lathe.onnx "Unsqueeze"(%rows, %ax1) {opset = 17 : i64} : (tensor<?xi64>, tensor<1xi64>) -> tensor<?x1xi64>
  %j = lathe.onnx "Unsqueeze"(%keys, %ax0) {opset = 17 : i64} : (tensor<?xi64>, tensor<1xi64>) -> tensor<1x?xi64>
  %g = lathe.onnx "Greater"(%j, %i) {opset = 17 : i64} : (tensor<1x?xi64>, tensor<?x1xi64>) -> tensor<?x?xi1> loc("later")
  %f = lathe.onnx "Cast"(%g) {opset = 17 : i64, to = 1 : i64} : (tensor<?x?xi1>) -> tensor<?x?xf32>
  %x = lathe.onnx "Mul"(%f, %big) {opset = 17 : i64} : (tensor<?x?xf32>, tensor<f32>) -> tensor<?x?xf32> loc("product")
  %w = lathe.onnx "Sub"(%i, %i4) {opset = 17 : i64} : (tensor<?x1xi64>, tensor<i64>) -> tensor<?x1xi64>
  %l = lathe.onnx "LessOrEqual"(%j, %w) {opset = 17 : i64} : (tensor<1x?xi64>, tensor<?x1xi64>) -> tensor<?x?xi1>
  %o = lathe.onnx "Or"(%g, %l) {opset = 17 : i64} : (tensor<?x?xi1>, tensor<?x?xi1>) -> tensor<?x?xi1> loc("window")
  %not = lathe.onnx "Not"(%g) {opset = 17 : i64} : (tensor<?x?xi1>) -> tensor<?x?xi1>
  %ci = lathe.onnx "Cast"(%not) {opset = 17 : i64, to = 7 : i64} : (tensor<?x?xi1>) -> tensor<?x?xi64>
  %mu = lathe.onnx "Unsqueeze"(%m, %ax1) {opset = 17 : i64} : (tensor<?x?xi1>, tensor<1xi64>) -> tensor<?x1x?xi1>
  %mi = lathe.onnx "Cast"(%mu) {opset = 17 : i64, to = 7 : i64} : (tensor<?x1x?xi1>) -> tensor<?x1x?xi64>
  %b = lathe.onnx "Mul"(%ci, %mi) {opset = 17 : i64} : (tensor<?x?xi64>, tensor<?x1x?xi64>) -> tensor<?x?x?xi64> loc("both")
  return
}

// A causal buffer of constants, and positions by a running sum.

// CHECK-LABEL: function buffers
// CHECK: tril: [1, 1, 4, 4] boolean = i3 <= i2
// CHECK: ids: [1, 6] integer = 2*i1 + 3
// CHECK: positions: [batch, seq] integer = read(0, [i0, i1])*sum(t0, i1, read(0, [i0, t0])) + 1
func.func @buffers(%m: tensor<?x?xi64> {lathe.name = "mask", lathe.dims = ["batch", "seq"]}) {
  %tril = arith.constant dense<[[[[true, false, false, false], [true, true, false, false], [true, true, true, false], [true, true, true, true]]]]> : tensor<1x1x4x4xi1>
  %t = lathe.onnx "Identity"(%tril) {opset = 17 : i64} : (tensor<1x1x4x4xi1>) -> tensor<1x1x4x4xi1> loc("tril")
  %ids = arith.constant dense<[[3, 5, 7, 9, 11, 13]]> : tensor<1x6xi64>
  %i = lathe.onnx "Identity"(%ids) {opset = 17 : i64} : (tensor<1x6xi64>) -> tensor<1x6xi64> loc("ids")
  %one = arith.constant dense<1> : tensor<i64>
  %c = lathe.onnx "CumSum"(%m, %one) {opset = 17 : i64} : (tensor<?x?xi64>, tensor<i64>) -> tensor<?x?xi64>
  %x = lathe.onnx "Mul"(%c, %m) {opset = 17 : i64} : (tensor<?x?xi64>, tensor<?x?xi64>) -> tensor<?x?xi64>
  %p = lathe.onnx "Add"(%x, %one) {opset = 17 : i64} : (tensor<?x?xi64>, tensor<i64>) -> tensor<?x?xi64> loc("positions")
  return
}
