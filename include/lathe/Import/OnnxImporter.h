//===- OnnxImporter.h - ONNX to the imported level --------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Makes a module of the imported level from an ONNX file: one `lathe.onnx` op
/// per node, weights as references into the file.
//===----------------------------------------------------------------------===//

#ifndef LATHE_IMPORT_ONNXIMPORTER_H
#define LATHE_IMPORT_ONNXIMPORTER_H

#include "lathe/Import/ElementType.h"
#include "lathe/Import/Problems.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace lathe {

class OnnxModel;

/// Constants of at least this many bytes stay in their file.
constexpr uint64_t kInlineLimit = 1024;

struct ImportOptions {
  /// Further folders in which external data may lie.
  std::vector<std::string> externalDataRoots;
};

/// Imports the model at `path` (relative paths in the IR are relative to the
/// working directory). On failure everything that is wrong is in `problems` and
/// the result is null.
mlir::OwningOpRef<mlir::ModuleOp> importOnnx(llvm::StringRef path,
                                             mlir::MLIRContext *context,
                                             const ImportOptions &options,
                                             Problems &problems);

/// The same for a model that is loaded already.
mlir::OwningOpRef<mlir::ModuleOp> importOnnx(const OnnxModel &model,
                                             mlir::MLIRContext *context,
                                             Problems &problems);

/// The same; prints notes and the error block to `errors`.
mlir::OwningOpRef<mlir::ModuleOp> importOnnx(llvm::StringRef path,
                                             mlir::MLIRContext *context,
                                             const ImportOptions &options,
                                             llvm::raw_ostream &errors);

/// The element type as MLIR has it: signed integers are signless, unsigned ones
/// are not, booleans are i1. `type` must be supported.
mlir::Type toMlirType(ElementType type, mlir::MLIRContext *context);

} // namespace lathe

#endif // LATHE_IMPORT_ONNXIMPORTER_H
