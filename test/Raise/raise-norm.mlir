// RUN: lathe-opt %s --lathe-raise-norm --split-input-file | FileCheck %s

// The decomposition of opset 16 and below. `Sub` is written once.

// CHECK-LABEL: func @layer_norm
// CHECK: %[[G:.*]] = lathe.use_weight @g : !lathe.weight<4xf32, #lathe.dense<f32>>
// CHECK: %[[B:.*]] = lathe.use_weight @b : !lathe.weight<4xf32, #lathe.dense<f32>>
// CHECK: %[[Y:.*]] = lathe.norm layer %arg0 gamma(%[[G]]) beta(%[[B]]) {epsilon = 9.99999997E-7 : f32}
// CHECK: return %[[Y]]
func.func @layer_norm(%x: tensor<?x?x4xf32>) -> tensor<?x?x4xf32> {
  %g = arith.constant {onnx.from = {outputs = ["g"]}} dense<[1.0, 2.0, 3.0, 4.0]> : tensor<4xf32>
  %b = arith.constant {onnx.from = {outputs = ["b"]}} dense<[1.0, 0.0, 0.0, 4.0]> : tensor<4xf32>
  %two = arith.constant dense<2.0> : tensor<f32>
  %eps = arith.constant dense<1.0e-6> : tensor<f32>
  %m = lathe.onnx "ReduceMean"(%x) {axes = array<i64: -1>, opset = 13 : i64} : (tensor<?x?x4xf32>) -> tensor<?x?x1xf32>
  %c = lathe.onnx "Sub"(%x, %m) {opset = 13 : i64} : (tensor<?x?x4xf32>, tensor<?x?x1xf32>) -> tensor<?x?x4xf32>
  %q = lathe.onnx "Pow"(%c, %two) {opset = 13 : i64} : (tensor<?x?x4xf32>, tensor<f32>) -> tensor<?x?x4xf32>
  %v = lathe.onnx "ReduceMean"(%q) {axes = array<i64: -1>, opset = 13 : i64} : (tensor<?x?x4xf32>) -> tensor<?x?x1xf32>
  %e = lathe.onnx "Add"(%eps, %v) {opset = 13 : i64} : (tensor<f32>, tensor<?x?x1xf32>) -> tensor<?x?x1xf32>
  %s = lathe.onnx "Sqrt"(%e) {opset = 13 : i64} : (tensor<?x?x1xf32>) -> tensor<?x?x1xf32>
  %n = lathe.onnx "Div"(%c, %s) {opset = 13 : i64} : (tensor<?x?x4xf32>, tensor<?x?x1xf32>) -> tensor<?x?x4xf32>
  %t = lathe.onnx "Mul"(%n, %g) {opset = 13 : i64} : (tensor<?x?x4xf32>, tensor<4xf32>) -> tensor<?x?x4xf32>
  %y = lathe.onnx "Add"(%b, %t) {opset = 13 : i64} : (tensor<4xf32>, tensor<?x?x4xf32>) -> tensor<?x?x4xf32>
  return %y : tensor<?x?x4xf32>
}

// -----

// `Sub` written twice, the square as a product, no gamma and beta.

