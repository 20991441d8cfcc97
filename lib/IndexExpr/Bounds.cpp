//===- Bounds.cpp - what is proven about polynomials --------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Storage.h"
#include "llvm/ADT/STLExtras.h"

using namespace lathe;
using namespace lathe::detail;
using llvm::ArrayRef;
using llvm::SmallVector;

/// Larger terms are not worth a proof: none of them ever succeeded.
static constexpr unsigned kMaxProofSize = 60;

bool Extents::isPositive(Atom symbol) const {
  return llvm::any_of(extents, [&](Poly extent) {
    return extent && !extent.terms().empty() &&
           llvm::all_of(extent.terms(), [&](const Term &term) {
             return llvm::is_contained(term.atoms, symbol);
           });
  });
}

static bool arePositive(ArrayRef<Atom> symbols, Extents extents) {
  return llvm::all_of(symbols,
                      [&](Atom atom) { return extents.isPositive(atom); });
}

/// p >= 0 for a polynomial over named dims: every negative term must be paid
/// by a positive term that it divides, the quotient being >= 1.
static bool isNonNegativeShape(Poly p, Extents extents) {
  if (!p || !p.isShape() || !p.isIntegral()) {
    std::optional<Number> value = p ? p.getConstant() : std::nullopt;
    return value && !value->isNegative() && !value->isNaN();
  }
  struct Payer {
    ArrayRef<Atom> atoms;
    int64_t left;
  };
  SmallVector<Payer, 4> payers;
  for (const Term &term : p.terms())
    if (!term.atoms.empty() && !term.coef.isNegative())
      payers.push_back({term.atoms, term.coef.asInteger()});

  auto pay = [&](ArrayRef<Atom> atoms, int64_t debt) {
    for (Payer &payer : payers) {
      SmallVector<Atom, 4> quotient;
      if (!divideAtoms(payer.atoms, atoms, quotient) ||
          !arePositive(quotient, extents))
        continue;
      int64_t paid = std::min(debt, payer.left);
      payer.left -= paid;
      debt -= paid;
      if (debt == 0)
        return true;
    }
    return false;
  };
  // The constant last: every payer that is known >= 1 can pay it.
  for (const Term &term : llvm::reverse(p.terms())) {
    if (!term.coef.isNegative())
      continue;
    if (term.coef.asInteger() == INT64_MIN)
      return false;
    int64_t debt = -term.coef.asInteger();
    if (!pay(term.atoms, debt))
      return false;
  }
  return true;
}

bool IndexExprContext::isNonNegative(Poly p, Extents extents) {
  if (!p)
    return false;
  if (std::optional<Number> value = p.getConstant())
    return !value->isNegative() && !value->isNaN();
  if (p.size() > kMaxProofSize)
    return false;
  return isNonNegativeShape(lowerBound(p, extents), extents);
}

Poly IndexExprContext::lowerBound(Poly p, Extents extents) {
  if (!p)
    return {};
  Poly result = zero();
  for (const Term &term : p.terms())
    result = add(result, boundOf(term, extents, /*upper=*/false));
  return result;
}

Poly IndexExprContext::upperBound(Poly p, Extents extents) {
  if (!p)
    return {};
  Poly result = zero();
  for (const Term &term : p.terms())
    result = add(result, boundOf(term, extents, /*upper=*/true));
  return result;
}

Poly IndexExprContext::boundOf(const Term &term, Extents extents, bool upper) {
  SmallVector<Atom, 4> symbols, others;
  for (Atom atom : term.atoms)
    (atom.kind() == AtomKind::Symbol ? symbols : others).push_back(atom);
  if (others.empty())
    return uniqueTerms(term);
  if (!term.coef.isInteger())
    return {};
  // Named dims are >= 0 and keep the direction; a product of several atoms is
  // monotone only while all of them are >= 0.
  bool atomUpper = upper != term.coef.isNegative();
  Poly result = uniqueTerms(Term{symbols, term.coef});
  for (Atom atom : others) {
    if (others.size() > 1 &&
        !isNonNegativeShape(boundOf(atom, extents, /*upper=*/false), extents))
      return {};
    result = mul(result, boundOf(atom, extents, atomUpper));
  }
  return result;
}

/// The bound of the smallest (`largest`: of the largest) operand.
Poly IndexExprContext::extremeBound(ArrayRef<Poly> operands, Extents extents,
                                    bool upper, bool largest) {
  // One known operand bounds the minimum from above and the maximum from
  // below; the other way round all of them must be known.
  bool oneIsEnough = upper != largest;
  Poly best;
  for (Poly operand : operands) {
    Poly bound =
        upper ? upperBound(operand, extents) : lowerBound(operand, extents);
    if (!bound || !bound.isShape()) {
      if (oneIsEnough)
        continue;
      return {};
    }
    if (!best) {
      best = bound;
      continue;
    }
    Poly greater, smaller;
    if (isNonNegativeShape(sub(bound, best), extents)) {
      greater = bound;
      smaller = best;
    } else if (isNonNegativeShape(sub(best, bound), extents)) {
      greater = best;
      smaller = bound;
    } else if (oneIsEnough) {
      // Not comparable: a number is of more use than a dim.
      if (bound.isConstant())
        best = bound;
      continue;
    } else if (!upper && isNonNegativeShape(best, extents) &&
               isNonNegativeShape(bound, extents)) {
      greater = smaller = zero();
    } else {
      return {};
    }
    // Where one operand is enough, take the tightest; else the loosest.
    best = upper == oneIsEnough ? smaller : greater;
  }
  return best;
}

Poly IndexExprContext::boundOf(Atom atom, Extents extents, bool upper) {
  ArrayRef<Poly> operands = atom.operands();
  switch (atom.kind()) {
  case AtomKind::Symbol:
    return atomPoly(atom);
  case AtomKind::Coord:
    if (!upper)
      return zero();
    return extents[atom.index()] ? extents[atom.index()] - 1 : Poly();
  case AtomKind::BoundVar:
    return upper ? Poly() : zero();
  case AtomKind::Mod:
    return upper ? operands[1] - 1 : zero();
  case AtomKind::FloorDiv:
    if (!upper)
      return zero();
    return fdiv(upperBound(operands[0], extents), operands[1], extents);
  case AtomKind::Abs:
    return upper ? Poly() : zero();
  case AtomKind::Min:
    return extremeBound(operands, extents, upper, /*largest=*/false);
  case AtomKind::Max:
    return extremeBound(operands, extents, upper, /*largest=*/true);
  case AtomKind::Select:
    // All arms must be known: the larger one from above, the smaller one from
    // below.
    return extremeBound(operands, extents, upper, /*largest=*/upper);
  case AtomKind::Sum:
    return !upper && isNonNegative(operands[0], extents) ? zero() : Poly();
  case AtomKind::Read:
  case AtomKind::Function:
    return {};
  }
  llvm_unreachable("all atom kinds are covered");
}
