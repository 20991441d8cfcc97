//===- Elementwise.cpp - arithmetic, comparison, logic and casts ----------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NodeLowering.h"

using namespace mlir;
using namespace lathe;
using Values = ArrayRef<Value>;
using Node = NodeLowering;

/// The ONNX element type of operand `i`.
static Type typeOf(Node &n, unsigned i = 0) {
  return getElementTypeOrSelf(n.op.getInputs()[i].getType());
}

static bool hasUnsigned(Node &n) { return isUnsigned(typeOf(n)); }

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

static Value divide(Node &n, Scalars &s, Values x) {
  if (isa<FloatType>(x[0].getType()))
    return s.div(x[0], x[1]);
  n.t.report(s, s.eq(x[1], s.like(x[1], 0)), /*LATHE_FAIL_DIVISION*/ 2,
             s.toIndex(x[0]));
  return s.div(x[0], x[1], hasUnsigned(n));
}

/// fmod = 0: the sign of the divisor, like Python's %.
static Value modulus(Node &n, Scalars &s, Values x) {
  bool isFloat = isa<FloatType>(x[0].getType());
  if (!isFloat)
    n.t.report(s, s.eq(x[1], s.like(x[1], 0)), /*LATHE_FAIL_DIVISION*/ 2,
               s.toIndex(x[0]));
  Value rest = s.rem(x[0], x[1], hasUnsigned(n));
  if (n.op.getInt("fmod", 0) != 0 || hasUnsigned(n))
    return rest;
  Value zero = s.like(rest, 0);
  Value differs = s.logicalXor(s.lt(rest, zero), s.lt(x[1], zero));
  Value wrong = s.logicalAnd(differs, s.ne(rest, zero));
  return s.select(wrong, s.add(rest, x[1]), rest);
}

static Value power(Node &n, Scalars &s, Values x) {
  Type base = x[0].getType(), exponent = x[1].getType();
  if (isa<FloatType>(base))
    return s.pow(x[0], isa<FloatType>(exponent)
                           ? s.toFloat(x[1], base)
                           : s.toFloat(x[1], base, isUnsigned(typeOf(n, 1))));
  if (isa<FloatType>(exponent)) {
    Type f64 = s.getF64Type();
    Value result =
        s.pow(s.toFloat(x[0], f64, hasUnsigned(n)), s.toFloat(x[1], f64));
    return s.toInteger(result, base, hasUnsigned(n));
  }
  return math::IPowIOp::create(s, x[0],
                               s.resize(x[1], base, isUnsigned(typeOf(n, 1))));
}

static Value sum(Node &, Scalars &s, Values x) {
  Value total = x[0];
  for (Value value : x.drop_front())
    total = s.add(total, value);
  return total;
}

static Value mean(Node &n, Scalars &s, Values x) {
  return s.div(sum(n, s, x), s.like(x[0], x.size()));
}

static Value maximum(Node &n, Scalars &s, Values x) {
  Value best = x[0];
  for (Value value : x.drop_front())
    best = s.max(best, value, hasUnsigned(n));
  return best;
}

static Value minimum(Node &n, Scalars &s, Values x) {
  Value best = x[0];
  for (Value value : x.drop_front())
    best = s.min(best, value, hasUnsigned(n));
  return best;
}

static Value sign(Node &n, Scalars &s, Value x) {
  Value zero = s.like(x, 0), one = s.like(x, 1);
  Value positive = s.select(s.gt(x, zero, hasUnsigned(n)), one, zero);
  if (hasUnsigned(n))
    return positive;
  return s.select(s.lt(x, zero), s.like(x, -1), positive);
}

static Value roundHalfEven(Node &, Scalars &s, Value x) {
  return s.roundEven(x);
}

/// Absent bounds do not bind. A NaN stays one.
static LogicalResult lowerClip(Node &n) {
  SmallVector<Tensor> operands = {n.in(0)};
  bool hasLow = n.has(1), hasHigh = n.has(2);
  if (hasLow)
    operands.push_back(n.in(1));
  if (hasHigh)
    operands.push_back(n.in(2));
  n.set(n.t.mapTo(n.shape(), operands, n.element(), [&](Scalars &s, Values x) {
    Value value = x[0];
    if (hasLow)
      value = s.max(value, x[1], hasUnsigned(n));
    if (hasHigh)
      value = s.min(value, x.back(), hasUnsigned(n));
    return value;
  }));
  return success();
}

