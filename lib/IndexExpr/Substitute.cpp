//===- Substitute.cpp - substitution in index expressions ---------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Storage.h"

using namespace lathe;
using namespace lathe::detail;
using llvm::ArrayRef;
using llvm::SmallVector;

Poly Substituter::operator()(Poly p) {
  if (!p)
    return {};
  if (p.coordMask() == 0 && !symbols && !reads)
    return p;
  auto [it, inserted] = memo.try_emplace(p.getAsOpaquePointer());
  if (!inserted)
    return it->second.poly();
  Poly result = context.zero();
  for (const Term &term : p.terms()) {
    Poly factor = context.constant(term.coef);
    for (Atom atom : term.atoms)
      factor = context.mul(factor, apply(atom));
    result = context.add(result, factor);
  }
  memo[p.getAsOpaquePointer()] = result;
  return result;
}

Pred Substituter::operator()(Pred p) {
  if (!p)
    return {};
  if (p.coordMask() == 0 && !symbols && !reads)
    return p;
  auto [it, inserted] = memo.try_emplace(p.getAsOpaquePointer());
  if (!inserted)
    return it->second.pred();
  Pred result;
  SmallVector<Pred, 4> operands;
  for (Pred operand : p.operands())
    operands.push_back((*this)(operand));
  switch (p.kind()) {
  case PredKind::True:
  case PredKind::False:
    result = p;
    break;
  case PredKind::NonNeg:
    result = context.nonNeg((*this)(p.poly()), extents);
    break;
  case PredKind::Zero:
    result = context.isZero((*this)(p.poly()), extents);
    break;
  case PredKind::And:
    result = context.conj(operands);
    break;
  case PredKind::Or:
    result = context.disj(operands);
    break;
  case PredKind::Not:
    result = context.negate(operands[0], extents);
    break;
  }
  memo[p.getAsOpaquePointer()] = result;
  return result;
}

IndexExpr Substituter::operator()(IndexExpr e) {
  return e.isPred() ? IndexExpr((*this)(e.pred()))
                    : IndexExpr((*this)(e.poly()));
}

Poly Substituter::apply(Atom atom) {
  if (atom.kind() == AtomKind::Coord) {
    unsigned k = atom.index();
    return k < coords.size() && coords[k] ? coords[k] : context.atomPoly(atom);
  }
  if (atom.kind() == AtomKind::Symbol) {
    if (!symbols)
      return context.atomPoly(atom);
    auto it = symbols->find(atom.name());
    return it == symbols->end() ? context.atomPoly(atom) : it->second;
  }
  if (atom.kind() == AtomKind::BoundVar)
    return context.atomPoly(atom);

  auto [it, inserted] = memo.try_emplace(atom.getAsOpaquePointer());
  if (!inserted)
    return it->second.poly();
  SmallVector<Poly, 4> operands;
  for (Poly operand : atom.operands()) {
    operands.push_back((*this)(operand));
    if (!operands.back())
      return {};
  }
  Poly result;
  switch (atom.kind()) {
  case AtomKind::Symbol:
  case AtomKind::Coord:
  case AtomKind::BoundVar:
    llvm_unreachable("handled above");
  case AtomKind::Read:
    result = reads ? reads(atom.index(), operands)
                   : context.read(atom.index(), operands);
    break;
  case AtomKind::FloorDiv:
    result = context.fdiv(operands[0], operands[1], extents);
    break;
  case AtomKind::Mod:
    result = context.mod(operands[0], operands[1], extents);
    break;
  case AtomKind::Min:
  case AtomKind::Max:
    result = operands[0];
    for (Poly operand : ArrayRef<Poly>(operands).drop_front())
      result = atom.kind() == AtomKind::Min
                   ? context.min(result, operand, extents)
                   : context.max(result, operand, extents);
    break;
  case AtomKind::Abs:
    result = context.abs(operands[0], extents);
    break;
  case AtomKind::Select:
    result =
        context.select((*this)(atom.cond()), operands[0], operands[1], extents);
    break;
  case AtomKind::Sum:
    result = context.sum(atom.index(), operands[1], operands[0]);
    break;
  case AtomKind::Function:
    result = atom.func() == Func::TruncDiv
                 ? context.truncDiv(operands[0], operands[1], extents)
                 : context.fn(atom.func(), operands);
    break;
  }
  memo[atom.getAsOpaquePointer()] = result;
  return result;
}

Poly IndexExprContext::substitute(Poly p, ArrayRef<Poly> coords,
                                  Extents extents) {
  return Substituter(*this, coords, extents)(p);
}

Pred IndexExprContext::substitute(Pred p, ArrayRef<Poly> coords,
                                  Extents extents) {
  return Substituter(*this, coords, extents)(p);
}

IndexExpr IndexExprContext::substitute(IndexExpr e, ArrayRef<Poly> coords,
                                       Extents extents) {
  return Substituter(*this, coords, extents)(e);
}

Poly IndexExprContext::substituteSymbols(Poly p,
                                         const llvm::StringMap<Poly> &symbols) {
  return Substituter(*this, {}).setSymbols(&symbols)(p);
}
