//===- Quantization.cpp - numbers with scales and zero points -------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Convolution.h"

using namespace mlir;
using namespace lathe;
using Values = ArrayRef<Value>;
using Node = NodeLowering;

static Type f32Of(Node &n) { return n.t.getBuilder().getF32Type(); }
static Type i32Of(Node &n) { return n.t.getBuilder().getI32Type(); }

//===----------------------------------------------------------------------===//
// Scales
//===----------------------------------------------------------------------===//

/// A scale or zero point in a shape that broadcasts to `x`: one number, one
/// per entry of an axis, or one per block of an axis.
static Tensor spread(Node &n, const Tensor &parameter, const Tensor &x,
                     int64_t axis, int64_t blockSize) {
  if (blockSize > 0) {
    Tensor blocks =
        n.t.wrap(n.t.valueOf(parameter), parameter.element, parameter.shape);
    return n.t.generate(
        x.shape, parameter.element, [&](Scalars &s, ValueRange at) {
          SmallVector<Value> position(at);
          position[axis] = s.div(at[axis], s.index(blockSize), true);
          return n.t.load(s, blocks, position);
        });
  }
  if (parameter.rank() != 1)
    return parameter;
  if (parameter.shape[0].isConstant(1) || x.rank() == 0)
    return n.t.reshape(parameter, {});
  return n.t.expandAxes(
      parameter, llvm::to_vector(llvm::seq<int64_t>(1, x.rank() - axis)));
}

/// Rounds to the nearest number that ONNX type `to` has; integers saturate.
static Value saturate(Scalars &s, Value x, Value zero, Type to,
                      bool saturates) {
  if (isa<FloatType>(to))
    return s.cast(x, x.getType(), to, saturates);
  x = s.roundEven(x);
  if (zero)
    x = s.add(x, zero);
  unsigned width = to.getIntOrFloatBitWidth();
  bool isUnsigned = lathe::isUnsigned(to);
  double low = isUnsigned ? 0.0 : -std::ldexp(1.0, width - 1);
  double high = std::ldexp(1.0, isUnsigned ? width : width - 1) - 1;
  // By way of a type that holds all of them.
  Value whole = s.toInteger(s.clamp(x, low, high), s.getI32Type());
  return s.resize(whole, getComputeType(to), /*isUnsigned=*/false);
}

/// Integers less their zero points, as f32; floats as they are.
static Value centred(Scalars &s, Value x, Type element, Value zero,
                     Type zeroElement) {
  Type f32 = s.getF32Type();
  if (isa<FloatType>(element) || !zero)
    return s.cast(x, element, f32);
  Type i32 = s.getI32Type();
  Value difference =
      s.sub(s.cast(x, element, i32), s.cast(zero, zeroElement, i32));
  return s.toFloat(difference, f32);
}

//===----------------------------------------------------------------------===//
// QuantizeLinear, DequantizeLinear
//===----------------------------------------------------------------------===//

/// The axis of the scales; ONNX Runtime's operators have none by default.
static int64_t scaleAxis(Node &n, const Tensor &x) {
  if (x.rank() == 0)
    return 0;
  return n.axis(x.rank(), std::min<int64_t>(1, x.rank() - 1));
}

static LogicalResult lowerQuantize(Node &n) {
  Tensor x = n.in(0);
  int64_t axis = scaleAxis(n, x), block = n.op.getInt("block_size", 0);
  bool saturates = n.op.getInt("saturate", 1) != 0;
  SmallVector<Tensor> operands = {x, spread(n, n.in(1), x, axis, block)};
  if (n.has(2))
    operands.push_back(spread(n, n.in(2), x, axis, block));
  Type element = n.element(), f32 = f32Of(n);
  Type scaleElement = operands[1].element;
  n.set(n.t.mapTo(x.shape, operands, element, [&](Scalars &s, Values v) {
    Value number = s.cast(v[0], x.element, f32);
    Value quotient = s.div(number, s.cast(v[1], scaleElement, f32));
    Value zero;
    if (v.size() > 2 && !isa<FloatType>(element))
      zero = s.cast(v[2], operands[2].element, f32);
    return saturate(s, quotient, zero, element, saturates);
  }));
  return success();
}

