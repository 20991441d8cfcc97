//===- RankingRequest.cpp - searches as calibration -----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RankingRequest.h"
#include "Refit.h"
#include "lathe/Report/Report.h"
#include <cmath>

using namespace lathe;

/// The steps of an interrupted search as candidates; empty when they are of
/// other candidates.
static std::vector<SearchStep> earlierSteps(const Ranking &ranking,
                                            llvm::ArrayRef<SiteGroup> groups) {
  std::vector<SearchStep> steps;
  for (const RankingStep &step : ranking.steps) {
    auto group = llvm::find(groups, parseSiteGroup(step.site));
    if (group == groups.end())
      return {};
    steps.push_back({unsigned(group - groups.begin()), step.error});
  }
  return steps;
}

/// Evaluations of a search of `steps` steps, when all are tried at each.
static double evaluations(size_t candidates, size_t steps, bool oneShot) {
  if (oneShot)
    return double(candidates);
  double sum = 0;
  for (size_t step = 0; step < steps; ++step)
    sum += double(candidates - step);
  return sum;
}

llvm::Error RankingRequest::run(CalibrationContext &context) {
  std::vector<SiteGroup> groups =
      sublayerGroups(context.model, options.byBlock);
  size_t total = groups.size();
  if (!options.includeFirst && !groups.empty())
    groups.erase(groups.begin());
  if (groups.empty())
    return llvm::createStringError("the model has nothing that could be cut");
  auto costs =
      groupCosts(context.model, options.budget, context.profile, groups);
  if (!costs)
    return costs.takeError();
  auto search =
      SublayerSearch::create(context.runner, groups, *costs, options.search);
  if (!search)
    return search.takeError();

  Ranking &ranking = context.profile.rankings[options.key];
  ranking.measure = getName(options.search.distance);
  ranking.candidates = total;
  SearchOptions how;
  how.cost = neededCost(options.budget, total);
  // At least one sub-layer has to stay.
  how.steps = options.includeFirst ? groups.size() - 1 : groups.size();
  if (!options.oneShot)
    how.start = earlierSteps(ranking, groups);
  // As published: the earliest x of 2L come back after floor(x 2L) + 1
  // removals.
  auto fronted = size_t(std::floor(options.front * double(total) + 1e-9));
  size_t skippedFront = options.includeFirst ? fronted
                        : fronted > 0        ? fronted - 1
                                             : 0;
  how.eligible = [=](unsigned candidate, unsigned done) {
    return candidate >= skippedFront || done > fronted;
  };
  size_t steps = how.steps;
  if (!options.budget.isShareLeft())
    steps = std::min(steps, size_t(how.cost));
  double all = evaluations(groups.size(), steps, options.oneShot);
  double done = evaluations(groups.size(), how.start.size(), false);
  how.onEvaluation = [&] {
    context.progress(options.what, std::min(1.0, ++done / all));
  };
  how.onStep = [&](llvm::ArrayRef<SearchStep> steps) -> llvm::Error {
    ranking.steps.clear();
    for (const SearchStep &step : steps)
      ranking.steps.push_back(
          {toText((*search)->group(step.candidate)), step.error});
    return context.checkpoint();
  };
  auto found = options.oneShot ? oneShotSearch((*search)->candidates(), how)
                               : greedySearch((*search)->candidates(), how);
  if (!found)
    return found.takeError();
  return options.refit ? refit(context, ranking) : context.runner.reset();
}

llvm::Error RankingRequest::refit(CalibrationContext &context,
                                  const Ranking &ranking) {
  if (options.budget.kind == CutBudget::Kind::None)
    return llvm::createStringError(
        "refit belongs to one cut; give cut=N, ratio=SHARE or a budget");
  auto steps =
      stepsFor(context.model, context.profile, ranking, options.budget);
  if (!steps)
    return steps.takeError();
  std::vector<std::string> sites;
  for (size_t i = 0; i < *steps; ++i)
    llvm::append_range(sites, parseSiteGroup(ranking.steps[i].site));
  return fitMaps(context, sites, options.search.distance,
                 refitPrefix(options.key, *steps));
}

/// Says of the first group why it was not tried.
static void reportFirst(mlir::ModuleOp model, bool byBlock,
                        llvm::StringRef pass) {
  std::vector<SiteGroup> groups = sublayerGroups(model, byBlock);
  auto rows = getReportRows(model);
  if (groups.empty() || !rows)
    return llvm::consumeError(rows.takeError());
  for (const std::string &site : groups.front()) {
    if (llvm::any_of(*rows, [&](const ReportRow &row) {
          return row.site == site && row.pass == pass;
        }))
      continue;
    ReportRow row;
    row.site = site;
    row.pass = pass.str();
    row.action = ReportAction::Kept;
    row.reason = "the first is not tried without include-first";
    addReportRow(model, row);
  }
}

mlir::LogicalResult
lathe::cutByRanking(mlir::ModuleOp model, llvm::StringRef path,
                    llvm::Expected<RankingRequest::Options> options,
                    llvm::StringRef pass) {
  if (!options)
    return model.emitError()
           << pass << ": " << llvm::toString(options.takeError());
  if (mlir::failed(applyRanking(model, path, options->key, options->budget,
                                pass, options->refit)))
    return mlir::failure();
  if (!options->includeFirst)
    reportFirst(model, options->byBlock, pass);
  return mlir::success();
}

llvm::Expected<std::unique_ptr<CalibrationRequest>>
lathe::makeRankingRequest(llvm::Expected<RankingRequest::Options> options) {
  if (!options)
    return options.takeError();
  return std::make_unique<RankingRequest>(std::move(*options));
}
