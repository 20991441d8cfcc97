//===- OutputDistance.cpp - how far two outputs are apart -----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Calibrate/OutputDistance.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

using namespace lathe;

static constexpr std::pair<DistanceKind, llvm::StringLiteral> kNames[] = {
    {DistanceKind::Js, "js"},     {DistanceKind::JsReversed, "js-reversed"},
    {DistanceKind::Kl, "kl"},     {DistanceKind::Angular, "angular"},
    {DistanceKind::Norm, "norm"}, {DistanceKind::Cosine, "cosine"},
};

llvm::StringRef lathe::getName(DistanceKind kind) {
  for (auto &[value, name] : kNames)
    if (value == kind)
      return name;
  llvm_unreachable("all kinds have names");
}

std::optional<DistanceKind> lathe::parseDistanceKind(llvm::StringRef name) {
  for (auto &[value, text] : kNames)
    if (text == name)
      return value;
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Sums over a row
//===----------------------------------------------------------------------===//

// A search compares logits of large vocabularies thousands of times, so the
// loops below are written for vectors: kLanes partial sums in f32 over
// kBlock elements, added up in f64 in one order.
static constexpr int64_t kLanes = 16;
static constexpr int64_t kBlock = 1024;

#if defined(__x86_64__) && defined(__linux__)
#define LATHE_VECTOR_CLONES                                                    \
  __attribute__((target_clones("avx512f", "arch=haswell", "default")))
#else
#define LATHE_VECTOR_CLONES
#endif

namespace {

inline float bitsToFloat(int32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

inline int32_t floatToBits(float value) {
  int32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  return bits;
}

/// e^x for x <= 0 to about 2 ulp; 0 below the least normal number. Reduces to
/// r in [-ln 2 / 2, ln 2 / 2] and takes the Taylor polynomial of degree 6.
inline float expNegative(float x) {
  float clamped = std::max(x, -87.0f);
  float shifted = clamped * 1.44269504f + 12582912.0f; // 1.5 * 2^23: rounds
  float n = shifted - 12582912.0f;
  float r = clamped - n * 0.693359375f + n * 2.12194440e-4f;
  float p = 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  float scale = bitsToFloat((int32_t(n) + 127) << 23);
  return x < -87.0f ? 0.0f : p * scale;
}

/// ln x for normal x > 0 to about 1.2 ulp of the larger of 1 and the result:
/// x = 2^e m with m in [sqrt ½, sqrt 2), f = m - 1, ln m = f - f²/2 + f³ P(f),
/// and P the minimax polynomial of degree 6. Needs no division.
inline float logPositive(float x) {
  int32_t bits = floatToBits(x) - 0x3f3504f3;
  int32_t e = bits >> 23;
  float f = bitsToFloat((bits & 0x007fffff) + 0x3f3504f3) - 1.0f;
  float square = f * f;
  float p = 0.0870035961f;
  p = p * f - 0.142674759f;
  p = p * f + 0.149147868f;
  p = p * f - 0.165775865f;
  p = p * f + 0.199630618f;
  p = p * f - 0.250013381f;
  p = p * f + 0.333339095f;
  return float(e) * 0.69314718f + (f + (f * square * p - 0.5f * square));
}

/// Greatest element and the logarithm of the sum of exponentials.
struct Softmax {
  float most;
  float logSum; ///< of e^(x - most)
};

/// Probabilities below this count as it; logarithms stay finite.
constexpr float kLeast = 1e-35f;

/// (1 - t) ln(1 - t) for t in [-1, 1], 0 at t = 1.
inline float entropyTerm(float u) {
  return u * logPositive(std::max(u, kLeast));
}

/// Terms of the distances of probabilities `p` and `q`, by element.
struct JsTerm {
  // With t = (q - p)/(q + p), p/m = 1 - t and q/m = 1 + t: exactly 0 at p = q,
  // and no difference of large numbers near it.
  static float of(float p, float q) {
    float sum = p + q;
    float t = (q - p) / std::max(sum, kLeast);
    return 0.25f * sum * (entropyTerm(1.0f - t) + entropyTerm(1.0f + t));
  }
};
struct JsReversedTerm {
  static float of(float p, float q) {
    float sum = p + q;
    float t = (q - p) / std::max(sum, kLeast);
    return -0.25f * sum *
           (logPositive(std::max(1.0f - t, kLeast)) +
            logPositive(std::max(1.0f + t, kLeast)));
  }
};

/// Adds up `term(i)` over a row.
template <typename Term>
inline double sumRow(int64_t count, Term term) {
  double total = 0;
  int64_t begin = 0;
  for (; begin + kBlock <= count; begin += kBlock) {
    float lanes[kLanes] = {};
    for (int64_t i = 0; i < kBlock; i += kLanes)
      for (int64_t lane = 0; lane < kLanes; ++lane)
        lanes[lane] += term(begin + i + lane);
    for (float lane : lanes)
      total += lane;
  }
  for (; begin < count; ++begin)
    total += term(begin);
  return total;
}

inline Softmax softmaxOf(const float *x, int64_t count) {
  float lanes[kLanes];
  std::fill(lanes, lanes + kLanes, x[0]);
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (int64_t lane = 0; lane < kLanes; ++lane)
      lanes[lane] = std::max(lanes[lane], x[i + lane]);
  float most = *std::max_element(lanes, lanes + kLanes);
  for (; i < count; ++i)
    most = std::max(most, x[i]);
  double sum =
      sumRow(count, [=](int64_t i) { return expNegative(x[i] - most); });
  return {most, float(std::log(sum))};
}

/// `p` are probabilities, `q` logits.
template <typename Term>
inline double divergence(const float *p, const float *q, int64_t count) {
  Softmax sq = softmaxOf(q, count);
  return sumRow(count, [=](int64_t i) {
    return Term::of(p[i], expNegative((q[i] - sq.most) - sq.logSum));
  });
}

} // namespace

LATHE_VECTOR_CLONES
static void toProbabilities(float *x, int64_t count) {
  Softmax s = softmaxOf(x, count);
  for (int64_t i = 0; i < count; ++i)
    x[i] = expNegative((x[i] - s.most) - s.logSum);
}

LATHE_VECTOR_CLONES
static double jsRow(const float *p, const float *q, int64_t count) {
  return divergence<JsTerm>(p, q, count);
}

LATHE_VECTOR_CLONES
static double jsReversedRow(const float *p, const float *q, int64_t count) {
  return divergence<JsReversedTerm>(p, q, count);
}

/// Both are logits.
LATHE_VECTOR_CLONES
static double klRow(const float *p, const float *q, int64_t count) {
  Softmax sp = softmaxOf(p, count), sq = softmaxOf(q, count);
  return sumRow(count, [=](int64_t i) {
    float lp = (p[i] - sp.most) - sp.logSum, lq = (q[i] - sq.most) - sq.logSum;
    return expNegative(lp) * (lp - lq);
  });
}

LATHE_VECTOR_CLONES
static double squaredDifference(const float *p, const float *q, int64_t count) {
  return sumRow(count,
                [=](int64_t i) { return (p[i] - q[i]) * (p[i] - q[i]); });
}

LATHE_VECTOR_CLONES
static double dot(const float *p, const float *q, int64_t count) {
  return sumRow(count, [=](int64_t i) { return p[i] * q[i]; });
}

/// 1 - cos, from the difference: exactly 0 at p = q.
static double cosineDistance(const float *p, const float *q, int64_t count) {
  double pp = dot(p, p, count), qq = dot(q, q, count);
  double dd = squaredDifference(p, q, count);
  if (dd == 0)
    return 0;
  if (pp == 0 || qq == 0)
    return 1;
  // |p - q|² = (|p| - |q|)² + 2|p||q|(1 - cos)
  double norms = std::sqrt(pp) * std::sqrt(qq);
  double radial = std::sqrt(pp) - std::sqrt(qq);
  return std::max(0.0, (dd - radial * radial) / (2 * norms));
}

static bool comparesProbabilities(DistanceKind kind) {
  return kind == DistanceKind::Js || kind == DistanceKind::JsReversed;
}

void lathe::toReference(DistanceKind kind, float *p, int64_t count) {
  if (comparesProbabilities(kind) && count > 0)
    toProbabilities(p, count);
}

double lathe::rowDistance(DistanceKind kind, const float *p, const float *q,
                          int64_t count) {
  if (!comparesProbabilities(kind))
    return referenceDistance(kind, p, q, count);
  std::vector<float> reference(p, p + count);
  toReference(kind, reference.data(), count);
  return referenceDistance(kind, reference.data(), q, count);
}

double lathe::referenceDistance(DistanceKind kind, const float *p,
                                const float *q, int64_t count) {
  if (count == 0)
    return 0;
  switch (kind) {
  case DistanceKind::Js:
    return std::max(0.0, jsRow(p, q, count));
  case DistanceKind::JsReversed:
    return std::max(0.0, jsReversedRow(p, q, count));
  case DistanceKind::Kl:
    return std::max(0.0, klRow(p, q, count));
  case DistanceKind::Norm:
    return squaredDifference(p, q, count);
  case DistanceKind::Cosine:
    return cosineDistance(p, q, count);
  case DistanceKind::Angular:
    return std::acos(std::clamp(1 - cosineDistance(p, q, count), 0.0, 1.0));
  }
  llvm_unreachable("all kinds are handled");
}
