//===- Pipelines.h - levels of a model --------------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The pipelines that take an imported model up.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_RAISE_PIPELINES_H
#define LATHE_RAISE_PIPELINES_H

#include "llvm/ADT/StringRef.h"
#include <optional>

namespace mlir {
class OpPassManager;
} // namespace mlir

namespace lathe {

/// How far a model is taken (`lathe.level` of its module).
enum class ModelLevel {
  /// One carrier per node.
  Imported,
  /// Typed operations, index expressions, entries.
  Raised,
  /// Sub-layers and blocks.
  Structure,
};

/// `imported`, `raised` or `structure`.
llvm::StringRef getName(ModelLevel level);
std::optional<ModelLevel> parseModelLevel(llvm::StringRef name);

/// Adds the passes that take an imported module to `level`. On a module that
/// is there already they change nothing.
void raisePipeline(mlir::OpPassManager &manager, ModelLevel level);

/// Registers `lathe-raise` and `lathe-structure`.
void registerRaisePipelines();

} // namespace lathe

#endif // LATHE_RAISE_PIPELINES_H
