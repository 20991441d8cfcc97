//===- Passes.h - compression methods ---------------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_COMPRESS_PASSES_H
#define LATHE_COMPRESS_PASSES_H

#include "lathe/Dialect/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Pass/Pass.h"

namespace lathe {

#define GEN_PASS_DECL
#define GEN_PASS_REGISTRATION
#include "lathe/Compress/Passes.h.inc"

} // namespace lathe

#endif // LATHE_COMPRESS_PASSES_H
