//===- Activation.h - activations on scalars --------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_LOWER_ACTIVATION_H
#define LATHE_LIB_LOWER_ACTIVATION_H

#include "Scalars.h"
#include "lathe/Dialect/Lathe.h"

namespace lathe {

/// `lathe.activation` of one float.
mlir::Value emitActivation(Scalars &s, ActivationKind kind, mlir::Value x);

} // namespace lathe

#endif // LATHE_LIB_LOWER_ACTIVATION_H
