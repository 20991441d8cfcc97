//===- StridedView.h - run-time strided operands of kernels -----*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// How kernels that move whole heads address their operands: a one-dimensional
// buffer, and per call an element offset and one element stride per
// coordinate. Head split and merge, grouped heads, packed QKV, and caches with
// a capacity are all such views; the kernel never sees a tensor's shape.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_STRIDEDVIEW_H
#define LATHE_CODEGEN_CPU_STRIDEDVIEW_H

#include "lathe/Codegen/CPU/KernelBuilder.h"

namespace lathe {

/// One operand inside a kernel. Element (c0, c1, …) stands at
/// `memory[offset + c0 * strides[0] + c1 * strides[1] + …]`; the last
/// coordinate is the column.
struct StridedView {
  /// `memref<?xT>`, T = f32, f16 or bf16.
  mlir::Value memory;
  mlir::Value offset;
  llvm::SmallVector<mlir::Value, 4> strides;
  /// The column stride is known to be 1, whatever its argument says.
  bool unitColumns = true;

  /// The index of (coordinates…, column 0); there is one coordinate fewer than
  /// there are strides.
  mlir::Value row(KernelBuilder &b, mlir::ValueRange coordinates) const;
  /// The index of column `column` of the row that starts at `row`.
  mlir::Value column(KernelBuilder &b, mlir::Value row,
                     mlir::Value column) const;
  /// `count` columns from `column` on as f32: one load, or one per lane when
  /// columns are not adjacent. `count` 1 gives a vector too.
  mlir::Value load(KernelBuilder &b, mlir::Value row, mlir::Value column,
                   int64_t count) const;
  /// One element as f32.
  mlir::Value loadScalar(KernelBuilder &b, mlir::Value row,
                         mlir::Value column) const;
  /// The first `count` columns from `column` on as `lanes` f32; the other lanes
  /// are zero and nothing behind the columns is read.
  mlir::Value loadPadded(KernelBuilder &b, mlir::Value row, mlir::Value column,
                         int64_t count) const;
};

/// Appends the argument types of one view with `coordinates` strides:
/// `memref<?xelement>, index offset, index stride…`.
void appendViewTypes(llvm::SmallVectorImpl<mlir::Type> &types,
                     mlir::Type element, int64_t coordinates);

/// Takes the arguments that `appendViewTypes` described off the front of
/// `arguments`.
StridedView takeView(mlir::ValueRange &arguments, int64_t coordinates,
                     bool unitColumns);

/// Takes the first of `arguments`.
mlir::Value takeArgument(mlir::ValueRange &arguments);

/// A scalar or vector of f32, f16 or bf16 as f32.
mlir::Value extendToF32(KernelBuilder &b, mlir::Value value);

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_STRIDEDVIEW_H
