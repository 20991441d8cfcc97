//===- Unify.cpp - equalities between dims --------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Engine.h"
#include "lathe/IndexExpr/Text.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"

using namespace lathe;
using namespace lathe::shapes;
using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::StringRef;

/// No graph that was seen takes more than four.
static constexpr unsigned kMaxRounds = 40;

static bool usesSymbol(Poly p, Atom symbol) {
  bool found = false;
  walkAtoms(p, [&](Atom atom) { found |= atom == symbol; });
  return found;
}

static SmallVector<Atom> symbolsOf(Poly p) {
  SmallVector<Atom> symbols;
  walkAtoms(p, [&](Atom atom) {
    if (atom.kind() == AtomKind::Symbol)
      symbols.push_back(atom);
  });
  return symbols;
}

bool Engine::isInputDim(Atom symbol) const {
  return sources.contains(symbol.name());
}

bool Engine::isUnknownDim(Atom symbol) const { return !isInputDim(symbol); }

void Engine::run() {
  walk();
  while (rounds < kMaxRounds && unify())
    walk();
  finish();
}

/// Solves what it can; true if the walk must run again.
bool Engine::unify() {
  std::optional<Solution> solution = solve();
  if (!solution)
    solution = solveCovering();
  if (!solution)
    return false;
  bool changed = false;
  while (solution && !replaced.contains(solution->name)) {
    apply(std::move(*solution));
    changed = true;
    solution = solve();
  }
  return changed;
}

void Engine::apply(Solution solution) {
  llvm::StringMap<Poly> one;
  one[solution.name] = solution.value;
  for (auto &entry : replaced)
    entry.second = context.substituteSymbols(entry.second, one);
  replaced[solution.name] = solution.value;
  for (DimSubstitution &substitution : substitutions)
    substitution.value = context.substituteSymbols(substitution.value, one);
  if (sources.contains(solution.name))
    substitutions.push_back({solution.name, solution.value, solution.assumed,
                             std::move(solution.reason)});
  for (Equality &equality : equalities) {
    equality.p = context.substituteSymbols(equality.p, one);
    equality.q = context.substituteSymbols(equality.q, one);
  }
  llvm::erase_if(equalities, [](const Equality &equality) {
    return !equality.p || !equality.q || equality.p == equality.q;
  });
}

std::optional<Solution> Engine::solve() {
  for (const Equality &equality : equalities)
    if (std::optional<Solution> solution = solveForced(equality))
      return solution;
  for (const Equality &equality : equalities)
    if (std::optional<Solution> solution = solveQuotient(equality))
      return solution;
  return std::nullopt;
}

/// A dim that stands alone with coefficient 1 or -1, such that what it equals
/// is a sum without negative terms; or the only dim, if a number times it is a
/// number.
std::optional<Solution> Engine::solveForced(const Equality &equality) {
  Poly difference = equality.p - equality.q;
  if (!difference)
    return std::nullopt;
  // Eliminate unknown dims, then sums, then dims other than the batch, then
  // the later argument.
  using Rank = std::tuple<bool, bool, bool, unsigned>;
  std::optional<std::pair<Rank, Solution>> best;
  for (const Term &term : difference.terms()) {
    if (term.atoms.size() != 1 || term.atoms[0].kind() != AtomKind::Symbol)
      continue;
    bool negative = term.coef == Number(-1);
    if (!negative && !term.coef.isOne())
      continue;
    Atom symbol = term.atoms[0];
    Poly self = context.symbol(symbol.name());
    Poly rest = negative ? difference + self : self - difference;
    if (!rest || usesSymbol(rest, symbol) || !rest.isShape() ||
        !context.isNonNegative(rest) || rest.isConstant(0))
      continue;
    bool isInput = isInputDim(symbol);
    if (isInput && llvm::any_of(symbolsOf(rest),
                                [&](Atom atom) { return isUnknownDim(atom); }))
      continue;
    DimSource source = sources.lookup(symbol.name());
    Rank rank = {!isInput, rest.terms().size() > 1, source.dim != 0,
                 source.order};
    if (best && rank <= best->first)
      continue;
    best = {rank, Solution{symbol.name().str(), rest, /*assumed=*/false,
                           describe(equality.op)}};
  }
  if (best)
    return best->second;

  SmallVector<Atom> symbols = symbolsOf(difference);
  if (symbols.size() != 1 || difference.terms().size() != 2 ||
      !difference.isIntegral())
    return std::nullopt;
  Number constant = difference.getConstantTerm();
  const Term &term = difference.terms()[1];
  if (constant.isZero() || term.atoms.size() != 1 ||
      term.atoms[0] != symbols[0] ||
      constant.asInteger() % term.coef.asInteger() != 0)
    return std::nullopt;
  int64_t value = -(constant.asInteger() / term.coef.asInteger());
  if (value <= 0)
    return std::nullopt;
  return Solution{symbols[0].name().str(), dim(value), /*assumed=*/false,
                  describe(equality.op)};
}

/// In fdiv(n * m, d), two dims n and d that lead two arguments are taken to be
/// one: a batch that is divided out of a flattened tensor.
std::optional<Solution> Engine::solveQuotient(const Equality &equality) {
  Poly difference = equality.p - equality.q;
  if (!difference)
    return std::nullopt;
  std::optional<Solution> solution;
  walkAtoms(difference, [&](Atom atom) {
    if (solution || atom.kind() != AtomKind::FloorDiv)
      return;
    for (Atom d : symbolsOf(atom.operands()[1])) {
      for (Atom n : symbolsOf(atom.operands()[0])) {
        if (n == d || !isInputDim(n) || !isInputDim(d))
          continue;
        DimSource from = sources.lookup(n.name()),
                  by = sources.lookup(d.name());
        if (from.dim != by.dim)
          continue;
        Atom kept = from.order < by.order ? n : d;
        Atom gone = kept == n ? d : n;
        solution = Solution{gone.name().str(), context.symbol(kept.name()),
                            /*assumed=*/true,
                            toString(atom.operands()[0]) + " is divided by " +
                                toString(atom.operands()[1]) + " at " +
                                describe(equality.op)};
        return;
      }
    }
  });
  return solution;
}

