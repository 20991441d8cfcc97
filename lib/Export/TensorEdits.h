//===- TensorEdits.h - new values of tensors in the file --------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Finds the tensor of the ONNX file that a weight was read from, and what is
/// to stand there instead.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_EXPORT_TENSOREDITS_H
#define LATHE_LIB_EXPORT_TENSOREDITS_H

#include "ModelDiff.h"
#include "lathe/Import/OnnxModel.h"
#include <map>

namespace lathe {

/// What stands in a tensor from now on, in ONNX's raw layout. The element type
/// stays.
struct TensorEdit {
  std::vector<int64_t> dims;
  std::vector<char> bytes;
};

/// By name of the initialiser, or of the Constant node's output.
using TensorEdits = std::map<std::string, TensorEdit>;

/// The edits that give every weight use and constant of `diff` its new value.
/// Errors: a weight was computed from several tensors; its tensor is also read
/// by something that keeps the old value; the new encoding, shape or precision
/// has no place in the tensor.
llvm::Expected<TensorEdits> findTensorEdits(const ModelDiff &diff,
                                            const OnnxModel &file);

} // namespace lathe

#endif // LATHE_LIB_EXPORT_TENSOREDITS_H
