//===- lathe-search-test.cpp - the search drivers on a dummy method -------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Compress/Search/Race.h"
#include "lathe/Compress/Search/Search.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/raw_ostream.h"

using namespace lathe;

namespace {

/// A "model" whose error is the sum of the changes' errors and, for each pair
/// that was made, of a further term.
struct Model {
  std::vector<double> single;
  std::vector<std::vector<double>> pair;
  std::vector<bool> made;
  unsigned evaluations = 0, abandoned = 0;

  explicit Model(std::vector<double> single)
      : single(std::move(single)),
        pair(this->single.size(), std::vector<double>(this->single.size())),
        made(this->single.size()) {}

  double error(unsigned extra) const {
    double sum = 0;
    for (unsigned i = 0; i < single.size(); ++i) {
      if (!made[i] && i != extra)
        continue;
      sum += single[i];
      for (unsigned j = 0; j < i; ++j)
        if (made[j] || j == extra)
          sum += pair[i][j];
    }
    return sum;
  }
};

class Change : public SearchCandidate {
public:
  Change(Model &model, unsigned index, double saved)
      : model(model), index(index), saved(saved) {}
  std::string name() const override { return "c" + std::to_string(index); }
  double cost() const override { return saved; }
  llvm::Expected<SearchError> error(double limit) override {
    ++model.evaluations;
    double error = model.error(index);
    if (error <= limit)
      return SearchError{error, true};
    ++model.abandoned;
    return SearchError{error * 0.9, false};
  }
  llvm::Error apply() override {
    model.made[index] = true;
    return llvm::Error::success();
  }

private:
  Model &model;
  unsigned index;
  double saved;
};

/// The candidates of a model.
struct Candidates {
  std::vector<std::unique_ptr<Change>> owned;
  std::vector<SearchCandidate *> list;

  Candidates(Model &model, std::vector<double> saved) {
    for (unsigned i = 0; i < saved.size(); ++i) {
      owned.push_back(std::make_unique<Change>(model, i, saved[i]));
      list.push_back(owned.back().get());
    }
  }
};

/// Changes 0 and 3 are no friends.
Model interacting() {
  Model model({2, 3, 1, 2.5});
  model.pair[3][0] = 7.5;
  return model;
}

std::string names(llvm::ArrayRef<SearchStep> steps) {
  std::string text;
  for (const SearchStep &step : steps)
    text += (text.empty() ? "c" : " c") + std::to_string(step.candidate);
  return text;
}

using Driver = llvm::Expected<std::vector<SearchStep>> (*)(
    llvm::ArrayRef<SearchCandidate *>, const SearchOptions &);

std::vector<SearchStep> search(Driver driver, Model &model,
                               std::vector<double> saved,
                               const SearchOptions &options = {}) {
  Candidates candidates(model, std::move(saved));
  return llvm::cantFail(driver(candidates.list, options));
}

/// Whether differences of `mean` + 1 and `mean` - 1, four of each, lose: their
/// t is sqrt(7) times the mean.
const char *raceOf(double mean, double confidence) {
  Race race;
  for (int i = 0; i < 8; ++i)
    race.add(i % 2 ? mean + 1 : mean - 1);
  return race.isWorse(confidence) ? " worse" : " open";
}

} // namespace

int main() {
  const std::vector<double> ones{1, 1, 1, 1};
  Model model = interacting();
  std::vector<SearchStep> steps = search(greedySearch, model, ones);
  llvm::outs() << "greedy: " << names(steps) << ", errors";
  for (const SearchStep &step : steps)
    llvm::outs() << " " << int(step.error);
  llvm::outs() << "\nevaluations that were given up: " << model.abandoned
               << "\n";

  Model equals({2, 2, 2});
  llvm::outs() << "first of equals: c"
               << search(greedySearch, equals, {1, 1, 1})[0].candidate << "\n";

  Model again = interacting();
  SearchOptions resumed;
  resumed.start = {steps[0], steps[1]};
  llvm::outs() << "resumed: "
               << names(search(greedySearch, again, ones, resumed))
               << ", evaluations " << again.evaluations << "\n";

  Model oneShot = interacting(), greedy = interacting();
  llvm::outs() << "one-shot: " << names(search(oneShotSearch, oneShot, ones))
               << "\ngreedy: " << names(search(greedySearch, greedy, ones))
               << "\n";

  Model priced({2, 3, 1, 2.5});
  SearchOptions budget;
  budget.cost = 8;
  std::vector<double> saved{3, 6, 0, 1};
  double sum = 0;
  steps = search(budgetedSearch, priced, saved, budget);
  for (const SearchStep &step : steps)
    sum += saved[step.candidate];
  llvm::outs() << "budgeted: " << names(steps) << ", saved " << int(sum)
               << "\n";

  // Student's t of 7 degrees of freedom: 1.8946 at 0.95, 4.7853 at 0.999.
  llvm::outs() << "race:" << raceOf(0.70, 0.95) << raceOf(0.73, 0.95)
               << raceOf(1.80, 0.999) << raceOf(1.82, 0.999) << raceOf(9, 1)
               << raceOf(-9, 0.95) << "\n";
  Race equal, one;
  for (int i = 0; i < 8; ++i)
    equal.add(0);
  one.add(1);
  llvm::outs() << "equal: " << equal.isWorse(0.5)
               << ", one sample: " << one.isWorse(0.5) << "\n";
  return 0;
}
