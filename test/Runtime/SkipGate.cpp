//===- SkipGate.cpp - tests of run-time skipping --------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/SkipGate.h"
#include "Check.h"

#include <cmath>
#include <random>

using namespace lathe::rt;

/// `count` FFNs of which those in [front, count - tail) have the rule.
static Entry entryOf(int64_t count, int64_t front, int64_t tail,
                     const SkipRule &rule) {
  Entry entry;
  for (int64_t i = 0; i < count; ++i) {
    Stage &stage = entry.stages.emplace_back();
    stage.kind = "ffn";
    if (i >= front && i < count - tail)
      stage.skip = rule;
  }
  return entry;
}

/// A row y whose cosine with (1, 0) is `cosine`.
static std::vector<float> rowOf(double cosine) {
  return {float(cosine), float(std::sqrt(1 - cosine * cosine))};
}

/// One token through all FFNs: X where it runs, S where it skips.
static std::string play(const Entry &entry, SkipGate &gate, int64_t step,
                        const std::vector<double> &cosines) {
  std::string text;
  std::vector<float> x = {1, 0};
  int64_t shape[] = {1, 2};
  gate.begin(1, 1, step);
  for (size_t i = 0; i < entry.stages.size(); ++i) {
    const Stage &stage = entry.stages[i];
    if (!stage.skip) {
      gate.pass(i);
      text += 'X';
      continue;
    }
    if (gate.decide(i).empty()) {
      text += 'S';
      continue;
    }
    std::vector<float> y = rowOf(cosines[i]);
    gate.observe(i, {DType::F32, shape, 2, x.data()},
                 {DType::F32, shape, 2, y.data()});
    text += 'X';
  }
  return text;
}

/// The state machine of the method on cosines that its reference gives.
static void testStateMachine() {
  const std::vector<double> cosines = {.60, .72, .91, .955, .97, .96,
                                       .98, .97, .93, .965, .90, .70};
  SkipRule rule;
  rule.threshold = .95;
  rule.count = 2;
  Entry two = entryOf(12, 2, 2, rule);
  SkipGate gate(two);
  CHECK(play(two, gate, 0, cosines) == "XXXXSSXSSXXX");
  CHECK(gate.counts().skipped == 4 && gate.counts().total == 12);
  CHECK(gate.counts().skippedBy[4] == 1 && gate.counts().idle[4] == 1);
  // Nothing stays from one token to the next.
  CHECK(play(two, gate, 1, cosines) == "XXXXSSXSSXXX");

  rule.count = 1000;
  Entry all = entryOf(12, 2, 2, rule);
  SkipGate open(all);
  CHECK(play(all, open, 0, cosines) == "XXXXSSSSSSXX");

  rule.warmup = 1;
  Entry later = entryOf(12, 2, 2, rule);
  SkipGate warm(later);
  CHECK(play(later, warm, 0, cosines) == "XXXXXXXXXXXX");
  CHECK(play(later, warm, 1, cosines) == "XXXXSSSSSSXX");

  rule.threshold = 1.5;
  Entry never = entryOf(12, 2, 2, rule);
  SkipGate closed(never);
  CHECK(play(never, closed, 1, std::vector<double>(12, 1)) == "XXXXXXXXXXXX");
}

static void testCosine() {
  for (double cosine : {0.0, 0.5, 0.95, 0.9999, 1.0}) {
    std::vector<float> x = {3, 0}, y = rowOf(cosine);
    CHECK(std::abs(cosineOf(x.data(), y.data(), 2) - cosine) < 1e-6);
    CHECK(isSaturated(x.data(), y.data(), 2, cosine - 1e-4) == (cosine > 1e-4));
    CHECK(!isSaturated(x.data(), y.data(), 2, cosine + 1e-4));
  }
  std::vector<float> x = {1, 2}, back = {-1, -2}, zero = {0, 0};
  CHECK(!isSaturated(x.data(), back.data(), 2, 0.5));
  CHECK(!isSaturated(zero.data(), x.data(), 2, 0.5));
  // Close to 1 the difference decides, not its rounding.
  std::vector<float> one(64, 1), near(64, 1);
  near[0] += 1e-3f;
  CHECK(isSaturated(one.data(), near.data(), 64, 1 - 1e-8));
  CHECK(!isSaturated(one.data(), near.data(), 64, 1 - 1e-10));
}

/// Rows decide for themselves, whoever stands beside them.
static void testRows() {
  SkipRule rule;
  rule.threshold = .95;
  Entry entry = entryOf(3, 0, 0, rule);
  SkipGate gate(entry);
  std::vector<float> x = {1, 0, 1, 0}, y = rowOf(.99), other = rowOf(.5);
  y.insert(y.end(), other.begin(), other.end());
  int64_t shape[] = {2, 2};
  gate.begin(2, 1, 0);
  CHECK(gate.decide(0) == (std::vector<int64_t>{0, 1}));
  gate.observe(0, {DType::F32, shape, 2, x.data()},
               {DType::F32, shape, 2, y.data()});
  CHECK(gate.decide(1) == std::vector<int64_t>{1});
  CHECK(gate.counts().skipped == 1 && gate.counts().total == 4);
  CHECK(gate.counts().idle[1] == 0);
}

/// What a row decides is the same in any batch, to the last bit of its sums.
static void testPacking() {
  constexpr int64_t rows = 64, width = 40;
  SkipRule rule;
  rule.threshold = .9;
  Entry entry = entryOf(2, 0, 0, rule);
  SkipGate gate(entry);
  std::minstd_rand random(1);
  std::normal_distribution<float> normal;
  std::vector<float> x(rows * width), y(rows * width);
  for (int64_t i = 0; i < rows * width; ++i) {
    x[i] = normal(random);
    y[i] = x[i] + .48f * normal(random);
  }
  std::vector<std::vector<int64_t>> running;
  for (int64_t batch : {rows, int64_t(1), int64_t(5)}) {
    std::vector<int64_t> &found = running.emplace_back();
    for (int64_t first = 0; first < rows; first += batch) {
      int64_t count = std::min(batch, rows - first), shape[] = {count, width};
      gate.begin(count, 1, 0);
      gate.decide(0);
      gate.observe(0, {DType::F32, shape, 2, x.data() + first * width},
                   {DType::F32, shape, 2, y.data() + first * width});
      for (int64_t row : gate.decide(1))
        found.push_back(first + row);
    }
  }
  CHECK(running[0] == running[1] && running[0] == running[2]);
  CHECK(running[0].size() > rows / 4 && running[0].size() < 3 * rows / 4);
}

static void testRandom() {
  SkipRule rule;
  rule.kind = SkipRule::Kind::Random;
  rule.threshold = .25;
  rule.seed = 7;
  Entry entry = entryOf(1, 0, 0, rule);
  SkipGate gate(entry), again(entry);
  for (int64_t step = 0; step < 500; ++step) {
    gate.begin(8, 1, step);
    again.begin(8, 1, step);
    CHECK(gate.decide(0) == again.decide(0));
  }
  CHECK(std::abs(gate.counts().ratio() - .25) < .03);
}

int main() {
  testStateMachine();
  testCosine();
  testRows();
  testPacking();
  testRandom();
  return 0;
}
