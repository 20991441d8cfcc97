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

Value lathe::extendToF32(KernelBuilder &b, Value value) {
  if (getElementTypeOrSelf(value).isF32())
    return value;
  Type type = b.getF32Type();
  if (auto vector = dyn_cast<VectorType>(value.getType()))
    type = VectorType::get(vector.getShape(), type);
  return arith::ExtFOp::create(b, type, value);
}
