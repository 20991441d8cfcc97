//===- Attend.h - attention over whole tensors ------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// What the attention nodes of ONNX and of ONNX Runtime share when they were not
// raised: operands with heads of their own, scores, softmax, the sum of values.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_LOWER_ONNX_ATTEND_H
#define LATHE_LIB_LOWER_ONNX_ATTEND_H

#include "NodeLowering.h"

namespace lathe {

/// The score at `at` = (batch, head, row, key) after masks and biases.
using MaskFn =
    std::function<mlir::Value(Scalars &, mlir::Value score, mlir::ValueRange)>;

/// Operands of one attention. H is a multiple of G, both are constant.
struct AttentionOperands {
  Tensor q;    // [B, H, S, D]
  Tensor k, v; // [B, G, T, D], [B, G, T, E]
  double scale = 1, softcap = 0;
  MaskFn mask = nullptr;
  /// [H]: a score of every row that belongs to no key; or none.
  Tensor sink = {};
};

/// All in the compute type of the queries.
struct AttentionResults {
  Tensor result; // [B, H, S, E]
  // [B, H, S, T]: scaled products, after the cap, after the mask, after the
  // softmax.
  Tensor scores, capped, masked, probabilities;
};

/// A row without any key that is allowed gives zeros.
AttentionResults attend(StageLowering &stage,
                        const AttentionOperands &operands);

/// [B, S, C] as [B, heads, S, size]: `heads` heads side by side from column
/// `offset` on.
Tensor splitHeads(NodeLowering &n, const Tensor &x, int64_t heads, Poly size,
                  Poly offset);
/// The same for heads that fill the columns; a tensor of rank 4 is as wanted.
Tensor splitHeads(NodeLowering &n, const Tensor &x, int64_t heads);
/// [B, H, S, E] as [B, S, H * E].
Tensor mergeHeads(TensorBuilder &t, const Tensor &x);
/// Rows (dim 2 of 4) of `past`, if there is one, then those of `fresh`.
Tensor appendRows(NodeLowering &n, const Tensor &past, const Tensor &fresh);

/// `x` at right-aligned `coords` of a tensor of shape `shape` that it is
/// broadcast to.
mlir::Value loadBroadcast(NodeLowering &n, Scalars &s, const Tensor &x,
                          mlir::ValueRange coords, llvm::ArrayRef<Poly> shape);

/// Pairs of columns rotated by angles.
struct Rotation {
  Tensor cos, sin;
  bool interleaved = false;
  /// Columns of a head that are rotated; 0: all of them.
  int64_t columns = 0;
  /// The row of the tables for (batch, row); without it they are [B, S, C].
  std::function<mlir::Value(Scalars &, mlir::Value batch, mlir::Value row)>
      position;
};
/// `x` [B, H, S, D] rotated, in its own element type.
Tensor rotate(TensorBuilder &t, const Tensor &x, const Rotation &rotation);

} // namespace lathe

#endif // LATHE_LIB_LOWER_ONNX_ATTEND_H
