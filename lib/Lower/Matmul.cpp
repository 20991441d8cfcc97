//===- Matmul.cpp - products of two activations ---------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StageLowering.h"

using namespace mlir;
using namespace lathe;

/// The ONNX type in which products of `element` are summed.
static Type accumulatorOf(Type element) {
  return isa<FloatType>(element) ? getComputeType(element) : element;
}

Tensor StageLowering::matmul(const Tensor &a, const Tensor &b) {
  // Loops: leading dims aligned at the right, then M, N, K.
  unsigned leading = std::max(a.rank(), b.rank()) - 2;
  int64_t m = leading, n = leading + 1, k = leading + 2;
  auto labels = [&](unsigned rank, int64_t row, int64_t column) {
    SmallVector<int64_t> list;
    for (unsigned i = 0; i + 2 < rank; ++i)
      list.push_back(leading - (rank - 2) + i);
    list.append({row, column});
    return list;
  };
  SmallVector<int64_t> result =
      llvm::to_vector(llvm::seq<int64_t>(0, leading + 2));
  return t.einsum({a, b}, {labels(a.rank(), m, k), labels(b.rank(), k, n)},
                  result, accumulatorOf(a.element));
}
