//===- DimNames.h - Names of dims as polynomial texts -----------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_IMPORT_DIMNAMES_H
#define LATHE_LIB_IMPORT_DIMNAMES_H

#include "lathe/Import/OnnxModel.h"
#include "lathe/IndexExpr/IndexExpr.h"
#include "llvm/ADT/StringSet.h"

namespace lathe {

/// Turns the dims of a model's inputs and outputs into the texts of
/// `lathe.dims`. A static dim is its number. A name that is a polynomial of
/// names of other inputs' dims ("past + seq") is that polynomial; any other
/// name is one named dim, however it looks. Dims without a name get fresh ones:
/// d0, d1, …
class DimNames {
public:
  explicit DimNames(const OnnxModel &model);

  std::vector<std::string> describeInput(const OnnxPort &port);
  /// An extent that is unknown to the importer but declared is the declared
  /// number.
  std::vector<std::string> describeOutput(const OnnxPort &port);

private:
  std::string describe(int64_t extent, llvm::StringRef name);

  IndexExprContext context;
  /// Names that stand alone as a dim of an input.
  llvm::StringSet<> plainNames;
  llvm::StringSet<> usedNames;
  unsigned nextFresh = 0;
};

} // namespace lathe

#endif // LATHE_LIB_IMPORT_DIMNAMES_H
