//===- ReportPage.cpp - the report as an HTML page ------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/Inspect.h"
#include "lathe/Driver/ReportTable.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include <algorithm>
#include <map>

using namespace lathe;
using llvm::formatv;
using llvm::StringRef;

static constexpr StringRef kStyle = R"(
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75em; margin: 2em auto;
       padding: 0 1em; color: #222; background: #fff; }
table { border-collapse: collapse; width: 100%; margin: 1em 0; }
th, td { padding: .2em .6em; text-align: right; border-bottom: 1px solid #ddd; }
th { font-weight: 600; }
.text { text-align: left; }
.removed td { color: #888; text-decoration: line-through; }
.removed td.text:last-child { text-decoration: none; }
code { font-size: .9em; }
svg { width: 100%; height: auto; margin: .5em 0; }
svg text { font: 11px system-ui, sans-serif; fill: #444; }
.old { fill: #c9d3e0; } .new { fill: #2f6db3; } .line { stroke: #2f6db3;
fill: none; stroke-width: 2; } .axis { stroke: #999; }
)";

static std::string escape(StringRef text) {
  std::string result;
  llvm::raw_string_ostream os(result);
  llvm::printHTMLEscaped(text, os);
  return result;
}

/// Three significant digits.
static std::string shortNumber(double value) {
  std::string text;
  llvm::raw_string_ostream(text) << llvm::format("%.3g", value);
  return text;
}

static std::string optionalNumber(const std::optional<double> &value) {
  return value ? shortNumber(*value) : "";
}

//===----------------------------------------------------------------------===//
// Pictures
//===----------------------------------------------------------------------===//

namespace {
/// One bar: a name, the value before (0: none) and the value now.
struct Bar {
  std::string name;
  double before, now;
};
} // namespace

/// Horizontal bars; what was before stands pale behind what is now.
static void drawBars(llvm::raw_ostream &os, llvm::ArrayRef<Bar> bars) {
  constexpr int kHeight = 16, kLeft = 150, kWidth = 900;
  double largest = 0;
  for (const Bar &bar : bars)
    largest = std::max({largest, bar.before, bar.now});
  if (largest <= 0)
    return;
  auto width = [&](double value) {
    return std::max(0.0, value) / largest * (kWidth - kLeft - 80);
  };
  os << formatv("<svg viewBox=\"0 0 {0} {1}\" role=\"img\">\n", kWidth,
                kHeight * bars.size() + 4);
  for (auto [i, bar] : llvm::enumerate(bars)) {
    int y = kHeight * i + 2;
    os << formatv("<text x=\"{0}\" y=\"{1}\" text-anchor=\"end\">{2}</text>",
                  kLeft - 6, y + 11, escape(bar.name));
    os << formatv("<rect class=\"old\" x=\"{0}\" y=\"{1}\" width=\"{2:f1}\" "
                  "height=\"12\"/>",
                  kLeft, y, width(bar.before));
    os << formatv("<rect class=\"new\" x=\"{0}\" y=\"{1}\" width=\"{2:f1}\" "
                  "height=\"12\"/>",
                  kLeft, y, width(bar.now));
    os << formatv("<text x=\"{0:f1}\" y=\"{1}\">{2}</text>\n",
                  kLeft + width(std::max(bar.before, bar.now)) + 5, y + 11,
                  shortNumber(bar.now));
  }
  os << "</svg>\n";
}

/// The error of a curve over its steps.
static void drawCurve(llvm::raw_ostream &os, const RemovalCurve &curve) {
  constexpr int kWidth = 900, kHeight = 260, kLeft = 60, kBottom = 60;
  double largest = 0;
  for (const CurvePoint &point : curve.points)
    largest = std::max(largest, point.error);
  if (largest <= 0)
    largest = 1;
  double dx = double(kWidth - kLeft - 40) / curve.points.size();
  auto x = [&](size_t i) { return kLeft + dx * (i + 0.5); };
  auto y = [&](double error) {
    return 20 + (kHeight - kBottom - 20) * (1 - std::max(0.0, error) / largest);
  };
  os << formatv("<svg viewBox=\"0 0 {0} {1}\" role=\"img\">\n", kWidth,
                kHeight);
  os << formatv(
      "<line class=\"axis\" x1=\"{0}\" y1=\"{1}\" x2=\"{2}\" "
      "y2=\"{1}\"/><text x=\"{3}\" y=\"{4}\" text-anchor=\"end\">0"
      "</text><text x=\"{3}\" y=\"24\" text-anchor=\"end\">{5}</text>\n",
      kLeft, y(0), kWidth - 20, kLeft - 6, y(0) + 4, shortNumber(largest));
  os << "<polyline class=\"line\" points=\"";
  for (auto [i, point] : llvm::enumerate(curve.points))
    os << formatv("{0:f1},{1:f1} ", x(i), y(point.error));
  os << "\"/>\n";
  for (auto [i, point] : llvm::enumerate(curve.points)) {
    std::string bytes =
        point.bytes ? ", " + roundedCount(*point.bytes) + "B left" : "";
    os << formatv("<circle class=\"new\" cx=\"{0:f1}\" cy=\"{1:f1}\" r=\"4\">"
                  "<title>{2}. {3}: {4} {5}{6}</title></circle>",
                  x(i), y(point.error), point.step, escape(point.site),
                  shortNumber(point.error), escape(point.measure), bytes);
    os << formatv("<text transform=\"translate({0:f1} {1}) rotate(-40)\" "
                  "text-anchor=\"end\">{2}</text>\n",
                  x(i) + 4, kHeight - kBottom + 14, escape(point.site));
  }
  os << "</svg>\n";
}

//===----------------------------------------------------------------------===//
// Tables
//===----------------------------------------------------------------------===//

static void writeTotals(llvm::raw_ostream &os, const ReportTable &table) {
  os << "<table><tr><th class=\"text\"></th><th>parameters</th><th>bytes</th>"
        "<th>MACs</th><th>ms</th></tr>\n";
  auto line = [&](StringRef name, const SiteCounts &counts,
                  const std::optional<double> &ms) {
    os << formatv("<tr><td class=\"text\">{0}</td><td>{1}</td><td>{2}</td>"
                  "<td>{3}</td><td>{4}</td></tr>\n",
                  name, roundedCount(counts.params), roundedCount(counts.bytes),
                  roundedCount(counts.macs), optionalNumber(ms));
  };
  if (table.before)
    line("before", *table.before, table.msBefore);
  line("after", table.after, table.msAfter);
  os << "</table>\n";
}

/// "393.2 k", "393.2 k → 98.3 k" or, if only the source has it, the old count.
static std::string change(const ReportSite &site, int64_t SiteCounts::*count) {
  std::string before = site.before ? roundedCount((*site.before).*count) : "";
  std::string after = site.after ? roundedCount((*site.after).*count) : "";
  if (before.empty() || after.empty() || before == after)
    return after.empty() ? before : after;
  return before + " → " + after;
}

static void writeSite(llvm::raw_ostream &os, const ReportSite &site) {
  const ReportRow *row = site.rows.empty() ? nullptr : &site.rows.back();
  bool isRemoved = row && row->action == ReportAction::Removed;
  os << formatv("<tr{0}><td class=\"text\">{1}</td>",
                isRemoved ? " class=\"removed\"" : "", escape(site.site));
  for (auto count :
       {&SiteCounts::params, &SiteCounts::bytes, &SiteCounts::macs})
    os << formatv("<td>{0}</td>", change(site, count));
  os << formatv("<td>{0}</td><td>{1}</td>",
                row ? optionalNumber(row->error) : "",
                row ? escape(row->measure) : "");
  os << formatv("<td>{0}</td><td>{1}</td><td>{2}</td>",
                optionalNumber(site.timeBefore()),
                row ? optionalNumber(row->msPredicted) : "",
                optionalNumber(site.timeAfter()));
  std::string note;
  for (const ReportRow &each : site.rows) {
    if (!note.empty())
      note += "; ";
    note += (getName(each.action) + " by " + each.pass).str();
    if (each.step)
      note += ", step " + std::to_string(*each.step);
    if (!each.reason.empty())
      note += ": " + each.reason;
  }
  if (site.encodingBefore != site.encodingAfter)
    note += (note.empty() ? "" : "; ") + site.encodingBefore + " → " +
            site.encodingAfter;
  os << formatv("<td class=\"text\">{0}</td></tr>\n", escape(note));
}

static void writeSites(llvm::raw_ostream &os, const ReportTable &table) {
  os << "<table><tr><th class=\"text\">site</th><th>parameters</th>"
        "<th>bytes</th><th>MACs</th><th>error</th><th>in</th><th>ms before</th>"
        "<th>predicted</th><th>measured</th><th class=\"text\">what was done"
        "</th></tr>\n";
  for (const ReportSite &site : table.sites)
    writeSite(os, site);
  os << "</table>\n";
}

/// A picture for each number that passes gave by name.
static void writeValues(llvm::raw_ostream &os, const ReportTable &table) {
  std::map<std::string, std::vector<Bar>> charts;
  for (const ReportSite &site : table.sites)
    for (const ReportRow &row : site.rows)
      for (auto &[name, value] : row.values)
        charts[name].push_back({site.site, 0, value});
  for (auto &[name, bars] : charts) {
    os << "<h2>" << escape(name) << "</h2>\n";
    drawBars(os, bars);
  }
}

std::string lathe::toHtml(const ReportTable &table) {
  std::string page;
  llvm::raw_string_ostream os(page);
  os << "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
     << "<title>Report: " << escape(table.model) << "</title>\n<style>"
     << kStyle << "</style></head><body>\n<h1>" << escape(table.model)
     << "</h1>\n<p>Made from <code>" << escape(table.source) << "</code>";
  for (const std::string &pass : table.passes)
    os << (pass == table.passes.front() ? " by " : ", ") << "<code>"
       << escape(pass) << "</code>";
  os << ".</p>\n";
  writeTotals(os, table);
  if (!table.openDims.empty())
    os << "<p>MACs with " << escape(llvm::join(table.openDims, " = "))
       << " = 1.</p>\n";
  for (const RemovalCurve &curve : table.curves) {
    os << "<h2>Removal curve of " << escape(curve.pass) << "</h2>\n<p>"
       << escape(curve.points.front().measure)
       << " to the model before, after each step</p>\n";
    drawCurve(os, curve);
  }
  os << "<h2>Bytes by site</h2>\n";
  std::vector<Bar> bars;
  for (const ReportSite &site : table.sites)
    if (site.kind != "weight")
      bars.push_back({site.site, site.before ? double(site.before->bytes) : 0,
                      site.after ? double(site.after->bytes) : 0});
  drawBars(os, bars);
  writeValues(os, table);
  os << "<h2>Sites</h2>\n";
  writeSites(os, table);
  os << "</body></html>\n";
  return page;
}
