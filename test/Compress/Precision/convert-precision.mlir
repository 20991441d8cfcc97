// RUN: %python -c "import array; array.array('f', [1.0, 1.00390625, 70000.0, 0.1] * 4).tofile(open('%t.bin', 'wb'))"
// RUN: sed s,FILE,%t.bin, %s > %t.mlir
// RUN: lathe-opt %t.mlir --lathe-convert-precision | FileCheck %s
// RUN: lathe-opt %t.mlir --lathe-convert-precision=to=f16 | FileCheck %s --check-prefix=HALF
// RUN: lathe-opt %t.mlir --lathe-convert-precision=keep=head | FileCheck %s --check-prefix=KEEP
// RUN: not lathe-opt %t.mlir --lathe-convert-precision=keep=nowhere 2>&1 | FileCheck %s --check-prefix=NOWHERE
// RUN: not lathe-opt %t.mlir --lathe-convert-precision=to=f8 2>&1 | FileCheck %s --check-prefix=TYPE

// Two weights that are equal stay one payload; a bias stays f32.
// CHECK: lathe.passes = ["lathe-convert-precision{to=bf16}"]
// CHECK-SAME: lathe.report = [{action = "rewritten", pass = "lathe-convert-precision", site = #lathe.site<"head">, values = {bits = 1.600000e+01 : f64, weight_error = 0.00205
// CHECK: lathe.weight @w {data = #lathe.blob<"{{.*}}", 0, 32, "[[HASH:.*]]">} : !lathe.weight<4x4xf32, #lathe.dense<bf16>>
// CHECK: lathe.weight @t {data = #lathe.blob<"{{.*}}", 0, 32, "[[HASH]]">} : !lathe.weight<4x4xf32, #lathe.dense<bf16>>
// CHECK: lathe.weight @b {{.*}} #lathe.dense<f32>>
// CHECK: lathe.use_weight @t : !lathe.weight<4x4xf32, #lathe.dense<bf16>>
// CHECK: lathe.linear {{.*}} {acts = bf16

// HALF: action = "refused", {{.*}}reason = "a value is beyond the range of f16"
// HALF: lathe.weight @w {{.*}} #lathe.dense<f32>>
// HALF-NOT: acts

// KEEP: lathe.passes = ["lathe-convert-precision{to=bf16 keep=head}"]
// KEEP-SAME: action = "kept", {{.*}}reason = "asked for", site = #lathe.site<"head">
// KEEP: lathe.weight @w {{.*}} #lathe.dense<f32>>
// KEEP: lathe.weight @t {{.*}} #lathe.dense<bf16>>
// KEEP-NOT: acts

// NOWHERE: lathe-convert-precision: keep: no linear and no embedding has the site 'nowhere'
// TYPE: lathe-convert-precision: to 'f8' is not bf16 or f16

module attributes {lathe.level = "structure", lathe.opset = 17 : i64, lathe.source = "m.onnx"} {
  lathe.weight @w {data = #lathe.blob<"FILE", 0, 64, "0000000000000001">} : !lathe.weight<4x4xf32, #lathe.dense<f32>>
  lathe.weight @t {data = #lathe.blob<"FILE", 0, 64, "0000000000000001">} : !lathe.weight<4x4xf32, #lathe.dense<f32>>
  lathe.weight @b {data = #lathe.blob<"FILE", 0, 16, "0000000000000002">} : !lathe.weight<4xf32, #lathe.dense<f32>>
  func.func @plain(%ids: tensor<?xi64> {lathe.dims = ["n"], lathe.name = "ids"}) -> (tensor<?x4xf32> {lathe.dims = ["n", "4"], lathe.name = "y"}) {
    %t = lathe.use_weight @t : !lathe.weight<4x4xf32, #lathe.dense<f32>>
    %x = lathe.embedding %ids, %t {site = #lathe.site<"embed">} : (tensor<?xi64>, !lathe.weight<4x4xf32, #lathe.dense<f32>>) -> tensor<?x4xf32>
    %w = lathe.use_weight @w : !lathe.weight<4x4xf32, #lathe.dense<f32>>
    %b = lathe.use_weight @b : !lathe.weight<4xf32, #lathe.dense<f32>>
    %y = lathe.linear %x, %w bias(%b) {site = #lathe.site<"head">} : (tensor<?x4xf32>, !lathe.weight<4x4xf32, #lathe.dense<f32>>, !lathe.weight<4xf32, #lathe.dense<f32>>) -> tensor<?x4xf32>
    return %y : tensor<?x4xf32>
  }
}
