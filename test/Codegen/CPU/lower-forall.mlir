// RUN: lathe-opt %s --lathe-lower-forall --canonicalize --split-input-file --verify-diagnostics | FileCheck %s

// The closure holds the pointer and what the type does not know.
// CHECK-LABEL: func.func @scale(
// CHECK-SAME:      %[[CTX:.*]]: !llvm.ptr {lathe.ctx}
// CHECK-DAG:     %[[GRAIN:.*]] = llvm.mlir.constant(16 : i64)
// CHECK-DAG:     %[[BODY:.*]] = constant @scale_body0
// CHECK:         llvm.alloca {{.*}} x !llvm.struct<(ptr, i64, f32)>
// CHECK-NOT:     scf.forall
// CHECK:         %[[PTR:.*]] = builtin.unrealized_conversion_cast %[[BODY]]
// CHECK:         %[[POOL:.*]] = llvm.load %[[CTX]]
// CHECK:         llvm.call %[[POOL]](%[[CTX]], %[[PTR]], {{.*}}, {{.*}}, %[[GRAIN]])
// CHECK:       func.func private @scale_body0(%{{.*}}: !llvm.ptr, %[[B:.*]]: i64, %[[E:.*]]: i64)
// CHECK:         %[[C64:.*]] = arith.constant 64 : index
// CHECK:         scf.for %[[U:.*]] =
// CHECK-DAG:       %[[J:.*]] = arith.remui %[[U]], %[[C64]]
// CHECK-DAG:       %[[I:.*]] = arith.divui %[[U]], %[[C64]]
// CHECK:           memref.load %{{.*}}[%[[I]], %[[J]]]
func.func @scale(%ctx: !llvm.ptr {lathe.ctx}, %x: memref<?x64xf32>, %s: f32) {
  %c0 = arith.constant 0 : index
  %n = memref.dim %x, %c0 : memref<?x64xf32>
  scf.forall (%i, %j) in (%n, 64) {
    %v = memref.load %x[%i, %j] : memref<?x64xf32>
    %w = arith.mulf %v, %s : f32
    memref.store %w, %x[%i, %j] : memref<?x64xf32>
  } {lathe.grain = 16 : i64}
  return
}

// -----

// Offsets and strides that only the value knows travel too, and bounds.
// CHECK-LABEL: func.func @strided(
// CHECK:         llvm.alloca {{.*}} x !llvm.struct<(ptr, i64, i64, i64, i64)>
// CHECK:       func.func private @strided_body0
// CHECK:         scf.for %[[U:.*]] =
// CHECK:           %[[T:.*]] = arith.muli %[[U]], %{{.*}} : index
// CHECK:           %[[I:.*]] = arith.addi %[[T]], %{{.*}} : index
// CHECK:           memref.store %{{.*}}, %{{.*}}[%[[I]]]
func.func @strided(%ctx: !llvm.ptr {lathe.ctx},
                   %x: memref<?xf32, strided<[?], offset: ?>>, %lo: index) {
  %c0 = arith.constant 0 : index
  %c4 = arith.constant 4 : index
  %zero = arith.constant 0.0 : f32
  %n = memref.dim %x, %c0 : memref<?xf32, strided<[?], offset: ?>>
  scf.parallel (%i) = (%lo) to (%n) step (%c4) {
    memref.store %zero, %x[%i] : memref<?xf32, strided<[?], offset: ?>>
  }
  return
}

// -----

// A nested loop is sequential; the buffer of the body is made once per call.
// CHECK-LABEL: func.func private @nested_body0
// CHECK:         memref.alloca
// CHECK:         scf.for
// CHECK-NOT:       memref.alloca
// CHECK:           scf.for
// CHECK-NOT:     scf.forall
func.func @nested(%ctx: !llvm.ptr {lathe.ctx}, %x: memref<8x8xf32>) {
  scf.forall (%i) in (8) {
    %t = memref.alloca() : memref<8xf32>
    scf.forall (%j) in (8) {
      %v = memref.load %x[%i, %j] : memref<8x8xf32>
      memref.store %v, %t[%j] : memref<8xf32>
    }
    %c0 = arith.constant 0 : index
    %w = memref.load %t[%c0] : memref<8xf32>
    memref.store %w, %x[%i, %i] : memref<8x8xf32>
  }
  return
}

// -----

// Without a context everything is sequential.
// CHECK-LABEL: func.func @sequential(
// CHECK:         scf.for
// CHECK-NOT:     llvm.call
func.func @sequential(%x: memref<?xf32>, %n: index) {
  %zero = arith.constant 0.0 : f32
  scf.forall (%i) in (%n) {
    memref.store %zero, %x[%i] : memref<?xf32>
  }
  return
}

// -----

func.func @tensor(%ctx: !llvm.ptr {lathe.ctx}, %x: tensor<4xf32>) -> tensor<4xf32> {
  // expected-error @below {{must be bufferized before its body can move}}
  %0 = scf.forall (%i) in (4) shared_outs(%o = %x) -> tensor<4xf32> {
    %s = tensor.extract_slice %o[%i] [1] [1] : tensor<4xf32> to tensor<1xf32>
    scf.forall.in_parallel {
      tensor.parallel_insert_slice %s into %o[%i] [1] [1] : tensor<1xf32> into tensor<4xf32>
    }
  }
  return %0 : tensor<4xf32>
}
