//===- RowLoops.h - vector loops along one row ------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_ROWLOOPS_H
#define LATHE_CODEGEN_CPU_ROWLOOPS_H

#include "lathe/Codegen/CPU/KernelBuilder.h"

namespace lathe {

/// Calls `body(column, mask)` for vectors that together cover [0, columns):
/// blocks of `unroll` vectors, then single ones, then a last one with a mask;
/// for all others the mask is null. `columns` is a constant or not.
void forEachVector(KernelBuilder &b, mlir::Value columns, int64_t unroll,
                   llvm::function_ref<void(mlir::Value, mlir::Value)> body);

/// The same for a reduction: `body(column, mask, sum)` gives the new sum of one
/// of `unroll` vectors that start as `init` and are combined by `combine` in
/// the end. In the masked call, lanes outside keep their old value.
mlir::Value reduceVectors(
    KernelBuilder &b, mlir::Value columns, int64_t unroll, mlir::Value init,
    llvm::function_ref<mlir::Value(mlir::Value, mlir::Value, mlir::Value)> body,
    llvm::function_ref<mlir::Value(mlir::Value, mlir::Value)> combine);

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_ROWLOOPS_H
