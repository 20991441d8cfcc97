//===- Run.h - one entry at work for the commands -----------*- C++ -* ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TOOLS_LATHE_RUN_H
#define LATHE_TOOLS_LATHE_RUN_H

#include "Command.h"
#include "lathe/Runtime/KvCache.h"
#include "lathe/Runtime/ThreadPool.h"

namespace lathe::cli {

/// A session with its pool, bound by the rules of the command line: inputs
/// that may be left out are filled in with a note, `--dim` and `--shape`
/// decide open dims.
class Runner {
public:
  static llvm::Expected<std::unique_ptr<Runner>>
  create(const LoadedProgram &loaded, const std::string &entry,
         rt::Session::Options options = {});

  rt::Session &session() { return *owned; }

  /// Binds `inputs`, completed, and runs once.
  llvm::Error run(const rt::TensorMap &inputs);

  /// Binds made-up inputs for timing; an entry with a cache starts with
  /// `context` positions in it. An entry that computes the last rows of logits
  /// only computes one, or all of them.
  llvm::Error bindSample(int64_t context, bool allLogits);

  /// Runs again on what is bound, from the same context.
  llvm::Error rerun();

private:
  llvm::Error bind(rt::TensorMap inputs, bool sample);

  /// A cache of `context` positions with room for one run.
  llvm::Error makeCache(bool allLogits);

  std::unique_ptr<rt::ThreadPool> pool;
  std::unique_ptr<rt::Session> owned;
  std::unique_ptr<rt::KvCache> cache;
  rt::TensorMap bound;
  rt::DimValues dims;
  int64_t context = 0;
};

/// A pool of `--threads` threads.
llvm::Expected<std::unique_ptr<rt::ThreadPool>> makePool();

} // namespace lathe::cli

#endif // LATHE_TOOLS_LATHE_RUN_H