static LogicalResult lowerDequantize(Node &n) {
  Tensor x = n.in(0);
  int64_t axis = scaleAxis(n, x), block = n.op.getInt("block_size", 0);
  SmallVector<Tensor> operands = {x, spread(n, n.in(1), x, axis, block)};
  if (n.has(2))
    operands.push_back(spread(n, n.in(2), x, axis, block));
  Type element = n.element(), f32 = f32Of(n);
  Type scaleElement = operands[1].element;
  n.set(n.t.mapTo(x.shape, operands, element, [&](Scalars &s, Values v) {
    Value number = v.size() > 2
                       ? centred(s, v[0], x.element, v[2], operands[2].element)
                       : s.cast(v[0], x.element, f32);
    Value product = s.mul(number, s.cast(v[1], scaleElement, f32));
    return s.cast(product, f32, element);
  }));
  return success();
}

//===----------------------------------------------------------------------===//
// DynamicQuantizeLinear
//===----------------------------------------------------------------------===//

namespace {
struct Dynamic {
  Tensor y, scale, zero; // u8, f32 [], u8 []
};
} // namespace

/// The range of `x` with 0 in it on 0 to 255.
static Dynamic quantizeDynamically(Node &n, const Tensor &x) {
  Type f32 = f32Of(n);
  Type u8 = n.t.getBuilder().getIntegerType(8, /*isSigned=*/false);
  SmallVector<int64_t> all = llvm::to_vector(llvm::seq<int64_t>(0, x.rank()));
  // Starting at 0 puts it into the range.
  auto extremum = [&](bool isMax) {
    return n.t.reduce(
        x, all, f32, FloatAttr::get(f32, 0.0),
        [](Scalars &, Values v) { return v[0]; },
        [&](Scalars &s, Value a, Value b) {
          return isMax ? s.max(a, b) : s.min(a, b);
        });
  };
  Tensor low = extremum(false), high = extremum(true);
  Dynamic result;
  result.scale = n.t.map({low, high}, f32, [](Scalars &s, Values v) {
    Value range = s.div(s.sub(v[1], v[0]), s.like(v[0], 255));
    return s.select(s.eq(v[0], v[1]), s.like(v[0], 1), range);
  });
  result.zero = n.t.map({low, result.scale}, u8, [&](Scalars &s, Values v) {
    return saturate(s, s.div(s.neg(v[0]), v[1]), {}, u8, true);
  });
  result.y = n.t.mapTo(
      x.shape, {x, result.scale, result.zero}, u8, [&](Scalars &s, Values v) {
        return saturate(s, s.div(v[0], v[1]), s.cast(v[2], u8, f32), u8, true);
      });
  return result;
}

