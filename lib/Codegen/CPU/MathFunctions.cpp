//===- MathFunctions.cpp - elementary functions in arithmetic -------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The tables come from scripts/fit-math.py.
//
//===----------------------------------------------------------------------===//

#include "MathFunctions.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace lathe;
using arith::CmpFPredicate;

//===----------------------------------------------------------------------===//
// Tables
//===----------------------------------------------------------------------===//

// (e^r - 1 - r) / r^2 in r, |r| <= ln(2) / 2.
static const double exp32[] = {0.500000010096, 0.166665128933, 0.0416661873593,
                               0.00836959801736, 0.00139517127529};
static const double exp64[] = {
    0.50000000000000140598,     0.166666666666667024,
    0.041666666666503016196,    0.008333333333305076639,
    0.0013888888950556253478,   0.00019841269921991846129,
    0.000024801486026953139608, 2.7557212182068010144e-6,
    2.7632753512119676752e-7,   2.5119165687416332175e-8};

// 2 (atanh(s) - s) / s^3 in s^2, where 1 + f = (1 + s) / (1 - s).
static const double log32[] = {0.666666665484, 0.400001265067, 0.285503150459,
                               0.233437815525};
static const double log64[] = {0.66666666666666666445, 0.40000000000000951191,
                               0.28571428570759101756, 0.22222222401628232718,
                               0.18181794596978089108, 0.15386295664612969958,
                               0.13267293038414138527, 0.13101928562462219418};

// (sin(r) - r) / r^3 in r^2, |r| <= pi / 4.
static const double sin32[] = {-0.166666542255, 0.00833213149554,
                               -0.000195108389151};
static const double sin64[] = {
    -0.16666666666666627686,    0.008333333333321285118,
    -0.00019841269828869904399, 2.7557313355947402963e-6,
    -2.5050704030241619155e-8,  1.5893583416970284502e-10};

// (cos(r) - 1 + r^2 / 2) / r^4 in r^2.
static const double cos32[] = {0.0416666456531, -0.00138873060521,
                               2.44312058591e-5};
static const double cos64[] = {
    0.041666666666666591058,    -0.0013888888888872598151,
    0.000024801587288491703757, -2.7557314056469653931e-7,
    2.0875681865589458152e-9,   -1.1357447961891364829e-11};

// (atan(s) - s) / s^3 in s^2, |s| <= tan(pi / 8).
static const double atan32[] = {-0.333333146767, 0.199984344957,
                                -0.142427419594, 0.105873647901,
                                -0.0606053031559};
static const double atan64[] = {
    -0.33333333333333328057, 0.1999999999999772987,    -0.14285714285386884587,
    0.11111111087774954903,  -0.090909081219446734947, 0.076922821181169704229,
    -0.0666621586636338728,  0.058769043159440941196,  -0.052175927880949411278,
    0.045000667528399212707, -0.03338986752025783775,  0.015106255207492456481};

// (asin(s) - s) / s^3 in s^2, |s| <= 1/2.
static const double asin32[] = {0.166666593824,  0.0750054209545,
                                0.044509355826,  0.031873713463,
                                0.0141800618465, 0.0378912271493};
static const double asin64[] = {
    0.1666666666666665907,     0.075000000000027866654,
    0.044642857139343560327,   0.03038194466646698159,
    0.022372150816925283487,   0.017352963108169844813,
    0.013961604090654263416,   0.011588787501068374571,
    0.0094614547680894301886,  0.010124003962202559944,
    0.00028513116239266604406, 0.025725688175035798204,
    -0.027345484008750259455,  0.034352169288228377684};

// (-log(erfc(t)) - t) / t in t, up to where erf(t) rounds to 1.
static const double erf32[] = {
    0.128379171111,     0.636619395442,     0.102777727975,
    -0.019152724784,    -0.000160972679183, 0.00166756727443,
    -0.000633116525922, 0.000117716059048,  -9.26428400915e-6};
