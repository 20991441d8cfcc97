//===- Statistics.cpp - what observers add up -----------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Statistics.h"
#include "lathe/Calibrate/OutputDistance.h"
#include "llvm/ADT/STLExtras.h"
#include <Eigen/Core>
#include <cmath>

using namespace lathe;

using FloatMatrix =
    Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using DoubleMatrix =
    Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

namespace {

using Arrays = std::map<std::string, rt::Tensor>;

/// Puts a tensor of `values` into `arrays`.
template <typename T>
llvm::Error put(Arrays &arrays, const char *name, rt::DType dtype,
                std::vector<int64_t> shape, llvm::ArrayRef<T> values) {
  auto tensor = rt::Tensor::zeros(dtype, std::move(shape));
  if (tensor.failed())
    return llvm::createStringError(tensor.message());
  llvm::copy(values, tensor->template as<T>());
  arrays[name] = std::move(*tensor);
  return llvm::Error::success();
}

class MinMax : public Statistic {
public:
  void add(const ObservedRows &rows, const ObservedRows &) override {
    if (least.empty()) {
      least.assign(rows.width, std::numeric_limits<float>::infinity());
      most.assign(rows.width, -std::numeric_limits<float>::infinity());
    }
    for (int64_t i = 0; i < rows.count(); ++i)
      for (int64_t c = 0; c < rows.width; ++c) {
        least[c] = std::min(least[c], rows.row(i)[c]);
        most[c] = std::max(most[c], rows.row(i)[c]);
      }
  }
  llvm::Error finish(Arrays &arrays) override {
    std::vector<int64_t> shape = {int64_t(least.size())};
    if (llvm::Error error =
            put<float>(arrays, "min", rt::DType::F32, shape, least))
      return error;
    return put<float>(arrays, "max", rt::DType::F32, shape, most);
  }

private:
  std::vector<float> least, most;
};

class Moments : public Statistic {
public:
  void add(const ObservedRows &rows, const ObservedRows &) override {
    width = rows.width;
    sums.resize(kOrders * width);
    count += rows.count();
    for (int64_t i = 0; i < rows.count(); ++i)
      for (int64_t c = 0; c < width; ++c) {
        double x = rows.row(i)[c], power = x;
        for (int64_t order = 0; order < kOrders; ++order, power *= x)
          sums[order * width + c] += power;
      }
  }
  llvm::Error finish(Arrays &arrays) override {
    std::vector<double> means = sums;
    for (double &mean : means)
      mean /= std::max<int64_t>(count, 1);
    return put<double>(arrays, "moments", rt::DType::F64, {kOrders, width},
                       means);
  }

private:
  static constexpr int64_t kOrders = 4;
  std::vector<double> sums;
  int64_t width = 0, count = 0;
};

/// Bins over [-range, range) where the range is a power of two: when it has to
/// double, two neighbours become one bin, so the result is the same as if it
/// had been known from the start.
class Histogram : public Statistic {
public:
  explicit Histogram(int64_t bins) : counts(bins) {}

  void add(const ObservedRows &rows, const ObservedRows &) override {
    for (float value : rows.values)
      if (std::isfinite(value))
        add(value);
  }
  llvm::Error finish(Arrays &arrays) override {
    if (llvm::Error error =
            put<int64_t>(arrays, "histogram", rt::DType::I64,
                         {int64_t(counts.size())}, counts))
      return error;
    return put<double>(arrays, "histogram_range", rt::DType::F64, {1},
                       range > 0 ? range : 1);
  }

private:
  void add(double value) {
    int64_t bins = counts.size();
    if (value == 0) { // before there is a range, too
      ++counts[bins / 2];
      return;
    }
    while (std::abs(value) >= range)
      grow(std::abs(value));
    // value / range is exact.
    ++counts[int64_t(std::floor((value / range + 1) * 0.5 * double(bins)))];
  }
  void grow(double value) {
    if (range == 0) {
      int exponent;
      std::frexp(value, &exponent);
      range = std::ldexp(1.0, exponent);
      return;
    }
    int64_t half = counts.size() / 2;
    std::vector<int64_t> wider(counts.size());
    for (int64_t i = 0; i < half; ++i)
      wider[half / 2 + i] = counts[2 * i] + counts[2 * i + 1];
    counts = std::move(wider);
    range *= 2;
  }

