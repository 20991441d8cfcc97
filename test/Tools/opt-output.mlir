// What `lathe-opt -o` writes: text or bytecode by the suffix, payloads from the
// spill folder in a file beside it, complete or not at all.

// RUN: rm -rf %t && mkdir -p %t/cache/payloads %t/out
// RUN: %python -c "open(r'%t/cache/payloads/one.bin', 'wb').write(bytes(range(16)))"
// RUN: %python -c "open(r'%t/cache/payloads/two.bin', 'wb').write(bytes(range(64, 80)))"
// RUN: sed 's|SPILL|%t/cache/payloads|' %s > %t/in.mlir

// RUN: cd %t
// RUN: env LATHE_CACHE_DIR=%t/cache lathe-opt in.mlir -o out/m.mlir
// RUN: FileCheck %s --input-file=out/m.mlir
// RUN: %python -c "b = open('out/m.mlir.weights', 'rb').read(); print(len(b), b[0], b[63], b[64], b[79])" | FileCheck %s --check-prefix=BYTES
// RUN: not ls out/*.tmp

// CHECK: lathe.weight @a {data = #lathe.blob<"out/m.mlir.weights", 0, 16, "00000000000000a1">}
// CHECK: lathe.weight @b {data = #lathe.blob<"out/m.mlir.weights", 64, 16, "00000000000000b2">}
// An equal payload is written once; a slice of a model's own file stays.
// CHECK: lathe.weight @c {data = #lathe.blob<"out/m.mlir.weights", 0, 16, "00000000000000a1">}
// CHECK: lathe.weight @d {data = #lathe.blob<"model.onnx", 0, 16, "00000000000000d4">}
// BYTES: 80 0 0 64 79

// Bytecode, and back.
// RUN: env LATHE_CACHE_DIR=%t/cache lathe-opt in.mlir -o out/m.mlirbc
// RUN: %python -c "print(open('out/m.mlirbc', 'rb').read(4))" | FileCheck %s --check-prefix=BYTECODE
// RUN: lathe-opt out/m.mlirbc | FileCheck %s --check-prefix=BACK
// BYTECODE: b'ML\xefR'
// BACK: lathe.weight @a {data = #lathe.blob<"out/m.mlirbc.weights", 0, 16, "00000000000000a1">}

// Written over its own input.
// RUN: cp out/m.mlir same.mlir && lathe-opt same.mlir -o same.mlir
// RUN: FileCheck %s --check-prefix=SAME < same.mlir
// SAME: lathe.weight @a {data = #lathe.blob<"out/m.mlir.weights", 0, 16,

// A failing pass leaves what was there.
// RUN: not lathe-opt same.mlir --pass-pipeline='builtin.module(lathe-gather-payloads,unknown)' -o same.mlir
// RUN: FileCheck %s --check-prefix=SAME < same.mlir

// To the terminal the spilled files stay named.
// RUN: env LATHE_CACHE_DIR=%t/cache lathe-opt in.mlir | FileCheck %s --check-prefix=STDOUT
// STDOUT: lathe.weight @a {data = #lathe.blob<"{{.*}}/cache/payloads/one.bin", 0, 16,

// RUN: not lathe-opt in.mlir -o missing/m.mlir 2>&1 | FileCheck %s --check-prefix=FOLDER
// FOLDER: error: missing/m.mlir: {{.*}}
// RUN: not lathe-opt missing.mlir 2>&1 | FileCheck %s --check-prefix=INPUT
// INPUT: error: cannot open input file 'missing.mlir'

lathe.weight @a {data = #lathe.blob<"SPILL/one.bin", 0, 16, "00000000000000a1">}
    : !lathe.weight<4xf32, #lathe.dense<f32>>
lathe.weight @b {data = #lathe.blob<"SPILL/two.bin", 0, 16, "00000000000000b2">}
    : !lathe.weight<4xf32, #lathe.dense<f32>>
lathe.weight @c {data = #lathe.blob<"SPILL/one.bin", 0, 16, "00000000000000a1">}
    : !lathe.weight<4xf32, #lathe.dense<f32>>
lathe.weight @d {data = #lathe.blob<"model.onnx", 0, 16, "00000000000000d4">}
    : !lathe.weight<4xf32, #lathe.dense<f32>>
