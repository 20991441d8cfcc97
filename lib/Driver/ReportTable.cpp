//===- ReportTable.cpp - a model beside its source, site by site ----------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/ReportTable.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Dialect/ModuleRecord.h"
#include "lathe/Driver/Inspect.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/Support/FormatVariadic.h"
#include <map>

using namespace mlir;
using namespace lathe;
namespace json = llvm::json;

//===----------------------------------------------------------------------===//
// Joining
//===----------------------------------------------------------------------===//

namespace {

struct WeightSummary {
  SiteCounts counts;
  std::string encoding;
  std::string content; ///< hashes of the parts
};

class TableBuilder {
public:
  TableBuilder(ModuleOp model, ModuleOp source,
               const llvm::StringMap<int64_t> &dims)
      : model(model), source(source), dims(dims) {}

  llvm::Expected<ReportTable> run();

private:
  ReportSite &at(StringRef site);
  void addSublayers();
  void addWeights();
  void addCurves(ArrayRef<ReportRow> rows);

  ModuleOp model, source;
  const llvm::StringMap<int64_t> &dims;
  ReportTable table;
  llvm::StringMap<unsigned> numbers;
};

} // namespace

ReportSite &TableBuilder::at(StringRef site) {
  auto [number, isNew] = numbers.try_emplace(site, table.sites.size());
  if (isNew)
    table.sites.emplace_back().site = site.str();
  return table.sites[number->second];
}

void TableBuilder::addSublayers() {
  auto add = [&](const ModelSummary &summary,
                 std::optional<SiteCounts> ReportSite::*counts) {
    for (const SublayerSummary &sublayer : summary.sublayers) {
      ReportSite &site = at(sublayer.site);
      site.kind = sublayer.kind;
      site.*counts = SiteCounts{sublayer.params, sublayer.bytes, sublayer.macs};
    }
  };
  // The source has all sites in their order.
  if (source) {
    ModelSummary summary = inspectModel(source, dims);
    table.before = SiteCounts{summary.params, summary.bytes, summary.macs};
    add(summary, &ReportSite::before);
  }
  ModelSummary summary = inspectModel(model, dims);
  table.after = {summary.params, summary.bytes, summary.macs};
  table.openDims = summary.openDims;
  add(summary, &ReportSite::after);
}

static llvm::MapVector<StringRef, WeightSummary> getWeights(ModuleOp module) {
  llvm::MapVector<StringRef, WeightSummary> weights;
  for (auto weight : module.getOps<WeightOp>()) {
    WeightSummary &summary = weights[weight.getSymName()];
    WeightType type = weight.getWeightType();
    summary.counts.params = type.getNumElements();
    summary.counts.bytes =
        type.getEncodingInterface().storageBits(type.getShape()) / 8;
    llvm::raw_string_ostream(summary.encoding) << type.getEncoding();
    for (NamedAttribute part : weight.getParts())
      if (auto blob = dyn_cast<PayloadAttr>(part.getValue()))
        summary.content += blob.getHash();
  }
  return weights;
}

/// Weights that are in both and differ.
void TableBuilder::addWeights() {
  if (!source)
    return;
  llvm::MapVector<StringRef, WeightSummary> old = getWeights(source),
                                            now = getWeights(model);
  for (auto &[name, after] : now) {
    auto before = old.find(name);
    bool isSame = before != old.end() &&
                  before->second.encoding == after.encoding &&
                  before->second.content == after.content;
    if (isSame && !numbers.contains(name))
      continue;
    ReportSite &site = at(name);
    site.kind = "weight";
    site.after = after.counts;
    site.encodingAfter = after.encoding;
    if (before == old.end())
      continue;
    site.before = before->second.counts;
    site.encodingBefore = before->second.encoding;
  }
}

