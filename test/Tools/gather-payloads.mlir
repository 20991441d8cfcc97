// RUN: rm -rf %t && mkdir -p %t/cache/payloads
// RUN: sed 's|SPILL|%t/cache/payloads|' %s > %t/in.mlir
// RUN: env LATHE_CACHE_DIR=%t/cache not lathe-opt %t/in.mlir --lathe-gather-payloads 2>&1 \
// RUN:   | FileCheck %s --check-prefix=FILE
// RUN: env LATHE_CACHE_DIR=%t/cache not lathe-opt %t/in.mlir --lathe-gather-payloads=file=%t/all 2>&1 \
// RUN:   | FileCheck %s --check-prefix=MISSING
// RUN: not ls %t/all

// FILE: error: lathe-gather-payloads: 'file' must name the file to write
// MISSING: error: lathe-gather-payloads: {{.*}}all: payload file '{{.*}}/gone.bin':

lathe.weight @a {data = #lathe.blob<"SPILL/gone.bin", 0, 16, "00000000000000a1">}
    : !lathe.weight<4xf32, #lathe.dense<f32>>
