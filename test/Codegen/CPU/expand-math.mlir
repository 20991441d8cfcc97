// RUN: lathe-opt %s --lathe-expand-math | FileCheck %s
// RUN: lathe-opt %s --lathe-expand-math="has-fma=false has-half=false" | FileCheck %s --check-prefix=PLAIN
// RUN: lathe-opt %s --lathe-cpu-to-llvm=target=scalar | FileCheck %s --check-prefix=LLVM

// LLVM-NOT: {{math|arith|vector|memref|scf|func}}.

// CHECK-LABEL: func.func @exp(
// CHECK-NOT:     math.exp
// CHECK:         math.fma {{.*}} : vector<8xf32>
// CHECK:         arith.shli {{.*}} : vector<8xi32>
// PLAIN-LABEL: func.func @exp(
// PLAIN-NOT:     fma
func.func @exp(%x: vector<8xf32>) -> vector<8xf32> {
  %y = math.exp %x : vector<8xf32>
  return %y : vector<8xf32>
}

// CHECK-LABEL: func.func @square(
// CHECK-NEXT:    arith.constant
// CHECK-NEXT:    %[[Y:.*]] = arith.mulf %[[X:.*]], %[[X]]
// CHECK-NEXT:    return %[[Y]]
func.func @square(%x: f32) -> f32 {
  %two = arith.constant 2.0 : f32
  %y = math.powf %x, %two : f32
  return %y : f32
}

// Angles are reduced in f64, where the quarter turns are counted.
// CHECK-LABEL: func.func @sin(
// CHECK:         arith.extf {{.*}} : vector<4xf32> to vector<4xf64>
// CHECK:         arith.trunci {{.*}} : vector<4xi64> to vector<4xi32>
// CHECK-NOT:     math.sin
func.func @sin(%x: vector<4xf32>) -> vector<4xf32> {
  %y = math.sin %x : vector<4xf32>
  return %y : vector<4xf32>
}

// 16-bit types are computed in f32; no conversion to bf16 is left.
// CHECK-LABEL: func.func @tanh(
// CHECK:         arith.extf {{.*}} : bf16 to f32
// CHECK-NOT:     arith.truncf
// CHECK:         arith.trunci {{.*}} : i32 to i16
// CHECK-NEXT:    arith.bitcast {{.*}} : i16 to bf16
func.func @tanh(%x: bf16) -> bf16 {
  %y = math.tanh %x : bf16
  return %y : bf16
}

// CHECK-LABEL: func.func @half(
// CHECK:         arith.extf
// CHECK:         arith.truncf
// PLAIN-LABEL: func.func @half(
// PLAIN-NOT:     arith.extf
// PLAIN-NOT:     arith.truncf
func.func @half(%x: f16) -> f16 {
  %y = math.erf %x : f16
  return %y : f16
}

// PLAIN-LABEL: func.func @powers(
// CHECK-LABEL: func.func @powers(
// CHECK:         scf.for {{.*}} -> (i32, i32, i32)
// CHECK-NOT:     math.ipowi
// CHECK-NOT:     math.fpowi
func.func @powers(%x: i32, %n: i32, %y: f32) -> (i32, f32) {
  %0 = math.ipowi %x, %n : i32
  %1 = math.fpowi %y, %n : f32, i32
  return %0, %1 : i32, f32
}

// Rounding has instructions.
// CHECK-LABEL: func.func @round(
// CHECK-NEXT:    math.roundeven
// CHECK-NEXT:    math.sqrt
// CHECK-NEXT:    return
func.func @round(%x: vector<8xf32>) -> vector<8xf32> {
  %y = math.roundeven %x : vector<8xf32>
  %z = math.sqrt %y : vector<8xf32>
  return %z : vector<8xf32>
}
