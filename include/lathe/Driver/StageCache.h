//===- StageCache.h - compiled stages on disk -------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Keeps the code of stages between compilations, one file per stage and CPU
/// level.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_DRIVER_STAGECACHE_H
#define LATHE_DRIVER_STAGECACHE_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "lathe/Driver/StageTable.h"
#include "lathe/Lower/CompileStage.h"
#include "llvm/Support/BLAKE3.h"
#include <optional>
#include <string>

namespace lathe {

/// A folder of compiled stages. A file is named by the BLAKE3 hash of all that
/// its code follows from: the stage, the target, and the compiler, which is
/// whatever the process has loaded (by build ID, so that no other build of
/// Lathe, MLIR or LLVM reads it).
///
/// Never an error: a file that is damaged, foreign or unreadable counts as
/// absent, and what cannot be written is not kept. Callable from several
/// threads, and several processes may share a folder.
class StageCache {
public:
  /// `folder` is made when there is something to keep; empty: nothing is kept.
  explicit StageCache(std::string folder);

  /// `stages` in `cacheFolder()`; empty where there is none.
  static std::string defaultFolder();

  /// The code of `function` for `target`, if it is kept.
  std::optional<CompiledStage> find(const StageFunction &function,
                                    const CpuTarget &target) const;

  /// Keeps the code of `function` for `target`.
  void add(const StageFunction &function, const CpuTarget &target,
           const CompiledStage &stage) const;

  /// Removes what was not used for longest beyond 1 GiB. Looks at most every 20
  /// minutes.
  void prune() const;

private:
  using Hash = llvm::BLAKE3Result<>;
  Hash keyOf(const StageFunction &function, const CpuTarget &target) const;
  std::string pathOf(const Hash &key) const;

  std::string folder;
  std::string compiler; ///< identity of what generates code
};

} // namespace lathe

#endif // LATHE_DRIVER_STAGECACHE_H
