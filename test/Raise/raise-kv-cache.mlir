// RUN: lathe-opt %s --lathe-raise-kv-cache --split-input-file | FileCheck %s

// `plain` stays; the two others have a cache for each pair of past and present.
// They compute as many of the last rows of logits as the caller wants.

lathe.weight @head {data = #lathe.blob<"w.bin", 0, 96, "0000000000000001">} : !lathe.weight<8x3xf32, #lathe.dense<f32>>

// CHECK-LABEL: func @plain
// CHECK: lathe.attention {{.*}} k(%

// CHECK-LABEL: func @prefill
// CHECK-SAME: (%arg0: tensor<?x?x8xf32> {{{.*}}lathe.name = "x"}, %arg1: !lathe.kv<2, 4, 4, f32> {lathe.kv_slot = 0 : i64, lathe.past = ["past.k", "past.v"], lathe.present = ["present.k", "present.v"]})
// CHECK-SAME: -> (tensor<?x?x3xf32> {lathe.dims = ["batch", "logits_rows", "3"], lathe.name = "logits"}, !lathe.kv<2, 4, 4, f32> {{{.*}}})
// CHECK-SAME: lathe.logits_dim = "logits_rows"
// CHECK: %[[H:.*]] = lathe.kv_append %arg1, k(%arg0 <"[i0, i2, 4*i1 + i3]">) v(%arg0 <"[i0, i2, 4*i1 + i3]">)
// CHECK: %[[A:.*]] = lathe.attention q(%arg0 <"[i0, i2, 4*i1 + i3]">) cache(%[[H]]) {{.*}}heads 2 over 2 dims 4, 4 scale 5.000000e-01 mask <"i3 <= i2 + past">
// CHECK: %[[L:.*]] = lathe.index_expr <"read(0, [i0, i1 - logits_rows + seq, i2])">(%[[A]]) shape ["batch", "logits_rows", "8"]
// CHECK: %[[Y:.*]] = lathe.linear %[[L]], {{.*}} -> tensor<?x?x3xf32>
// CHECK: return %[[Y]], %[[H]]

// CHECK-LABEL: func @decode
// CHECK-SAME: attributes {lathe.dim_values = {seq = 1 : i64}, lathe.logits_dim = "logits_rows", lathe.past_dim = "past"}
// CHECK: %[[H:.*]] = lathe.kv_append
// CHECK: %[[A:.*]] = lathe.attention
// CHECK: %[[L:.*]] = lathe.index_expr <"read(0, [i0, i1 - logits_rows + seq, i2])">(%[[A]])
// CHECK: %[[Y:.*]] = lathe.linear %[[L]], {{.*}} -> tensor<?x?x3xf32>
// CHECK: return %[[Y]], %[[H]]
func.func @plain(%x: tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "x"},
                 %pk: tensor<?x2x?x4xf32> {lathe.dims = ["batch", "2", "past", "4"], lathe.name = "past.k"},
                 %pv: tensor<?x2x?x4xf32> {lathe.dims = ["batch", "2", "past", "4"], lathe.name = "past.v"})
    -> (tensor<?x?x3xf32> {lathe.dims = ["batch", "seq", "3"], lathe.name = "logits"},
        tensor<?x2x?x4xf32> {lathe.dims = ["batch", "2", "past + seq", "4"], lathe.name = "present.k"},
        tensor<?x2x?x4xf32> {lathe.dims = ["batch", "2", "past + seq", "4"], lathe.name = "present.v"}) {
  %k = lathe.index_expr <"sel(past >= i2 + 1, read(0, [i0, i1, i2, i3]), read(1, [i0, i2 - past, 4*i1 + i3]))"> (%pk, %x) shape ["batch", "2", "past + seq", "4"] : (tensor<?x2x?x4xf32>, tensor<?x?x8xf32>) -> tensor<?x2x?x4xf32>
  %v = lathe.index_expr <"sel(past >= i2 + 1, read(0, [i0, i1, i2, i3]), read(1, [i0, i2 - past, 4*i1 + i3]))"> (%pv, %x) shape ["batch", "2", "past + seq", "4"] : (tensor<?x2x?x4xf32>, tensor<?x?x8xf32>) -> tensor<?x2x?x4xf32>
  %a = lathe.attention q(%x <"[i0, i2, 4*i1 + i3]">) k(%k <"[i0, i1, i2, i3]">) v(%v <"[i0, i1, i2, i3]">) keys "past + seq" heads 2 over 2 dims 4, 4 scale 0.5 mask <"i3 <= i2 + past"> : (tensor<?x?x8xf32>, tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>) -> tensor<?x?x8xf32>
  %w = lathe.use_weight @head : !lathe.weight<8x3xf32, #lathe.dense<f32>>
  %y = lathe.linear %a, %w : (tensor<?x?x8xf32>, !lathe.weight<8x3xf32, #lathe.dense<f32>>) -> tensor<?x?x3xf32>
  return %y, %k, %v : tensor<?x?x3xf32>, tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>
}

// -----

// No cache: the rows are no result; keys alone are appended.

// CHECK-LABEL: func @plain
// CHECK-NOT: @prefill
func.func @plain(%x: tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "x"},
                 %pk: tensor<?x2x?x4xf32> {lathe.dims = ["batch", "2", "past", "4"], lathe.name = "past.k"},
                 %pv: tensor<?x2x?x4xf32> {lathe.dims = ["batch", "2", "past", "4"], lathe.name = "past.v"})
    -> (tensor<?x?x8xf32> {lathe.dims = ["batch", "seq", "8"], lathe.name = "y"},
        tensor<?x2x?x4xf32> {lathe.dims = ["batch", "2", "past + seq", "4"], lathe.name = "present.k"}) {
  %k = lathe.index_expr <"sel(past >= i2 + 1, read(0, [i0, i1, i2, i3]), read(1, [i0, i2 - past, 4*i1 + i3]))"> (%pk, %x) shape ["batch", "2", "past + seq", "4"] : (tensor<?x2x?x4xf32>, tensor<?x?x8xf32>) -> tensor<?x2x?x4xf32>
  %v = lathe.index_expr <"sel(past >= i2 + 1, read(0, [i0, i1, i2, i3]), read(1, [i0, i2 - past, 4*i1 + i3]))"> (%pv, %x) shape ["batch", "2", "past + seq", "4"] : (tensor<?x2x?x4xf32>, tensor<?x?x8xf32>) -> tensor<?x2x?x4xf32>
  %a = lathe.attention q(%x <"[i0, i2, 4*i1 + i3]">) k(%k <"[i0, i1, i2, i3]">) v(%v <"[i0, i1, i2, i3]">) keys "past + seq" heads 2 over 2 dims 4, 4 scale 0.5 : (tensor<?x?x8xf32>, tensor<?x2x?x4xf32>, tensor<?x2x?x4xf32>) -> tensor<?x?x8xf32>
  return %a, %k : tensor<?x?x8xf32>, tensor<?x2x?x4xf32>
}
