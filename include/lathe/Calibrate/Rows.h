//===- Rows.h - tensors as rows of floats -----------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// What was computed for the items of a run, row by row: a row is one position
/// of an item, or an item.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_CALIBRATE_ROWS_H
#define LATHE_CALIBRATE_ROWS_H

#include "lathe/Calibrate/StageRunner.h"
#include "lathe/Runtime/Tensor.h"

namespace lathe {

/// The elements of a tensor of numbers in f32.
std::vector<float> toFloats(const rt::TensorView &tensor);

/// Length of the rows: the last extent.
int64_t rowWidth(const rt::TensorView &tensor);

/// Rows of each of `items` items, which the rows of `tensor` are shared among
/// evenly: 1 of class logits [batch, classes].
int64_t rowsPerItem(const rt::TensorView &tensor, int64_t items);

/// Rows of one value from one run, without padding.
struct ObservedRows {
  std::vector<float> values; ///< [rows, width]
  int64_t width = 0;
  /// Number of each row in the data, by item and position.
  std::vector<uint64_t> numbers;

  int64_t count() const { return numbers.size(); }
  const float *row(int64_t index) const { return &values[index * width]; }
};

/// The rows of `tensor`, which a run of `chunk` has computed.
ObservedRows observedRows(const StageRunner &runner, unsigned chunk,
                          const rt::TensorView &tensor);

} // namespace lathe

#endif // LATHE_CALIBRATE_ROWS_H
