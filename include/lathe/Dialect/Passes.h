//===- Passes.h - passes on payloads ----------------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_PASSES_H
#define LATHE_DIALECT_PASSES_H

#include "mlir/Pass/Pass.h"

namespace lathe {

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "lathe/Dialect/Passes.h.inc"

} // namespace lathe

#endif // LATHE_DIALECT_PASSES_H
