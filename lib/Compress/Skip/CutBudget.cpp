//===- CutBudget.cpp - how much of a ranking to cut -----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CutBudget.h"
#include "Refit.h"
#include "lathe/Compress/Skip/SublayerSurgery.h"
#include "lathe/Dialect/ModuleRecord.h"
#include "llvm/Support/FormatVariadic.h"
#include <cmath>

using namespace mlir;
using namespace lathe;

/// Sums of costs are compared with this tolerance.
static constexpr double kSlack = 1e-9;

llvm::Expected<CutBudget> CutBudget::parse(unsigned cut, double ratio,
                                           StringRef budget) {
  CutBudget result;
  if ((cut > 0) + (ratio != 0) + !budget.empty() > 1)
    return llvm::createStringError("cut, ratio and budget exclude each other");
  if (cut > 0) {
    result.kind = Kind::Count;
    result.count = cut;
  } else if (ratio != 0) {
    result.kind = Kind::Ratio;
    result.share = ratio;
  } else if (!budget.empty()) {
    auto [name, number] = budget.split(':');
    result.kind = name == "latency" ? Kind::Latency
                  : name == "bytes" ? Kind::Bytes
                                    : Kind::None;
    if (result.kind == Kind::None || number.getAsDouble(result.share))
      return llvm::createStringError(
          "budget=" + budget +
          " is neither latency:SHARE nor bytes:SHARE, the share that may be "
          "left");
  }
  bool isShare = result.kind != Kind::None && result.kind != Kind::Count;
  if (isShare && !(result.share > 0 && result.share < 1))
    return llvm::createStringError("a share must lie between 0 and 1");
  return result;
}

double lathe::neededCost(const CutBudget &budget, size_t groups) {
  switch (budget.kind) {
  case CutBudget::Kind::None:
    return std::max<double>(1, double(groups / 2));
  case CutBudget::Kind::Count:
    return budget.count;
  case CutBudget::Kind::Ratio:
    return std::floor(budget.share * double(groups) + kSlack);
  case CutBudget::Kind::Latency:
  case CutBudget::Kind::Bytes:
    return 1 - budget.share - kSlack;
  }
  llvm_unreachable("all kinds are handled");
}

//===----------------------------------------------------------------------===//
// Costs
//===----------------------------------------------------------------------===//

/// Bytes of all weights and what removing each sub-layer of the original model
/// saves of them. What is shared with others counts for each.
static int64_t modelBytes(ModuleOp model) {
  int64_t bytes = 0;
  for (auto weight : model.getOps<WeightOp>()) {
    WeightType type = weight.getWeightType();
    bytes += type.getEncodingInterface().storageBits(type.getShape()) / 8;
  }
  return bytes;
}

static llvm::Expected<double> secondsOf(const Profile &profile,
                                        const std::string &site) {
  auto found = profile.seconds.find(site);
  if (found == profile.seconds.end())
    return llvm::createStringError("the profile has no time of '" + site + "'");
  return found->second;
}

llvm::Expected<std::vector<double>>
lathe::groupCosts(ModuleOp model, const CutBudget &budget,
                  const Profile &profile, ArrayRef<SiteGroup> groups) {
  bool isTime = budget.kind == CutBudget::Kind::Latency;
  if (!isTime && budget.kind != CutBudget::Kind::Bytes)
    return std::vector<double>(groups.size(), 1);
  llvm::StringMap<int64_t> bytes;
  for (SublayerOp sublayer : plainSublayers(model))
    bytes[sublayer.getSite().getPath()] = weightBytes(sublayer);
  double whole = double(modelBytes(model));
  if (isTime) {
    auto seconds = secondsOf(profile, "model");
    if (!seconds)
      return seconds.takeError();
    whole = *seconds;
  }
  std::vector<double> costs;
  for (const SiteGroup &group : groups) {
    double cost = 0;
    for (const std::string &site : group) {
      if (!isTime) {
        cost += double(bytes.lookup(site));
        continue;
      }
      auto seconds = secondsOf(profile, site);
      if (!seconds)
        return seconds.takeError();
      cost += *seconds;
    }
    costs.push_back(whole > 0 ? cost / whole : 0);
  }
  return costs;
}

//===----------------------------------------------------------------------===//
// Applying
//===----------------------------------------------------------------------===//

namespace {
/// A prefix of a ranking, and how much of it is cut from the model already.
struct Prefix {
  size_t steps = 0, done = 0;
};
} // namespace

/// How many of the ranking's first steps have been cut, provided that nothing
/// else was done to the model since the profile was made.
static llvm::Expected<size_t> stepsDone(ModuleOp model, const Profile &profile,
                                        StringRef path,
                                        const Ranking &ranking) {
  std::vector<std::string> removed = removedSites(model);
  size_t done = 0, at = 0;
  // Sites that were gone when the profile was made are in no ranking.
  for (const RankingStep &step : ranking.steps) {
    SiteGroup group = parseSiteGroup(step.site);
    if (!llvm::all_of(group, [&](const std::string &site) {
          return llvm::is_contained(removed, site);
        }))
      break;
    ++done;
    at += group.size();
  }
  if (done == 0) {
    if (llvm::Error error = profile.check(path, model))
      return std::move(error);
    return 0;
  }
  // Only cuts of this ranking may have come since: a ranking survives its own.
  std::vector<std::string> applied = appliedPasses(model);
  bool known =
      applied.size() >= profile.passes.size() &&
      std::equal(profile.passes.begin(), profile.passes.end(), applied.begin());
  size_t since = 0;
  for (size_t i = profile.passes.size(); known && i < applied.size(); ++i) {
    StringRef text = applied[i];
    known = text.starts_with("lathe-cut-sublayers{");
    since += text.count(',') + 1;
  }
  if (!known || since != at)
    return llvm::createStringError(
        "profile '" + path +
        "' ranks the model before other passes were applied; calibrate again");
  return done;
}

