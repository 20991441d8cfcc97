//===- Profile.h - what was measured on data --------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A profile: what the stage table showed on data, for passes to decide by. The
/// file is an .npz that `numpy.load` opens: one array per statistic, and the
/// array `meta`, JSON text as bytes, which says what the profile belongs to.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_CALIBRATE_PROFILE_H
#define LATHE_CALIBRATE_PROFILE_H

#include "lathe/Runtime/Tensor.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/Error.h"
#include <map>
#include <string>
#include <vector>

namespace lathe {

/// One removal of a search and what it led to.
struct RankingStep {
  std::string site; ///< or several, separated by `+`
  double error = 0; ///< of the model with this step and all before it
};

/// An order of removals.
struct Ranking {
  std::vector<RankingStep> steps;
  std::string measure; ///< of the errors: `js`, `cosine`, ...
  /// How many could be removed, of which the first are ranked.
  int64_t candidates = 0;
};

class Profile {
public:
  /// Version of the file format.
  static constexpr int64_t formatVersion = 1;

  /// Whose profile it is: the model's hash and the passes that were applied to
  /// it before (ModuleRecord.h).
  std::string source;
  std::vector<std::string> passes;
  /// What it was measured on: a hash of the data, items, and positions per
  /// item (0: as the data have).
  std::string data;
  int64_t items = 0, positions = 0;
  /// Names of the passes it was made for.
  std::vector<std::string> consumers;
  /// Orders of removal by key (`lathe-finercut.js`).
  std::map<std::string, Ranking> rankings;
  /// Seconds that the stage of a site takes for one item, and the whole model
  /// under the site `model`.
  std::map<std::string, double> seconds;
  /// Statistics by name, `KIND/SITE`.
  std::map<std::string, rt::Tensor> arrays;
  /// Statistics that another array holds, as several linears read one value.
  std::map<std::string, std::string> aliases;
  /// What the observers were asked for (Observers::text); empty: nothing.
  std::string observed;

  /// The array of this name or of its alias; null if there is none.
  const rt::Tensor *find(const std::string &name) const;

  /// Reads a profile. One error for a file that is missing, no .npz, cut off
  /// or damaged, no profile, or of another format version.
  static llvm::Expected<Profile> load(llvm::StringRef path);

  /// Writes the file under a temporary name and renames it.
  llvm::Error save(llvm::StringRef path) const;

  /// Fails unless the profile belongs to the model that `model` was made from.
  llvm::Error checkSource(llvm::StringRef path, mlir::ModuleOp model) const;

  /// The same, and unless exactly the passes of the profile have been applied.
  llvm::Error check(llvm::StringRef path, mlir::ModuleOp model) const;
};

} // namespace lathe

#endif // LATHE_CALIBRATE_PROFILE_H
