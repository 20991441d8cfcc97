//===- Race.h - which of two is worse, from a part of the data --*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_COMPRESS_SEARCH_RACE_H
#define LATHE_COMPRESS_SEARCH_RACE_H

#include <cstdint>

namespace lathe {

/// Paired comparison of a candidate with a leader on the same samples, while
/// they come in (the races of Maron and Moore, NIPS 1993, with Student's paired
/// t-test for the bound).
class Race {
public:
  /// `difference` is the candidate's error less the leader's on one sample.
  void add(double difference);

  /// Whether the candidate's mean error is above the leader's at `confidence`
  /// in (0, 1), by the one-sided test. False before two samples and at 1.
  bool isWorse(double confidence) const;

private:
  int64_t count = 0;
  double mean = 0;
  double squares = 0; ///< sum of squared distances from the mean
};

} // namespace lathe

#endif // LATHE_COMPRESS_SEARCH_RACE_H
