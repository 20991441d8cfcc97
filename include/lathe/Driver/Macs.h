//===- Macs.h - multiply-adds of operations ------------------*- C++ -*- ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DRIVER_MACS_H
#define LATHE_DRIVER_MACS_H

#include "lathe/Raise/SymbolicShapes.h"
#include "mlir/IR/Operation.h"

namespace lathe {

/// Multiply-adds of the matrix products in `root` (linear, attention, MatMul)
/// as a polynomial over the entry's dims; products whose shapes are not known
/// are left out.
Poly countMacs(mlir::Operation *root, SymbolicShapes &shapes);

} // namespace lathe

#endif // LATHE_DRIVER_MACS_H
