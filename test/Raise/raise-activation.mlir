// RUN: lathe-opt %s --lathe-raise-activation --split-input-file | FileCheck %s

// CHECK-LABEL: func @gelu_erf
// CHECK-NEXT: %[[Y:.*]] = lathe.activation gelu %arg0
// CHECK-NEXT: %[[Z:.*]] = lathe.activation gelu %arg1
// CHECK-NEXT: return %[[Y]], %[[Z]]
func.func @gelu_erf(%x: tensor<?x8xf32>, %z: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %sqrt2 = arith.constant dense<1.41421354> : tensor<f32>
  %inv = arith.constant dense<0.707106769> : tensor<f32>
  %one = arith.constant dense<1.0> : tensor<f32>
  %half = arith.constant dense<0.5> : tensor<1xf32>
  // ((x * (erf(x / sqrt 2) + 1)) * 0.5)
  %a0 = lathe.onnx "Div"(%x, %sqrt2) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %a1 = lathe.onnx "Erf"(%a0) {opset = 17 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %a2 = lathe.onnx "Add"(%a1, %one) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %a3 = lathe.onnx "Mul"(%x, %a2) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %a4 = lathe.onnx "Mul"(%a3, %half) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<1xf32>) -> tensor<?x8xf32>
  // (0.5 * z) * (1 + erf(0.707 * z))
  %b0 = lathe.onnx "Mul"(%inv, %z) {opset = 17 : i64} : (tensor<f32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %b1 = lathe.onnx "Erf"(%b0) {opset = 17 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %b2 = lathe.onnx "Add"(%one, %b1) {opset = 17 : i64} : (tensor<f32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %b3 = lathe.onnx "Mul"(%half, %z) {opset = 17 : i64} : (tensor<1xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %b4 = lathe.onnx "Mul"(%b3, %b2) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %a4, %b4 : tensor<?x8xf32>, tensor<?x8xf32>
}

// -----

// CHECK-LABEL: func @gelu_tanh
// CHECK-NEXT: %[[Y:.*]] = lathe.activation gelu_tanh %arg0
// CHECK-NEXT: %[[Z:.*]] = lathe.activation gelu_tanh %arg1
// CHECK-NEXT: return %[[Y]], %[[Z]]
func.func @gelu_tanh(%x: tensor<?x8xf32>, %z: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>) {
  %k = arith.constant dense<0.797884583> : tensor<f32>
  %c = arith.constant dense<0.044715> : tensor<f32>
  %one = arith.constant dense<1.0> : tensor<f32>
  %half = arith.constant dense<0.5> : tensor<f32>
  %three = arith.constant dense<3.0> : tensor<f32>
  // 0.5 x (1 + tanh(0.798 (x + 0.0447 x^3)))
  %a0 = lathe.onnx "Mul"(%x, %half) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %a1 = lathe.onnx "Pow"(%x, %three) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %a2 = lathe.onnx "Mul"(%a1, %c) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %a3 = lathe.onnx "Add"(%x, %a2) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %a4 = lathe.onnx "Mul"(%a3, %k) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %a5 = lathe.onnx "Tanh"(%a4) {opset = 17 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %a6 = lathe.onnx "Add"(%a5, %one) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %a7 = lathe.onnx "Mul"(%a0, %a6) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  // tanh(z * 0.798 * (1 + 0.0447 z z)) as one product
  %b0 = lathe.onnx "Mul"(%z, %z) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %b1 = lathe.onnx "Mul"(%b0, %c) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %b2 = lathe.onnx "Add"(%one, %b1) {opset = 17 : i64} : (tensor<f32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %b3 = lathe.onnx "Mul"(%z, %k) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %b4 = lathe.onnx "Mul"(%b3, %b2) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %b5 = lathe.onnx "Tanh"(%b4) {opset = 17 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %b6 = lathe.onnx "Add"(%one, %b5) {opset = 17 : i64} : (tensor<f32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %b7 = lathe.onnx "Mul"(%b6, %z) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %b8 = lathe.onnx "Mul"(%half, %b7) {opset = 17 : i64} : (tensor<f32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %a7, %b8 : tensor<?x8xf32>, tensor<?x8xf32>
}

// -----

// CHECK-LABEL: func @sigmoids
// CHECK-NEXT: lathe.activation silu %arg0
// CHECK-NEXT: lathe.activation quick_gelu %arg0
// CHECK-NEXT: lathe.activation silu %arg0
// CHECK-NEXT: return
func.func @sigmoids(%x: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) {
  %k = arith.constant dense<1.702> : tensor<f32>
  %one = arith.constant dense<1.0> : tensor<f32>
  %a0 = lathe.onnx "Sigmoid"(%x) {opset = 17 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %a1 = lathe.onnx "Mul"(%x, %a0) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %b0 = lathe.onnx "Mul"(%k, %x) {opset = 17 : i64} : (tensor<f32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %b1 = lathe.onnx "Sigmoid"(%b0) {opset = 17 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %b2 = lathe.onnx "Mul"(%b1, %x) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %c0 = lathe.onnx "Neg"(%x) {opset = 17 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %c1 = lathe.onnx "Exp"(%c0) {opset = 17 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %c2 = lathe.onnx "Add"(%c1, %one) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %c3 = lathe.onnx "Div"(%x, %c2) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  return %a1, %b2, %c3 : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>
}

// -----

// CHECK-LABEL: func @nodes
// CHECK-NEXT: lathe.activation gelu %arg0
// CHECK-NEXT: lathe.activation gelu_tanh %arg0
// CHECK-NEXT: lathe.activation silu %arg0
// CHECK-NEXT: %[[SUM:.*]] = lathe.onnx "Add"(%arg0, %arg1)
// CHECK-NEXT: lathe.activation gelu_tanh %[[SUM]]
// CHECK-NEXT: lathe.activation relu %arg0
// CHECK-NEXT: lathe.activation tanh %arg0
// CHECK-NEXT: lathe.activation sigmoid %arg0
func.func @nodes(%x: tensor<?x8xf32>, %b: tensor<8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) {
  %0 = lathe.onnx "Gelu"(%x) {opset = 20 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %1 = lathe.onnx "Gelu"(%x) {approximate = "tanh", opset = 20 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %2 = lathe.onnx "Swish"(%x) {opset = 24 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %3 = lathe.onnx "FastGelu"(%x, %b) {domain = "com.microsoft", opset = 1 : i64} : (tensor<?x8xf32>, tensor<8xf32>) -> tensor<?x8xf32>
  %4 = lathe.onnx "Relu"(%x) {opset = 17 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %5 = lathe.onnx "Tanh"(%x) {opset = 17 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %6 = lathe.onnx "Sigmoid"(%x) {opset = 17 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  return %0, %1, %2, %3, %4, %5, %6 : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>
}

// -----

// Another factor, another constant, a Swish of another slope.

// CHECK-LABEL: func @not_activations
// CHECK-NOT: gelu
// CHECK-NOT: silu
// CHECK: return
func.func @not_activations(%x: tensor<?x8xf32>, %z: tensor<?x8xf32>) -> (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) {
  %sqrt2 = arith.constant dense<1.41421354> : tensor<f32>
  %one = arith.constant dense<1.0> : tensor<f32>
  %half = arith.constant dense<0.5> : tensor<f32>
  %a0 = lathe.onnx "Div"(%x, %sqrt2) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %a1 = lathe.onnx "Erf"(%a0) {opset = 17 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %a2 = lathe.onnx "Add"(%a1, %one) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %a3 = lathe.onnx "Mul"(%z, %a2) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %a4 = lathe.onnx "Mul"(%a3, %half) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %b1 = lathe.onnx "Erf"(%x) {opset = 17 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %b2 = lathe.onnx "Add"(%b1, %one) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %b3 = lathe.onnx "Mul"(%x, %b2) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %b4 = lathe.onnx "Mul"(%b3, %half) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<f32>) -> tensor<?x8xf32>
  %c0 = lathe.onnx "Sigmoid"(%x) {opset = 17 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  %c1 = lathe.onnx "Mul"(%z, %c0) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
  %d0 = lathe.onnx "Swish"(%x) {alpha = 0.5 : f32, opset = 24 : i64} : (tensor<?x8xf32>) -> tensor<?x8xf32>
  return %a4, %b4, %c1, %d0 : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>
}
