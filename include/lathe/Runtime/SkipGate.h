//===- SkipGate.h - sub-layers that rows skip at run time -------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_SKIPGATE_H
#define LATHE_RUNTIME_SKIPGATE_H

#include "lathe/Runtime/Manifest.h"
#include "lathe/Runtime/Tensor.h"

#include <cstdint>
#include <optional>
#include <vector>

namespace lathe::rt {

/// Whether the direction of the residual stream has settled: the cosine of a
/// row `x` before and `y` after a sub-layer is at least `tau`, `count` f32 each
/// (FFN-SkipLLM, arXiv 2404.03865). Computed from x and d = y - x, which keeps
/// the digits that 1 - cosine needs near 1, in sums of fixed order: what one
/// row gives does not depend on its neighbours.
bool isSaturated(const float *x, const float *y, int64_t count, double tau);

/// The same cosine, for calibration and reports.
double cosineOf(const float *x, const float *y, int64_t count);

/// How often the sub-layers of an entry were skipped, in rows (tokens times
/// sequences).
struct SkipCounts {
  int64_t skipped = 0;            ///< rows that skipped an FFN
  int64_t total = 0;              ///< rows that came to an FFN, gated or not
  std::vector<int64_t> skippedBy; ///< the same by stage of the entry
  std::vector<int64_t> idle; ///< runs in which all rows skipped, by stage: its
                             ///< weights were not read
  int64_t runs = 0;          ///< runs of the entry

  double ratio() const { return total ? double(skipped) / total : 0; }
};

/// The gates of an entry, and for each row how many more gated sub-layers it
/// skips. That is set back at every run, so rows of different tokens share
/// nothing.
class SkipGate {
public:
  /// Gates as the entry has them, which must outlive this.
  explicit SkipGate(const Entry &entry);

  /// Whether there is a gate at all.
  bool any() const { return gates > 0; }
  bool isGated(unsigned stage) const { return rules[stage].has_value(); }

  /// Puts a gate at a stage, or takes it away.
  void setRule(unsigned stage, const std::optional<SkipRule> &rule);

  /// Starts a run on `rows` rows, `perSequence` of each sequence (consecutive
  /// rows), the first of which is number `step` after the prompt.
  void begin(int64_t rows, int64_t perSequence, int64_t step);

  /// Decides which rows run the stage and counts the others. Returns the rows
  /// that run, ascending; valid until the next call.
  const std::vector<int64_t> &decide(unsigned stage);

  /// Looks at what the stage did to the rows that ran it. `x` and `y` are its
  /// residual and its output [rows, width].
  void observe(unsigned stage, const TensorView &x, const TensorView &y);

  /// Counts a stage without a gate.
  void pass(unsigned stage);

  const SkipCounts &counts() const { return total; }
  void resetCounts();

private:
  bool isWarm(int64_t row, const SkipRule &rule) const;

  const Entry &entry;
  std::vector<std::optional<SkipRule>> rules; ///< by stage
  int64_t gates = 0;
  int64_t perSequence = 1, step = 0;
  std::vector<int64_t> remaining; ///< by row
  std::vector<int64_t> running;
  std::vector<float> xRow, yRow; ///< rows of narrower types, widened
  SkipCounts total;
};

} // namespace lathe::rt

#endif // LATHE_RUNTIME_SKIPGATE_H
