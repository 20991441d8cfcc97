// RUN: lathe-opt %s -lathe-print-index-exprs -o /dev/null | FileCheck %s

// A declared result that has an argument's name is evidence: the mask is as
// long as past and new rows together.

// CHECK-LABEL: function cache
// CHECK-NEXT: dims: batch, seq, past
// CHECK-NEXT: total := past + seq (forced by the declared dims of the results)
// CHECK-NEXT: ids: [batch, seq] integer
// CHECK-NEXT: mask: [batch, past + seq] integer
// CHECK-NEXT: past_key: [batch, 3, past, 32] float
// CHECK-NEXT: key: [batch, 3, seq, 32] float
// CHECK-NEXT: present: [batch, 3, past + seq, 32] float = sel(i2 <= past - 1, read(0, [i0, i1, i2, i3]), read(1, [i0, i1, i2 - past, i3]))
// CHECK-NEXT: read(0) is past_key
// CHECK-NEXT: read(1) is key
func.func @cache(%ids: tensor<?x?xi64> {lathe.name = "ids", lathe.dims = ["batch", "seq"]},
                 %mask: tensor<?x?xi64> {lathe.name = "mask", lathe.dims = ["batch", "total"]},
                 %p: tensor<?x3x?x32xf32> {lathe.name = "past_key", lathe.dims = ["batch", "3", "past", "32"]},
                 %k: tensor<?x3x?x32xf32> {lathe.name = "key", lathe.dims = ["batch", "3", "seq", "32"]})
    -> (tensor<?x3x?x32xf32> {lathe.name = "present", lathe.dims = ["batch", "3", "total", "32"]}) {
  %r = lathe.onnx "Concat"(%p, %k) {axis = 2 : i64, opset = 17 : i64} : (tensor<?x3x?x32xf32>, tensor<?x3x?x32xf32>) -> tensor<?x3x?x32xf32> loc("present")
  return %r : tensor<?x3x?x32xf32>
}

// An addition equates; the later name goes. A name that the graph pins becomes
// its number.

// CHECK-LABEL: function equated
// CHECK-NEXT: dims: s1, s2
// CHECK-DAG: s3 := s1 (forced by node 'sum' (Add))
// CHECK-DAG: s4 := s2 (forced by node 'sum' (Add))
// CHECK-DAG: s5 := 4 (forced by node 'pinned' (Add))
// CHECK: sum: [s1, s2] float
// CHECK: pinned: [4] float
func.func @equated(%a: tensor<?x?xf32> {lathe.name = "a", lathe.dims = ["s1", "s2"]},
                   %b: tensor<?x?xf32> {lathe.name = "b", lathe.dims = ["s3", "s4"]},
                   %c: tensor<?xf32> {lathe.name = "c", lathe.dims = ["s5"]},
                   %d: tensor<4xf32> {lathe.name = "d", lathe.dims = ["4"]}) {
  %0 = lathe.onnx "Add"(%a, %b) {opset = 17 : i64} : (tensor<?x?xf32>, tensor<?x?xf32>) -> tensor<?x?xf32> loc("sum")
  %1 = lathe.onnx "Add"(%c, %d) {opset = 17 : i64} : (tensor<?xf32>, tensor<4xf32>) -> tensor<?xf32> loc("pinned")
  return
}

// A mask that is gathered for every row and key of ids has their dims, though
// nothing forces it.