void TableBuilder::addCurves(ArrayRef<ReportRow> rows) {
  llvm::MapVector<StringRef, std::vector<const ReportRow *>> passes;
  for (const ReportRow &row : rows)
    if (row.action == ReportAction::Removed && row.step && row.error)
      passes[row.pass].push_back(&row);
  for (auto &[pass, steps] : passes) {
    // Rows of one step are in the order in which they were added.
    llvm::sort(steps, [](const ReportRow *a, const ReportRow *b) {
      return std::pair(*a->step, a) < std::pair(*b->step, b);
    });
    RemovalCurve &curve = table.curves.emplace_back();
    curve.pass = pass.str();
    std::optional<int64_t> left;
    if (table.before)
      left = table.before->bytes;
    for (const ReportRow *row : steps) {
      if (const std::optional<SiteCounts> &before = at(row->site).before;
          left && before)
        *left -= before->bytes;
      curve.points.push_back(
          {*row->step, row->site, *row->error, row->measure, left});
    }
  }
}

llvm::Expected<ReportTable> TableBuilder::run() {
  auto rows = getReportRows(model);
  if (!rows)
    return rows.takeError();
  if (auto name = model->getAttrOfType<StringAttr>(LatheDialect::kSourceAttr))
    table.source = name.str();
  table.passes = appliedPasses(model);
  addSublayers();
  for (const ReportRow &row : *rows)
    at(row.site).rows.push_back(row);
  addWeights();
  addCurves(*rows);
  return std::move(table);
}

llvm::Expected<ReportTable>
lathe::makeReportTable(ModuleOp model, ModuleOp source,
                       const llvm::StringMap<int64_t> &dims) {
  return TableBuilder(model, source, dims).run();
}

//===----------------------------------------------------------------------===//
// JSON
//===----------------------------------------------------------------------===//

static json::Object toJson(const SiteCounts &counts) {
  return json::Object{{"params", counts.params},
                      {"bytes", counts.bytes},
                      {"macs", counts.macs}};
}

static json::Value toJson(const std::optional<SiteCounts> &counts) {
  return counts ? json::Value(toJson(*counts)) : json::Value(nullptr);
}

/// The row of a site: what its last pass said, and all that passes said.
static json::Object toJson(const ReportSite &site) {
  json::Object object;
  if (!site.rows.empty())
    object = lathe::toJson(site.rows.back());
  object["site"] = site.site;
  object["kind"] = site.kind;
  object["before"] = toJson(site.before);
  object["after"] = toJson(site.after);
  if (!site.encodingBefore.empty())
    object["encoding_before"] = site.encodingBefore;
  if (!site.encodingAfter.empty())
    object["encoding_after"] = site.encodingAfter;
  if (site.msBefore)
    object["ms_before"] = *site.msBefore;
  if (site.msAfter)
    object["ms_measured"] = *site.msAfter;
  if (site.rows.size() > 1) {
    json::Array history;
    for (const ReportRow &row : site.rows)
      history.push_back(lathe::toJson(row));
    object["history"] = std::move(history);
  }
  return object;
}

static json::Object toJson(const RemovalCurve &curve) {
  json::Array points;
  for (const CurvePoint &point : curve.points) {
    json::Object object{{"step", point.step},
                        {"site", point.site},
                        {"error", point.error},
                        {"measure", point.measure}};
    if (point.bytes)
      object["bytes"] = *point.bytes;
    points.push_back(std::move(object));
  }
  return json::Object{{"pass", curve.pass}, {"points", std::move(points)}};
}

json::Object lathe::toJson(const ReportTable &table) {
  json::Array rows, curves, passes, openDims;
  for (const ReportSite &site : table.sites)
    rows.push_back(::toJson(site));
  for (const RemovalCurve &curve : table.curves)
    curves.push_back(::toJson(curve));
  for (const std::string &pass : table.passes)
    passes.push_back(pass);
  for (const std::string &dim : table.openDims)
    openDims.push_back(dim);
  json::Object object{{"format", 1},
                      {"model", table.model},
                      {"source", table.source},
                      {"passes", std::move(passes)},
                      {"open_dims", std::move(openDims)},
                      {"before", ::toJson(table.before)},
                      {"after", ::toJson(table.after)},
                      {"curves", std::move(curves)},
                      {"rows", std::move(rows)}};
  if (table.msBefore)
    object["ms_before"] = *table.msBefore;
  if (table.msAfter)
    object["ms_measured"] = *table.msAfter;
  return object;
}
