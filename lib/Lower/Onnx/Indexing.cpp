//===- Indexing.cpp - gathers and scatters --------------------------------===//
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

/// An index read from `indices`, inside [0, extent).
static Value readIndex(Node &n, Scalars &s, const Tensor &indices,
                       ValueRange position, Value extent) {
  Value index = s.toIndex(n.t.load(s, indices, position));
  return n.t.checkedIndex(s, index, extent);
}

//===----------------------------------------------------------------------===//
// Gathers
//===----------------------------------------------------------------------===//

static LogicalResult lowerGather(Node &n) {
  Tensor x = n.value(0), indices = n.value(1);
  unsigned axis = n.axis(x.rank(), 0);
  Value extent = n.t.dim(x.shape[axis]);
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        SmallVector<Value> position(coords.take_front(axis));
        position.push_back(readIndex(
            n, s, indices, coords.slice(axis, indices.rank()), extent));
        llvm::append_range(position, coords.drop_front(axis + indices.rank()));
        return n.t.load(s, x, position);
      }));
  return success();
}

static LogicalResult lowerGatherElements(Node &n) {
  Tensor x = n.value(0), indices = n.value(1);
  unsigned axis = n.axis(x.rank(), 0);
  Value extent = n.t.dim(x.shape[axis]);
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        SmallVector<Value> position(coords);
        position[axis] = readIndex(n, s, indices, coords, extent);
        return n.t.load(s, x, position);
      }));
  return success();
}

static LogicalResult lowerGatherND(Node &n) {
  Tensor x = n.value(0), indices = n.value(1);
  int64_t batch = n.op.getInt("batch_dims", 0);
  std::optional<int64_t> depth = indices.shape.back().getConstantInt();
  if (!depth)
    return n.refuse("the last dim of its indices must be constant");
  unsigned leading = indices.rank() - 1;
  SmallVector<Value> extents;
  for (Poly p : x.shape)
    extents.push_back(n.t.dim(p));
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        SmallVector<Value> position(coords.take_front(batch));
        for (int64_t k = 0; k < *depth; ++k) {
          SmallVector<Value> at(coords.take_front(leading));
          at.push_back(s.index(k));
          position.push_back(readIndex(n, s, indices, at, extents[batch + k]));
        }
        llvm::append_range(position, coords.drop_front(leading));
        return n.t.load(s, x, position);
      }));
  return success();
}

static LogicalResult lowerOneHot(Node &n) {
  Tensor indices = n.value(0), values = n.value(2);
  unsigned axis = n.axis(indices.rank() + 1, -1);
  Value depth = n.t.dim(n.shape()[axis]);
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        SmallVector<Value> at(coords);
        at.erase(at.begin() + axis);
        // An index outside [-depth, depth) hits nothing.
        Value index = s.toIndex(n.t.load(s, indices, at));
        index = s.select(s.lt(index, s.index(0)), s.add(index, depth), index);
        Value hit = s.eq(index, coords[axis]);
        Value place = s.select(hit, s.index(1), s.index(0));
        return n.t.load(s, values, place);
      }));
  return success();
}

//===----------------------------------------------------------------------===//
// Scatters
//===----------------------------------------------------------------------===//

/// What a scatter does to an element that is there.
static Value reduceInto(Node &n, Scalars &s, StringRef reduction, Value old,
                        Value update, Type element) {
  bool isUnsigned = lathe::isUnsigned(element);
  if (reduction == "add")
    return s.add(old, update);
  if (reduction == "mul")
    return s.mul(old, update);
  if (reduction == "max")
    return s.max(old, update, isUnsigned);
  if (reduction == "min")
    return s.min(old, update, isUnsigned);
  return update;
}

static SmallVector<Value> sizesOf(Scalars &s, Value buffer, unsigned begin,
                                  unsigned end) {
  SmallVector<Value> sizes;
  for (unsigned k = begin; k < end; ++k)
    sizes.push_back(memref::DimOp::create(s, buffer, k));
  return sizes;
}

/// Stores one update at `position`.
static void scatterOne(Node &n, Scalars &s, StringRef reduction, Value update,
                       Value output, ValueRange position, Type element) {
  Value value = s.load(update, element);
  if (reduction != "none") {
    Value old = s.load(memref::LoadOp::create(s, output, position), element);
    value = reduceInto(n, s, reduction, old, value, element);
  }
  memref::StoreOp::create(s, s.store(value, element), output, position);
}

