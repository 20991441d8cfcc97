//===- Passes.h - passes of the lowering ------------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LOWER_PASSES_H
#define LATHE_LOWER_PASSES_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/Pass/Pass.h"

namespace lathe {

/// What the weights of a model become that leaves Lathe.
enum class WeightForm { Constants, Arguments };

#define GEN_PASS_DECL
#include "lathe/Lower/Passes.h.inc"

#define GEN_PASS_REGISTRATION
#include "lathe/Lower/Passes.h.inc"

} // namespace lathe

#endif // LATHE_LOWER_PASSES_H
