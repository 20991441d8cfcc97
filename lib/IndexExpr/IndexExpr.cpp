//===- IndexExpr.cpp - uniquing and queries of index expressions --------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/IndexExpr/IndexExpr.h"
#include "Storage.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/Support/MathExtras.h"
#include <cmath>
#include <cstring>
#include <vector>

using namespace lathe;
using namespace lathe::detail;
using llvm::ArrayRef;
using llvm::FoldingSetNodeID;
using llvm::SmallVector;
using llvm::StringRef;

//===----------------------------------------------------------------------===//
// Number
//===----------------------------------------------------------------------===//

/// Integers up to here are exact in a double.
static constexpr double kLargestExact = 9007199254740992.0;

Number Number::fromDouble(double value) {
  Number number;
  if (std::fabs(value) <= kLargestExact && value == std::floor(value)) {
    number.integer = static_cast<int64_t>(value);
    return number;
  }
  number.isReal = true;
  number.real = value;
  return number;
}

bool Number::isInfinite() const { return isReal && std::isinf(real); }

bool Number::operator==(const Number &other) const {
  if (isReal != other.isReal)
    return false;
  if (!isReal)
    return integer == other.integer;
  return std::memcmp(&real, &other.real, sizeof(real)) == 0;
}

bool Number::operator<(const Number &other) const {
  if (!isReal && !other.isReal)
    return integer < other.integer;
  return asDouble() < other.asDouble();
}

std::optional<Number> Number::add(Number a, Number b) {
  if (!a.isReal && !b.isReal) {
    int64_t result;
    if (llvm::AddOverflow(a.integer, b.integer, result))
      return std::nullopt;
    return Number(result);
  }
  double result = a.asDouble() + b.asDouble();
  if (std::isnan(result) && !a.isNaN() && !b.isNaN())
    return std::nullopt;
  return fromDouble(result);
}

std::optional<Number> Number::mul(Number a, Number b) {
  if (!a.isReal && !b.isReal) {
    int64_t result;
    if (llvm::MulOverflow(a.integer, b.integer, result))
      return std::nullopt;
    return Number(result);
  }
  double result = a.asDouble() * b.asDouble();
  if (std::isnan(result) && !a.isNaN() && !b.isNaN())
    return std::nullopt;
  return fromDouble(result);
}

//===----------------------------------------------------------------------===//
// Storage
//===----------------------------------------------------------------------===//

void detail::profile(FoldingSetNodeID &id, Number number) {
  id.AddBoolean(number.isInteger());
  if (number.isInteger()) {
    id.AddInteger(number.asInteger());
    return;
  }
  double value = number.asDouble();
  uint64_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  id.AddInteger(bits);
}

void PolyStorage::profile(FoldingSetNodeID &id, ArrayRef<Term> terms) {
  for (const Term &term : terms) {
    id.AddInteger(term.atoms.size());
    for (Atom atom : term.atoms)
      id.AddPointer(atom.getAsOpaquePointer());
    detail::profile(id, term.coef);
  }
}

void AtomStorage::profile(FoldingSetNodeID &id, AtomKind kind, Func func,
                          unsigned index, StringRef name,
                          ArrayRef<Poly> operands, Pred cond) {
  id.AddInteger(static_cast<unsigned>(kind));
  id.AddInteger(static_cast<unsigned>(func));
  id.AddInteger(index);
  id.AddString(name);
  for (Poly operand : operands)
    id.AddPointer(operand.getAsOpaquePointer());
  id.AddPointer(cond.getAsOpaquePointer());
}

void PredStorage::profile(FoldingSetNodeID &id, PredKind kind, Poly poly,
                          ArrayRef<Pred> operands) {
  id.AddInteger(static_cast<unsigned>(kind));
  id.AddPointer(poly.getAsOpaquePointer());
  for (Pred operand : operands)
    id.AddPointer(operand.getAsOpaquePointer());
}

bool detail::precedes(ArrayRef<Atom> a, ArrayRef<Atom> b) {
  return std::lexicographical_compare(
      a.begin(), a.end(), b.begin(), b.end(),
      [](Atom x, Atom y) { return x.id() < y.id(); });
}

bool detail::divideAtoms(ArrayRef<Atom> atoms, ArrayRef<Atom> divisor,
                         llvm::SmallVectorImpl<Atom> &rest) {
  rest.assign(atoms.begin(), atoms.end());
  for (Atom atom : divisor) {
    auto *it = llvm::find(rest, atom);
    if (it == rest.end())
      return false;
    rest.erase(it);
  }
  return true;
}

