//===- Scalars.cpp - scalar computations of ONNX --------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Scalars.h"

using namespace mlir;
using namespace lathe;

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

static unsigned widthOf(Type type) { return type.getIntOrFloatBitWidth(); }

/// A float of at most 8 bits, which is computed from its bits.
static bool isSmallFloat(Type type) {
  return isa<FloatType>(type) && widthOf(type) <= 8;
}

Type lathe::getStorageType(Type onnx) {
  MLIRContext *context = onnx.getContext();
  if (isSmallFloat(onnx))
    return IntegerType::get(context, 8);
  if (isa<IntegerType>(onnx))
    return IntegerType::get(context, std::max(8u, widthOf(onnx)));
  return onnx;
}

Type lathe::getComputeType(Type onnx) {
  MLIRContext *context = onnx.getContext();
  if (isa<FloatType>(onnx))
    return onnx.isF64() ? onnx : Type(Float32Type::get(context));
  return onnx.isInteger(1) ? onnx : getStorageType(onnx);
}

bool lathe::isUnsigned(Type onnx) {
  return onnx.isUnsignedInteger() || onnx.isInteger(1);
}

int64_t lathe::getStorageBytes(Type onnx) {
  return widthOf(getStorageType(onnx)) / 8;
}

//===----------------------------------------------------------------------===//
// Constants and arithmetic
//===----------------------------------------------------------------------===//

static bool isFloat(Value x) { return isa<FloatType>(x.getType()); }

Value Scalars::constant(Type type, double value) {
  if (isa<FloatType>(type))
    return arith::ConstantOp::create(*this, getFloatAttr(type, value));
  return integer(type, static_cast<int64_t>(value));
}

Value Scalars::integer(Type type, int64_t value) {
  if (type.isIndex())
    return arith::ConstantIndexOp::create(*this, value);
  if (isa<FloatType>(type))
    return constant(type, static_cast<double>(value));
  APInt bits(64, value, /*isSigned=*/true);
  return arith::ConstantOp::create(
      *this, IntegerAttr::get(type, bits.sextOrTrunc(widthOf(type))));
}

Value Scalars::add(Value x, Value y) {
  if (isFloat(x))
    return createOrFold<arith::AddFOp>(x, y);
  return createOrFold<arith::AddIOp>(x, y);
}

Value Scalars::sub(Value x, Value y) {
  if (isFloat(x))
    return createOrFold<arith::SubFOp>(x, y);
  return createOrFold<arith::SubIOp>(x, y);
}

Value Scalars::mul(Value x, Value y) {
  if (isFloat(x))
    return createOrFold<arith::MulFOp>(x, y);
  return createOrFold<arith::MulIOp>(x, y);
}

Value Scalars::neg(Value x) {
  if (isFloat(x))
    return createOrFold<arith::NegFOp>(x);
  return sub(integer(x.getType(), 0), x);
}

/// A divisor that LLVM defines the division for.
static Value safeDivisor(Scalars &s, Value x, Value y, bool isUnsigned) {
  Value one = s.integer(y.getType(), 1);
  Value bad = s.eq(y, s.integer(y.getType(), 0));
  if (!isUnsigned) {
    // INT_MIN / -1 overflows; -x / 1 is the same number.
    Type type = y.getType();
    unsigned width = type.isIndex() ? 64 : widthOf(type);
    Value smallest = s.integer(type, int64_t(1) << (width - 1));
    Value overflow =
        s.logicalAnd(s.eq(x, smallest), s.eq(y, s.integer(type, -1)));
    bad = s.logicalOr(bad, overflow);
  }
  return s.select(bad, one, y);
}

Value Scalars::div(Value x, Value y, bool isUnsigned) {
  if (isFloat(x))
    return createOrFold<arith::DivFOp>(x, y);
  y = safeDivisor(*this, x, y, isUnsigned);
  if (isUnsigned)
    return createOrFold<arith::DivUIOp>(x, y);
  return createOrFold<arith::DivSIOp>(x, y);
}

