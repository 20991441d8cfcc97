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

#include "lathe/Runtime/Tensor.h"

namespace lathe {

/// The elements of a tensor of numbers in f32.
std::vector<float> toFloats(const rt::TensorView &tensor);

/// Length of the rows: the last extent.
int64_t rowWidth(const rt::TensorView &tensor);

/// Rows of each of `items` items, which the rows of `tensor` are shared among
/// evenly: 1 of class logits [batch, classes].
int64_t rowsPerItem(const rt::TensorView &tensor, int64_t items);

} // namespace lathe

#endif // LATHE_CALIBRATE_ROWS_H
