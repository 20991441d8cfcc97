//===- ModelFile.h - an ONNX file that is being edited ----------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A copy of an ONNX model without the bytes of its tensors, which stay in the
/// mapped source until the copy is written.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_EXPORT_MODELFILE_H
#define LATHE_LIB_EXPORT_MODELFILE_H

#include "TensorEdits.h"
#include "lathe/Import/Onnx.pb.h"
#include "lathe/Import/OnnxModel.h"

namespace lathe {

class ModelFile {
public:
  /// Copies `source`, which must outlive the copy. With `inlined`, calls of
  /// functions are replaced by the functions' nodes, as the source sees them.
  /// Error: that is wanted and the functions need other opsets than the model.
  static llvm::Expected<ModelFile> copy(const OnnxModel &source, bool inlined);

  onnx::GraphProto &getGraph() { return *proto.mutable_graph(); }

  /// Gives tensors new values; `edits` must outlive the copy.
  void apply(const TensorEdits &edits);

  /// Writes the model to `path`, with tensors of 1 KiB and more in `path`.data
  /// if all tensors together take more than `embedLimit` bytes. Both files
  /// appear complete or not at all.
  llvm::Error write(llvm::StringRef path, uint64_t embedLimit);

private:
  void hold(onnx::TensorProto &tensor, llvm::ArrayRef<char> bytes);
  void holdTensors(onnx::NodeProto &node, const onnx::NodeProto &original,
                   const OnnxModel &source);
  void holdRaw(onnx::TensorProto &tensor, const OnnxModel &source);
  llvm::Error inlineCalls(const OnnxModel &source);
  std::vector<onnx::TensorProto *> getHeld();

  onnx::ModelProto proto;
  /// Bytes of the tensors that say so: their `lathe_raw_offset` is the index.
  std::vector<llvm::ArrayRef<char>> held;
};

} // namespace lathe

#endif // LATHE_LIB_EXPORT_MODELFILE_H
