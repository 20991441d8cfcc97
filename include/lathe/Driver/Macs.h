//===- Macs.h - multiply-adds of operations ------------------*- C++ -*- ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DRIVER_MACS_H
#define LATHE_DRIVER_MACS_H

#include "lathe/Dialect/Lathe.h"
#include "lathe/Raise/SymbolicShapes.h"
#include "mlir/IR/Operation.h"
#include "llvm/ADT/StringMap.h"

namespace lathe {

/// Multiply-adds of the matrix products in `root` (linear, attention, MatMul)
/// as a polynomial over the entry's dims; products whose shapes are not known
/// are left out.
Poly countMacs(mlir::Operation *root, SymbolicShapes &shapes);

/// Keys that an attention without a cache sees: what it says itself, or the
/// extent of the dim of k whose index is i2 alone. Of one with a cache, the
/// rows that it appends.
Poly countKeys(AttentionOp attention, SymbolicShapes &shapes);

/// Value of `poly` at `dims`, where a dim that is not given is 1; 0 if `poly`
/// is null or not a whole number there.
int64_t valueAt(Poly poly, const llvm::StringMap<int64_t> &dims);

} // namespace lathe

#endif // LATHE_DRIVER_MACS_H
