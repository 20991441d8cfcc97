//===- ExpandMath.cpp - math operations without libm ----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "MathFunctions.h"
#include "NarrowFloats.h"
#include "lathe/Codegen/CPU/Passes.h"
#include "mlir/IR/Matchers.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/TypeSwitch.h"

namespace lathe {
#define GEN_PASS_DEF_EXPANDMATH
#include "lathe/Codegen/CPU/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

static Type withElement(Type type, Type element) {
  if (auto vector = dyn_cast<VectorType>(type))
    return vector.clone(element);
  return element;
}

/// The constant that every lane of `value` has.
static std::optional<double> getConstant(Value value) {
  FloatAttr scalar;
  if (matchPattern(value, m_Constant(&scalar)))
    return scalar.getValueAsDouble();
  DenseFPElementsAttr vector;
  if (matchPattern(value, m_Constant(&vector)) && vector.isSplat())
    return vector.getSplatValue<APFloat>().convertToDouble();
  return std::nullopt;
}

/// x^exponent for the exponents that models have; null for others.
static Value expandConstantPower(ImplicitLocOpBuilder &b, Value x,
                                 double exponent) {
  auto constant = [&](double value) -> Value {
    TypedAttr attr = b.getFloatAttr(getElementTypeOrSelf(x.getType()), value);
    if (auto vector = dyn_cast<VectorType>(x.getType()))
      attr = DenseElementsAttr::get(vector, attr);
    return arith::ConstantOp::create(b, attr);
  };
  auto mul = [&](Value l, Value r) -> Value {
    return arith::MulFOp::create(b, l, r);
  };
  if (exponent == 1.0)
    return x;
  if (exponent == 2.0)
    return mul(x, x);
  if (exponent == 3.0)
    return mul(mul(x, x), x);
  if (exponent == -1.0)
    return arith::DivFOp::create(b, constant(1.0), x);
  if (exponent != 0.5)
    return {};
  // Unlike a root, the power of -0 is +0 and that of -inf is inf.
  double infinity = std::numeric_limits<double>::infinity();
  Value root =
      arith::AddFOp::create(b, math::SqrtOp::create(b, x), constant(0.0));
  Value isEnd = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, x,
                                      constant(-infinity));
  return arith::SelectOp::create(b, isEnd, constant(infinity), root);
}

/// The value of `op` on `operands`, which are f32 or f64; null if it is none of
/// the operations with an expansion.
static Value expandFloat(ImplicitLocOpBuilder &b, Operation *op,
                         ValueRange operands, bool hasFma) {
  MathFunctions m(b, operands[0].getType(), hasFma);
  Value x = operands[0];
  return TypeSwitch<Operation *, Value>(op)
      .Case([&](math::ExpOp) { return m.exp(x); })
      .Case([&](math::Exp2Op) { return m.exp2(x); })
      .Case([&](math::ExpM1Op) { return m.expm1(x); })
      .Case([&](math::LogOp) { return m.log(x); })
      .Case([&](math::Log2Op) { return m.log2(x); })
      .Case([&](math::Log10Op) { return m.log10(x); })
      .Case([&](math::Log1pOp) { return m.log1p(x); })
      .Case([&](math::SinOp) { return m.sin(x); })
      .Case([&](math::CosOp) { return m.cos(x); })
      .Case([&](math::TanOp) { return m.tan(x); })
      .Case([&](math::SinhOp) { return m.sinh(x); })
      .Case([&](math::CoshOp) { return m.cosh(x); })
      .Case([&](math::TanhOp) { return m.tanh(x); })
      .Case([&](math::AsinOp) { return m.asin(x); })
      .Case([&](math::AcosOp) { return m.acos(x); })
      .Case([&](math::AtanOp) { return m.atan(x); })
      .Case([&](math::AsinhOp) { return m.asinh(x); })
      .Case([&](math::AcoshOp) { return m.acosh(x); })
      .Case([&](math::AtanhOp) { return m.atanh(x); })
      .Case([&](math::ErfOp) { return m.erf(x); })
      .Case([&](math::CbrtOp) { return m.cbrt(x); })
      .Case([&](math::PowFOp power) {
        if (auto exponent = getConstant(power.getRhs()))
          if (Value value = expandConstantPower(b, x, *exponent))
            return value;
        return m.pow(x, operands[1]);
      })
      .Case([&](arith::RemFOp) { return m.fmod(x, operands[1]); })
      .Default(Value());
}

