//===- IndexExprCodegen.cpp - index expressions as operations -------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Lower/IndexExprCodegen.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/MapVector.h"

using namespace mlir;
using namespace lathe;

/// One summand of an integer: coefficient * product of integral atoms.
struct IndexExprCodegen::IntegerTerm {
  int64_t coef;
  SmallVector<Atom> atoms;
};

IndexExprCodegen::IndexExprCodegen(ImplicitLocOpBuilder &builder, DimFn dims,
                                   ValueRange coords, Extents extents,
                                   ReadFn read, Type realType)
    : builder(builder), dims(std::move(dims)), coords(coords), extents(extents),
      read(std::move(read)),
      realType(realType ? realType : builder.getF32Type()) {}

//===----------------------------------------------------------------------===//
// Small forms
//===----------------------------------------------------------------------===//

Value IndexExprCodegen::index(int64_t value) {
  return arith::ConstantIndexOp::create(builder, value);
}

Value IndexExprCodegen::real(double value) {
  return arith::ConstantOp::create(builder,
                                   builder.getFloatAttr(realType, value));
}

Value IndexExprCodegen::toReal(Value value) {
  if (!value)
    return {};
  Type type = value.getType();
  if (type == realType)
    return value;
  if (isa<FloatType>(type))
    return type.getIntOrFloatBitWidth() < realType.getIntOrFloatBitWidth()
               ? builder.createOrFold<arith::ExtFOp>(realType, value)
               : builder.createOrFold<arith::TruncFOp>(realType, value);
  if (type.isInteger(1))
    return builder.createOrFold<arith::UIToFPOp>(realType, value);
  if (auto constant = value.getDefiningOp<arith::ConstantIndexOp>())
    return real(static_cast<double>(constant.value()));
  Value wide =
      builder.createOrFold<arith::IndexCastOp>(builder.getI64Type(), value);
  return builder.createOrFold<arith::SIToFPOp>(realType, wide);
}

Value IndexExprCodegen::toIndex(Value value) {
  if (!value)
    return {};
  Type type = value.getType();
  if (type.isIndex())
    return value;
  if (type.isInteger(1))
    return builder.createOrFold<arith::IndexCastUIOp>(builder.getIndexType(),
                                                      value);
  // Out of range, NaN included, is not reached where the expression holds.
  Value wide = arith::FPToSIOp::create(builder, builder.getI64Type(), value);
  return builder.createOrFold<arith::IndexCastOp>(builder.getIndexType(), wide);
}

Value IndexExprCodegen::note(const Twine &name) {
  if (missing.empty())
    missing = name.str();
  return {};
}

/// `condition ? then : otherwise`, each computed only when taken.
Value IndexExprCodegen::guarded(Value condition, Type type,
                                function_ref<Value()> then,
                                function_ref<Value()> otherwise) {
  auto branch =
      scf::IfOp::create(builder, TypeRange{type}, condition, /*else=*/true);
  bool complete = true;
  auto fill = [&](Region &region, function_ref<Value()> body) {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(&region.front());
    Value value = body();
    complete &= bool(value);
    if (value)
      scf::YieldOp::create(builder, value);
  };
  fill(branch.getThenRegion(), then);
  fill(branch.getElseRegion(), otherwise);
  if (complete)
    return branch.getResult(0);
  branch->erase();
  return {};
}

//===----------------------------------------------------------------------===//
// Polynomials
//===----------------------------------------------------------------------===//

Value IndexExprCodegen::emitIntegers(ArrayRef<IntegerTerm> terms) {
  Value sum;
  // Positive summands first: `a - b` needs no negation.
  SmallVector<const IntegerTerm *> order;
  for (bool positive : {true, false})
    for (const IntegerTerm &term : terms)
      if ((term.coef > 0) == positive)
        order.push_back(&term);
  for (const IntegerTerm *term : order) {
    Value product;
    for (Atom atom : term->atoms) {
      Value value = emitInteger(atom);
      if (!value)
        return {};
      product =
          product ? builder.createOrFold<arith::MulIOp>(product, value) : value;
    }
    bool subtract = sum && product && term->coef < 0;
    int64_t coef = subtract ? -term->coef : term->coef;
    if (!product)
      product = index(coef);
    else if (coef != 1)
      product = builder.createOrFold<arith::MulIOp>(product, index(coef));
    if (!sum)
      sum = product;
    else if (subtract)
      sum = builder.createOrFold<arith::SubIOp>(sum, product);
    else
      sum = builder.createOrFold<arith::AddIOp>(sum, product);
  }
  return sum ? sum : index(0);
}

