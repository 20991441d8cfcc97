//===- Elementwise.cpp - casts, arithmetic, comparison, logic -------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Engine.h"
#include "llvm/ADT/STLExtras.h"

using namespace lathe;
using namespace lathe::shapes;
using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

/// What exporters write for minus infinity in a mask, or less.
static constexpr double kMaskedOut = -1e4;

namespace {
using UnaryFn = llvm::function_ref<IndexExpr(IndexExpr, Extents)>;
using BinaryFn = llvm::function_ref<IndexExpr(IndexExpr, IndexExpr, Extents)>;
} // namespace

/// Whether every value of `form` fits the integer type, so that no arithmetic
/// of the file wraps around. Signed 32 and 64 bits hold shape arithmetic.
static bool fitsType(Node &n, Poly form, Type type, Extents extents) {
  auto integer = dyn_cast<IntegerType>(type);
  if (!form || !integer)
    return bool(form);
  unsigned width = integer.getWidth();
  if (!integer.isUnsigned() && width >= 32)
    return true;
  if (!n.context.isNonNegative(form, extents))
    return false;
  if (width >= 32)
    return true;
  auto upper = n.context.upperBound(form, extents);
  std::optional<int64_t> limit = upper ? upper.getConstantInt() : std::nullopt;
  return limit && *limit < int64_t(1) << (width - 1);
}

/// The same for the result of a node.
static bool fitsResult(Node &n, IndexExpr e, Extents extents) {
  return e.isPred() ||
         fitsType(n, e.poly(),
                  getElementTypeOrSelf(n.op->getResult(0).getType()), extents);
}

/// Applies `fn` to every element. `linear` operations go through activations,
/// too; others only where everything is indexy.
static void mapUnary(Node &n, UnaryFn fn, bool linear = false) {
  if (!n.ranked(0))
    return;
  const ValueInfo &x = n.in(0);
  if (!linear && !n.engine.isIndexy(x))
    return n.setLeaf(x.shape);
  auto apply = [&](IndexExpr e, Extents extents) -> IndexExpr {
    IndexExpr result = e ? fn(e, extents) : e;
    return result && fitsResult(n, result, extents) ? result : IndexExpr();
  };
  IndexExpr form = apply(x.form, *x.shape);
  if (x.kind != ValueInfo::FormKind::List)
    return n.setForm(*x.shape, form);
  SmallVector<IndexExpr> list;
  for (IndexExpr e : x.list)
    list.push_back(apply(e, {}));
  n.setList(*x.shape, list);
  // A small table keeps its form, too.
  const ValueInfo *result = n.engine.lookup(n.op->getResult(0));
  if (!form || !result || result->kind != ValueInfo::FormKind::List)
    return;
  ValueInfo both = *result;
  both.form = form;
  n.setInfo(std::move(both));
}

/// Applies `fn` to two broadcast values. Nothing if there is no closed form.
static std::optional<ValueInfo> mapBinary(Node &n, const ValueInfo &a,
                                          const ValueInfo &b,
                                          const SymbolicShape &shape,
                                          BinaryFn fn, bool linear = false) {
  ValueInfo result;
  result.elementClass = n.resultClass();
  result.shape = shape;
  bool isBoolean = result.elementClass == ElementClass::Boolean;
  auto fits = [&](IndexExpr e, Extents extents) {
    return e && e.isPred() == isBoolean && fitsResult(n, e, extents);
  };
  if (a.rank() <= 1 && b.rank() <= 1) {
    auto left = n.engine.listOf(a), right = n.engine.listOf(b);
    size_t length =
        left && right ? (left->size() == 1 ? right->size() : left->size()) : 0;
    if (length != 0 && (left->size() == 1 || left->size() == length) &&
        (right->size() == 1 || right->size() == length)) {
      for (size_t k = 0; k != length; ++k) {
        IndexExpr e = fn((*left)[left->size() == 1 ? 0 : k],
                         (*right)[right->size() == 1 ? 0 : k], {});
        if (!fits(e, {}))
          break;
        result.list.push_back(e);
      }
      if (result.list.size() == length) {
        result.kind = ValueInfo::FormKind::List;
        return result;
      }
    }
  }
  bool closed = linear || (n.engine.isIndexy(a) && n.engine.isIndexy(b));
  if (!closed || llvm::is_contained(shape, Poly()))
    return std::nullopt;
  IndexExpr left = n.engine.aligned(a, shape);
  IndexExpr right = n.engine.aligned(b, shape);
  if (!left || !right)
    return std::nullopt;
  result.list.clear();
  result.form = fn(left, right, shape);
  if (!fits(result.form, shape))
    return std::nullopt;
  result.kind =
      isBoolean ? ValueInfo::FormKind::Pred : ValueInfo::FormKind::Poly;
  return result;
}

