//===- StageTable.h - an entry cut into stages -----------------*- C++ -*- ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Cuts an entry of a model at the structure level into stages: every
/// sub-layer is one, and what lies between sub-layers is one. Equal stages
/// (same operations, other weights) have the same text, hence one function.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_DRIVER_STAGETABLE_H
#define LATHE_DRIVER_STAGETABLE_H

#include "lathe/Dialect/Lathe.h"
#include "lathe/Lower/WeightPacking.h"
#include "lathe/Runtime/Manifest.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/Error.h"
#include <string>
#include <vector>

namespace lathe {

/// One distinct stage function.
struct StageFunction {
  std::string name; ///< exported symbol
  std::string text; ///< a module with the one function @name
  /// The text without the name and without locations: the same for equal stages
  /// of all models.
  std::string content;
};

/// One row of an entry's stage table, with references into the model's parts.
struct StageRow {
  std::string site;
  unsigned function;           ///< into ModelStages::functions
  std::vector<unsigned> parts; ///< into ModelStages::parts
  std::vector<rt::Ref> args, outs;
  std::optional<uint32_t> residual;
  std::optional<rt::Expr> macs;
  std::string kind; ///< of the sub-layer, or empty
  std::optional<rt::SkipRule> skip;
};

/// Everything of an entry but the code.
struct EntryStages {
  rt::Entry entry; ///< stages and their parts are filled after compilation
  std::vector<StageRow> rows;
};

/// All entries of a model.
struct ModelStages {
  std::vector<StageFunction> functions;
  std::vector<PartSource> parts;
  std::vector<EntryStages> entries;
};

/// Cuts the entries `names` of `model` (all when empty). The module is left as
/// it is. Errors name the operation whose shape is no expression of the
/// entry's dims, or that an entry is missing.
llvm::Expected<ModelStages> buildStages(mlir::ModuleOp model,
                                        llvm::ArrayRef<std::string> names = {});

} // namespace lathe

#endif // LATHE_DRIVER_STAGETABLE_H
