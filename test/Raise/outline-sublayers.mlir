// RUN: lathe-opt %s --lathe-outline-sublayers --split-input-file | FileCheck %s

// Pre-norm attention (not raised here) and a gated FFN; the last norm belongs
// to nobody. What the exporter wrote between goes where it is used.

lathe.weight @q {data = #lathe.blob<"w.bin", 0, 16, "0000000000000001">} : !lathe.weight<2x2xf32, #lathe.dense<f32>>
lathe.weight @o {data = #lathe.blob<"w.bin", 16, 16, "0000000000000002">} : !lathe.weight<2x2xf32, #lathe.dense<f32>>
lathe.weight @g {data = #lathe.blob<"w.bin", 32, 16, "0000000000000003">} : !lathe.weight<2x2xf32, #lathe.dense<f32>>
lathe.weight @u {data = #lathe.blob<"w.bin", 48, 16, "0000000000000004">} : !lathe.weight<2x2xf32, #lathe.dense<f32>>
lathe.weight @d {data = #lathe.blob<"w.bin", 64, 16, "0000000000000005">} : !lathe.weight<2x2xf32, #lathe.dense<f32>>

// CHECK: lathe.weight @blocks.0.ffn.gate {{.*}}0000000000000003
// CHECK: lathe.weight @blocks.0.ffn.up {{.*}}0000000000000004
// CHECK: lathe.weight @blocks.0.ffn.down {{.*}}0000000000000005
// CHECK-LABEL: func @pre_norm
// CHECK: lathe.block <"blocks.0"> {
// CHECK:   %[[A:.*]] = lathe.sublayer attn <"blocks.0.attn"> residual(%arg0) source(%arg0) args(%arg1) {
// CHECK:   ^bb0(%[[S:.*]]: tensor<?x2xf32>, %{{.*}}: tensor<?x?xf32>):
// CHECK:     lathe.norm rms %[[S]]
// CHECK:     lathe.onnx "Softmax"
// CHECK:     lathe.yield
// CHECK:   %[[F:.*]] = lathe.sublayer ffn <"blocks.0.ffn"> residual(%[[A]]) source(%[[A]]) {
// CHECK:     lathe.linear {{.*}} {site = #lathe.site<"blocks.0.ffn.gate">}
// CHECK:     lathe.activation silu
// CHECK:     lathe.linear {{.*}} {site = #lathe.site<"blocks.0.ffn.up">}
// CHECK:     lathe.linear {{.*}} {site = #lathe.site<"blocks.0.ffn.down">}
// CHECK:   lathe.yield %[[F]]
// CHECK: lathe.norm rms %{{.*}} {epsilon = {{.*}}, site = #lathe.site<"norm">}
func.func @pre_norm(%x: tensor<?x2xf32>, %mask: tensor<?x?xf32>) -> tensor<?x2xf32> {
  %n = lathe.norm rms %x {epsilon = 1.0e-6 : f32} : (tensor<?x2xf32>) -> tensor<?x2xf32>
  %wq = lathe.use_weight @q : !lathe.weight<2x2xf32, #lathe.dense<f32>>
  %q = lathe.linear %n, %wq : (tensor<?x2xf32>, !lathe.weight<2x2xf32, #lathe.dense<f32>>) -> tensor<?x2xf32>
  %t = lathe.onnx "Transpose"(%n) {perm = array<i64: 1, 0>, opset = 17 : i64} : (tensor<?x2xf32>) -> tensor<2x?xf32>
  %s = lathe.onnx "MatMul"(%q, %t) {opset = 17 : i64} : (tensor<?x2xf32>, tensor<2x?xf32>) -> tensor<?x?xf32>
  %m = lathe.onnx "Add"(%s, %mask) {opset = 17 : i64} : (tensor<?x?xf32>, tensor<?x?xf32>) -> tensor<?x?xf32>
  %p = lathe.onnx "Softmax"(%m) {opset = 17 : i64} : (tensor<?x?xf32>) -> tensor<?x?xf32>
  %v = lathe.onnx "MatMul"(%p, %n) {opset = 17 : i64} : (tensor<?x?xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %wo = lathe.use_weight @o : !lathe.weight<2x2xf32, #lathe.dense<f32>>
  %o = lathe.linear %v, %wo : (tensor<?x2xf32>, !lathe.weight<2x2xf32, #lathe.dense<f32>>) -> tensor<?x2xf32>
  %x1 = lathe.onnx "Add"(%o, %x) {opset = 17 : i64} : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %n1 = lathe.norm rms %x1 {epsilon = 1.0e-6 : f32} : (tensor<?x2xf32>) -> tensor<?x2xf32>
  %wg = lathe.use_weight @g : !lathe.weight<2x2xf32, #lathe.dense<f32>>
  %g = lathe.linear %n1, %wg : (tensor<?x2xf32>, !lathe.weight<2x2xf32, #lathe.dense<f32>>) -> tensor<?x2xf32>
  %a = lathe.activation silu %g : tensor<?x2xf32>
  %wu = lathe.use_weight @u : !lathe.weight<2x2xf32, #lathe.dense<f32>>
  %u = lathe.linear %n1, %wu : (tensor<?x2xf32>, !lathe.weight<2x2xf32, #lathe.dense<f32>>) -> tensor<?x2xf32>
  %gu = lathe.onnx "Mul"(%a, %u) {opset = 17 : i64} : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %wd = lathe.use_weight @d : !lathe.weight<2x2xf32, #lathe.dense<f32>>
  %d = lathe.linear %gu, %wd : (tensor<?x2xf32>, !lathe.weight<2x2xf32, #lathe.dense<f32>>) -> tensor<?x2xf32>
  %x2 = lathe.onnx "Add"(%x1, %d) {opset = 17 : i64} : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %y = lathe.norm rms %x2 {epsilon = 1.0e-6 : f32} : (tensor<?x2xf32>) -> tensor<?x2xf32>
  return %y : tensor<?x2xf32>
}

// -----

// Post-norm; a value of the branch that the caller wants, too, is a further
// result.

lathe.weight @w {data = #lathe.blob<"w.bin", 0, 16, "0000000000000001">} : !lathe.weight<2x2xf32, #lathe.dense<f32>>

// CHECK-LABEL: func @post_norm
// CHECK: %[[R:.*]]:2 = lathe.block <"blocks.0"> {
// CHECK:   %[[Y:.*]], %[[E:.*]] = lathe.sublayer ffn <"blocks.0.ffn"> residual(%arg0) source(%arg0) {
// CHECK:     %[[L:.*]] = lathe.linear
// CHECK:     lathe.yield %{{.*}}, %[[L]]
// CHECK:   } post {
// CHECK:     lathe.norm layer {{.*}}site = #lathe.site<"blocks.0.ffn.post_norm">
// CHECK: return %[[R]]#{{[01]}}, %[[R]]#{{[01]}}
func.func @post_norm(%x: tensor<?x2xf32>) -> (tensor<?x2xf32>, tensor<?x2xf32>) {
  %w = lathe.use_weight @w : !lathe.weight<2x2xf32, #lathe.dense<f32>>
  %l = lathe.linear %x, %w : (tensor<?x2xf32>, !lathe.weight<2x2xf32, #lathe.dense<f32>>) -> tensor<?x2xf32>
  %a = lathe.activation relu %l : tensor<?x2xf32>
  %s = lathe.onnx "Add"(%a, %x) {opset = 17 : i64} : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %y = lathe.norm layer %s {epsilon = 1.0e-6 : f32} : (tensor<?x2xf32>) -> tensor<?x2xf32>
  return %y, %l : tensor<?x2xf32>, tensor<?x2xf32>
}

// -----

// Parallel attention and FFN behind one norm, in either association of the sum.

lathe.weight @w {data = #lathe.blob<"w.bin", 0, 16, "0000000000000001">} : !lathe.weight<2x2xf32, #lathe.dense<f32>>
lathe.weight @f {data = #lathe.blob<"w.bin", 16, 16, "0000000000000002">} : !lathe.weight<2x2xf32, #lathe.dense<f32>>

// CHECK-LABEL: func @parallel
// CHECK: lathe.block <"blocks.0">
// CHECK:   %[[A:.*]] = lathe.sublayer attn <"blocks.0.attn"> residual(%arg0) source(%arg0)
// CHECK:     lathe.norm
// CHECK:   lathe.sublayer ffn <"blocks.0.ffn"> residual(%[[A]]) source(%arg0)
// CHECK:     lathe.norm
// CHECK: lathe.block <"blocks.1">
// CHECK:   %[[B:.*]] = lathe.sublayer attn <"blocks.1.attn"> residual(%[[X:.*]]) source(%[[X]])
// CHECK:   lathe.sublayer ffn <"blocks.1.ffn"> residual(%[[B]]) source(%[[X]])
func.func @parallel(%x: tensor<?x2xf32>) -> tensor<?x2xf32> {
  %w = lathe.use_weight @w : !lathe.weight<2x2xf32, #lathe.dense<f32>>
  %f = lathe.use_weight @f : !lathe.weight<2x2xf32, #lathe.dense<f32>>
  %n = lathe.norm layer %x {epsilon = 1.0e-6 : f32} : (tensor<?x2xf32>) -> tensor<?x2xf32>
  %l = lathe.linear %n, %w : (tensor<?x2xf32>, !lathe.weight<2x2xf32, #lathe.dense<f32>>) -> tensor<?x2xf32>
  %a = lathe.onnx "Softmax"(%l) {opset = 17 : i64} : (tensor<?x2xf32>) -> tensor<?x2xf32>
  %m = lathe.linear %n, %f : (tensor<?x2xf32>, !lathe.weight<2x2xf32, #lathe.dense<f32>>) -> tensor<?x2xf32>
  %s = lathe.onnx "Add"(%m, %a) {opset = 17 : i64} : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %y = lathe.onnx "Add"(%s, %x) {opset = 17 : i64} : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>

  %n1 = lathe.norm layer %y {epsilon = 1.0e-6 : f32} : (tensor<?x2xf32>) -> tensor<?x2xf32>
  %m1 = lathe.linear %n1, %f : (tensor<?x2xf32>, !lathe.weight<2x2xf32, #lathe.dense<f32>>) -> tensor<?x2xf32>
  %l1 = lathe.linear %n1, %w : (tensor<?x2xf32>, !lathe.weight<2x2xf32, #lathe.dense<f32>>) -> tensor<?x2xf32>
  %a1 = lathe.onnx "Softmax"(%l1) {opset = 17 : i64} : (tensor<?x2xf32>) -> tensor<?x2xf32>
  %s1 = lathe.onnx "Add"(%y, %a1) {opset = 17 : i64} : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %y1 = lathe.onnx "Add"(%m1, %s1) {opset = 17 : i64} : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  return %y1 : tensor<?x2xf32>
}

// -----

// Layer scale belongs to the branch, a scale of the residual does not; sums
// without work or without a common source are no sub-layers.

lathe.weight @w {data = #lathe.blob<"w.bin", 0, 16, "0000000000000001">} : !lathe.weight<2x2xf32, #lathe.dense<f32>>

// CHECK-LABEL: func @scales
// CHECK: lathe.onnx "Add"(%arg0, %arg1)
// CHECK: %[[T:.*]] = lathe.activation tanh
// CHECK: %[[X:.*]] = lathe.onnx "Add"(%{{.*}}, %[[T]])
// CHECK: %[[R:.*]] = lathe.onnx "Mul"(%[[X]],
// CHECK: lathe.sublayer ffn <"blocks.0.ffn"> residual(%[[R]]) source(%[[X]]) {
// CHECK:   lathe.linear
// CHECK:   lathe.onnx "Mul"
// CHECK-NOT: lathe.sublayer
func.func @scales(%a: tensor<?x2xf32>, %b: tensor<?x2xf32>) -> tensor<?x2xf32> {
  %gamma = arith.constant dense<[0.5, 0.25]> : tensor<2xf32>
  %c = arith.constant dense<2.0> : tensor<f32>
  %e = lathe.onnx "Add"(%a, %b) {opset = 17 : i64} : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %t = lathe.activation tanh %e : tensor<?x2xf32>
  %x = lathe.onnx "Add"(%e, %t) {opset = 17 : i64} : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  %w = lathe.use_weight @w : !lathe.weight<2x2xf32, #lathe.dense<f32>>
  %l = lathe.linear %x, %w : (tensor<?x2xf32>, !lathe.weight<2x2xf32, #lathe.dense<f32>>) -> tensor<?x2xf32>
  %s = lathe.onnx "Mul"(%l, %gamma) {opset = 17 : i64} : (tensor<?x2xf32>, tensor<2xf32>) -> tensor<?x2xf32>
  %r = lathe.onnx "Mul"(%x, %c) {opset = 17 : i64} : (tensor<?x2xf32>, tensor<f32>) -> tensor<?x2xf32>
  %y = lathe.onnx "Add"(%r, %s) {opset = 17 : i64} : (tensor<?x2xf32>, tensor<?x2xf32>) -> tensor<?x2xf32>
  return %y : tensor<?x2xf32>
}
