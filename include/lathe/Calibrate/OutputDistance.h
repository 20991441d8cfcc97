//===- OutputDistance.h - how far two outputs are apart ---------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Distances of a changed model's output to the original's, row by row.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_CALIBRATE_OUTPUTDISTANCE_H
#define LATHE_CALIBRATE_OUTPUTDISTANCE_H

#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <optional>

namespace lathe {

enum class DistanceKind {
  /// Jensen-Shannon divergence of the softmax of both, in nats:
  /// ½ KL(p‖m) + ½ KL(q‖m), m = ½(p + q).
  Js,
  /// ½ KL(m‖p) + ½ KL(m‖q), which the released FinerCut code computes (there
  /// also divided by the number of classes).
  JsReversed,
  /// KL(p‖q), p of the original.
  Kl,
  /// arccos of the cosine of both rows, clamped to [0, 1]; radians.
  Angular,
  /// Frobenius norm of the difference over the rows of an item.
  Norm,
  /// 1 - cosine of both rows.
  Cosine,
};

/// `js`, `js-reversed`, `kl`, `angular`, `norm`, `cosine`.
llvm::StringRef getName(DistanceKind kind);
std::optional<DistanceKind> parseDistanceKind(llvm::StringRef name);

/// Distance of the rows `p` (original) and `q` of `count` finite numbers; of
/// `norm` the square of it, whose root is taken over an item. Never negative,
/// and 0 where both are equal bit by bit. Sums are made in a fixed order.
double rowDistance(DistanceKind kind, const float *p, const float *q,
                   int64_t count);

/// Makes of the row `p` in place what `referenceDistance` takes, for an
/// original that many rows are compared with: probabilities for `js` and
/// `js-reversed`, the row itself for the others.
void toReference(DistanceKind kind, float *p, int64_t count);

/// rowDistance with an original made by `toReference`.
double referenceDistance(DistanceKind kind, const float *reference,
                         const float *q, int64_t count);

} // namespace lathe

#endif // LATHE_CALIBRATE_OUTPUTDISTANCE_H
