//===- StridedView.cpp - run-time strided operands of kernels -------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/StridedView.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace lathe;

Value StridedView::row(KernelBuilder &b, ValueRange coordinates) const {
  assert(coordinates.size() + 1 == strides.size());
  Value index = offset;
  for (auto [coordinate, stride] : llvm::zip(coordinates, strides))
    index = b.add(index, b.mul(coordinate, stride));
  return index;
}

Value StridedView::column(KernelBuilder &b, Value row, Value column) const {
  return b.add(row, unitColumns ? column : b.mul(column, strides.back()));
}

Value StridedView::load(KernelBuilder &b, Value row, Value first,
                        int64_t count) const {
  auto element = cast<MemRefType>(memory.getType()).getElementType();
  auto type = VectorType::get({count}, element);
  if (unitColumns) {
    Value index = column(b, row, first);
    return extendToF32(b, vector::LoadOp::create(b, type, memory, index));
  }
  SmallVector<Value> lanes;
  for (int64_t lane = 0; lane < count; ++lane)
    lanes.push_back(b.loadScalar(memory, column(b, row, b.add(first, lane))));
  return extendToF32(b, vector::FromElementsOp::create(b, type, lanes));
}

Value StridedView::loadScalar(KernelBuilder &b, Value row, Value first) const {
  return extendToF32(b, b.loadScalar(memory, column(b, row, first)));
}

Value StridedView::loadPadded(KernelBuilder &b, Value row, Value first,
                              int64_t count) const {
  int64_t lanes = b.getLanes();
  if (count >= lanes)
    return load(b, row, first, lanes);
  auto element = cast<MemRefType>(memory.getType()).getElementType();
  // Masked loads of 16-bit elements need AVX-512; scalars serve every target.
  if (unitColumns && element.isF32())
    return b.load(memory, column(b, row, first), b.firstLanes(count));
  SmallVector<Value> values(lanes, b.scalar(0.0));
  for (int64_t lane = 0; lane < count; ++lane)
    values[lane] = loadScalar(b, row, b.add(first, lane));
  return vector::FromElementsOp::create(b, b.getVectorType(), values);
}

void lathe::appendViewTypes(SmallVectorImpl<Type> &types, Type element,
                            int64_t coordinates) {
  types.push_back(MemRefType::get({ShapedType::kDynamic}, element));
  types.append(1 + coordinates, IndexType::get(element.getContext()));
}

StridedView lathe::takeView(ValueRange &arguments, int64_t coordinates,
                            bool unitColumns) {
  StridedView view;
  view.memory = takeArgument(arguments);
  view.offset = takeArgument(arguments);
  for (int64_t i = 0; i < coordinates; ++i)
    view.strides.push_back(takeArgument(arguments));
  view.unitColumns = unitColumns;
  return view;
}

Value lathe::takeArgument(ValueRange &arguments) {
  Value value = arguments.front();
  arguments = arguments.drop_front();
  return value;
}

/// `type` with elements of type `element`.
static Type withElement(Type type, Type element) {
  auto vector = dyn_cast<VectorType>(type);
  return vector ? VectorType::get(vector.getShape(), element) : element;
}

/// An integer constant of the scalar or vector type `type`.
static Value constantLike(KernelBuilder &b, Type type, int64_t value) {
  auto attr = b.getIntegerAttr(getElementTypeOrSelf(type), value);
  if (auto vector = dyn_cast<VectorType>(type))
    return arith::ConstantOp::create(
        b, DenseElementsAttr::get(vector, attr.getValue()));
  return arith::ConstantOp::create(b, attr);
}

/// f16 without F16C. The exponent and the mantissa are moved into place and
/// 2^112 makes up for the difference of the biases, which also normalises
/// subnormal numbers; only infinities and NaN need their exponent set.
static Value extendF16Bits(KernelBuilder &b, Value bits) {
  Type i32 = bits.getType();
  Type f32 = withElement(i32, b.getF32Type());
  auto constant = [&](int64_t value) { return constantLike(b, i32, value); };
  auto bitOr = [&](Value lhs, Value rhs) -> Value {
    return arith::OrIOp::create(b, lhs, rhs);
  };
  Value magnitude = arith::AndIOp::create(b, bits, constant(0x7fff));
  Value sign = arith::ShLIOp::create(
      b, arith::AndIOp::create(b, bits, constant(0x8000)), constant(16));
  Value moved = arith::ShLIOp::create(b, magnitude, constant(13));
  Value factor =
      arith::BitcastOp::create(b, f32, constant(int64_t(127 + 112) << 23));
  Value scaled =
      arith::MulFOp::create(b, arith::BitcastOp::create(b, f32, moved), factor);
  Value special = arith::CmpIOp::create(b, arith::CmpIPredicate::uge, magnitude,
                                        constant(0x7c00));
  Value number =
      arith::SelectOp::create(b, special, bitOr(moved, constant(0x7f800000)),
                              arith::BitcastOp::create(b, i32, scaled));
  return arith::BitcastOp::create(b, f32, bitOr(number, sign));
}

Value lathe::extendToF32(KernelBuilder &b, Value value) {
  Type type = value.getType();
  Type element = getElementTypeOrSelf(type);
  Type f32 = withElement(type, b.getF32Type());
  if (element.isF32())
    return value;
  bool isX86 = llvm::StringRef(b.getTarget().triple).starts_with("x86");
  if (element.isF16() && (!isX86 || b.getTarget().level != CpuLevel::Scalar))
    return arith::ExtFOp::create(b, f32, value);

  Type i32 = withElement(type, b.getI32Type());
  Value bits = arith::ExtUIOp::create(
      b, i32,
      arith::BitcastOp::create(b, withElement(type, b.getI16Type()), value));
  if (element.isF16())
    return extendF16Bits(b, bits);
  assert(element.isBF16() && "f32, f16 or bf16");
  return arith::BitcastOp::create(
      b, f32, arith::ShLIOp::create(b, bits, constantLike(b, i32, 16)));
}
