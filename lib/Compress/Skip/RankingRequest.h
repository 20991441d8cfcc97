//===- RankingRequest.h - searches as calibration ---------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A request that searches for an order in which sub-layers or blocks may go
/// and writes it to the profile.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_COMPRESS_SKIP_RANKINGREQUEST_H
#define LATHE_LIB_COMPRESS_SKIP_RANKINGREQUEST_H

#include "CutBudget.h"

namespace lathe {

class RankingRequest : public CalibrationRequest {
public:
  struct Options {
    std::string key;  ///< of the ranking in the profile
    std::string what; ///< for progress: the pass
    bool byBlock = false;
    bool oneShot = false;
    SublayerSearch::Options search;
    /// Share of the earliest candidates that are not tried before as many
    /// removals and one more have been made.
    double front = 0;
    /// Whether the first sub-layer, or block, is tried at all.
    bool includeFirst = false;
    CutBudget budget;
    /// Fit maps for what the budget cuts, too (Refit.h).
    bool refit = false;
  };
  explicit RankingRequest(Options options) : options(std::move(options)) {}

  llvm::Error run(CalibrationContext &context) override;

private:
  llvm::Error refit(CalibrationContext &context, const Ranking &ranking);

  Options options;
};

/// What a pass that cuts by a ranking does: cuts what `options` ask for by the
/// profile `path`, under the name of `pass`. Reports options that are wrong.
mlir::LogicalResult
cutByRanking(mlir::ModuleOp model, llvm::StringRef path,
             llvm::Expected<RankingRequest::Options> options,
             llvm::StringRef pass);

/// The request of such a pass.
llvm::Expected<std::unique_ptr<CalibrationRequest>>
makeRankingRequest(llvm::Expected<RankingRequest::Options> options);

} // namespace lathe

#endif // LATHE_LIB_COMPRESS_SKIP_RANKINGREQUEST_H
