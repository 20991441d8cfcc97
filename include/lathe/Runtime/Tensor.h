//===- Tensor.h - dense tensors by name -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_TENSOR_H
#define LATHE_RUNTIME_TENSOR_H

#include "lathe/Runtime/DType.h"
#include "lathe/Runtime/Status.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace lathe::rt {

/// A dense row-major tensor that somebody else owns: `shape` and `data` must
/// outlive the view.
struct TensorView {
  DType dtype = DType::F32;
  const int64_t *shape = nullptr;
  unsigned rank = 0;
  void *data = nullptr;

  /// Product of the dims; shapes in views are already checked for overflow.
  int64_t elements() const;
  int64_t bytes() const { return elements() * dtypeBytes(dtype); }
};

/// Bytes of a tensor of that shape; fails on a negative dim and on more than
/// 2^46 bytes.
Result<int64_t> tensorBytes(DType dtype, const int64_t *shape, unsigned rank);

/// "[2, 12]" for messages.
std::string shapeText(const int64_t *shape, unsigned rank);

/// A dense row-major tensor. Copies share the bytes.
class Tensor {
public:
  Tensor() = default;

  /// A tensor of zeros, 64-byte aligned; fails on a bad shape or without
  /// memory.
  static Result<Tensor> zeros(DType dtype, std::vector<int64_t> shape);

  /// A tensor over bytes that `owner` keeps alive (null: the caller does).
  static Tensor over(DType dtype, std::vector<int64_t> shape, void *data,
                     std::shared_ptr<void> owner);

  DType dtype() const { return type; }
  const std::vector<int64_t> &shape() const { return dims; }
  unsigned rank() const { return dims.size(); }
  void *data() const { return bytesAt; }
  int64_t elements() const { return view().elements(); }
  int64_t bytes() const { return view().bytes(); }
  TensorView view() const {
    return {type, dims.data(), static_cast<unsigned>(dims.size()), bytesAt};
  }
  template <typename T>
  T *as() const {
    return static_cast<T *>(bytesAt);
  }

  /// The same bytes as another type of the same size (`ui16` as `bf16`).
  Tensor reinterpreted(DType dtype) const;

  /// Rows [begin, end) along axis 0, sharing the bytes; rank must be positive
  /// and the range within the axis.
  Tensor rows(int64_t begin, int64_t end) const;

private:
  DType type = DType::F32;
  std::vector<int64_t> dims;
  void *bytesAt = nullptr;
  std::shared_ptr<void> owner;
};

/// Named tensors, as read from an .npz or a folder of ONNX test files.
struct TensorMap {
  std::map<std::string, Tensor> tensors;
  /// Arrays of the file that cannot be tensors (strings, objects), with the
  /// reason; only an error when somebody asks for them.
  std::map<std::string, std::string> unusable;

  /// The tensor NAME, `in.NAME` or `out.NAME`, first that exists, or null.
  const Tensor *find(const std::string &name) const;
};

} // namespace lathe::rt

#endif // LATHE_RUNTIME_TENSOR_H
