//===- Inspect.h - what a model is made of --------------------*- C++ -*- ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Describes a model at the structure level for people and for programs.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_DRIVER_INSPECT_H
#define LATHE_DRIVER_INSPECT_H

#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/StringMap.h"
#include <cstdint>
#include <string>
#include <vector>

namespace lathe {

/// One input or output of an entry.
struct TensorSummary {
  std::string name;
  std::string type;              ///< element type
  std::vector<std::string> dims; ///< polynomial texts
};

struct EntrySummary {
  std::string name;
  std::vector<std::string> dims; ///< free dims
  std::vector<TensorSummary> inputs, outputs;
  unsigned caches = 0;
};

/// One sub-layer of the plain entry.
struct SublayerSummary {
  std::string site, kind;
  bool postNorm = false;
  int64_t params = 0; ///< elements of the weights it reads
  int64_t bytes = 0;  ///< of those weights as they are encoded
  int64_t macs = 0;   ///< multiply-adds at the given dims
};

/// Something that stayed a carrier operation although a pass looked at it.
struct UnraisedSummary {
  std::string node, op, reason;
};

/// Operations of one kind that cannot be lowered.
struct UnsupportedSummary {
  std::string op, domain;
  int64_t opset = 0;
  int64_t count = 0;
  std::string firstNode;
};

struct ModelSummary {
  std::vector<EntrySummary> entries;
  std::vector<SublayerSummary> sublayers;
  std::vector<UnraisedSummary> unraised;
  std::vector<UnsupportedSummary> unsupported;
  int64_t params = 0; ///< of all weights, each counted once
  int64_t bytes = 0;
  int64_t macs = 0; ///< of the plain entry
  /// Dims that were not given and count as 1.
  std::vector<std::string> openDims;
};

/// "22.7 M" and the like.
std::string roundedCount(int64_t number);

/// Summarises `model`; `dims` gives dims by name for the counts of
/// multiply-adds.
ModelSummary inspectModel(mlir::ModuleOp model,
                          const llvm::StringMap<int64_t> &dims);

} // namespace lathe

#endif // LATHE_DRIVER_INSPECT_H
