//===- Select.cpp - selections ------------------------------------------===//
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

/// The only position in which two lists of equal length differ.
static std::optional<unsigned> onlyDifference(ArrayRef<Poly> a,
                                              ArrayRef<Poly> b) {
  std::optional<unsigned> found;
  if (a.size() != b.size())
    return std::nullopt;
  for (auto [index, pair] : llvm::enumerate(llvm::zip_equal(a, b))) {
    if (std::get<0>(pair) == std::get<1>(pair))
      continue;
    if (found)
      return std::nullopt;
    found = index;
  }
  return found;
}

/// The only atom of a that b lacks; null if there is not exactly one.
static Atom onlyExtra(ArrayRef<Atom> a, ArrayRef<Atom> b) {
  SmallVector<Atom, 4> rest(b);
  Atom extra;
  for (Atom atom : a) {
    if (auto *it = llvm::find(rest, atom); it != rest.end()) {
      rest.erase(it);
      continue;
    }
    if (extra)
      return {};
    extra = atom;
  }
  return extra;
}

/// x <= n-1-s ? R[x+s] : R[x+s-n] is R[(x+s) mod n], for arms that are equal
/// but for one index. Null if the rule does not apply.
Poly IndexExprContext::foldWrap(Pred cond, Poly a, Poly b, Extents extents) {
  if (a == b)
    return a;
  if (cond.kind() != PredKind::NonNeg || a.terms().size() != 1 ||
      b.terms().size() != 1)
    return {};
  const Term &termA = a.terms()[0], &termB = b.terms()[0];
  if (termA.coef != termB.coef || termA.atoms.size() != termB.atoms.size())
    return {};
  Atom x = onlyExtra(termA.atoms, termB.atoms);
  Atom y = onlyExtra(termB.atoms, termA.atoms);
  if (!x || !y || x.kind() != y.kind() || x.index() != y.index() ||
      x.func() != y.func() || x.cond() != y.cond())
    return {};
  std::optional<unsigned> place = onlyDifference(x.operands(), y.operands());
  if (!place)
    return {};

  Poly folded;
  Poly p = x.operands()[*place], q = y.operands()[*place];
  switch (x.kind()) {
  case AtomKind::Read: {
    std::optional<int64_t> period = sub(p, q).getConstantInt();
    if (!period || *period <= 0)
      return {};
    // The condition must flip exactly where x + s reaches the period.
    if (!add(p, cond.poly()).isConstant(*period - 1))
      return {};
    if (!isNonNegative(p, extents) ||
        !isNonNegative(constant(2 * *period - 1) - p, extents))
      return {};
    folded = mod(p, constant(*period), extents);
    break;
  }
  case AtomKind::Select:
  case AtomKind::Function:
    folded = foldWrap(cond, p, q, extents);
    break;
  default:
    return {};
  }
  SmallVector<Poly, 4> operands(x.operands());
  operands[*place] = folded;
  Poly replaced =
      uniqueAtom(x.kind(), x.func(), x.index(), "", operands, x.cond());
  SmallVector<Atom, 4> others;
  divideAtoms(termA.atoms, x, others);
  return mul(uniqueTerms(Term{others, termA.coef}), replaced);
}

Poly IndexExprContext::select(Pred cond, Poly a, Poly b, Extents extents) {
  if (!cond || !a || !b)
    return {};
  if (cond.isTrue() || a == b)
    return a;
  if (cond.isFalse())
    return b;
  if (Poly wrapped = foldWrap(cond, a, b, extents))
    return wrapped;
  if (Poly wrapped = foldWrap(negate(cond), b, a, extents))
    return wrapped;
  if (cond.kind() == PredKind::Not)
    return select(cond.operands()[0], b, a, extents);
  if (cond.kind() == PredKind::Zero && !a.isConstant() &&
      (a == cond.poly() || a == neg(cond.poly())))
    return select(cond, zero(), b, extents);

  if (Atom inner = getSelect(b)) {
    Pred other = inner.cond();
    Poly x = inner.operands()[0], y = inner.operands()[1];
    if (other == cond)
      return select(cond, a, y, extents);
    if (x == a)
      return select(disj(cond, other), a, y, extents);
    if (y == a)
      return select(disj(cond, negate(other)), a, x, extents);
  }
  if (Atom inner = getSelect(a)) {
    Pred other = inner.cond();
    Poly x = inner.operands()[0], y = inner.operands()[1];
    if (other == cond)
      return select(cond, x, b, extents);
    if (y == b)
      return select(conj(cond, other), x, b, extents);
    if (x == b)
      return select(conj(cond, negate(other)), y, b, extents);
  }
  return uniqueAtom(AtomKind::Select, Func(), 0, "", {a, b}, cond);
}

Poly IndexExprContext::lift(llvm::function_ref<Poly(Poly, Poly)> f, Poly p,
                            Poly q, Extents extents) {
  if (!p || !q)
    return {};
  Atom left = getSelect(p), right = getSelect(q);
  if (left && right && left.cond() == right.cond())
    return select(left.cond(), f(left.operands()[0], right.operands()[0]),
                  f(left.operands()[1], right.operands()[1]), extents);
  auto hasConstantArm = [](Atom atom) {
    return atom.operands()[0].isConstant() || atom.operands()[1].isConstant();
  };
  if (left && q.isConstant() && hasConstantArm(left))
    return select(left.cond(), f(left.operands()[0], q),
                  f(left.operands()[1], q), extents);
  if (right && p.isConstant() && hasConstantArm(right))
    return select(right.cond(), f(p, right.operands()[0]),
                  f(p, right.operands()[1]), extents);
  return f(p, q);
}
