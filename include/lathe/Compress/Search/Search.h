//===- Search.h - what to change, whatever the method -----------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Searches over changes of a model that know nothing of the method: a
/// candidate says what it costs, how far it takes the model away, and applies
/// itself.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_COMPRESS_SEARCH_SEARCH_H
#define LATHE_COMPRESS_SEARCH_SEARCH_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace lathe {

/// An error of the model after a change.
struct SearchError {
  double value = 0;
  /// False when the evaluation was given up because the error is above the
  /// limit, certainly or at the confidence of a Race; `value` is then an
  /// estimate of it.
  bool exact = true;
};

/// One change that could be made to the model as it is now.
class SearchCandidate {
public:
  virtual ~SearchCandidate() = default;
  /// For reports: a site, or a site and what happens to it.
  virtual std::string name() const = 0;
  /// What the change saves, in the unit of the budget; independent of other
  /// changes.
  virtual double cost() const = 0;
  /// Error of the model with all that was applied so far and this. May be given
  /// up as soon as it is found to exceed `limit`.
  virtual llvm::Expected<SearchError> error(double limit) = 0;
  /// Makes the change.
  virtual llvm::Error apply() = 0;
};

/// One change that a search made, and the error of the model since then.
struct SearchStep {
  unsigned candidate = 0;
  double error = 0;
};

struct SearchOptions {
  /// Changes at most.
  unsigned steps = std::numeric_limits<unsigned>::max();
  /// Ends as soon as the costs of what was applied add up to this.
  double cost = std::numeric_limits<double>::infinity();
  /// Steps of an interrupted search of the same candidates; they are applied
  /// without being evaluated and count as steps.
  std::vector<SearchStep> start;
  /// False for a candidate that is not to be tried after `done` steps yet.
  std::function<bool(unsigned candidate, unsigned done)> eligible;
  /// Called after each new step, with all steps.
  std::function<llvm::Error(llvm::ArrayRef<SearchStep>)> onStep;
  /// Called after each evaluation.
  std::function<void()> onEvaluation;
};

/// Applies the candidate of least error again and again; the first of equals.
/// Candidates are evaluated in the order of their last errors, and given up
/// beyond the least one found. That changes the work but not the result, unless
/// a candidate races and loses by chance.
llvm::Expected<std::vector<SearchStep>>
greedySearch(llvm::ArrayRef<SearchCandidate *> candidates,
             const SearchOptions &options);

/// Evaluates each candidate once on the model as it is and applies them in the
/// order of their errors, the first of equals first. The errors of the steps
/// are those of the single changes.
llvm::Expected<std::vector<SearchStep>>
oneShotSearch(llvm::ArrayRef<SearchCandidate *> candidates,
              const SearchOptions &options);

/// Like greedySearch, but applies the candidate with the least increase of the
/// error per cost: what a budget is bought with. Candidates that save nothing
/// are never applied.
llvm::Expected<std::vector<SearchStep>>
budgetedSearch(llvm::ArrayRef<SearchCandidate *> candidates,
               const SearchOptions &options);

} // namespace lathe

#endif // LATHE_COMPRESS_SEARCH_SEARCH_H
