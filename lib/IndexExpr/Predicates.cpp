//===- Predicates.cpp - constructors of predicates that simplify --------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Storage.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SetVector.h"
#include <cmath>
#include <numeric>

using namespace lathe;
using namespace lathe::detail;
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::SmallVectorImpl;

/// Above this size no proof is tried.
static constexpr unsigned kMaxProofSize = 60;
/// What an exporter writes for minus infinity; nothing cancels it.
static constexpr double kHuge = 1e30;

static bool isProvable(Poly p) {
  return p.size() <= kMaxProofSize && p.isIntegral();
}

/// The greatest common divisor of the coefficients of all terms with atoms.
static int64_t commonFactor(Poly p) {
  int64_t factor = 0;
  for (const Term &term : p.terms())
    if (!term.atoms.empty() && term.coef.asInteger() != INT64_MIN)
      factor = std::gcd(factor, term.coef.asInteger());
  return factor;
}

/// The one term with atoms, if it is a multiple of a selection.
static const Term *loneSelect(Poly p) {
  const Term *found = nullptr;
  for (const Term &term : p.terms()) {
    if (term.atoms.empty())
      continue;
    if (found || term.atoms.size() != 1 ||
        term.atoms[0].kind() != AtomKind::Select)
      return nullptr;
    found = &term;
  }
  return found;
}

/// The one selection with constant arms in a short sum.
static const Term *constantSelect(Poly p) {
  constexpr unsigned maxTerms = 4;
  if (p.terms().size() > maxTerms)
    return nullptr;
  const Term *found = nullptr;
  for (const Term &term : p.terms()) {
    if (term.atoms.size() != 1 || term.atoms[0].kind() != AtomKind::Select ||
        !term.atoms[0].operands()[0].isConstant() ||
        !term.atoms[0].operands()[1].isConstant())
      continue;
    if (found)
      return nullptr;
    found = &term;
  }
  return found;
}

/// fn(rest + c * sel(cond, a, b)) with the selection taken outside; null if p
/// has no selection that is worth it.
Pred IndexExprContext::openSelect(Poly p, llvm::function_ref<Pred(Poly)> fn) {
  const Term *term = loneSelect(p);
  if (!term)
    term = constantSelect(p);
  if (!term)
    return {};
  Atom atom = term->atoms[0];
  Poly rest = sub(p, uniqueTerms(*term));
  Pred a = fn(add(rest, scale(atom.operands()[0], term->coef)));
  Pred b = fn(add(rest, scale(atom.operands()[1], term->coef)));
  return choose(atom.cond(), a, b);
}

Pred IndexExprContext::nonNeg(Poly p, Extents extents) {
  if (!p)
    return {};
  if (std::optional<Number> value = p.getConstant())
    return boolean(!value->isNegative() && !value->isNaN());
  if (isProvable(p)) {
    if (int64_t factor = commonFactor(p); factor > 1) {
      // The constant of an integer inequality rounds down.
      int64_t rest = p.getConstantTerm().asInteger();
      Poly linear = exactDiv(sub(p, constant(rest)), constant(factor));
      return nonNeg(add(linear, constant(floorDivide(rest, factor))), extents);
    }
    if (isNonNegative(p, extents))
      return truePred;
    if (isNonNegative(neg(p) - 1, extents))
      return falsePred;
    for (const Term &term : p.terms()) {
      if (term.atoms.size() != 1 || term.atoms[0].kind() != AtomKind::Abs)
        continue;
      Poly x = term.atoms[0].operands()[0];
      Poly rest = sub(p, uniqueTerms(term));
      // r - |x| >= 0 holds on both sides of 0, |x| - r >= 0 on either.
      if (term.coef == Number(-1))
        return conj(nonNeg(sub(rest, x), extents),
                    nonNeg(add(rest, x), extents));
      if (term.coef == Number(1))
        return disj(nonNeg(add(rest, x), extents),
                    nonNeg(sub(rest, x), extents));
    }
  }
  if (loneSelect(p))
    return openSelect(p, [&](Poly arm) { return nonNeg(arm, extents); });
  return uniquePred(PredKind::NonNeg, p, {});
}

