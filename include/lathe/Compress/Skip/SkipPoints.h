//===- SkipPoints.h - measured rules of FFN skipping ------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// What rules of FFN-SkipLLM cost on calibration data: the loss of decoding and
/// the share of FFNs that was skipped, rule by rule, as it lies in a profile.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_COMPRESS_SKIP_SKIPPOINTS_H
#define LATHE_COMPRESS_SKIP_SKIPPOINTS_H

#include "lathe/Calibrate/Profile.h"
#include "llvm/Support/raw_ostream.h"
#include <optional>

namespace lathe {

/// A family of rules that differ in their threshold only.
struct SkipSeries {
  bool random = false;
  int64_t k = 1;
  int64_t front = 0, tail = 0;

  bool operator==(const SkipSeries &other) const {
    return random == other.random && k == other.k && front == other.front &&
           tail == other.tail;
  }
};

/// A rule and what it did.
struct SkipPoint {
  SkipSeries series;
  double threshold = 0;      ///< the cosine tau; of the rule random its chance
  double ratio = 0;          ///< share of all FFNs that rows skipped
  double loss = 0;           ///< bits per token
  std::vector<double> rates; ///< of each FFN the share of rows that skipped it
};

/// What an option of the pass restricts the choice to.
struct SkipFilter {
  std::optional<int64_t> k, front, tail;

  bool allows(const SkipSeries &series) const {
    return (!k || *k == series.k) && (!front || *front == series.front) &&
           (!tail || *tail == series.tail);
  }
};

/// All that was measured with one length of the warm-up.
class SkipPoints {
public:
  double dense = 0; ///< loss without skipping
  /// Of each FFN the mean cosine of the residual stream before and behind it.
  std::vector<double> saturation;
  std::vector<SkipPoint> points;

  /// Fails when the profile has none under `key`, or not what `store` writes.
  static llvm::Expected<SkipPoints> load(const Profile &profile,
                                         llvm::StringRef key);
  llvm::Error store(Profile &profile, llvm::StringRef key) const;

  /// The rule of least loss that skips `ratio`, by a series of measured points
  /// on both sides of it (one is enough within half a percent): threshold, loss
  /// and rates are interpolated between the two. The first of equals; nothing
  /// where no series reaches that far.
  std::optional<SkipPoint> best(bool random, double ratio,
                                const SkipFilter &filter = {}) const;

  /// The measured ratio nearest to `ratio` at which the cosine beats chance.
  std::optional<double> nearestWin(double ratio,
                                   const SkipFilter &filter) const;

  /// Least and largest ratio for which there is a rule; 0 and 0 without any.
  std::pair<double, double> range(const SkipFilter &filter) const;

  /// A table of the points, for people.
  void print(llvm::raw_ostream &out) const;
};

/// Key of a profile's points; the warm-up is part of what was measured.
std::string skipPointsKey(int64_t warmup);

/// Keys of all points in a profile.
std::vector<std::string> skipPointsKeys(const Profile &profile);

} // namespace lathe

#endif // LATHE_COMPRESS_SKIP_SKIPPOINTS_H
