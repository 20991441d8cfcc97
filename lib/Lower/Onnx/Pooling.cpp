//===- Pooling.cpp - pooling ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SpatialWindow.h"

using namespace mlir;
using namespace lathe;
using Node = NodeLowering;

/// The window of a pooling, with its extents computed at entry.
static FailureOr<SpatialWindow> poolingWindow(Node &n, const Tensor &x) {
  if (x.rank() < 3)
    return n.refuse("its input must have rank 3 or more");
  auto window = SpatialWindow::get(n, x.shape, n.shape(), {});
  if (failed(window))
    return failure();
  for (Poly extent : ArrayRef<Poly>(x.shape).drop_front(2))
    (void)n.t.dim(extent);
  for (Poly pad : window->padBefore)
    (void)n.t.dim(pad);
  return window;
}

static LogicalResult lowerMaxPool(Node &n) {
  Tensor x = n.in(0);
  if (n.hasResult(1))
    return n.refuse("the indices of a pooling are not computed");
  auto window = poolingWindow(n, x);
  if (failed(window))
    return failure();
  Type compute = getComputeType(x.element);
  bool isInteger = compute.isInteger();
  bool noSign = isUnsigned(x.element);
  ArrayRef<Poly> spatial = ArrayRef<Poly>(x.shape).drop_front(2);
  n.set(n.t.generate(n.shape(), n.element(), [&](Scalars &s,
                                                 ValueRange coords) -> Value {
    // Below every number of the type.
    Value lowest =
        !isInteger ? s.constant(compute, -INFINITY)
        : noSign
            ? s.integer(compute, 0)
            : s.integer(compute, x.element.getIntOrFloatBitWidth() == 8 ? -128
                                                                        : INT64_MIN);
    return window->loop(s, n, spatial, coords.drop_front(2), lowest,
                        [&](ValueRange input, ValueRange,
                            ValueRange carried) -> SmallVector<Value> {
                          SmallVector<Value> at(coords.take_front(2));
                          llvm::append_range(at, input);
                          return {s.max(carried[0], n.t.load(s, x, at),
                                        noSign)};
                        })[0];
  }));
  return success();
}

static LogicalResult lowerAveragePool(Node &n) {
  Tensor x = n.in(0);
  auto window = poolingWindow(n, x);
  if (failed(window))
    return failure();
  // Counting the padding is the whole window only where the window lies in
  // the padded input; a ceiled last window may reach beyond.
  bool countsPads = n.op.getInt("count_include_pad", 0);
  auto pads = n.op.getInts("pads");
  unsigned rank = window->rank();
  ArrayRef<Poly> spatial = ArrayRef<Poly>(x.shape).drop_front(2);
  SmallVector<Poly> paddedEnd;
  for (unsigned k = 0; k < rank; ++k) {
    int64_t after = pads ? (*pads)[rank + k] : 0;
    paddedEnd.push_back(spatial[k] + after);
    (void)n.t.dim(paddedEnd.back());
  }
  Type compute = getComputeType(x.element);
  n.set(n.t.generate(n.shape(), n.element(), [&](Scalars &s,
                                                 ValueRange coords) -> Value {
    Value zero = s.constant(compute, 0), one = s.constant(compute, 1);
    Value inits[] = {zero, zero};
    SmallVector<Value> sums = window->loop(
        s, n, spatial, coords.drop_front(2), inits,
        [&](ValueRange input, ValueRange,
            ValueRange carried) -> SmallVector<Value> {
          SmallVector<Value> at(coords.take_front(2));
          llvm::append_range(at, input);
          return {s.add(carried[0], n.t.load(s, x, at)),
                  s.add(carried[1], one)};
        });
    if (!countsPads)
      return s.div(sums[0], sums[1]);
    Value count = one;
    for (unsigned k = 0; k < rank; ++k) {
      Value start = s.sub(s.mul(coords[2 + k], s.index(window->strides[k])),
                          n.t.dim(window->padBefore[k]));
      Value dilation = s.index(window->dilations[k]);
      Value room = s.div(s.add(s.sub(n.t.dim(paddedEnd[k]), start),
                               s.index(window->dilations[k] - 1)),
                         dilation);
      Value taps = s.min(s.index(window->kernel[k]), room);
      count = s.mul(count, s.fromIndex(taps, compute));
    }
    return s.div(sums[0], count);
  }));
  return success();
}

static LogicalResult lowerLpPool(Node &n) {
  Tensor x = n.in(0);
  auto window = poolingWindow(n, x);
  if (failed(window))
    return failure();
  double p = n.op.getInt("p", 2);
  Type compute = getComputeType(x.element);
  ArrayRef<Poly> spatial = ArrayRef<Poly>(x.shape).drop_front(2);
  n.set(n.t.generate(n.shape(), n.element(), [&](Scalars &s,
                                                 ValueRange coords) -> Value {
    Value sum = window->loop(
        s, n, spatial, coords.drop_front(2), s.constant(compute, 0),
        [&](ValueRange input, ValueRange,
            ValueRange carried) -> SmallVector<Value> {
          SmallVector<Value> at(coords.take_front(2));
          llvm::append_range(at, input);
          Value value = s.abs(n.t.load(s, x, at));
          return {s.add(carried[0], s.pow(value, s.constant(compute, p)))};
        })[0];
    return s.pow(sum, s.constant(compute, 1 / p));
  }));
  return success();
}

/// The spatial dims of `x`.
static SmallVector<int64_t> spatialAxes(const Tensor &x) {
  SmallVector<int64_t> axes;
  for (unsigned k = 2; k < x.rank(); ++k)
    axes.push_back(k);
  return axes;
}

static LogicalResult lowerGlobalAverage(Node &n) {
  Tensor x = n.in(0);
  n.set(n.t.convert(n.t.reshape(n.stage.mean(x, spatialAxes(x)), n.shape()),
                    n.element()));
  return success();
}

static LogicalResult lowerGlobalMax(Node &n) {
  Tensor x = n.in(0);
  Builder &b = n.t.getBuilder();
  Type type = getComputeType(x.element);
  auto lowest = b.getFloatAttr(type, -INFINITY);
  Tensor result =
      n.t.reduce(x, spatialAxes(x), x.element, lowest, nullptr,
                 [](Scalars &s, Value a, Value c) { return s.max(a, c); });
  n.set(n.t.reshape(result, n.shape()));
  return success();
}

void lathe::addPooling(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"AveragePool", 1, lowerAveragePool},
      {"GlobalAveragePool", 1, lowerGlobalAverage},
      {"GlobalMaxPool", 1, lowerGlobalMax},
      {"LpPool", 2, lowerLpPool},
      {"MaxPool", 1, lowerMaxPool},
  };
  table.add("", rows);
}