static Value clipByAttributes(Node &n, Scalars &s, Value x) {
  constexpr double largest = std::numeric_limits<float>::max();
  return s.clamp(x, n.op.getFloat("min", -largest),
                 n.op.getFloat("max", largest));
}

//===----------------------------------------------------------------------===//
// Bits
//===----------------------------------------------------------------------===//

/// A shift by the width or more leaves nothing.
static Value bitShift(Node &n, Scalars &s, Values x) {
  Type type = x[0].getType();
  Value width = s.integer(type, type.getIntOrFloatBitWidth());
  Value inside = s.lt(x[1], width, /*isUnsigned=*/true);
  Value amount = s.select(inside, x[1], s.integer(type, 0));
  // A right shift of a signed number keeps its sign.
  bool isSigned = !hasUnsigned(n);
  if (n.op.getString("direction", "LEFT") == "LEFT")
    return s.select(inside, s.shiftLeft(x[0], amount), s.integer(type, 0));
  if (!isSigned)
    return s.select(inside, s.shiftRight(x[0], amount), s.integer(type, 0));
  Value filled = s.shiftRightSigned(
      x[0], s.integer(type, type.getIntOrFloatBitWidth() - 1));
  return s.select(inside, s.shiftRightSigned(x[0], amount), filled);
}

static Value bitNot(Node &n, Scalars &s, Value x) {
  return s.bitXor(x, s.integer(x.getType(), -1));
}

//===----------------------------------------------------------------------===//
// Tests
//===----------------------------------------------------------------------===//

static Value isInfinite(Node &n, Scalars &s, Value x) {
  double infinity = std::numeric_limits<double>::infinity();
  bool positive = n.op.getInt("detect_positive", 1) != 0;
  bool negative = n.op.getInt("detect_negative", 1) != 0;
  Value result = s.boolean(false);
  if (positive)
    result = s.logicalOr(result, s.eq(x, s.like(x, infinity)));
  if (negative)
    result = s.logicalOr(result, s.eq(x, s.like(x, -infinity)));
  return result;
}

//===----------------------------------------------------------------------===//
// Casts
//===----------------------------------------------------------------------===//

static LogicalResult lowerCast(Node &n) {
  Type from = typeOf(n), to = n.element();
  bool saturate = n.op.getInt("saturate", 1) != 0;
  if (n.op.getString("round_mode", "up") != "up" && isa<Float8E8M0FNUType>(to))
    return n.refuse("round_mode other than 'up' is not supported");
  n.set(n.t.mapTo(n.shape(), n.in(0), to, [&](Scalars &s, Values x) {
    return s.cast(x[0], from, to, saturate);
  }));
  return success();
}

static LogicalResult lowerBitCast(Node &n) {
  Type from = typeOf(n), to = n.element();
  n.set(n.t.mapTo(n.shape(), n.in(0), to, [&](Scalars &s, Values x) {
    Value bits = s.store(x[0], from);
    return s.load(s.bitcast(bits, getStorageType(to)), to);
  }));
  return success();
}

static LogicalResult lowerIdentity(Node &n) {
  Tensor x = n.in(0);
  n.set(n.t.wrap(n.t.valueOf(x), x.element, x.shape));
  return success();
}

/// Nothing is dropped: the input, and a mask of ones.
static LogicalResult lowerDropout(Node &n) {
  bool isTraining = n.has(2) && n.number(2) != 0.0;
  if (isTraining && !(n.has(1) && n.number(1) == 0.0))
    return n.refuse("dropout is for inference only (training_mode must be a "
                    "constant false, or ratio a constant 0)");
  if (n.hasResult(0))
    (void)lowerIdentity(n);
  if (n.hasResult(1))
    n.set(n.t.splat(n.shape(1), n.element(1), 1), 1);
  return success();
}

//===----------------------------------------------------------------------===//
// Tables
//===----------------------------------------------------------------------===//

/// Functions of the math dialect.
template <typename Op>
static Value mathOp(Node &, Scalars &s, Value x) {
  return Op::create(s, x);
}

template <Value (Scalars::*Method)(Value)>
static Value method(Node &, Scalars &s, Value x) {
  return (s.*Method)(x);
}

