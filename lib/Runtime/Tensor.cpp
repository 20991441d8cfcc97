//===- Tensor.cpp - dense tensors by name -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Tensor.h"

#include "lathe/Runtime/Checked.h"
#include "lathe/Runtime/Memory.h"

using namespace lathe::rt;

static constexpr int64_t maxBytes = int64_t(1) << 46;

int64_t TensorView::elements() const {
  int64_t count = 1;
  for (unsigned i = 0; i < rank; ++i)
    count *= shape[i];
  return count;
}

std::string lathe::rt::shapeText(const int64_t *shape, unsigned rank) {
  std::string text = "[";
  for (unsigned i = 0; i < rank; ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

Result<int64_t> lathe::rt::tensorBytes(DType dtype, const int64_t *shape,
                                       unsigned rank) {
  // A zero dim must not hide an overflow of the others: views multiply them in
  // order.
  int64_t bytes = dtypeBytes(dtype);
  bool empty = false;
  for (unsigned i = 0; i < rank; ++i) {
    if (shape[i] < 0)
      return Status::error("negative dim in shape " + shapeText(shape, rank));
    empty |= shape[i] == 0;
    if (shape[i] != 0 &&
        (!checkedMul(bytes, shape[i], bytes) || bytes > maxBytes))
      return Status::error("shape " + shapeText(shape, rank) +
                           " is too large for memory");
  }
  return empty ? 0 : bytes;
}

Result<Tensor> Tensor::zeros(DType dtype, std::vector<int64_t> shape) {
  Result<int64_t> bytes = tensorBytes(dtype, shape.data(), shape.size());
  if (bytes.failed())
    return bytes.takeStatus();
  Result<Pages> pages = Pages::allocate(*bytes);
  if (pages.failed())
    return pages.takeStatus();
  auto owner = std::make_shared<Pages>(std::move(*pages));
  void *data = owner->data();
  return over(dtype, std::move(shape), data, std::move(owner));
}

Tensor Tensor::over(DType dtype, std::vector<int64_t> shape, void *data,
                    std::shared_ptr<void> owner) {
  Tensor tensor;
  tensor.type = dtype;
  tensor.dims = std::move(shape);
  tensor.bytesAt = data;
  tensor.owner = std::move(owner);
  return tensor;
}

Tensor Tensor::reinterpreted(DType dtype) const {
  Tensor tensor = *this;
  tensor.type = dtype;
  return tensor;
}

Tensor Tensor::rows(int64_t begin, int64_t end) const {
  Tensor tensor = *this;
  tensor.dims[0] = 1;
  int64_t stride = tensor.bytes();
  tensor.dims[0] = end - begin;
  tensor.bytesAt = static_cast<uint8_t *>(bytesAt) + begin * stride;
  return tensor;
}

const Tensor *TensorMap::find(const std::string &name) const {
  for (const char *prefix : {"", "in.", "out."}) {
    auto found = tensors.find(prefix + name);
    if (found != tensors.end())
      return &found->second;
  }
  return nullptr;
}
