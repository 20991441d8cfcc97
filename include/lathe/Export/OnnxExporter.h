//===- OnnxExporter.h - a rewritten model back to ONNX ----------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Writes a model as an ONNX file by editing the file that it was made from:
/// what no pass touched stays as it is, name by name and byte by byte. What was
/// changed is found by comparing the module with its source taken to the same
/// level again; what has no form in ONNX is refused. docs/Export.md says what
/// is known.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_EXPORT_ONNXEXPORTER_H
#define LATHE_EXPORT_ONNXEXPORTER_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"
#include <cstdint>
#include <string>
#include <vector>

namespace lathe {

/// Weights of at most this many bytes in all stay inside the ONNX file; larger
/// models get `FILE.data` beside it.
constexpr uint64_t kEmbedLimit = uint64_t(256) << 20;

struct ExportOptions {
  /// Further folders in which external data of the source may lie.
  std::vector<std::string> externalDataRoots;
  /// Folder in which the source is looked for by its name if it is not where
  /// the module says: the one of the module's file.
  std::string searchFolder;
  /// Most bytes of weights that stay inside the file.
  uint64_t embedLimit = kEmbedLimit;
};

/// Writes `model`, at the imported, raised or structure level, to the ONNX file
/// `path` (and `path`.data); equal modules give equal bytes. The files appear
/// complete or not at all. Not to be called while a pass runs. The error is one
/// block without its `error: `: the source is missing or was changed, something
/// in the model has no form in ONNX, a file cannot be written.
llvm::Error exportOnnx(mlir::ModuleOp model, llvm::StringRef path,
                       const ExportOptions &options = {});

} // namespace lathe

#endif // LATHE_EXPORT_ONNXEXPORTER_H