template <Value (Scalars::*Method)(Value, Value)>
static Value method(Node &, Scalars &s, Values x) {
  return (s.*Method)(x[0], x[1]);
}

template <Value (Scalars::*Method)(Value, Value, bool)>
static Value compare(Node &n, Scalars &s, Values x) {
  return (s.*Method)(x[0], x[1], hasUnsigned(n));
}

void lathe::addElementwise(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"Abs", 1, unary([](Node &n, Scalars &s, Value x) {
         return hasUnsigned(n) ? x : s.abs(x);
       })},
      {"Acos", 7, unary(mathOp<math::AcosOp>)},
      {"Acosh", 9, unary(mathOp<math::AcoshOp>)},
      {"Add", 7, nary(method<&Scalars::add>)},
      {"And", 7, nary(method<&Scalars::logicalAnd>)},
      {"Asin", 7, unary(mathOp<math::AsinOp>)},
      {"Asinh", 9, unary(mathOp<math::AsinhOp>)},
      {"Atan", 7, unary(mathOp<math::AtanOp>)},
      {"Atanh", 9, unary(mathOp<math::AtanhOp>)},
      {"BitCast", 26, lowerBitCast},
      {"BitShift", 11, nary(bitShift)},
      {"BitwiseAnd", 18, nary(method<&Scalars::bitAnd>)},
      {"BitwiseNot", 18, unary(bitNot)},
      {"BitwiseOr", 18, nary(method<&Scalars::bitOr>)},
      {"BitwiseXor", 18, nary(method<&Scalars::bitXor>)},
      {"Cast", 6, lowerCast},
      {"CastLike", 15, lowerCast},
      {"Ceil", 6, unary(method<&Scalars::ceil>)},
      {"Clip", 6, unary(clipByAttributes)},
      {"Clip", 11, lowerClip},
      {"Cos", 7, unary(method<&Scalars::cos>)},
      {"Cosh", 9, unary(mathOp<math::CoshOp>)},
      {"Div", 7, nary(divide)},
      {"Dropout", 7, lowerDropout},
      {"Equal", 7, nary(method<&Scalars::eq>)},
      {"Erf", 9, unary(method<&Scalars::erf>)},
      {"Exp", 6, unary(method<&Scalars::exp>)},
      {"Floor", 6, unary(method<&Scalars::floor>)},
      {"Greater", 7, nary(compare<&Scalars::gt>)},
      {"GreaterOrEqual", 12, nary(compare<&Scalars::ge>)},
      {"Identity", 1, lowerIdentity},
      {"IsInf", 10, unary(isInfinite)},
      {"IsNaN", 9, unary(method<&Scalars::isNaN>)},
      {"Less", 7, nary(compare<&Scalars::lt>)},
      {"LessOrEqual", 12, nary(compare<&Scalars::le>)},
      {"Log", 6, unary(method<&Scalars::log>)},
      {"Max", 6, nary(maximum)},
      {"Mean", 6, nary(mean)},
      {"Min", 6, nary(minimum)},
      {"Mod", 10, nary(modulus)},
      {"Mul", 7, nary(method<&Scalars::mul>)},
      {"Neg", 6, unary(method<&Scalars::neg>)},
      {"Not", 1, unary(method<&Scalars::logicalNot>)},
      {"Or", 7, nary(method<&Scalars::logicalOr>)},
      {"Pow", 7, nary(power)},
      {"Reciprocal", 6, unary(method<&Scalars::recip>)},
      {"Round", 11, unary(roundHalfEven)},
      {"Sign", 9, unary(sign)},
      {"Sin", 7, unary(method<&Scalars::sin>)},
      {"Sinh", 9, unary(mathOp<math::SinhOp>)},
      {"Sqrt", 6, unary(method<&Scalars::sqrt>)},
      {"Sub", 7, nary(method<&Scalars::sub>)},
      {"Sum", 6, nary(sum)},
      {"Tan", 7, unary(mathOp<math::TanOp>)},
      {"Tanh", 6, unary(method<&Scalars::tanh>)},
      {"Where", 9, nary([](Node &, Scalars &s, Values x) {
         return s.select(x[0], x[1], x[2]);
       })},
      {"Xor", 7, nary(method<&Scalars::logicalXor>)},
  };
  table.add("", rows);
}
