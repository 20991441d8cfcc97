//===- Arithmetic.cpp - constructors of polynomials that simplify -------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Storage.h"
#include "llvm/ADT/STLExtras.h"
#include <cmath>
#include <numeric>

using namespace lathe;
using namespace lathe::detail;
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::SmallVectorImpl;

/// The sum of two sorted lists of terms; false on overflow.
static bool mergeTerms(ArrayRef<Term> a, ArrayRef<Term> b,
                       SmallVectorImpl<Term> &out) {
  while (!a.empty() || !b.empty()) {
    if (b.empty() || (!a.empty() && precedes(a[0].atoms, b[0].atoms))) {
      out.push_back(a[0]);
      a = a.drop_front();
      continue;
    }
    if (a.empty() || precedes(b[0].atoms, a[0].atoms)) {
      out.push_back(b[0]);
      b = b.drop_front();
      continue;
    }
    std::optional<Number> coef = Number::add(a[0].coef, b[0].coef);
    if (!coef)
      return false;
    if (!coef->isZero())
      out.push_back({a[0].atoms, *coef});
    a = a.drop_front();
    b = b.drop_front();
  }
  return true;
}

static bool isInfinite(Poly p) {
  std::optional<Number> value = p.getConstant();
  return value && value->isInfinite();
}

Poly IndexExprContext::addTerms(Poly p, Poly q) {
  if (!p || !q)
    return {};
  // Infinity stands alone: it absorbs whatever is finite.
  if (isInfinite(p) != isInfinite(q))
    return isInfinite(p) ? p : q;
  SmallVector<Term, 8> terms;
  if (!mergeTerms(p.terms(), q.terms(), terms))
    return {};
  return uniqueTerms(terms);
}

Poly IndexExprContext::add(Poly p, Poly q) { return recombine(addTerms(p, q)); }

/// q * fdiv(x, q) + mod(x, q) = x, under any common factor.
Poly IndexExprContext::recombine(Poly p) {
  if (!p || !storage(p)->hasMod || !storage(p)->hasFloorDiv)
    return p;
  for (const Term &term : p.terms()) {
    for (Atom atom : term.atoms) {
      if (atom.kind() != AtomKind::Mod)
        continue;
      Poly dividend = atom.operands()[0], divisor = atom.operands()[1];
      SmallVector<Atom, 4> others;
      divideAtoms(term.atoms, atom, others);
      Poly factor = uniqueTerms(Term{others, term.coef});
      Poly multiple = mul(mul(factor, fdiv(dividend, divisor)), divisor);
      Poly rest = addTerms(addTerms(p, neg(uniqueTerms(term))), neg(multiple));
      if (!rest || rest.terms().size() + 1 >= p.terms().size())
        continue;
      if (Poly result = addTerms(rest, mul(factor, dividend)))
        return recombine(result);
    }
  }
  return p;
}

Poly IndexExprContext::scale(Poly p, Number factor) {
  if (!p || factor.isOne())
    return p;
  if (factor.isZero() && !isInfinite(p))
    return zero();
  // An infinite coefficient would be a NaN where its atoms are 0.
  if (factor.isInfinite() && !p.isConstant())
    return {};
  SmallVector<Term, 8> terms;
  for (const Term &term : p.terms()) {
    std::optional<Number> coef = Number::mul(term.coef, factor);
    if (!coef)
      return {};
    if (!coef->isZero())
      terms.push_back({term.atoms, *coef});
  }
  if (terms.empty() && factor.isInfinite())
    return {};
  return uniqueTerms(terms);
}

Poly IndexExprContext::neg(Poly p) { return scale(p, -1); }

Poly IndexExprContext::sub(Poly p, Poly q) { return add(p, neg(q)); }

Poly IndexExprContext::mul(Poly p, Poly q) {
  if (!p || !q)
    return {};
  if (std::optional<Number> value = q.getConstant())
    return scale(p, *value);
  if (std::optional<Number> value = p.getConstant())
    return scale(q, *value);
  if (p.terms().size() * q.terms().size() > kMaxProductTerms)
    return {};
  Poly result = zero();
  for (const Term &a : p.terms()) {
    SmallVector<SmallVector<Atom, 4>, 8> atomLists(q.terms().size());
    SmallVector<Term, 8> terms;
    for (auto [b, atoms] : llvm::zip_equal(q.terms(), atomLists)) {
      std::optional<Number> coef = Number::mul(a.coef, b.coef);
      if (!coef)
        return {};
      if (coef->isZero())
        continue;
      atoms.append(a.atoms.begin(), a.atoms.end());
      atoms.append(b.atoms.begin(), b.atoms.end());
      llvm::sort(atoms, [](Atom x, Atom y) { return x.id() < y.id(); });
      terms.push_back({atoms, *coef});
    }
    llvm::sort(terms, [](const Term &x, const Term &y) {
      return precedes(x.atoms, y.atoms);
    });
    Poly row = uniqueTerms(terms);
    result = addTerms(result, row);
    if (!result)
      return {};
  }
  return recombine(result);
}

