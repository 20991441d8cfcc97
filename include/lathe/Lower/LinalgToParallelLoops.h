//===- LinalgToParallelLoops.h - linalg on memrefs to loops --*- C++ -* ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LOWER_LINALGTOPARALLELLOOPS_H
#define LATHE_LOWER_LINALGTOPARALLELLOOPS_H

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace lathe {

/// Turns every linalg operation on memrefs of `function` into loops: all but
/// the last parallel dim are one `scf.forall` (work for the thread pool), the
/// last parallel dim and the reduced dims are `scf.for`; sums travel in
/// registers. The innermost loop is left to LLVM's vectorizer: float
/// operations may be contracted, and those of reductions reassociated.
mlir::LogicalResult linalgToParallelLoops(mlir::func::FuncOp function);

} // namespace lathe

#endif // LATHE_LOWER_LINALGTOPARALLELLOOPS_H
