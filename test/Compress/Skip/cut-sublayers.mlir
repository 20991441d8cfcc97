// RUN: lathe-opt %s --lathe-cut-sublayers=sites=blocks.0.attn | FileCheck %s --check-prefix=ATTN
// RUN: lathe-opt %s --lathe-cut-sublayers=sites=blocks.1.ffn | FileCheck %s --check-prefix=POST
// RUN: lathe-opt %s --lathe-cut-sublayers=sites=blocks.0.attn,blocks.0.ffn | FileCheck %s --check-prefix=BLOCK

// An attention takes its cache along, in all entries.

// ATTN: module attributes {
// ATTN-SAME: lathe.passes = ["lathe-cut-sublayers{sites=blocks.0.attn}"]
// ATTN-SAME: lathe.removed = [#lathe.site<"blocks.0.attn">]
// ATTN-SAME: lathe.report = [{action = "removed", pass = "lathe-cut-sublayers", site = #lathe.site<"blocks.0.attn">, step = 1 : i64}]
// ATTN-SAME: lathe.source_hash = "{{[0-9a-f]+}}"
// ATTN-NOT: lathe.weight @blocks.0.attn.o
// ATTN: func @plain(%[[X:.*]]: tensor<?x?x8xf32> {{{[^}]*}}lathe.name = "x"}) -> (tensor<?x?x8xf32>
// ATTN-SAME: lathe.name = "y"}) {
// ATTN: lathe.block <"blocks.0"> {
// ATTN-NEXT: lathe.sublayer ffn <"blocks.0.ffn"> residual(%[[X]])
// ATTN: func @decode(%[[X:.*]]: tensor<?x?x8xf32> {{{[^}]*}}lathe.name = "x"}) -> (tensor<?x?x8xf32>
// ATTN-NOT: lathe.kv_append

// The norm of a post-norm sub-layer stays.

// POST: func @plain
// POST: %[[S:.*]]:{{.*}} = lathe.block <"blocks.0">
// POST: lathe.block <"blocks.1"> {
// POST-NEXT: %[[N:.*]] = lathe.norm layer %[[S]]#{{[0-9]}} {
// POST-NEXT: lathe.yield %[[N]]

// An empty block goes.

// BLOCK: func @plain(%[[X:.*]]: tensor<?x?x8xf32>
// BLOCK-NEXT: lathe.block <"blocks.1"> {
// BLOCK-NEXT: lathe.sublayer ffn <"blocks.1.ffn"> residual(%[[X]])

