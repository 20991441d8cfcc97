//===- Scalars.h - scalar computations of ONNX ------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// An ONNX element type has a storage type, which tensors have, and a compute
// type, which scalars have while something is computed:
//
//   ONNX            storage     compute
//   f32 f64         same        same
//   f16 bf16        same        f32: every operation rounds its result once
//   f8*, f4         i8 (bits)   f32
//   i8 ... i64      same        same
//   ui8 ... ui64    signless    signless; the ONNX type says how to compare
//   i4 ui4 i2 ui2   i8          i8, extended by sign or zeros
//   i1              i8 (0, 1)   i1
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_LOWER_SCALARS_H
#define LATHE_LIB_LOWER_SCALARS_H

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace lathe {

/// What an element is in a tensor.
mlir::Type getStorageType(mlir::Type onnx);
/// What an element is while it is computed with.
mlir::Type getComputeType(mlir::Type onnx);
/// `ui8` and the like, and booleans.
bool isUnsigned(mlir::Type onnx);
/// Bytes of one element in memory.
int64_t getStorageBytes(mlir::Type onnx);

/// Builds scalar operations. Floats and integers share names where the meaning
/// is one; results have the type of the operands.
class Scalars : public mlir::ImplicitLocOpBuilder {
public:
  using ImplicitLocOpBuilder::ImplicitLocOpBuilder;
  using Value = mlir::Value;
  using Type = mlir::Type;

  // Constants; an integer type takes the truncated number.
  Value constant(Type type, double value);
  Value integer(Type type, int64_t value);
  Value like(Value x, double value) { return constant(x.getType(), value); }
  Value boolean(bool value) { return integer(getI1Type(), value); }
  Value index(int64_t value) { return integer(getIndexType(), value); }

  Value add(Value x, Value y);
  Value sub(Value x, Value y);
  Value mul(Value x, Value y);
  Value neg(Value x);
  /// Floats: IEEE. Integers: toward zero; a zero divisor counts as 1, and
  /// INT_MIN / -1 is INT_MIN.
  Value div(Value x, Value y, bool isUnsigned = false);
  /// Remainder with the sign of the dividend (C's % and fmod).
  Value rem(Value x, Value y, bool isUnsigned = false);
  Value abs(Value x);
  /// NaN if either is NaN.
  Value min(Value x, Value y, bool isUnsigned = false);
  Value max(Value x, Value y, bool isUnsigned = false);

  Value lt(Value x, Value y, bool isUnsigned = false);
  Value le(Value x, Value y, bool isUnsigned = false);
  Value gt(Value x, Value y, bool isUnsigned = false) {
    return lt(y, x, isUnsigned);
  }
  Value ge(Value x, Value y, bool isUnsigned = false) {
    return le(y, x, isUnsigned);
  }
  Value eq(Value x, Value y);
  /// True for a NaN on either side.
  Value ne(Value x, Value y);
  Value isNaN(Value x);
  Value isInf(Value x);
  Value select(Value condition, Value x, Value y);
  Value logicalAnd(Value x, Value y);
  Value logicalOr(Value x, Value y);
  Value logicalXor(Value x, Value y);
  Value logicalNot(Value x);
  Value bitAnd(Value x, Value y);
  Value bitOr(Value x, Value y);
  Value bitXor(Value x, Value y);
  Value shiftLeft(Value x, Value y);
  /// Zeros move in.
  Value shiftRight(Value x, Value y);
  Value shiftRightSigned(Value x, Value y);

  Value exp(Value x);
  Value log(Value x);
  Value sqrt(Value x);
  Value tanh(Value x);
  Value erf(Value x);
  Value sin(Value x);
  Value cos(Value x);
  Value pow(Value x, Value y);
  Value floor(Value x);
  Value ceil(Value x);
  Value trunc(Value x);
  Value roundEven(Value x);
  Value sigmoid(Value x);
  Value recip(Value x) { return div(like(x, 1.0), x); }
  /// ln(1 + x), exact for small x.
  Value log1p(Value x);
  /// e^x - 1, exact for small x.
  Value expm1(Value x);
  Value clamp(Value x, double low, double high);

  /// To a wider or narrower number of the same kind.
  Value toFloat(Value x, Type type, bool isUnsigned = false);
  /// Toward zero. What does not fit gives the smallest number of the type, as
  /// x86 does it; narrow types take the low bits of the 32-bit result.
  Value toInteger(Value x, Type type, bool isUnsigned = false);
  Value toIndex(Value x, bool isUnsigned = false);
  Value fromIndex(Value x, Type type);
  Value resize(Value x, Type type, bool isUnsigned);
  Value bitcast(Value x, Type type);

  /// A loop over [lower, upper) that carries values.
  llvm::SmallVector<Value>
  loop(Value lower, Value upper, mlir::ValueRange inits,
       llvm::function_ref<llvm::SmallVector<Value>(Value, mlir::ValueRange)>
           body);
  /// A parallel loop over the box of `sizes`; only outside of other loops of
  /// a kernel.
  void forall(llvm::ArrayRef<Value> sizes,
              llvm::function_ref<void(mlir::ValueRange)> body);
  /// Nested loops over the box of `sizes`.
  void nest(llvm::ArrayRef<Value> sizes,
            llvm::function_ref<void(mlir::ValueRange)> body);
  /// `condition ? then() : otherwise()`, only the taken side computed.
  Value choose(Value condition, Type type, llvm::function_ref<Value()> then,
               llvm::function_ref<Value()> otherwise);
  void ifThen(Value condition, llvm::function_ref<void()> body);

  /// Between a tensor's element and the scalar that stands for it.
  Value load(Value stored, Type onnx);
  Value store(Value computed, Type onnx);
  /// ONNX Cast between compute scalars. `saturate` is for the 8-bit floats.
  Value cast(Value x, Type from, Type to, bool saturate = true);
  /// What storing as `onnx` and loading again gives: rounding of f16 and bf16
  /// inside a fused computation.
  Value round(Value x, Type onnx) { return load(store(x, onnx), onnx); }

private:
  Value loadSmallFloat(Value bits, mlir::FloatType type);
  Value storeSmallFloat(Value x, mlir::FloatType type, bool saturate);
};

} // namespace lathe

#endif // LATHE_LIB_LOWER_SCALARS_H
