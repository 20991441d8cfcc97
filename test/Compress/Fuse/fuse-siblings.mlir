// RUN: lathe-opt %s --split-input-file --lathe-fuse-siblings | FileCheck %s

// Q, K and V with biases, in two entries; readers move on to their columns.
// CHECK: lathe.passes = ["lathe-fuse-siblings"]
// CHECK-SAME: action = "rewritten", pass = "lathe-fuse-siblings", reason = "part of blocks.0.attn.qkv", site = #lathe.site<"blocks.0.attn.q">
// CHECK-SAME: site = #lathe.site<"blocks.0.attn.k">
// CHECK-SAME: site = #lathe.site<"blocks.0.attn.v">
// CHECK: lathe.weight @blocks.0.attn.qkv {"0.data" = #lathe.blob<"w", 0, 256, "0000000000000001">, "1.data" = #lathe.blob<"w", 256, 64, "0000000000000002">, "2.data" = #lathe.blob<"w", 384, 128, "0000000000000003">} : !lathe.weight<8x16xf32, #lathe.concat<1, [#lathe.dense<f32>, #lathe.dense<f16>, #lathe.dense<f32>], [8, 4, 4]>>
// CHECK-NEXT: lathe.weight @blocks.0.attn.qkv.bias {{.*}} : !lathe.weight<16xf32, #lathe.concat<0, [#lathe.dense<f32>, #lathe.dense<f32>, #lathe.dense<f32>], [8, 4, 4]>>
// CHECK-NOT: lathe.weight
// CHECK: func.func @plain
// CHECK-NEXT: %[[W:.*]] = lathe.use_weight @blocks.0.attn.qkv :
// CHECK-NEXT: %[[B:.*]] = lathe.use_weight @blocks.0.attn.qkv.bias :
// CHECK-NEXT: %[[Y:.*]] = lathe.linear %arg0, %[[W]] bias(%[[B]]) {site = #lathe.site<"blocks.0.attn.qkv">} : {{.*}} -> tensor<?x?x16xf32>
// CHECK-NEXT: %[[Q:.*]] = lathe.rope half %[[Y]] <"[i0, i2, 4*i1 + i3]">
// CHECK-NEXT: %[[K:.*]] = lathe.index_expr <"2*read(0, [i0, i2, 4*i1 + i3 + 8])">(%[[Y]])
// CHECK-NEXT: lathe.attention q(%[[Q]] <{{.*}}>) k(%[[K]] <{{.*}}>) v(%[[Y]] <"[i0, i2, 4*i1 + i3 + 12]">)
// CHECK: func.func @decode
// CHECK: lathe.linear {{.*}} {site = #lathe.site<"blocks.0.attn.qkv">}
// CHECK-NEXT: lathe.kv_append {{.*}} k(%[[Y:.*]] <"[i0, i2, 4*i1 + i3 + 8]">) v(%[[Y]] <"[i0, i2, 4*i1 + i3 + 12]">)
// CHECK-NEXT: lathe.attention q(%[[Y]] <"[i0, i2, 4*i1 + i3]">) cache