Poly IndexExprContext::product(ArrayRef<Poly> factors) {
  Poly result = one();
  for (Poly factor : factors)
    result = mul(result, factor);
  return result;
}

/// The leading term in the graded order that polynomial division needs.
static const Term &leadingTerm(Poly p) {
  return *std::max_element(p.terms().begin(), p.terms().end(),
                           [](const Term &a, const Term &b) {
                             if (a.atoms.size() != b.atoms.size())
                               return a.atoms.size() < b.atoms.size();
                             return precedes(a.atoms, b.atoms);
                           });
}

Poly IndexExprContext::exactDiv(Poly p, Poly q) {
  if (!p || !q || q.isConstant(0))
    return {};
  if (p == q)
    return one();
  constexpr unsigned maxSteps = 40;
  const Term &divisor = leadingTerm(q);
  if (!divisor.coef.isInteger())
    return {};
  Poly quotient = zero();
  for (unsigned step = 0; p && step != maxSteps; ++step) {
    if (p.isConstant(0))
      return quotient;
    const Term &lead = leadingTerm(p);
    SmallVector<Atom, 4> atoms;
    if (!divideAtoms(lead.atoms, divisor.atoms, atoms) ||
        !lead.coef.isInteger() || lead.coef.asInteger() == INT64_MIN ||
        lead.coef.asInteger() % divisor.coef.asInteger() != 0)
      return {};
    int64_t coef = lead.coef.asInteger() / divisor.coef.asInteger();
    Poly factor = uniqueTerms(Term{atoms, coef});
    quotient = addTerms(quotient, factor);
    p = addTerms(p, neg(mul(factor, q)));
  }
  return {};
}

/// Splits p = q * quotient + remainder, moving as much as it can into the
/// quotient.
static void splitByDivisor(IndexExprContext &context, Poly p, Poly q,
                           Poly &quotient, Poly &remainder,
                           llvm::function_ref<Poly(Term)> makeTerm) {
  quotient = context.zero();
  remainder = p;
  if (q.terms().size() == 1) {
    const Term &divisor = q.terms()[0];
    int64_t by = divisor.coef.asInteger();
    if (by <= 0)
      return;
    for (const Term &term : p.terms()) {
      SmallVector<Atom, 4> atoms;
      if (!divideAtoms(term.atoms, divisor.atoms, atoms))
        continue;
      int64_t coef = term.coef.asInteger();
      // A small negative coefficient only moves into a larger positive one;
      // a negative constant becomes a remainder that is not negative.
      if (!term.atoms.empty() && coef > -by && coef < by)
        continue;
      int64_t multiple = floorDivide(coef, by);
      if (multiple == 0)
        continue;
      Poly part = makeTerm({atoms, multiple});
      quotient = context.add(quotient, part);
      remainder = context.sub(remainder, context.mul(part, q));
      if (!quotient || !remainder)
        return;
    }
    return;
  }
  // A divisor of several terms: try the part of p that varies with one atom.
  SmallVector<Atom, 4> atoms;
  for (const Term &term : p.terms())
    for (Atom atom : term.atoms)
      if (atom.kind() != AtomKind::Symbol && !llvm::is_contained(atoms, atom))
        atoms.push_back(atom);
  for (Atom atom : atoms) {
    Poly part = context.zero();
    for (const Term &term : remainder.terms())
      if (llvm::is_contained(term.atoms, atom))
        part = context.add(part, makeTerm(term));
    Poly factor = context.exactDiv(part, q);
    if (!factor)
      continue;
    quotient = context.add(quotient, factor);
    remainder = context.sub(remainder, part);
    if (!quotient || !remainder)
      return;
  }
}

/// p = q * quotient + remainder; true if 0 <= remainder < q is proven.
bool IndexExprContext::divide(Poly p, Poly q, Extents extents, Poly &quotient,
                              Poly &remainder) {
  if (Poly exact = exactDiv(p, q)) {
    quotient = exact;
    remainder = zero();
    return true;
  }
  splitByDivisor(*this, p, q, quotient, remainder,
                 [&](Term term) { return uniqueTerms(term); });
  if (!quotient || !remainder) {
    quotient = zero();
    remainder = p;
    return false;
  }
  return isNonNegative(remainder, extents) &&
         isNonNegative(sub(q, remainder + 1), extents);
}

