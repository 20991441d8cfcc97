//===- GraphEditor.h - edits of an ONNX graph -------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Takes branches, inputs and outputs out of an ONNX graph. Everything is said
/// by the names of values; no MLIR.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_EXPORT_GRAPHEDITOR_H
#define LATHE_LIB_EXPORT_GRAPHEDITOR_H

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace lathe {
namespace onnx {
class GraphProto;
} // namespace onnx

/// A residual branch to be taken out.
struct BranchRemoval {
  std::string site; ///< for errors
  /// Values whose sum is the branch.
  std::vector<std::string> branch;
  /// The sum of residual and branch; empty if no node computes it alone.
  std::string sum;
  /// Result of the norm behind the sum if it goes too, else empty.
  std::string norm;
};

struct GraphEdits {
  std::vector<BranchRemoval> removals;
  std::vector<std::string> droppedInputs, droppedOutputs;
};

/// The extents of a value as texts in which equal extents are equal; nothing if
/// they are not known.
using ShapeOf =
    std::function<std::optional<std::vector<std::string>>(llvm::StringRef)>;

/// Applies `edits`, then erases the nodes, initialisers and descriptions of
/// values that no output needs any more. A node that reads only the shape of
/// something erased reads that of another value of the same shape. Nodes keep
/// their order and names. Errors: something that stays needs the values of a
/// removed branch or input.
llvm::Error editGraph(onnx::GraphProto &graph, const GraphEdits &edits,
                      const ShapeOf &shapeOf);

} // namespace lathe

#endif // LATHE_LIB_EXPORT_GRAPHEDITOR_H