static const double erf64[] = {
    0.12837916709551257415,     0.63661977236758120337,
    0.1027726033019516751,      -0.01912844700942025703,
    -0.00020919463368830607149, 0.001696205861678170196,
    -0.00059012256325899895503, 0.000025866569654824242776,
    0.000064527472622178123197, -0.000029803853547154887336,
    3.5457565181090329822e-6,   2.6459167744616674425e-6,
    -1.5354282020461593586e-6,  1.5573253563905185494e-7,
    2.6532514224861407907e-7,   -2.1561730864020043649e-7,
    1.0035419224566995942e-7,   -3.4142828588095996342e-8,
    9.0553091680035810746e-9,   -1.9106402955800659083e-9,
    3.2120255245451465116e-10,  -4.2570058905608729025e-11,
    4.3511159498796464163e-12,  -3.3053912488053547954e-13,
    1.7537209647711561561e-14,  -5.7831567008165441005e-16,
    8.8903940139564077369e-18};

static constexpr double log2E = 1.4426950408889634074;
static constexpr double halfPi = 1.5707963267948966192;
static constexpr double infinity = std::numeric_limits<double>::infinity();

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

/// `type` with its float replaced by `element`.
static Type withElement(Type type, Type element) {
  if (auto vector = dyn_cast<VectorType>(type))
    return vector.clone(element);
  return element;
}

MathFunctions::MathFunctions(ImplicitLocOpBuilder &builder, Type type,
                             bool hasFma)
    : b(builder), type(type), isDouble(getElementTypeOrSelf(type).isF64()),
      hasFma(hasFma) {
  intType = withElement(type, b.getIntegerType(isDouble ? 64 : 32));
}

static Value makeConstant(ImplicitLocOpBuilder &b, Type type,
                          TypedAttr element) {
  if (auto vector = dyn_cast<VectorType>(type))
    element = DenseElementsAttr::get(vector, element);
  return arith::ConstantOp::create(b, element);
}

Value MathFunctions::c(double value) {
  return makeConstant(b, type,
                      b.getFloatAttr(getElementTypeOrSelf(type), value));
}

Value MathFunctions::ci(int64_t value) {
  return makeConstant(b, intType,
                      b.getIntegerAttr(getElementTypeOrSelf(intType), value));
}

Value MathFunctions::add(Value l, Value r) {
  return arith::AddFOp::create(b, l, r);
}
Value MathFunctions::sub(Value l, Value r) {
  return arith::SubFOp::create(b, l, r);
}
Value MathFunctions::mul(Value l, Value r) {
  return arith::MulFOp::create(b, l, r);
}
Value MathFunctions::div(Value l, Value r) {
  return arith::DivFOp::create(b, l, r);
}
Value MathFunctions::neg(Value x) { return arith::NegFOp::create(b, x); }
Value MathFunctions::abs(Value x) { return math::AbsFOp::create(b, x); }
Value MathFunctions::sqrt(Value x) { return math::SqrtOp::create(b, x); }
Value MathFunctions::copySign(Value magnitude, Value sign) {
  return math::CopySignOp::create(b, magnitude, sign);
}
Value MathFunctions::multiplyAdd(Value a, Value m, Value s) {
  if (hasFma)
    return math::FmaOp::create(b, a, m, s);
  return add(mul(a, m), s);
}
Value MathFunctions::select(Value condition, Value l, Value r) {
  return arith::SelectOp::create(b, condition, l, r);
}
Value MathFunctions::cmp(CmpFPredicate predicate, Value l, Value r) {
  return arith::CmpFOp::create(b, predicate, l, r);
}
Value MathFunctions::less(Value l, double r) {
  return cmp(CmpFPredicate::OLT, l, c(r));
}
Value MathFunctions::greater(Value l, double r) {
  return cmp(CmpFPredicate::OGT, l, c(r));
}
Value MathFunctions::equal(Value l, double r) {
  return cmp(CmpFPredicate::OEQ, l, c(r));
}
Value MathFunctions::land(Value l, Value r) {
  return arith::AndIOp::create(b, l, r);
}
Value MathFunctions::atMost(Value x, double limit) {
  Value bound = c(limit);
  return select(cmp(CmpFPredicate::OLT, bound, x), bound, x);
}
Value MathFunctions::atLeast(Value x, double limit) {
  Value bound = c(limit);
  return select(cmp(CmpFPredicate::OGT, bound, x), bound, x);
}

