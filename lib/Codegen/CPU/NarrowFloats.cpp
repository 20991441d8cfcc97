//===- NarrowFloats.cpp - conversions to 16-bit floats --------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NarrowFloats.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/BuiltinTypes.h"

using namespace mlir;
using namespace lathe;
using arith::CmpIPredicate;

namespace {

/// i32 arithmetic on scalars or vectors of the shape of one value.
class Words {
public:
  Words(ImplicitLocOpBuilder &b, Type shape) : b(b), shape(shape) {}

  Type type(Type element) const {
    if (auto vector = dyn_cast<VectorType>(shape))
      return vector.clone(element);
    return element;
  }
  Type i32() const { return type(b.getI32Type()); }

  Value constant(int64_t value) {
    TypedAttr attr =
        b.getIntegerAttr(b.getI32Type(), APInt(32, value, false, true));
    if (auto vector = dyn_cast<VectorType>(shape))
      attr = DenseElementsAttr::get(vector.clone(b.getI32Type()), attr);
    return arith::ConstantOp::create(b, attr);
  }
  Value bits(Value x) { return arith::BitcastOp::create(b, i32(), x); }
  Value floats(Value i) {
    return arith::BitcastOp::create(b, type(b.getF32Type()), i);
  }
  Value add(Value l, Value r) { return arith::AddIOp::create(b, l, r); }
  Value sub(Value l, Value r) { return arith::SubIOp::create(b, l, r); }
  Value land(Value l, int64_t r) {
    return arith::AndIOp::create(b, l, constant(r));
  }
  Value lor(Value l, Value r) { return arith::OrIOp::create(b, l, r); }
  Value right(Value l, int64_t r) {
    return arith::ShRUIOp::create(b, l, constant(r));
  }
  Value left(Value l, int64_t r) {
    return arith::ShLIOp::create(b, l, constant(r));
  }
  Value above(Value l, int64_t r) {
    return arith::CmpIOp::create(b, CmpIPredicate::ugt, l, constant(r));
  }
  Value select(Value condition, Value l, Value r) {
    return arith::SelectOp::create(b, condition, l, r);
  }
  /// The low 16 bits as a float of type `element`.
  Value narrow(Value i, Type element) {
    Value half = arith::TruncIOp::create(b, type(b.getIntegerType(16)), i);
    return arith::BitcastOp::create(b, type(element), half);
  }

private:
  ImplicitLocOpBuilder &b;
  Type shape;
};

} // namespace

Value lathe::truncateToBFloat(ImplicitLocOpBuilder &b, Value x) {
  Words w(b, x.getType());
  Value bits = w.bits(x);
  // A tie goes to the even neighbour; the carry may run into the exponent.
  Value isOdd = w.land(w.right(bits, 16), 1);
  Value rounded = w.add(bits, w.add(isOdd, w.constant(0x7fff)));
  // The carry would turn some NaN into a zero.
  Value isNan = w.above(w.land(bits, 0x7fffffff), 0x7f800000);
  Value result = w.select(isNan, w.lor(bits, w.constant(0x400000)), rounded);
  return w.narrow(w.right(result, 16), b.getBF16Type());
}

Value lathe::truncateToHalf(ImplicitLocOpBuilder &b, Value x) {
  Words w(b, x.getType());
  Value bits = w.bits(x);
  Value magnitude = w.land(bits, 0x7fffffff);
  Value sign = w.right(w.sub(bits, magnitude), 16);

  Value isOdd = w.land(w.right(magnitude, 13), 1);
  Value rebased = w.sub(magnitude, w.constant((127 - 15) << 23));
  Value normal = w.right(w.add(rebased, w.add(isOdd, w.constant(0xfff))), 13);
  // Adding 1/2 leaves a denormal of f16 in the low bits, rounded by the
  // processor.
  Value half = w.floats(w.constant(0x3f000000));
  Value sum = arith::AddFOp::create(b, w.floats(magnitude), half);
  Value denormal = w.sub(w.bits(sum), w.constant(0x3f000000));

  Value result = w.select(w.above(magnitude, 0x387fffff), normal, denormal);
  result = w.select(w.above(magnitude, 0x477fefff), w.constant(0x7c00), result);
  result = w.select(w.above(magnitude, 0x7f800000), w.constant(0x7e00), result);
  return w.narrow(w.lor(result, sign), b.getF16Type());
}

Value lathe::extendHalf(ImplicitLocOpBuilder &b, Value x) {
  Words w(b, x.getType());
  Value raw = arith::BitcastOp::create(b, w.type(b.getIntegerType(16)), x);
  Value bits = arith::ExtUIOp::create(b, w.i32(), raw);
  Value magnitude = w.left(w.land(bits, 0x7fff), 13);
  Value sign = w.left(w.land(bits, 0x8000), 16);
  // The exponent's bias differs by 112; a product also makes denormals normal.
  Value scale = w.floats(w.constant((127 + 112) << 23));
  Value scaled = w.bits(arith::MulFOp::create(b, w.floats(magnitude), scale));
  Value special = w.lor(magnitude, w.constant(0x7f800000));
  Value isSpecial = w.above(magnitude, (0x7c00 << 13) - 1);
  return w.floats(w.lor(w.select(isSpecial, special, scaled), sign));
}

Value lathe::truncateToOdd(ImplicitLocOpBuilder &b, Value x) {
  Words w(b, x.getType());
  Value nearest = arith::TruncFOp::create(b, w.type(b.getF32Type()), x);
  Value back = arith::ExtFOp::create(b, x.getType(), nearest);
  auto compare = [&](arith::CmpFPredicate predicate, Value l,
                     Value r) -> Value {
    return arith::CmpFOp::create(b, predicate, l, r);
  };
  Value inexact = compare(arith::CmpFPredicate::ONE, back, x);
  Value tooFar =
      compare(arith::CmpFPredicate::OGT, math::AbsFOp::create(b, back),
              math::AbsFOp::create(b, x));
  Value bits = w.bits(nearest);
  Value towardZero = w.select(tooFar, w.sub(bits, w.constant(1)), bits);
  Value odd = w.lor(towardZero, w.constant(1));
  return w.floats(w.select(inexact, odd, bits));
}