Value IndexExprCodegen::emitIndex(Poly p) {
  if (!p)
    return note("an unknown extent");
  SmallVector<IntegerTerm> terms;
  for (const Term &term : p.terms()) {
    if (!term.coef.isInteger())
      return toIndex(emitReal(p));
    for (Atom atom : term.atoms)
      if (!atom.isIntegral())
        return toIndex(emitReal(p));
    terms.push_back({term.coef.asInteger(), SmallVector<Atom>(term.atoms)});
  }
  return emitIntegers(terms);
}

Value IndexExprCodegen::emitReal(Poly p) {
  if (!p)
    return note("an unknown element");
  if (p.isIntegral())
    return toReal(emitIndex(p));

  // Summands that share their real factors are one product: the polynomial
  // holds `(past + i1) * f` multiplied out.
  struct Group {
    SmallVector<Atom> atoms;
    Number coef;
    SmallVector<IntegerTerm> integers;
  };
  SmallVector<Group> groups;
  for (const Term &term : p.terms()) {
    SmallVector<Atom> reals, integers;
    for (Atom atom : term.atoms)
      (atom.isIntegral() ? integers : reals).push_back(atom);
    bool integerCoef = term.coef.isInteger();
    Number coef = integerCoef ? Number(1) : term.coef;
    IntegerTerm integer{integerCoef ? term.coef.asInteger() : 1, integers};
    auto *known = llvm::find_if(groups, [&](const Group &group) {
      return group.atoms == reals && group.coef == coef;
    });
    if (known == groups.end()) {
      groups.push_back({reals, coef, {}});
      known = std::prev(groups.end());
    }
    known->integers.push_back(integer);
  }

  Value sum;
  for (const Group &group : groups) {
    Value product;
    auto multiply = [&](Value factor) {
      product = product ? builder.createOrFold<arith::MulFOp>(product, factor)
                        : factor;
    };
    bool one = group.integers.size() == 1 && group.integers[0].coef == 1 &&
               group.integers[0].atoms.empty();
    if (!one || (group.atoms.empty() && group.coef.isOne())) {
      Value integer = toReal(emitIntegers(group.integers));
      if (!integer)
        return {};
      multiply(integer);
    }
    for (Atom atom : group.atoms) {
      Value factor = emitReal(atom);
      if (!factor)
        return {};
      multiply(factor);
    }
    if (!group.coef.isOne())
      multiply(real(group.coef.asDouble()));
    sum = sum ? builder.createOrFold<arith::AddFOp>(sum, product) : product;
  }
  return sum;
}

//===----------------------------------------------------------------------===//
// Atoms
//===----------------------------------------------------------------------===//

Value IndexExprCodegen::emitInteger(Atom atom) {
  switch (atom.kind()) {
  case AtomKind::Symbol: {
    Value value = dims ? dims(atom.name()) : Value();
    return value ? value : note(atom.name());
  }
  case AtomKind::Coord:
    if (atom.index() < coords.size())
      return coords[atom.index()];
    return note("i" + Twine(atom.index()));
  case AtomKind::BoundVar:
    if (Value value = boundVars.lookup(atom.index()))
      return value;
    return note("t" + Twine(atom.index()));
  case AtomKind::Read:
    return toIndex(emitRead(atom));
  case AtomKind::FloorDiv:
  case AtomKind::Mod:
    return emitDivision(atom);
  case AtomKind::Min:
  case AtomKind::Max:
    return emitExtremum(atom, /*real=*/false);
  case AtomKind::Abs: {
    Value value = emitIndex(atom.operands()[0]);
    if (!value)
      return {};
    Value negated = arith::SubIOp::create(builder, index(0), value);
    return arith::MaxSIOp::create(builder, value, negated);
  }
  case AtomKind::Select:
    return emitSelect(atom, /*real=*/false);
  case AtomKind::Sum:
    return emitSum(atom, /*real=*/false);
  case AtomKind::Function:
    return toIndex(emitFunction(atom));
  }
  llvm_unreachable("all kinds are handled");
}

