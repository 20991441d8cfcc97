//===- Evaluate.h - quality of a model on labelled data -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_EVALUATE_H
#define LATHE_RUNTIME_EVALUATE_H

#include "lathe/Runtime/Program.h"
#include "lathe/Runtime/SkipGate.h"
#include "lathe/Runtime/Tensor.h"
#include "lathe/Runtime/ThreadPool.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace lathe::rt {

/// Accumulates the metrics of logits against labels: for classes (y of rank 1)
/// how many argmaxes are right, for tokens (y of rank 2) the bits per token.
/// Negative labels do not count.
class Score {
public:
  /// Adds logits [n, rows, classes] or [n, classes] of items [first, first + n)
  /// of `y`, which is [items, positions] or [items], of i64. With fewer rows
  /// than positions the rows belong to the last positions before `positionEnd`
  /// (-1: all). Fails if the shapes do not fit, or a label is no class.
  Status add(const TensorView &logits, const Tensor &y, int64_t first,
             int64_t count, ThreadPool &pool, int64_t positionEnd = -1);

  int64_t labels() const { return scored; }
  double top1() const;     ///< percent
  double meanBits() const; ///< mean of -log2 p(label)

  /// The argmaxes, in the order in which they were added.
  const std::vector<int64_t> &argmax() const { return best; }

private:
  int64_t scored = 0, right = 0;
  double bits = 0;
  std::vector<int64_t> best;
};

/// Percent of equal argmaxes; fails unless both have scored the same labels.
Result<double> agreement(const Score &a, const Score &b);

class Decoder;

enum class Via { Plain, Prefill, Decode };

/// "plain", "prefill", "decode".
Result<Via> parseVia(const std::string &name);

struct EvaluateOptions {
  Via via = Via::Plain;
  int64_t batch = 0; ///< items at once; 0: what the model fixes, or 8
  int64_t limit = 0; ///< items at most; 0: all
  /// Called with the decoder before it is fed, for gates and hooks. Of `plain`
  /// never.
  std::function<Status(Decoder &decoder)> setUp;
  std::function<void(int64_t done, int64_t items)> progress;
};

struct Evaluation {
  bool tokens = false; ///< bits per token, else top1 of classes
  Score score;
  int64_t items = 0;
  double seconds = 0;
  /// With a decode entry that has gates: how often they skipped.
  SkipCounts skips;
  std::vector<std::string> notes;
};

/// Runs a model on data: arrays by input name, one item per row, and `y`.
/// `decode` feeds the data token by token (teacher forcing); `prefill` scores
/// the positions whose logits that entry gives.
Result<Evaluation> evaluate(std::shared_ptr<const Program> program,
                            ThreadPool &pool, const TensorMap &data,
                            const EvaluateOptions &options);

} // namespace lathe::rt

#endif // LATHE_RUNTIME_EVALUATE_H
