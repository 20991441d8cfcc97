//===- EmitRoundPairs.h - rows of f32 as pairs of bf16 ----------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_EMITROUNDPAIRS_H
#define LATHE_CODEGEN_CPU_EMITROUNDPAIRS_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace lathe {

/// Adds to `module`
///
///   func.func private @name(%ctx: !llvm.ptr {lathe.ctx},
///       %x: memref<?xKxf32>, %y: memref<?xPxi32>)      // P = ceil(K/2)
///
/// which rounds x to bf16 (to nearest, ties to even): y[m, p] has x[m, 2p] in
/// its low half and x[m, 2p + 1], or 0 behind the last column, in its high
/// half. The level avx512bf16 takes numbers below 2^-126 as 0, as its dot
/// products do.
mlir::func::FuncOp emitRoundPairsKernel(mlir::ModuleOp module,
                                        llvm::StringRef name, int64_t columns,
                                        const CpuTarget &target);

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_EMITROUNDPAIRS_H
