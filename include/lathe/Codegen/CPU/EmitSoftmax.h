//===- EmitSoftmax.h - softmax over the last axis ---------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_EMITSOFTMAX_H
#define LATHE_CODEGEN_CPU_EMITSOFTMAX_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace lathe {

/// Adds to `module`
///
///   func.func private @name(%ctx: !llvm.ptr {lathe.ctx},
///       %x: memref<?xNxf32>, %y: memref<?xNxf32>)
///
/// with y = exp(x - max(x)) / sum of the same, row by row; the rows run in
/// parallel. `columns` is N, or ShapedType::kDynamic for memref<?x?xf32>. x and
/// y may be the same buffer. A row of -inf alone, or with a NaN, gives NaN; a
/// row without columns is left alone.
mlir::func::FuncOp emitSoftmaxKernel(mlir::ModuleOp module,
                                     llvm::StringRef name, int64_t columns,
                                     const CpuTarget &target);

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_EMITSOFTMAX_H
