//===- Race.cpp - which of two is worse, from a part of the data ----------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Compress/Search/Race.h"
#include "unsupported/Eigen/SpecialFunctions"

using namespace lathe;

void Race::add(double difference) {
  ++count;
  double before = difference - mean;
  mean += before / double(count);
  squares += before * (difference - mean);
}

bool Race::isWorse(double confidence) const {
  if (count < 2 || !(mean > 0) || confidence >= 1)
    return false;
  if (squares == 0)
    return true;
  // P(T > t) = ½ I_x(ν/2, ½) with x = ν / (ν + t²).
  double freedom = double(count - 1);
  double t2 = mean * mean * double(count) * freedom / squares;
  double above =
      0.5 * Eigen::numext::betainc(freedom / 2, 0.5, freedom / (freedom + t2));
  return above < 1 - confidence;
}
