//===- Observe.cpp - statistics of values for people and programs ---------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Compress/Calibration.h"
#include "lathe/Compress/Passes.h"
#include "lathe/Dialect/ModuleRecord.h"
#include "lathe/Report/Report.h"
#include "llvm/Support/GlobPattern.h"

namespace lathe {
#define GEN_PASS_DEF_OBSERVE
#include "lathe/Compress/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

/// The sites that the user wants.
class SiteFilter {
public:
  static llvm::Expected<SiteFilter> parse(ArrayRef<std::string> patterns) {
    for (const std::string &pattern : patterns)
      if (auto glob = llvm::GlobPattern::create(pattern); !glob)
        return llvm::createStringError(
            "sites: '" + pattern + "': " + llvm::toString(glob.takeError()));
    SiteFilter filter;
    filter.patterns = patterns;
    return std::move(filter);
  }
  std::vector<std::string> select(ArrayRef<std::string> sites) const {
    if (patterns.empty())
      return sites;
    // They refer to the text, so they are made where it stays.
    std::vector<llvm::GlobPattern> globs;
    for (const std::string &pattern : patterns)
      globs.push_back(cantFail(llvm::GlobPattern::create(pattern)));
    std::vector<std::string> selected;
    llvm::copy_if(sites, std::back_inserter(selected), [&](StringRef site) {
      return llvm::any_of(globs, [&](const llvm::GlobPattern &glob) {
        return glob.match(site);
      });
    });
    return selected;
  }

private:
  std::vector<std::string> patterns;
};

struct Observe : lathe::impl::ObserveBase<Observe> {
  using ObserveBase::ObserveBase;

  void runOnOperation() override {
    if (llvm::Error error = report()) {
      getOperation().emitError()
          << getArgument() << ": " << llvm::toString(std::move(error));
      signalPassFailure();
    }
  }

  llvm::Expected<std::unique_ptr<CalibrationRequest>> makeRequest();

private:
  llvm::Error report();
};

/// A statistic that is wanted, with its size.
using Wanted = std::pair<StatisticKind, int64_t>;

class ObserveRequest : public CalibrationRequest {
public:
  ObserveRequest(SiteFilter filter, std::vector<Wanted> statistics)
      : filter(std::move(filter)), statistics(std::move(statistics)) {}

  llvm::Error declare(ModuleOp model, Observers &observers) override;

private:
  SiteFilter filter;
  std::vector<Wanted> statistics;
};

} // namespace

llvm::Error ObserveRequest::declare(ModuleOp model, Observers &observers) {
  ObservableSites sites = observableSites(model);
  std::vector<std::string> linears = filter.select(sites.linears),
                           sublayers = filter.select(sites.sublayers);
  for (auto [kind, size] : statistics) {
    auto &own = isOfChange(kind) ? sublayers : linears;
    if (own.empty())
      return llvm::createStringError(
          "lathe-observe: no " +
          llvm::Twine(isOfChange(kind) ? "sub-layer" : "linear") +
          " has a site of 'sites', but '" + getName(kind) + "' is wanted");
    for (const std::string &site : own) {
      if (isOfChange(kind))
        observers.observeChange(site, site, site, kind);
      else
        observers.observe(site, kind, size);
    }
  }
  return llvm::Error::success();
}

llvm::Expected<std::unique_ptr<CalibrationRequest>> Observe::makeRequest() {
  auto filter = SiteFilter::parse(ArrayRef<std::string>(sites));
  if (!filter)
    return filter.takeError();
  if (bins <= 0 || bins % 4 != 0)
    return llvm::createStringError("bins=" + llvm::Twine(bins) +
                                   " is not a positive multiple of 4");
  if (rows <= 0)
    return llvm::createStringError("rows=" + llvm::Twine(rows) +
                                   " is not positive");
  std::vector<std::string> names(statistics.begin(), statistics.end());
  if (names.empty())
    names = {"minmax", "moments", "norms", "cosine"};
  std::vector<Wanted> wanted;
  for (const std::string &name : names) {
    auto kind = parseStatisticKind(name);
    if (!kind)
      return llvm::createStringError("there is no statistic '" + name + "'");
    int64_t size = *kind == StatisticKind::Histogram ? bins
                   : *kind == StatisticKind::Rows    ? rows
                                                     : 0;
    wanted.emplace_back(*kind, size);
  }
  return std::make_unique<ObserveRequest>(std::move(*filter),
                                          std::move(wanted));
}

/// Reports what the profile says of each site that is still there.
llvm::Error Observe::report() {
  ModuleOp model = getOperation();
  if (profile.empty())
    return llvm::createStringError("needs profile=FILE");
  auto filter = SiteFilter::parse(ArrayRef<std::string>(sites));
  if (!filter)
    return filter.takeError();
  auto measured = Profile::load(profile);
  if (!measured)
    return measured.takeError();
  if (llvm::Error error = measured->checkSource(profile, model))
    return error;
  auto values = observedValues(*measured);
  ObservableSites present = observableSites(model);
  std::vector<std::string> order = present.sublayers;
  llvm::append_range(order, present.linears);
  bool any = false;
  for (const std::string &site : filter->select(order)) {
    auto found = values.find(site);
    if (found == values.end())
      continue;
    ReportRow row;
    row.site = site;
    row.pass = getArgument().str();
    row.values = found->second;
    addReportRow(model, row);
    any = true;
  }
  if (any)
    return llvm::Error::success();
  return llvm::createStringError("profile '" + profile +
                                 "' says nothing of these sites; run lathe "
                                 "calibrate --for 'lathe-observe{...}'");
}

llvm::Expected<std::unique_ptr<CalibrationRequest>>
lathe::makeObserveRequest(Pass &pass) {
  return static_cast<Observe &>(pass).makeRequest();
}
