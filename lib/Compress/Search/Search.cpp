//===- Search.cpp - what to change, whatever the method -------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Compress/Search/Search.h"
#include "llvm/ADT/STLExtras.h"
#include <optional>
#include <tuple>

using namespace lathe;

/// Score of a candidate that is not to be applied.
static constexpr double kNever = std::numeric_limits<double>::infinity();

namespace {

/// A search in progress.
class Search {
public:
  Search(llvm::ArrayRef<SearchCandidate *> candidates,
         const SearchOptions &options)
      : candidates(candidates), options(options), used(candidates.size()),
        estimates(candidates.size()) {}

  /// Applies the start.
  llvm::Error begin() {
    for (const SearchStep &step : options.start)
      if (llvm::Error error = take(step))
        return error;
    return llvm::Error::success();
  }

  bool ended() const {
    return steps.size() >= options.steps || spent >= options.cost ||
           steps.size() == candidates.size();
  }

  /// Candidates to try now, those with small errors last time first.
  std::vector<unsigned> open() const {
    std::vector<unsigned> list;
    for (unsigned i = 0; i < candidates.size(); ++i)
      if (!used[i] && (!options.eligible || options.eligible(i, steps.size())))
        list.push_back(i);
    llvm::sort(list, [&](unsigned a, unsigned b) {
      return std::tie(estimates[a], a) < std::tie(estimates[b], b);
    });
    return list;
  }

  llvm::Expected<SearchError> evaluate(unsigned candidate, double limit) {
    auto error = candidates[candidate]->error(limit);
    if (!error)
      return error.takeError();
    estimates[candidate] = error->value;
    if (options.onEvaluation)
      options.onEvaluation();
    return *error;
  }

  llvm::Error take(SearchStep step) {
    used[step.candidate] = true;
    spent += candidates[step.candidate]->cost();
    steps.push_back(step);
    return candidates[step.candidate]->apply();
  }

  /// Makes a new step.
  llvm::Error advance(SearchStep step) {
    if (llvm::Error error = take(step))
      return error;
    return options.onStep ? options.onStep(steps) : llvm::Error::success();
  }

  double error() const { return steps.empty() ? 0 : steps.back().error; }
  SearchCandidate &candidate(unsigned index) { return *candidates[index]; }
  std::vector<SearchStep> steps;

private:
  llvm::ArrayRef<SearchCandidate *> candidates;
  const SearchOptions &options;
  std::vector<bool> used;
  std::vector<double> estimates;
  double spent = 0;
};

} // namespace

/// The eligible candidate of least score, where `toScore` and `toError` turn an
/// error into a score and back; none when there is no candidate.
template <typename ToScore, typename ToError>
static llvm::Expected<std::optional<SearchStep>>
leastStep(Search &search, ToScore toScore, ToError toError) {
  std::optional<SearchStep> best;
  double least = kNever;
  for (unsigned candidate : search.open()) {
    auto error = search.evaluate(candidate, toError(candidate, least));
    if (!error)
      return error.takeError();
    double score = toScore(candidate, error->value);
    bool worse = score > least ||
                 (best && score == least && best->candidate < candidate);
    if (!error->exact || worse || score == kNever)
      continue;
    least = score;
    best = SearchStep{candidate, error->value};
  }
  return best;
}

/// Steps by least score until the search ends.
template <typename ToScore, typename ToError>
static llvm::Expected<std::vector<SearchStep>>
run(Search &search, ToScore toScore, ToError toError) {
  if (llvm::Error error = search.begin())
    return std::move(error);
  while (!search.ended()) {
    auto step = leastStep(search, toScore, toError);
    if (!step)
      return step.takeError();
    if (!*step)
      break;
    if (llvm::Error error = search.advance(**step))
      return std::move(error);
  }
  return std::move(search.steps);
}

llvm::Expected<std::vector<SearchStep>>
lathe::greedySearch(llvm::ArrayRef<SearchCandidate *> candidates,
                    const SearchOptions &options) {
  Search search(candidates, options);
  return run(
      search, [](unsigned, double error) { return error; },
      [](unsigned, double score) { return score; });
}

llvm::Expected<std::vector<SearchStep>>
lathe::budgetedSearch(llvm::ArrayRef<SearchCandidate *> candidates,
                      const SearchOptions &options) {
  Search search(candidates, options);
  return run(
      search,
      [&](unsigned candidate, double error) {
        double cost = search.candidate(candidate).cost();
        return cost > 0 ? (error - search.error()) / cost : kNever;
      },
      [&](unsigned candidate, double score) {
        return search.error() + score * search.candidate(candidate).cost();
      });
}

llvm::Expected<std::vector<SearchStep>>
lathe::oneShotSearch(llvm::ArrayRef<SearchCandidate *> candidates,
                     const SearchOptions &options) {
  Search search(candidates, options);
  std::vector<SearchStep> order;
  for (unsigned candidate : search.open()) {
    auto error =
        search.evaluate(candidate, std::numeric_limits<double>::infinity());
    if (!error)
      return error.takeError();
    order.push_back({candidate, error->value});
  }
  llvm::sort(order, [](const SearchStep &a, const SearchStep &b) {
    return std::tie(a.error, a.candidate) < std::tie(b.error, b.candidate);
  });
  for (const SearchStep &step : order) {
    if (search.ended())
      break;
    if (llvm::Error error = search.advance(step))
      return std::move(error);
  }
  return std::move(search.steps);
}