Value MathFunctions::polynomial(Value x, ArrayRef<double> coefficients) {
  Value sum = c(coefficients.back());
  for (double coefficient : llvm::reverse(coefficients.drop_back()))
    sum = multiplyAdd(sum, x, c(coefficient));
  return sum;
}

Value MathFunctions::bits(Value x) {
  return arith::BitcastOp::create(b, intType, x);
}
Value MathFunctions::fromBits(Value i) {
  return arith::BitcastOp::create(b, type, i);
}
Value MathFunctions::addI(Value l, Value r) {
  return arith::AddIOp::create(b, l, r);
}
Value MathFunctions::shiftRight(Value i, int64_t count) {
  return arith::ShRSIOp::create(b, i, ci(count));
}
Value MathFunctions::isZeroI(Value i) {
  Value zero = makeConstant(
      b, i.getType(), b.getIntegerAttr(getElementTypeOrSelf(i.getType()), 0));
  return arith::CmpIOp::create(b, arith::CmpIPredicate::eq, i, zero);
}

ArrayRef<double> MathFunctions::table(ArrayRef<double> single,
                                      ArrayRef<double> full) const {
  return isDouble ? full : single;
}

MathFunctions MathFunctions::wide() {
  return MathFunctions(b, withElement(type, b.getF64Type()), hasFma);
}
Value MathFunctions::widen(Value x) {
  return arith::ExtFOp::create(b, withElement(type, b.getF64Type()), x);
}
Value MathFunctions::narrow(Value x) {
  return arith::TruncFOp::create(b, type, x);
}

//===----------------------------------------------------------------------===//
// Exponentials
//===----------------------------------------------------------------------===//

Value MathFunctions::powerOfTwo(Value i) {
  int64_t bias = isDouble ? 1023 : 127, mantissa = isDouble ? 52 : 23;
  return fromBits(arith::ShLIOp::create(b, addI(i, ci(bias)), ci(mantissa)));
}

MathFunctions::Rounded MathFunctions::nearest(Value x) {
  // In the binade of 1.5 * 2^mantissa the unit in the last place is one, so the
  // addition rounds and leaves the integer in the low bits.
  double magic = isDouble ? 0x1.8p52 : 0x1.8p23;
  Value shifted = add(x, c(magic));
  Value integer = arith::SubIOp::create(b, bits(shifted), bits(c(magic)));
  return {sub(shifted, c(magic)), integer};
}

MathFunctions::Reduced MathFunctions::reduceExp(Value x) {
  // The high part has so few bits that its product with n is exact.
  double high = isDouble ? 0x1.62e42feep-1 : 0x1.63p-1;
  double low =
      isDouble ? 1.908214929270587816144e-10 : -2.121944400546905827679e-4;
  Rounded n = nearest(mul(x, c(log2E)));
  Value r = multiplyAdd(n.value, c(-high), x);
  return {multiplyAdd(n.value, c(-low), r), n.integer};
}

Value MathFunctions::expm1Reduced(Value r) {
  return multiplyAdd(mul(r, r), polynomial(r, table(exp32, exp64)), r);
}

Value MathFunctions::scale(Value m, Value n) {
  // In two steps, neither of which leaves the normal numbers by itself.
  Value half = shiftRight(n, 1);
  Value rest = arith::SubIOp::create(b, n, half);
  return mul(mul(add(m, c(1.0)), powerOfTwo(half)), powerOfTwo(rest));
}

Value MathFunctions::exp(Value x) {
  x = atLeast(atMost(x, isDouble ? 710.0 : 89.0), isDouble ? -746.0 : -104.0);
  Reduced reduced = reduceExp(x);
  return scale(expm1Reduced(reduced.r), reduced.integer);
}