/// base^exponent by squaring, as a loop over the exponent's bits.
static Value expandIntegerPower(ImplicitLocOpBuilder &b, math::IPowIOp op) {
  Type type = op.getType();
  int64_t width = getElementTypeOrSelf(type).getIntOrFloatBitWidth();
  auto constant = [&](int64_t value) -> Value {
    TypedAttr attr = b.getIntegerAttr(getElementTypeOrSelf(type), value);
    if (auto vector = dyn_cast<VectorType>(type))
      attr = DenseElementsAttr::get(vector, attr);
    return arith::ConstantOp::create(b, attr);
  };
  auto compare = [&](arith::CmpIPredicate predicate, Value l,
                     int64_t r) -> Value {
    return arith::CmpIOp::create(b, predicate, l, constant(r));
  };
  auto index = [&](int64_t value) -> Value {
    return arith::ConstantIndexOp::create(b, value);
  };
  Value base = op.getLhs(), exponent = op.getRhs();
  Value one = constant(1);
  auto loop = scf::ForOp::create(b, index(0), index(width), index(1),
                                 ValueRange{one, base, exponent});
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    ValueRange state = loop.getRegionIterArgs();
    Value bit = arith::AndIOp::create(b, state[2], one);
    Value isSet = compare(arith::CmpIPredicate::ne, bit, 0);
    Value product = arith::MulIOp::create(b, state[0], state[1]);
    Value result = arith::SelectOp::create(b, isSet, product, state[0]);
    Value square = arith::MulIOp::create(b, state[1], state[1]);
    Value rest = arith::ShRUIOp::create(b, state[2], one);
    scf::YieldOp::create(b, ValueRange{result, square, rest});
  }
  // A negative power is the integer part of a fraction: only 1 and -1 have one.
  Value odd = compare(arith::CmpIPredicate::ne,
                      arith::AndIOp::create(b, exponent, one), 0);
  Value minusOne = arith::SelectOp::create(b, odd, constant(-1), one);
  Value fraction = arith::SelectOp::create(
      b, compare(arith::CmpIPredicate::eq, base, -1), minusOne, constant(0));
  fraction = arith::SelectOp::create(
      b, compare(arith::CmpIPredicate::eq, base, 1), one, fraction);
  return arith::SelectOp::create(
      b, compare(arith::CmpIPredicate::slt, exponent, 0), fraction,
      loop.getResult(0));
}

namespace {
class ExpandMath : public lathe::impl::ExpandMathBase<ExpandMath> {
public:
  using ExpandMathBase::ExpandMathBase;

  void runOnOperation() override {
    SmallVector<Operation *> ops;
    getOperation()->walk([&](Operation *op) { ops.push_back(op); });
    for (Operation *op : ops)
      expand(op);
  }

private:
  void expand(Operation *op) {
    ImplicitLocOpBuilder b(op->getLoc(), op);
    TypeSwitch<Operation *>(op)
        .Case([&](math::IPowIOp power) {
          replace(op, expandIntegerPower(b, power));
        })
        .Case([&](math::FPowIOp power) { expandMixedPower(b, power); })
        .Case([&](math::SincosOp both) {
          Value sin = math::SinOp::create(b, both.getOperand());
          Value cos = math::CosOp::create(b, both.getOperand());
          op->replaceAllUsesWith(ValueRange{sin, cos});
          op->erase();
          expand(sin.getDefiningOp());
          expand(cos.getDefiningOp());
        })
        .Case<math::FmaOp, vector::FMAOp>([&](auto) {
          if (hasFma)
            return;
          Value product =
              arith::MulFOp::create(b, op->getOperand(0), op->getOperand(1));
          replace(op, arith::AddFOp::create(b, product, op->getOperand(2)));
        })
        .Case([&](arith::TruncFOp) { expandTruncation(b, op); })
        .Case([&](arith::ExtFOp) { expandExtension(b, op); })
        .Case<arith::SIToFPOp, arith::UIToFPOp>(
            [&](auto) { expandFromInteger(b, op); })
        .Default([&](Operation *) {
          if (op->getNumResults() == 1 &&
              isa_and_nonnull<math::MathDialect, arith::ArithDialect>(
                  op->getDialect()))
            expandAny(b, op);
        });
  }

