//===- ModuleRecord.h - what a module says of its own history ---*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The attributes of a module that compression passes write and that profiles,
/// reports and compiled folders read:
///
/// * `lathe.source_hash`: 16 hexadecimal digits, which model this was;
/// * `lathe.passes`: pass-pipeline texts that were applied to it, in order;
/// * `lathe.removed`: sites of the sub-layers that are gone, in order;
/// * `lathe.report`: report rows, one JSON object each.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_MODULERECORD_H
#define LATHE_DIALECT_MODULERECORD_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"
#include <optional>
#include <string>
#include <vector>

namespace lathe {

inline constexpr llvm::StringLiteral kSourceHashAttr = "lathe.source_hash";
inline constexpr llvm::StringLiteral kPassesAttr = "lathe.passes";
inline constexpr llvm::StringLiteral kRemovedAttr = "lathe.removed";
inline constexpr llvm::StringLiteral kReportAttr = "lathe.report";

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

/// What a pass did or refused to do at one site. What is not known is left
/// out.
struct ReportRow {
  /// Size and cost of the site.
  struct Amounts {
    std::optional<int64_t> params;  ///< elements of weights
    std::optional<int64_t> bytes;   ///< of those weights as they are encoded
    std::optional<int64_t> macs;    ///< multiply-adds of one calibration item
    std::optional<double> seconds;  ///< measured, for one calibration item
    bool operator==(const Amounts &other) const;
  };
  std::string site;   ///< `blocks.3.attn`
  std::string pass;   ///< argument of the pass: `lathe-finercut`
  std::string action; ///< what was done: `cut`, `refit`, `refused`, ...
  std::string reason; ///< why it was refused; else empty
  Amounts before, after;
  /// Error of the model's output after this step, and how it is measured:
  /// 0.0073 of kind `js`.
  std::optional<double> error;
  std::string errorKind;

  llvm::json::Object toJson() const;
  /// Fails on what is no JSON object, lacks `site`, `pass` or `action`, or has
  /// a value of another type; further keys are ignored.
  static llvm::Expected<ReportRow> fromJson(llvm::StringRef text);
};

/// The report sink: appends a row to the module.
void addReportRow(mlir::ModuleOp model, const ReportRow &row);

/// All rows, in the order in which they were written.
llvm::Expected<std::vector<ReportRow>> reportRows(mlir::ModuleOp model);

} // namespace lathe

#endif // LATHE_DIALECT_MODULERECORD_H
