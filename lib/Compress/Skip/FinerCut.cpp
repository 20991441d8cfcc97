//===- FinerCut.cpp - cuts the sub-layers that the output needs least -----===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RankingRequest.h"
#include "lathe/Compress/Calibration.h"
#include "lathe/Compress/Passes.h"

namespace lathe {
#define GEN_PASS_DEF_FINERCUT
#include "lathe/Compress/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {
struct FinerCut : lathe::impl::FinerCutBase<FinerCut> {
  using FinerCutBase::FinerCutBase;

  void runOnOperation() override {
    if (failed(cutByRanking(getOperation(), profile, options(), getArgument())))
      signalPassFailure();
  }

  /// What the options ask to be searched for.
  llvm::Expected<RankingRequest::Options> options() const;
};
} // namespace

llvm::Expected<RankingRequest::Options> FinerCut::options() const {
  auto kind = parseDistanceKind(distance);
  if (!kind || *kind == DistanceKind::Cosine)
    return llvm::createStringError(
        "distance=" + distance +
        " is not one of js, js-reversed, kl, angular, norm");
  if (!(front >= 0 && front < 1))
    return llvm::createStringError("front must be at least 0 and below 1");
  if (search != "greedy" && search != "one-shot")
    return llvm::createStringError("search=" + search +
                                   " is neither greedy nor one-shot");
  if (!(race >= 0.5 && race <= 1))
    return llvm::createStringError("race must be at least 0.5 and at most 1");
  auto amount = CutBudget::parse(cut, ratio, budget);
  if (!amount)
    return amount.takeError();
  RankingRequest::Options result;
  result.what = getArgument().str();
  result.search.distance = *kind;
  result.search.race = race;
  result.front = front;
  result.includeFirst = includeFirst;
  result.oneShot = search == "one-shot";
  result.budget = *amount;
  result.refit = refit;
  // What the ranking depends on, and nothing else.
  result.key = result.what + "." + distance;
  if (result.oneShot)
    result.key += ".one-shot";
  if (front > 0)
    result.key += ".front=" + std::to_string(front);
  if (includeFirst)
    result.key += ".include-first";
  return std::move(result);
}

llvm::Expected<std::unique_ptr<CalibrationRequest>>
lathe::makeFinerCutRequest(Pass &pass) {
  return makeRankingRequest(static_cast<FinerCut &>(pass).options());
}