/// All of `ranking`, which saves `saved`, is less than `budget` asks for.
static llvm::Error tooShort(StringRef path, const Ranking &ranking,
                            const CutBudget &budget, double saved) {
  std::string ranks =
      llvm::formatv("profile '{0}' ranks {1} of {2} candidates, which", path,
                    ranking.steps.size(), ranking.candidates);
  if (!budget.isShareLeft())
    return llvm::createStringError(
        ranks + " is not enough; calibrate with this cut or ratio, or ask for "
                "less");
  StringRef name =
      budget.kind == CutBudget::Kind::Latency ? "latency" : "bytes";
  return llvm::createStringError(llvm::formatv(
      "budget={0}:{1} cannot be reached: {2} leave {3:f1} %; ask for less, or "
      "calibrate with this budget",
      name, llvm::format("%g", budget.share), ranks, 100 * (1 - saved)));
}

static llvm::Expected<Prefix>
choosePrefix(ModuleOp model, const Profile &profile, StringRef path,
             const Ranking &ranking, const CutBudget &budget) {
  Prefix prefix;
  auto done = stepsDone(model, profile, path, ranking);
  if (!done)
    return done.takeError();
  prefix.done = *done;
  std::vector<SiteGroup> groups;
  for (const RankingStep &step : ranking.steps)
    groups.push_back(parseSiteGroup(step.site));
  // A budget of what is gone cannot be told from the model any more.
  if (budget.isShareLeft() && prefix.done > 0)
    return llvm::createStringError(
        "a budget refers to the whole model, but sub-layers are cut already; "
        "give cut=N");
  auto costs = groupCosts(model, budget, profile, groups);
  if (!costs)
    return costs.takeError();
  double needed = neededCost(budget, ranking.candidates), sum = 0;
  for (; prefix.steps < costs->size() && sum < needed; ++prefix.steps)
    sum += (*costs)[prefix.steps];
  if (sum < needed)
    return tooShort(path, ranking, budget, sum);
  return prefix;
}

LogicalResult lathe::applyRanking(ModuleOp model, const Profile &profile,
                                  StringRef path, const Ranking &ranking,
                                  const CutBudget &budget, StringRef pass) {
  auto prefix = choosePrefix(model, profile, path, ranking, budget);
  if (!prefix)
    return model.emitError()
           << pass << ": " << llvm::toString(prefix.takeError());
  std::vector<std::string> sites;
  llvm::StringMap<size_t> steps;
  for (size_t i = prefix->done; i < prefix->steps; ++i)
    for (std::string &site : parseSiteGroup(ranking.steps[i].site)) {
      steps[site] = i;
      sites.push_back(std::move(site));
    }
  return cutSublayers(model, sites, pass, [&](ReportRow &row) {
    size_t step = steps.lookup(row.site);
    row.step = step + 1;
    row.error = ranking.steps[step].error;
    row.measure = ranking.measure;
    auto seconds = profile.seconds.find(row.site);
    if (seconds == profile.seconds.end())
      return;
    row.msBefore = seconds->second * 1e3;
    row.msPredicted = 0;
  });
}

llvm::Expected<size_t> lathe::stepsFor(ModuleOp model, const Profile &profile,
                                       const Ranking &ranking,
                                       const CutBudget &budget) {
  auto prefix = choosePrefix(model, profile, "", ranking, budget);
  if (!prefix)
    return prefix.takeError();
  return prefix->steps;
}

LogicalResult lathe::applyRanking(ModuleOp model, StringRef path, StringRef key,
                                  const CutBudget &budget, StringRef pass,
                                  bool refit) {
  auto fail = [&](const Twine &reason) {
    return model.emitError() << pass << ": " << reason;
  };
  if (path.empty())
    return fail("needs profile=FILE, made by 'lathe calibrate --for " + pass +
                "'");
  if (budget.kind == CutBudget::Kind::None)
    return fail("needs one of cut=N, ratio=SHARE, budget=latency:SHARE and "
                "budget=bytes:SHARE");
  auto profile = Profile::load(path);
  if (!profile)
    return fail(llvm::toString(profile.takeError()));
  if (llvm::Error error = profile->checkSource(path, model))
    return fail(llvm::toString(std::move(error)));
  auto ranking = profile->rankings.find(key.str());
  if (ranking == profile->rankings.end())
    return fail("profile '" + path + "' has no ranking '" + key +
                "'; calibrate for this pass with these options");
  if (!refit)
    return applyRanking(model, *profile, path, ranking->second, budget, pass);
  auto prefix = choosePrefix(model, *profile, path, ranking->second, budget);
  if (!prefix)
    return fail(llvm::toString(prefix.takeError()));
  if (failed(
          applyRanking(model, *profile, path, ranking->second, budget, pass)))
    return failure();
  return applyMaps(model, *profile, path, refitPrefix(key, prefix->steps),
                   pass);
}