  /// An operation on f32 or f64, or on a smaller type by way of f32.
  void expandAny(ImplicitLocOpBuilder &b, Operation *op) {
    Type type = op->getResult(0).getType();
    auto element = dyn_cast<FloatType>(getElementTypeOrSelf(type));
    if (!element || op->getNumOperands() == 0 ||
        llvm::any_of(op->getOperandTypes(),
                     [&](Type operand) { return operand != type; }))
      return;
    if (element.isF32() || element.isF64()) {
      if (Value value = expandFloat(b, op, op->getOperands(), hasFma))
        replace(op, value);
      return;
    }
    if (element.getWidth() > 32 || !isa<math::MathDialect>(op->getDialect()))
      return;
    Type wide = withElement(type, b.getF32Type());
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(arith::ExtFOp::create(b, wide, operand));
    Operation *clone = b.create(op->getLoc(), op->getName().getIdentifier(),
                                operands, wide, op->getAttrs());
    Operation *narrow = arith::TruncFOp::create(b, type, clone->getResult(0));
    replace(op, narrow->getResult(0));
    for (Value operand : operands)
      expand(operand.getDefiningOp());
    expand(narrow);
    expand(clone);
  }

  /// To a 16-bit float, from f32 or f64.
  void expandTruncation(ImplicitLocOpBuilder &b, Operation *op) {
    Type element = getElementTypeOrSelf(op->getResult(0).getType());
    Value x = op->getOperand(0);
    bool isBFloat = element.isBF16();
    bool fromDouble = getElementTypeOrSelf(x.getType()).isF64();
    if (!isBFloat && !(element.isF16() && (fromDouble || !hasHalf)))
      return;
    if (fromDouble)
      x = truncateToOdd(b, x);
    if (!isBFloat && hasHalf)
      return replace(op,
                     arith::TruncFOp::create(b, op->getResult(0).getType(), x));
    replace(op, isBFloat ? truncateToBFloat(b, x) : truncateToHalf(b, x));
  }

  void expandExtension(ImplicitLocOpBuilder &b, Operation *op) {
    Value x = op->getOperand(0);
    if (hasHalf || !getElementTypeOrSelf(x.getType()).isF16())
      return;
    Value value = extendHalf(b, x);
    Type type = op->getResult(0).getType();
    if (value.getType() != type)
      value = arith::ExtFOp::create(b, type, value);
    replace(op, value);
  }

  /// Integers reach a 16-bit float through f64, which rounds only once.
  void expandFromInteger(ImplicitLocOpBuilder &b, Operation *op) {
    Type type = op->getResult(0).getType();
    if (getElementTypeOrSelf(type).getIntOrFloatBitWidth() != 16)
      return;
    Operation *wide =
        b.create(op->getLoc(), op->getName().getIdentifier(), op->getOperands(),
                 withElement(type, b.getF64Type()), op->getAttrs());
    Operation *narrow = arith::TruncFOp::create(b, type, wide->getResult(0));
    replace(op, narrow->getResult(0));
    expand(narrow);
  }

  /// x^n with an integer n: exact in f64, which holds every i32.
  void expandMixedPower(ImplicitLocOpBuilder &b, math::FPowIOp op) {
    Type wide = withElement(op.getType(), b.getF64Type());
    Value x = op.getLhs();
    bool isDouble = x.getType() == wide;
    if (!isDouble)
      x = arith::ExtFOp::create(b, wide, x);
    Value n = arith::SIToFPOp::create(b, wide, op.getRhs());
    Value value = MathFunctions(b, wide, hasFma).pow(x, n);
    if (isDouble)
      return replace(op, value);
    Operation *narrow = arith::TruncFOp::create(b, op.getType(), value);
    replace(op, narrow->getResult(0));
    expand(narrow);
    expand(x.getDefiningOp());
  }

  void replace(Operation *op, Value value) {
    op->getResult(0).replaceAllUsesWith(value);
    op->erase();
  }
};
} // namespace
