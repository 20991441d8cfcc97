//===- SublayerSearch.h - which sub-layers the output needs -----*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Sub-layers, alone or in blocks, as search candidates whose error is the
/// distance of the model's output to the original's. Shared by the passes that
/// remove sub-layers.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_COMPRESS_SKIP_SUBLAYERSEARCH_H
#define LATHE_LIB_COMPRESS_SKIP_SUBLAYERSEARCH_H

#include "lathe/Calibrate/Calibration.h"
#include "lathe/Calibrate/OutputDistance.h"
#include "lathe/Compress/Search/Search.h"

namespace lathe {

/// What is removed at once: sites joined by `+` in profiles.
using SiteGroup = std::vector<std::string>;
std::string toText(const SiteGroup &group);
SiteGroup parseSiteGroup(llvm::StringRef text);

/// The sub-layers of `model` one by one, or by block.
std::vector<SiteGroup> sublayerGroups(mlir::ModuleOp model, bool byBlock);

class SublayerSearch {
public:
  struct Options {
    DistanceKind distance = DistanceKind::Js;
    /// Compare what enters the part behind the last sub-layer (before the final
    /// norm) instead of the output.
    bool hidden = false;
    /// Confidence at which a candidate counts as worse than the best one before
    /// all data were run (see Race); with 1 only when that is certain.
    double race = 1;
    /// Bytes for the original's outputs; beyond, they are computed again.
    int64_t memory = int64_t(2) << 30;
  };

  /// `costs[i]` is what removing `groups[i]` saves. Fails when a group has no
  /// stage that can be left out.
  static llvm::Expected<std::unique_ptr<SublayerSearch>>
  create(StageRunner &runner, std::vector<SiteGroup> groups,
         std::vector<double> costs, const Options &options);
  ~SublayerSearch();

  llvm::ArrayRef<SearchCandidate *> candidates() const { return pointers; }
  const SiteGroup &group(unsigned candidate) const { return groups[candidate]; }

private:
  class Candidate;
  SublayerSearch(StageRunner &runner, const Options &options);
  llvm::Error setUp(std::vector<double> costs);
  llvm::Error keepReference(unsigned chunk);
  llvm::Expected<const float *> reference(unsigned chunk);
  rt::TensorView target() const;
  std::vector<float> makeReference(const rt::TensorView &tensor) const;
  /// The distance on one chunk.
  struct ChunkDistance {
    /// Sums over neighbouring rows of one item.
    std::vector<double> samples;
    double sum = 0;
    double units = 0; ///< rows, or items, that `sum` is of
  };
  ChunkDistance chunkDistance(unsigned chunk, const float *original) const;
  llvm::Expected<SearchError> distance(llvm::ArrayRef<unsigned> left,
                                       double limit);

  StageRunner &runner;
  Options options;
  std::vector<SiteGroup> groups;
  rt::Ref targetRef;
  unsigned end = 0; ///< stages to run
  double totalUnits = 0;
  std::vector<std::vector<float>> references; ///< by chunk; empty beyond memory
  int64_t referenceBytes = 0;
  std::vector<float> recomputed;
  std::vector<std::unique_ptr<Candidate>> owned;
  std::vector<SearchCandidate *> pointers;
  /// Samples by chunk and mean of the best candidate since something was
  /// applied; no chunks when there is none.
  std::vector<std::vector<double>> leader;
  double leaderMean = 0;
};

} // namespace lathe

#endif // LATHE_LIB_COMPRESS_SKIP_SUBLAYERSEARCH_H
