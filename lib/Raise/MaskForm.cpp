//===- MaskForm.cpp - masks and addresses in closed form ------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Raise/MaskForm.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/STLExtras.h"
#include <cmath>

using namespace lathe;
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::SmallVectorImpl;
using llvm::StringRef;

//===----------------------------------------------------------------------===//
// Addresses
//===----------------------------------------------------------------------===//

/// Appends the branches of `form`; the recursion is bounded by the size of
/// terms.
static bool collectBranches(Poly form, Pred cond, Number coef,
                            SmallVectorImpl<ReadBranch> &branches) {
  if (!form || form.terms().size() != 1 || form.terms()[0].atoms.size() != 1)
    return false;
  const Term &term = form.terms()[0];
  Atom atom = term.atoms[0];
  std::optional<Number> total = Number::mul(coef, term.coef);
  if (!total)
    return false;
  if (atom.kind() == AtomKind::Read) {
    branches.push_back(
        {cond, *total, atom.index(), SmallVector<Poly, 4>(atom.operands())});
    return true;
  }
  if (atom.kind() != AtomKind::Select)
    return false;
  IndexExprContext &context = form.getContext();
  Pred taken = context.conj(cond, atom.cond());
  Pred other = context.conj(cond, context.negate(atom.cond()));
  return taken && other &&
         collectBranches(atom.operands()[0], taken, *total, branches) &&
         collectBranches(atom.operands()[1], other, *total, branches);
}

std::optional<SmallVector<ReadBranch>> lathe::readBranches(Poly form) {
  SmallVector<ReadBranch> branches;
  if (!form ||
      !collectBranches(form, form.getContext().getTrue(), Number(1), branches))
    return std::nullopt;
  bool sameCoef = llvm::all_of(branches, [&](const ReadBranch &branch) {
    return branch.coef == branches[0].coef;
  });
  if (!sameCoef)
    return std::nullopt;
  return branches;
}

std::optional<SignedPermutation> lathe::signedPermutation(Poly x, Poly rotated,
                                                          unsigned column,
                                                          int64_t extent,
                                                          Extents extents) {
  if (!x || !rotated || extent <= 0)
    return std::nullopt;
  IndexExprContext &context = x.getContext();
  SmallVector<Poly> coords(column + 1);
  auto at = [&](Poly form, int64_t c) {
    coords[column] = context.constant(c);
    return context.substitute(form, coords, extents);
  };
  llvm::DenseMap<Poly, unsigned> columns;
  for (int64_t c = 0; c != extent; ++c) {
    Poly element = at(x, c);
    if (!element)
      return std::nullopt;
    columns[element] = c;
  }
  SignedPermutation permutation;
  for (int64_t c = 0; c != extent; ++c) {
    Poly element = at(rotated, c);
    if (!element)
      return std::nullopt;
    auto it = columns.find(element);
    bool negative = it == columns.end();
    if (negative)
      it = columns.find(context.neg(element));
    if (it == columns.end())
      return std::nullopt;
    permutation.source.push_back(it->second);
    permutation.negative.push_back(negative);
  }
  return permutation;
}

