//===- Session.h - one entry in execution -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_SESSION_H
#define LATHE_RUNTIME_SESSION_H

#include "lathe/Runtime/DimSolver.h"
#include "lathe/Runtime/KvCache.h"
#include "lathe/Runtime/Memory.h"
#include "lathe/Runtime/Program.h"
#include "lathe/Runtime/SkipGate.h"
#include "lathe/Runtime/Tensor.h"
#include "lathe/Runtime/ThreadPool.h"

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace lathe::rt {

/// Runs one entry of a program again and again: binds tensors, plans memory,
/// walks the stage table. Used by one thread at a time.
///
///   auto session = Session::create(program, "plain", pool);
///   session->bind(inputs);      // dims from the inputs' shapes
///   session->run();
///   TensorView logits = session->output(0);
///
/// From the second bind on with sizes no larger than before, nothing is
/// allocated. Sizes of entries with a KV cache are planned for a full cache at
/// once, so that decoding never plans again.
class Session {
public:
  struct Options {
    /// Give every value its own memory, so that all can be read after a run
    /// (calibration, comparing layer by layer) instead of only until the last
    /// stage that reads them.
    bool keepValues = false;
  };

  static Result<std::unique_ptr<Session>>
  create(std::shared_ptr<const Program> program, const std::string &entry,
         ThreadPool &pool, Options options);
  static Result<std::unique_ptr<Session>>
  create(std::shared_ptr<const Program> program, const std::string &entry,
         ThreadPool &pool) {
    return create(std::move(program), entry, pool, Options());
  }
  ~Session();
  Session(const Session &) = delete;
  Session &operator=(const Session &) = delete;

  const Entry &entry() const { return *decl; }
  const Program &program() const { return *owner; }

  /// Binds the inputs, one view per input of the entry in its order; the data
  /// must stay until the run has ended. `outputs`, if not empty, gives memory
  /// per output (null: the session's own), large enough for its shape. `cache`
  /// is needed exactly when the entry has KV slots. `dims` decides what the
  /// inputs leave open.
  ///
  /// Errors: an input of wrong type, rank or size, dims that contradict one
  /// another or a check of the entry, dims that nothing decides, a full cache,
  /// sizes beyond 64 bits or the memory there is.
  Status bind(const std::vector<TensorView> &inputs,
              const std::vector<void *> &outputs = {}, KvCache *cache = nullptr,
              const DimValues &dims = {});

  /// The same with the inputs looked up by name.
  Status bind(const TensorMap &inputs, KvCache *cache = nullptr,
              const DimValues &dims = {});

  /// Views of the inputs looked up by name, for `bind`; all must be there, in
  /// their exact type (raw bits of types that numpy lacks excepted).
  Result<std::vector<TensorView>> viewsOf(const TensorMap &inputs) const;

  /// Runs all stages, copies outputs that equal other tensors, and counts the
  /// new positions of the cache.
  Status run();

  /// Runs stages [begin, end) only and neither copies nor counts anything.
  Status run(unsigned begin, unsigned end);

  /// What `run()` does after the stages.
  Status finish();

  /// Value of a dim since the last bind.
  int64_t dim(unsigned index) const { return dimValues[index]; }

  /// A tensor since the last bind: an output, or an argument of a stage. Bytes
  /// of an intermediate value are meaningful from the stage that writes it to
  /// the last one that reads it (to the end with keepValues).
  TensorView view(Ref ref) const;
  TensorView output(unsigned index) const {
    return view({Ref::Kind::Output, index});
  }

  /// Skips a stage, or runs it again; its output is then its residual. Fails if
  /// the stage has none.
  Status setSkipped(unsigned stage, bool skip);
  bool isSkipped(unsigned stage) const { return skipped[stage]; }

  /// Puts a gate at a stage, whatever the entry says, or takes it away. Fails
  /// if the stage has no residual.
  Status setSkipRule(unsigned stage, const std::optional<SkipRule> &rule);

  /// Positions of the cache that are the prompt: gates count the tokens after
  /// it. 0 unless set.
  void setPromptLength(int64_t length) { promptLength = length; }

  /// How often rows skipped gated stages since the start or the last reset.
  const SkipCounts &skipCounts() const { return gate->counts(); }
  void resetSkipCounts() { gate->resetCounts(); }

  /// Replaces the pointer of the stage's part number `part` (null: the
  /// program's own again).
  void setPart(unsigned stage, unsigned part, const void *data);

  /// Called after each stage, skipped ones too, with its time.
  using StageHook = std::function<void(unsigned stage, double seconds)>;
  void setStageHook(StageHook hook) { stageHook = std::move(hook); }

  /// What stages [stage, end) need from those before, so that they can be run
  /// many times (FinerCut's suffix runs). The cache is not part of it: until
  /// `finish`, running a stage again writes the same rows again.
  struct Snapshot {
    unsigned stage = 0;
    std::vector<std::pair<Ref, std::vector<uint8_t>>> values;
  };
  Snapshot save(unsigned stage) const;
  void restore(const Snapshot &snapshot);

  /// Bytes of the arena.
  int64_t arenaBytes() const { return arena.size(); }

private:
  struct Interval;
  struct Context;
  Session() = default;

  Status setUp(Options options);
  Status compileShapes();
  void findIntervals();
  Status checkInputs(const std::vector<TensorView> &inputs,
                     const std::vector<void *> &outputs, KvCache *cache) const;
  bool sameShapes(const std::vector<TensorView> &inputs,
                  const std::vector<void *> &outputs, KvCache *cache,
                  const DimValues &dims) const;
  void rememberShapes(const std::vector<TensorView> &inputs, KvCache *cache,
                      const DimValues &dims);
  Status solveDims(const std::vector<TensorView> &inputs, KvCache *cache,
                   const DimValues &dims);
  Status evaluateShapes();
  Status evaluateSizes(const std::vector<int64_t> &dims,
                       std::vector<int64_t> &result) const;
  Status planMemory();
  Status placeIntervals();
  void writeTable();
  Status checkSkippable(unsigned stage) const;
  void runSkipped(unsigned stage);
  void runStage(unsigned stage);
  void runGated(unsigned stage);
  bool runRows(unsigned stage, const std::vector<int64_t> &rows);
  void beginGate();
  void findCompactable();
  void *address(Ref ref) const;
  unsigned slotOf(Ref ref) const;

  std::shared_ptr<const Program> owner;
  const Entry *decl = nullptr;
  ThreadPool *pool = nullptr;
  std::unique_ptr<Context> context;
  StageHook stageHook;
  bool keepValues = false;

  // Dims and shapes. Tensors are numbered inputs, then outputs, then values
  // ("slots").
  DimSolver solver;
  std::vector<int64_t> dimValues;
  ExprCode appendsCode;
  int batchDim = -1, pastDim = -1, capacityDim = -1;
  int64_t appended = 0; ///< rows that the next run adds to the cache
  std::vector<std::vector<ExprCode>> shapeCodes;   ///< by slot
  std::vector<std::vector<int64_t>> shapes;        ///< by slot
  std::vector<std::array<int64_t, 4>> cacheShapes; ///< K, V of each KV slot

  // Memory. Planned things are the outputs and values, then scratch by stage.
  std::vector<Interval> intervals;
  std::vector<int64_t> sizes, plannedSizes, planDims;
  Pages arena;
  std::vector<void *> inputData, outputData; ///< outputData null: own memory
  KvCache *kvCache = nullptr;
  bool planned = false; ///< the intervals have places for plannedSizes
  bool bound = false;

  // The shapes of the last bind, to see that nothing has changed.
  std::vector<std::vector<int64_t>> lastInputShapes;
  DimValues lastDims;
  int64_t lastLength = -1, lastCapacity = -1, lastBatch = -1;

  // The stage table in the form that stages read.
  std::vector<int64_t> table;
  std::vector<size_t> tableAt; ///< by stage
  std::vector<std::vector<const void *>> stageParts;
  std::vector<char> skipped;

  // Stages that rows may skip.
  std::unique_ptr<SkipGate> gate;
  int64_t promptLength = 0;
  /// By stage: it can run on some rows of the batch, as a smaller batch.
  std::vector<char> compactable;
  Pages gathered; ///< the rows that run a stage, then what it makes of them
};

} // namespace lathe::rt

#endif // LATHE_RUNTIME_SESSION_H
