//===- Indexing.cpp - reads and writes at indices from data ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NodeLowering.h"

using namespace mlir;
using namespace lathe;
using Node = NodeLowering;

/// Element of an integer tensor as an index.
static Value loadIndex(Node &n, Scalars &s, const Tensor &indices,
                       ValueRange coords) {
  return s.toIndex(n.t.load(s, indices, coords));
}

/// result[a, i, b] = data[a, indices[i], b].
static LogicalResult lowerGather(Node &n) {
  Tensor data = n.in(0), indices = n.in(1);
  unsigned axis = n.axis(data.rank(), 0), depth = indices.rank();
  Value extent = n.t.dim(data.shape[axis]);
  n.set(n.t.generate(n.shape(), n.element(), [&](Scalars &s,
                                                 ValueRange coords) {
    Value index = loadIndex(n, s, indices, coords.slice(axis, depth));
    SmallVector<Value> position(coords.take_front(axis));
    position.push_back(n.t.checkedIndex(s, index, extent));
    llvm::append_range(position, coords.drop_front(axis + depth));
    return n.t.load(s, data, position);
  }));
  return success();
}

/// result[i] = data[i with coordinate `axis` replaced by indices[i]].
static LogicalResult lowerGatherElements(Node &n) {
  Tensor data = n.in(0), indices = n.in(1);
  unsigned axis = n.axis(data.rank(), 0);
  Value extent = n.t.dim(data.shape[axis]);
  n.set(n.t.generate(n.shape(), n.element(), [&](Scalars &s,
                                                 ValueRange coords) {
    SmallVector<Value> position(coords);
    position[axis] = n.t.checkedIndex(s, loadIndex(n, s, indices, coords),
                                      extent);
    return n.t.load(s, data, position);
  }));
  return success();
}

/// Length of the index vectors of GatherND and ScatterND.
static std::optional<int64_t> vectorLength(const Tensor &indices) {
  if (indices.rank() == 0)
    return std::nullopt;
  return indices.shape.back().getConstantInt();
}

static LogicalResult lowerGatherND(Node &n) {
  Tensor data = n.in(0), indices = n.in(1);
  unsigned batch = n.op.getInt("batch_dims", 0);
  std::optional<int64_t> length = vectorLength(indices);
  if (!length)
    return n.refuse("the length of its index vectors is not constant");
  SmallVector<Value> extents;
  for (Poly extent : data.shape)
    extents.push_back(n.t.dim(extent));
  unsigned leading = indices.rank() - 1;
  n.set(n.t.generate(n.shape(), n.element(), [&](Scalars &s,
                                                 ValueRange coords) {
    SmallVector<Value> position(coords.take_front(batch));
    for (int64_t k = 0; k < *length; ++k) {
      SmallVector<Value> at(coords.take_front(leading));
      at.push_back(s.index(k));
      position.push_back(n.t.checkedIndex(s, loadIndex(n, s, indices, at),
                                          extents[batch + k]));
    }
    llvm::append_range(position, coords.drop_front(leading));
    return n.t.load(s, data, position);
  }));
  return success();
}

/// `old` combined with `update` by ONNX's `reduction` attribute.
static Value combine(Scalars &s, StringRef reduction, Value old, Value update,
                     bool isUnsigned) {
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

/// Nested loops over the box of `buffer`, in order.
static void overBuffer(Scalars &s, Value buffer,
                       llvm::function_ref<void(ValueRange)> body) {
  unsigned rank = cast<MemRefType>(buffer.getType()).getRank();
  SmallVector<Value> coords;
  std::function<void(unsigned)> nest = [&](unsigned k) {
    if (k == rank) {
      body(coords);
      return;
    }
    s.loop(s.index(0), memref::DimOp::create(s, buffer, k), {},
           [&](Value i, ValueRange) -> SmallVector<Value> {
             coords.push_back(i);
             nest(k + 1);
             coords.pop_back();
             return {};
           });
  };
  nest(0);
}

/// A negative index counts from the end; what is outside is clamped.
static Value wrapped(Scalars &s, Value index, Value extent) {
  Value zero = s.index(0), last = s.sub(extent, s.index(1));
  Value positive =
      s.select(s.lt(index, zero), s.add(index, extent), index);
  return s.max(zero, s.min(positive, last));
}

/// Writes updates[i] at `place(indices, i)` of a copy of the data.
static LogicalResult
lowerScatter(Node &n, StringRef family, Tensor updates,
             llvm::function_ref<SmallVector<Value>(Scalars &, Value indices,
                                                   Value out, ValueRange)>
                 place) {
  Tensor data = n.in(0), indices = n.in(1);
  StringRef reduction = n.op.getString("reduction", "none");
  Type element = n.element();
  Value inputs[] = {n.t.valueOf(indices), n.t.valueOf(updates)};
  n.set(n.stage.updateKernel(
      family, inputs, data, [&](Scalars &s, ValueRange buffers) {
        Value source = buffers[1], out = buffers[2];
        overBuffer(s, source, [&](ValueRange coords) {
          SmallVector<Value> position = place(s, buffers[0], out, coords);
          Value update =
              s.load(memref::LoadOp::create(s, source, coords), element);
          Value old = s.load(memref::LoadOp::create(s, out, position), element);
          Value next =
              combine(s, reduction, old, update, isUnsigned(element));
          memref::StoreOp::create(s, s.store(next, element), out, position);
        });
      }));
  return success();
}

static LogicalResult lowerScatterElements(Node &n) {
  unsigned axis = n.axis(n.in(0).rank(), 0);
  Type indexElement = n.in(1).element;
  std::string family =
      "scatter_elements_" + n.op.getString("reduction", "none").str();
  return lowerScatter(
      n, family, n.in(2),
      [&](Scalars &s, Value indices, Value out, ValueRange coords) {
        Value index = s.toIndex(s.load(
            memref::LoadOp::create(s, indices, coords), indexElement));
        SmallVector<Value> position(coords);
        position[axis] =
            wrapped(s, index, memref::DimOp::create(s, out, axis));
        return position;
      });
}

static LogicalResult lowerScatterND(Node &n) {
  Tensor indices = n.in(1);
  std::optional<int64_t> length = vectorLength(indices);
  if (!length)
    return n.refuse("the length of its index vectors is not constant");
  unsigned leading = indices.rank() - 1;
  std::string family =
      "scatter_nd_" + n.op.getString("reduction", "none").str();
  return lowerScatter(
      n, family, n.in(2),
      [&](Scalars &s, Value buffer, Value out, ValueRange coords) {
        SmallVector<Value> position;
        for (int64_t k = 0; k < *length; ++k) {
          SmallVector<Value> at(coords.take_front(leading));
          at.push_back(s.index(k));
          Value index = s.toIndex(
              s.load(memref::LoadOp::create(s, buffer, at), indices.element));
          position.push_back(
              wrapped(s, index, memref::DimOp::create(s, out, k)));
        }
        llvm::append_range(position, coords.drop_front(leading));
        return position;
      });
}

void lathe::addIndexing(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"Gather", 1, lowerGather},
      {"GatherElements", 11, lowerGatherElements},
      {"GatherND", 11, lowerGatherND},
      {"Scatter", 9, lowerScatterElements},
      {"ScatterElements", 11, lowerScatterElements},
      {"ScatterND", 11, lowerScatterND},
  };
  table.add("", rows);
}
