// RUN: not lathe-opt %s --lathe-cut-sublayers=sites=blocks.0.ffn,blocks.1.ffn 2>&1 | FileCheck %s --check-prefix=ALL
// RUN: not lathe-opt %s --lathe-cut-sublayers=sites=blocks.7.ffn 2>&1 | FileCheck %s --check-prefix=UNKNOWN
// RUN: not lathe-opt %s --lathe-cut-sublayers=sites=blocks.1.ffn,blocks.1.ffn 2>&1 | FileCheck %s --check-prefix=TWICE
// RUN: not lathe-opt %s --lathe-cut-sublayers=sites=blocks.0.ffn 2>&1 | FileCheck %s --check-prefix=READ
// RUN: not lathe-opt %s --lathe-cut-sublayers=sites=blocks.2.ffn 2>&1 | FileCheck %s --check-prefix=GONE
// RUN: lathe-opt %s --lathe-cut-sublayers | FileCheck %s --check-prefix=NOTHING

// ALL: error: all 2 sub-layers would be removed; keep at least one
// UNKNOWN: error: 'blocks.7.ffn' is no sub-layer with a residual; the model has 2, from 'blocks.0.ffn' to 'blocks.1.ffn'
// TWICE: error: sub-layer 'blocks.1.ffn' is named twice
// READ: error: sub-layer 'blocks.0.ffn' cannot be removed: node '/scale' reads more of it than the residual stream
// GONE: error: sub-layer 'blocks.2.ffn' has been removed already
// NOTHING-NOT: lathe.passes

module attributes {lathe.removed = [#lathe.site<"blocks.2.ffn">]} {
  func.func @plain(%x: tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>) {
    %r, %e = lathe.sublayer ffn <"blocks.0.ffn"> residual(%x) source(%x) {
    ^bb0(%s: tensor<4x8xf32>):
      %a = lathe.activation relu %s : tensor<4x8xf32>
      lathe.yield %a, %a : tensor<4x8xf32>, tensor<4x8xf32>
    } : (tensor<4x8xf32>, tensor<4x8xf32>) -> (tensor<4x8xf32>, tensor<4x8xf32>)
    %n = lathe.onnx "Mul"(%e, %e) {opset = 17 : i64} : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32> loc("/scale")
    %f = lathe.sublayer ffn <"blocks.1.ffn"> residual(%r) source(%r) {
    ^bb0(%s: tensor<4x8xf32>):
      %a = lathe.activation relu %s : tensor<4x8xf32>
      lathe.yield %a : tensor<4x8xf32>
    } : (tensor<4x8xf32>, tensor<4x8xf32>) -> tensor<4x8xf32>
    return %f, %n : tensor<4x8xf32>, tensor<4x8xf32>
  }
}
