//===- Rows.cpp - tensors as rows of floats -------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Calibrate/Rows.h"

using namespace lathe;

std::vector<float> lathe::toFloats(const rt::TensorView &tensor) {
  if (tensor.dtype == rt::DType::F32) {
    auto *data = static_cast<const float *>(tensor.data);
    return std::vector<float>(data, data + tensor.elements());
  }
  std::vector<float> values(tensor.elements());
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

ObservedRows lathe::observedRows(const StageRunner &runner, unsigned chunk,
                                 const rt::TensorView &tensor) {
  auto [first, items] = runner.itemsOf(chunk);
  ObservedRows rows;
  rows.width = rowWidth(tensor);
  int64_t perItem = rowsPerItem(tensor, items);
  std::vector<float> values = toFloats(tensor);
  for (int64_t row = 0; row < perItem * items; ++row) {
    if (!runner.isValid(chunk, row, perItem))
      continue;
    rows.numbers.push_back(first * perItem + row);
    auto begin = values.begin() + row * rows.width;
    rows.values.insert(rows.values.end(), begin, begin + rows.width);
  }
  return rows;
}
