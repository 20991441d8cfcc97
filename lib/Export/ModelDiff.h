//===- ModelDiff.h - what was done to a model -------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Compares a model with its source, both at the same level. The two are equal
/// when they compute the same from the same inputs, whatever the order and the
/// grouping of operations: every value gets a number that two values share only
/// if they are computed in the same way.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_EXPORT_MODELDIFF_H
#define LATHE_LIB_EXPORT_MODELDIFF_H

#include "lathe/Dialect/Lathe.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace lathe {

/// A sub-layer of the source that the model does not run.
struct RemovedSublayer {
  SublayerOp sublayer; ///< of the source's plain entry
  /// Post-norm: the norm went with the branch.
  bool withNorm = false;
};

/// An operation that reads a weight, in both models.
struct WeightUse {
  mlir::Operation *op; ///< of the source
  WeightOp before, after;
};

/// A constant whose bytes were changed.
struct ConstantChange {
  ConstantOp before, after;
};

/// All differences; anything else that differs is an error.
struct ModelDiff {
  std::vector<RemovedSublayer> removed;
  /// Names of the plain entry's inputs and outputs that are gone.
  std::vector<std::string> droppedInputs, droppedOutputs;
  /// Every use, also of weights that are as they were.
  std::vector<WeightUse> weights;
  std::vector<ConstantChange> constants;

  bool changesGraph() const {
    return !removed.empty() || !droppedInputs.empty() ||
           !droppedOutputs.empty();
  }
};

/// Compares modules of one context. The error names the first operation that
/// the source does not have.
llvm::Expected<ModelDiff> diffModels(mlir::ModuleOp source,
                                     mlir::ModuleOp model);

} // namespace lathe

#endif // LATHE_LIB_EXPORT_MODELDIFF_H
