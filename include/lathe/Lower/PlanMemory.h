//===- PlanMemory.h - one arena for all buffers of a stage ---*- C++ -* ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Places the buffers of a bufferized function in one scratch arena.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LOWER_PLANMEMORY_H
#define LATHE_LOWER_PLANMEMORY_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include <functional>

namespace lathe {

struct MemoryPlanOptions {
  /// Builds extent `dim` of a memref argument from the function's index
  /// arguments; `indices` are their values where the builder stands. Null: a
  /// size that asks for one is an error.
  std::function<mlir::Value(mlir::OpBuilder &, mlir::BlockArgument memref,
                            int64_t dim, mlir::ValueRange indices)>
      materializeDim;
};

/// Replaces every `memref.alloc` of `function` (one block) by a view of
/// `scratch`, an argument of type `memref<?xi8>`; deallocations go. Buffers
/// whose uses do not overlap share bytes; each starts at a multiple of 64.
/// Sizes may depend on the function's index arguments (in any order among the
/// other arguments) and on extents of memref arguments.
///
/// Adds `func.func @sizeName(index...) -> index` beside the function, of the
/// same index arguments in order: the bytes that the scratch needs.
///
/// Fails with a diagnostic when a size depends on anything else, or when a
/// buffer is made inside a parallel loop.
mlir::LogicalResult planMemory(mlir::func::FuncOp function,
                               mlir::BlockArgument scratch,
                               llvm::StringRef sizeName,
                               const MemoryPlanOptions &options = {});

} // namespace lathe

#endif // LATHE_LOWER_PLANMEMORY_H
