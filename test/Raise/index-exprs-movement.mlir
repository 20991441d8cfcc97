// RUN: lathe-opt %s -lathe-print-index-exprs -o /dev/null | FileCheck %s

// Head split and merge, the repeat of grouped heads, and a packed projection
// are addresses; what cancels leaves nothing.

// CHECK-LABEL: function heads
// CHECK-NEXT: dims: batch, seq
// CHECK-NEXT: x: [batch, seq, 128] float
// CHECK-NEXT: split: [batch, seq, 4, 32] float = read(0, [i0, i1, 32*i2 + i3])
// CHECK-NEXT: heads: [batch, 4, seq, 32] float = read(0, [i0, i2, 32*i1 + i3])
// CHECK-NEXT: unsqueezed: [batch, 4, 1, seq, 32] float = read(0, [i0, i3, 32*i1 + i4])
// CHECK-NEXT: repeated: [batch, 4, 3, seq, 32] float = read(0, [i0, i3, 32*i1 + i4])
// CHECK-NEXT: grouped: [batch, 12, seq, 32] float = read(0, [i0, i2, i3 + 32*fdiv(i1, 3)])
// CHECK-NEXT: back: [batch, seq, 4, 32] float = read(0, [i0, i1, 32*i2 + i3])
// CHECK-NEXT: merged: [batch, seq, 128] float = read(0, [i0, i1, i2])
// CHECK-NEXT: half: [batch, seq, 64] float = read(0, [i0, i1, i2 + 64])
// CHECK-NEXT: scaled: [batch, seq, 64] float = 0.125*read(0, [i0, i1, i2 + 64])
// CHECK-NEXT: read(0) is x
func.func @heads(%x: tensor<?x?x128xf32> {lathe.name = "x", lathe.dims = ["batch", "seq", "128"]}) {
  %shape = arith.constant dense<[0, 0, 4, 32]> : tensor<4xi64>
  %s = lathe.onnx "Reshape"(%x, %shape) {opset = 17 : i64} : (tensor<?x?x128xf32>, tensor<4xi64>) -> tensor<?x?x?x?xf32> loc("split")
  %h = lathe.onnx "Transpose"(%s) {opset = 17 : i64, perm = array<i64: 0, 2, 1, 3>} : (tensor<?x?x?x?xf32>) -> tensor<?x?x?x?xf32> loc("heads")
  %two = arith.constant dense<2> : tensor<1xi64>
  %u = lathe.onnx "Unsqueeze"(%h, %two) {opset = 17 : i64} : (tensor<?x?x?x?xf32>, tensor<1xi64>) -> tensor<?x?x?x?x?xf32> loc("unsqueezed")
  %times = arith.constant dense<[1, 1, 3, 1, 1]> : tensor<5xi64>
  %r = lathe.onnx "Expand"(%u, %times) {opset = 17 : i64} : (tensor<?x?x?x?x?xf32>, tensor<5xi64>) -> tensor<?x?x?x?x?xf32> loc("repeated")
  %merge = arith.constant dense<[0, 12, -1, 32]> : tensor<4xi64>
  %g = lathe.onnx "Reshape"(%r, %merge) {opset = 17 : i64} : (tensor<?x?x?x?x?xf32>, tensor<4xi64>) -> tensor<?x?x?x?xf32> loc("grouped")
  %b = lathe.onnx "Transpose"(%h) {opset = 17 : i64, perm = array<i64: 0, 2, 1, 3>} : (tensor<?x?x?x?xf32>) -> tensor<?x?x?x?xf32> loc("back")
  %flat = arith.constant dense<[0, 0, -1]> : tensor<3xi64>
  %m = lathe.onnx "Reshape"(%b, %flat) {opset = 17 : i64} : (tensor<?x?x?x?xf32>, tensor<3xi64>) -> tensor<?x?x?xf32> loc("merged")
  %start = arith.constant dense<64> : tensor<1xi64>
  %end = arith.constant dense<9223372036854775807> : tensor<1xi64>
  %p = lathe.onnx "Slice"(%m, %start, %end, %two) {opset = 17 : i64} : (tensor<?x?x?xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<?x?x?xf32> loc("half")
  %eight = arith.constant dense<8.0> : tensor<f32>
  %q = lathe.onnx "Div"(%p, %eight) {opset = 17 : i64} : (tensor<?x?x?xf32>, tensor<f32>) -> tensor<?x?x?xf32> loc("scaled")
  return
}

// A gather in a flattened mask comes back as the mask.

// CHECK-LABEL: function flat
// CHECK: flattened: [batch*seq] integer = read(0, [fdiv(i0, seq), mod(i0, seq)])
// CHECK: offsets: [batch, 1] integer = seq*i0
// CHECK: gathered: [batch, seq] integer = read(0, [i0, i1])
func.func @flat(%m: tensor<?x?xi64> {lathe.name = "mask", lathe.dims = ["batch", "seq"]}) {
  %all = arith.constant dense<-1> : tensor<1xi64>
  %f = lathe.onnx "Reshape"(%m, %all) {opset = 17 : i64} : (tensor<?x?xi64>, tensor<1xi64>) -> tensor<?xi64> loc("flattened")
  %s = lathe.onnx "Shape"(%m) {opset = 17 : i64} : (tensor<?x?xi64>) -> tensor<2xi64>
  %zero = arith.constant dense<0> : tensor<i64>
  %one = arith.constant dense<1> : tensor<i64>
  %ax1 = arith.constant dense<1> : tensor<1xi64>
  %n = lathe.onnx "Gather"(%s, %zero) {opset = 17 : i64} : (tensor<2xi64>, tensor<i64>) -> tensor<i64>
  %t = lathe.onnx "Gather"(%s, %one) {opset = 17 : i64} : (tensor<2xi64>, tensor<i64>) -> tensor<i64>
  %rows = lathe.onnx "Range"(%zero, %n, %one) {opset = 17 : i64} : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %columns = lathe.onnx "Range"(%zero, %t, %one) {opset = 17 : i64} : (tensor<i64>, tensor<i64>, tensor<i64>) -> tensor<?xi64>
  %r = lathe.onnx "Unsqueeze"(%rows, %ax1) {opset = 17 : i64} : (tensor<?xi64>, tensor<1xi64>) -> tensor<?x1xi64>
  %o = lathe.onnx "Mul"(%r, %t) {opset = 17 : i64} : (tensor<?x1xi64>, tensor<i64>) -> tensor<?x1xi64> loc("offsets")
  %i = lathe.onnx "Add"(%o, %columns) {opset = 17 : i64} : (tensor<?x1xi64>, tensor<?xi64>) -> tensor<?x?xi64>
  %g = lathe.onnx "Gather"(%f, %i) {opset = 17 : i64} : (tensor<?xi64>, tensor<?x?xi64>) -> tensor<?x?xi64> loc("gathered")
  return
}

// Roll by two and partition into windows of four: one read.

// CHECK-LABEL: function windows
// CHECK: rolled: [batch, 16, 8] float = read(0, [i0, mod(i1 + 2, 16), i2])
// CHECK: partition: [4*batch, 4, 8] float = read(0, [fdiv(i0, 4), mod(4*i0 + i1 + 2, 16), i2])
func.func @windows(%x: tensor<?x16x8xf32> {lathe.name = "x", lathe.dims = ["batch", "16", "8"]}) {
  %zero = arith.constant dense<0> : tensor<1xi64>
  %one = arith.constant dense<1> : tensor<1xi64>
  %two = arith.constant dense<2> : tensor<1xi64>
  %end = arith.constant dense<9223372036854775807> : tensor<1xi64>
  %a = lathe.onnx "Slice"(%x, %two, %end, %one) {opset = 17 : i64} : (tensor<?x16x8xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<?x?x8xf32>
  %b = lathe.onnx "Slice"(%x, %zero, %two, %one) {opset = 17 : i64} : (tensor<?x16x8xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<?x?x8xf32>
  %r = lathe.onnx "Concat"(%a, %b) {axis = 1 : i64, opset = 17 : i64} : (tensor<?x?x8xf32>, tensor<?x?x8xf32>) -> tensor<?x?x8xf32> loc("rolled")
  %shape = arith.constant dense<[-1, 4, 8]> : tensor<3xi64>
  %p = lathe.onnx "Reshape"(%r, %shape) {opset = 17 : i64} : (tensor<?x?x8xf32>, tensor<3xi64>) -> tensor<?x4x8xf32> loc("partition")
  return
}

// The rarer movements.

// CHECK-LABEL: function others
// CHECK: tiled: [batch, 6, 4] float = read(0, [i0, mod(i1, 2), i2])
// CHECK: padded: [batch, 5, 4] float = sel((i1 <= 2 and i1 >= 1), read(0, [i0, i1 - 1, i2]), 0.5)
// CHECK: reversed: [batch, 2, 4] float = read(0, [i0, 1 - i1, i2])
// CHECK: part 0: [batch, 2, 1] float = read(0, [i0, i1, 0])
// CHECK: part 0: [batch, 2, 3] float = read(0, [i0, i1, i2 + 1])
// CHECK: deep: [batch, 1, 2, 4] float = read(1, [i0, 2*i2 + mod(i3, 2), 0, fdiv(i3, 2)])
// CHECK: shallow: [batch, 4, 1, 2] float = read(1, [i0, i1, 0, i3])
// CHECK: lower: [batch, 2, 4] boolean = i2 <= i1
func.func @others(%x: tensor<?x2x4xf32> {lathe.name = "x", lathe.dims = ["batch", "2", "4"]},
                  %d: tensor<?x4x1x2xf32> {lathe.name = "d", lathe.dims = ["batch", "4", "1", "2"]}) {
  %repeats = arith.constant dense<[1, 3, 1]> : tensor<3xi64>
  %t = lathe.onnx "Tile"(%x, %repeats) {opset = 17 : i64} : (tensor<?x2x4xf32>, tensor<3xi64>) -> tensor<?x6x4xf32> loc("tiled")
  %pads = arith.constant dense<[0, 1, 0, 0, 2, 0]> : tensor<6xi64>
  %fill = arith.constant dense<0.5> : tensor<f32>
  %p = lathe.onnx "Pad"(%x, %pads, %fill) {opset = 17 : i64} : (tensor<?x2x4xf32>, tensor<6xi64>, tensor<f32>) -> tensor<?x5x4xf32> loc("padded")
  %m1 = arith.constant dense<-1> : tensor<1xi64>
  %begin = arith.constant dense<-9223372036854775807> : tensor<1xi64>
  %one = arith.constant dense<1> : tensor<1xi64>
  %r = lathe.onnx "Slice"(%x, %m1, %begin, %one, %m1) {opset = 17 : i64} : (tensor<?x2x4xf32>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>, tensor<1xi64>) -> tensor<?x2x4xf32> loc("reversed")
  %sizes = arith.constant dense<[1, 3]> : tensor<2xi64>
  %s:2 = lathe.onnx "Split"(%x, %sizes) {axis = 2 : i64, opset = 17 : i64} : (tensor<?x2x4xf32>, tensor<2xi64>) -> (tensor<?x2x1xf32>, tensor<?x2x3xf32>) loc("part 0")
  %ds = lathe.onnx "DepthToSpace"(%d) {blocksize = 2 : i64, opset = 17 : i64} : (tensor<?x4x1x2xf32>) -> tensor<?x1x2x4xf32> loc("deep")
  %sd = lathe.onnx "SpaceToDepth"(%ds) {blocksize = 2 : i64, opset = 17 : i64} : (tensor<?x1x2x4xf32>) -> tensor<?x4x1x2xf32> loc("shallow")
  %i = arith.constant dense<true> : tensor<1x2x4xi1>
  %shape = lathe.onnx "Shape"(%x) {opset = 17 : i64} : (tensor<?x2x4xf32>) -> tensor<3xi64>
  %b = lathe.onnx "Expand"(%i, %shape) {opset = 17 : i64} : (tensor<1x2x4xi1>, tensor<3xi64>) -> tensor<?x2x4xi1>
  %l = lathe.onnx "Trilu"(%b) {opset = 17 : i64, upper = 0 : i64} : (tensor<?x2x4xi1>) -> tensor<?x2x4xi1> loc("lower")
  return
}
