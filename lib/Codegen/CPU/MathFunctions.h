//===- MathFunctions.h - elementary functions in arithmetic -----*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Generated code has no libm. These functions are straight-line arithmetic on
// f32 or f64, scalars or vectors alike, without branches and tables. The bounds
// that each keeps are in docs/Math.md and tested by lathe-kernel-test.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_CODEGEN_CPU_MATHFUNCTIONS_H
#define LATHE_LIB_CODEGEN_CPU_MATHFUNCTIONS_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/Builders.h"

namespace lathe {

/// Emits functions of values of one type at the builder's position.
class MathFunctions {
public:
  using Value = mlir::Value;

  /// `type` is f32, f64 or a vector of them. Without `hasFma` products are
  /// rounded before they are added; every bound holds then too.
  MathFunctions(mlir::ImplicitLocOpBuilder &builder, mlir::Type type,
                bool hasFma);

  Value exp(Value x);
  Value exp2(Value x);
  Value expm1(Value x);
  Value log(Value x);
  Value log2(Value x);
  Value log10(Value x);
  Value log1p(Value x);
  Value sin(Value x);
  Value cos(Value x);
  Value tan(Value x);
  Value sinh(Value x);
  Value cosh(Value x);
  Value tanh(Value x);
  Value asin(Value x);
  Value acos(Value x);
  Value atan(Value x);
  Value asinh(Value x);
  Value acosh(Value x);
  Value atanh(Value x);
  Value erf(Value x);
  Value cbrt(Value x);
  /// C's pow, with all its special cases.
  Value pow(Value x, Value y);
  /// C's fmod; exact while |x / y| < 2^29, and 2^26 on f64 without FMA.
  Value fmod(Value x, Value y);
  Value multiplyAdd(Value a, Value b, Value c);

private:
  // Arithmetic on values of `type`.
  Value c(double value);
  Value add(Value l, Value r);
  Value sub(Value l, Value r);
  Value mul(Value l, Value r);
  Value div(Value l, Value r);
  Value neg(Value x);
  Value abs(Value x);
  Value sqrt(Value x);
  Value copySign(Value magnitude, Value sign);
  Value select(Value condition, Value l, Value r);
  Value cmp(mlir::arith::CmpFPredicate predicate, Value l, Value r);
  Value less(Value l, double r);
  Value greater(Value l, double r);
  Value equal(Value l, double r);
  Value land(Value l, Value r);
  /// Limits that let NaN pass.
  Value atMost(Value x, double limit);
  Value atLeast(Value x, double limit);
  /// c[0] + c[1] x + c[2] x^2 + …
  Value polynomial(Value x, llvm::ArrayRef<double> coefficients);

  // On integers of the same width.
  Value ci(int64_t value);
  Value bits(Value x);
  Value fromBits(Value i);
  Value addI(Value l, Value r);
  Value shiftRight(Value i, int64_t count);
  Value isZeroI(Value i);
  /// 2^i; i must be the exponent of a normal number.
  Value powerOfTwo(Value i);

  // Parts of functions.
  struct Rounded {
    Value value;   // as a float
    Value integer; // and as an integer
  };
  /// The nearest integer of x, for small |x|; any x gives something.
  Rounded nearest(Value x);
  struct Reduced {
    Value r;       // |r| <= ln(2) / 2
    Value integer; // x = integer * ln(2) + r
  };
  Reduced reduceExp(Value x);
  /// e^r - 1.
  Value expm1Reduced(Value r);
  /// (1 + m) * 2^n, with gradual underflow and overflow.
  Value scale(Value m, Value n);
  /// expm1 but for the sign of zero.
  Value expm1Unsigned(Value x);
  struct Split {
    Value f; // x = (1 + f) * 2^k, 1 + f in [sqrt(1/2), sqrt(2))
    Value k;
  };
  Split splitLog(Value x);
  /// log(1 + f) without its first term: the result is f - this. The correction
  /// is added where it loses least.
  Value logTail(Value f, Value correction);
  /// `value` for positive finite x, else what log gives there.
  Value logSpecials(Value x, Value value);
  struct Quadrant {
    Value r; // |r| <= pi / 4
    Value q; // i32 or i64: number of the quarter turn
  };
  Quadrant reduceTurn(Value x);
  Value sinReduced(Value r);
  Value cosReduced(Value r);
  Value pick(Quadrant quadrant, int64_t turn);
  Value asinReduced(Value s, Value z);

  /// The same on f64, for functions of f32 that need it.
  MathFunctions wide();
  Value widen(Value x);
  Value narrow(Value x);
  llvm::ArrayRef<double> table(llvm::ArrayRef<double> single,
                               llvm::ArrayRef<double> full) const;

  mlir::ImplicitLocOpBuilder &b;
  mlir::Type type, intType;
  bool isDouble;
  bool hasFma;
};

} // namespace lathe

#endif // LATHE_LIB_CODEGEN_CPU_MATHFUNCTIONS_H
