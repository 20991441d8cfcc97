//===- ReportTable.h - a model beside its source, site by site --*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// What `lathe report` shows: the rows that passes wrote, joined with what each
/// site has in the source and in the model. docs/Report.md describes the JSON.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_DRIVER_REPORTTABLE_H
#define LATHE_DRIVER_REPORTTABLE_H

#include "lathe/Report/Report.h"
#include "llvm/ADT/StringMap.h"
#include <optional>
#include <string>
#include <vector>

namespace lathe {

/// Size and work of a site or of a whole model.
struct SiteCounts {
  int64_t params = 0; ///< elements of its weights
  int64_t bytes = 0;  ///< of those weights as they are encoded
  int64_t macs = 0;   ///< multiply-adds of the plain entry at the given dims
};

/// One site: a sub-layer, or a weight that was changed or has rows.
struct ReportSite {
  std::string site;
  std::string kind; ///< `attn`, `ffn`, `weight`; empty if neither model has it
  /// Nothing: the source is not at hand, or the site is gone.
  std::optional<SiteCounts> before, after;
  /// Of weights: how they are written.
  std::string encodingBefore, encodingAfter;
  /// Milliseconds, measured by the view.
  std::optional<double> msBefore, msAfter;
  std::vector<ReportRow> rows; ///< in the order of the passes

  /// Milliseconds as the view measured them, else as the last pass says.
  std::optional<double> timeBefore() const {
    return msBefore || rows.empty() ? msBefore : rows.back().msBefore;
  }
  std::optional<double> timeAfter() const {
    return msAfter || rows.empty() ? msAfter : rows.back().msMeasured;
  }
};

/// A point of a removal curve: what is left once a step is applied.
struct CurvePoint {
  int64_t step = 0;
  std::string site;
  double error = 0;
  std::string measure;
  std::optional<int64_t> bytes; ///< of all weights, if the source is at hand
};

/// The removals of one pass in the order of its steps.
struct RemovalCurve {
  std::string pass;
  std::vector<CurvePoint> points;
};

struct ReportTable {
  std::string model, source;
  std::vector<std::string> passes;   ///< applied, as `PASS{options}`
  std::vector<std::string> openDims; ///< not given, counted as 1
  std::optional<SiteCounts> before;
  SiteCounts after;
  std::optional<double> msBefore, msAfter;
  std::vector<ReportSite> sites;
  std::vector<RemovalCurve> curves;
};

/// Joins the rows of `model` with the counts of both. `source` is null if it is
/// not at hand. Error: the rows are not what passes write.
llvm::Expected<ReportTable>
makeReportTable(mlir::ModuleOp model, mlir::ModuleOp source,
                const llvm::StringMap<int64_t> &dims);

/// The table as the JSON of docs/Report.md.
llvm::json::Object toJson(const ReportTable &table);

/// The table as one HTML page with its pictures inside; it loads nothing.
std::string toHtml(const ReportTable &table);

} // namespace lathe

#endif // LATHE_DRIVER_REPORTTABLE_H