  std::vector<int64_t> counts;
  double range = 0; ///< 0 while only zeros have come
};

class Gram : public Statistic {
public:
  void add(const ObservedRows &rows, const ObservedRows &) override {
    if (sum.size() == 0)
      sum = DoubleMatrix::Zero(rows.width, rows.width);
    for (int64_t begin = 0; begin < rows.count(); begin += kRows) {
      Eigen::Map<const FloatMatrix> part(
          rows.row(begin), std::min(kRows, rows.count() - begin), rows.width);
      FloatMatrix product = FloatMatrix::Zero(rows.width, rows.width);
      product.selfadjointView<Eigen::Lower>().rankUpdate(part.transpose());
      sum.triangularView<Eigen::Lower>() += product.cast<double>();
    }
  }
  llvm::Error finish(Arrays &arrays) override {
    sum.triangularView<Eigen::StrictlyUpper>() = sum.transpose();
    return put<double>(arrays, "gram", rt::DType::F64, {sum.rows(), sum.cols()},
                       {sum.data(), size_t(sum.size())});
  }

private:
  static constexpr int64_t kRows = 256;
  DoubleMatrix sum;
};

/// The rows with the least hashes of their numbers: a uniform sample that does
/// not depend on the sizes of runs.
class SampledRows : public Statistic {
public:
  explicit SampledRows(int64_t size) : size(size) {}

  void add(const ObservedRows &rows, const ObservedRows &) override {
    width = rows.width;
    for (int64_t i = 0; i < rows.count(); ++i) {
      uint64_t hash = mix(rows.numbers[i]);
      if (int64_t(kept.size()) == size && hash >= kept.rbegin()->first)
        continue;
      kept[hash] = {rows.numbers[i],
                    std::vector<float>(rows.row(i), rows.row(i) + width)};
      if (int64_t(kept.size()) > size)
        kept.erase(std::prev(kept.end()));
    }
  }
  llvm::Error finish(Arrays &arrays) override {
    std::map<uint64_t, llvm::ArrayRef<float>> inOrder;
    for (const auto &[hash, row] : kept)
      inOrder[row.first] = row.second;
    std::vector<float> values;
    for (const auto &[number, row] : inOrder)
      values.insert(values.end(), row.begin(), row.end());
    return put<float>(arrays, "rows", rt::DType::F32,
                      {int64_t(inOrder.size()), width}, values);
  }

private:
  /// A bijection of 64-bit numbers (the finaliser of SplitMix64).
  static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  }

  int64_t size, width = 0;
  std::map<uint64_t, std::pair<uint64_t, std::vector<float>>> kept;
};

double norm(const float *row, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i)
    sum += double(row[i]) * row[i];
  return std::sqrt(sum);
}

class Norms : public Statistic {
public:
  void add(const ObservedRows &before, const ObservedRows &behind) override {
    for (int64_t i = 0; i < before.count(); ++i) {
      double from = norm(before.row(i), before.width),
             to = norm(behind.row(i), behind.width);
      sums[0] += from;
      sums[1] += to;
      sums[2] += from > 0 ? to / from : 1;
    }
    count += before.count();
  }
  llvm::Error finish(Arrays &arrays) override {
    std::vector<double> means(sums, sums + 3);
    for (double &mean : means)
      mean /= std::max<int64_t>(count, 1);
    return put<double>(arrays, "norms", rt::DType::F64, {3}, means);
  }

private:
  double sums[3] = {};
  int64_t count = 0;
};

class Change : public Statistic {
public:
  Change(const char *name, DistanceKind kind) : name(name), kind(kind) {}

  void add(const ObservedRows &before, const ObservedRows &behind) override {
    for (int64_t i = 0; i < before.count(); ++i) {
      double value =
          rowDistance(kind, before.row(i), behind.row(i), before.width);
      sum += std::isfinite(value) ? value : 0.5;
    }
    count += before.count();
  }
  llvm::Error finish(Arrays &arrays) override {
    double mean = sum / std::max<int64_t>(count, 1);
    return put<double>(arrays, name, rt::DType::F64, {1}, mean);
  }

private:
  const char *name;
  DistanceKind kind;
  double sum = 0;
  int64_t count = 0;
};

} // namespace

std::unique_ptr<Statistic> Statistic::create(StatisticKind kind, int64_t size) {
  switch (kind) {
  case StatisticKind::MinMax:
    return std::make_unique<MinMax>();
  case StatisticKind::Moments:
    return std::make_unique<Moments>();
  case StatisticKind::Histogram:
    return std::make_unique<Histogram>(size);
  case StatisticKind::Gram:
    return std::make_unique<Gram>();
  case StatisticKind::Rows:
    return std::make_unique<SampledRows>(size);
  case StatisticKind::Norms:
    return std::make_unique<Norms>();
  case StatisticKind::Cosine:
    return std::make_unique<Change>("cosine", DistanceKind::Cosine);
  case StatisticKind::Angular:
    return std::make_unique<Change>("angular", DistanceKind::Angular);
  }
  llvm_unreachable("all kinds are handled");
}