std::optional<RopeLayout>
lathe::ropeLayout(const SignedPermutation &permutation) {
  unsigned size = permutation.source.size();
  if (size == 0 || size % 2 != 0)
    return std::nullopt;
  bool isHalf = true, isInterleaved = true;
  for (unsigned c = 0; c != size; ++c) {
    unsigned source = permutation.source[c];
    bool negative = permutation.negative[c];
    isHalf &= source == (c + size / 2) % size && negative == (c < size / 2);
    isInterleaved &= source == (c ^ 1) && negative == (c % 2 == 0);
  }
  // With two columns they are the same.
  if (isHalf)
    return RopeLayout::Half;
  if (isInterleaved)
    return RopeLayout::Interleaved;
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Splitting
//===----------------------------------------------------------------------===//

/// Nothing that is a bias is this large.
static constexpr double kHuge = 1e30;

namespace {
class MaskSplitter {
public:
  MaskSplitter(IndexExprContext &context, Extents extents)
      : context(context), extents(extents) {}

  MaskSplit split(Poly form);
  SmallVector<Number, 2> maskValues;

private:
  MaskSplit keepAll(Poly bias) { return {context.getTrue(), bias, {}}; }
  MaskSplit splitTerm(const Term &term, Poly form);

  IndexExprContext &context;
  Extents extents;
};
} // namespace

/// One product: a selection times a number, the larger of something and a mask
/// value, or a bias.
MaskSplit MaskSplitter::splitTerm(const Term &term, Poly form) {
  if (term.atoms.size() != 1)
    return keepAll(form);
  Atom atom = term.atoms[0];
  if (atom.kind() == AtomKind::Select) {
    MaskSplit a = split(context.scale(atom.operands()[0], term.coef));
    MaskSplit b = split(context.scale(atom.operands()[1], term.coef));
    MaskSplit result;
    result.keep = context.choose(atom.cond(), a.keep, b.keep);
    // The arm that is dropped has no bias.
    if (a.keep.isFalse())
      result.bias = b.bias;
    else if (b.keep.isFalse())
      result.bias = a.bias;
    else
      result.bias = context.select(atom.cond(), a.bias, b.bias, extents);
    return result;
  }
  if (atom.kind() == AtomKind::Max && term.coef.isOne()) {
    SmallVector<Poly> rest;
    for (Poly operand : atom.operands()) {
      std::optional<Number> value = operand.getConstant();
      if (!value || value->asDouble() > kMaskedOut)
        rest.push_back(operand);
    }
    if (rest.size() == 1)
      return split(rest[0]);
  }
  return keepAll(form);
}

MaskSplit MaskSplitter::split(Poly form) {
  if (!form)
    return {context.getTrue(), {}, {}};
  if (std::optional<Number> value = form.getConstant()) {
    if (value->asDouble() > kMaskedOut || value->isNaN())
      return keepAll(form);
    maskValues.push_back(*value);
    return {context.getFalse(), context.zero(), {}};
  }
  if (form.terms().size() == 1)
    return splitTerm(form.terms()[0], form);
  MaskSplit result = keepAll(context.zero());
  for (const Term &term : form.terms()) {
    MaskSplit next = split(context.single(term));
    result.keep = context.conj(result.keep, next.keep);
    result.bias = context.add(result.bias, next.bias);
  }
  return result;
}

/// Whether a number beyond any bias is left anywhere in the term.
static bool hasHugeNumber(Poly p) {
  auto isHuge = [](Poly q) {
    return llvm::any_of(q.terms(), [](const Term &term) {
      return std::fabs(term.coef.asDouble()) >= kHuge;
    });
  };
  bool found = isHuge(p);
  walkAtoms(p,
            [&](Atom atom) { found |= llvm::any_of(atom.operands(), isHuge); });
  return found;
}

MaskSplit lathe::splitMask(Poly form, Extents extents) {
  IndexExprContext &context = form.getContext();
  MaskSplitter splitter(context, extents);
  MaskSplit result = splitter.split(form);
  result.maskValues = splitter.maskValues;
  if (!result.keep || !result.bias || hasHugeNumber(result.bias)) {
    result.keep = context.getTrue();
    result.bias = {};
  }
  return result;
}

MaskedRows lathe::maskedRows(ArrayRef<Number> maskValues, bool hasNaNGuard) {
  if (maskValues.empty())
    return MaskedRows::Zero;
  if (llvm::any_of(maskValues, [](Number n) { return n.isInfinite(); }))
    return hasNaNGuard ? MaskedRows::Zero : MaskedRows::NaN;
  // A weak value does not absorb the score.
  Number weakest = *std::max_element(maskValues.begin(), maskValues.end());
  return weakest.asDouble() < -kHuge ? MaskedRows::Mean : MaskedRows::Soft;
}

//===----------------------------------------------------------------------===//
// Classification
//===----------------------------------------------------------------------===//

namespace {
class Classifier {
public:
  Classifier(const ScoreCoords &coords,
             llvm::function_ref<bool(unsigned)> isArgument)
      : coords(coords), isArgument(isArgument) {}

  MaskConjunct classify(Pred pred);

private:
  bool classifyDiagonal(Pred pred, MaskConjunct &conjunct);
  bool classifyPadding(Pred pred, MaskConjunct &conjunct);
  bool classifyPositions(Pred pred, MaskConjunct &conjunct);

  const ScoreCoords &coords;
  llvm::function_ref<bool(unsigned)> isArgument;
};
} // namespace

/// i - j + c >= 0 or j - i + c >= 0, c over named dims.
bool Classifier::classifyDiagonal(Pred pred, MaskConjunct &conjunct) {
  if (pred.kind() != PredKind::NonNeg || !coords.rows || !coords.keys)
    return false;
  Poly rest;
  Poly row = pred.poly().coefficientOf(coords.row, &rest);
  if (!row)
    return false;
  Poly key = rest.coefficientOf(coords.key, &rest);
  if (!key || !rest.isShape())
    return false;
  Poly shift = coords.keys - coords.rows;
  if (row.isConstant(1) && key.isConstant(-1)) {
    conjunct.kind =
        rest == shift ? ConjunctKind::Causal : ConjunctKind::RightWindow;
    conjunct.offset = rest - shift;
    return true;
  }
  if (row.isConstant(-1) && key.isConstant(1)) {
    conjunct.kind = ConjunctKind::LeftWindow;
    conjunct.offset = rest + shift;
    return true;
  }
  return false;
}

/// A read of an argument at (b, j) against a number.
bool Classifier::classifyPadding(Pred pred, MaskConjunct &conjunct) {
  bool negated = pred.kind() == PredKind::Not;
  Pred inner = negated ? pred.operands()[0] : pred;
  if (inner.kind() != PredKind::Zero)
    return false;
  Poly p = inner.poly();
  Atom read;
  for (const Term &term : p.terms()) {
    if (term.atoms.empty())
      continue;
    if (read || term.atoms.size() != 1 ||
        term.atoms[0].kind() != AtomKind::Read)
      return false;
    read = term.atoms[0];
  }
  if (!read || !isArgument(read.index()))
    return false;
  // `m == 0` keeps what is padding elsewhere: not this class.
  if (negated != p.getConstantTerm().isZero())
    return false;
  uint64_t allowed = uint64_t(1) << coords.batch | uint64_t(1) << coords.key;
  if (p.coordMask() & ~allowed || llvm::any_of(read.operands(), [](Poly index) {
        return index.usesReads();
      }))
    return false;
  conjunct.kind = ConjunctKind::Padding;
  conjunct.read = read.index();
  return true;
}

/// j against a read of an argument that does not depend on j.
bool Classifier::classifyPositions(Pred pred, MaskConjunct &conjunct) {
  if (pred.kind() != PredKind::NonNeg)
    return false;
  Poly rest;
  Poly key = pred.poly().coefficientOf(coords.key, &rest);
  if (!key || !key.isConstant(-1))
    return false;
  Atom read = rest.getAtom();
  if (!read || read.kind() != AtomKind::Read || !isArgument(read.index()))
    return false;
  conjunct.kind = ConjunctKind::PositionCausal;
  conjunct.read = read.index();
  return true;
}

MaskConjunct Classifier::classify(Pred pred) {
  MaskConjunct conjunct;
  conjunct.kind = ConjunctKind::General;
  conjunct.pred = pred;
  if (classifyDiagonal(pred, conjunct) || classifyPadding(pred, conjunct))
    return conjunct;
  classifyPositions(pred, conjunct);
  return conjunct;
}

SmallVector<MaskConjunct>
lathe::classifyMask(Pred keep, const ScoreCoords &coords,
                    llvm::function_ref<bool(unsigned)> isArgument) {
  SmallVector<MaskConjunct> conjuncts;
  if (keep.isTrue())
    return conjuncts;
  Classifier classifier(coords, isArgument);
  SmallVector<Pred> preds = {keep};
  if (keep.kind() == PredKind::And)
    preds.assign(keep.operands().begin(), keep.operands().end());
  for (Pred pred : preds)
    conjuncts.push_back(classifier.classify(pred));
  return conjuncts;
}

StringRef lathe::toString(ConjunctKind kind) {
  switch (kind) {
  case ConjunctKind::Causal:
    return "causal";
  case ConjunctKind::RightWindow:
    return "right window";
  case ConjunctKind::LeftWindow:
    return "left window";
  case ConjunctKind::Padding:
    return "padding";
  case ConjunctKind::PositionCausal:
    return "causal by positions";
  case ConjunctKind::General:
    return "general";
  }
  llvm_unreachable("all kinds are covered");
}
