//===- SkipPoints.cpp - measured rules of FFN skipping --------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Compress/Skip/SkipPoints.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include <algorithm>
#include <cmath>

using namespace lathe;

/// How far beyond its measured points a series still serves.
static constexpr double kSlack = 0.005;

//===----------------------------------------------------------------------===//
// Profile
//===----------------------------------------------------------------------===//

std::string lathe::skipPointsKey(int64_t warmup) {
  return "lathe-ffn-skip.warmup=" + std::to_string(warmup);
}

std::vector<std::string> lathe::skipPointsKeys(const Profile &profile) {
  std::vector<std::string> keys;
  for (const auto &[name, tensor] : profile.arrays) {
    llvm::StringRef key = name;
    if (key.starts_with("lathe-ffn-skip.") && key.consume_back("/loss"))
      keys.push_back(key.str());
  }
  return keys;
}

namespace {

/// Writes columns of numbers; the first failure stays.
class Writer {
public:
  Writer(Profile &profile, llvm::StringRef key) : profile(profile), key(key) {}

  template <typename T, typename Get>
  void column(llvm::StringRef name, rt::DType dtype, size_t count, Get get) {
    write<T>(name, dtype, {int64_t(count)}, get);
  }

  template <typename T, typename Get>
  void write(llvm::StringRef name, rt::DType dtype, std::vector<int64_t> shape,
             Get get) {
    auto tensor = rt::Tensor::zeros(dtype, std::move(shape));
    if (tensor.failed()) {
      problem = tensor.message();
      return;
    }
    for (int64_t i = 0, count = tensor->elements(); i < count; ++i)
      tensor->as<T>()[i] = get(i);
    profile.arrays[(key + "/" + name).str()] = std::move(*tensor);
  }

  llvm::Error take() const {
    return problem.empty() ? llvm::Error::success()
                           : llvm::createStringError(problem);
  }

private:
  Profile &profile;
  llvm::StringRef key;
  std::string problem;
};

/// Reads them back; `isGood` turns false at what is missing or of another
/// shape.
class Reader {
public:
  Reader(const Profile &profile, llvm::StringRef key)
      : profile(profile), key(key) {}

  /// `dim` of -1 is open.
  const rt::Tensor *array(llvm::StringRef name, rt::DType dtype,
                          llvm::ArrayRef<int64_t> dims) {
    auto found = profile.arrays.find((key + "/" + name).str());
    bool fits = found != profile.arrays.end() &&
                found->second.dtype() == dtype &&
                found->second.rank() == dims.size();
    for (size_t axis = 0; fits && axis < dims.size(); ++axis)
      fits = dims[axis] < 0 || found->second.shape()[axis] == dims[axis];
    isGood &= fits;
    return fits ? &found->second : nullptr;
  }

  bool isGood = true;

private:
  const Profile &profile;
  llvm::StringRef key;
};

} // namespace

llvm::Error SkipPoints::store(Profile &profile, llvm::StringRef key) const {
  Writer out(profile, key);
  size_t count = points.size(), ffns = saturation.size();
  constexpr rt::DType real = rt::DType::F64, integer = rt::DType::I64;
  out.column<double>("dense", real, 1, [&](size_t) { return dense; });
  out.column<double>("saturation", real, ffns,
                     [&](size_t i) { return saturation[i]; });
  out.column<int64_t>("random", integer, count,
                      [&](size_t i) { return points[i].series.random; });
  out.column<int64_t>("k", integer, count,
                      [&](size_t i) { return points[i].series.k; });
  out.column<int64_t>("front", integer, count,
                      [&](size_t i) { return points[i].series.front; });
  out.column<int64_t>("tail", integer, count,
                      [&](size_t i) { return points[i].series.tail; });
  out.column<double>("threshold", real, count,
                     [&](size_t i) { return points[i].threshold; });
  out.column<double>("ratio", real, count,
                     [&](size_t i) { return points[i].ratio; });
  out.column<double>("loss", real, count,
                     [&](size_t i) { return points[i].loss; });
  out.write<double>("rates", real, {int64_t(count), int64_t(ffns)},
                    [&](size_t i) { return points[i / ffns].rates[i % ffns]; });
  return out.take();
}