Value IndexExprCodegen::emitReal(Atom atom) {
  switch (atom.kind()) {
  case AtomKind::Read:
    return toReal(emitRead(atom));
  case AtomKind::Min:
  case AtomKind::Max:
    return emitExtremum(atom, /*real=*/true);
  case AtomKind::Abs: {
    Value value = emitReal(atom.operands()[0]);
    return value ? Value(math::AbsFOp::create(builder, value)) : Value();
  }
  case AtomKind::Select:
    return emitSelect(atom, /*real=*/true);
  case AtomKind::Sum:
    return emitSum(atom, /*real=*/true);
  case AtomKind::Function:
    return toReal(emitFunction(atom));
  default:
    return toReal(emitInteger(atom));
  }
}

Value IndexExprCodegen::emitRead(Atom atom) {
  SmallVector<Value> position;
  for (Poly p : atom.operands()) {
    Value value = emitIndex(p);
    if (!value)
      return {};
    position.push_back(value);
  }
  Value value = read ? read(builder, atom, position) : Value();
  return value ? value : note("read " + Twine(atom.index()));
}

Value IndexExprCodegen::emitDivision(Atom atom) {
  Poly p = atom.operands()[0], q = atom.operands()[1];
  Value dividend = emitIndex(p), divisor = emitIndex(q);
  if (!dividend || !divisor)
    return {};
  if (atom.kind() == AtomKind::FloorDiv)
    return builder.createOrFold<arith::DivUIOp>(dividend, divisor);
  if (p.getContext().isNonNegative(p, extents))
    return builder.createOrFold<arith::RemUIOp>(dividend, divisor);
  Value rest = arith::RemSIOp::create(builder, dividend, divisor);
  Value negative =
      arith::CmpIOp::create(builder, arith::CmpIPredicate::slt, rest, index(0));
  Value raised = arith::AddIOp::create(builder, rest, divisor);
  return arith::SelectOp::create(builder, negative, raised, rest);
}

Value IndexExprCodegen::emitExtremum(Atom atom, bool real) {
  bool isMin = atom.kind() == AtomKind::Min;
  Value result;
  for (Poly p : atom.operands()) {
    Value value = real ? emitReal(p) : emitIndex(p);
    if (!value)
      return {};
    if (!result)
      result = value;
    else if (real)
      result = isMin ? Value(arith::MinimumFOp::create(builder, result, value))
                     : Value(arith::MaximumFOp::create(builder, result, value));
    else
      result = isMin ? builder.createOrFold<arith::MinSIOp>(result, value)
                     : builder.createOrFold<arith::MaxSIOp>(result, value);
  }
  return result;
}

Value IndexExprCodegen::emitSelect(Atom atom, bool real) {
  Value condition = emit(atom.cond());
  if (!condition)
    return {};
  Poly a = atom.operands()[0], b = atom.operands()[1];
  auto arm = [&](Poly p) { return real ? emitReal(p) : emitIndex(p); };
  if (a.usesReads() || b.usesReads())
    return guarded(
        condition, real ? realType : Type(builder.getIndexType()),
        [&] { return arm(a); }, [&] { return arm(b); });
  Value x = arm(a), y = arm(b);
  if (!x || !y)
    return {};
  return builder.createOrFold<arith::SelectOp>(condition, x, y);
}

Value IndexExprCodegen::emitSum(Atom atom, bool real) {
  Poly body = atom.operands()[0], upper = atom.operands()[1];
  Value last = emitIndex(upper);
  if (!last)
    return {};
  Value end = arith::AddIOp::create(builder, last, index(1));
  Value zero = real ? this->real(0.0) : index(0);
  auto loop = scf::ForOp::create(builder, index(0), end, index(1), zero);
  bool complete = true;
  {
    OpBuilder::InsertionGuard guard(builder);
    builder.setInsertionPointToStart(loop.getBody());
    Value &variable = boundVars[atom.index()];
    Value outer = variable;
    variable = loop.getInductionVar();
    Value value = real ? emitReal(body) : emitIndex(body);
    boundVars[atom.index()] = outer;
    complete = bool(value);
    if (complete) {
      Value sum = loop.getRegionIterArg(0);
      sum = real ? Value(arith::AddFOp::create(builder, sum, value))
                 : Value(arith::AddIOp::create(builder, sum, value));
      scf::YieldOp::create(builder, sum);
    }
  }
  if (complete)
    return loop.getResult(0);
  loop->erase();
  return {};
}

