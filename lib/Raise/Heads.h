//===- Heads.h - batch and head of a coordinate -----------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Exporters lay out batch and heads in many ways: [B, H, ...], [B * H, ...],
/// [B, windows, H, ...]. A `HeadSplit` says how the leading coordinates of a
/// tensor and the pair (batch, head) determine each other.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_RAISE_HEADS_H
#define LATHE_LIB_RAISE_HEADS_H

#include "lathe/IndexExpr/IndexExpr.h"
#include <optional>

namespace lathe {

struct HeadSplit {
  Poly batch;
  int64_t heads;
  /// The leading coordinates in terms of i0 = batch and i1 = head.
  llvm::SmallVector<Poly, 4> leading;
  /// Batch and head in terms of the leading coordinates.
  Poly batchIndex, headIndex;
};

/// Splits leading dims of these extents; nothing if the number of heads is not
/// static. With one dim of extent `4 * batch` there are 4 heads; with several,
/// the last is the heads and the others are the batch.
std::optional<HeadSplit> splitHeads(IndexExprContext &context,
                                    llvm::ArrayRef<Poly> leading);

} // namespace lathe

#endif // LATHE_LIB_RAISE_HEADS_H