// CHECK-LABEL: function covering
// CHECK-NEXT: dims: s10, s12
// CHECK-NEXT: s86 := s10 (assumed: every element of dim 0 of mask is read)
// CHECK-NEXT: s21 := s12 (assumed: every element of dim 1 of mask is read)
// CHECK: picked: [s10, s12] boolean = read(0, [i0, i1]) != 0
func.func @covering(%ids: tensor<?x?xi64> {lathe.name = "ids", lathe.dims = ["s10", "s12"]},
                    %mask: tensor<?x?xi1> {lathe.name = "mask", lathe.dims = ["s86", "s21"]}) {
  %zero = arith.constant dense<0> : tensor<i64>
  %one = arith.constant dense<1> : tensor<i64>
  %ax1 = arith.constant dense<1> : tensor<1xi64>
  %m1 = arith.constant dense<-1> : tensor<1xi64>
  %s = lathe.onnx "Shape"(%ids) {opset = 18 : i64} : (tensor<?x?xi64>) -> tensor<2xi64>
  %n = lathe.onnx "Gather"(%s, %zero) {opset = 18 : i64} : (tensor<2xi64>, tensor<i64>) -> tensor<i64>
  %t = lathe.onnx "Gather"(%s, %one) {opset = 18 : i64} : (tensor<2xi64>, tensor<i64>) -> tensor<i64>
  %rows = lathe.onnx "Range"(%zero, %n, %one) {opset = 18 : i64} : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %columns = lathe.onnx "Range"(%zero, %t, %one) {opset = 18 : i64} : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %r = lathe.onnx "Unsqueeze"(%rows, %ax1) {opset = 18 : i64} : (tensor<?xi64>, tensor<1xi64>) -> tensor<?x1xi64>
  %re = lathe.onnx "Expand"(%r, %s) {opset = 18 : i64} : (tensor<?x1xi64>, tensor<2xi64>) -> tensor<?x?xi64>
  %ce = lathe.onnx "Expand"(%columns, %s) {opset = 18 : i64} : (tensor<?xi64>, tensor<2xi64>) -> tensor<?x?xi64>
  %ru = lathe.onnx "Unsqueeze"(%re, %m1) {opset = 18 : i64} : (tensor<?x?xi64>, tensor<1xi64>) -> tensor<?x?x1xi64>
  %cu = lathe.onnx "Unsqueeze"(%ce, %m1) {opset = 18 : i64} : (tensor<?x?xi64>, tensor<1xi64>) -> tensor<?x?x1xi64>
  %i = lathe.onnx "Concat"(%ru, %cu) {axis = -1 : i64, opset = 18 : i64} : (tensor<?x?x1xi64>, tensor<?x?x1xi64>) -> tensor<?x?x2xi64>
  %g = lathe.onnx "GatherND"(%mask, %i) {opset = 18 : i64} : (tensor<?x?xi1>, tensor<?x?x2xi64>) -> tensor<?x?xi1> loc("picked")
  return
}

// A position table bounds the length; a factor must divide; what is read from
// data is no dim.

// CHECK-LABEL: function conditions
// CHECK-NEXT: dims: batch, seq
// CHECK-NEXT: check: seq <= 512
// CHECK-NEXT: check: 4 divides batch*seq
// CHECK: table: [seq, 8] float = read(0, [i0, i1])
// CHECK: quarter: [fdiv(batch*seq, 4), 4] integer
// CHECK: hits: [2, '?{{[0-9]+}}.1'] integer
// CHECK: by data: ['?{{[0-9]+}}.0', '?{{[0-9]+}}.1'] integer
func.func @conditions(%ids: tensor<?x?xi64> {lathe.name = "ids", lathe.dims = ["batch", "seq"]},
                      %shape: tensor<2xi64> {lathe.name = "shape", lathe.dims = ["2"]},
                      %table: tensor<512x8xf32> {lathe.name = "positions", lathe.dims = ["512", "8"]}) {
  %zero = arith.constant dense<0> : tensor<i64>
  %one = arith.constant dense<1> : tensor<i64>
  %s = lathe.onnx "Shape"(%ids) {opset = 17 : i64} : (tensor<?x?xi64>) -> tensor<2xi64>
  %t = lathe.onnx "Gather"(%s, %one) {opset = 17 : i64} : (tensor<2xi64>, tensor<i64>) -> tensor<i64>
  %p = lathe.onnx "Range"(%zero, %t, %one) {opset = 17 : i64} : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %g = lathe.onnx "Gather"(%table, %p) {opset = 17 : i64} : (tensor<512x8xf32>, tensor<?xi64>) -> tensor<?x8xf32> loc("table")
  %four = arith.constant dense<[-1, 4]> : tensor<2xi64>
  %q = lathe.onnx "Reshape"(%ids, %four) {opset = 17 : i64} : (tensor<?x?xi64>, tensor<2xi64>) -> tensor<?x4xi64> loc("quarter")
  %n = lathe.onnx "NonZero"(%ids) {opset = 17 : i64} : (tensor<?x?xi64>) -> tensor<2x?xi64> loc("hits")
  %d = lathe.onnx "Reshape"(%ids, %shape) {opset = 17 : i64} : (tensor<?x?xi64>, tensor<2xi64>) -> tensor<?x?xi64> loc("by data")
  return
}

// Slices end at the dim; only the first and the last element are asked for.

