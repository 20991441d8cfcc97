//===- ModuleRecord.h - what a module says of its own history ---*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The attributes of a module that compression passes write and that profiles
/// and compiled folders read:
///
/// * `lathe.source_hash`: 16 hexadecimal digits, which model this was;
/// * `lathe.passes`: pass-pipeline texts that were applied to it, in order;
/// * `lathe.removed`: sites of the sub-layers that are gone, in order.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_MODULERECORD_H
#define LATHE_DIALECT_MODULERECORD_H

#include "mlir/IR/BuiltinOps.h"
#include <string>
#include <vector>

namespace lathe {

inline constexpr llvm::StringLiteral kSourceHashAttr = "lathe.source_hash";
inline constexpr llvm::StringLiteral kPassesAttr = "lathe.passes";
inline constexpr llvm::StringLiteral kRemovedAttr = "lathe.removed";

/// Identity of the model that `model` was made from: the recorded
/// `lathe.source_hash`, or one computed from the entries' signatures, the
/// sub-layers, and type and content hash of every weight. No bytes of weights
/// are read, and neither names nor places of files count.
std::string sourceHash(mlir::ModuleOp model);

/// Texts of the compression passes that were applied, in order.
std::vector<std::string> appliedPasses(mlir::ModuleOp model);

/// Records that the pass `text` (`PASS{options}`) was applied. Records the
/// source hash first where there is none, so it must be called before the pass
/// changes anything.
void recordPass(mlir::ModuleOp model, llvm::StringRef text);

/// Sites of removed sub-layers, in the order in which they went.
std::vector<std::string> removedSites(mlir::ModuleOp model);

/// Appends to the list of removed sub-layers.
void recordRemoved(mlir::ModuleOp model, llvm::ArrayRef<std::string> sites);

} // namespace lathe

#endif // LATHE_DIALECT_MODULERECORD_H