/// An argument that is read at i_k for all of an extent has that extent there:
/// the graph would run with a larger one, too, but ignore the rest.
std::optional<Solution> Engine::solveCovering() {
  for (const ValueInfo &info : storage) {
    if (info.rank() < 2 || info.isLeaf() || !info.form ||
        !info.form.usesReads() || !isIndexy(info))
      continue;
    std::optional<Solution> solution;
    walkAtoms(info.form, [&](Atom atom) {
      if (!solution && atom.kind() == AtomKind::Read)
        solution = coveringOf(info, atom);
    });
    if (solution)
      return solution;
  }
  return std::nullopt;
}

std::optional<Solution> Engine::coveringOf(const ValueInfo &info, Atom read) {
  Value value = valueOfRead(read.index());
  auto arg = dyn_cast<BlockArgument>(value);
  if (!arg || arg.getOwner()->getParentOp() != func)
    return std::nullopt;
  const ValueInfo *source = lookup(value);
  if (!source || !source->shape)
    return std::nullopt;
  // The extent that a coordinate runs over, if it can replace `symbol`.
  auto extentFor = [&](unsigned k, Atom symbol) -> Poly {
    if (k >= info.rank())
      return {};
    Poly extent = (*info.shape)[k];
    bool fits = !extent.isConstant() && extent.isShape() &&
                !usesSymbol(extent, symbol) &&
                llvm::all_of(symbolsOf(extent),
                             [&](Atom atom) { return isInputDim(atom); });
    return fits ? extent : Poly();
  };

  std::optional<Solution> solution;
  for (Poly index : read.operands()) {
    walkAtoms(index, [&](Atom atom) {
      if (solution || atom.kind() != AtomKind::FloorDiv)
        return;
      Atom by = atom.operands()[1].getAtom();
      if (!by || by.kind() != AtomKind::Symbol || !isInputDim(by))
        return;
      walkAtoms(atom.operands()[0], [&](Atom coord) {
        if (solution || coord.kind() != AtomKind::Coord)
          return;
        if (Poly extent = extentFor(coord.index(), by))
          solution = Solution{by.name().str(), extent, /*assumed=*/true,
                              "flattened rows of " + describe(value) +
                                  " are read as rows"};
      });
    });
  }
  if (solution)
    return solution;
  for (auto [k, index] : llvm::enumerate(read.operands())) {
    Atom coord = index.getAtom();
    if (!coord || coord.kind() != AtomKind::Coord || k >= source->rank())
      continue;
    Atom symbol = (*source->shape)[k].getAtom();
    if (!symbol || symbol.kind() != AtomKind::Symbol || !isInputDim(symbol))
      continue;
    if (Poly extent = extentFor(coord.index(), symbol))
      return Solution{symbol.name().str(), extent, /*assumed=*/true,
                      "every element of dim " + std::to_string(k) + " of " +
                          describe(value) + " is read"};
  }
  return std::nullopt;
}

/// Leaves free dims, and as checks what is over them alone.
void Engine::finish() {
  llvm::StringSet<> seen;
  for (BlockArgument arg : func.getArguments()) {
    const ValueInfo *info = lookup(arg);
    if (!info || !info->shape)
      continue;
    for (Poly extent : *info->shape)
      for (StringRef name : collectSymbols(extent))
        if (seen.insert(name).second)
          freeDims.push_back(name.str());
  }
  for (const Equality &equality : equalities)
    require(DimCheck::Kind::Equal, equality.p, equality.q, equality.op);

  std::vector<DimCheck> kept;
  for (DimCheck &check : checks) {
    if (check.kind == DimCheck::Kind::LessEqual &&
        context.isNonNegative(check.rhs - check.lhs))
      continue;
    if (isOverInputs(check))
      kept.push_back(std::move(check));
    else
      assume(check.toString());
  }
  checks = std::move(kept);
  recallChecks();
}

bool Engine::isOverInputs(const DimCheck &check) const {
  return llvm::all_of(ArrayRef{check.lhs, check.rhs}, [&](Poly side) {
    return !side.usesReads() && side.coordMask() == 0 &&
           llvm::all_of(symbolsOf(side),
                        [&](Atom symbol) { return isInputDim(symbol); });
  });
}

/// Adds what nodes needed that are no more. An entry that lost a dim (the past
/// of a cache is none of its inputs) loses what was needed of it.
void Engine::recallChecks() {
  auto noted = func->getAttrOfType<ArrayAttr>(LatheDialect::kChecksAttr);
  if (!noted)
    return;
  using Kind = DimCheck::Kind;
  for (auto row : noted.getAsRange<ArrayAttr>()) {
    auto text = [&](unsigned k) { return cast<StringAttr>(row[k]).getValue(); };
    DimCheck check = {Kind::Equal, parseDim(text(0)), parseDim(text(2)),
                      text(3).str()};
    for (Kind kind : {Kind::LessEqual, Kind::Divides})
      if (text(1) == getName(kind))
        check.kind = kind;
    if (check.lhs && check.rhs && isOverInputs(check))
      require(std::move(check));
  }
}
