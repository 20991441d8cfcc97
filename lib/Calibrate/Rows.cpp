//===- Rows.cpp - tensors as rows of floats -------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Calibrate/Rows.h"

using namespace lathe;

std::vector<float> lathe::toFloats(const rt::TensorView &tensor) {
  std::vector<float> values(tensor.elements());
  if (tensor.dtype == rt::DType::F32) {
    auto *data = static_cast<const float *>(tensor.data);
    values.assign(data, data + values.size());
    return values;
  }
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = rt::loadFloat(tensor.dtype, tensor.data, i);
  return values;
}

int64_t lathe::rowWidth(const rt::TensorView &tensor) {
  return tensor.rank > 0 ? tensor.shape[tensor.rank - 1] : 1;
}

int64_t lathe::rowsPerItem(const rt::TensorView &tensor, int64_t items) {
  int64_t width = rowWidth(tensor);
  return width > 0 && items > 0 ? tensor.elements() / width / items : 0;
}
