//===- SkipGate.cpp - sub-layers that rows skip at run time -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/SkipGate.h"

#include <algorithm>
#include <cmath>

using namespace lathe::rt;

namespace {
/// <x,x>, <x,d> and <d,d> of a row.
struct Products {
  double xx = 0, xd = 0, dd = 0;

  double yy() const { return xx + 2 * xd + dd; }
};
} // namespace

static Products productsOf(const float *x, const float *y, int64_t count) {
  constexpr int64_t lanes = 16;
  float xx[lanes] = {}, xd[lanes] = {}, dd[lanes] = {};
  auto add = [&](int64_t i, int64_t lane) {
    float d = y[i] - x[i];
    xx[lane] += x[i] * x[i];
    xd[lane] += x[i] * d;
    dd[lane] += d * d;
  };
  int64_t whole = count - count % lanes;
  for (int64_t i = 0; i < whole; i += lanes)
    for (int64_t lane = 0; lane < lanes; ++lane)
      add(i + lane, lane);
  for (int64_t i = whole; i < count; ++i)
    add(i, i - whole);
  Products sums;
  for (int64_t lane = 0; lane < lanes; ++lane) {
    sums.xx += xx[lane];
    sums.xd += xd[lane];
    sums.dd += dd[lane];
  }
  return sums;
}

bool lathe::rt::isSaturated(const float *x, const float *y, int64_t count,
                            double tau) {
  Products p = productsOf(x, y, count);
  return p.xd > -p.xx &&
         p.xx * p.dd - p.xd * p.xd <= (1 - tau * tau) * p.xx * p.yy();
}

double lathe::rt::cosineOf(const float *x, const float *y, int64_t count) {
  Products p = productsOf(x, y, count);
  double norms = std::sqrt(p.xx * p.yy());
  return norms > 0 ? (p.xx + p.xd) / norms : 0;
}

SkipGate::SkipGate(const Entry &entry) : entry(entry) {
  rules.resize(entry.stages.size());
  for (size_t stage = 0; stage < rules.size(); ++stage)
    setRule(stage, entry.stages[stage].skip);
  total.skippedBy.resize(entry.stages.size());
  total.idle.resize(entry.stages.size());
}

void SkipGate::setRule(unsigned stage, const std::optional<SkipRule> &rule) {
  gates += int(rule.has_value()) - int(rules[stage].has_value());
  rules[stage] = rule;
}

void SkipGate::resetCounts() {
  total.skipped = total.total = total.runs = 0;
  std::fill(total.skippedBy.begin(), total.skippedBy.end(), 0);
  std::fill(total.idle.begin(), total.idle.end(), 0);
}

void SkipGate::begin(int64_t rows, int64_t each, int64_t first) {
  remaining.assign(rows, 0);
  perSequence = std::max<int64_t>(each, 1);
  step = first;
  ++total.runs;
}

bool SkipGate::isWarm(int64_t row, const SkipRule &rule) const {
  return step + row % perSequence >= rule.warmup;
}

/// A number in [0, 1) that only depends on the arguments (splitmix64).
static double uniform(uint64_t seed, uint64_t step, uint64_t stage,
                      uint64_t row) {
  uint64_t z = seed;
  for (uint64_t value : {step, stage, row}) {
    z += 0x9e3779b97f4a7c15ULL + value;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    z ^= z >> 31;
  }
  return double(z >> 11) * 0x1p-53;
}

const std::vector<int64_t> &SkipGate::decide(unsigned stage) {
  const SkipRule &rule = *rules[stage];
  running.clear();
  int64_t rows = remaining.size();
  for (int64_t row = 0; row < rows; ++row) {
    bool skips = isWarm(row, rule);
    if (skips && rule.kind == SkipRule::Kind::Random)
      skips = uniform(rule.seed, step + row % perSequence, stage,
                      row / perSequence) < rule.threshold;
    else if (skips)
      skips = remaining[row] > 0;
    if (!skips) {
      running.push_back(row);
      continue;
    }
    --remaining[row];
    ++total.skipped;
    ++total.skippedBy[stage];
  }
  total.total += rows;
  total.idle[stage] += running.empty() && rows > 0;
  return running;
}

/// Row `row` of `tensor` as f32, in place where it is f32 already.
static const float *rowOf(const TensorView &tensor, int64_t row, int64_t width,
                          std::vector<float> &buffer) {
  if (tensor.dtype == DType::F32)
    return static_cast<const float *>(tensor.data) + row * width;
  buffer.resize(width);
  for (int64_t i = 0; i < width; ++i)
    buffer[i] = loadFloat(tensor.dtype, tensor.data, row * width + i);
  return buffer.data();
}

void SkipGate::observe(unsigned stage, const TensorView &x,
                       const TensorView &y) {
  const SkipRule &rule = *rules[stage];
  if (rule.kind != SkipRule::Kind::Cosine)
    return;
  int64_t width = x.shape[x.rank - 1];
  for (int64_t row : running)
    remaining[row] =
        isSaturated(rowOf(x, row, width, xRow), rowOf(y, row, width, yRow),
                    width, rule.threshold)
            ? rule.count
            : 0;
}

void SkipGate::pass(unsigned stage) {
  if (any() && entry.stages[stage].kind == "ffn")
    total.total += remaining.size();
}
