//===- Passes.h - from carrier operations to structure ----------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RAISE_PASSES_H
#define LATHE_RAISE_PASSES_H

#include "lathe/Dialect/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/Pass.h"

namespace lathe {

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "lathe/Raise/Passes.h.inc"

} // namespace lathe

#endif // LATHE_RAISE_PASSES_H
