//===- Npz.h - numpy archives and ONNX test files -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_NPZ_H
#define LATHE_RUNTIME_NPZ_H

#include "lathe/Runtime/Status.h"
#include "lathe/Runtime/Tensor.h"

#include <string>
#include <vector>

namespace lathe::rt {

/// Reads all arrays of an .npz (stored or deflated, with or without zip64; C or
/// Fortran order; either byte order). Every size is tested against the bytes of
/// the file before memory is taken, and every checksum is tested.
Result<TensorMap> readNpz(const std::string &path);

/// Writes an .npz of stored arrays, in the order given; the same input gives
/// the same bytes. Types that numpy lacks are written as unsigned integers.
Status writeNpz(const std::string &path,
                const std::vector<std::pair<std::string, TensorView>> &arrays);

/// Reads the `input_N.pb` and `output_N.pb` files of a folder: TensorProtos,
/// named by their name, or "input_N" where they have none. Arrays that have a
/// name are also found as "input_N".
Result<TensorMap> readOnnxTestFolder(const std::string &folder);

/// One serialized onnx.TensorProto; `where` names it in messages.
Result<std::pair<std::string, Tensor>>
parseTensorProto(const uint8_t *data, size_t bytes, const std::string &where);

/// Reads an .npz or a folder, whichever PATH is.
Result<TensorMap> readTensors(const std::string &path);

} // namespace lathe::rt

#endif // LATHE_RUNTIME_NPZ_H
