//===- Lathe.h - the lathe dialect ------------------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Declares the dialect, its types, attributes, interfaces and operations.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_LATHE_H
#define LATHE_DIALECT_LATHE_H

#include "lathe/Dialect/PayloadStore.h"
#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpDefinition.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/ControlFlowInterfaces.h"
#include "mlir/Interfaces/DestinationStyleOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "lathe/Dialect/LatheDialect.h.inc"
#include "lathe/Dialect/LatheEnums.h.inc"

#include "lathe/Dialect/LatheAttrInterfaces.h.inc"

#define GET_ATTRDEF_CLASSES
#include "lathe/Dialect/LatheAttrs.h.inc"

#define GET_TYPEDEF_CLASSES
#include "lathe/Dialect/LatheTypes.h.inc"

#define GET_OP_CLASSES
#include "lathe/Dialect/LatheOps.h.inc"

namespace lathe {

/// The payload store of the context that `op` lives in.
PayloadStore &getPayloads(mlir::Operation *op);

/// Bytes that `elements` elements of `type` take in a payload: booleans take a
/// byte, narrower types are packed. Fails on overflow and on types without a
/// size.
mlir::FailureOr<int64_t> payloadBytes(mlir::Type type, int64_t elements);

/// Product of the extents; fails on a negative extent and on overflow.
mlir::FailureOr<int64_t> checkedNumElements(llvm::ArrayRef<int64_t> shape);

} // namespace lathe

#endif // LATHE_DIALECT_LATHE_H
