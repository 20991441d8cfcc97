//===- Evaluate.cpp - values of index expressions -----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/IndexExpr/Evaluate.h"
#include "Storage.h"
#include <cmath>

using namespace lathe;
using namespace lathe::detail;
using llvm::SmallVector;

std::optional<Number> Evaluator::operator()(Poly p) {
  if (!p)
    return std::nullopt;
  Number result(0);
  for (const Term &term : p.terms()) {
    std::optional<Number> value = term.coef;
    for (Atom atom : term.atoms) {
      std::optional<Number> factor = evaluate(atom);
      if (!factor)
        return std::nullopt;
      value = Number::mul(*value, *factor);
      if (!value)
        return std::nullopt;
    }
    std::optional<Number> sum = Number::add(result, *value);
    if (!sum)
      return std::nullopt;
    result = *sum;
  }
  return result;
}

std::optional<bool> Evaluator::operator()(Pred p) {
  if (!p)
    return std::nullopt;
  switch (p.kind()) {
  case PredKind::True:
    return true;
  case PredKind::False:
    return false;
  case PredKind::NonNeg:
  case PredKind::Zero: {
    std::optional<Number> value = (*this)(p.poly());
    if (!value)
      return std::nullopt;
    if (p.kind() == PredKind::Zero)
      return value->isZero();
    return !value->isNegative() && !value->isNaN();
  }
  case PredKind::Not: {
    std::optional<bool> value = (*this)(p.operands()[0]);
    return value ? std::optional<bool>(!*value) : std::nullopt;
  }
  case PredKind::And:
  case PredKind::Or:
    for (Pred operand : p.operands()) {
      std::optional<bool> value = (*this)(operand);
      if (!value)
        return std::nullopt;
      if (*value == (p.kind() == PredKind::Or))
        return *value;
    }
    return p.kind() == PredKind::And;
  }
  llvm_unreachable("all predicate kinds are covered");
}

std::optional<Number> Evaluator::evaluate(Atom atom) {
  switch (atom.kind()) {
  case AtomKind::Symbol: {
    std::optional<int64_t> value = dims(atom.name());
    return value ? std::optional<Number>(*value) : std::nullopt;
  }
  case AtomKind::Coord:
    if (atom.index() >= coords.size())
      return std::nullopt;
    return Number(coords[atom.index()]);
  case AtomKind::BoundVar: {
    auto it = boundVars.find(atom.index());
    return it == boundVars.end() ? std::nullopt
                                 : std::optional<Number>(it->second);
  }
  case AtomKind::Read: {
    SmallVector<int64_t, 6> position;
    for (Poly operand : atom.operands()) {
      std::optional<Number> index = (*this)(operand);
      if (!index || !index->isInteger())
        return std::nullopt;
      position.push_back(index->asInteger());
    }
    return reads ? reads(atom.index(), position) : std::nullopt;
  }
  case AtomKind::FloorDiv:
  case AtomKind::Mod: {
    std::optional<Number> p = (*this)(atom.operands()[0]);
    std::optional<Number> q = (*this)(atom.operands()[1]);
    if (!p || !q || !p->isInteger() || !q->isInteger() || q->asInteger() <= 0)
      return std::nullopt;
    return atom.kind() == AtomKind::Mod
               ? floorRemainder(p->asInteger(), q->asInteger())
               : floorDivide(p->asInteger(), q->asInteger());
  }
  case AtomKind::Min:
  case AtomKind::Max:
    return evaluateExtremum(atom);
  case AtomKind::Abs: {
    std::optional<Number> value = (*this)(atom.operands()[0]);
    return value && value->isNegative() ? Number::mul(*value, -1) : value;
  }
  case AtomKind::Select: {
    std::optional<bool> cond = (*this)(atom.cond());
    if (!cond)
      return std::nullopt;
    return (*this)(atom.operands()[*cond ? 0 : 1]);
  }
  case AtomKind::Sum:
    return evaluateSum(atom);
  case AtomKind::Function:
    return evaluateFunction(atom);
  }
  llvm_unreachable("all atom kinds are covered");
}

std::optional<Number> Evaluator::evaluateExtremum(Atom atom) {
  std::optional<Number> best;
  for (Poly operand : atom.operands()) {
    std::optional<Number> value = (*this)(operand);
    if (!value)
      return std::nullopt;
    if (!best ||
        (atom.kind() == AtomKind::Min ? *value < *best : *best < *value))
      best = value;
  }
  return best;
}

std::optional<Number> Evaluator::evaluateSum(Atom atom) {
  std::optional<Number> upper = (*this)(atom.operands()[1]);
  if (!upper || !upper->isInteger())
    return std::nullopt;
  std::optional<Number> result = Number(0);
  for (int64_t t = 0; result && t <= upper->asInteger(); ++t) {
    boundVars[atom.index()] = t;
    std::optional<Number> value = (*this)(atom.operands()[0]);
    result = value ? Number::add(*result, *value) : std::nullopt;
  }
  boundVars.erase(atom.index());
  return result;
}

/// What the rounding functions round.
static double asFloat(double value) {
  return static_cast<double>(static_cast<float>(value));
}

/// The integer with this value; like a C++ cast on x86, whatever is out of
/// range is the smallest integer.
static Number toInteger(double value) {
  constexpr double limit = 9223372036854775808.0;
  if (!(value >= -limit && value < limit))
    return INT64_MIN;
  return static_cast<int64_t>(value);
}

std::optional<Number> Evaluator::evaluateFunction(Atom atom) {
  std::optional<Number> a = (*this)(atom.operands()[0]);
  if (!a)
    return std::nullopt;
  std::optional<Number> b = Number(0);
  if (atom.operands().size() == 2)
    b = (*this)(atom.operands()[1]);
  if (!b)
    return std::nullopt;
  double x = a->asDouble(), y = b->asDouble();
  switch (atom.func()) {
  case Func::Log:
    return Number::fromDouble(std::log(x));
  case Func::Cos:
    return Number::fromDouble(std::cos(x));
  case Func::Sin:
    return Number::fromDouble(std::sin(x));
  case Func::Exp:
    return Number::fromDouble(std::exp(x));
  case Func::Sqrt:
    return Number::fromDouble(std::sqrt(x));
  case Func::Tanh:
    return Number::fromDouble(std::tanh(x));
  case Func::Sigmoid:
    return Number::fromDouble(1 / (1 + std::exp(-x)));
  case Func::Pow:
    return Number::fromDouble(std::pow(x, y));
  case Func::Div:
    return Number::fromDouble(x / y);
  case Func::Recip:
    return Number::fromDouble(1 / x);
  case Func::Trunc:
    return a->isInteger() ? *a : toInteger(asFloat(x));
  case Func::Floor:
    return a->isInteger() ? *a : Number::fromDouble(std::floor(asFloat(x)));
  case Func::Ceil:
    return a->isInteger() ? *a : Number::fromDouble(std::ceil(asFloat(x)));
  case Func::TruncDiv:
    if (!a->isInteger() || !b->isInteger() || b->isZero() ||
        (a->asInteger() == INT64_MIN && b->asInteger() == -1))
      return std::nullopt;
    return Number(a->asInteger() / b->asInteger());
  }
  llvm_unreachable("all functions are covered");
}
