//===- Activation.h - activations on scalars --------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LOWER_ACTIVATION_H
#define LATHE_LOWER_ACTIVATION_H

#include "lathe/Dialect/Lathe.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace lathe {

/// `lathe.activation` of one float `x`, in `arith` and `math`.
mlir::Value emitActivation(mlir::ImplicitLocOpBuilder &builder,
                           ActivationKind kind, mlir::Value x);

} // namespace lathe

#endif // LATHE_LOWER_ACTIVATION_H
