//===- Report.h - what was done to a model, site by site --------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The report sink: passes say what they did to a site and why, and the rows
/// travel with the module as the attribute `lathe.report`, through text and
/// bytecode. What a site has before and after (parameters, bytes, MACs) is no
/// business of passes: views find it by comparing the module with its source.
/// The format is described in docs/Report.md.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_REPORT_REPORT_H
#define LATHE_REPORT_REPORT_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace lathe {

/// Attribute of a module that holds its rows.
constexpr llvm::StringLiteral kReportAttr = "lathe.report";

/// What a pass did to a site.
enum class ReportAction {
  /// The site is gone.
  Removed,
  /// The site computes something else or is written in another encoding.
  Rewritten,
  /// The site runs or not as the program decides.
  Gated,
  /// The pass looked at the site and left it as it was.
  Kept,
  /// The site was asked for and the pass cannot or must not change it.
  Refused,
};

llvm::StringRef getName(ReportAction action);
std::optional<ReportAction> parseReportAction(llvm::StringRef name);

/// One row. Everything but `site`, `pass` and `action` is optional.
struct ReportRow {
  /// Path of a `#lathe.site` such as `blocks.3.ffn`.
  std::string site;
  /// Argument of the pass, such as `lathe-finercut`.
  std::string pass;
  ReportAction action = ReportAction::Kept;
  /// Why it was kept or refused, one line.
  std::string reason;
  /// Position in the order of the pass's decisions, from 1.
  std::optional<int64_t> step;
  /// Distance of the whole model to the one the pass started from, once this
  /// row and those of earlier steps are applied, in `measure` (`js`,
  /// `bits`...).
  std::optional<double> error;
  std::string measure;
  /// Time of the site before, and of what is in its place afterwards, in
  /// milliseconds: predicted by the pass's costs, measured on the program.
  std::optional<double> msBefore, msPredicted, msMeasured;
  /// Further numbers of the pass by name, such as `skip_rate` (share of rows
  /// that skip the site, 0 to 1) or `saturation` (mean cosine of the site's
  /// input and output).
  std::map<std::string, double> values;
};

/// Appends `row` to the rows of `module`.
void addReportRow(mlir::ModuleOp module, const ReportRow &row);

/// All rows of `module` in the order in which they were added. Error: the
/// attribute was edited by hand and is not what addReportRow writes.
llvm::Expected<std::vector<ReportRow>> getReportRows(mlir::ModuleOp module);

/// The row as JSON; keys that are not set are left out.
llvm::json::Object toJson(const ReportRow &row);

} // namespace lathe

#endif // LATHE_REPORT_REPORT_H
