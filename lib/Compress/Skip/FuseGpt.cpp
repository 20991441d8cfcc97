//===- FuseGpt.cpp - cuts blocks, and refits their neighbours -------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "RankingRequest.h"
#include "lathe/Compress/Calibration.h"
#include "lathe/Compress/Passes.h"

namespace lathe {
#define GEN_PASS_DEF_FUSEGPT
#include "lathe/Compress/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {
struct FuseGpt : lathe::impl::FuseGptBase<FuseGpt> {
  using FuseGptBase::FuseGptBase;

  void runOnOperation() override {
    if (failed(cutByRanking(getOperation(), profile, options(), getArgument())))
      signalPassFailure();
  }

  /// What the options ask to be searched for.
  llvm::Expected<RankingRequest::Options> options() const {
    auto amount = CutBudget::parse(cut, ratio, budget);
    if (!amount)
      return amount.takeError();
    RankingRequest::Options result;
    result.what = result.key = getArgument().str();
    result.byBlock = true;
    // Macro influence: 1 - cos of the stream behind the last block.
    result.search.distance = DistanceKind::Cosine;
    result.search.hidden = true;
    result.includeFirst = true;
    result.budget = *amount;
    result.refit = refit;
    return std::move(result);
  }
};
} // namespace

llvm::Expected<std::unique_ptr<CalibrationRequest>>
lathe::makeFuseGptRequest(Pass &pass) {
  return makeRankingRequest(static_cast<FuseGpt &>(pass).options());
}
