//===- MaskForm.h - masks and addresses in closed form ----------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RAISE_MASKFORM_H
#define LATHE_RAISE_MASKFORM_H

#include "lathe/Dialect/Lathe.h"
#include "lathe/IndexExpr/IndexExpr.h"

namespace lathe {

//===----------------------------------------------------------------------===//
// Addresses
//===----------------------------------------------------------------------===//

/// One leaf of a tree of selections: under `cond` the element is
/// `coef * read(id, index)`.
struct ReadBranch {
  Pred cond;
  Number coef;
  unsigned id;
  llvm::SmallVector<Poly, 4> index;
};

/// The leaves of a form that is `c * read(...)`, or a selection of such forms
/// with all coefficients equal. Nothing if it is of another kind.
std::optional<llvm::SmallVector<ReadBranch>> readBranches(Poly form);

/// A form whose columns are those of another, permuted and with signs: column
/// c is `sign[c] * x[source[c]]`.
struct SignedPermutation {
  llvm::SmallVector<unsigned> source;
  llvm::SmallVector<bool> negative;
};

/// Compares `rotated` with `x` column by column; `column` is the coordinate
/// that runs over `extent` columns. Nothing if a column of `rotated` is no
/// column of `x`.
std::optional<SignedPermutation> signedPermutation(Poly x, Poly rotated,
                                                   unsigned column,
                                                   int64_t extent,
                                                   Extents extents = {});

/// half: column c comes from c + d/2 (mod d), minus for c < d/2; interleaved:
/// from c xor 1, minus for even c. Nothing for any other permutation.
std::optional<RopeLayout> ropeLayout(const SignedPermutation &permutation);

//===----------------------------------------------------------------------===//
// Masks
//===----------------------------------------------------------------------===//

/// A written constant up to here masks a score out.
constexpr double kMaskedOut = -1e4;

/// What is added to the scores, taken apart: keys that are seen, and what is
/// added to their scores.
struct MaskSplit {
  Pred keep;
  /// Null if a large constant is left in it: then the tensor as written is the
  /// bias and `keep` is true.
  Poly bias;
  /// The constants that masked something out.
  llvm::SmallVector<Number, 2> maskValues;

  bool isDense() const { return !bias; }
};

/// Splits the form of a tensor that is added to the scores. Extents are those
/// of the scores.
MaskSplit splitMask(Poly form, Extents extents = {});

/// What a row without any key becomes, from the written mask values and whether
/// a guard replaces NaN by 0. `Zero` if there are no mask values.
MaskedRows maskedRows(llvm::ArrayRef<Number> maskValues, bool hasNaNGuard);

enum class ConjunctKind : uint8_t {
  Causal,         // j <= i + (T - S)
  RightWindow,    // j - p <= offset, p = i + (T - S)
  LeftWindow,     // p - j <= offset; the window holds offset + 1 keys
  Padding,        // a read of an argument at (b, j) that is not 0, or is c
  PositionCausal, // j <= read(...)
  General
};

struct MaskConjunct {
  ConjunctKind kind;
  Pred pred;
  /// Of windows, over named dims.
  Poly offset;
  /// Of Padding and PositionCausal: the value that is read.
  unsigned read = 0;
};

/// The coordinates of the scores, and their extents.
struct ScoreCoords {
  unsigned batch = 0, head = 1, row = 2, key = 3;
  Poly rows, keys;
};

/// Classifies the conjuncts of `keep`. `isArgument` says whether a read id is
/// an argument of the entry. Call after the dims are unified.
llvm::SmallVector<MaskConjunct>
classifyMask(Pred keep, const ScoreCoords &coords,
             llvm::function_ref<bool(unsigned id)> isArgument);

llvm::StringRef toString(ConjunctKind kind);

} // namespace lathe

#endif // LATHE_RAISE_MASKFORM_H
