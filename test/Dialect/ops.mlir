// RUN: lathe-opt %s | lathe-opt | FileCheck %s
// RUN: lathe-opt %s --mlir-print-op-generic | lathe-opt | FileCheck %s
// RUN: lathe-opt %s --emit-bytecode | lathe-opt | FileCheck %s

// Every operation of the dialect, through text, generic text and bytecode.

// CHECK: module attributes {lathe.level = "structure", lathe.opset = 17 : i64, lathe.source = "m.onnx"}
module attributes {lathe.source = "m.onnx", lathe.opset = 17 : i64, lathe.level = "structure"} {

// CHECK: lathe.weight @blocks.0.ffn.up {data = #lathe.blob<"m.onnx", 0, 131072, "5d41402abc4b2a76">} : !lathe.weight<128x512xf32, #lathe.dense<f16>>
lathe.weight @"blocks.0.ffn.up" {data = #lathe.blob<"m.onnx", 0, 131072, "5d41402abc4b2a76">}
    : !lathe.weight<128x512xf32, #lathe.dense<f16>>
// CHECK: lathe.weight @transposed {{.*}} : !lathe.weight<4x8xf32, #lathe.dense<f32, transposed>>
lathe.weight @transposed {data = #lathe.blob<"m.onnx", 0, 128, "5d41402abc4b2a76">}
    : !lathe.weight<4x8xf32, #lathe.dense<f32, transposed>>
// CHECK: lathe.weight @joined
// CHECK-SAME: !lathe.weight<2x8xf32, #lathe.concat<1, [#lathe.dense<f32>, #lathe.dense<bf16>], [6, 2]>>
lathe.weight @joined {"0.data" = #lathe.blob<"m.onnx", 0, 48, "5d41402abc4b2a76">,
                      "1.data" = #lathe.blob<"m.onnx", 48, 8, "5d41402abc4b2a77">}
    : !lathe.weight<2x8xf32, #lathe.concat<1, [#lathe.dense<f32>, #lathe.dense<bf16>], [6, 2]>>

// CHECK-LABEL: func @carrier
// CHECK-SAME: {lathe.dims = ["30", "8"], lathe.name = "x"}
// CHECK-SAME: -> (tensor<?x8xf32> {lathe.dims = ["past + seq", "8"], lathe.name = "y"})
func.func @carrier(%x: tensor<30x8xf32> {lathe.name = "x", lathe.dims = ["30", "8"]},
                   %i: tensor<?xi64> {lathe.name = "i", lathe.dims = ["past + seq"]})
    -> (tensor<?x8xf32> {lathe.name = "y", lathe.dims = ["past + seq", "8"]}) {
  // CHECK: lathe.onnx "Gather"(%{{.*}}, %{{.*}}) {axis = 0 : i64, opset = 17 : i64} : (tensor<30x8xf32>, tensor<?xi64>) -> tensor<?x8xf32>
  %y = lathe.onnx "Gather"(%x, %i) {axis = 0 : i64, opset = 17 : i64}
      : (tensor<30x8xf32>, tensor<?xi64>) -> tensor<?x8xf32>
  // CHECK: %[[NONE:.*]] = lathe.none : none
  %none = lathe.none : none
  // CHECK: lathe.onnx "Clip"(%{{.*}}, %[[NONE]], %[[NONE]]) {opset = 17 : i64}
  %c = lathe.onnx "Clip"(%y, %none, %none) {opset = 17 : i64}
      : (tensor<?x8xf32>, none, none) -> tensor<?x8xf32>
  // CHECK: lathe.onnx "FastGelu"(%{{.*}}) {domain = "com.microsoft", opset = 1 : i64} : (tensor<?x8xf32>) -> tensor<*xf32>
  %g = lathe.onnx "FastGelu"(%c) {domain = "com.microsoft", opset = 1 : i64}
      : (tensor<?x8xf32>) -> tensor<*xf32>
  // CHECK: lathe.constant <"m.onnx", 128, 12, "0f1e2d3c4b5a6978"> {name = "w"} : tensor<3xf32>
  %w = lathe.constant #lathe.blob<"m.onnx", 128, 12, "0f1e2d3c4b5a6978">
      {name = "w"} : tensor<3xf32>
  // Elements narrower than a byte are packed.
  // CHECK: lathe.constant <"m.onnx", 128, 2, "0f1e2d3c4b5a6978"> : tensor<3xi4>
  %n = lathe.constant <"m.onnx", 128, 2, "0f1e2d3c4b5a6978"> : tensor<3xi4>
  return %y : tensor<?x8xf32>
}

// CHECK-LABEL: func @linear
func.func @linear(%x: tensor<?x65x128xf32>, %r: tensor<?x65x512xf32>, %s: tensor<512xf32>,
                  %b: !lathe.weight<512xf32, #lathe.dense<f32>>) {
  // CHECK: %[[W:.*]] = lathe.use_weight @blocks.0.ffn.up : !lathe.weight<128x512xf32, #lathe.dense<f16>>
  %w = lathe.use_weight @blocks.0.ffn.up : !lathe.weight<128x512xf32, #lathe.dense<f16>>
  // CHECK: lathe.linear %{{.*}}, %[[W]] : (tensor<?x65x128xf32>, !lathe.weight<128x512xf32, #lathe.dense<f16>>) -> tensor<?x65x512xf32>
  %0 = lathe.linear %x, %w
      : (tensor<?x65x128xf32>, !lathe.weight<128x512xf32, #lathe.dense<f16>>) -> tensor<?x65x512xf32>
  // CHECK: lathe.linear %{{.*}}, %[[W]] bias(%{{.*}}) {site = #lathe.site<"blocks.0.ffn.up">}
  %1 = lathe.linear %x, %w bias(%b) {site = #lathe.site<"blocks.0.ffn.up">}
      : (tensor<?x65x128xf32>, !lathe.weight<128x512xf32, #lathe.dense<f16>>, !lathe.weight<512xf32, #lathe.dense<f32>>) -> tensor<?x65x512xf32>
  // CHECK: lathe.linear %{{.*}}, %[[W]] epilogue(%{{.*}}, %{{.*}}) {
  // CHECK-NEXT: ^bb0(%[[SUM:.*]]: f32, %[[ROW:.*]]: f32, %[[SCALE:.*]]: f32):
  // CHECK: lathe.yield %{{.*}} : f32
  %2 = lathe.linear %x, %w epilogue(%r, %s) {
  ^bb0(%sum: f32, %row: f32, %scale: f32):
    %p = arith.mulf %sum, %scale : f32
    %q = arith.addf %p, %row : f32
    lathe.yield %q : f32
  } : (tensor<?x65x128xf32>, !lathe.weight<128x512xf32, #lathe.dense<f16>>, tensor<?x65x512xf32>, tensor<512xf32>) -> tensor<?x65x512xf32>
  // CHECK: lathe.linear %{{.*}}, %[[W]] epilogue() {
  // CHECK-NEXT: ^bb0(%{{.*}}: f32, %{{.*}}: f32):
  // CHECK: } {gated} : (tensor<?x65x128xf32>, !lathe.weight<128x512xf32, #lathe.dense<f16>>) -> tensor<?x65x256xf32>
  %3 = lathe.linear %x, %w epilogue() {
  ^bb0(%left: f32, %right: f32):
    %p = arith.mulf %left, %right : f32
    lathe.yield %p : f32
  } {gated} : (tensor<?x65x128xf32>, !lathe.weight<128x512xf32, #lathe.dense<f16>>) -> tensor<?x65x256xf32>
  return
}

// CHECK-LABEL: func @pointwise
func.func @pointwise(%ids: tensor<?x?xi64>, %t: !lathe.weight<256x192xf32, #lathe.dense<f32>>,
                     %g: !lathe.weight<192xf32, #lathe.dense<f32>>) {
  // CHECK: lathe.embedding %{{.*}}, %{{.*}} : (tensor<?x?xi64>, !lathe.weight<256x192xf32, #lathe.dense<f32>>) -> tensor<?x?x192xf32>
  %x = lathe.embedding %ids, %t
      : (tensor<?x?xi64>, !lathe.weight<256x192xf32, #lathe.dense<f32>>) -> tensor<?x?x192xf32>
  // CHECK: lathe.embedding %{{.*}}, %{{.*}} transposed : (tensor<?x?xi64>, !lathe.weight<256x192xf32, #lathe.dense<f32>>) -> tensor<?x?x256xf32>
  %tied = lathe.embedding %ids, %t transposed
      : (tensor<?x?xi64>, !lathe.weight<256x192xf32, #lathe.dense<f32>>) -> tensor<?x?x256xf32>
  // CHECK: lathe.norm layer %{{.*}} {epsilon = 9.99999974E-6 : f32} : (tensor<?x?x192xf32>) -> tensor<?x?x192xf32>
  %0 = lathe.norm layer %x {epsilon = 1.0e-5 : f32} : (tensor<?x?x192xf32>) -> tensor<?x?x192xf32>
  // CHECK: lathe.norm layer %{{.*}} gamma(%{{.*}}) beta(%{{.*}}) {epsilon
  %1 = lathe.norm layer %x gamma(%g) beta(%g) {epsilon = 1.0e-5 : f32}
      : (tensor<?x?x192xf32>, !lathe.weight<192xf32, #lathe.dense<f32>>, !lathe.weight<192xf32, #lathe.dense<f32>>) -> tensor<?x?x192xf32>
  // CHECK: lathe.norm rms %{{.*}} gamma(%{{.*}}) {epsilon
  %2 = lathe.norm rms %x gamma(%g) {epsilon = 1.0e-5 : f32}
      : (tensor<?x?x192xf32>, !lathe.weight<192xf32, #lathe.dense<f32>>) -> tensor<?x?x192xf32>
  // CHECK: lathe.activation gelu %{{.*}} : tensor<?x?x192xf32>
  %3 = lathe.activation gelu %x : tensor<?x?x192xf32>
  // CHECK: lathe.activation gelu_tanh
  %4 = lathe.activation gelu_tanh %x : tensor<?x?x192xf32>
  // CHECK: lathe.activation silu
  %5 = lathe.activation silu %x : tensor<?x?x192xf32>
  // CHECK: lathe.activation quick_gelu
  %6 = lathe.activation quick_gelu %x : tensor<?x?x192xf32>
  // CHECK: lathe.activation relu
  %7 = lathe.activation relu %x : tensor<?x?x192xf32>
  // CHECK: lathe.activation tanh
  %8 = lathe.activation tanh %x : tensor<?x?x192xf32>
  // CHECK: lathe.activation sigmoid
  %9 = lathe.activation sigmoid %x : tensor<?x?x192xf32>
  // CHECK: lathe.softmax %{{.*}} : tensor<?x?x192xf32>
  %10 = lathe.softmax %x : tensor<?x?x192xf32>
  return
}

// CHECK-LABEL: func @attention
func.func @attention(%q: tensor<?x?x384xf32>, %k: tensor<?x?x192xf32>, %m: tensor<?x?xi64>,
                     %bias: tensor<1x12x?x?xf32>, %cos: tensor<1x?x16xf32>,
                     %kv: !lathe.kv<6, 32, 32, f32>) -> !lathe.kv<6, 32, 32, f32> {
  // CHECK: lathe.rope half %{{.*}} <"[i0, i2, 32*i1 + i3]"> cos(%{{.*}}) sin(%{{.*}}) heads 12 x 32 rotary 32
  // CHECK-SAME: : (tensor<?x?x384xf32>, tensor<1x?x16xf32>, tensor<1x?x16xf32>) -> tensor<?x?x384xf32>
  %r = lathe.rope half %q <"[i0, i2, 32*i1 + i3]"> cos(%cos) sin(%cos) heads 12 x 32 rotary 32
      : (tensor<?x?x384xf32>, tensor<1x?x16xf32>, tensor<1x?x16xf32>) -> tensor<?x?x384xf32>
  // CHECK: lathe.rope interleaved
  %i = lathe.rope interleaved %q <"[i0, i2, 32*i1 + i3]"> cos(%cos) sin(%cos) heads 12 x 32 rotary 32
      : (tensor<?x?x384xf32>, tensor<1x?x16xf32>, tensor<1x?x16xf32>) -> tensor<?x?x384xf32>
  // CHECK: lathe.attention q(%{{.*}} <"[i0, i2, 32*i1 + i3]">) k(%{{.*}} <"[i0, i2, 32*i1 + i3]">) v(%{{.*}} <"[i0, i2, 32*i1 + i3]">)
  // CHECK-SAME: heads 12 over 6 dims 32, 32 scale 1.767760e-01
  %a = lathe.attention q(%r <"[i0, i2, 32*i1 + i3]">) k(%k <"[i0, i2, 32*i1 + i3]">)
      v(%k <"[i0, i2, 32*i1 + i3]">) heads 12 over 6 dims 32, 32 scale 0.176776
      : (tensor<?x?x384xf32>, tensor<?x?x192xf32>, tensor<?x?x192xf32>) -> tensor<?x?x384xf32>
  // CHECK: lathe.attention
  // CHECK-SAME: softcap 5.000000e+01
  // CHECK-SAME: mask <"(i3 <= i2 + past and read(0, [i0, i3]) != 0)"> bias <"read(1, [0, i1, i2, i3])">
  // CHECK-SAME: reads(%{{[^)]*}})
  // CHECK-SAME: rows soft mask_value -3.40282347E+38
  %b = lathe.attention q(%r <"[i0, i2, 32*i1 + i3]">) k(%k <"[i0, i2, 32*i1 + i3]">)
      v(%k <"[i0, i2, 32*i1 + i3]">) heads 12 over 6 dims 32, 32 scale 0.176776
      softcap 50.0 mask <"(i3 <= i2 + past and read(0, [i0, i3]) != 0)">
      bias <"read(1, [0, i1, i2, i3])"> reads(%m, %bias)
      rows soft mask_value -3.40282347E+38
      : (tensor<?x?x384xf32>, tensor<?x?x192xf32>, tensor<?x?x192xf32>, tensor<?x?xi64>, tensor<1x12x?x?xf32>) -> tensor<?x?x384xf32>
  // CHECK: %[[KV:.*]] = lathe.kv_append %{{.*}}, k(%{{.*}} <"[i0, i2, 32*i1 + i3]">) v(%{{.*}} <"[i0, i2, 32*i1 + i3]">)
  %kv2 = lathe.kv_append %kv, k(%k <"[i0, i2, 32*i1 + i3]">) v(%k <"[i0, i2, 32*i1 + i3]">)
      : (!lathe.kv<6, 32, 32, f32>, tensor<?x?x192xf32>, tensor<?x?x192xf32>) -> !lathe.kv<6, 32, 32, f32>
  // CHECK: lathe.attention q(%{{.*}} <"[i0, i2, 32*i1 + i3]">) cache(%[[KV]]) heads 12 over 6
  %c = lathe.attention q(%r <"[i0, i2, 32*i1 + i3]">) cache(%kv2) heads 12 over 6 dims 32, 32
      scale 0.176776 mask <"i3 <= i2 + past">
      : (tensor<?x?x384xf32>, !lathe.kv<6, 32, 32, f32>) -> tensor<?x?x384xf32>
  return %kv2 : !lathe.kv<6, 32, 32, f32>
}

// CHECK-LABEL: func @index_expr
func.func @index_expr(%x: tensor<?x?x384xf32>, %m: tensor<?x?xi64>) {
  // CHECK: lathe.index_expr <"read(0, [i0, i2, 32*i1 + i3])">(%{{.*}}) shape ["batch", "12", "seq", "32"]
  // CHECK-SAME: : (tensor<?x?x384xf32>) -> tensor<?x12x?x32xf32>
  %0 = lathe.index_expr <"read(0, [i0, i2, 32*i1 + i3])"> (%x) shape ["batch", "12", "seq", "32"]
      : (tensor<?x?x384xf32>) -> tensor<?x12x?x32xf32>
  // CHECK: lathe.index_expr <"(i1 <= i0 + past and read(0, [0, i1]) != 0)">(%{{.*}}) shape ["seq", "past + seq"]
  // CHECK-SAME: -> tensor<?x?xi1>
  %1 = lathe.index_expr <"(i1 <= i0 + past and read(0, [0, i1]) != 0)"> (%m) shape ["seq", "past + seq"]
      : (tensor<?x?xi64>) -> tensor<?x?xi1>
  // CHECK: lathe.index_expr <"i0 + past">() shape ["seq"] : () -> tensor<?xi64>
  %2 = lathe.index_expr <"i0 + past"> () shape ["seq"] : () -> tensor<?xi64>
  return
}

// CHECK-LABEL: func @structure
func.func @structure(%x: tensor<?x64xf32>, %r: tensor<1x?x16xf32>) -> tensor<?x64xf32> {
  // CHECK: lathe.block <"blocks.0"> {
  %y = lathe.block <"blocks.0"> {
    // CHECK: lathe.sublayer attn <"blocks.0.attn"> residual(%{{.*}}) source(%{{.*}}) args(%{{.*}}) {
    // CHECK-NEXT: ^bb0(%{{.*}}: tensor<?x64xf32>, %{{.*}}: tensor<1x?x16xf32>):
    %0, %extra = lathe.sublayer attn <"blocks.0.attn"> residual(%x) source(%x) args(%r) {
    ^bb0(%s: tensor<?x64xf32>, %t: tensor<1x?x16xf32>):
      lathe.yield %s, %t : tensor<?x64xf32>, tensor<1x?x16xf32>
    } : (tensor<?x64xf32>, tensor<?x64xf32>, tensor<1x?x16xf32>) -> (tensor<?x64xf32>, tensor<1x?x16xf32>)
    // CHECK: lathe.sublayer ffn <"blocks.0.ffn"> residual(%{{.*}}) source(%{{.*}}) {
    // CHECK: } post {
    %1 = lathe.sublayer ffn <"blocks.0.ffn"> residual(%0) source(%0) {
    ^bb0(%s: tensor<?x64xf32>):
      lathe.yield %s : tensor<?x64xf32>
    } post {
    ^bb0(%sum: tensor<?x64xf32>):
      %n = lathe.norm layer %sum {epsilon = 0.0 : f32} : (tensor<?x64xf32>) -> tensor<?x64xf32>
      lathe.yield %n : tensor<?x64xf32>
    } : (tensor<?x64xf32>, tensor<?x64xf32>) -> tensor<?x64xf32>
    lathe.yield %1 : tensor<?x64xf32>
  } : tensor<?x64xf32>
  // CHECK: lathe.streams <"blocks.1.attn">(%{{.*}}) left {
  // CHECK: } right {
  // CHECK: } combine {
  %z = lathe.streams <"blocks.1.attn"> (%y) left {
  ^bb0(%a: tensor<?x64xf32>):
    lathe.yield %a : tensor<?x64xf32>
  } right {
  ^bb0(%a: tensor<?x64xf32>):
    lathe.yield %a : tensor<?x64xf32>
  } combine {
  ^bb0(%l: tensor<?x64xf32>, %rr: tensor<?x64xf32>):
    lathe.yield %l : tensor<?x64xf32>
  } : (tensor<?x64xf32>) -> tensor<?x64xf32>
  return %z : tensor<?x64xf32>
}

}