Value MathFunctions::exp2(Value x) {
  x = atLeast(atMost(x, isDouble ? 1025.0 : 129.0),
              isDouble ? -1080.0 : -151.0);
  Rounded n = nearest(x);
  Value r = mul(sub(x, n.value), c(1.0 / log2E));
  return scale(expm1Reduced(r), n.integer);
}

Value MathFunctions::expm1Unsigned(Value x) {
  x = atLeast(atMost(x, isDouble ? 710.0 : 89.0), isDouble ? -40.0 : -20.0);
  Reduced reduced = reduceExp(x);
  Value m = expm1Reduced(reduced.r);
  // 2^n m + 2^n - 1, halved so that 2^n does not overflow before its time.
  Value half = powerOfTwo(addI(reduced.integer, ci(-1)));
  Value sum = multiplyAdd(half, m, sub(half, c(0.5)));
  return select(isZeroI(reduced.integer), m, add(sum, sum));
}

Value MathFunctions::expm1(Value x) { return copySign(expm1Unsigned(x), x); }

Value MathFunctions::tanh(Value x) {
  Value twice = atMost(mul(abs(x), c(2.0)), isDouble ? 40.0 : 20.0);
  Value e = expm1Unsigned(twice);
  return copySign(div(e, add(e, c(2.0))), x);
}

Value MathFunctions::sinh(Value x) {
  Value a = abs(x);
  // Below 1 through expm1; above, e^(a/2) twice, which overflows only where the
  // result does.
  Value e = expm1Unsigned(atMost(a, 1.0));
  Value small = mul(c(0.5), add(e, div(e, add(e, c(1.0)))));
  Value root = exp(mul(a, c(0.5)));
  Value large = sub(mul(mul(c(0.5), root), root), div(div(c(0.5), root), root));
  return copySign(select(greater(a, 1.0), large, small), x);
}

Value MathFunctions::cosh(Value x) {
  Value root = exp(mul(abs(x), c(0.5)));
  return add(mul(mul(c(0.5), root), root), div(div(c(0.5), root), root));
}

Value MathFunctions::erf(Value x) {
  // erf(t) = 1 - e^-g(t), where g(t) / t is a smooth function.
  Value t = atMost(abs(x), isDouble ? 6.0 : 4.0);
  Value g = multiplyAdd(t, polynomial(t, table(erf32, erf64)), t);
  return copySign(expm1Unsigned(neg(g)), x);
}

//===----------------------------------------------------------------------===//
// Logarithms
//===----------------------------------------------------------------------===//

MathFunctions::Split MathFunctions::splitLog(Value x) {
  int64_t mantissa = isDouble ? 52 : 23;
  int64_t root = isDouble ? 0x3fe6a09e667f3bcd : 0x3f3504f3;
  // Denormals are brought among the normal numbers first.
  Value tiny = less(x, isDouble ? 0x1p-1022 : 0x1p-126);
  double lift = isDouble ? 54.0 : 25.0;
  x = select(tiny, mul(x, c(isDouble ? 0x1p54 : 0x1p25)), x);

  Value shifted = addI(bits(x), ci(-root));
  Value exponent = shiftRight(shifted, mantissa);
  Value rest =
      arith::AndIOp::create(b, shifted, ci((int64_t(1) << mantissa) - 1));
  Value k = arith::SIToFPOp::create(b, type, exponent);
  return {sub(fromBits(addI(rest, ci(root))), c(1.0)),
          sub(k, select(tiny, c(lift), c(0.0)))};
}

Value MathFunctions::logTail(Value f, Value correction) {
  Value s = div(f, add(f, c(2.0)));
  Value z = mul(s, s);
  Value r = mul(z, polynomial(z, table(log32, log64)));
  Value halfSquare = mul(mul(c(0.5), f), f);
  Value tail = multiplyAdd(s, add(halfSquare, r), correction);
  return sub(halfSquare, tail);
}

