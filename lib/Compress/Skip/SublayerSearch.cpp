//===- SublayerSearch.cpp - which sub-layers the output needs -------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SublayerSearch.h"
#include "lathe/Calibrate/Rows.h"
#include "lathe/Compress/Search/Race.h"
#include "lathe/Compress/Skip/SublayerSurgery.h"
#include "llvm/ADT/StringExtras.h"
#include <cmath>

using namespace lathe;

std::string lathe::toText(const SiteGroup &group) {
  return llvm::join(group, "+");
}

SiteGroup lathe::parseSiteGroup(llvm::StringRef text) {
  SiteGroup group;
  for (llvm::StringRef site : llvm::split(text, '+'))
    group.push_back(site.str());
  return group;
}

std::vector<SiteGroup> lathe::sublayerGroups(mlir::ModuleOp model,
                                             bool byBlock) {
  std::vector<SiteGroup> groups;
  std::string block;
  for (SublayerOp sublayer : plainSublayers(model)) {
    llvm::StringRef site = sublayer.getSite().getPath();
    std::string own = site.rsplit('.').first.str();
    if (!byBlock || groups.empty() || own != block)
      groups.emplace_back();
    groups.back().push_back(site.str());
    block = own;
  }
  return groups;
}

//===----------------------------------------------------------------------===//
// Candidates
//===----------------------------------------------------------------------===//

class SublayerSearch::Candidate : public SearchCandidate {
public:
  Candidate(SublayerSearch &search, std::string name,
            std::vector<unsigned> stages, double saved)
      : search(search), text(std::move(name)), stages(std::move(stages)),
        saved(saved) {}

  std::string name() const override { return text; }
  double cost() const override { return saved; }
  llvm::Expected<SearchError> error(double limit) override {
    return search.distance(stages, limit);
  }
  llvm::Error apply() override {
    search.leader.clear();
    return search.runner.remove(stages);
  }

private:
  SublayerSearch &search;
  std::string text;
  std::vector<unsigned> stages; ///< ascending
  double saved;
};

SublayerSearch::SublayerSearch(StageRunner &runner, const Options &options)
    : runner(runner), options(options) {}

SublayerSearch::~SublayerSearch() = default;

llvm::Expected<std::unique_ptr<SublayerSearch>>
SublayerSearch::create(StageRunner &runner, std::vector<SiteGroup> groups,
                       std::vector<double> costs, const Options &options) {
  std::unique_ptr<SublayerSearch> search(new SublayerSearch(runner, options));
  search->groups = std::move(groups);
  if (llvm::Error error = search->setUp(std::move(costs)))
    return std::move(error);
  return std::move(search);
}

