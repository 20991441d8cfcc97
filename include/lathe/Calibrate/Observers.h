//===- Observers.h - statistics of values by site ---------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Statistics of the values inside a model, declared by the requests of all
/// passes and measured together in one run of the unchanged model.
///
/// Observed values become further results of the entry `plain`, so observers
/// see what the compiled program computes, and a program without observers
/// pays nothing.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_CALIBRATE_OBSERVERS_H
#define LATHE_CALIBRATE_OBSERVERS_H

#include "lathe/Calibrate/Profile.h"
#include "lathe/Calibrate/StageRunner.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include <optional>

namespace lathe {

/// What is measured. The rows of a value are its positions; padding does not
/// count. W is their width. Sums are made in f64 in the order of the data.
///
/// Of a linear's site, what the linear multiplies; arrays of the profile:
enum class StatisticKind {
  /// `min/SITE`, `max/SITE` f32[W].
  MinMax,
  /// `moments/SITE` f64[4, W]: means of x, x², x³, x⁴.
  Moments,
  /// `histogram/SITE` i64[bins] over [-r, r) in equal bins, a value on an edge
  /// in the upper one (numpy.histogram), and `histogram_range/SITE` f64[1]: r,
  /// the least power of two above all absolute values, 1 where all are 0.
  Histogram,
  /// `gram/SITE` f64[W, W]: the sum of xᵀx. Products of 256 rows are summed in
  /// f32.
  Gram,
  /// `rows/SITE` f32[n, W]: rows sampled without replacement, all when there
  /// are no more than n. Which ones depends on the data's extents alone.
  Rows,

  // Of sub-layers, the change of the residual stream.

  /// `norms/SITE` f64[3]: mean l2 norm of the rows before and behind, and mean
  /// of their ratio (1 where a row before is 0).
  Norms,
  /// `cosine/SITE` f64[1]: mean of 1 - cos of the rows before and behind; a row
  /// without a direction counts 0.5.
  Cosine,
  /// `angular/SITE` f64[1]: mean of arccos of the cosine clamped to [0, 1],
  /// radians.
  Angular,
};

/// `minmax`, `moments`, `histogram`, `gram`, `rows`, `norms`, `cosine`,
/// `angular`.
llvm::StringRef getName(StatisticKind kind);
std::optional<StatisticKind> parseStatisticKind(llvm::StringRef name);

/// True for those of the change of the residual stream.
bool isOfChange(StatisticKind kind);

/// One statistic of one site. All come with `count/SITE` i64[1], the rows.
struct Observation {
  /// Under which the arrays are found: a site, or sites joined by `+`.
  std::string site;
  StatisticKind kind = StatisticKind::MinMax;
  /// Of a change: the sub-layers that the stream is taken before and behind.
  std::string first, last;
  /// Bins of a histogram (a multiple of 4), rows of a sample; 0 for the others.
  int64_t size = 0;
};

class Observers {
public:
  /// Of a value: `site` is a linear's.
  void observe(llvm::StringRef site, StatisticKind kind, int64_t size = 0);
  /// Of the stream from before the sub-layer `first` to behind `last`.
  void observeChange(llvm::StringRef site, llvm::StringRef first,
                     llvm::StringRef last, StatisticKind kind);

  bool empty() const { return observations.empty(); }
  /// The same for the same declarations, to know what a profile holds.
  std::string text() const;

  /// Makes `plain` return what is observed. The first step goes before
  /// `separateSublayers`, which changes what a post-norm sub-layer returns; the
  /// second behind it, because it adds results to sub-layers.
  llvm::Error exposeStreams(mlir::func::FuncOp plain);
  llvm::Error exposeInputs(mlir::func::FuncOp plain);

  /// Runs all chunks and writes the arrays to `profile`. Sites that share a
  /// value share its arrays (Profile::aliases).
  llvm::Error run(StageRunner &runner, Profile &profile,
                  const StageRunner::Progress &progress);

private:
  struct Task;
  /// Names of places and the values there.
  using Places = std::vector<std::pair<std::string, mlir::Value>>;

  static std::string nameOf(const Observation &observation);
  void add(Observation observation);
  void expose(mlir::func::FuncOp plain, const Places &places);
  std::vector<Task> makeTasks(const rt::Entry &entry) const;
  static llvm::Error store(Task &task, int64_t rows, Profile &profile);

  std::vector<Observation> observations;
  /// Names of the entry's outputs by place.
  std::map<std::string, std::string> outputs;
};

/// Sites of the linears of `plain` whose inputs can be observed, and of its
/// sub-layers, in program order.
struct ObservableSites {
  std::vector<std::string> linears, sublayers;
};
ObservableSites observableSites(mlir::ModuleOp model);

/// Numbers that say in short what a profile's arrays say of each site:
/// `min`, `max`, `mean`, `std` over all elements, `norm_before`,
/// `norm_behind`, `saturation` (mean cosine of the stream before and behind),
/// `angle`.
std::map<std::string, std::map<std::string, double>>
observedValues(const Profile &profile);

} // namespace lathe

#endif // LATHE_CALIBRATE_OBSERVERS_H