int64_t detail::floorRemainder(int64_t a, int64_t b) {
  int64_t remainder = a % b;
  return remainder < 0 ? remainder + b : remainder;
}

int64_t detail::floorDivide(int64_t a, int64_t b) {
  return a / b - (a % b < 0 ? 1 : 0);
}

Atom detail::getSelect(Poly p) {
  Atom atom = p.getAtom();
  return atom && atom.kind() == AtomKind::Select ? atom : Atom();
}

IndexExprContext::IndexExprContext() : impl(std::make_unique<Impl>()) {
  truePred = uniquePred(PredKind::True, {}, {});
  falsePred = uniquePred(PredKind::False, {}, {});
}

IndexExprContext::~IndexExprContext() = default;

Poly IndexExprContext::uniqueTerms(ArrayRef<Term> sortedTerms) {
  FoldingSetNodeID id;
  PolyStorage::profile(id, sortedTerms);
  void *position;
  if (PolyStorage *found = impl->polys.FindNodeOrInsertPos(id, position))
    return Poly(found);

  PolyStorage poly;
  poly.context = this;
  poly.id = impl->polys.size();
  for (const Term &term : sortedTerms) {
    poly.integral &= term.coef.isInteger();
    for (Atom atom : term.atoms) {
      poly.facts.include(storage(atom)->facts);
      poly.integral &= atom.isIntegral();
      poly.shape &= atom.kind() == AtomKind::Symbol;
      poly.hasMod |= atom.kind() == AtomKind::Mod;
      poly.hasFloorDiv |= atom.kind() == AtomKind::FloorDiv;
    }
  }
  if (poly.facts.size > kMaxSize)
    return {};

  SmallVector<Term, 8> terms(sortedTerms);
  for (Term &term : terms)
    term.atoms = impl->copy(term.atoms);
  poly.terms = impl->copy(ArrayRef<Term>(terms));
  auto *node = new (impl->allocator) PolyStorage(poly);
  impl->polys.InsertNode(node, position);
  return Poly(node);
}

/// Whether the atom takes integer values only.
static bool computeIntegral(AtomKind kind, Func func, bool realRead,
                            ArrayRef<Poly> operands) {
  switch (kind) {
  case AtomKind::Symbol:
  case AtomKind::Coord:
  case AtomKind::BoundVar:
    return true;
  case AtomKind::Read:
    return !realRead;
  case AtomKind::FloorDiv:
  case AtomKind::Mod:
  case AtomKind::Min:
  case AtomKind::Max:
  case AtomKind::Abs:
  case AtomKind::Select:
    return llvm::all_of(operands, [](Poly p) { return p.isIntegral(); });
  case AtomKind::Sum:
    return operands[0].isIntegral();
  case AtomKind::Function:
    return func == Func::Trunc || func == Func::TruncDiv ||
           func == Func::Floor || func == Func::Ceil;
  }
  llvm_unreachable("all atom kinds are covered");
}

Poly IndexExprContext::uniqueAtom(AtomKind kind, Func func, unsigned index,
                                  StringRef name, ArrayRef<Poly> operands,
                                  Pred cond) {
  if (llvm::any_of(operands, [](Poly p) { return !p; }))
    return {};
  FoldingSetNodeID id;
  AtomStorage::profile(id, kind, func, index, name, operands, cond);
  void *position;
  if (AtomStorage *found = impl->atoms.FindNodeOrInsertPos(id, position))
    return atomPoly(Atom(found));

  AtomStorage atom;
  atom.kind = kind;
  atom.func = func;
  atom.index = index;
  atom.cond = cond;
  atom.id = impl->atoms.size();
  bool realRead = kind == AtomKind::Read && impl->realReads.contains(index);
  atom.integral = computeIntegral(kind, func, realRead, operands);
  atom.facts.size = 1;
  atom.facts.reads = kind == AtomKind::Read;
  atom.facts.boundVars = kind == AtomKind::BoundVar;
  if (kind == AtomKind::Coord)
    atom.facts.coordMask = uint64_t(1) << std::min(index, 63u);
  for (Poly operand : operands)
    atom.facts.include(storage(operand)->facts);
  if (cond)
    atom.facts.include(storage(cond)->facts);
  if (atom.facts.size > kMaxSize)
    return {};

  atom.name = name.copy(impl->allocator);
  atom.operands = impl->copy(operands);
  auto *node = new (impl->allocator) AtomStorage(atom);
  impl->atoms.InsertNode(node, position);
  return atomPoly(Atom(node));
}