/// The factor that a term shares with the only term of a divisor.
static Term sharedFactor(const Term &term, const Term &divisor,
                         SmallVectorImpl<Atom> &storage) {
  SmallVector<Atom, 4> left(term.atoms);
  for (Atom atom : divisor.atoms)
    if (auto *it = llvm::find(left, atom); it != left.end()) {
      storage.push_back(atom);
      left.erase(it);
    }
  return {storage, std::gcd(term.coef.asInteger(), divisor.coef.asInteger())};
}

/// p = factor * high + low and q = factor * divisor with 0 <= low < factor, for
/// the largest factor that some term of p shares with q. Then
/// fdiv(p, q) = fdiv(high, divisor) and mod(p, q) = factor * mod(high, divisor)
/// + low.
bool IndexExprContext::shareFactor(Poly p, Poly q, Extents extents,
                                   SharedFactor &shared) {
  if (q.terms().size() != 1 || q.isConstant(1) || p.terms().size() < 2 ||
      q.terms()[0].coef.isNegative())
    return false;
  const Term &divisor = q.terms()[0];
  for (const Term &term : p.terms()) {
    if (term.atoms.empty() || term.coef.asInteger() == INT64_MIN)
      continue;
    SmallVector<Atom, 4> atoms;
    Poly factor = uniqueTerms(sharedFactor(term, divisor, atoms));
    if (!factor || factor.isConstant(1))
      continue;
    Poly high = zero(), low = zero();
    for (const Term &other : p.terms()) {
      Poly part = uniqueTerms(other);
      if (Poly quotient = exactDiv(part, factor))
        high = add(high, quotient);
      else
        low = add(low, part);
    }
    if (!high || !low || !isNonNegative(low, extents) ||
        !isNonNegative(sub(factor, low) - 1, extents))
      continue;
    shared = {factor, high, low, exactDiv(q, factor)};
    return true;
  }
  return false;
}

Poly IndexExprContext::fdiv(Poly p, Poly q, Extents extents) {
  if (!p || !q || q.isConstant(0))
    return {};
  if (!p.isIntegral() || !q.isIntegral())
    return {};
  Poly quotient, remainder;
  if (divide(p, q, extents, quotient, remainder))
    return quotient;
  if (!quotient.isConstant(0) && isNonNegative(remainder, extents))
    return add(quotient, fdiv(remainder, q, extents));
  if (Atom atom = p.getAtom(); atom && atom.kind() == AtomKind::FloorDiv)
    return fdiv(atom.operands()[0], mul(atom.operands()[1], q), extents);
  SharedFactor shared;
  if (shareFactor(p, q, extents, shared))
    return fdiv(shared.high, shared.divisor, extents);
  return uniqueAtom(AtomKind::FloorDiv, Func(), 0, "", {p, q}, {});
}

Poly IndexExprContext::mod(Poly p, Poly q, Extents extents) {
  if (!p || !q || q.isConstant(0))
    return {};
  if (!p.isIntegral() || !q.isIntegral())
    return {};
  Poly quotient, remainder;
  if (divide(p, q, extents, quotient, remainder))
    return remainder;
  // c * mod(x, a) is congruent to c * x where q divides c * a.
  for (const Term &term : remainder.terms()) {
    if (term.atoms.size() != 1 || term.atoms[0].kind() != AtomKind::Mod)
      continue;
    ArrayRef<Poly> operands = term.atoms[0].operands();
    if (!exactDiv(scale(operands[1], term.coef), q))
      continue;
    Poly rest = sub(remainder, uniqueTerms(term));
    return mod(add(rest, scale(operands[0], term.coef)), q, extents);
  }
  SharedFactor shared;
  if (shareFactor(remainder, q, extents, shared))
    return add(mul(shared.factor, mod(shared.high, shared.divisor, extents)),
               shared.low);
  return uniqueAtom(AtomKind::Mod, Func(), 0, "", {remainder, q}, {});
}

Poly IndexExprContext::truncDiv(Poly p, Poly q, Extents extents) {
  if (!p || !q)
    return {};
  if (Poly exact = exactDiv(p, q))
    return exact;
  if (isNonNegative(p, extents) && isNonNegative(q, extents))
    return fdiv(p, q, extents);
  return fn(Func::TruncDiv, {p, q});
}

Poly IndexExprContext::min(Poly p, Poly q, Extents extents) {
  return extremum(AtomKind::Min, p, q, extents);
}

