//===- ShortGpt.cpp - cuts the blocks that turn the stream least ----------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RankingRequest.h"
#include "lathe/Compress/Calibration.h"
#include "lathe/Compress/Passes.h"

namespace lathe {
#define GEN_PASS_DEF_SHORTGPT
#include "lathe/Compress/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

struct ShortGpt : lathe::impl::ShortGptBase<ShortGpt> {
  using ShortGptBase::ShortGptBase;

  void runOnOperation() override {
    auto amount = parse();
    if (!amount) {
      getOperation().emitError()
          << getArgument() << ": " << llvm::toString(amount.takeError());
      return signalPassFailure();
    }
    if (failed(applyRanking(getOperation(), profile, key(), *amount,
                            getArgument())))
      signalPassFailure();
  }

  std::string key() const { return (getArgument() + "." + distance).str(); }
  DistanceKind kind() const { return *parseDistanceKind(distance); }
  llvm::Expected<CutBudget> parse() const {
    if (distance != "cosine" && distance != "angular")
      return llvm::createStringError("distance=" + distance +
                                     " is neither cosine nor angular");
    return CutBudget::parse(cut, ratio, budget);
  }
};

/// The influence of each block on the residual stream: how far it turns it.
class InfluenceRequest : public CalibrationRequest {
public:
  InfluenceRequest(std::string key, DistanceKind distance)
      : key(std::move(key)), distance(distance),
        statistic(distance == DistanceKind::Angular ? StatisticKind::Angular
                                                    : StatisticKind::Cosine) {}

  llvm::Error declare(ModuleOp model, Observers &observers) override {
    for (const SiteGroup &block : sublayerGroups(model, /*byBlock=*/true))
      for (StatisticKind kind : {statistic, StatisticKind::Norms})
        observers.observeChange(toText(block), block.front(), block.back(),
                                kind);
    return llvm::Error::success();
  }
  llvm::Error run(CalibrationContext &context) override;

private:
  std::string key;
  DistanceKind distance;
  StatisticKind statistic;
};

} // namespace

llvm::Error InfluenceRequest::run(CalibrationContext &context) {
  std::vector<std::pair<double, std::string>> order;
  for (const SiteGroup &block :
       sublayerGroups(context.model, /*byBlock=*/true)) {
    for (const std::string &site : block)
      if (context.runner.stageOf(site) < 0)
        return llvm::createStringError("block of '" + site +
                                       "' cannot be left out");
    std::string site = toText(block);
    const rt::Tensor *influence =
        context.profile.find((getName(statistic) + "/" + site).str());
    const rt::Tensor *rows = context.profile.find("count/" + site);
    if (!influence || !rows || *rows->as<int64_t>() == 0)
      return llvm::createStringError("the residual stream around '" + site +
                                     "' has no rows to compare");
    order.emplace_back(*influence->as<double>(), site);
  }
  llvm::stable_sort(order, llvm::less_first());
  Ranking &ranking = context.profile.rankings[key];
  ranking.measure = getName(distance);
  ranking.candidates = order.size();
  ranking.steps.clear();
  for (auto &[influence, block] : order)
    ranking.steps.push_back({block, influence});
  return context.checkpoint();
}

llvm::Expected<std::unique_ptr<CalibrationRequest>>
lathe::makeShortGptRequest(Pass &pass) {
  auto &options = static_cast<ShortGpt &>(pass);
  auto amount = options.parse();
  if (!amount)
    return amount.takeError();
  return std::make_unique<InfluenceRequest>(options.key(), options.kind());
}