Pred IndexExprContext::isZero(Poly p, Extents extents) {
  if (!p)
    return {};
  if (std::optional<Number> value = p.getConstant())
    return boolean(value->isZero());
  if (isProvable(p) &&
      (isNonNegative(p - 1, extents) || isNonNegative(neg(p) - 1, extents)))
    return falsePred;
  if (Pred opened =
          openSelect(p, [&](Poly arm) { return isZero(arm, extents); }))
    return opened;
  if (std::fabs(p.getConstantTerm().asDouble()) > kHuge)
    return falsePred;
  if (p.isIntegral()) {
    if (int64_t factor = commonFactor(p); factor > 1) {
      if (p.getConstantTerm().asInteger() % factor != 0)
        return falsePred;
      return isZero(exactDiv(p, constant(factor)), extents);
    }
  }
  if (p.terms().size() == 1) {
    const Term &term = p.terms()[0];
    if (!term.coef.isOne() && !term.coef.isNaN())
      return isZero(uniqueTerms(Term{term.atoms, 1}), extents);
    if (term.atoms.size() == 1 && term.atoms[0].kind() == AtomKind::Abs)
      return isZero(term.atoms[0].operands()[0], extents);
    if (term.atoms.size() > 1) {
      SmallVector<Pred, 4> factors;
      for (Atom atom : term.atoms)
        factors.push_back(isZero(atomPoly(atom), extents));
      return disj(factors);
    }
  }
  if (p.terms()[0].coef.isNegative())
    p = neg(p);
  return p ? uniquePred(PredKind::Zero, p, {}) : Pred();
}

Pred IndexExprContext::negate(Pred p, Extents extents) {
  if (!p)
    return {};
  SmallVector<Pred, 4> operands;
  switch (p.kind()) {
  case PredKind::True:
    return falsePred;
  case PredKind::False:
    return truePred;
  case PredKind::Not:
    return p.operands()[0];
  case PredKind::And:
  case PredKind::Or:
    for (Pred operand : p.operands())
      operands.push_back(negate(operand, extents));
    return p.kind() == PredKind::And ? disj(operands) : conj(operands);
  case PredKind::NonNeg:
    if (p.poly().isIntegral())
      return nonNeg(neg(p.poly()) - 1, extents);
    return uniquePred(PredKind::Not, {}, p);
  case PredKind::Zero:
    return uniquePred(PredKind::Not, {}, p);
  }
  llvm_unreachable("all predicate kinds are covered");
}

Pred IndexExprContext::conj(ArrayRef<Pred> preds) {
  return junction(PredKind::And, preds);
}

Pred IndexExprContext::disj(ArrayRef<Pred> preds) {
  return junction(PredKind::Or, preds);
}

Pred IndexExprContext::choose(Pred cond, Pred a, Pred b) {
  if (!cond || !a || !b)
    return {};
  if (a == b)
    return a;
  return disj(conj(cond, a), conj(negate(cond), b));
}

//===----------------------------------------------------------------------===//
// And, or
//===----------------------------------------------------------------------===//

/// How p >= 0 and q >= 0 relate when p and q, or p and -q, differ by a number.
enum class Relation { None, FirstImpliesSecond, Disjoint, Covering };

static Relation relate(Pred a, Pred b) {
  if (a.kind() != PredKind::NonNeg || b.kind() != PredKind::NonNeg ||
      a.poly().terms().size() > 8)
    return Relation::None;
  Poly p = a.poly(), q = b.poly();
  if (!p.isIntegral() || !q.isIntegral())
    return Relation::None;
  if (Poly difference = q - p)
    if (std::optional<int64_t> margin = difference.getConstantInt())
      return *margin >= 0 ? Relation::FirstImpliesSecond : Relation::None;
  if (Poly total = p + q)
    if (std::optional<int64_t> slack = total.getConstantInt()) {
      if (*slack < 0)
        return Relation::Disjoint;
      // x >= -c1 or x <= c2 is everything if no integer lies between.
      return *slack >= -1 ? Relation::Covering : Relation::None;
    }
  return Relation::None;
}

