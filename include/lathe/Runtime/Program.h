//===- Program.h - a compiled model, ready to run -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_PROGRAM_H
#define LATHE_RUNTIME_PROGRAM_H

#include "lathe/Runtime/Abi.h"
#include "lathe/Runtime/Manifest.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace lathe::rt {

/// A manifest with its functions and weights: immutable, shared by any number
/// of sessions and threads.
class Program {
public:
  /// Gives the address of a symbol, or null.
  using Resolver = std::function<void *(const std::string &symbol)>;

  struct LoadOptions {
    /// Also hash the whole weights file.
    bool verifyWeights = false;
    /// Library level to take; empty or "native": the best that the folder has
    /// and this machine runs.
    std::string level;
  };

  /// Loads a compiled folder: DIR/model.json, the library of the level, the
  /// weights file. A level that the folder lacks or this machine does not run
  /// is an error that lists those of both.
  static Result<std::shared_ptr<const Program>>
  load(const std::string &dir, const LoadOptions &options);
  static Result<std::shared_ptr<const Program>> load(const std::string &dir) {
    return load(dir, LoadOptions());
  }

  /// A program in memory: `resolver` finds `<function>` and, where a stage
  /// wants scratch, `<function>_scratch`; `parts[i]` holds manifest.parts[i].
  /// `owner` keeps code and parts alive.
  static Result<std::shared_ptr<const Program>>
  create(Manifest manifest, const Resolver &resolver,
         std::vector<const void *> parts, std::shared_ptr<void> owner);

  /// The same with all parts in one block, at their offsets.
  static Result<std::shared_ptr<const Program>>
  create(Manifest manifest, const Resolver &resolver, const void *weights,
         uint64_t weightsBytes, std::shared_ptr<void> owner);

  const Manifest &manifest() const { return content; }

  /// The entry's functions, by stage.
  struct StageCode {
    lathe_stage_fn run = nullptr;
    lathe_scratch_fn scratch = nullptr; ///< may be null
  };
  const std::vector<StageCode> &code(const Entry &entry) const;

  const void *part(unsigned index) const { return parts[index]; }

  /// The entry, or a message that lists those there are.
  Result<const Entry *> entry(const std::string &name) const;

  /// Bytes of weights that one run of the entry streams: each part once,
  /// without tables of which only rows are read.
  uint64_t streamedBytes(const Entry &entry) const;

private:
  Program() = default;

  Manifest content;
  std::vector<std::vector<StageCode>> codes; ///< by entry, by stage
  std::vector<const void *> parts;
  std::shared_ptr<void> owner;
};

/// Names of the CPU levels whose code this machine runs, best first, ending in
/// "scalar".
std::vector<std::string> cpuLevels();

} // namespace lathe::rt

#endif // LATHE_RUNTIME_PROGRAM_H
