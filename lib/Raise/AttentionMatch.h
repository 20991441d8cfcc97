//===- AttentionMatch.h - attention as a graph writes it --------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Recognises attention without changing anything: from a Softmax up to the
/// product of queries and keys and down to the product with the values, or
/// from one of the attention operators. Movement never matters: operands are
/// closed forms over (batch, head, row, column).
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_RAISE_ATTENTIONMATCH_H
#define LATHE_LIB_RAISE_ATTENTIONMATCH_H

#include "CarrierMatch.h"
#include "Heads.h"
#include "lathe/Raise/SymbolicShapes.h"

namespace lathe {

/// One attention. All forms are over i0 = batch, i1 = head, i2 = query row (key
/// for `k` and `v`) and i3 = column (key for `keep` and `bias`).
struct AttentionMatch {
  /// The Softmax or the attention node.
  OnnxOp anchor;
  Poly batch, rows, keys;
  int64_t heads = 0, headDim = 0, valueDim = 0;
  /// Elements of the operands; a common factor is part of the score's scale.
  Poly q, k, v;
  double scale = 1;
  /// A factor of the score that differs by head; null if there is none.
  Poly headScale;
  std::optional<double> softcap;
  Pred keep;
  Poly bias;
  MaskedRows fullyMasked = MaskedRows::Zero;
  std::optional<double> maskValue;

  /// What the attention replaces.
  mlir::Value result;
  /// Index into [B, S, heads * valueDim] in the result's own coordinates.
  llvm::SmallVector<Poly, 4> resultIndex;
};

/// Outcome of looking at a node: a match, or why there is none. An empty
/// reason: the node is no attention at all.
struct AttentionAttempt {
  std::optional<AttentionMatch> match;
  std::string reason;
};

AttentionAttempt matchSoftmax(const SymbolicShapes &shapes, OnnxOp softmax);

/// Attention-23 and later; com.microsoft's MultiHeadAttention without bias.
AttentionAttempt matchAttentionNode(const SymbolicShapes &shapes, OnnxOp op);

/// True for the operators that `matchAttentionNode` is about.
bool isAttentionNode(OnnxOp op);

} // namespace lathe

#endif // LATHE_LIB_RAISE_ATTENTIONMATCH_H