Value MathFunctions::logSpecials(Value x, Value value) {
  Value special = select(less(x, 0.0), c(std::nan("")), x);
  special = select(equal(x, 0.0), c(-infinity), special);
  Value regular = land(greater(x, 0.0), less(x, infinity));
  return select(regular, value, special);
}

// ln(2) in two parts; the product of the first with an exponent is exact.
static double getLn2High(bool isDouble) {
  return isDouble ? 0x1.62e42feep-1 : 0x1.62e4p-1;
}
static double getLn2Low(bool isDouble) {
  return isDouble ? 1.908214929270587816144e-10 : 1.428606820309417232121e-6;
}

Value MathFunctions::log(Value x) {
  Split split = splitLog(x);
  Value tail = logTail(split.f, mul(split.k, c(getLn2Low(isDouble))));
  Value value =
      multiplyAdd(split.k, c(getLn2High(isDouble)), sub(split.f, tail));
  return logSpecials(x, value);
}

Value MathFunctions::log2(Value x) {
  Split split = splitLog(x);
  Value natural = sub(split.f, logTail(split.f, c(0.0)));
  return logSpecials(x, multiplyAdd(natural, c(log2E), split.k));
}

Value MathFunctions::log10(Value x) {
  Split split = splitLog(x);
  Value natural = sub(split.f, logTail(split.f, c(0.0)));
  double high = isDouble ? 0x1.34413508p-2 : 0x1.344p-2;
  double low =
      isDouble ? 1.14511008980218386912e-10 : 4.605038981195213738895e-6;
  Value sum =
      multiplyAdd(natural, c(0.43429448190325182765), mul(split.k, c(low)));
  return logSpecials(x, multiplyAdd(split.k, c(high), sum));
}

Value MathFunctions::log1p(Value x) {
  Value u = add(x, c(1.0));
  // What the sum rounded away, to first order.
  Value kept = sub(u, c(1.0));
  Value lost = add(sub(c(1.0), sub(u, kept)), sub(x, kept));
  Split split = splitLog(u);
  Value correction = multiplyAdd(split.k, c(getLn2Low(isDouble)), div(lost, u));
  Value tail = logTail(split.f, correction);
  Value value =
      multiplyAdd(split.k, c(getLn2High(isDouble)), sub(split.f, tail));
  return copySign(logSpecials(u, value), x);
}

Value MathFunctions::asinh(Value x) {
  Value a = abs(x);
  Value square = mul(a, a);
  Value root = sqrt(add(square, c(1.0)));
  Value small = log1p(add(a, div(square, add(root, c(1.0)))));
  // Where the square loses the one, and before it overflows.
  Value large = add(log(a), c(1.0 / log2E));
  return copySign(select(greater(a, isDouble ? 0x1p28 : 0x1p13), large, small),
                  x);
}

Value MathFunctions::acosh(Value x) {
  Value t = sub(x, c(1.0));
  Value small = log1p(add(t, sqrt(multiplyAdd(t, t, add(t, t)))));
  Value large = add(log(x), c(1.0 / log2E));
  Value value = select(greater(x, isDouble ? 0x1p28 : 0x1p13), large, small);
  return select(less(x, 1.0), c(std::nan("")), value);
}

Value MathFunctions::atanh(Value x) {
  Value a = abs(x);
  Value value = log1p(div(add(a, a), sub(c(1.0), a)));
  return copySign(mul(c(0.5), value), x);
}

//===----------------------------------------------------------------------===//
// Powers
//===----------------------------------------------------------------------===//

Value MathFunctions::cbrt(Value x) {
  MathFunctions m = wide();
  auto estimate = [&](Value a) {
    return m.exp2(m.mul(m.log2(a), m.c(1.0 / 3.0)));
  };
  if (!isDouble)
    return copySign(narrow(estimate(widen(abs(x)))), x);
  // One step of Newton makes up for the logarithm's error; among the denormals
  // it would have nothing to hold on to.
  Value a = abs(x);
  Value tiny = less(a, 0x1p-1022);
  a = select(tiny, mul(a, c(0x1p54)), a);
  Value root = estimate(a);
  Value square = mul(root, root);
  Value step = div(sub(mul(square, root), a), mul(c(3.0), square));
  Value regular = land(greater(a, 0.0), less(a, infinity));
  root = select(regular, sub(root, step), a);
  return copySign(select(tiny, mul(root, c(0x1p-18)), root), x);
}