Value Scalars::rem(Value x, Value y, bool isUnsigned) {
  if (isFloat(x))
    return createOrFold<arith::RemFOp>(x, y);
  y = safeDivisor(*this, x, y, isUnsigned);
  if (isUnsigned)
    return createOrFold<arith::RemUIOp>(x, y);
  return createOrFold<arith::RemSIOp>(x, y);
}

Value Scalars::abs(Value x) {
  if (isFloat(x))
    return math::AbsFOp::create(*this, x);
  return select(lt(x, integer(x.getType(), 0)), neg(x), x);
}

Value Scalars::min(Value x, Value y, bool isUnsigned) {
  if (isFloat(x))
    return createOrFold<arith::MinimumFOp>(x, y);
  if (isUnsigned)
    return createOrFold<arith::MinUIOp>(x, y);
  return createOrFold<arith::MinSIOp>(x, y);
}

Value Scalars::max(Value x, Value y, bool isUnsigned) {
  if (isFloat(x))
    return createOrFold<arith::MaximumFOp>(x, y);
  if (isUnsigned)
    return createOrFold<arith::MaxUIOp>(x, y);
  return createOrFold<arith::MaxSIOp>(x, y);
}

//===----------------------------------------------------------------------===//
// Comparison and logic
//===----------------------------------------------------------------------===//

Value Scalars::lt(Value x, Value y, bool isUnsigned) {
  if (isFloat(x))
    return createOrFold<arith::CmpFOp>(arith::CmpFPredicate::OLT, x, y);
  return createOrFold<arith::CmpIOp>(
      isUnsigned ? arith::CmpIPredicate::ult : arith::CmpIPredicate::slt, x, y);
}

Value Scalars::le(Value x, Value y, bool isUnsigned) {
  if (isFloat(x))
    return createOrFold<arith::CmpFOp>(arith::CmpFPredicate::OLE, x, y);
  return createOrFold<arith::CmpIOp>(
      isUnsigned ? arith::CmpIPredicate::ule : arith::CmpIPredicate::sle, x, y);
}

Value Scalars::eq(Value x, Value y) {
  if (isFloat(x))
    return createOrFold<arith::CmpFOp>(arith::CmpFPredicate::OEQ, x, y);
  return createOrFold<arith::CmpIOp>(arith::CmpIPredicate::eq, x, y);
}

Value Scalars::ne(Value x, Value y) {
  if (isFloat(x))
    return createOrFold<arith::CmpFOp>(arith::CmpFPredicate::UNE, x, y);
  return createOrFold<arith::CmpIOp>(arith::CmpIPredicate::ne, x, y);
}

Value Scalars::isNaN(Value x) {
  return createOrFold<arith::CmpFOp>(arith::CmpFPredicate::UNO, x, x);
}

Value Scalars::isInf(Value x) {
  return eq(abs(x), like(x, std::numeric_limits<double>::infinity()));
}

Value Scalars::select(Value condition, Value x, Value y) {
  return createOrFold<arith::SelectOp>(condition, x, y);
}

Value Scalars::logicalAnd(Value x, Value y) {
  return createOrFold<arith::AndIOp>(x, y);
}
Value Scalars::logicalOr(Value x, Value y) {
  return createOrFold<arith::OrIOp>(x, y);
}
Value Scalars::logicalXor(Value x, Value y) {
  return createOrFold<arith::XOrIOp>(x, y);
}
Value Scalars::logicalNot(Value x) { return logicalXor(x, boolean(true)); }
Value Scalars::bitAnd(Value x, Value y) { return logicalAnd(x, y); }
Value Scalars::bitOr(Value x, Value y) { return logicalOr(x, y); }
Value Scalars::bitXor(Value x, Value y) { return logicalXor(x, y); }

