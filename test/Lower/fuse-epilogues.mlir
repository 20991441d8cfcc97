// RUN: lathe-opt %s --lathe-fuse-epilogues | FileCheck %s

!w = !lathe.weight<4x4xf32, #lathe.dense<f32>>
!b = !lathe.weight<4xf32, #lathe.dense<f32>>

// Activation and residual, one after the other.
// CHECK-LABEL: func @chain(
// CHECK-SAME: %[[X:.*]]: tensor<?x4xf32> {{.*}}, %[[R:.*]]: tensor<?x4xf32>
// CHECK-NEXT: %[[Y:.*]] = lathe.linear %[[X]], %{{.*}} bias(%{{.*}}) epilogue(%[[R]])  {
// CHECK-NEXT: ^bb0(%[[SUM:.*]]: f32, %[[EXTRA:.*]]: f32):
// CHECK: %[[ACT:.*]] = arith.maximumf %[[SUM]]
// CHECK-NEXT: %[[ADD:.*]] = arith.addf %[[ACT]], %[[EXTRA]]
// CHECK-NEXT: lathe.yield %[[ADD]]
// CHECK: return %[[Y]]
func.func @chain(%x: tensor<?x4xf32> {lathe.dims = ["n", "4"]}, %r: tensor<?x4xf32> {lathe.dims = ["n", "4"]}, %w: !w, %b: !b) -> tensor<?x4xf32> {
  %0 = lathe.linear %x, %w bias(%b) : (tensor<?x4xf32>, !w, !b) -> tensor<?x4xf32>
  %1 = lathe.activation relu %0 : tensor<?x4xf32>
  %2 = lathe.onnx "Add"(%1, %r) {opset = 14 : i64} : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return %2 : tensor<?x4xf32>
}

// The later of two linears takes the product; `acts` stays.
// CHECK-LABEL: func @gated(
// CHECK: %[[GATE:.*]] = lathe.linear {{.*}} {
// CHECK: math.exp
// CHECK: lathe.linear {{.*}} epilogue(%[[GATE]]) {
// CHECK: arith.mulf
// CHECK: {acts = bf16}
// CHECK-NOT: lathe.onnx
func.func @gated(%x: tensor<?x4xf32> {lathe.dims = ["n", "4"]}, %g: !w, %u: !w) -> tensor<?x4xf32> {
  %0 = lathe.linear %x, %g : (tensor<?x4xf32>, !w) -> tensor<?x4xf32>
  %1 = lathe.activation silu %0 : tensor<?x4xf32>
  %2 = lathe.linear %x, %u {acts = bf16} : (tensor<?x4xf32>, !w) -> tensor<?x4xf32>
  %3 = lathe.onnx "Mul"(%1, %2) {opset = 14 : i64} : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return %3 : tensor<?x4xf32>
}

// A result that is read twice, a broadcast operand, and f16 sums stay.
// CHECK-LABEL: func @kept(
// CHECK-NOT: epilogue
// CHECK: lathe.activation relu
// CHECK: lathe.onnx "Add"
// CHECK: lathe.onnx "Add"
// CHECK: lathe.activation relu
func.func @kept(%x: tensor<?x4xf32> {lathe.dims = ["n", "4"]}, %r: tensor<1x4xf32> {lathe.dims = ["1", "4"]},
                %h: tensor<?x4xf16> {lathe.dims = ["n", "4"]}, %w: !w) -> (tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4xf16>) {
  %0 = lathe.linear %x, %w : (tensor<?x4xf32>, !w) -> tensor<?x4xf32>
  %1 = lathe.activation relu %0 : tensor<?x4xf32>
  %2 = lathe.onnx "Add"(%1, %0) {opset = 14 : i64} : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  %3 = lathe.linear %x, %w : (tensor<?x4xf32>, !w) -> tensor<?x4xf32>
  %4 = lathe.onnx "Add"(%3, %r) {opset = 14 : i64} : (tensor<?x4xf32>, tensor<1x4xf32>) -> tensor<?x4xf32>
  %5 = lathe.linear %h, %w : (tensor<?x4xf16>, !w) -> tensor<?x4xf16>
  %6 = lathe.activation relu %5 : tensor<?x4xf16>
  return %2, %4, %6 : tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4xf16>
}