llvm::Expected<SkipPoints> SkipPoints::load(const Profile &profile,
                                            llvm::StringRef key) {
  Reader in(profile, key);
  constexpr rt::DType real = rt::DType::F64, integer = rt::DType::I64;
  const rt::Tensor *loss = in.array("loss", real, {-1});
  const rt::Tensor *saturation = in.array("saturation", real, {-1});
  if (!in.isGood)
    return llvm::createStringError("has no points '" + key +
                                   "'; calibrate for this pass with this "
                                   "warm-up");
  int64_t count = loss->elements(), ffns = saturation->elements();
  const rt::Tensor *dense = in.array("dense", real, {1}),
                   *random = in.array("random", integer, {count}),
                   *k = in.array("k", integer, {count}),
                   *front = in.array("front", integer, {count}),
                   *tail = in.array("tail", integer, {count}),
                   *threshold = in.array("threshold", real, {count}),
                   *ratio = in.array("ratio", real, {count}),
                   *rates = in.array("rates", real, {count, ffns});
  if (!in.isGood)
    return llvm::createStringError("has points '" + key +
                                   "' with arrays missing or of another shape");
  SkipPoints result;
  result.dense = *dense->as<double>();
  result.saturation.assign(saturation->as<double>(),
                           saturation->as<double>() + ffns);
  for (int64_t i = 0; i < count; ++i) {
    SkipPoint &point = result.points.emplace_back();
    point.series = {random->as<int64_t>()[i] != 0, k->as<int64_t>()[i],
                    front->as<int64_t>()[i], tail->as<int64_t>()[i]};
    point.threshold = threshold->as<double>()[i];
    point.ratio = ratio->as<double>()[i];
    point.loss = loss->as<double>()[i];
    const double *row = rates->as<double>() + i * ffns;
    point.rates.assign(row, row + ffns);
  }
  return std::move(result);
}

//===----------------------------------------------------------------------===//
// Choosing
//===----------------------------------------------------------------------===//

/// The series' rule that skips `ratio`; `points` ascend in their ratios.
static std::optional<SkipPoint>
interpolate(llvm::ArrayRef<const SkipPoint *> points, double ratio) {
  if (ratio < points.front()->ratio - kSlack ||
      ratio > points.back()->ratio + kSlack)
    return std::nullopt;
  const auto *above = llvm::find_if(
      points, [&](const SkipPoint *point) { return point->ratio >= ratio; });
  if (above == points.end())
    return *points.back();
  if (above == points.begin())
    return *points.front();
  const SkipPoint &low = **std::prev(above), &high = **above;
  double share = (ratio - low.ratio) / (high.ratio - low.ratio);
  auto between = [&](double a, double b) { return a + share * (b - a); };
  SkipPoint result = low;
  result.threshold = between(low.threshold, high.threshold);
  result.ratio = ratio;
  result.loss = between(low.loss, high.loss);
  for (auto [rate, other] : llvm::zip(result.rates, high.rates))
    rate = between(rate, other);
  return result;
}

std::optional<SkipPoint> SkipPoints::best(bool random, double ratio,
                                          const SkipFilter &filter) const {
  std::vector<SkipSeries> seen;
  std::optional<SkipPoint> result;
  for (const SkipPoint &first : points) {
    const SkipSeries &series = first.series;
    if (series.random != random || !filter.allows(series) ||
        llvm::is_contained(seen, series))
      continue;
    seen.push_back(series);
    std::vector<const SkipPoint *> own;
    for (const SkipPoint &point : points)
      if (point.series == series)
        own.push_back(&point);
    llvm::sort(own, [](const SkipPoint *a, const SkipPoint *b) {
      return std::pair(a->ratio, a->threshold) <
             std::pair(b->ratio, b->threshold);
    });
    auto point = interpolate(own, ratio);
    if (point && (!result || point->loss < result->loss))
      result = point;
  }
  return result;
}

std::optional<double> SkipPoints::nearestWin(double ratio,
                                             const SkipFilter &filter) const {
  std::optional<double> result;
  for (const SkipPoint &point : points) {
    if (point.series.random || !filter.allows(point.series))
      continue;
    auto chance = best(/*random=*/true, point.ratio);
    if (!chance || point.loss >= chance->loss)
      continue;
    if (!result || std::abs(point.ratio - ratio) < std::abs(*result - ratio))
      result = point.ratio;
  }
  return result;
}

std::pair<double, double> SkipPoints::range(const SkipFilter &filter) const {
  double least = 1, most = 0;
  for (const SkipPoint &point : points) {
    if (point.series.random || !filter.allows(point.series))
      continue;
    least = std::min(least, point.ratio);
    most = std::max(most, point.ratio);
  }
  return {std::min(least, most), most};
}

void SkipPoints::print(llvm::raw_ostream &out) const {
  out << llvm::formatv("dense {0:f4} bits\n", dense);
  out << llvm::formatv("{0,-7} {1,3} {2,6} {3,5} {4,10} {5,8} {6,8}\n", "rule",
                       "k", "front", "tail", "threshold", "skipped", "bits");
  for (const SkipPoint &point : points)
    out << llvm::formatv("{0,-7} {1,3} {2,6} {3,5} {4,10:f6} {5,6:f1} % "
                         "{6,8:f4}\n",
                         point.series.random ? "random" : "cosine",
                         point.series.k, point.series.front, point.series.tail,
                         point.threshold, 100 * point.ratio, point.loss);
  out << "mean cosine of each FFN:";
  for (double cosine : saturation)
    out << llvm::formatv(" {0:f4}", cosine);
  out << "\n";
}