// CHECK-LABEL: function slices
// CHECK-NEXT: dims: n
// CHECK-NEXT: check: 1 <= n
// CHECK-NOT: check:
// CHECK: front: [min(9, n)] float = read(0, [i0])
// CHECK: back: [n - max(0, n - 9)] float
// CHECK: all: [n] float = read(0, [i0])
// CHECK: last: [1] float = read(0, [n - 1])
// CHECK: none: [0] float
func.func @slices(%x: tensor<?xf32> {lathe.name = "x", lathe.dims = ["n"]}) {
  %zero = arith.constant dense<0> : tensor<1xi64>
  %nine = arith.constant dense<9> : tensor<1xi64>
  %m9 = arith.constant dense<-9> : tensor<1xi64>
  %m1 = arith.constant dense<-1> : tensor<1xi64>
  %most = arith.constant dense<2147483647> : tensor<1xi64>
  %a = lathe.onnx "Slice"(%x, %zero, %nine) {opset = 17 : i64} : (tensor<?xf32>, tensor<1xi64>, tensor<1xi64>) -> tensor<?xf32> loc("front")
  %b = lathe.onnx "Slice"(%x, %m9, %most) {opset = 17 : i64} : (tensor<?xf32>, tensor<1xi64>, tensor<1xi64>) -> tensor<?xf32> loc("back")
  %c = lathe.onnx "Slice"(%x, %zero, %most) {opset = 17 : i64} : (tensor<?xf32>, tensor<1xi64>, tensor<1xi64>) -> tensor<?xf32> loc("all")
  %d = lathe.onnx "Slice"(%x, %m1, %most) {opset = 17 : i64} : (tensor<?xf32>, tensor<1xi64>, tensor<1xi64>) -> tensor<?xf32> loc("last")
  %e = lathe.onnx "Slice"(%x, %most, %nine) {opset = 17 : i64} : (tensor<?xf32>, tensor<1xi64>, tensor<1xi64>) -> tensor<?xf32> loc("none")
  return
}

// Dims of structure operations and of closed forms.

// CHECK-LABEL: function typed
// CHECK-NEXT: dims: batch, seq
// CHECK: emb: [batch, seq, 8] float
// CHECK: up: [batch, seq, 16] float
// CHECK: act: [batch, seq, 16] float
// CHECK: moved: [batch, 4, seq, 4] float = read(0, [i0, i2, 4*i1 + i3])
// CHECK: composed: [batch, seq, 16] float = read(0, [i0, i1, i2])
// CHECK: later: [seq, seq] boolean = i1 >= i0 + 1
lathe.weight @table {data = #lathe.blob<"none", 0, 320, "0000000000000000">} : !lathe.weight<10x8xf32, #lathe.dense<f32>>
lathe.weight @w {data = #lathe.blob<"none", 0, 512, "0000000000000000">} : !lathe.weight<8x16xf32, #lathe.dense<f32>>
func.func @typed(%ids: tensor<?x?xi64> {lathe.name = "ids", lathe.dims = ["batch", "seq"]}) {
  %t = lathe.use_weight @table : !lathe.weight<10x8xf32, #lathe.dense<f32>>
  %w = lathe.use_weight @w : !lathe.weight<8x16xf32, #lathe.dense<f32>>
  %e = lathe.embedding %ids, %t : (tensor<?x?xi64>, !lathe.weight<10x8xf32, #lathe.dense<f32>>) -> tensor<?x?x8xf32> loc("emb")
  %u = lathe.linear %e, %w : (tensor<?x?x8xf32>, !lathe.weight<8x16xf32, #lathe.dense<f32>>) -> tensor<?x?x16xf32> loc("up")
  %a = lathe.activation silu %u : tensor<?x?x16xf32> loc("act")
  %m = lathe.index_expr <"read(0, [i0, i2, 4*i1 + i3])"> (%a) shape ["batch", "4", "seq", "4"] : (tensor<?x?x16xf32>) -> tensor<?x4x?x4xf32> loc("moved")
  %c = lathe.index_expr <"read(0, [i0, fdiv(i2, 4), i1, mod(i2, 4)])"> (%m) shape ["batch", "seq", "16"] : (tensor<?x4x?x4xf32>) -> tensor<?x?x16xf32> loc("composed")
  %l = lathe.index_expr <"i1 > i0"> () shape ["seq", "seq"] : () -> tensor<?x?xi1> loc("later")
  return
}
