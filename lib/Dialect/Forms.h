//===- Forms.h - checks of index expressions in operations ------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_DIALECT_FORMS_H
#define LATHE_LIB_DIALECT_FORMS_H

#include "lathe/Dialect/Lathe.h"

namespace lathe {

/// Checks that `form` is a predicate (or a number) over the coordinates
/// `i0 .. i(coords-1)` whose every `read(n, [...])` names one of `reads` with
/// one index per dim. Errors are about the attribute `name` of `op`.
mlir::LogicalResult verifyForm(mlir::Operation *op, llvm::StringRef name,
                               FormAttr form, bool predicate, unsigned coords,
                               mlir::ValueRange reads);

/// Checks that `map` lists one index per dim of `value`, over the coordinates
/// `i0 .. i3`, without reads.
mlir::LogicalResult verifyMap(mlir::Operation *op, llvm::StringRef name,
                              FormAttr map, mlir::Value value);

/// Checks that `text` is a number over named dims, and `extent` when both are
/// constant.
mlir::LogicalResult
verifyExtent(llvm::function_ref<mlir::InFlightDiagnostic()> emitError,
             llvm::StringRef text, int64_t extent);

} // namespace lathe

#endif // LATHE_LIB_DIALECT_FORMS_H