Value MathFunctions::pow(Value x, Value y) {
  MathFunctions m = wide();
  Value a = abs(x);
  Value logarithm = m.log2(isDouble ? a : widen(a));
  Value value = m.exp2(m.mul(isDouble ? y : widen(y), logarithm));
  if (!isDouble)
    value = narrow(value);

  // A negative x has a power where y is an integer, with the sign of x where y
  // is odd.
  auto truncated = [&](Value v) -> Value {
    return math::TruncOp::create(b, v);
  };
  Value isInteger = cmp(CmpFPredicate::OEQ, truncated(y), y);
  Value half = mul(y, c(0.5));
  Value isOdd = land(isInteger, cmp(CmpFPredicate::ONE, truncated(half), half));
  Value negative = land(less(x, 0.0), greater(x, -infinity));
  Value undefined = land(negative, cmp(CmpFPredicate::ONE, truncated(y), y));
  value = select(undefined, c(std::nan("")), value);
  value = select(isOdd, copySign(value, x), value);
  // 1 whatever the other is, also NaN; and (-1)^inf.
  Value one = arith::OrIOp::create(b, equal(x, 1.0), equal(y, 0.0));
  Value unit = land(equal(x, -1.0), equal(abs(y), infinity));
  return select(arith::OrIOp::create(b, one, unit), c(1.0), value);
}

Value MathFunctions::fmod(Value x, Value y) {
  MathFunctions m = wide();
  Value wideX = isDouble ? abs(x) : widen(abs(x));
  Value wideY = isDouble ? abs(y) : widen(abs(y));
  Value quotient = math::TruncOp::create(b, m.div(wideX, wideY));
  Value rest;
  if (hasFma || !isDouble) {
    rest = m.multiplyAdd(m.neg(quotient), wideY, wideX);
  } else {
    // The halves of y, whose products with the quotient are exact.
    Value mask = m.ci(-(int64_t(1) << 27));
    Value high = fromBits(arith::AndIOp::create(b, bits(wideY), mask));
    rest =
        sub(sub(wideX, mul(quotient, high)), mul(quotient, sub(wideY, high)));
  }
  // The division may have rounded up to an integer.
  rest = m.select(m.less(rest, 0.0), m.add(rest, wideY), rest);
  if (!isDouble)
    rest = narrow(rest);
  // x mod inf = x, where the formula has 0 * inf.
  Value keep = land(less(abs(x), infinity), equal(abs(y), infinity));
  return copySign(select(keep, x, rest), x);
}

//===----------------------------------------------------------------------===//
// Circular functions
//===----------------------------------------------------------------------===//

MathFunctions::Quadrant MathFunctions::reduceTurn(Value x) {
  // f32 is reduced in f64, where two parts of pi / 2 suffice.
  MathFunctions m = wide();
  Value wideX = isDouble ? x : widen(x);
  Rounded n = m.nearest(m.mul(wideX, m.c(1.0 / halfPi)));
  Value r = m.multiplyAdd(n.value, m.c(-0x1.921fb544p0), wideX);
  if (!isDouble) {
    r = m.multiplyAdd(n.value, m.c(-0x1.0b4611a626331p-34), r);
    Value q = arith::TruncIOp::create(b, intType, n.integer);
    // Past 2^51 nothing is left of the angle, but results stay in [-1, 1].
    return {atLeast(atMost(narrow(r), 0.8), -0.8), q};
  }
  r = multiplyAdd(n.value, c(-0x1.0b4611a6p-34), r);
  r = multiplyAdd(n.value, c(-0x1.3198a2e037073p-69), r);
  return {atLeast(atMost(r, 0.8), -0.8), n.integer};
}

