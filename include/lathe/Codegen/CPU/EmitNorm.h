//===- EmitNorm.h - layer and RMS normalization -----------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_EMITNORM_H
#define LATHE_CODEGEN_CPU_EMITNORM_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace lathe {

struct NormSpec {
  enum class Kind { Layer, Rms };
  Kind kind = Kind::Layer;
  /// N, the length of a row.
  int64_t columns = 0;
  double epsilon = 1e-5;
  bool gamma = false;
  bool beta = false;
  /// Normalize x + addend and write that sum out too.
  bool residual = false;
};

/// Adds to `module`
///
///   func.func private @name(%ctx: !llvm.ptr {lathe.ctx},
///       %x: memref<?xNxf32>,
///       %addend: memref<?xNxf32>, %sum: memref<?xNxf32>, // with a residual
///       %gamma: memref<Pxf32>, %beta: memref<Pxf32>,     // if present
///       %y: memref<?xNxf32>)
///
/// where P = N rounded up to a multiple of 64. With s = x + addend (or x):
///   Layer: y = (s - mean(s)) / sqrt(mean((s - mean(s))^2) + epsilon)
///   Rms:   y = s / sqrt(mean(s^2) + epsilon)
/// times gamma, plus beta. Rows run in parallel. sum may be the buffer of x or
/// addend, y that of x; no others may overlap.
mlir::func::FuncOp emitNormKernel(mlir::ModuleOp module, llvm::StringRef name,
                                  const NormSpec &spec,
                                  const CpuTarget &target);

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_EMITNORM_H
