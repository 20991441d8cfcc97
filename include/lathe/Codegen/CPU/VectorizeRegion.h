//===- VectorizeRegion.h - scalar regions on vectors ------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_VECTORIZEREGION_H
#define LATHE_CODEGEN_CPU_VECTORIZEREGION_H

#include "mlir/IR/Builders.h"
#include "mlir/IR/Region.h"

namespace lathe {

/// Clones the single block of `region`, whose arguments and operations are
/// scalars, into operations on vectors of `lanes` elements at the builder's
/// position and returns the operands of the terminator as vectors.
///
/// `arguments` replaces the block arguments: vectors of `lanes` elements, or
/// scalars that every lane shares. Values from outside the region are shared
/// too. Every operation must be elementwise-mappable (arith, math: casts,
/// comparisons and select included) or a constant; another one is an error on
/// that operation.
mlir::FailureOr<llvm::SmallVector<mlir::Value>>
vectorizeScalarRegion(mlir::OpBuilder &builder, mlir::Region &region,
                      mlir::ValueRange arguments, int64_t lanes);

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_VECTORIZEREGION_H
