// RUN: lathe-opt %s -lathe-print-index-exprs -o /dev/null | FileCheck %s

// Shapes of operations without a closed form.

// CHECK-LABEL: function shapes
// CHECK-NOT: no rule

// CHECK: 0.Conv: [batch, 8, 8, 8] float{{$}}
// CHECK: 1.ConvTranspose: [batch, 8, 32, 32] float{{$}}
// CHECK: 2.MaxPool: [batch, 3, 8, 8] float{{$}}
// CHECK: 3.GlobalAveragePool: [batch, 3, 1, 1] float{{$}}
// CHECK: 4.ReduceMean: [batch, seq] float{{$}}
// CHECK: 5.ReduceL2: [1, 1, 1] float{{$}}
// CHECK: 6.ArgMax: [batch, 1, 64] integer{{$}}
// CHECK: 7.TopK: [batch, seq, 5] float{{$}}
// CHECK: 7.TopK: [batch, seq, 5] integer{{$}}
// CHECK: 8.Einsum: [batch, 4, seq, seq] float{{$}}
// CHECK: 9.Attention: [batch, 4, seq, 16] float{{$}}
// CHECK: 9.Attention: [batch, 4, seq, 16] float = read({{.*}}, [i0, i1, i2, i3])
// CHECK: 9.Attention: [batch, 4, seq, 16] float = read({{.*}}, [i0, i1, i2, i3])
// CHECK: 10.Attention: [batch, seq, 128] float{{$}}
// CHECK: 11.LayerNormalization: [batch, seq, 64] float{{$}}
// CHECK: 11.LayerNormalization: [batch, seq, 1] float{{$}}
// CHECK: 11.LayerNormalization: [batch, seq, 1] float{{$}}
// CHECK: 12.DynamicQuantizeLinear: [batch, seq, 64] integer{{$}}
// CHECK: 12.DynamicQuantizeLinear: [] float{{$}}
// CHECK: 12.DynamicQuantizeLinear: [] integer{{$}}
// CHECK: 13.DequantizeLinear: [batch, 64] float{{$}}
// CHECK: 14.SkipLayerNormalization: [batch, seq, 64] float{{$}}
// CHECK: 14.SkipLayerNormalization: [batch, seq, 1] float{{$}}
// CHECK: 14.SkipLayerNormalization: [batch, seq, 1] float{{$}}
// CHECK: 14.SkipLayerNormalization: [batch, seq, 64] float{{$}}
// CHECK: 15.BiasGelu: [batch, seq, 64] float{{$}}
// CHECK: 16.FusedMatMul: [batch, seq, seq] float{{$}}
// CHECK: 17.MatMulNBits: [batch, seq, 64] float{{$}}
// CHECK: 18.MultiHeadAttention: [batch, seq, 64] float{{$}}
// CHECK: 18.MultiHeadAttention: [batch, 4, seq, 16] float{{$}}
// CHECK: 18.MultiHeadAttention: [batch, 4, seq, 16] float{{$}}
// CHECK: 19.GroupQueryAttention: [batch, seq, 32] float{{$}}
// CHECK: 19.GroupQueryAttention: [batch, 1, seq, 16] float{{$}}
// CHECK: 20.Attention: [batch, seq, 64] float{{$}}
// CHECK: 20.Attention: [2, batch, 4, seq, 16] float{{$}}
func.func @shapes(%x: tensor<?x?x64xf32> {lathe.name = "x", lathe.dims = ["batch", "seq", "64"]},
                  %img: tensor<?x3x16x16xf32> {lathe.name = "img", lathe.dims = ["batch", "3", "16", "16"]},
                  %w4: tensor<8x3x3x3xf32> {lathe.name = "w4", lathe.dims = ["8", "3", "3", "3"]},
                  %wt: tensor<3x8x2x2xf32> {lathe.name = "wt", lathe.dims = ["3", "8", "2", "2"]},
                  %v64: tensor<64xf32> {lathe.name = "v64", lathe.dims = ["64"]},
                  %w2: tensor<64x192xf32> {lathe.name = "w2", lathe.dims = ["64", "192"]},
                  %v192: tensor<192xf32> {lathe.name = "v192", lathe.dims = ["192"]},
                  %ids: tensor<?x?xi64> {lathe.name = "ids", lathe.dims = ["batch", "seq"]},
                  %pk: tensor<?x4x?x16xf32> {lathe.name = "pk", lathe.dims = ["batch", "4", "past", "16"]},
                  %q: tensor<?x4x?x16xf32> {lathe.name = "q", lathe.dims = ["batch", "4", "seq", "16"]},
                  %bytes: tensor<64x8x8xui8> {lathe.name = "bytes", lathe.dims = ["64", "8", "8"]},
                  %scales: tensor<512xf32> {lathe.name = "scales", lathe.dims = ["512"]},
                  %u8: tensor<?x64xui8> {lathe.name = "u8", lathe.dims = ["batch", "64"]},
                  %one: tensor<f32> {lathe.name = "one", lathe.dims = []},
                  %zp: tensor<ui8> {lathe.name = "zp", lathe.dims = []}) {
  %r0 = lathe.onnx "Conv"(%img, %w4) {pads = array<i64: 1, 1, 1, 1>, strides = array<i64: 2, 2>, opset = 23 : i64} : (tensor<?x3x16x16xf32>, tensor<8x3x3x3xf32>) -> tensor<?x8x8x8xf32> loc("0.Conv")
  %r1 = lathe.onnx "ConvTranspose"(%img, %wt) {strides = array<i64: 2, 2>, opset = 23 : i64} : (tensor<?x3x16x16xf32>, tensor<3x8x2x2xf32>) -> tensor<?x8x32x32xf32> loc("1.ConvTranspose")
  %r2 = lathe.onnx "MaxPool"(%img) {kernel_shape = array<i64: 3, 3>, strides = array<i64: 2, 2>, ceil_mode = 1 : i64, opset = 23 : i64} : (tensor<?x3x16x16xf32>) -> tensor<?x3x8x8xf32> loc("2.MaxPool")
  %r3 = lathe.onnx "GlobalAveragePool"(%img) {opset = 23 : i64} : (tensor<?x3x16x16xf32>) -> tensor<?x3x1x1xf32> loc("3.GlobalAveragePool")
  %r4 = lathe.onnx "ReduceMean"(%x) {axes = array<i64: -1>, keepdims = 0 : i64, opset = 13 : i64} : (tensor<?x?x64xf32>) -> tensor<?x?xf32> loc("4.ReduceMean")
  %r5 = lathe.onnx "ReduceL2"(%x) {opset = 23 : i64} : (tensor<?x?x64xf32>) -> tensor<1x1x1xf32> loc("5.ReduceL2")
  %r6 = lathe.onnx "ArgMax"(%x) {axis = 1 : i64, opset = 23 : i64} : (tensor<?x?x64xf32>) -> tensor<?x1x64xi64> loc("6.ArgMax")
  %r7:2 = lathe.onnx "TopK"(%x) {k = 5 : i64, opset = 23 : i64} : (tensor<?x?x64xf32>) -> (tensor<?x?x5xf32>, tensor<?x?x5xi64>) loc("7.TopK")
  %r8 = lathe.onnx "Einsum"(%q, %q) {equation = "bhid,bhjd->bhij", opset = 23 : i64} : (tensor<?x4x?x16xf32>, tensor<?x4x?x16xf32>) -> tensor<?x4x?x?xf32> loc("8.Einsum")
  %r9:3 = lathe.onnx "Attention"(%q, %q, %q) {opset = 23 : i64} : (tensor<?x4x?x16xf32>, tensor<?x4x?x16xf32>, tensor<?x4x?x16xf32>) -> (tensor<?x4x?x16xf32>, tensor<?x4x?x16xf32>, tensor<?x4x?x16xf32>) loc("9.Attention")
  %r10 = lathe.onnx "Attention"(%x, %x, %x) {q_num_heads = 8 : i64, kv_num_heads = 4 : i64, opset = 23 : i64} : (tensor<?x?x64xf32>, tensor<?x?x64xf32>, tensor<?x?x64xf32>) -> tensor<?x?x128xf32> loc("10.Attention")
  %r11:3 = lathe.onnx "LayerNormalization"(%x, %v64) {opset = 23 : i64} : (tensor<?x?x64xf32>, tensor<64xf32>) -> (tensor<?x?x64xf32>, tensor<?x?x1xf32>, tensor<?x?x1xf32>) loc("11.LayerNormalization")
  %r12:3 = lathe.onnx "DynamicQuantizeLinear"(%x) {opset = 23 : i64} : (tensor<?x?x64xf32>) -> (tensor<?x?x64xui8>, tensor<f32>, tensor<ui8>) loc("12.DynamicQuantizeLinear")
  %r13 = lathe.onnx "DequantizeLinear"(%u8, %one, %zp) {opset = 23 : i64} : (tensor<?x64xui8>, tensor<f32>, tensor<ui8>) -> tensor<?x64xf32> loc("13.DequantizeLinear")
  %r14:4 = lathe.onnx "SkipLayerNormalization"(%x, %x, %v64) {domain = "com.microsoft", opset = 1 : i64} : (tensor<?x?x64xf32>, tensor<?x?x64xf32>, tensor<64xf32>) -> (tensor<?x?x64xf32>, tensor<?x?x1xf32>, tensor<?x?x1xf32>, tensor<?x?x64xf32>) loc("14.SkipLayerNormalization")
  %r15 = lathe.onnx "BiasGelu"(%x, %v64) {domain = "com.microsoft", opset = 1 : i64} : (tensor<?x?x64xf32>, tensor<64xf32>) -> tensor<?x?x64xf32> loc("15.BiasGelu")
  %r16 = lathe.onnx "FusedMatMul"(%x, %x) {transB = 1 : i64, domain = "com.microsoft", opset = 1 : i64} : (tensor<?x?x64xf32>, tensor<?x?x64xf32>) -> tensor<?x?x?xf32> loc("16.FusedMatMul")
  %r17 = lathe.onnx "MatMulNBits"(%x, %bytes, %scales) {K = 64 : i64, N = 64 : i64, bits = 4 : i64, block_size = 16 : i64, domain = "com.microsoft", opset = 1 : i64} : (tensor<?x?x64xf32>, tensor<64x8x8xui8>, tensor<512xf32>) -> tensor<?x?x64xf32> loc("17.MatMulNBits")
  %r18:3 = lathe.onnx "MultiHeadAttention"(%x, %x, %x) {num_heads = 4 : i64, domain = "com.microsoft", opset = 1 : i64} : (tensor<?x?x64xf32>, tensor<?x?x64xf32>, tensor<?x?x64xf32>) -> (tensor<?x?x64xf32>, tensor<?x4x?x16xf32>, tensor<?x4x?x16xf32>) loc("18.MultiHeadAttention")
  %r19:2 = lathe.onnx "GroupQueryAttention"(%x) {num_heads = 2 : i64, kv_num_heads = 1 : i64, domain = "com.microsoft", opset = 1 : i64} : (tensor<?x?x64xf32>) -> (tensor<?x?x32xf32>, tensor<?x1x?x16xf32>) loc("19.GroupQueryAttention")
  %r20:2 = lathe.onnx "Attention"(%x, %w2, %v192) {num_heads = 4 : i64, domain = "com.microsoft", opset = 1 : i64} : (tensor<?x?x64xf32>, tensor<64x192xf32>, tensor<192xf32>) -> (tensor<?x?x64xf32>, tensor<2x?x4x?x16xf32>) loc("20.Attention")
  return
}
