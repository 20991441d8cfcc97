// RUN: lathe-opt %s --lathe-print-kernel-plan=target=avx512 -o /dev/null | FileCheck %s --check-prefixes=CHECK,WIDE
// RUN: lathe-opt %s --lathe-print-kernel-plan=target=avx2 -o /dev/null | FileCheck %s --check-prefixes=CHECK,NARROW
// RUN: not lathe-opt %s --lathe-print-kernel-plan=target=sse9 2>&1 | FileCheck %s --check-prefix=UNKNOWN

// UNKNOWN: unknown CPU level 'sse9'; known: native, avx512bf16, avx512, avx2, scalar

module attributes {lathe.level = "structure", lathe.opset = 17 : i64, lathe.source = "m.onnx"} {
  lathe.weight @up {data = #lathe.blob<"w", 0, 9437184, "0000000000000001">} : !lathe.weight<768x3072xf32, #lathe.dense<f32>>
  lathe.weight @down {data = #lathe.blob<"w", 0, 9437184, "0000000000000002">} : !lathe.weight<3072x768xf32, #lathe.dense<f32>>
  lathe.weight @bf16 {data = #lathe.blob<"w", 0, 4718592, "0000000000000003">} : !lathe.weight<3072x768xf32, #lathe.dense<bf16>>
  lathe.weight @gate_up {data = #lathe.blob<"w", 0, 9437184, "0000000000000005">} : !lathe.weight<768x3072xf32, #lathe.dense<f32>>
  lathe.weight @gate_up_bf16 {data = #lathe.blob<"w", 0, 4718592, "0000000000000006">} : !lathe.weight<768x3072xf32, #lathe.dense<bf16>>
  lathe.weight @small {data = #lathe.blob<"w", 0, 10240, "0000000000000004">} : !lathe.weight<64x40xf32, #lathe.dense<f32>>

  // WIDE: function plain, avx512
  // NARROW: function plain, avx2
  func.func @plain(%x: tensor<?x768xf32> {lathe.dims = ["n", "768"], lathe.name = "x"}, %z: tensor<?x64xf32> {lathe.dims = ["n", "64"], lathe.name = "z"}) -> (tensor<?x768xf32> {lathe.dims = ["n", "768"], lathe.name = "y"}, tensor<?x768xf32> {lathe.dims = ["n", "768"], lathe.name = "y2"}, tensor<?x40xf32> {lathe.dims = ["n", "40"], lathe.name = "y3"}, tensor<?x1536xf32> {lathe.dims = ["n", "1536"], lathe.name = "y4"}, tensor<?x1536xf32> {lathe.dims = ["n", "1536"], lathe.name = "y5"}) {
    // A GEMM whose panel stays in the second-level cache; few rows and single
    // ones take wide tiles, as many columns as there are registers for.
    // WIDE-NEXT: blocks.0.ffn.up: 768x3072 f32: tile 6x64, fewer rows 1x64 2x64 3x64 4x64 5x64; k 768 in 1 block; unit 96x64 of 48 panels, 1 at once
    // NARROW-NEXT: blocks.0.ffn.up: 768x3072 f32: tile 6x16, fewer rows 1x64 2x32 3x32 4x16 5x16; k 768 in 1 block; unit 96x64 of 48 panels, 1 at once
    %wu = lathe.use_weight @up : !lathe.weight<768x3072xf32, #lathe.dense<f32>>
    %u = lathe.linear %x, %wu {site = #lathe.site<"blocks.0.ffn.up">} : (tensor<?x768xf32>, !lathe.weight<768x3072xf32, #lathe.dense<f32>>) -> tensor<?x3072xf32>
    // Long sums are cut by the size of that cache.
    // WIDE-NEXT: blocks.0.ffn.down: 3072x768 f32: {{.*}}; k 768 in 4 blocks; unit 96x64 of 12 panels, 1 at once
    // NARROW-NEXT: blocks.0.ffn.down: 3072x768 f32: {{.*}}; k 384 in 8 blocks; unit 96x64 of 12 panels, 1 at once
    %wd = lathe.use_weight @down : !lathe.weight<3072x768xf32, #lathe.dense<f32>>
    %d = lathe.linear %u, %wd {site = #lathe.site<"blocks.0.ffn.down">} : (tensor<?x3072xf32>, !lathe.weight<3072x768xf32, #lathe.dense<f32>>) -> tensor<?x768xf32>
    // bf16 takes half the bytes.
    // WIDE-NEXT: blocks.1.ffn.down: 3072x768 bf16: {{.*}}; k 3072 in 1 block;
    // NARROW-NEXT: blocks.1.ffn.down: 3072x768 bf16: {{.*}}; k 768 in 4 blocks;
    %wb = lathe.use_weight @bf16 : !lathe.weight<3072x768xf32, #lathe.dense<bf16>>
    %b = lathe.linear %u, %wb {acts = bf16, site = #lathe.site<"blocks.1.ffn.down">} : (tensor<?x3072xf32>, !lathe.weight<3072x768xf32, #lathe.dense<bf16>>) -> tensor<?x768xf32>
    // A panel of a gated linear makes half as many columns of the result.
    // WIDE-NEXT: blocks.0.ffn.gate_up: 768x1536 f32 gated: tile 6x64, fewer rows 1x64 2x64 3x64 4x64 5x64; k 768 in 1 block; unit 96x64 of 48 panels, 1 at once
    // NARROW-NEXT: blocks.0.ffn.gate_up: 768x1536 f32 gated: tile 6x16, fewer rows 1x64 2x32 3x32 4x16 5x16; k 768 in 1 block; unit 96x64 of 48 panels, 1 at once
    %wg = lathe.use_weight @gate_up : !lathe.weight<768x3072xf32, #lathe.dense<f32>>
    %g = lathe.linear %x, %wg epilogue() {
    ^bb0(%a: f32, %c: f32):
      %m = arith.mulf %a, %c : f32
      lathe.yield %m : f32
    } {gated, site = #lathe.site<"blocks.0.ffn.gate_up">} : (tensor<?x768xf32>, !lathe.weight<768x3072xf32, #lathe.dense<f32>>) -> tensor<?x1536xf32>
    // WIDE-NEXT: blocks.1.ffn.gate_up: 768x1536 bf16 gated: {{.*}}; k 768 in 1 block; unit 96x64 of 48 panels, 1 at once
    // NARROW-NEXT: blocks.1.ffn.gate_up: 768x1536 bf16 gated: {{.*}}; k 768 in 1 block; unit 96x64 of 48 panels, 1 at once
    %wh = lathe.use_weight @gate_up_bf16 : !lathe.weight<768x3072xf32, #lathe.dense<bf16>>
    %h = lathe.linear %x, %wh epilogue() {
    ^bb0(%a: f32, %c: f32):
      %m = arith.mulf %a, %c : f32
      lathe.yield %m : f32
    } {acts = bf16, gated, site = #lathe.site<"blocks.1.ffn.gate_up">} : (tensor<?x768xf32>, !lathe.weight<768x3072xf32, #lathe.dense<bf16>>) -> tensor<?x1536xf32>
    // Small panels are handed out several at once.
    // CHECK-NEXT: (no site): 64x40 f32: {{.*}}; k 64 in 1 block; unit 96x64 of 1 panel, 4 at once
    %ws = lathe.use_weight @small : !lathe.weight<64x40xf32, #lathe.dense<f32>>
    %s = lathe.linear %z, %ws : (tensor<?x64xf32>, !lathe.weight<64x40xf32, #lathe.dense<f32>>) -> tensor<?x40xf32>
    return %d, %b, %s, %g, %h : tensor<?x768xf32>, tensor<?x768xf32>, tensor<?x40xf32>, tensor<?x1536xf32>, tensor<?x1536xf32>
  }
}