static LogicalResult lowerDynamicQuantize(Node &n) {
  Dynamic result = quantizeDynamically(n, n.in(0));
  n.set(result.y, 0);
  n.set(result.scale, 1);
  n.set(result.zero, 2);
  return success();
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// A parameter of the rows of the left operand: one per row is a column.
static Tensor alongRows(Node &n, const Tensor &parameter) {
  if (parameter.rank() != 1)
    return parameter;
  if (parameter.shape[0].isConstant(1))
    return n.t.reshape(parameter, {});
  return n.t.expandAxes(parameter, int64_t(1));
}

/// `x` less its zero point, exact in i32; floats in f32.
static Tensor shifted(Node &n, const Tensor &x, const Tensor &zero) {
  bool isFloat = isa<FloatType>(x.element);
  Type type = isFloat ? f32Of(n) : i32Of(n);
  if (isFloat || !zero)
    return n.t.convert(x, type);
  return n.t.mapTo(x.shape, {n.t.convert(x, type), n.t.convert(zero, type)},
                   type,
                   [](Scalars &s, Values v) { return s.sub(v[0], v[1]); });
}

static Tensor product(Node &n, Tensor a, Tensor b, ArrayRef<Poly> shape) {
  if (a.element != b.element) {
    a = n.t.convert(a, f32Of(n));
    b = n.t.convert(b, f32Of(n));
  }
  if (a.rank() == 1)
    a = n.t.expandAxes(a, int64_t(0));
  if (b.rank() == 1)
    b = n.t.expandAxes(b, int64_t(1));
  return n.t.reshape(n.stage.matmul(a, b), shape);
}

/// `sums` times scales, onto the numbers of the result's type.
static Tensor requantize(Node &n, const Tensor &sums, const Tensor &left,
                         const Tensor &right, const Tensor &scale,
                         const Tensor &zero) {
  Type f32 = f32Of(n), element = n.element();
  auto wide = [&](const Tensor &x) { return n.t.convert(x, f32); };
  return n.t.mapTo(
      sums.shape,
      {wide(sums), wide(left), wide(right), wide(scale), wide(zero)}, element,
      [&](Scalars &s, Values v) {
        Value factor = s.div(s.mul(v[1], v[2]), v[3]);
        Value zero = isa<FloatType>(element) ? Value() : v[4];
        return saturate(s, s.mul(v[0], factor), zero, element, true);
      });
}

static Tensor scalarOf(Node &n, const Tensor &x) {
  return x.rank() == 1 ? n.t.reshape(x, {}) : x;
}

static LogicalResult lowerQLinearMatMul(Node &n) {
  Tensor a = shifted(n, n.in(0), alongRows(n, n.in(2)));
  Tensor b = shifted(n, n.in(3), n.in(5));
  Tensor sums = product(n, a, b, n.shape());
  n.set(requantize(n, sums, alongRows(n, n.in(1)), n.in(4),
                   scalarOf(n, n.in(6)), scalarOf(n, n.in(7))));
  return success();
}

static LogicalResult lowerQLinearConv(Node &n) {
  unsigned rank = n.in(0).rank();
  auto alongFilters = [&](const Tensor &x, int64_t trailing) {
    if (x.rank() != 1)
      return x;
    if (x.shape[0].isConstant(1))
      return n.t.reshape(x, {});
    return n.t.expandAxes(x,
                          llvm::to_vector(llvm::seq<int64_t>(1, trailing + 1)));
  };
  Tensor x = shifted(n, n.in(0), scalarOf(n, n.in(2)));
  Tensor weight = shifted(n, n.in(3), alongFilters(n.in(5), rank - 1));
  SymbolicShape shape = n.shape();
  SmallVector<int64_t> kernel = kernelShape(weight);
  if (llvm::is_contained(kernel, -1))
    return n.refuse("the extents of its kernel must be constant");
  FailureOr<Window> window = getWindow(n, x, kernel, shape);
  if (failed(window))
    return failure();
  Tensor sums =
      convolve(n, x, weight, *window, n.op.getInt("group", 1), shape, i32Of(n));
  if (n.has(8))
    sums = n.t.mapTo(shape, {sums, alongFilters(n.in(8), rank - 2)}, i32Of(n),
                     [](Scalars &s, Values v) { return s.add(v[0], v[1]); });
  n.set(requantize(n, sums, scalarOf(n, n.in(1)),
                   alongFilters(n.in(4), rank - 2), scalarOf(n, n.in(6)),
                   scalarOf(n, n.in(7))));
  return success();
}

//===----------------------------------------------------------------------===//
// Products of ONNX Runtime
//===----------------------------------------------------------------------===//

/// `sums` times the scales, plus a bias.
static Tensor scaleSums(Node &n, const Tensor &sums, const Tensor &left,
                        const Tensor &right, const Tensor &bias) {
  Type f32 = f32Of(n);
  SmallVector<Tensor> operands = {
      n.t.convert(sums, f32), n.t.convert(left, f32), n.t.convert(right, f32)};
  if (bias)
    operands.push_back(n.t.convert(bias, f32));
  return n.t.mapTo(sums.shape, operands, n.element(), [](Scalars &s, Values v) {
    Value scaled = s.mul(v[0], s.mul(v[1], v[2]));
    return v.size() > 3 ? s.add(scaled, v[3]) : scaled;
  });
}

static Tensor optional(Node &n, unsigned i) {
  return n.has(i) ? n.in(i) : Tensor();
}

static LogicalResult lowerDynamicQuantizeMatMul(Node &n) {
  Dynamic a = quantizeDynamically(n, n.in(0));
  Tensor sums = product(n, shifted(n, a.y, a.zero),
                        shifted(n, n.in(1), optional(n, 3)), n.shape());
  n.set(scaleSums(n, sums, a.scale, n.in(2), optional(n, 4)));
  return success();
}

static LogicalResult lowerMatMulIntegerToFloat(Node &n) {
  Tensor sums = product(n, shifted(n, n.in(0), optional(n, 4)),
                        shifted(n, n.in(1), optional(n, 5)), n.shape());
  n.set(scaleSums(n, sums, n.in(2), n.in(3), optional(n, 6)));
  return success();
}

/// Number `place` of a row of numbers of `bits` bits, the low ones first.
static Value unpack(Node &n, Scalars &s, const Tensor &bytes, ValueRange row,
                    Value place, int64_t bits) {
  Value perByte = s.index(8 / bits);
  SmallVector<Value> position(row);
  position.push_back(s.div(place, perByte, /*isUnsigned=*/true));
  Value byte = s.resize(n.t.load(s, bytes, position), s.getI32Type(),
                        /*isUnsigned=*/true);
  Value shift =
      s.mul(s.rem(place, perByte, /*isUnsigned=*/true), s.index(bits));
  Value low = s.shiftRight(byte, s.fromIndex(shift, s.getI32Type()));
  return s.bitAnd(low, s.integer(s.getI32Type(), (1 << bits) - 1));
}

static LogicalResult lowerMatMulNBits(Node &n) {
  if (n.op.getInt("weight_prepacked", 0) != 0)
    return n.refuse("weights that are packed for one kind of device are not "
                    "supported");
  Tensor x = n.in(0);
  int64_t depth = n.op.getInt("K", 0), columns = n.op.getInt("N", 0);
  int64_t bits = n.op.getInt("bits", 4), block = n.op.getInt("block_size", 0);
  int64_t blocks = llvm::divideCeil(depth, block);
  Poly rows = n.t.poly(columns);
  Tensor packed = n.t.reshape(
      n.value(1), {rows, n.t.poly(blocks), n.t.poly(block * bits / 8)});
  Tensor scales = n.t.reshape(n.value(2), {rows, n.t.poly(blocks)});
  Tensor zeros = n.has(3) ? n.value(3) : Tensor();
  bool isPacked = zeros && !isa<FloatType>(zeros.element);
  if (zeros)
    zeros = n.t.reshape(
        zeros, {rows, n.t.poly(isPacked ? llvm::divideCeil(blocks * bits, 8)
                                        : blocks)});
  Tensor groups = n.has(4) ? n.value(4) : Tensor();
  Type f32 = f32Of(n);
  Tensor weight = n.t.generate(
      {rows, n.t.poly(depth)}, f32, [&](Scalars &s, ValueRange at) {
        Value size = s.index(block);
        Value home = s.div(at[1], size, /*isUnsigned=*/true);
        Value place = s.rem(at[1], size, /*isUnsigned=*/true);
        Value number = unpack(n, s, packed, {at[0], home}, place, bits);
        Value group =
            groups ? n.t.checkedIndex(s, s.toIndex(n.t.load(s, groups, at[1])),
                                      s.index(blocks))
                   : home;
        Value zero = s.constant(f32, double(1 << (bits - 1)));
        if (isPacked)
          zero = s.toFloat(unpack(n, s, zeros, at[0], group, bits), f32);
        else if (zeros)
          zero = s.cast(n.t.load(s, zeros, {at[0], group}), zeros.element, f32);
        Value scale =
            s.cast(n.t.load(s, scales, {at[0], group}), scales.element, f32);
        return s.mul(s.sub(s.toFloat(number, f32), zero), scale);
      });
  Tensor flat = n.t.flatten(n.t.convert(x, f32), x.rank() - 1);
  Tensor result =
      n.t.reshape(n.stage.matmul(flat, weight, false, true), n.shape());
  SmallVector<Tensor> terms = {result};
  if (n.has(5))
    terms.push_back(n.t.convert(n.in(5), f32));
  n.set(n.t.mapTo(result.shape, terms, n.element(), [](Scalars &s, Values v) {
    return v.size() > 1 ? s.add(v[0], v[1]) : v[0];
  }));
  return success();
}

void lathe::addQuantization(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"DequantizeLinear", 10, lowerDequantize},
      {"DynamicQuantizeLinear", 11, lowerDynamicQuantize},
      {"QLinearConv", 10, lowerQLinearConv},
      {"QLinearMatMul", 10, lowerQLinearMatMul},
      {"QuantizeLinear", 10, lowerQuantize},
  };
  table.add("", rows);
  const LoweringRow contrib[] = {
      {"DequantizeLinear", 1, lowerDequantize},
      {"DynamicQuantizeMatMul", 1, lowerDynamicQuantizeMatMul},
      {"MatMulIntegerToFloat", 1, lowerMatMulIntegerToFloat},
      {"MatMulNBits", 1, lowerMatMulNBits},
      {"QuantizeLinear", 1, lowerQuantize},
  };
  table.add("com.microsoft", contrib);
}