// CHECK-LABEL: func @twice
// CHECK-NEXT: %[[Y:.*]] = lathe.norm layer %arg0 {epsilon
// CHECK-NEXT: return %[[Y]]
func.func @twice(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %eps = arith.constant dense<1.0e-6> : tensor<1xf32>
  %axes = arith.constant dense<1> : tensor<1xi64>
  %m = lathe.onnx "ReduceMean"(%x, %axes) {opset = 18 : i64} : (tensor<?x4xf32>, tensor<1xi64>) -> tensor<?x1xf32>
  %c = lathe.onnx "Sub"(%x, %m) {opset = 18 : i64} : (tensor<?x4xf32>, tensor<?x1xf32>) -> tensor<?x4xf32>
  %d = lathe.onnx "Sub"(%x, %m) {opset = 18 : i64} : (tensor<?x4xf32>, tensor<?x1xf32>) -> tensor<?x4xf32>
  %q = lathe.onnx "Mul"(%c, %d) {opset = 18 : i64} : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  %v = lathe.onnx "ReduceMean"(%q, %axes) {opset = 18 : i64} : (tensor<?x4xf32>, tensor<1xi64>) -> tensor<?x1xf32>
  %e = lathe.onnx "Add"(%v, %eps) {opset = 18 : i64} : (tensor<?x1xf32>, tensor<1xf32>) -> tensor<?x1xf32>
  %s = lathe.onnx "Sqrt"(%e) {opset = 18 : i64} : (tensor<?x1xf32>) -> tensor<?x1xf32>
  %n = lathe.onnx "Div"(%d, %s) {opset = 18 : i64} : (tensor<?x4xf32>, tensor<?x1xf32>) -> tensor<?x4xf32>
  return %n : tensor<?x4xf32>
}

// -----

// RMS by a reciprocal; gamma as 1 + w.