Value IndexExprCodegen::emitFunction(Atom atom) {
  Func func = atom.func();
  if (func == Func::TruncDiv) {
    Value p = emitIndex(atom.operands()[0]), q = emitIndex(atom.operands()[1]);
    if (!p || !q)
      return {};
    return arith::DivSIOp::create(builder, p, q);
  }
  SmallVector<Value, 2> x;
  for (Poly p : atom.operands()) {
    Value value = emitReal(p);
    if (!value)
      return {};
    x.push_back(value);
  }
  switch (func) {
  case Func::Log:
    return math::LogOp::create(builder, x[0]);
  case Func::Cos:
    return math::CosOp::create(builder, x[0]);
  case Func::Sin:
    return math::SinOp::create(builder, x[0]);
  case Func::Exp:
    return math::ExpOp::create(builder, x[0]);
  case Func::Sqrt:
    return math::SqrtOp::create(builder, x[0]);
  case Func::Tanh:
    return math::TanhOp::create(builder, x[0]);
  case Func::Sigmoid: {
    Value negated = arith::NegFOp::create(builder, x[0]);
    Value power = math::ExpOp::create(builder, negated);
    Value sum = arith::AddFOp::create(builder, real(1.0), power);
    return arith::DivFOp::create(builder, real(1.0), sum);
  }
  case Func::Pow:
    return math::PowFOp::create(builder, x[0], x[1]);
  case Func::Div:
    return arith::DivFOp::create(builder, x[0], x[1]);
  case Func::Recip:
    return arith::DivFOp::create(builder, real(1.0), x[0]);
  case Func::Trunc:
    return math::TruncOp::create(builder, x[0]);
  case Func::Floor:
    return math::FloorOp::create(builder, x[0]);
  case Func::Ceil:
    return math::CeilOp::create(builder, x[0]);
  case Func::TruncDiv:
    break;
  }
  llvm_unreachable("handled above");
}

//===----------------------------------------------------------------------===//
// Predicates
//===----------------------------------------------------------------------===//

Value IndexExprCodegen::emitJunction(Pred p) {
  bool isAnd = p.kind() == PredKind::And;
  SmallVector<Pred> plain, reading;
  for (Pred operand : p.operands())
    (operand.usesReads() ? reading : plain).push_back(operand);

  auto combine = [&](ArrayRef<Pred> preds) -> Value {
    Value result;
    for (Pred operand : preds) {
      Value value = emit(operand);
      if (!value)
        return {};
      if (!result)
        result = value;
      else if (isAnd)
        result = builder.createOrFold<arith::AndIOp>(result, value);
      else
        result = builder.createOrFold<arith::OrIOp>(result, value);
    }
    return result;
  };
  if (plain.empty() || reading.empty())
    return combine(p.operands());

  // The plain conditions may be what keeps a read in range.
  Value first = combine(plain);
  if (!first)
    return {};
  auto settled = [&]() -> Value {
    return arith::ConstantIntOp::create(builder, !isAnd, 1);
  };
  auto rest = [&] { return combine(reading); };
  if (isAnd)
    return guarded(first, builder.getI1Type(), rest, settled);
  return guarded(first, builder.getI1Type(), settled, rest);
}

Value IndexExprCodegen::emit(Pred p) {
  if (!p)
    return note("an unknown condition");
  switch (p.kind()) {
  case PredKind::True:
  case PredKind::False:
    return arith::ConstantIntOp::create(builder, p.isTrue(), 1);
  case PredKind::NonNeg:
  case PredKind::Zero: {
    bool isZero = p.kind() == PredKind::Zero;
    if (p.poly().isIntegral()) {
      Value value = emitIndex(p.poly());
      if (!value)
        return {};
      return builder.createOrFold<arith::CmpIOp>(
          isZero ? arith::CmpIPredicate::eq : arith::CmpIPredicate::sge, value,
          index(0));
    }
    Value value = emitReal(p.poly());
    if (!value)
      return {};
    return builder.createOrFold<arith::CmpFOp>(
        isZero ? arith::CmpFPredicate::OEQ : arith::CmpFPredicate::OGE, value,
        real(0.0));
  }
  case PredKind::And:
  case PredKind::Or:
    return emitJunction(p);
  case PredKind::Not: {
    Value value = emit(p.operands()[0]);
    if (!value)
      return {};
    Value one = arith::ConstantIntOp::create(builder, 1, 1);
    return builder.createOrFold<arith::XOrIOp>(value, one);
  }
  }
  llvm_unreachable("all kinds are handled");
}