static void mapBinary(Node &n, BinaryFn fn, bool linear = false) {
  if (!n.ranked(0) || !n.ranked(1))
    return;
  OptionalShape shape = n.engine.broadcast({n.input(0), n.input(1)}, n.op);
  if (!shape)
    return;
  if (auto info = mapBinary(n, n.in(0), n.in(1), *shape, fn, linear))
    return n.setInfo(std::move(*info));
  n.setLeaf(shape);
}

//===----------------------------------------------------------------------===//
// Casts
//===----------------------------------------------------------------------===//

static void transferCast(Node &n) {
  if (!n.ranked(0))
    return;
  const ValueInfo &x = n.in(0);
  ElementClass from = x.elementClass, to = n.resultClass();
  if (from == ElementClass::Other || to == ElementClass::Other)
    return n.setLeaf(x.shape);
  Type type = getElementTypeOrSelf(n.op->getResult(0).getType());
  // What is narrower than half precision is a quantisation.
  if (to == ElementClass::Float && type.getIntOrFloatBitWidth() < 16)
    return n.setLeaf(x.shape);
  bool linear = from == ElementClass::Float && to == ElementClass::Float;
  auto cast = [&](IndexExpr e, Extents extents) -> IndexExpr {
    if (to == ElementClass::Boolean)
      return e.isPred() ? e : IndexExpr(n.context.toBoolean(e.poly(), extents));
    if (e.isPred())
      return n.context.toNumber(e.pred());
    if (to == ElementClass::Float)
      return e;
    return n.context.fn(Func::Trunc, e.poly());
  };
  mapUnary(n, cast, linear);
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

static std::optional<Number> finiteConstant(Node &n, unsigned k) {
  std::optional<Number> value = n.engine.uniformConstant(n.in(k));
  if (!value || value->isInfinite() || value->isNaN())
    return std::nullopt;
  return value;
}

static bool isUniform(Node &n, unsigned k, int64_t wanted) {
  return n.engine.uniformConstant(n.in(k)) == Number(wanted);
}

static void transferAdd(Node &n) {
  if (!n.ranked(0) || !n.ranked(1))
    return;
  bool linear = isUniform(n, 0, 0) || isUniform(n, 1, 0);
  mapBinary(
      n,
      [&](IndexExpr a, IndexExpr b, Extents extents) -> IndexExpr {
        return n.context.lift(
            [&](Poly p, Poly q) { return n.context.add(p, q); }, a.poly(),
            b.poly(), extents);
      },
      linear);
}

static void transferSub(Node &n) {
  if (!n.ranked(0) || !n.ranked(1))
    return;
  mapBinary(
      n,
      [&](IndexExpr a, IndexExpr b, Extents extents) -> IndexExpr {
        return n.context.lift(
            [&](Poly p, Poly q) { return n.context.sub(p, q); }, a.poly(),
            b.poly(), extents);
      },
      isUniform(n, 1, 0));
}

/// (1 - m) * NEG, m a product of reads and selections: `sel(m != 0, 0, NEG)`,
/// if every factor is 0 or 1. Must happen before NEG meets other terms, which
/// it would absorb. Null if it is not of this kind.
static Poly invertedMask(Node &n, Poly p, Poly factor) {
  std::optional<Number> value = factor.getConstant();
  if (!value || value->isInfinite() || value->asDouble() > kMaskedOut ||
      p.terms().size() != 2 || p.getConstantTerm() != Number(1))
    return {};
  const Term &term = p.terms()[1];
  auto isFlag = [](Atom atom) {
    return atom.kind() == AtomKind::Read || atom.kind() == AtomKind::Select;
  };
  if (term.coef != Number(-1) || !llvm::all_of(term.atoms, isFlag))
    return {};
  Poly mask = n.context.one() - p;
  for (Atom atom : term.atoms)
    if (atom.kind() == AtomKind::Read)
      n.engine.assume("every element of " +
                      describe(n.engine.valueOfRead(atom.index())) +
                      " is 0 or 1");
  return n.context.select(n.context.toBoolean(mask), n.context.zero(), factor);
}

static void transferMul(Node &n) {
  if (!n.ranked(0) || !n.ranked(1))
    return;
  bool linear = finiteConstant(n, 0) || finiteConstant(n, 1);
  auto multiply = [&](Poly p, Poly q) -> Poly {
    if (!p || !q)
      return {};
    if (Poly mask = invertedMask(n, p, q))
      return mask;
    if (Poly mask = invertedMask(n, q, p))
      return mask;
    return n.context.mul(p, q);
  };
  mapBinary(
      n,
      [&](IndexExpr a, IndexExpr b, Extents extents) -> IndexExpr {
        return n.context.lift(multiply, a.poly(), b.poly(), extents);
      },
      linear);
}

static void transferDiv(Node &n) {
  if (!n.ranked(0) || !n.ranked(1))
    return;
  if (n.resultClass() != ElementClass::Float)
    return mapBinary(
        n, [&](IndexExpr a, IndexExpr b, Extents extents) -> IndexExpr {
          // A division that data can make impossible is reported by its node.
          Poly divisor = b.poly();
          if (!divisor || divisor.isConstant(0) ||
              (divisor.usesReads() &&
               !n.context.isNonNegative(divisor - 1, extents)))
            return {};
          return n.context.truncDiv(a.poly(), b.poly(), extents);
        });
  std::optional<Number> divisor = finiteConstant(n, 1);
  bool linear = divisor && !divisor->isZero();
  auto divide = [&](Poly p, Poly q) -> Poly {
    std::optional<Number> value = q ? q.getConstant() : std::nullopt;
    if (p && value && !value->isZero() && !value->isInfinite())
      return n.context.scale(p, Number::fromDouble(1 / value->asDouble()));
    return n.context.fn(Func::Div, {p, q});
  };
  mapBinary(
      n,
      [&](IndexExpr a, IndexExpr b, Extents extents) -> IndexExpr {
        return n.context.lift(divide, a.poly(), b.poly(), extents);
      },
      linear);
}

static void transferMod(Node &n) {
  bool truncates = n.op.getInt("fmod", 0) != 0;
  mapBinary(n, [&](IndexExpr a, IndexExpr b, Extents extents) -> IndexExpr {
    Poly p = a.poly(), q = b.poly();
    if (!p || !q || !p.isIntegral() || !n.context.isNonNegative(q - 1, extents))
      return {};
    if (truncates && !n.context.isNonNegative(p, extents))
      return {};
    return n.context.mod(p, q, extents);
  });
}

static void transferPow(Node &n) {
  if (!n.ranked(0) || !n.ranked(1))
    return;
  bool isFloat = n.resultClass() == ElementClass::Float;
  bool constantSide =
      n.engine.uniformConstant(n.in(0)) || n.engine.uniformConstant(n.in(1));
  mapBinary(n, [&](IndexExpr a, IndexExpr b, Extents) -> IndexExpr {
    Poly p = a.poly(), q = b.poly();
    if (!p || !q || !constantSide)
      return {};
    if (q.isConstant(1))
      return p;
    if (q.isConstant(2))
      return n.context.mul(p, p);
    Poly power = n.context.fn(Func::Pow, {p, q});
    return isFloat || (power && power.isConstant()) ? power : Poly();
  });
}

static void transferNeg(Node &n) {
  mapUnary(
      n,
      [&](IndexExpr e, Extents) -> IndexExpr {
        return n.context.neg(e.poly());
      },
      /*linear=*/true);
}

static void transferAbs(Node &n) {
  mapUnary(n, [&](IndexExpr e, Extents extents) -> IndexExpr {
    return n.context.abs(e.poly(), extents);
  });
}

/// A function of one number; it goes into the constant arms of a selection.
template <Func func>
static void transferFunction(Node &n) {
  mapUnary(n, [&](IndexExpr e, Extents) -> IndexExpr {
    Poly p = e.poly();
    Atom select = p ? p.getAtom() : Atom();
    if (!select || select.kind() != AtomKind::Select ||
        !select.operands()[0].isConstant() ||
        !select.operands()[1].isConstant())
      return n.context.fn(func, p);
    return n.context.select(select.cond(),
                            n.context.fn(func, select.operands()[0]),
                            n.context.fn(func, select.operands()[1]));
  });
}

/// The smaller or larger of all inputs.
template <bool isMin>
static void transferExtremum(Node &n) {
  if (n.numInputs() == 0 || !n.has(0))
    return;
  SmallVector<const ValueInfo *> inputs;
  for (unsigned k = 0; k != n.numInputs(); ++k)
    inputs.push_back(n.input(k));
  OptionalShape shape = n.engine.broadcast(inputs, n.op);
  if (!shape)
    return;
  if (inputs.size() == 1)
    return n.setCopy(n.in(0));
  auto fn = [&](IndexExpr a, IndexExpr b, Extents extents) -> IndexExpr {
    return isMin ? n.context.min(a.poly(), b.poly(), extents)
                 : n.context.max(a.poly(), b.poly(), extents);
  };
  ValueInfo result = n.in(0);
  SymbolicShape partial = *result.shape;
  for (const ValueInfo *input : ArrayRef(inputs).drop_front()) {
    // The equalities were noted above.
    partial = n.engine.broadcast(partial, *input->shape, n.op);
    std::optional<ValueInfo> next = mapBinary(n, result, *input, partial, fn);
    if (!next)
      return n.setLeaf(shape);
    result = *next;
  }
  n.setInfo(std::move(result));
}

static void transferClip(Node &n) {
  if (!n.ranked(0))
    return;
  const ValueInfo &x = n.in(0);
  std::optional<Number> bounds[2];
  for (unsigned k : {0, 1}) {
    if (n.has(k + 1)) {
      bounds[k] = n.engine.uniformConstant(n.in(k + 1));
      if (!bounds[k])
        return n.setLeaf(x.shape);
    } else if (auto attr =
                   n.op->getAttrOfType<FloatAttr>(k == 0 ? "min" : "max")) {
      bounds[k] = Number::fromDouble(attr.getValueAsDouble());
    }
  }
  mapUnary(n, [&](IndexExpr e, Extents extents) -> IndexExpr {
    Poly p = e.poly();
    if (bounds[0])
      p = n.context.max(p, n.context.constant(*bounds[0]), extents);
    if (bounds[1])
      p = n.context.min(p, n.context.constant(*bounds[1]), extents);
    return p;
  });
}

//===----------------------------------------------------------------------===//
// Comparison and logic
//===----------------------------------------------------------------------===//

enum class Comparison { Less, LessOrEqual, Greater, GreaterOrEqual, Equal };

template <Comparison kind>
static void transferComparison(Node &n) {
  mapBinary(n, [&](IndexExpr a, IndexExpr b, Extents extents) -> IndexExpr {
    IndexExprContext &context = n.context;
    Poly p = a.isPred() ? context.toNumber(a.pred()) : a.poly();
    Poly q = b.isPred() ? context.toNumber(b.pred()) : b.poly();
    Poly difference = p && q ? p - q : Poly();
    if (!difference)
      return {};
    switch (kind) {
    case Comparison::Equal:
      return context.isZero(difference, extents);
    case Comparison::LessOrEqual:
      return context.nonNeg(-difference, extents);
    case Comparison::GreaterOrEqual:
      return context.nonNeg(difference, extents);
    case Comparison::Less:
    case Comparison::Greater:
      break;
    }
    // The negation of >= is < only where there is no NaN.
    if (!difference.isIntegral() && !difference.isConstant())
      return {};
    if (std::optional<Number> value = difference.getConstant())
      return context.boolean(kind == Comparison::Less ? *value < Number(0)
                                                      : Number(0) < *value);
    return context.nonNeg(
        (kind == Comparison::Less ? -difference : difference) - 1, extents);
  });
}

static void transferAnd(Node &n) {
  mapBinary(n, [&](IndexExpr a, IndexExpr b, Extents) -> IndexExpr {
    return n.context.conj(a.pred(), b.pred());
  });
}

static void transferOr(Node &n) {
  mapBinary(n, [&](IndexExpr a, IndexExpr b, Extents) -> IndexExpr {
    return n.context.disj(a.pred(), b.pred());
  });
}

static void transferXor(Node &n) {
  mapBinary(n, [&](IndexExpr a, IndexExpr b, Extents) -> IndexExpr {
    return n.context.choose(a.pred(), n.context.negate(b.pred()), b.pred());
  });
}

static void transferNot(Node &n) {
  mapUnary(n, [&](IndexExpr e, Extents extents) -> IndexExpr {
    return n.context.negate(e.pred(), extents);
  });
}

static void transferWhere(Node &n) {
  if (!n.ranked(0) || !n.ranked(1) || !n.ranked(2))
    return;
  const ValueInfo &cond = n.in(0), &a = n.in(1), &b = n.in(2);
  OptionalShape shape = n.engine.broadcast({&cond, &a, &b}, n.op);
  if (!shape)
    return;
  if (shape->size() <= 1) {
    auto conds = n.engine.listOf(cond), as = n.engine.listOf(a),
         bs = n.engine.listOf(b);
    if (conds && as && bs) {
      size_t length = std::max({conds->size(), as->size(), bs->size()});
      auto element = [&](ArrayRef<IndexExpr> list, size_t k) {
        return list.size() == 1  ? list[0]
               : k < list.size() ? list[k]
                                 : IndexExpr();
      };
      SmallVector<IndexExpr> list;
      for (size_t k = 0; k != length; ++k)
        list.push_back(n.engine.choose(element(*conds, k).pred(),
                                       element(*as, k), element(*bs, k)));
      if (!llvm::is_contained(list, IndexExpr()))
        return n.setList(*shape, list);
    }
  }
  bool closed = n.engine.isIndexy(cond) && n.engine.isIndexy(a) &&
                n.engine.isIndexy(b) && !llvm::is_contained(*shape, Poly());
  if (!closed)
    return n.setLeaf(shape);
  n.setForm(*shape, n.engine.choose(n.engine.aligned(cond, *shape).pred(),
                                    n.engine.aligned(a, *shape),
                                    n.engine.aligned(b, *shape), *shape));
}

/// x ascending from its first element: sum over the axis up to the coordinate.
static void transferCumSum(Node &n) {
  if (!n.ranked(0) || !n.has(1))
    return;
  const ValueInfo &x = n.in(0);
  auto axes = n.engine.intsOf(n.in(1));
  if (!axes || axes->size() != 1 || n.op.getInt("reverse", 0) ||
      n.op.getInt("exclusive", 0) || !n.engine.isIndexy(x))
    return n.setLeaf(x.shape);
  std::optional<unsigned> axis = wrapAxis((*axes)[0], x.rank());
  Poly form = n.engine.formOf(x).poly();
  if (!axis || !form)
    return n.setLeaf(x.shape);
  if ((*x.shape)[*axis].isConstant(1))
    return n.setCopy(x);
  IndexExprContext &context = n.context;
  unsigned variable = context.freshBoundVar(form);
  SmallVector<Poly> index(x.rank());
  index[*axis] = context.boundVar(variable);
  Poly body = context.substitute(form, index, *x.shape);
  n.setForm(*x.shape, context.sum(variable, context.coord(*axis), body));
}

void shapes::registerElementwise(TransferTable &table) {
  table.add({"Cast", "CastLike"}, transferCast);
  table.add("Add", transferAdd);
  table.add("Sub", transferSub);
  table.add("Mul", transferMul);
  table.add("Div", transferDiv);
  table.add("Mod", transferMod);
  table.add("Pow", transferPow);
  table.add("Neg", transferNeg);
  table.add("Abs", transferAbs);
  table.add("Exp", transferFunction<Func::Exp>);
  table.add("Log", transferFunction<Func::Log>);
  table.add("Sqrt", transferFunction<Func::Sqrt>);
  table.add("Cos", transferFunction<Func::Cos>);
  table.add("Sin", transferFunction<Func::Sin>);
  table.add("Tanh", transferFunction<Func::Tanh>);
  table.add("Sigmoid", transferFunction<Func::Sigmoid>);
  table.add("Reciprocal", transferFunction<Func::Recip>);
  table.add("Floor", transferFunction<Func::Floor>);
  table.add("Ceil", transferFunction<Func::Ceil>);
  table.add("Min", transferExtremum<true>);
  table.add("Max", transferExtremum<false>);
  table.add("Clip", transferClip);
  table.add("Less", transferComparison<Comparison::Less>);
  table.add("LessOrEqual", transferComparison<Comparison::LessOrEqual>);
  table.add("Greater", transferComparison<Comparison::Greater>);
  table.add("GreaterOrEqual", transferComparison<Comparison::GreaterOrEqual>);
  table.add("Equal", transferComparison<Comparison::Equal>);
  table.add("And", transferAnd);
  table.add("Or", transferOr);
  table.add("Xor", transferXor);
  table.add("Not", transferNot);
  table.add("Where", transferWhere);
  table.add("CumSum", transferCumSum);
}
