//===- LinearPlan.h - how a matrix product is cut ---------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_LINEARPLAN_H
#define LATHE_CODEGEN_CPU_LINEARPLAN_H

#include "lathe/Codegen/CPU/EmitLinear.h"
#include "llvm/ADT/SmallVector.h"

namespace lathe {

/// The cuts of a linear kernel, from registers to threads. They change its time
/// and never its result.
struct LinearPlan {
  /// Columns of the register tile of 1, 2, … rows. The last one is the tile
  /// that a run with many rows is made of; the others are its tails, and all
  /// there is of a run with few rows: the first is the kernel of one row.
  llvm::SmallVector<int64_t> tileColumns;
  /// Steps of k, of `LinearSpec::getSteps()`, that are summed before the sums
  /// go through memory. The last block may be shorter.
  int64_t blockSteps = 0;
  /// Rows of a unit of parallel work, which has one panel of columns.
  int64_t blockRows = 0;
  /// Units that a thread takes at once.
  int64_t grain = 1;

  int64_t getTileRows() const { return tileColumns.size(); }
  /// Blocks that `steps` steps of k are cut into.
  int64_t getBlocks(int64_t steps) const {
    return llvm::divideCeil(steps, blockSteps);
  }
};

/// Chooses the cuts for a shape on machines of the target's level by their
/// costs in cycles:
///
///   tile   what multiply-adds, loads and the traffic of weights from the
///          second-level cache take per element, of those that fit into the
///          registers
///   k      the longest blocks with which a panel and the rows of a unit stay
///          in the second-level cache
///   grain  as many panels as are worth waking a thread
LinearPlan planLinear(const LinearSpec &spec, const CpuTarget &target);

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_LINEARPLAN_H