Poly IndexExprContext::atomPoly(Atom atom) {
  return uniqueTerms(Term{ArrayRef<Atom>(atom), Number(1)});
}

Pred IndexExprContext::uniquePred(PredKind kind, Poly poly,
                                  ArrayRef<Pred> operands) {
  FoldingSetNodeID id;
  PredStorage::profile(id, kind, poly, operands);
  void *position;
  if (PredStorage *found = impl->preds.FindNodeOrInsertPos(id, position))
    return Pred(found);

  PredStorage pred;
  pred.context = this;
  pred.kind = kind;
  pred.poly = poly;
  pred.id = impl->numPreds++;
  if (poly)
    pred.facts.include(storage(poly)->facts);
  for (Pred operand : operands)
    pred.facts.include(storage(operand)->facts);
  if (pred.facts.size > kMaxSize)
    return {};
  pred.operands = impl->copy(operands);
  auto *node = new (impl->allocator) PredStorage(pred);
  impl->preds.InsertNode(node, position);
  return Pred(node);
}

//===----------------------------------------------------------------------===//
// Leaves
//===----------------------------------------------------------------------===//

Poly IndexExprContext::constant(Number value) {
  if (value.isZero())
    return uniqueTerms({});
  return uniqueTerms(Term{{}, value});
}

Poly IndexExprContext::symbol(StringRef name) {
  return uniqueAtom(AtomKind::Symbol, Func(), 0, name, {}, {});
}

Poly IndexExprContext::coord(unsigned k) {
  return uniqueAtom(AtomKind::Coord, Func(), k, "", {}, {});
}

Poly IndexExprContext::boundVar(unsigned n) {
  return uniqueAtom(AtomKind::BoundVar, Func(), n, "", {}, {});
}

Poly IndexExprContext::read(unsigned id, ArrayRef<Poly> position) {
  return uniqueAtom(AtomKind::Read, Func(), id, "", position, {});
}

void IndexExprContext::declareReal(unsigned id) { impl->realReads.insert(id); }

//===----------------------------------------------------------------------===//
// Handles
//===----------------------------------------------------------------------===//

IndexExprContext &Poly::getContext() const { return *impl->context; }
ArrayRef<Term> Poly::terms() const { return impl->terms; }
bool Poly::isIntegral() const { return impl->integral; }
bool Poly::isShape() const { return impl->shape; }
unsigned Poly::size() const { return impl->facts.size; }
uint64_t Poly::coordMask() const { return impl->facts.coordMask; }
bool Poly::usesReads() const { return impl->facts.reads; }

bool Poly::usesCoord(unsigned k) const {
  return coordMask() >> std::min(k, 63u) & 1;
}

std::optional<Number> Poly::getConstant() const {
  if (!impl)
    return std::nullopt;
  if (impl->terms.empty())
    return Number(0);
  if (impl->terms.size() == 1 && impl->terms[0].atoms.empty())
    return impl->terms[0].coef;
  return std::nullopt;
}

std::optional<int64_t> Poly::getConstantInt() const {
  std::optional<Number> value = getConstant();
  if (!value || !value->isInteger())
    return std::nullopt;
  return value->asInteger();
}

Number Poly::getConstantTerm() const {
  // The empty atom list sorts first.
  if (impl->terms.empty() || !impl->terms[0].atoms.empty())
    return Number(0);
  return impl->terms[0].coef;
}

Atom Poly::getAtom() const {
  if (impl->terms.size() != 1)
    return {};
  const Term &term = impl->terms[0];
  return term.atoms.size() == 1 && term.coef.isOne() ? term.atoms[0] : Atom();
}

Poly Poly::coefficientOf(unsigned k, Poly *rest) const {
  SmallVector<Term> with, without;
  std::vector<SmallVector<Atom, 2>> reduced;
  reduced.reserve(impl->terms.size());
  for (const Term &term : impl->terms) {
    unsigned uses = 0, direct = 0;
    for (Atom atom : term.atoms) {
      uses += storage(atom)->facts.coordMask >> std::min(k, 63u) & 1;
      direct += atom.kind() == AtomKind::Coord && atom.index() == k;
    }
    if (uses == 0) {
      without.push_back(term);
      continue;
    }
    if (uses != 1 || direct != 1)
      return {};
    SmallVector<Atom, 2> &atoms = reduced.emplace_back();
    for (Atom atom : term.atoms)
      if (atom.kind() != AtomKind::Coord || atom.index() != k)
        atoms.push_back(atom);
    with.push_back({atoms, term.coef});
  }
  llvm::sort(with, [](const Term &a, const Term &b) {
    return precedes(a.atoms, b.atoms);
  });
  if (rest)
    *rest = getContext().uniqueTerms(without);
  return getContext().uniqueTerms(with);
}

