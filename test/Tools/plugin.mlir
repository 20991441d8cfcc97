// The packaged mlir-opt with Lathe's dialect and passes. Its address space is
// not instrumented, so an instrumented plugin does not load.
// UNSUPPORTED: asan
// RUN: mlir-opt %s --load-dialect-plugin=%lathe_libs/LathePlugin%shlibext \
// RUN:   --load-pass-plugin=%lathe_libs/LathePlugin%shlibext \
// RUN:   --pass-pipeline='builtin.module(lathe-lower-forall,canonicalize)' \
// RUN:   | FileCheck %s

// CHECK: lathe.weight @w
lathe.weight @w {data = #lathe.blob<"m.onnx", 0, 128, "5d41402abc4b2a76">}
    : !lathe.weight<4x8xf32, #lathe.dense<f32>>

// CHECK-LABEL: func @linear
func.func @linear(%x: tensor<?x4xf32>) -> tensor<?x8xf32> {
  // CHECK: lathe.use_weight @w
  %w = lathe.use_weight @w : !lathe.weight<4x8xf32, #lathe.dense<f32>>
  // CHECK: lathe.linear
  %y = lathe.linear %x, %w
      : (tensor<?x4xf32>, !lathe.weight<4x8xf32, #lathe.dense<f32>>) -> tensor<?x8xf32>
  return %y : tensor<?x8xf32>
}

// CHECK-LABEL: func @loop
func.func @loop(%ctx: !llvm.ptr {lathe.ctx}, %x: memref<?xf32>, %n: index) {
  %zero = arith.constant 0.0 : f32
  // CHECK-NOT: scf.forall
  // CHECK: %[[POOL:.*]] = llvm.load %{{.*}} : !llvm.ptr -> !llvm.ptr
  // CHECK: llvm.call %[[POOL]]
  scf.forall (%i) in (%n) {
    memref.store %zero, %x[%i] : memref<?xf32>
  }
  return
}
