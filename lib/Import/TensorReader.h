//===- TensorReader.h - Checked reading of TensorProto ----------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_IMPORT_TENSORREADER_H
#define LATHE_LIB_IMPORT_TENSORREADER_H

#include "lathe/Import/OnnxModel.h"
#include "llvm/Support/Error.h"

namespace lathe {

/// Largest extent of a dim: products of a few stay far from overflow.
constexpr int64_t kMaxExtent = int64_t(1) << 48;

/// Reads tensors of one model.
class TensorReader {
public:
  TensorReader(const MappedFile &model, ExternalFiles &externalFiles)
      : model(model), externalFiles(externalFiles) {}

  /// Checks type, dims and bytes. Typed fields are converted into `owned`. The
  /// error is a sentence without the tensor's name.
  llvm::Expected<TensorData> read(const onnx::TensorProto &tensor,
                                  std::vector<uint8_t> &owned);

private:
  llvm::Error readRaw(const onnx::TensorProto &tensor, uint64_t size,
                      TensorData &data);
  llvm::Error readExternal(const onnx::TensorProto &tensor, uint64_t size,
                           TensorData &data);

  const MappedFile &model;
  ExternalFiles &externalFiles;
};

} // namespace lathe

#endif // LATHE_LIB_IMPORT_TENSORREADER_H