IndexExprContext &Pred::getContext() const { return *impl->context; }
PredKind Pred::kind() const { return impl->kind; }
Poly Pred::poly() const { return impl->poly; }
ArrayRef<Pred> Pred::operands() const { return impl->operands; }
unsigned Pred::size() const { return impl->facts.size; }
uint64_t Pred::coordMask() const { return impl->facts.coordMask; }
bool Pred::usesReads() const { return impl->facts.reads; }

bool Pred::usesCoord(unsigned k) const {
  return coordMask() >> std::min(k, 63u) & 1;
}

AtomKind Atom::kind() const { return impl->kind; }
StringRef Atom::name() const { return impl->name; }
unsigned Atom::index() const { return impl->index; }
Func Atom::func() const { return impl->func; }
ArrayRef<Poly> Atom::operands() const { return impl->operands; }
Pred Atom::cond() const { return impl->cond; }
bool Atom::isIntegral() const { return impl->integral; }
unsigned Atom::size() const { return impl->facts.size; }
uint64_t Atom::coordMask() const { return impl->facts.coordMask; }
bool Atom::usesReads() const { return impl->facts.reads; }
unsigned Atom::id() const { return impl->id; }

//===----------------------------------------------------------------------===//
// Walks
//===----------------------------------------------------------------------===//

namespace {
/// Visits each distinct term once. The recursion is bounded by kMaxSize.
class AtomWalker {
public:
  explicit AtomWalker(llvm::function_ref<void(Atom)> fn) : fn(fn) {}

  void walk(Poly p) {
    if (!p || !seen.insert(p.getAsOpaquePointer()).second)
      return;
    for (const Term &term : p.terms())
      for (Atom atom : term.atoms)
        walk(atom);
  }
  void walk(Pred p) {
    if (!p || !seen.insert(p.getAsOpaquePointer()).second)
      return;
    walk(p.poly());
    for (Pred operand : p.operands())
      walk(operand);
  }

private:
  void walk(Atom atom) {
    if (!seen.insert(atom.getAsOpaquePointer()).second)
      return;
    fn(atom);
    walk(atom.cond());
    for (Poly operand : atom.operands())
      walk(operand);
  }

  llvm::function_ref<void(Atom)> fn;
  llvm::SmallPtrSet<const void *, 32> seen;
};
} // namespace

void lathe::walkAtoms(Poly p, llvm::function_ref<void(Atom)> fn) {
  AtomWalker(fn).walk(p);
}

void lathe::walkAtoms(Pred p, llvm::function_ref<void(Atom)> fn) {
  AtomWalker(fn).walk(p);
}

void lathe::walkAtoms(IndexExpr e, llvm::function_ref<void(Atom)> fn) {
  AtomWalker walker(fn);
  walker.walk(e.poly());
  walker.walk(e.pred());
}

SmallVector<unsigned> lathe::collectReads(IndexExpr e) {
  SmallVector<unsigned> ids;
  if (!e.usesReads())
    return ids;
  walkAtoms(e, [&](Atom atom) {
    if (atom.kind() == AtomKind::Read && !llvm::is_contained(ids, atom.index()))
      ids.push_back(atom.index());
  });
  return ids;
}

SmallVector<StringRef> lathe::collectSymbols(IndexExpr e) {
  SmallVector<StringRef> names;
  walkAtoms(e, [&](Atom atom) {
    if (atom.kind() == AtomKind::Symbol)
      names.push_back(atom.name());
  });
  return names;
}

Poly lathe::operator+(Poly p, Poly q) {
  return p && q ? p.getContext().add(p, q) : Poly();
}
Poly lathe::operator-(Poly p, Poly q) {
  return p && q ? p.getContext().sub(p, q) : Poly();
}
Poly lathe::operator*(Poly p, Poly q) {
  return p && q ? p.getContext().mul(p, q) : Poly();
}
Poly lathe::operator+(Poly p, int64_t q) {
  return p ? p.getContext().add(p, p.getContext().constant(q)) : Poly();
}
Poly lathe::operator-(Poly p, int64_t q) {
  return p ? p.getContext().sub(p, p.getContext().constant(q)) : Poly();
}
Poly lathe::operator*(Poly p, int64_t q) {
  return p ? p.getContext().scale(p, q) : Poly();
}
Poly lathe::operator-(Poly p) { return p ? p.getContext().neg(p) : Poly(); }