Value Scalars::shiftLeft(Value x, Value y) {
  return createOrFold<arith::ShLIOp>(x, y);
}
Value Scalars::shiftRight(Value x, Value y) {
  return createOrFold<arith::ShRUIOp>(x, y);
}
Value Scalars::shiftRightSigned(Value x, Value y) {
  return createOrFold<arith::ShRSIOp>(x, y);
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

Value Scalars::exp(Value x) { return math::ExpOp::create(*this, x); }
Value Scalars::log(Value x) { return math::LogOp::create(*this, x); }
Value Scalars::sqrt(Value x) { return math::SqrtOp::create(*this, x); }
Value Scalars::tanh(Value x) { return math::TanhOp::create(*this, x); }
Value Scalars::erf(Value x) { return math::ErfOp::create(*this, x); }
Value Scalars::sin(Value x) { return math::SinOp::create(*this, x); }
Value Scalars::cos(Value x) { return math::CosOp::create(*this, x); }
Value Scalars::pow(Value x, Value y) {
  return math::PowFOp::create(*this, x, y);
}
Value Scalars::floor(Value x) { return math::FloorOp::create(*this, x); }
Value Scalars::ceil(Value x) { return math::CeilOp::create(*this, x); }
Value Scalars::trunc(Value x) { return math::TruncOp::create(*this, x); }
Value Scalars::roundEven(Value x) {
  return math::RoundEvenOp::create(*this, x);
}
Value Scalars::log1p(Value x) { return math::Log1pOp::create(*this, x); }
Value Scalars::expm1(Value x) { return math::ExpM1Op::create(*this, x); }

Value Scalars::sigmoid(Value x) {
  return div(like(x, 1.0), add(like(x, 1.0), exp(neg(x))));
}

Value Scalars::clamp(Value x, double low, double high) {
  return min(max(x, like(x, low)), like(x, high));
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

SmallVector<Value>
Scalars::loop(Value lower, Value upper, ValueRange inits,
              function_ref<SmallVector<Value>(Value, ValueRange)> body) {
  Value step = index(1);
  auto loop = scf::ForOp::create(*this, lower, upper, step, inits);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(loop.getBody());
  SmallVector<Value> results =
      body(loop.getInductionVar(), loop.getRegionIterArgs());
  // Without inits the builder of scf.for has made the terminator.
  if (!inits.empty())
    scf::YieldOp::create(*this, results);
  return llvm::to_vector_of<Value>(loop.getResults());
}

void Scalars::forall(ArrayRef<Value> sizes,
                     function_ref<void(ValueRange)> body) {
  SmallVector<OpFoldResult> bounds(sizes.begin(), sizes.end());
  auto loop = scf::ForallOp::create(*this, bounds, ValueRange(), std::nullopt);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVars());
}

void Scalars::nest(ArrayRef<Value> sizes, function_ref<void(ValueRange)> body) {
  OpBuilder::InsertionGuard guard(*this);
  SmallVector<Value> coords;
  for (Value size : sizes) {
    auto loop = scf::ForOp::create(*this, index(0), size, index(1));
    coords.push_back(loop.getInductionVar());
    setInsertionPointToStart(loop.getBody());
  }
  body(coords);
}

Value Scalars::choose(Value condition, Type type, function_ref<Value()> then,
                      function_ref<Value()> otherwise) {
  auto branch =
      scf::IfOp::create(*this, TypeRange{type}, condition, /*else=*/true);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(&branch.getThenRegion().front());
  scf::YieldOp::create(*this, then());
  setInsertionPointToStart(&branch.getElseRegion().front());
  scf::YieldOp::create(*this, otherwise());
  return branch.getResult(0);
}

void Scalars::ifThen(Value condition, function_ref<void()> body) {
  auto branch = scf::IfOp::create(*this, condition, /*else=*/false);
  OpBuilder::InsertionGuard guard(*this);
  setInsertionPointToStart(&branch.getThenRegion().front());
  body();
}

//===----------------------------------------------------------------------===//
// Conversions
//===----------------------------------------------------------------------===//

Value Scalars::toFloat(Value x, Type type, bool isUnsigned) {
  if (x.getType() == type)
    return x;
  if (isFloat(x))
    return widthOf(x.getType()) < widthOf(type)
               ? createOrFold<arith::ExtFOp>(type, x)
               : createOrFold<arith::TruncFOp>(type, x);
  if (x.getType().isIndex())
    x = createOrFold<arith::IndexCastOp>(getI64Type(), x);
  if (isUnsigned)
    return createOrFold<arith::UIToFPOp>(type, x);
  return createOrFold<arith::SIToFPOp>(type, x);
}

Value Scalars::toInteger(Value x, Type type, bool isUnsigned) {
  if (!isFloat(x))
    return resize(x, type, isUnsigned);
  // The conversion that x86 has is of 32 or 64 bits; a float beyond it gives
  // the smallest number. Without the test LLVM promises nothing.
  unsigned width = widthOf(type);
  bool wide = width > 32 || (width == 32 && isUnsigned);
  Type via = wide ? getI64Type() : getI32Type();
  double limit = wide ? 9223372036854775808.0 : 2147483648.0;
  Value fits = logicalAnd(ge(x, like(x, -limit)), lt(x, like(x, limit)));
  Value safe = select(fits, x, like(x, 0.0));
  Value number = arith::FPToSIOp::create(*this, via, safe);
  number = select(fits, number, integer(via, int64_t(1) << (wide ? 63 : 31)));
  if (width == 64 && isUnsigned) {
    // From 2^63 on.
    Value high = logicalAnd(ge(x, like(x, limit)), lt(x, like(x, 2 * limit)));
    Value rest = select(high, sub(x, like(x, limit)), like(x, 0.0));
    Value low = arith::FPToSIOp::create(*this, via, rest);
    number = select(high, bitXor(low, integer(via, int64_t(1) << 63)), number);
  }
  return resize(number, type, /*isUnsigned=*/false);
}

Value Scalars::resize(Value x, Type type, bool isUnsigned) {
  if (x.getType() == type)
    return x;
  if (x.getType().isIndex() || type.isIndex()) {
    if (isUnsigned)
      return createOrFold<arith::IndexCastUIOp>(type, x);
    return createOrFold<arith::IndexCastOp>(type, x);
  }
  if (widthOf(x.getType()) > widthOf(type))
    return createOrFold<arith::TruncIOp>(type, x);
  if (isUnsigned)
    return createOrFold<arith::ExtUIOp>(type, x);
  return createOrFold<arith::ExtSIOp>(type, x);
}

Value Scalars::toIndex(Value x, bool isUnsigned) {
  if (isFloat(x))
    x = toInteger(x, getI64Type());
  return resize(x, getIndexType(), isUnsigned || x.getType().isInteger(1));
}

Value Scalars::fromIndex(Value x, Type type) {
  if (isa<FloatType>(type))
    return toFloat(x, type);
  if (type.isInteger(1))
    return ne(x, index(0));
  return resize(x, type, /*isUnsigned=*/false);
}

Value Scalars::bitcast(Value x, Type type) {
  return x.getType() == type ? x : createOrFold<arith::BitcastOp>(type, x);
}

/// How the bits of an 8-bit or 4-bit float are read: sign, exponent, mantissa.
namespace {
struct SmallFormat {
  unsigned mantissa;
  int bias;
  /// Bit patterns without sign.
  unsigned largest, infinity, nan;
  /// The one NaN is the pattern of -0.
  bool isUnsignedZero;
};
} // namespace

static SmallFormat getFormat(FloatType type) {
  if (isa<Float8E4M3FNType>(type))
    return {3, 7, 0x7E, 0x7F, 0x7F, false};
  if (isa<Float8E4M3FNUZType>(type))
    return {3, 8, 0x7F, 0x80, 0x80, true};
  if (isa<Float8E5M2Type>(type))
    return {2, 15, 0x7B, 0x7C, 0x7F, false};
  if (isa<Float8E5M2FNUZType>(type))
    return {2, 16, 0x7F, 0x80, 0x80, true};
  // f4E2M1FN: neither infinity nor NaN; a NaN becomes -0.
  return {1, 1, 0x7, 0x8, 0x8, false};
}

Value Scalars::loadSmallFloat(Value bits, FloatType type) {
  Type i32 = getI32Type(), f32 = getF32Type();
  Value word = resize(bits, i32, /*isUnsigned=*/true);
  auto imm = [&](int64_t value) { return integer(i32, value); };
  if (isa<Float8E8M0FNUType>(type)) {
    // 2^(bits - 127); 255 is NaN, 0 is the subnormal 2^-127.
    Value power = bitcast(shiftLeft(word, imm(23)), f32);
    power =
        select(eq(word, imm(0)), constant(f32, std::ldexp(1.0, -127)), power);
    return select(eq(word, imm(255)),
                  constant(f32, std::numeric_limits<double>::quiet_NaN()),
                  power);
  }
  SmallFormat format = getFormat(type);
  unsigned signBit = widthOf(type) - 1;
  Value magnitude = bitAnd(word, imm((1 << signBit) - 1));
  Value negative = ne(bitAnd(word, imm(1 << signBit)), imm(0));
  Value fraction =
      mul(toFloat(magnitude, f32),
          constant(f32, std::ldexp(1.0, 1 - format.bias - format.mantissa)));
  Value normal = bitcast(add(shiftLeft(magnitude, imm(23 - format.mantissa)),
                             imm(int64_t(127 - format.bias) << 23)),
                         f32);
  Value value =
      select(lt(magnitude, imm(1 << format.mantissa)), fraction, normal);
  Value nan = constant(f32, std::numeric_limits<double>::quiet_NaN());
  if (format.infinity != format.nan)
    value =
        select(eq(magnitude, imm(format.infinity)),
               constant(f32, std::numeric_limits<double>::infinity()), value);
  value = select(negative, neg(value), value);
  if (format.isUnsignedZero)
    return select(eq(word, imm(0x80)), nan, value);
  if (widthOf(type) == 8)
    value = select(
        gt(magnitude, imm(format.infinity == format.nan ? format.largest
                                                        : format.infinity)),
        nan, value);
  return value;
}

Value Scalars::storeSmallFloat(Value x, FloatType type, bool saturate) {
  Type i32 = getI32Type(), f32 = getF32Type(), i8 = getI8Type();
  auto imm = [&](int64_t value) { return integer(i32, value); };
  x = toFloat(x, f32);
  Value bits = bitcast(x, i32);
  Value nan = isNaN(x);
  Value magnitudeBits = bitAnd(bits, imm(0x7FFFFFFF));
  if (isa<Float8E8M0FNUType>(type)) {
    // The power of two above (ONNX's default rounding is "up").
    Value exponent = shiftRight(magnitudeBits, imm(23));
    Value fraction = bitAnd(magnitudeBits, imm(0x7FFFFF));
    Value up = ne(fraction, imm(0));
    Value result = select(up, add(exponent, imm(1)), exponent);
    Value top = imm(saturate ? 254 : 255);
    result = select(gt(result, imm(254)), top, result);
    return resize(select(nan, imm(255), result), i8, false);
  }
  SmallFormat format = getFormat(type);
  unsigned signBit = widthOf(type) - 1;
  unsigned dropped = 23 - format.mantissa;
  Value magnitude = bitcast(magnitudeBits, f32);

  // Round to even at the kept bits; a carry moves into the exponent.
  Value odd = bitAnd(shiftRight(magnitudeBits, imm(dropped)), imm(1));
  Value rounded = add(add(magnitudeBits, imm((1 << (dropped - 1)) - 1)), odd);
  Value normal = sub(shiftRight(rounded, imm(dropped)),
                     imm(int64_t(127 - format.bias) << format.mantissa));
  double unit = std::ldexp(1.0, 1 - format.bias - format.mantissa);
  double smallest = std::ldexp(1.0, 1 - format.bias);
  Value isSmall = lt(magnitude, like(magnitude, smallest));
  Value scaled = roundEven(mul(select(isSmall, magnitude, like(magnitude, 0.0)),
                               like(magnitude, 1.0 / unit)));
  Value fraction = arith::FPToSIOp::create(*this, i32, scaled);
  Value result = select(isSmall, fraction, normal);

  bool clamps = saturate || widthOf(type) == 4;
  Value beyond = gt(result, imm(format.largest));
  result =
      select(beyond, imm(clamps ? format.largest : format.infinity), result);
  if (!clamps) {
    // An infinity stays one where the format has it.
    result = select(isInf(x), imm(format.infinity), result);
  }
  Value sign = bitAnd(shiftRight(bits, imm(31 - signBit)), imm(1 << signBit));
  if (format.isUnsignedZero) {
    // Neither -0 nor a signed NaN.
    Value plain = logicalOr(eq(result, imm(0)), eq(result, imm(0x80)));
    sign = select(plain, imm(0), sign);
  }
  result = bitOr(result, sign);
  result = select(nan, imm(format.nan), result);
  return resize(result, i8, false);
}

Value Scalars::load(Value stored, Type onnx) {
  if (isSmallFloat(onnx))
    return loadSmallFloat(stored, mlir::cast<FloatType>(onnx));
  if (isa<FloatType>(onnx))
    return toFloat(stored, getComputeType(onnx));
  if (onnx.isInteger(1))
    return stored.getType().isInteger(1)
               ? stored
               : ne(stored, integer(stored.getType(), 0));
  unsigned width = widthOf(onnx);
  if (width >= 8 || isUnsigned(onnx))
    return stored;
  Value shift = integer(stored.getType(), 8 - width);
  return shiftRightSigned(shiftLeft(stored, shift), shift);
}

Value Scalars::store(Value computed, Type onnx) {
  if (isSmallFloat(onnx))
    return storeSmallFloat(computed, mlir::cast<FloatType>(onnx),
                           /*saturate=*/true);
  if (isa<FloatType>(onnx))
    return toFloat(computed, onnx);
  if (onnx.isInteger(1))
    return resize(computed, getStorageType(onnx), /*isUnsigned=*/true);
  unsigned width = widthOf(onnx);
  if (width >= 8)
    return computed;
  return bitAnd(computed, integer(computed.getType(), (1 << width) - 1));
}

Value Scalars::cast(Value x, Type from, Type to, bool saturate) {
  if (from == to)
    return x;
  Type type = getComputeType(to);
  if (to.isInteger(1))
    return ne(x, like(x, 0.0));
  if (isSmallFloat(to)) {
    Value number = toFloat(x, getF32Type(), isUnsigned(from));
    return loadSmallFloat(
        storeSmallFloat(number, mlir::cast<FloatType>(to), saturate),
        mlir::cast<FloatType>(to));
  }
  if (isa<FloatType>(to)) {
    Value number = toFloat(x, type, isUnsigned(from));
    bool narrows = widthOf(to) < 32 &&
                   !(isa<FloatType>(from) && widthOf(from) < widthOf(to));
    return narrows ? round(number, to) : number;
  }
  Value number = isFloat(x) ? toInteger(x, type, isUnsigned(to))
                            : resize(x, type, isUnsigned(from));
  // Narrow integers wrap.
  return widthOf(to) < 8 ? load(store(number, to), to) : number;
}
