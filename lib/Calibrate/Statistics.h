//===- Statistics.h - what observers add up ---------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_CALIBRATE_STATISTICS_H
#define LATHE_LIB_CALIBRATE_STATISTICS_H

#include "lathe/Calibrate/Observers.h"
#include "lathe/Calibrate/Rows.h"
#include "llvm/ADT/ArrayRef.h"

namespace lathe {

/// A statistic in the making.
class Statistic {
public:
  virtual ~Statistic() = default;
  /// Rows of a value or, of a change, before and behind, with the same numbers.
  virtual void add(const ObservedRows &before, const ObservedRows &behind) = 0;
  /// Its arrays by name, without the site. Fails when memory is short.
  virtual llvm::Error finish(std::map<std::string, rt::Tensor> &arrays) = 0;

  static std::unique_ptr<Statistic> create(StatisticKind kind, int64_t size);
};

} // namespace lathe

#endif // LATHE_LIB_CALIBRATE_STATISTICS_H
