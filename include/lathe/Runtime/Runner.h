//===- Runner.h - one entry on given data, timed -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What `lathe run`, `lathe bench` and `lathe-run` share: from the arguments
// that users type to outputs, notes and times.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_RUNNER_H
#define LATHE_RUNTIME_RUNNER_H

#include "lathe/Runtime/Defaults.h"
#include "lathe/Runtime/Session.h"

#include <string>
#include <utility>
#include <vector>

namespace lathe::rt {

struct RunOptions {
  std::string entry = "plain";
  DimValues dims;                                                   ///< --dim
  std::vector<std::pair<std::string, std::vector<int64_t>>> shapes; ///< --shape
  /// Make up inputs that are missing (timing).
  bool sample = false;
  /// Timed runs, after one that is not if there are several.
  int64_t iterations = 1;
  /// Positions of the KV cache; 0: what the run needs.
  int64_t maxContext = 0;
  /// Positions that count as filled, with zeros, before the run (timing);
  /// entries with a cache take them from past tensors otherwise.
  int64_t context = 0;
};

struct RunOutcome {
  /// The entry's outputs, then what the KV cache holds as present tensors.
  std::vector<std::pair<std::string, Tensor>> outputs;
  std::vector<double> milliseconds; ///< by iteration
  std::vector<std::string> notes;
  int64_t arenaBytes = 0;
};

/// Runs an entry on `inputs`, which need not be complete (see completeInputs).
Result<RunOutcome> runEntry(std::shared_ptr<const Program> program,
                            ThreadPool &pool, TensorMap inputs,
                            const RunOptions &options);

/// The value below which `percent` of the samples lie (nearest rank); 0 of
/// none.
double percentile(std::vector<double> samples, double percent);

/// "batch=1,seq=128".
Result<DimValues> parseDims(const std::string &text);

/// "image=1x1x64x64,mask=1x7".
Result<std::vector<std::pair<std::string, std::vector<int64_t>>>>
parseShapes(const std::string &text);

/// "1,2,3".
Result<std::vector<int64_t>> parseTokens(const std::string &text);

/// A decimal integer from `least` to `most`, all of `text`; `what` names it in
/// the message.
Result<int64_t> parseInteger(const std::string &text, int64_t least,
                             int64_t most, const std::string &what);

} // namespace lathe::rt

#endif // LATHE_RUNTIME_RUNNER_H