module attributes {lathe.level = "structure", lathe.opset = 17 : i64, lathe.source = "m.onnx"} {
  lathe.weight @q {data = #lathe.blob<"w", 0, 256, "0000000000000001">} : !lathe.weight<8x8xf32, #lathe.dense<f32>>
  lathe.weight @k {data = #lathe.blob<"w", 256, 64, "0000000000000002">} : !lathe.weight<8x4xf32, #lathe.dense<f16>>
  lathe.weight @v {data = #lathe.blob<"w", 384, 128, "0000000000000003">} : !lathe.weight<8x4xf32, #lathe.dense<f32>>
  lathe.weight @q.bias {data = #lathe.blob<"w", 0, 32, "0000000000000004">} : !lathe.weight<8xf32, #lathe.dense<f32>>
  lathe.weight @k.bias {data = #lathe.blob<"w", 0, 16, "0000000000000005">} : !lathe.weight<4xf32, #lathe.dense<f32>>
  lathe.weight @v.bias {data = #lathe.blob<"w", 0, 16, "0000000000000006">} : !lathe.weight<4xf32, #lathe.dense<f32>>
  func.func @plain(%x: tensor<?x?x8xf32> {lathe.dims = ["b", "s", "8"], lathe.name = "x"}, %cos: tensor<1x?x2xf32> {lathe.dims = ["1", "s", "2"], lathe.name = "cos"}) -> (tensor<?x?x8xf32> {lathe.dims = ["b", "s", "8"], lathe.name = "y"}) {
    %wq = lathe.use_weight @q : !lathe.weight<8x8xf32, #lathe.dense<f32>>
    %bq = lathe.use_weight @q.bias : !lathe.weight<8xf32, #lathe.dense<f32>>
    %q = lathe.linear %x, %wq bias(%bq) {site = #lathe.site<"blocks.0.attn.q">} : (tensor<?x?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>, !lathe.weight<8xf32, #lathe.dense<f32>>) -> tensor<?x?x8xf32>
    %wk = lathe.use_weight @k : !lathe.weight<8x4xf32, #lathe.dense<f16>>
    %bk = lathe.use_weight @k.bias : !lathe.weight<4xf32, #lathe.dense<f32>>
    %k = lathe.linear %x, %wk bias(%bk) {site = #lathe.site<"blocks.0.attn.k">} : (tensor<?x?x8xf32>, !lathe.weight<8x4xf32, #lathe.dense<f16>>, !lathe.weight<4xf32, #lathe.dense<f32>>) -> tensor<?x?x4xf32>
    %wv = lathe.use_weight @v : !lathe.weight<8x4xf32, #lathe.dense<f32>>
    %bv = lathe.use_weight @v.bias : !lathe.weight<4xf32, #lathe.dense<f32>>
    %v = lathe.linear %x, %wv bias(%bv) {site = #lathe.site<"blocks.0.attn.v">} : (tensor<?x?x8xf32>, !lathe.weight<8x4xf32, #lathe.dense<f32>>, !lathe.weight<4xf32, #lathe.dense<f32>>) -> tensor<?x?x4xf32>
    %r = lathe.rope half %q <"[i0, i2, 4*i1 + i3]"> cos(%cos) sin(%cos) heads 2 x 4 rotary 4 : (tensor<?x?x8xf32>, tensor<1x?x2xf32>, tensor<1x?x2xf32>) -> tensor<?x?x8xf32>
    %kk = lathe.index_expr <"2*read(0, [i0, i2, 4*i1 + i3])">(%k) shape ["b", "1", "s", "4"] : (tensor<?x?x4xf32>) -> tensor<?x1x?x4xf32>
    %a = lathe.attention q(%r <"[i0, i2, 4*i1 + i3]">) k(%kk <"[i0, i1, i2, i3]">) v(%v <"[i0, i2, 4*i1 + i3]">) heads 2 over 1 dims 4, 4 scale 0.5 : (tensor<?x?x8xf32>, tensor<?x1x?x4xf32>, tensor<?x?x4xf32>) -> tensor<?x?x8xf32>
    return %a : tensor<?x?x8xf32>
  }
  func.func @decode(%x: tensor<?x1x8xf32> {lathe.dims = ["b", "1", "8"], lathe.name = "x"}, %kv: !lathe.kv<1, 4, 4, f32>) -> (tensor<?x1x8xf32> {lathe.dims = ["b", "1", "8"], lathe.name = "y"}, !lathe.kv<1, 4, 4, f32>) {
    %wq = lathe.use_weight @q : !lathe.weight<8x8xf32, #lathe.dense<f32>>
    %bq = lathe.use_weight @q.bias : !lathe.weight<8xf32, #lathe.dense<f32>>
    %q = lathe.linear %x, %wq bias(%bq) {site = #lathe.site<"blocks.0.attn.q">} : (tensor<?x1x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>, !lathe.weight<8xf32, #lathe.dense<f32>>) -> tensor<?x1x8xf32>
    %wk = lathe.use_weight @k : !lathe.weight<8x4xf32, #lathe.dense<f16>>
    %bk = lathe.use_weight @k.bias : !lathe.weight<4xf32, #lathe.dense<f32>>
    %k = lathe.linear %x, %wk bias(%bk) {site = #lathe.site<"blocks.0.attn.k">} : (tensor<?x1x8xf32>, !lathe.weight<8x4xf32, #lathe.dense<f16>>, !lathe.weight<4xf32, #lathe.dense<f32>>) -> tensor<?x1x4xf32>
    %wv = lathe.use_weight @v : !lathe.weight<8x4xf32, #lathe.dense<f32>>
    %bv = lathe.use_weight @v.bias : !lathe.weight<4xf32, #lathe.dense<f32>>
    %v = lathe.linear %x, %wv bias(%bv) {site = #lathe.site<"blocks.0.attn.v">} : (tensor<?x1x8xf32>, !lathe.weight<8x4xf32, #lathe.dense<f32>>, !lathe.weight<4xf32, #lathe.dense<f32>>) -> tensor<?x1x4xf32>
    %kv2 = lathe.kv_append %kv, k(%k <"[i0, i2, 4*i1 + i3]">) v(%v <"[i0, i2, 4*i1 + i3]">) : (!lathe.kv<1, 4, 4, f32>, tensor<?x1x4xf32>, tensor<?x1x4xf32>) -> !lathe.kv<1, 4, 4, f32>
    %a = lathe.attention q(%q <"[i0, i2, 4*i1 + i3]">) cache(%kv2) heads 2 over 1 dims 4, 4 scale 0.5 : (tensor<?x1x8xf32>, !lathe.kv<1, 4, 4, f32>) -> tensor<?x1x8xf32>
    return %a, %kv2 : tensor<?x1x8xf32>, !lathe.kv<1, 4, 4, f32>
  }
}

// -----

// A gated linear unit: the product moves into the kernel.
// CHECK: reason = "part of blocks.0.ffn.gate_up", site = #lathe.site<"blocks.0.ffn.gate">
// CHECK-SAME: reason = "part of blocks.0.ffn.gate_up", site = #lathe.site<"blocks.0.ffn.up">
// CHECK: lathe.weight @blocks.0.ffn.gate_up {{.*}} : !lathe.weight<8x16xf32, #lathe.concat<1, [#lathe.dense<f32>, #lathe.dense<f32>], [8, 8]>>
// CHECK: %[[W:.*]] = lathe.use_weight @blocks.0.ffn.gate_up
// CHECK-NEXT: %[[Y:.*]] = lathe.linear %arg0, %[[W]] epilogue() {
// CHECK-NEXT: ^bb0(%[[G:.*]]: f32, %[[U:.*]]: f32):
// CHECK: %[[S:.*]] = arith.mulf %[[G]], %{{.*}} : f32
// CHECK-NEXT: %[[P:.*]] = arith.mulf %[[S]], %[[U]] : f32
// CHECK-NEXT: lathe.yield %[[P]]
// CHECK-NEXT: } {gated, site = #lathe.site<"blocks.0.ffn.gate_up">} : {{.*}} -> tensor<?x8xf32>
// CHECK-NEXT: return %[[Y]]
module attributes {lathe.level = "structure", lathe.opset = 17 : i64, lathe.source = "m.onnx"} {
  lathe.weight @gate {data = #lathe.blob<"w", 0, 256, "0000000000000001">} : !lathe.weight<8x8xf32, #lathe.dense<f32>>
  lathe.weight @up {data = #lathe.blob<"w", 256, 256, "0000000000000002">} : !lathe.weight<8x8xf32, #lathe.dense<f32>>
  func.func @plain(%x: tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "x"}) -> (tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "y"}) {
    %wg = lathe.use_weight @gate : !lathe.weight<8x8xf32, #lathe.dense<f32>>
    %g = lathe.linear %x, %wg {site = #lathe.site<"blocks.0.ffn.gate">} : (tensor<?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
    %s = lathe.activation silu %g : tensor<?x8xf32>
    %wu = lathe.use_weight @up : !lathe.weight<8x8xf32, #lathe.dense<f32>>
    %u = lathe.linear %x, %wu {site = #lathe.site<"blocks.0.ffn.up">} : (tensor<?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
    %y = lathe.onnx "Mul"(%s, %u) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
    return %y : tensor<?x8xf32>
  }
}

// -----

// Gate and up in one weight from the beginning: it stays as it is, and so do its
// site and its bias. Here up comes first, and the product names it last.
// CHECK: action = "rewritten", pass = "lathe-fuse-siblings", reason = "its halves are multiplied in its kernel", site = #lathe.site<"blocks.0.ffn.gate_up">
// CHECK: lathe.weight @blocks.0.ffn.gate_up {data = {{.*}}} : !lathe.weight<8x16xf32, #lathe.dense<bf16>>
// CHECK: %[[W:.*]] = lathe.use_weight @blocks.0.ffn.gate_up :
// CHECK-NEXT: %[[B:.*]] = lathe.use_weight @blocks.0.ffn.gate_up.bias :
// CHECK-NEXT: %[[Y:.*]] = lathe.linear %arg0, %[[W]] bias(%[[B]]) epilogue() {
// CHECK-NEXT: ^bb0(%[[U:.*]]: f32, %[[G:.*]]: f32):
// CHECK: %[[R:.*]] = arith.{{.*}} %[[G]], %{{.*}} : f32
// CHECK: %[[P:.*]] = arith.mulf %{{.*}}, %[[U]] : f32
// CHECK-NEXT: lathe.yield %[[P]]
// CHECK-NEXT: } {acts = bf16, gated, site = #lathe.site<"blocks.0.ffn.gate_up">} : {{.*}} -> tensor<?x1x8xf32>
// CHECK-NEXT: return %[[Y]]
module attributes {lathe.level = "structure", lathe.opset = 17 : i64, lathe.source = "m.onnx"} {
  lathe.weight @blocks.0.ffn.gate_up {data = #lathe.blob<"w", 0, 256, "0000000000000001">} : !lathe.weight<8x16xf32, #lathe.dense<bf16>>
  lathe.weight @blocks.0.ffn.gate_up.bias {data = #lathe.blob<"w", 256, 64, "0000000000000002">} : !lathe.weight<16xf32, #lathe.dense<f32>>
  func.func @plain(%x: tensor<?x1x8xf32> {lathe.dims = ["n", "1", "8"], lathe.name = "x"}) -> (tensor<?x1x8xf32> {lathe.dims = ["n", "1", "8"], lathe.name = "y"}) {
    %w = lathe.use_weight @blocks.0.ffn.gate_up : !lathe.weight<8x16xf32, #lathe.dense<bf16>>
    %b = lathe.use_weight @blocks.0.ffn.gate_up.bias : !lathe.weight<16xf32, #lathe.dense<f32>>
    %ug = lathe.linear %x, %w bias(%b) {acts = bf16, site = #lathe.site<"blocks.0.ffn.gate_up">} : (tensor<?x1x8xf32>, !lathe.weight<8x16xf32, #lathe.dense<bf16>>, !lathe.weight<16xf32, #lathe.dense<f32>>) -> tensor<?x1x16xf32>
    %u = lathe.index_expr <"read(0, [i0, 0, i2])">(%ug) shape ["n", "1", "8"] : (tensor<?x1x16xf32>) -> tensor<?x1x8xf32>
    %g = lathe.index_expr <"read(0, [i0, 0, i2 + 8])">(%ug) shape ["n", "1", "8"] : (tensor<?x1x16xf32>) -> tensor<?x1x8xf32>
    %r = lathe.activation relu %g : tensor<?x1x8xf32>
    %y = lathe.onnx "Mul"(%r, %u) {opset = 17 : i64} : (tensor<?x1x8xf32>, tensor<?x1x8xf32>) -> tensor<?x1x8xf32>
    return %y : tensor<?x1x8xf32>
  }
}

// -----

// No halves of all rows: the columns of both overlap; every other column; all
// rows but the last; one half twice; the whole is a result, too.
// CHECK-NOT: gated
// CHECK-NOT: concat
// CHECK-COUNT-5: lathe.linear
module attributes {lathe.level = "structure", lathe.opset = 17 : i64, lathe.source = "m.onnx"} {
  lathe.weight @w0 {data = #lathe.blob<"w", 0, 512, "0000000000000001">} : !lathe.weight<8x16xf32, #lathe.dense<f32>>
  lathe.weight @w1 {data = #lathe.blob<"w", 512, 512, "0000000000000002">} : !lathe.weight<8x16xf32, #lathe.dense<f32>>
  lathe.weight @w2 {data = #lathe.blob<"w", 1024, 512, "0000000000000003">} : !lathe.weight<8x16xf32, #lathe.dense<f32>>
  lathe.weight @w3 {data = #lathe.blob<"w", 1536, 512, "0000000000000004">} : !lathe.weight<8x16xf32, #lathe.dense<f32>>
  lathe.weight @w4 {data = #lathe.blob<"w", 2048, 512, "0000000000000005">} : !lathe.weight<8x16xf32, #lathe.dense<f32>>
  func.func @plain(%x: tensor<?x8xf32> {lathe.dims = ["n + 1", "8"], lathe.name = "x"})
      -> (tensor<?x8xf32> {lathe.dims = ["n + 1", "8"], lathe.name = "y0"}, tensor<?x8xf32> {lathe.dims = ["n + 1", "8"], lathe.name = "y1"},
          tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "y2"}, tensor<?x8xf32> {lathe.dims = ["n + 1", "8"], lathe.name = "y3"},
          tensor<?x8xf32> {lathe.dims = ["n + 1", "8"], lathe.name = "y4"}, tensor<?x16xf32> {lathe.dims = ["n + 1", "16"], lathe.name = "all"}) {
    %w0 = lathe.use_weight @w0 : !lathe.weight<8x16xf32, #lathe.dense<f32>>
    %x0 = lathe.activation relu %x : tensor<?x8xf32>
    %l0 = lathe.linear %x0, %w0 : (tensor<?x8xf32>, !lathe.weight<8x16xf32, #lathe.dense<f32>>) -> tensor<?x16xf32>
    %a0 = lathe.index_expr <"read(0, [i0, i1])">(%l0) shape ["n + 1", "8"] : (tensor<?x16xf32>) -> tensor<?x8xf32>
    %b0 = lathe.index_expr <"read(0, [i0, i1 + 7])">(%l0) shape ["n + 1", "8"] : (tensor<?x16xf32>) -> tensor<?x8xf32>
    %y0 = lathe.onnx "Mul"(%a0, %b0) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
    %w1 = lathe.use_weight @w1 : !lathe.weight<8x16xf32, #lathe.dense<f32>>
    %x1 = lathe.activation relu %x : tensor<?x8xf32>
    %l1 = lathe.linear %x1, %w1 : (tensor<?x8xf32>, !lathe.weight<8x16xf32, #lathe.dense<f32>>) -> tensor<?x16xf32>
    %a1 = lathe.index_expr <"read(0, [i0, 2*i1])">(%l1) shape ["n + 1", "8"] : (tensor<?x16xf32>) -> tensor<?x8xf32>
    %b1 = lathe.index_expr <"read(0, [i0, 2*i1 + 1])">(%l1) shape ["n + 1", "8"] : (tensor<?x16xf32>) -> tensor<?x8xf32>
    %y1 = lathe.onnx "Mul"(%a1, %b1) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
    %w2 = lathe.use_weight @w2 : !lathe.weight<8x16xf32, #lathe.dense<f32>>
    %x2 = lathe.activation relu %x : tensor<?x8xf32>
    %l2 = lathe.linear %x2, %w2 : (tensor<?x8xf32>, !lathe.weight<8x16xf32, #lathe.dense<f32>>) -> tensor<?x16xf32>
    %a2 = lathe.index_expr <"read(0, [i0, i1])">(%l2) shape ["n", "8"] : (tensor<?x16xf32>) -> tensor<?x8xf32>
    %b2 = lathe.index_expr <"read(0, [i0, i1 + 8])">(%l2) shape ["n", "8"] : (tensor<?x16xf32>) -> tensor<?x8xf32>
    %y2 = lathe.onnx "Mul"(%a2, %b2) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
    %w3 = lathe.use_weight @w3 : !lathe.weight<8x16xf32, #lathe.dense<f32>>
    %x3 = lathe.activation relu %x : tensor<?x8xf32>
    %l3 = lathe.linear %x3, %w3 : (tensor<?x8xf32>, !lathe.weight<8x16xf32, #lathe.dense<f32>>) -> tensor<?x16xf32>
    %a3 = lathe.index_expr <"read(0, [i0, i1 + 8])">(%l3) shape ["n + 1", "8"] : (tensor<?x16xf32>) -> tensor<?x8xf32>
    %b3 = lathe.index_expr <"read(0, [i0, i1 + 8])">(%l3) shape ["n + 1", "8"] : (tensor<?x16xf32>) -> tensor<?x8xf32>
    %y3 = lathe.onnx "Mul"(%a3, %b3) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
    %w4 = lathe.use_weight @w4 : !lathe.weight<8x16xf32, #lathe.dense<f32>>
    %x4 = lathe.activation relu %x : tensor<?x8xf32>
    %l4 = lathe.linear %x4, %w4 : (tensor<?x8xf32>, !lathe.weight<8x16xf32, #lathe.dense<f32>>) -> tensor<?x16xf32>
    %a4 = lathe.index_expr <"read(0, [i0, i1])">(%l4) shape ["n + 1", "8"] : (tensor<?x16xf32>) -> tensor<?x8xf32>
    %b4 = lathe.index_expr <"read(0, [i0, i1 + 8])">(%l4) shape ["n + 1", "8"] : (tensor<?x16xf32>) -> tensor<?x8xf32>
    %y4 = lathe.onnx "Mul"(%a4, %b4) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
    return %y0, %y1, %y2, %y3, %y4, %l4 : tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x16xf32>
  }
}

// -----

// Halves in one entry and the whole in another are two layouts.
// CHECK: action = "kept", pass = "lathe-fuse-siblings", reason = "a weight is read elsewhere, too", site = #lathe.site<"gate_up">
// CHECK-NOT: gated
module attributes {lathe.level = "structure", lathe.opset = 17 : i64, lathe.source = "m.onnx"} {
  lathe.weight @w {data = #lathe.blob<"w", 0, 512, "0000000000000001">} : !lathe.weight<8x16xf32, #lathe.dense<f32>>
  func.func @plain(%x: tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "x"}) -> (tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "y"}) {
    %w = lathe.use_weight @w : !lathe.weight<8x16xf32, #lathe.dense<f32>>
    %l = lathe.linear %x, %w {site = #lathe.site<"gate_up">} : (tensor<?x8xf32>, !lathe.weight<8x16xf32, #lathe.dense<f32>>) -> tensor<?x16xf32>
    %g = lathe.index_expr <"read(0, [i0, i1])">(%l) shape ["n", "8"] : (tensor<?x16xf32>) -> tensor<?x8xf32>
    %u = lathe.index_expr <"read(0, [i0, i1 + 8])">(%l) shape ["n", "8"] : (tensor<?x16xf32>) -> tensor<?x8xf32>
    %y = lathe.onnx "Mul"(%g, %u) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
    return %y : tensor<?x8xf32>
  }
  func.func @other(%x: tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "x"}) -> (tensor<?x16xf32> {lathe.dims = ["n", "16"], lathe.name = "y"}) {
    %w = lathe.use_weight @w : !lathe.weight<8x16xf32, #lathe.dense<f32>>
    %l = lathe.linear %x, %w {site = #lathe.site<"gate_up">} : (tensor<?x8xf32>, !lathe.weight<8x16xf32, #lathe.dense<f32>>) -> tensor<?x16xf32>
    return %l : tensor<?x16xf32>
  }
}

// -----

// Columns of a result that something else reads, too, would have to be copied.
// CHECK-NOT: concat
// CHECK-COUNT-2: lathe.linear
// CHECK-NOT: lathe.linear
module attributes {lathe.level = "structure", lathe.opset = 17 : i64, lathe.source = "m.onnx"} {
  lathe.weight @gate {data = #lathe.blob<"w", 0, 256, "0000000000000001">} : !lathe.weight<8x8xf32, #lathe.dense<f32>>
  lathe.weight @up {data = #lathe.blob<"w", 256, 256, "0000000000000002">} : !lathe.weight<8x8xf32, #lathe.dense<f32>>
  func.func @plain(%x: tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "x"}) -> (tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "y"}, tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "u"}) {
    %wg = lathe.use_weight @gate : !lathe.weight<8x8xf32, #lathe.dense<f32>>
    %g = lathe.linear %x, %wg : (tensor<?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
    %wu = lathe.use_weight @up : !lathe.weight<8x8xf32, #lathe.dense<f32>>
    %u = lathe.linear %x, %wu : (tensor<?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
    %y = lathe.onnx "Mul"(%g, %u) {opset = 17 : i64} : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
    return %y, %u : tensor<?x8xf32>, tensor<?x8xf32>
  }
}

// -----

// Linears that round x differently, or read different values, are no siblings.
// CHECK-NOT: concat
// CHECK-COUNT-3: lathe.linear
module attributes {lathe.level = "structure", lathe.opset = 17 : i64, lathe.source = "m.onnx"} {
  lathe.weight @a {data = #lathe.blob<"w", 0, 256, "0000000000000001">} : !lathe.weight<8x8xf32, #lathe.dense<f32>>
  lathe.weight @b {data = #lathe.blob<"w", 256, 128, "0000000000000002">} : !lathe.weight<8x8xf32, #lathe.dense<bf16>>
  lathe.weight @c {data = #lathe.blob<"w", 384, 256, "0000000000000003">} : !lathe.weight<8x8xf32, #lathe.dense<f32>>
  func.func @plain(%x: tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "x"}, %z: tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "z"}) -> (tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "y"}) {
    %wa = lathe.use_weight @a : !lathe.weight<8x8xf32, #lathe.dense<f32>>
    %a = lathe.linear %x, %wa : (tensor<?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
    %wb = lathe.use_weight @b : !lathe.weight<8x8xf32, #lathe.dense<bf16>>
    %b = lathe.linear %x, %wb {acts = bf16} : (tensor<?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<bf16>>) -> tensor<?x8xf32>
    %wc = lathe.use_weight @c : !lathe.weight<8x8xf32, #lathe.dense<f32>>
    %c = lathe.linear %z, %wc : (tensor<?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
    %y = lathe.index_expr <"read(0, [i0, i1]) + read(1, [i0, i1]) + read(2, [i0, i1])">(%a, %b, %c) shape ["n", "8"] : (tensor<?x8xf32>, tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
    return %y : tensor<?x8xf32>
  }
}

// -----

// A weight that another entry reads alone would be there twice.
// CHECK: action = "kept", pass = "lathe-fuse-siblings", reason = "a weight is read elsewhere, too", site = #lathe.site<"a">
// CHECK-SAME: site = #lathe.site<"b">
// CHECK-NOT: concat
// CHECK-COUNT-3: lathe.linear
module attributes {lathe.level = "structure", lathe.opset = 17 : i64, lathe.source = "m.onnx"} {
  lathe.weight @a {data = #lathe.blob<"w", 0, 256, "0000000000000001">} : !lathe.weight<8x8xf32, #lathe.dense<f32>>
  lathe.weight @b {data = #lathe.blob<"w", 256, 256, "0000000000000002">} : !lathe.weight<8x8xf32, #lathe.dense<f32>>
  func.func @plain(%x: tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "x"}) -> (tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "y"}) {
    %wa = lathe.use_weight @a : !lathe.weight<8x8xf32, #lathe.dense<f32>>
    %a = lathe.linear %x, %wa {site = #lathe.site<"a">} : (tensor<?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
    %wb = lathe.use_weight @b : !lathe.weight<8x8xf32, #lathe.dense<f32>>
    %b = lathe.linear %x, %wb {site = #lathe.site<"b">} : (tensor<?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
    %y = lathe.index_expr <"read(0, [i0, i1]) + read(1, [i0, i1])">(%a, %b) shape ["n", "8"] : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
    return %y : tensor<?x8xf32>
  }
  func.func @other(%x: tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "x"}) -> (tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "y"}) {
    %wa = lathe.use_weight @a : !lathe.weight<8x8xf32, #lathe.dense<f32>>
    %a = lathe.linear %x, %wa {site = #lathe.site<"a">} : (tensor<?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
    return %a : tensor<?x8xf32>
  }
}

// -----

// Equal biases are one weight; it stays for the linear that is no sibling.
// CHECK-DAG: lathe.weight @zero {data
// CHECK-DAG: lathe.weight @blocks.0.attn.qk.bias {"0.data" = [[ZERO:#lathe.blob<"w", 512, 32, "0000000000000003">]], "1.data" = [[ZERO]]} : !lathe.weight<16xf32, #lathe.concat<0, [#lathe.dense<f32>, #lathe.dense<f32>], [8, 8]>>
// CHECK: %[[B:.*]] = lathe.use_weight @blocks.0.attn.qk.bias
// CHECK: lathe.linear %arg0, %{{.*}} bias(%[[B]]) {site = #lathe.site<"blocks.0.attn.qk">}
// CHECK: %[[Z:.*]] = lathe.use_weight @zero
// CHECK: lathe.linear %{{.*}}, %{{.*}} bias(%[[Z]])
module attributes {lathe.level = "structure", lathe.opset = 17 : i64, lathe.source = "m.onnx"} {
  lathe.weight @q {data = #lathe.blob<"w", 0, 256, "0000000000000001">} : !lathe.weight<8x8xf32, #lathe.dense<f32>>
  lathe.weight @k {data = #lathe.blob<"w", 256, 256, "0000000000000002">} : !lathe.weight<8x8xf32, #lathe.dense<f32>>
  lathe.weight @o {data = #lathe.blob<"w", 544, 256, "0000000000000004">} : !lathe.weight<8x8xf32, #lathe.dense<f32>>
  lathe.weight @zero {data = #lathe.blob<"w", 512, 32, "0000000000000003">} : !lathe.weight<8xf32, #lathe.dense<f32>>
  func.func @plain(%x: tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "x"}) -> (tensor<?x8xf32> {lathe.dims = ["n", "8"], lathe.name = "y"}) {
    %wq = lathe.use_weight @q : !lathe.weight<8x8xf32, #lathe.dense<f32>>
    %bq = lathe.use_weight @zero : !lathe.weight<8xf32, #lathe.dense<f32>>
    %q = lathe.linear %x, %wq bias(%bq) {site = #lathe.site<"blocks.0.attn.q">} : (tensor<?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>, !lathe.weight<8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
    %wk = lathe.use_weight @k : !lathe.weight<8x8xf32, #lathe.dense<f32>>
    %bk = lathe.use_weight @zero : !lathe.weight<8xf32, #lathe.dense<f32>>
    %k = lathe.linear %x, %wk bias(%bk) {site = #lathe.site<"blocks.0.attn.k">} : (tensor<?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>, !lathe.weight<8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
    %s = lathe.index_expr <"read(0, [i0, i1]) + read(1, [i0, i1])">(%q, %k) shape ["n", "8"] : (tensor<?x8xf32>, tensor<?x8xf32>) -> tensor<?x8xf32>
    %wo = lathe.use_weight @o : !lathe.weight<8x8xf32, #lathe.dense<f32>>
    %bo = lathe.use_weight @zero : !lathe.weight<8xf32, #lathe.dense<f32>>
    %o = lathe.linear %s, %wo bias(%bo) {site = #lathe.site<"blocks.0.attn.o">} : (tensor<?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>, !lathe.weight<8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
    return %o : tensor<?x8xf32>
  }
}
