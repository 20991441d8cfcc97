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

/// Completes `inputs` to one tensor per input of the entry, so that
/// `Session::bind(inputs, cache, options.dims)` has all it needs:
///
///   past*            empty, if all of them are missing
///   attention_mask   ones over past + new positions
///   position_ids     counted on from past
///   token_type_ids   zeros
///   unset batch      1
///
/// Each of these adds a line to `notes`. Errors: other missing inputs, dims
/// that nothing decides (all are named; derived ones are never asked for),
/// contradictions.
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
