//===- Defaults.h - inputs that a user may leave out -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_DEFAULTS_H
#define LATHE_RUNTIME_DEFAULTS_H

#include "lathe/Runtime/DimSolver.h"
#include "lathe/Runtime/KvCache.h"
#include "lathe/Runtime/Memory.h"

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace lathe::rt {

struct InputOptions {
  /// From --dim: names of dims, aliases or derived dims.
  DimValues dims;
  /// From --shape: shapes by input, as if such a tensor had been given.
  std::vector<std::pair<std::string, std::vector<int64_t>>> shapes;
  /// Cache that the entry will run with, if it has KV slots.
  const KvCache *cache = nullptr;
  /// Make up inputs that are missing and have no default (for timing): ones for
  /// integers, numbers in [-1, 1] for floats.
  bool sample = false;
};

/// Completes the inputs of an entry, again and again in the same memory:
///
///   past*            empty, if all of them are missing
///   attention_mask   ones over past + new positions
///   position_ids     counted on from past
///   token_type_ids   zeros
///   unset batch      1
///
/// From the second call on with sizes no larger than before, nothing is
/// allocated. Memory of inputs of entries with a cache is made for a full one
/// at once, so that decoding never allocates again.
class InputCompleter {
public:
  /// `entry` must outlive the completer.
  static Result<InputCompleter> create(const Entry &entry);

  /// Completes `given`, which has one element per input of the entry in its
  /// order, in the entry's exact types; those without a value are missing. Each
  /// default adds a line to `notes`, if not null. Errors: other missing inputs,
  /// dims that nothing decides (all are named; derived ones are never asked
  /// for), contradictions.
  Status complete(const std::vector<std::optional<TensorView>> &given,
                  const InputOptions &options,
                  std::vector<std::string> *notes = nullptr);

  /// Since the last call that succeeded: all inputs in the entry's order, for
  /// `Session::bind(views(), ..., cache, options.dims)`. Those that were given
  /// are the caller's, the others are valid until the next call.
  const std::vector<TensorView> &views() const { return all; }

private:
  explicit InputCompleter(const Entry &entry) : entry(&entry) {}

  Status addEquations(const std::vector<std::optional<TensorView>> &given,
                      const InputOptions &options);
  void findMissing(const std::vector<std::optional<TensorView>> &given);
  void decidePast();
  Status decideBatch(std::vector<std::string> *notes);
  Status checkPast() const;
  Status checkMissing() const;
  Status decideDims(const InputOptions &options,
                    std::vector<std::string> *notes);
  void notePast(std::vector<std::string> &notes) const;
  void noteInput(unsigned index, std::vector<std::string> &notes) const;
  Result<int64_t> evaluateShape(unsigned index);
  Status reserve(unsigned index, const KvCache *cache);
  void fill(unsigned index) const;
  int64_t pastLength() const;

  const Entry *entry;
  DimSolver solver;
  std::vector<unsigned> missing, missingPast;
  bool emptyPast = false; ///< all past inputs are missing
  std::vector<TensorView> all;

  // By input, of those that were missing.
  std::vector<std::vector<int64_t>> shapes;
  std::vector<Pages> buffers;
};

/// Completes `inputs` as an InputCompleter does, to one tensor per input of the
/// entry, so that `Session::bind(inputs, cache, options.dims)` has all it
/// needs.
Status completeInputs(const Entry &entry, const InputOptions &options,
                      TensorMap &inputs, std::vector<std::string> &notes);

/// Gives tensors of ONNX test files that have no name of an input ("input_2")
/// the name of the input at their place.
void nameTestInputs(const Entry &entry, TensorMap &inputs);

/// What an input is by its name, for whoever makes inputs.
enum class InputKind { Past, AttentionMask, PositionIds, TokenTypeIds, Other };
InputKind inputKind(const std::string &name);

/// Fills a mask with ones, or type ids with zeros.
void fillConstant(const TensorView &tensor, int64_t value);

/// Fills position ids: `first`, `first` + 1, … along the last axis.
void fillPositions(const TensorView &tensor, int64_t first);

} // namespace lathe::rt

#endif // LATHE_RUNTIME_DEFAULTS_H