// CHECK-LABEL: func @rms_reciprocal
// CHECK: %[[G:.*]] = lathe.use_weight
// CHECK: lathe.norm rms %arg0 gamma(%[[G]])
// CHECK-NOT: lathe.onnx
func.func @rms_reciprocal(%x: tensor<?x4xf32>) -> tensor<?x4xf32> {
  %w = arith.constant dense<[0.5, 0.25, 0.0, 1.0]> : tensor<4xf32>
  %one = arith.constant dense<1.0> : tensor<f32>
  %two = arith.constant dense<2.0> : tensor<f32>
  %eps = arith.constant dense<1.0e-6> : tensor<f32>
  %q = lathe.onnx "Pow"(%x, %two) {opset = 17 : i64} : (tensor<?x4xf32>, tensor<f32>) -> tensor<?x4xf32>
  %v = lathe.onnx "ReduceMean"(%q) {axes = array<i64: -1>, opset = 17 : i64} : (tensor<?x4xf32>) -> tensor<?x1xf32>
  %e = lathe.onnx "Add"(%v, %eps) {opset = 17 : i64} : (tensor<?x1xf32>, tensor<f32>) -> tensor<?x1xf32>
  %s = lathe.onnx "Sqrt"(%e) {opset = 17 : i64} : (tensor<?x1xf32>) -> tensor<?x1xf32>
  %r = lathe.onnx "Reciprocal"(%s) {opset = 17 : i64} : (tensor<?x1xf32>) -> tensor<?x1xf32>
  %n = lathe.onnx "Mul"(%r, %x) {opset = 17 : i64} : (tensor<?x1xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  %g = lathe.onnx "Add"(%w, %one) {opset = 17 : i64} : (tensor<4xf32>, tensor<f32>) -> tensor<4xf32>
  %y = lathe.onnx "Mul"(%g, %n) {opset = 17 : i64} : (tensor<4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  return %y : tensor<?x4xf32>
}

// -----

// RMS by Div(1, sqrt), and by Pow(-0.5); in float between casts.

// CHECK-LABEL: func @rms_half
// CHECK: lathe.norm rms %arg0 gamma(%{{.*}}) {{.*}} : (tensor<?x4xf16>, !lathe.weight<4xf16, #lathe.dense<f16>>) -> tensor<?x4xf16>
// CHECK: lathe.norm rms %arg1 {
// CHECK-NOT: "Cast"
func.func @rms_half(%x: tensor<?x4xf16>, %z: tensor<?x4xf32>) -> (tensor<?x4xf16>, tensor<?x4xf32>) {
  %g = arith.constant dense<[0.5, 0.25, 0.0, 1.0]> : tensor<4xf16>
  %one = arith.constant dense<1.0> : tensor<f32>
  %two = arith.constant dense<2.0> : tensor<f32>
  %minusHalf = arith.constant dense<-0.5> : tensor<f32>
  %eps = arith.constant dense<1.0e-6> : tensor<f32>
  %w = lathe.onnx "Cast"(%x) {to = 1 : i64, opset = 17 : i64} : (tensor<?x4xf16>) -> tensor<?x4xf32>
  %q = lathe.onnx "Mul"(%w, %w) {opset = 17 : i64} : (tensor<?x4xf32>, tensor<?x4xf32>) -> tensor<?x4xf32>
  %v = lathe.onnx "ReduceMean"(%q) {axes = array<i64: -1>, opset = 17 : i64} : (tensor<?x4xf32>) -> tensor<?x1xf32>
  %e = lathe.onnx "Add"(%v, %eps) {opset = 17 : i64} : (tensor<?x1xf32>, tensor<f32>) -> tensor<?x1xf32>
  %s = lathe.onnx "Sqrt"(%e) {opset = 17 : i64} : (tensor<?x1xf32>) -> tensor<?x1xf32>
  %r = lathe.onnx "Div"(%one, %s) {opset = 17 : i64} : (tensor<f32>, tensor<?x1xf32>) -> tensor<?x1xf32>
  %n = lathe.onnx "Mul"(%w, %r) {opset = 17 : i64} : (tensor<?x4xf32>, tensor<?x1xf32>) -> tensor<?x4xf32>
  %h = lathe.onnx "Cast"(%n) {to = 10 : i64, opset = 17 : i64} : (tensor<?x4xf32>) -> tensor<?x4xf16>
  %y = lathe.onnx "Mul"(%g, %h) {opset = 17 : i64} : (tensor<4xf16>, tensor<?x4xf16>) -> tensor<?x4xf16>

  %q1 = lathe.onnx "Pow"(%z, %two) {opset = 17 : i64} : (tensor<?x4xf32>, tensor<f32>) -> tensor<?x4xf32>
  %v1 = lathe.onnx "ReduceMean"(%q1) {axes = array<i64: -1>, opset = 17 : i64} : (tensor<?x4xf32>) -> tensor<?x1xf32>
  %e1 = lathe.onnx "Add"(%v1, %eps) {opset = 17 : i64} : (tensor<?x1xf32>, tensor<f32>) -> tensor<?x1xf32>
  %r1 = lathe.onnx "Pow"(%e1, %minusHalf) {opset = 17 : i64} : (tensor<?x1xf32>, tensor<f32>) -> tensor<?x1xf32>
  %y1 = lathe.onnx "Mul"(%z, %r1) {opset = 17 : i64} : (tensor<?x4xf32>, tensor<?x1xf32>) -> tensor<?x4xf32>
  return %y, %y1 : tensor<?x4xf16>, tensor<?x4xf32>
}

// -----

// CHECK-LABEL: func @nodes
// CHECK: lathe.norm layer %arg0 gamma
// CHECK: lathe.norm rms %arg0 gamma
// CHECK: %[[SUM:.*]] = lathe.onnx "Add"(%arg0, %arg1)
// CHECK: %[[N:.*]] = lathe.norm rms %[[SUM]] gamma
// CHECK: return %{{.*}}, %{{.*}}, %[[N]], %[[SUM]]
func.func @nodes(%x: tensor<?x4xf32>, %skip: tensor<?x4xf32>) -> (tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4xf32>) {
  %g = arith.constant dense<[0.5, 0.25, 0.0, 1.0]> : tensor<4xf32>
  %a = lathe.onnx "LayerNormalization"(%x, %g) {axis = -1 : i64, epsilon = 1.0e-5 : f32, opset = 17 : i64} : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32>
  %b = lathe.onnx "RMSNormalization"(%x, %g) {axis = 1 : i64, opset = 23 : i64} : (tensor<?x4xf32>, tensor<4xf32>) -> tensor<?x4xf32>
  %c:4 = lathe.onnx "SkipSimplifiedLayerNormalization"(%x, %skip, %g) {domain = "com.microsoft", epsilon = 1.0e-5 : f32, opset = 1 : i64} : (tensor<?x4xf32>, tensor<?x4xf32>, tensor<4xf32>) -> (tensor<?x4xf32>, tensor<?x1xf32>, tensor<?x1xf32>, tensor<?x4xf32>)
  return %a, %b, %c#0, %c#3 : tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4xf32>, tensor<?x4xf32>
}

// -----

// Not norms over the last axis: another axis, another value divided, epsilon
// outside of the root, a mean that somebody else uses.

// CHECK-LABEL: func @not_norms
// CHECK-NOT: lathe.norm
// CHECK: return
func.func @not_norms(%x: tensor<?x4x4xf32>, %z: tensor<?x4x4xf32>) -> (tensor<?x4x4xf32>, tensor<?x4x4xf32>, tensor<?x4x4xf32>, tensor<?x4x4xf32>, tensor<?x1xf32>) {
  %two = arith.constant dense<2.0> : tensor<f32>
  %eps = arith.constant dense<1.0e-6> : tensor<f32>
  %g = arith.constant dense<[0.5, 0.25, 0.0, 1.0]> : tensor<4xf32>
  %q = lathe.onnx "Pow"(%x, %two) {opset = 17 : i64} : (tensor<?x4x4xf32>, tensor<f32>) -> tensor<?x4x4xf32>
  %v1 = lathe.onnx "ReduceMean"(%q) {axes = array<i64: 1>, opset = 17 : i64} : (tensor<?x4x4xf32>) -> tensor<?x1x4xf32>
  %e1 = lathe.onnx "Add"(%v1, %eps) {opset = 17 : i64} : (tensor<?x1x4xf32>, tensor<f32>) -> tensor<?x1x4xf32>
  %s1 = lathe.onnx "Sqrt"(%e1) {opset = 17 : i64} : (tensor<?x1x4xf32>) -> tensor<?x1x4xf32>
  %y1 = lathe.onnx "Div"(%x, %s1) {opset = 17 : i64} : (tensor<?x4x4xf32>, tensor<?x1x4xf32>) -> tensor<?x4x4xf32>

  %v2 = lathe.onnx "ReduceMean"(%q) {axes = array<i64: -1>, opset = 17 : i64} : (tensor<?x4x4xf32>) -> tensor<?x4x1xf32>
  %e2 = lathe.onnx "Add"(%v2, %eps) {opset = 17 : i64} : (tensor<?x4x1xf32>, tensor<f32>) -> tensor<?x4x1xf32>
  %s2 = lathe.onnx "Sqrt"(%e2) {opset = 17 : i64} : (tensor<?x4x1xf32>) -> tensor<?x4x1xf32>
  %y2 = lathe.onnx "Div"(%z, %s2) {opset = 17 : i64} : (tensor<?x4x4xf32>, tensor<?x4x1xf32>) -> tensor<?x4x4xf32>

  %s3 = lathe.onnx "Sqrt"(%v2) {opset = 17 : i64} : (tensor<?x4x1xf32>) -> tensor<?x4x1xf32>
  %e3 = lathe.onnx "Add"(%s3, %eps) {opset = 17 : i64} : (tensor<?x4x1xf32>, tensor<f32>) -> tensor<?x4x1xf32>
  %y3 = lathe.onnx "Div"(%x, %e3) {opset = 17 : i64} : (tensor<?x4x4xf32>, tensor<?x4x1xf32>) -> tensor<?x4x4xf32>

  %y4 = lathe.onnx "LayerNormalization"(%x, %g) {axis = 1 : i64, opset = 17 : i64} : (tensor<?x4x4xf32>, tensor<4xf32>) -> tensor<?x4x4xf32>
  %y5:2 = lathe.onnx "LayerNormalization"(%x, %g) {opset = 17 : i64} : (tensor<?x4x4xf32>, tensor<4xf32>) -> (tensor<?x4x4xf32>, tensor<?x1xf32>)
  return %y1, %y2, %y3, %y4, %y5#1 : tensor<?x4x4xf32>, tensor<?x4x4xf32>, tensor<?x4x4xf32>, tensor<?x4x4xf32>, tensor<?x1xf32>
}