/// Updates are applied one after the other: indices may repeat.
static LogicalResult lowerScatterElements(Node &n) {
  if (failed(n.needKernels()))
    return failure();
  Tensor x = n.in(0), indices = n.value(1), updates = n.value(2);
  unsigned axis = n.axis(x.rank(), 0);
  StringRef reduction = n.op.getString("reduction", "none");
  Type element = x.element;
  n.set(n.stage.updateKernel(
      "scatter", {indices.value, updates.value}, x,
      [&](Scalars &s, ValueRange buffers) {
        Value places = buffers[0], output = buffers[2];
        Value extent = memref::DimOp::create(s, output, axis);
        s.nest(sizesOf(s, places, 0, indices.rank()), [&](ValueRange coords) {
          Value index = s.toIndex(s.load(
              memref::LoadOp::create(s, places, coords), indices.element));
          SmallVector<Value> position(coords);
          position[axis] = n.t.checkedIndex(s, index, extent);
          scatterOne(n, s, reduction,
                     memref::LoadOp::create(s, buffers[1], coords), output,
                     position, element);
        });
      }));
  return success();
}

static LogicalResult lowerScatterND(Node &n) {
  if (failed(n.needKernels()))
    return failure();
  Tensor x = n.in(0), indices = n.value(1), updates = n.value(2);
  std::optional<int64_t> depth = indices.shape.back().getConstantInt();
  if (!depth)
    return n.refuse("the last dim of its indices must be constant");
  StringRef reduction = n.op.getString("reduction", "none");
  unsigned leading = indices.rank() - 1;
  Type element = x.element;
  n.set(n.stage.updateKernel(
      "scatternd", {indices.value, updates.value}, x,
      [&](Scalars &s, ValueRange buffers) {
        Value places = buffers[0], output = buffers[2];
        s.nest(sizesOf(s, places, 0, leading), [&](ValueRange outer) {
          SmallVector<Value> start;
          for (int64_t k = 0; k < *depth; ++k) {
            SmallVector<Value> at(outer);
            at.push_back(s.index(k));
            Value index = s.toIndex(
                s.load(memref::LoadOp::create(s, places, at), indices.element));
            start.push_back(n.t.checkedIndex(
                s, index, memref::DimOp::create(s, output, k)));
          }
          s.nest(sizesOf(s, output, *depth, x.rank()), [&](ValueRange inner) {
            SmallVector<Value> from(outer), to(start);
            llvm::append_range(from, inner);
            llvm::append_range(to, inner);
            scatterOne(n, s, reduction,
                       memref::LoadOp::create(s, buffers[1], from), output, to,
                       element);
          });
        });
      }));
  return success();
}

/// Rows of `update` go behind `write_indices[batch]` along an axis.
static LogicalResult lowerTensorScatter(Node &n) {
  if (failed(n.needKernels()))
    return failure();
  Tensor cache = n.in(0), update = n.value(1);
  Tensor places = n.has(2) ? n.value(2) : Tensor();
  unsigned axis = n.axis(cache.rank(), -2);
  bool circular = n.op.getString("mode", "linear") == "circular";
  SmallVector<Value> inputs = {update.value};
  if (places)
    inputs.push_back(places.value);
  n.set(n.stage.updateKernel(
      "tensorscatter", inputs, cache, [&](Scalars &s, ValueRange buffers) {
        Value output = buffers.back();
        Value extent = memref::DimOp::create(s, output, axis);
        s.forall(
            sizesOf(s, buffers[0], 0, update.rank()), [&](ValueRange coords) {
              SmallVector<Value> position(coords);
              if (places)
                position[axis] =
                    s.add(position[axis],
                          s.toIndex(s.load(
                              memref::LoadOp::create(s, buffers[1], coords[0]),
                              places.element)));
              position[axis] =
                  circular ? s.rem(position[axis], extent, true)
                           : n.t.checkedIndex(s, position[axis], extent);
              Value x = memref::LoadOp::create(s, buffers[0], coords);
              memref::StoreOp::create(s, x, output, position);
            });
      }));
  return success();
}

void lathe::addIndexing(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"Gather", 1, lowerGather},
      {"GatherElements", 11, lowerGatherElements},
      {"GatherND", 11, lowerGatherND},
      {"OneHot", 9, lowerOneHot},
      {"Scatter", 9, lowerScatterElements},
      {"ScatterElements", 11, lowerScatterElements},
      {"ScatterND", 11, lowerScatterND},
      {"TensorScatter", 24, lowerTensorScatter},
  };
  table.add("", rows);
}
