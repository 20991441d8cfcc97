//===- CutBudget.h - how much of a ranking to cut ---------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The options `cut`, `ratio` and `budget` of the passes that remove what a
/// ranking says, and applying a prefix of the ranking.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_COMPRESS_SKIP_CUTBUDGET_H
#define LATHE_LIB_COMPRESS_SKIP_CUTBUDGET_H

#include "SublayerSearch.h"
#include "lathe/Calibrate/Profile.h"
#include "mlir/IR/BuiltinOps.h"

namespace lathe {

/// How much is to be cut; exactly one way, or none while calibrating.
struct CutBudget {
  enum class Kind { None, Count, Ratio, Latency, Bytes };
  Kind kind = Kind::None;
  unsigned count = 0;
  /// Ratio: share of the candidates to cut. Latency, Bytes: share of the whole
  /// model's time or weights that may be left.
  double share = 0;

  /// Whether it says how much of the whole model may be left.
  bool isShareLeft() const {
    return kind == Kind::Latency || kind == Kind::Bytes;
  }

  /// Reads the options: `cut` 0, `ratio` 0 and `budget` empty are not given.
  static llvm::Expected<CutBudget> parse(unsigned cut, double ratio,
                                         llvm::StringRef budget);
};

/// What removing each group saves of the budget's whole: 1 each without a
/// budget, else its share of the model's seconds or bytes of weights.
llvm::Expected<std::vector<double>>
groupCosts(mlir::ModuleOp model, const CutBudget &budget,
           const Profile &profile, llvm::ArrayRef<SiteGroup> groups);

/// The sum of costs at which a search for `budget` over `groups` may end; half
/// of the groups where no budget is given.
double neededCost(const CutBudget &budget, size_t groups);

/// Loads `path`, takes as much of its ranking `key` as `budget` asks for and
/// cuts it from `model` under the name of `pass`. What is cut already counts,
/// if it is the ranking's beginning. With `refit` the maps that were fitted for
/// exactly this cut (Refit.h) are folded into what is left.
mlir::LogicalResult applyRanking(mlir::ModuleOp model, llvm::StringRef path,
                                 llvm::StringRef key, const CutBudget &budget,
                                 llvm::StringRef pass, bool refit = false);

/// How many steps of `ranking` `budget` asks for on the model that it is of.
llvm::Expected<size_t> stepsFor(mlir::ModuleOp model, const Profile &profile,
                                const Ranking &ranking,
                                const CutBudget &budget);

/// The same on a ranking at hand.
mlir::LogicalResult applyRanking(mlir::ModuleOp model, const Profile &profile,
                                 llvm::StringRef path, const Ranking &ranking,
                                 const CutBudget &budget, llvm::StringRef pass);

} // namespace lathe

#endif // LATHE_LIB_COMPRESS_SKIP_CUTBUDGET_H