static bool isJunction(Pred p) {
  return p.kind() == PredKind::And || p.kind() == PredKind::Or;
}

static void sortById(SmallVectorImpl<Pred> &preds) {
  llvm::sort(preds,
             [](Pred a, Pred b) { return storage(a)->id < storage(b)->id; });
}

/// The members of p if it is a junction of this kind, else p.
static SmallVector<Pred, 4> members(Pred p, PredKind kind) {
  if (p.kind() == kind)
    return SmallVector<Pred, 4>(p.operands());
  return {p};
}

Pred IndexExprContext::junction(PredKind kind, ArrayRef<Pred> preds) {
  bool isAnd = kind == PredKind::And;
  Pred unit = boolean(isAnd), absorber = boolean(!isAnd);
  PredKind dual = isAnd ? PredKind::Or : PredKind::And;

  llvm::SetVector<Pred, SmallVector<Pred, 8>> set;
  for (Pred pred : preds) {
    if (!pred)
      return {};
    if (pred == absorber)
      return absorber;
    if (pred == unit)
      continue;
    for (Pred member : members(pred, kind))
      set.insert(member);
  }

  // Only atoms are negated here: the negation of a junction is a junction of
  // negated atoms, which the propagation below sees through.
  auto isRefuted = [&](Pred pred) {
    return !isJunction(pred) && set.contains(negate(pred));
  };
  SmallVector<Pred, 8> list(set.begin(), set.end());
  if (llvm::any_of(list, isRefuted))
    return absorber;
  for (auto [index, a] : llvm::enumerate(list)) {
    for (Pred b : ArrayRef<Pred>(list).drop_front(index + 1)) {
      Relation forward = relate(a, b);
      if (forward == (isAnd ? Relation::Disjoint : Relation::Covering))
        return absorber;
      if (forward == Relation::FirstImpliesSecond)
        set.remove(isAnd ? b : a);
      else if (relate(b, a) == Relation::FirstImpliesSecond)
        set.remove(isAnd ? a : b);
    }
  }

  list.assign(set.begin(), set.end());
  for (Pred pred : list) {
    if (pred.kind() != dual)
      continue;
    // x and (x or y) = x.
    if (llvm::any_of(pred.operands(),
                     [&](Pred member) { return set.contains(member); })) {
      set.remove(pred);
      continue;
    }
    // x and (not x or y) = x and y.
    SmallVector<Pred, 4> left;
    for (Pred member : pred.operands())
      if (!isRefuted(member))
        left.push_back(member);
    if (left.size() == pred.operands().size())
      continue;
    set.remove(pred);
    SmallVector<Pred, 8> rest(set.begin(), set.end());
    rest.push_back(junction(dual, left));
    return junction(kind, rest);
  }

  list.assign(set.begin(), set.end());
  if (list.empty())
    return unit;
  if (list.size() == 1)
    return list[0];
  sortById(list);
  if (isAnd)
    return uniquePred(kind, {}, list);

  // (a and b) or (a and c) = a and (b or c): masks are conjunctions.
  SmallVector<Pred, 4> common = members(list[0], dual);
  for (Pred pred : list) {
    SmallVector<Pred, 4> own = members(pred, dual);
    llvm::erase_if(
        common, [&](Pred member) { return !llvm::is_contained(own, member); });
  }
  if (common.empty())
    return uniquePred(kind, {}, list);
  SmallVector<Pred, 4> alternatives;
  for (Pred pred : list) {
    SmallVector<Pred, 4> own = members(pred, dual);
    llvm::erase_if(
        own, [&](Pred member) { return llvm::is_contained(common, member); });
    alternatives.push_back(conj(own));
  }
  common.push_back(disj(alternatives));
  return conj(common);
}
