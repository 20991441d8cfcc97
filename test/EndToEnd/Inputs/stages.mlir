// Seven cheap sub-layers, the first and the last one equal.
!t = tensor<?x?x8xf32>
!w = !lathe.weight<8xf32, #lathe.dense<f32>>
module {
  lathe.weight @scale {data = #lathe.blob<"scale.bin", 0, 32, "0000000000000001">} : !w
  func.func @plain(%x0: !t {lathe.dims = ["batch", "seq", "8"], lathe.name = "x"})
      -> (!t {lathe.dims = ["batch", "seq", "8"], lathe.name = "y"}) {
    %x1 = lathe.sublayer ffn <"blocks.0.ffn"> residual(%x0) source(%x0) {
    ^bb0(%s: !t):
      %u = lathe.activation relu %s : !t
      lathe.yield %u : !t
    } : (!t, !t) -> !t
    %x2 = lathe.sublayer ffn <"blocks.1.ffn"> residual(%x1) source(%x1) {
    ^bb0(%s: !t):
      %u = lathe.activation gelu %s : !t
      lathe.yield %u : !t
    } : (!t, !t) -> !t
    %x3 = lathe.sublayer ffn <"blocks.2.ffn"> residual(%x2) source(%x2) {
    ^bb0(%s: !t):
      %u = lathe.activation silu %s : !t
      lathe.yield %u : !t
    } : (!t, !t) -> !t
    %x4 = lathe.sublayer ffn <"blocks.3.ffn"> residual(%x3) source(%x3) {
    ^bb0(%s: !t):
      %u = lathe.activation tanh %s : !t
      lathe.yield %u : !t
    } : (!t, !t) -> !t
    %x5 = lathe.sublayer ffn <"blocks.4.ffn"> residual(%x4) source(%x4) {
    ^bb0(%s: !t):
      %u = lathe.activation sigmoid %s : !t
      lathe.yield %u : !t
    } : (!t, !t) -> !t
    %x6 = lathe.sublayer ffn <"blocks.5.ffn"> residual(%x5) source(%x5) {
    ^bb0(%s: !t):
      %w = lathe.use_weight @scale : !w
      %u = lathe.norm rms %s gamma(%w) {epsilon = 1.0e-6 : f32} : (!t, !w) -> !t
      lathe.yield %u : !t
    } : (!t, !t) -> !t
    %x7 = lathe.sublayer ffn <"blocks.6.ffn"> residual(%x6) source(%x6) {
    ^bb0(%s: !t):
      %u = lathe.activation relu %s : !t
      lathe.yield %u : !t
    } : (!t, !t) -> !t
    return %x7 : !t
  }
}
