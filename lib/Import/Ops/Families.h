//===- Families.h - Rows of the operator table ------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Every family of operators is one file with one table of rows. To add an
/// operator, add a row to the file of its family.
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_IMPORT_OPS_FAMILIES_H
#define LATHE_LIB_IMPORT_OPS_FAMILIES_H

#include "lathe/Import/OpRegistry.h"

namespace lathe {

llvm::ArrayRef<OpRow> elementwiseOps();
llvm::ArrayRef<OpRow> activationOps();
llvm::ArrayRef<OpRow> movementOps();
llvm::ArrayRef<OpRow> generationOps();
llvm::ArrayRef<OpRow> reductionOps();
llvm::ArrayRef<OpRow> linearAlgebraOps();
llvm::ArrayRef<OpRow> normalizationOps();
llvm::ArrayRef<OpRow> attentionOps();
llvm::ArrayRef<OpRow> convolutionOps();
llvm::ArrayRef<OpRow> quantizationOps();
/// Domain com.microsoft.
llvm::ArrayRef<OpRow> contribOps();

/// Operators of ONNX that are not read, with the reason.
llvm::ArrayRef<RefusedOp> refusedOps();

} // namespace lathe

#endif // LATHE_LIB_IMPORT_OPS_FAMILIES_H
