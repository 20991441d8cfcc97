//===- StageRunner.h - suffix runs over data --------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Runs the stage table of one entry on data, again and again with other
/// stages left out, and never runs what has not changed.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_CALIBRATE_STAGERUNNER_H
#define LATHE_CALIBRATE_STAGERUNNER_H

#include "lathe/Runtime/Session.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace lathe {

/// Runs an entry without a cache on the items of `data`, one chunk of items at
/// a time.
///
/// What crosses from one stage to the next is kept for every chunk at evenly
/// spaced stages, as many as the memory allows, so that leaving out stage `p`
/// runs from the last kept stage before `p` only. What is kept belongs to the
/// model without the removed stages.
class StageRunner {
public:
  struct Options {
    int64_t limit = 0;     ///< items at most; 0: all
    int64_t positions = 0; ///< positions of a sequence at most; 0: all
    int64_t chunk = 0;     ///< items of a run; 0: what the model fixes, or 1
                           ///< of sequences and 16 of others
    int64_t memory = int64_t(2) << 30; ///< bytes for what is kept
  };

  /// Called with the chunks done and of all.
  using Progress = std::function<void(unsigned, unsigned)>;

  /// Fails when the data lack the entry's inputs or do not fit to them.
  static llvm::Expected<std::unique_ptr<StageRunner>>
  create(std::shared_ptr<const rt::Program> program, const std::string &entry,
         rt::ThreadPool &pool, const rt::TensorMap &data,
         const Options &options);

  const rt::Entry &entry() const { return session->entry(); }
  int64_t items() const { return numItems; }
  int64_t positions() const { return numPositions; }
  unsigned chunks() const { return numChunks; }
  /// First item of a chunk and how many there are.
  std::pair<int64_t, int64_t> itemsOf(unsigned chunk) const;
  /// The array `y` of the data, cut like the inputs; null without one.
  const rt::Tensor *labels() const { return y.rank() ? &y : nullptr; }
  /// The inputs that the data have, and `y`, cut to what is run on.
  rt::TensorMap data() const;
  rt::ThreadPool &pool() { return *threads; }
  /// Hash of the items that are run on: names, types, shapes and bytes.
  std::string dataHash() const;

  /// Index of the stage of `site` that can be left out; -1 if there is none.
  int stageOf(llvm::StringRef site) const;

  /// Called in `prepare` after each stage, while its arguments and results
  /// stand.
  using Observe = std::function<void(unsigned chunk, unsigned stage)>;

  /// Runs all chunks and keeps what suffix runs need; also measures the stages.
  llvm::Error prepare(const Progress &progress = nullptr,
                      const Observe &observe = nullptr);

  /// Runs `chunk` up to stage `end` without the stages `left` (ascending)
  /// besides those removed; what the last stages write stands until the next
  /// run.
  llvm::Error run(unsigned chunk, llvm::ArrayRef<unsigned> left, unsigned end);

  /// Runs `chunk` up to stage `end` with nothing left out.
  llvm::Error runWhole(unsigned chunk, unsigned end);

  /// Removes `stages` for good and brings what is kept up to date.
  llvm::Error remove(llvm::ArrayRef<unsigned> stages);

  /// Called after each stage that runs, in every run; it may change what the
  /// stage wrote, as another weight would. Null: none.
  using Edit = std::function<void(unsigned stage)>;
  void setEdit(Edit edit) { this->edit = std::move(edit); }

  /// Brings what is kept up to date after `stage` has come to compute something
  /// else; `observe` as in `prepare`.
  llvm::Error refresh(unsigned stage, const Observe &observe = nullptr);

  /// Puts everything back that was removed.
  llvm::Error reset();

  /// A tensor of the last run.
  rt::TensorView view(rt::Ref ref) const { return session->view(ref); }
  /// The first output of floats, or that called `logits`.
  rt::TensorView output() const;
  unsigned outputIndex() const { return scoredOutput; }

  /// True where position `row` (of the output's rows) of `chunk` is no padding.
  bool isValid(unsigned chunk, int64_t row, int64_t rows) const;

  /// Seconds of a stage for one item, the least of all runs of it.
  double seconds(unsigned stage) const { return leastSeconds[stage]; }

  /// How many stages apart values are kept.
  unsigned keptEvery() const { return stride; }

private:
  StageRunner() = default;
  llvm::Error cutLabels(const rt::TensorMap &data, int64_t had);
  llvm::Error setUp(const rt::TensorMap &data, const Options &options);
  llvm::Error chooseChunk(const Options &options);
  void findLiveValues();
  void chooseStride(int64_t memory);
  llvm::Error bind(unsigned chunk);
  void keep(unsigned chunk, unsigned stage);
  void restore(unsigned chunk, unsigned stage);
  llvm::Error runStages(unsigned chunk, unsigned begin, unsigned end,
                        llvm::ArrayRef<unsigned> left, const Observe *observe);

  rt::ThreadPool *threads = nullptr;
  std::unique_ptr<rt::Session> session;
  rt::TensorMap items_; ///< cut to the items and positions
  rt::Tensor y;         ///< labels, of rank 0 without
  rt::TensorMap inputs; ///< of the chunk in hand
  int64_t numItems = 0, numPositions = 0, chunkItems = 1;
  unsigned numChunks = 0, stride = 1, scoredOutput = 0;
  std::vector<bool> gone;
  Edit edit;
  std::vector<double> leastSeconds;
  /// Values written before a stage and read by it or later.
  std::vector<std::vector<rt::Ref>> live;
  /// By chunk, by value: the bytes kept.
  std::vector<std::vector<std::vector<uint8_t>>> kept;
};

} // namespace lathe

#endif // LATHE_CALIBRATE_STAGERUNNER_H