Value MathFunctions::sinReduced(Value r) {
  Value z = mul(r, r);
  return multiplyAdd(mul(z, r), polynomial(z, table(sin32, sin64)), r);
}

Value MathFunctions::cosReduced(Value r) {
  Value z = mul(r, r);
  Value high = multiplyAdd(z, c(-0.5), c(1.0));
  return multiplyAdd(mul(z, z), polynomial(z, table(cos32, cos64)), high);
}

/// sin of the angle plus `turn` quarter turns.
Value MathFunctions::pick(Quadrant quadrant, int64_t turn) {
  Value q = turn == 0 ? quadrant.q : addI(quadrant.q, ci(turn));
  Value even = isZeroI(arith::AndIOp::create(b, q, ci(1)));
  Value positive = isZeroI(arith::AndIOp::create(b, q, ci(2)));
  Value value = select(even, sinReduced(quadrant.r), cosReduced(quadrant.r));
  return select(positive, value, neg(value));
}

Value MathFunctions::sin(Value x) {
  // Zero keeps its sign.
  return select(equal(x, 0.0), x, pick(reduceTurn(x), 0));
}

Value MathFunctions::cos(Value x) { return pick(reduceTurn(x), 1); }

Value MathFunctions::tan(Value x) {
  Quadrant quadrant = reduceTurn(x);
  Value even = isZeroI(arith::AndIOp::create(b, quadrant.q, ci(1)));
  Value s = sinReduced(quadrant.r), k = cosReduced(quadrant.r);
  Value value = div(select(even, s, neg(k)), select(even, k, s));
  return select(equal(x, 0.0), x, value);
}

Value MathFunctions::asinReduced(Value s, Value z) {
  return multiplyAdd(mul(s, z), polynomial(z, table(asin32, asin64)), s);
}

static double getHalfPiLow(bool isDouble) {
  return isDouble ? 6.123233995736766e-17 : -4.371139000186241e-8;
}

Value MathFunctions::asin(Value x) {
  Value a = abs(x);
  Value big = greater(a, 0.5);
  Value z = select(big, mul(sub(c(1.0), a), c(0.5)), mul(a, a));
  Value p = asinReduced(select(big, sqrt(z), a), z);
  Value reflected = sub(c(halfPi), sub(add(p, p), c(getHalfPiLow(isDouble))));
  // Outside [-1, 1] the root is NaN.
  return copySign(select(big, reflected, p), x);
}

Value MathFunctions::acos(Value x) {
  Value a = abs(x);
  Value big = greater(a, 0.5);
  Value z = select(big, mul(sub(c(1.0), a), c(0.5)), mul(a, a));
  Value p = asinReduced(select(big, sqrt(z), a), z);
  Value twice = add(p, p);
  double low = getHalfPiLow(isDouble);
  Value outer =
      select(less(x, 0.0), sub(c(2 * halfPi), sub(twice, c(2 * low))), twice);
  Value inner = sub(c(halfPi), sub(copySign(p, x), c(low)));
  return select(big, outer, inner);
}

Value MathFunctions::atan(Value x) {
  Value a = abs(x);
  Value big = greater(a, 2.41421356237309504880);
  Value mid = greater(a, 0.41421356237309504880);
  auto pickOne = [&](Value ifBig, Value ifMid, Value ifSmall) {
    return select(big, ifBig, select(mid, ifMid, ifSmall));
  };
  Value numerator = pickOne(c(-1.0), sub(a, c(1.0)), a);
  Value s = div(numerator, pickOne(a, add(a, c(1.0)), c(1.0)));
  Value z = mul(s, s);
  double low = getHalfPiLow(isDouble);
  Value tail = multiplyAdd(mul(s, z), polynomial(z, table(atan32, atan64)),
                           pickOne(c(low), c(low / 2), c(0.0)));
  Value base = pickOne(c(halfPi), c(halfPi / 2), c(0.0));
  return copySign(add(base, add(s, tail)), x);
}