llvm::Error SublayerSearch::setUp(std::vector<double> costs) {
  const rt::Entry &entry = runner.entry();
  end = entry.stages.size();
  targetRef = {rt::Ref::Kind::Output, runner.outputIndex()};
  for (auto [group, cost] : llvm::zip(groups, costs)) {
    std::vector<unsigned> stages;
    for (const std::string &site : group) {
      int stage = runner.stageOf(site);
      if (stage < 0)
        return llvm::createStringError(
            "sub-layer '" + site +
            "' cannot be left out: more of it is read than the residual "
            "stream");
      stages.push_back(stage);
    }
    llvm::sort(stages);
    owned.push_back(
        std::make_unique<Candidate>(*this, toText(group), stages, cost));
    pointers.push_back(owned.back().get());
    if (options.hidden && (end == entry.stages.size() || stages.back() >= end))
      end = stages.back() + 1;
  }
  if (options.hidden)
    targetRef = entry.stages[end - 1].outs[0];
  references.resize(runner.chunks());
  for (unsigned chunk = 0; chunk < runner.chunks(); ++chunk)
    if (llvm::Error error = keepReference(chunk))
      return error;
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// The original's outputs
//===----------------------------------------------------------------------===//

rt::TensorView SublayerSearch::target() const { return runner.view(targetRef); }

std::vector<float>
SublayerSearch::makeReference(const rt::TensorView &tensor) const {
  std::vector<float> rows = toFloats(tensor);
  int64_t width = rowWidth(tensor), count = rows.size() / width;
  runner.pool().parallelFor(count, 4, [&](int64_t from, int64_t to) {
    for (int64_t row = from; row < to; ++row)
      toReference(options.distance, rows.data() + row * width, width);
  });
  return rows;
}

llvm::Error SublayerSearch::keepReference(unsigned chunk) {
  if (llvm::Error error = runner.runWhole(chunk, end))
    return error;
  rt::TensorView tensor = target();
  int64_t rows = rowsPerItem(tensor, tensor.rank ? tensor.shape[0] : 0);
  if (tensor.rank < 2 || tensor.elements() == 0)
    return llvm::createStringError("the model's output has no rows to compare");
  bool byItem = options.distance == DistanceKind::Norm;
  for (int64_t row = 0; row < tensor.shape[0] * rows; ++row)
    totalUnits += byItem ? row % rows == 0 : runner.isValid(chunk, row, rows);
  int64_t bytes = tensor.elements() * sizeof(float);
  if (referenceBytes + bytes > options.memory)
    return llvm::Error::success();
  referenceBytes += bytes;
  references[chunk] = makeReference(tensor);
  return llvm::Error::success();
}

llvm::Expected<const float *> SublayerSearch::reference(unsigned chunk) {
  if (!references[chunk].empty())
    return references[chunk].data();
  if (llvm::Error error = runner.runWhole(chunk, end))
    return std::move(error);
  recomputed = makeReference(target());
  return recomputed.data();
}

//===----------------------------------------------------------------------===//
// Distances
//===----------------------------------------------------------------------===//

/// Samples that the rows of one item make: neighbours are too much alike to
/// count one by one.
static constexpr int64_t kSamplesPerItem = 8;

SublayerSearch::ChunkDistance
SublayerSearch::chunkDistance(unsigned chunk, const float *original) const {
  rt::TensorView tensor = target();
  int64_t width = rowWidth(tensor), items = tensor.shape[0];
  int64_t rows = rowsPerItem(tensor, items), count = items * rows;
  std::vector<double> distances(count);
  std::vector<float> converted;
  const float *changed = static_cast<const float *>(tensor.data);
  if (tensor.dtype != rt::DType::F32) {
    converted = toFloats(tensor);
    changed = converted.data();
  }
  runner.pool().parallelFor(count, 4, [&](int64_t from, int64_t to) {
    for (int64_t row = from; row < to; ++row)
      if (runner.isValid(chunk, row, rows))
        distances[row] =
            referenceDistance(options.distance, original + row * width,
                              changed + row * width, width);
  });
  // Added up in order, so that sums do not depend on the number of threads.
  bool byItem = options.distance == DistanceKind::Norm;
  int64_t together =
      byItem ? rows : llvm::divideCeil(rows, uint64_t(kSamplesPerItem));
  ChunkDistance result;
  for (int64_t item = 0; item < count; item += rows)
    for (int64_t row = item; row < item + rows; row += together) {
      double sample = 0;
      int64_t end = std::min(row + together, item + rows);
      for (int64_t r = row; r < end; ++r) {
        sample += distances[r];
        result.units += !byItem && runner.isValid(chunk, r, rows);
      }
      result.samples.push_back(byItem ? std::sqrt(sample) : sample);
      result.units += byItem;
    }
  for (double sample : result.samples)
    result.sum += sample;
  return result;
}

llvm::Expected<SearchError>
SublayerSearch::distance(llvm::ArrayRef<unsigned> left, double limit) {
  double sum = 0, units = 0;
  Race race;
  // What is above the limit is as far above the leader, times this.
  bool races = !leader.empty() && leaderMean > 0 && std::isfinite(limit);
  double scale = races ? limit / leaderMean : 0;
  std::vector<std::vector<double>> samples;
  for (unsigned chunk = 0; chunk < runner.chunks(); ++chunk) {
    auto original = reference(chunk);
    if (!original)
      return original.takeError();
    if (llvm::Error error = runner.run(chunk, left, end))
      return std::move(error);
    ChunkDistance now = chunkDistance(chunk, *original);
    sum += now.sum;
    units += now.units;
    if (!std::isfinite(sum))
      return llvm::createStringError(
          "without it the model's output is not finite");
    if (races)
      for (auto [mine, best] : llvm::zip_equal(now.samples, leader[chunk]))
        race.add(mine - scale * best);
    samples.push_back(std::move(now.samples));
    // Distances are never negative: the mean can only grow.
    bool isAbove =
        sum / totalUnits > limit || (chunk > 0 && race.isWorse(options.race));
    if (isAbove && chunk + 1 < runner.chunks())
      return SearchError{units > 0 ? sum / units : limit, false};
  }
  double mean = totalUnits > 0 ? sum / totalUnits : 0;
  if (mean < limit) {
    leader = std::move(samples);
    leaderMean = mean;
  }
  return SearchError{mean, true};
}
