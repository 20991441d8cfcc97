//===- FunctionInliner.h - Inlines model-local functions --------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_IMPORT_FUNCTIONINLINER_H
#define LATHE_LIB_IMPORT_FUNCTIONINLINER_H

#include "lathe/Import/OnnxModel.h"
#include "lathe/Import/Problems.h"
#include <deque>
#include <vector>

namespace lathe {

/// Opset of each imported domain ("" for the default one).
using OpsetMap = llvm::StringMap<unsigned>;

/// Reads opset imports: duplicates and versions that are not read are problems
/// of `subject`.
OpsetMap readOpsets(llvm::ArrayRef<std::pair<llvm::StringRef, int64_t>> imports,
                    const llvm::Twine &subject, Problems &problems);

/// Appends the nodes of the model's graph to `nodes`, each call of a
/// model-local function replaced by the nodes of its body under fresh names.
/// Copies live in `copies`. Works without recursion; calls that recur, nest
/// deeper than kMaxCallDepth or expand beyond a million nodes are problems, and
/// the result is false: `nodes` is not complete.
bool inlineFunctions(const onnx::ModelProto &model, const OpsetMap &opsets,
                     std::deque<onnx::NodeProto> &copies,
                     std::vector<OnnxNode> &nodes, Problems &problems);

} // namespace lathe

#endif // LATHE_LIB_IMPORT_FUNCTIONINLINER_H
