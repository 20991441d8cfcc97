//===- Report.cpp - what was done to a model, site by site ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Report/Report.h"
#include "lathe/Dialect/Lathe.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace lathe;

static constexpr std::pair<ReportAction, StringLiteral> kActions[] = {
    {ReportAction::Removed, "removed"}, {ReportAction::Rewritten, "rewritten"},
    {ReportAction::Gated, "gated"},     {ReportAction::Kept, "kept"},
    {ReportAction::Refused, "refused"},
};

/// Optional numbers of a row and their keys, in IR and in JSON.
static constexpr std::pair<StringLiteral, std::optional<double> ReportRow::*>
    kNumbers[] = {
        {"error", &ReportRow::error},
        {"ms_before", &ReportRow::msBefore},
        {"ms_predicted", &ReportRow::msPredicted},
        {"ms_measured", &ReportRow::msMeasured},
};

StringRef lathe::getName(ReportAction action) {
  for (auto &[value, name] : kActions)
    if (value == action)
      return name;
  llvm_unreachable("all actions have names");
}

std::optional<ReportAction> lathe::parseReportAction(StringRef name) {
  for (auto &[value, text] : kActions)
    if (text == name)
      return value;
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// To and from IR
//===----------------------------------------------------------------------===//

static DictionaryAttr toAttr(MLIRContext *context, const ReportRow &row) {
  Builder builder(context);
  NamedAttrList attrs;
  attrs.set("site", SiteAttr::get(context, row.site));
  attrs.set("pass", builder.getStringAttr(row.pass));
  attrs.set("action", builder.getStringAttr(getName(row.action)));
  if (!row.reason.empty())
    attrs.set("reason", builder.getStringAttr(row.reason));
  if (!row.measure.empty())
    attrs.set("measure", builder.getStringAttr(row.measure));
  if (row.step)
    attrs.set("step", builder.getI64IntegerAttr(*row.step));
  for (auto [key, member] : kNumbers)
    if (row.*member)
      attrs.set(key, builder.getF64FloatAttr(*(row.*member)));
  if (!row.values.empty()) {
    NamedAttrList values;
    for (auto &[name, value] : row.values)
      values.set(name, builder.getF64FloatAttr(value));
    attrs.set("values", values.getDictionary(context));
  }
  return attrs.getDictionary(context);
}

/// Sets `target` to the number of `attr`; false if it is none.
static bool readNumber(Attribute attr, std::optional<double> &target) {
  auto number = dyn_cast<FloatAttr>(attr);
  if (number)
    target = number.getValueAsDouble();
  return static_cast<bool>(number);
}

static bool readText(Attribute attr, std::string &target) {
  auto text = dyn_cast<StringAttr>(attr);
  if (text)
    target = text.str();
  return static_cast<bool>(text);
}

static bool readEntry(NamedAttribute entry, ReportRow &row) {
  StringRef key = entry.getName();
  Attribute value = entry.getValue();
  if (key == "site") {
    auto site = dyn_cast<SiteAttr>(value);
    if (site)
      row.site = site.getPath().str();
    return static_cast<bool>(site);
  }
  if (key == "pass")
    return readText(value, row.pass);
  if (key == "reason")
    return readText(value, row.reason);
  if (key == "measure")
    return readText(value, row.measure);
  if (key == "action") {
    auto text = dyn_cast<StringAttr>(value);
    auto action = text ? parseReportAction(text) : std::nullopt;
    row.action = action.value_or(ReportAction::Kept);
    return action.has_value();
  }
  if (key == "step") {
    auto step = dyn_cast<IntegerAttr>(value);
    if (!step || !step.getType().isInteger(64))
      return false;
    row.step = step.getInt();
    return true;
  }
  if (key == "values") {
    auto values = dyn_cast<DictionaryAttr>(value);
    return values && llvm::all_of(values, [&](NamedAttribute named) {
             std::optional<double> number;
             if (!readNumber(named.getValue(), number))
               return false;
             row.values[named.getName().str()] = *number;
             return true;
           });
  }
  for (auto [name, member] : kNumbers)
    if (key == name)
      return readNumber(value, row.*member);
  return false;
}

void lathe::addReportRow(ModuleOp module, const ReportRow &row) {
  SmallVector<Attribute> rows;
  if (auto old = module->getAttrOfType<ArrayAttr>(kReportAttr))
    rows.assign(old.begin(), old.end());
  rows.push_back(toAttr(module.getContext(), row));
  module->setAttr(kReportAttr, ArrayAttr::get(module.getContext(), rows));
}

llvm::Expected<std::vector<ReportRow>> lathe::getReportRows(ModuleOp module) {
  std::vector<ReportRow> rows;
  Attribute attr = module->getAttr(kReportAttr);
  if (!attr)
    return rows;
  auto fail = [&](const Twine &reason) {
    return llvm::createStringError("the module's '" + kReportAttr + "' " +
                                   reason);
  };
  auto list = dyn_cast<ArrayAttr>(attr);
  if (!list)
    return fail("is no list");
  for (auto [i, element] : llvm::enumerate(list)) {
    auto entries = dyn_cast<DictionaryAttr>(element);
    if (!entries)
      return fail("has a row " + Twine(i) + " that is no dictionary");
    ReportRow &row = rows.emplace_back();
    for (StringRef key : {"site", "pass", "action"})
      if (!entries.contains(key))
        return fail("has a row " + Twine(i) + " without '" + key + "'");
    for (NamedAttribute entry : entries)
      if (!readEntry(entry, row))
        return fail("has a row " + Twine(i) + " with a bad '" +
                    entry.getName().getValue() + "'");
  }
  return rows;
}

//===----------------------------------------------------------------------===//
// To JSON
//===----------------------------------------------------------------------===//

llvm::json::Object lathe::toJson(const ReportRow &row) {
  llvm::json::Object object{
      {"site", row.site}, {"pass", row.pass}, {"action", getName(row.action)}};
  if (!row.reason.empty())
    object["reason"] = row.reason;
  if (!row.measure.empty())
    object["measure"] = row.measure;
  if (row.step)
    object["step"] = *row.step;
  for (auto [key, member] : kNumbers)
    if (row.*member)
      object[key] = *(row.*member);
  if (!row.values.empty()) {
    llvm::json::Object values;
    for (auto &[name, value] : row.values)
      values[name] = value;
    object["values"] = std::move(values);
  }
  return object;
}