Poly IndexExprContext::max(Poly p, Poly q, Extents extents) {
  return extremum(AtomKind::Max, p, q, extents);
}

Poly IndexExprContext::extremum(AtomKind kind, Poly p, Poly q,
                                Extents extents) {
  if (!p || !q)
    return {};
  SmallVector<Poly, 4> operands;
  auto isBeaten = [&](Poly loser, Poly winner) {
    if (loser == winner)
      return true;
    if (loser.isConstant() && winner.isConstant()) {
      Number a = *loser.getConstant(), b = *winner.getConstant();
      return kind == AtomKind::Min ? b < a : a < b;
    }
    Poly margin =
        kind == AtomKind::Min ? sub(loser, winner) : sub(winner, loser);
    return isNonNegative(margin, extents);
  };
  auto insert = [&](Poly operand) {
    if (llvm::any_of(operands, [&](Poly x) { return isBeaten(operand, x); }))
      return;
    llvm::erase_if(operands, [&](Poly x) { return isBeaten(x, operand); });
    operands.push_back(operand);
  };
  for (Poly side : {p, q}) {
    Atom atom = side.getAtom();
    if (!atom || atom.kind() != kind) {
      insert(side);
      continue;
    }
    for (Poly operand : atom.operands())
      insert(operand);
  }
  if (operands.size() == 1)
    return operands[0];
  llvm::sort(operands,
             [](Poly a, Poly b) { return storage(a)->id < storage(b)->id; });
  return uniqueAtom(kind, Func(), 0, "", operands, {});
}

Poly IndexExprContext::abs(Poly p, Extents extents) {
  if (!p || isNonNegative(p, extents))
    return p;
  if (isNonNegative(neg(p), extents))
    return neg(p);
  return uniqueAtom(AtomKind::Abs, Func(), 0, "", p, {});
}

unsigned IndexExprContext::freshBoundVar(Poly p) {
  unsigned fresh = 0;
  walkAtoms(p, [&](Atom atom) {
    if (atom.kind() == AtomKind::BoundVar || atom.kind() == AtomKind::Sum)
      fresh = std::max(fresh, atom.index() + 1);
  });
  return fresh;
}

Poly IndexExprContext::sum(unsigned n, Poly upper, Poly body) {
  return uniqueAtom(AtomKind::Sum, Func(), n, "", {body, upper}, {});
}

static double foldUnary(Func func, double x) {
  switch (func) {
  case Func::Log:
    return std::log(x);
  case Func::Cos:
    return std::cos(x);
  case Func::Sin:
    return std::sin(x);
  case Func::Exp:
    return std::exp(x);
  case Func::Sqrt:
    return std::sqrt(x);
  case Func::Tanh:
    return std::tanh(x);
  case Func::Sigmoid:
    return 1 / (1 + std::exp(-x));
  case Func::Trunc:
    return std::trunc(x);
  case Func::Floor:
    return std::floor(x);
  case Func::Ceil:
    return std::ceil(x);
  case Func::Recip:
    return 1 / x;
  case Func::Pow:
  case Func::Div:
  case Func::TruncDiv:
    break;
  }
  return std::nan("");
}

/// A NaN if there is no value.
static double foldBinary(Func func, double x, double y) {
  if (func == Func::Pow)
    return std::pow(x, y);
  if (func == Func::Div && y != 0)
    return x / y;
  return std::nan("");
}

static bool roundsToInteger(Func func) {
  return func == Func::Trunc || func == Func::Floor || func == Func::Ceil;
}

Poly IndexExprContext::fn(Func func, ArrayRef<Poly> operands) {
  if (llvm::any_of(operands, [](Poly p) { return !p; }))
    return {};
  if (roundsToInteger(func) && operands[0].isIntegral())
    return operands[0];
  if (func == Func::TruncDiv) {
    std::optional<int64_t> p = operands[0].getConstantInt();
    std::optional<int64_t> q = operands[1].getConstantInt();
    // INT64_MIN / -1 has no value.
    if (p && q && *q != 0 && *q != -1)
      return constant(*p / *q);
  } else if (llvm::all_of(operands, [](Poly p) { return p.isConstant(); })) {
    double x = operands[0].getConstant()->asDouble();
    if (roundsToInteger(func))
      x = static_cast<float>(x);
    double value =
        operands.size() == 1
            ? foldUnary(func, x)
            : foldBinary(func, x, operands[1].getConstant()->asDouble());
    Poly folded = constant(value);
    if (!std::isnan(value) && (!roundsToInteger(func) || folded.isIntegral()))
      return folded;
  }
  return uniqueAtom(AtomKind::Function, func, 0, "", operands, {});
}