module {
  lathe.weight @blocks.0.attn.o {data = #lathe.blob<"w.bin", 0, 256, "0000000000000001">} : !lathe.weight<8x8xf32, #lathe.dense<f32>>
  lathe.weight @blocks.0.ffn.up {data = #lathe.blob<"w.bin", 256, 256, "0000000000000002">} : !lathe.weight<8x8xf32, #lathe.dense<f32>>
  func.func @plain(%x: tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "x"},
                   %pk: tensor<?x2x?x4xf32> {lathe.dims = ["batch", "2", "past", "4"], lathe.name = "past.k"})
      -> (tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "y"},
          tensor<?x2x?x4xf32> {lathe.dims = ["batch", "2", "past + seq", "4"], lathe.name = "present.k"}) {
    %b:2 = lathe.block <"blocks.0"> {
      %r, %e = lathe.sublayer attn <"blocks.0.attn"> residual(%x) source(%x) args(%pk) {
      ^bb0(%s: tensor<?x?x8xf32>, %past: tensor<?x2x?x4xf32>):
        %k = lathe.index_expr <"sel(i2 <= past - 1, read(0, [i0, i1, i2, i3]), read(1, [i0, i2 - past, 4*i1 + i3]))"> (%past, %s) shape ["batch", "2", "past + seq", "4"] : (tensor<?x2x?x4xf32>, tensor<?x?x8xf32>) -> tensor<?x2x?x4xf32>
        %a = lathe.attention q(%s <"[i0, i2, 4*i1 + i3]">) k(%k <"[i0, i1, i2, i3]">) v(%k <"[i0, i1, i2, i3]">) keys "past + seq" heads 2 over 2 dims 4, 4 scale 0.5 : (tensor<?x?x8xf32>, tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>) -> tensor<?x?x8xf32>
        %w = lathe.use_weight @blocks.0.attn.o : !lathe.weight<8x8xf32, #lathe.dense<f32>>
        %o = lathe.linear %a, %w : (tensor<?x?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>) -> tensor<?x?x8xf32>
        lathe.yield %o, %k : tensor<?x?x8xf32>, tensor<?x2x?x4xf32>
      } : (tensor<?x?x8xf32>, tensor<?x?x8xf32>, tensor<?x2x?x4xf32>) -> (tensor<?x?x8xf32>, tensor<?x2x?x4xf32>)
      %f = lathe.sublayer ffn <"blocks.0.ffn"> residual(%r) source(%r) {
      ^bb0(%s: tensor<?x?x8xf32>):
        %w = lathe.use_weight @blocks.0.ffn.up : !lathe.weight<8x8xf32, #lathe.dense<f32>>
        %u = lathe.linear %s, %w : (tensor<?x?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>) -> tensor<?x?x8xf32>
        lathe.yield %u : tensor<?x?x8xf32>
      } : (tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
      lathe.yield %e, %f : tensor<?x2x?x4xf32>, tensor<?x?x8xf32>
    } : tensor<?x2x?x4xf32>, tensor<?x?x8xf32>
    %y = lathe.block <"blocks.1"> {
      %f = lathe.sublayer ffn <"blocks.1.ffn"> residual(%b#1) source(%b#1) {
      ^bb0(%s: tensor<?x?x8xf32>):
        %w = lathe.use_weight @blocks.0.ffn.up : !lathe.weight<8x8xf32, #lathe.dense<f32>>
        %u = lathe.linear %s, %w : (tensor<?x?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>) -> tensor<?x?x8xf32>
        lathe.yield %u : tensor<?x?x8xf32>
      } post {
      ^bb0(%s: tensor<?x?x8xf32>):
        %n = lathe.norm layer %s {epsilon = 1.0e-6 : f32} : (tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
        lathe.yield %n : tensor<?x?x8xf32>
      } : (tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32>
      lathe.yield %f : tensor<?x?x8xf32>
    } : tensor<?x?x8xf32>
    return %y, %b#0 : tensor<?x?x8xf32>, tensor<?x2x?x4xf32>
  }
  func.func @decode(%x: tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "x"},
                    %kv: !lathe.kv<2, 4, 4, f32> {lathe.kv_slot = 0 : i64})
      -> (tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "y"}, !lathe.kv<2, 4, 4, f32>)
      attributes {lathe.past_dim = "past"} {
    %r, %e = lathe.sublayer attn <"blocks.0.attn"> residual(%x) source(%x) args(%kv) {
    ^bb0(%s: tensor<?x?x8xf32>, %h: !lathe.kv<2, 4, 4, f32>):
      %t = lathe.kv_append %h, k(%s <"[i0, i2, 4*i1 + i3]">) v(%s <"[i0, i2, 4*i1 + i3]">) : (!lathe.kv<2, 4, 4, f32>, tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> !lathe.kv<2, 4, 4, f32>
      %a = lathe.attention q(%s <"[i0, i2, 4*i1 + i3]">) cache(%t) keys "past + seq" heads 2 over 2 dims 4, 4 scale 0.5 : (tensor<?x?x8xf32>, !lathe.kv<2, 4, 4, f32>) -> tensor<?x?x8xf32>
      %w = lathe.use_weight @blocks.0.attn.o : !lathe.weight<8x8xf32, #lathe.dense<f32>>
      %o = lathe.linear %a, %w : (tensor<?x?x8xf32>, !lathe.weight<8x8xf32, #lathe.dense<f32>>) -> tensor<?x?x8xf32>
      lathe.yield %o, %t : tensor<?x?x8xf32>, !lathe.kv<2, 4, 4, f32>
    } : (tensor<?x?x8xf32>, tensor<?x?x8xf32>, !lathe.kv<2, 4, 4, f32>) -> (tensor<?x?x8xf32>, !lathe.kv<2, 4, 4, f32>)
    return %r, %e : tensor<?x?x8xf32>, !lathe.kv<2, 4, 4, f32>
  }
}
