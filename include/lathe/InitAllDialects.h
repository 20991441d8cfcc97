//===- InitAllDialects.h - everything that a tool may parse -----*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Registers Lathe's dialect, and for tools that stand alone the upstream
/// dialects, extensions and interfaces beside it.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_INITALLDIALECTS_H
#define LATHE_INITALLDIALECTS_H

#include "lathe/Dialect/Lathe.h"
#include "mlir/InitAllDialects.h"
#include "mlir/InitAllExtensions.h"

namespace lathe {

/// Registers the dialects of Lathe only, for a host that has registered what
/// else it needs.
inline void registerDialects(mlir::DialectRegistry &registry) {
  registry.insert<LatheDialect>();
}

/// Registers the dialects of Lathe and all of upstream.
inline void registerAllDialects(mlir::DialectRegistry &registry) {
  mlir::registerAllDialects(registry);
  mlir::registerAllExtensions(registry);
  registerDialects(registry);
}

} // namespace lathe

#endif // LATHE_INITALLDIALECTS_H
