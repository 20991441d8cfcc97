//===- Pooling.cpp - pools over windows and over everything ---------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Window.h"

using namespace mlir;
using namespace lathe;
using Values = ArrayRef<Value>;
using Node = NodeLowering;

namespace {

/// What a pool carries over the elements of its window.
struct Pool {
  SmallVector<Value> start;
  std::function<SmallVector<Value>(Value x, Value linear, ValueRange state)>
      step;
};

} // namespace

/// Runs `pool` over the elements of one window, in row-major order; `coords`
/// are those of the result. Gives the final state.
static SmallVector<Value> overWindow(Node &n, Scalars &s, const Tensor &x,
                                     const Window &window, ValueRange coords,
                                     const Pool &pool) {
  unsigned rank = window.rank();
  SmallVector<Value> starts, extents;
  SmallVector<WindowRange> ranges;
  for (unsigned k = 0; k < rank; ++k) {
    extents.push_back(n.t.dim(x.shape[k + 2]));
    starts.push_back(s.sub(s.mul(coords[k + 2], s.index(window.strides[k])),
                           n.t.dim(window.before[k])));
    ranges.push_back(clipWindow(s, starts[k], window.kernel[k],
                                window.dilations[k], extents[k]));
  }
  SmallVector<Value> position(coords.take_front(2));
  std::function<SmallVector<Value>(unsigned, ValueRange)> level =
      [&](unsigned k, ValueRange state) {
        return s.loop(
            ranges[k].first, ranges[k].end, state,
            [&](Value at, ValueRange inner) -> SmallVector<Value> {
              position.push_back(
                  s.add(starts[k], s.mul(at, s.index(window.dilations[k]))));
              SmallVector<Value> next;
              if (k + 1 < rank) {
                next = level(k + 1, inner);
              } else {
                Value linear = s.index(0);
                for (unsigned d = 0; d < rank; ++d)
                  linear = s.add(s.mul(linear, extents[d]), position[d + 2]);
                next = pool.step(n.t.load(s, x, position), linear, inner);
              }
              position.pop_back();
              return next;
            });
      };
  return level(0, pool.start);
}

static FailureOr<Window> poolWindow(Node &n, const Tensor &x,
                                    ArrayRef<Poly> result) {
  auto kernel = n.op.getInts("kernel_shape");
  if (!kernel)
    return n.refuse("kernel_shape is missing");
  return getWindow(n, x, *kernel, result);
}

//===----------------------------------------------------------------------===//
// Max
//===----------------------------------------------------------------------===//

/// The element that any other is larger than.
static Value lowest(Scalars &s, Type onnx) {
  Type type = getComputeType(onnx);
  if (isa<FloatType>(type))
    return s.constant(type, -std::numeric_limits<double>::infinity());
  if (isUnsigned(onnx))
    return s.integer(type, 0);
  return s.integer(type, int64_t(1) << (type.getIntOrFloatBitWidth() - 1));
}

static LogicalResult lowerMaxPool(Node &n) {
  Tensor x = n.value(0);
  SymbolicShape shape = n.shape();
  FailureOr<Window> window = poolWindow(n, x, shape);
  if (failed(window))
    return failure();
  bool isUnsigned = lathe::isUnsigned(x.element);
  if (n.hasResult(0))
    n.set(n.t.generate(shape, n.element(), [&](Scalars &s, ValueRange coords) {
      Pool pool{{lowest(s, x.element)},
                [&](Value v, Value, ValueRange state) -> SmallVector<Value> {
                  return {s.max(state[0], v, isUnsigned)};
                }};
      return overWindow(n, s, x, *window, coords, pool)[0];
    }));
  if (!n.hasResult(1))
    return success();

  // Positions in the flattened input; column-major order has the last two
  // spatial dims and all others swapped.
  bool columnMajor = n.op.getInt("storage_order", 0) != 0;
  n.set(n.t.generate(shape, n.element(1),
                     [&](Scalars &s, ValueRange coords) {
                       Pool pool{{lowest(s, x.element), s.index(0)},
                                 [&](Value v, Value at,
                                     ValueRange state) -> SmallVector<Value> {
                                   Value better = s.gt(v, state[0], isUnsigned);
                                   return {s.select(better, v, state[0]),
                                           s.select(better, at, state[1])};
                                 }};
                       Value place =
                           overWindow(n, s, x, *window, coords, pool)[1];
                       Value area = s.index(1), plane = s.index(0);
                       for (Poly extent : ArrayRef<Poly>(x.shape).drop_front(2))
                         area = s.mul(area, n.t.dim(extent));
                       if (columnMajor) {
                         Value rest = place, stride = s.index(1);
                         SmallVector<Value> digits(window->rank());
                         for (unsigned k = window->rank(); k-- > 0;) {
                           Value extent = n.t.dim(x.shape[k + 2]);
                           digits[k] = s.rem(rest, extent, true);
                           rest = s.div(rest, extent, true);
                         }
                         place = s.index(0);
                         for (unsigned k = 0; k < window->rank(); ++k) {
                           place = s.add(place, s.mul(digits[k], stride));
                           stride = s.mul(stride, n.t.dim(x.shape[k + 2]));
                         }
                       }
                       plane = s.add(s.mul(coords[0], n.t.dim(x.shape[1])),
                                     coords[1]);
                       return s.fromIndex(s.add(s.mul(plane, area), place),
                                          s.getI64Type());
                     }),
        1);
  return success();
}

//===----------------------------------------------------------------------===//
// Average and Lp
//===----------------------------------------------------------------------===//

/// Elements of a window that count: those inside the input, or inside the
/// padded input.
static Value countElements(Node &n, Scalars &s, const Tensor &x,
                           const Window &window, ValueRange coords,
                           bool includePad) {
  Value count = s.index(1);
  for (unsigned k = 0; k < window.rank(); ++k) {
    Value extent = n.t.dim(x.shape[k + 2]), before = n.t.dim(window.before[k]);
    Value start =
        s.sub(s.mul(coords[k + 2], s.index(window.strides[k])), before);
    if (includePad) {
      // A window of ceil_mode may reach beyond the padding.
      start = s.add(start, before);
      extent = s.add(s.add(extent, before), n.t.dim(window.after[k]));
    }
    WindowRange range =
        clipWindow(s, start, window.kernel[k], window.dilations[k], extent);
    count = s.mul(count, s.sub(range.end, range.first));
  }
  return count;
}

static LogicalResult lowerAveragePool(Node &n) {
  Tensor x = n.value(0);
  FailureOr<Window> window = poolWindow(n, x, n.shape());
  if (failed(window))
    return failure();
  bool includePad = n.op.getInt("count_include_pad", 0) != 0;
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        Type type = getComputeType(x.element);
        Pool pool{{s.constant(type, 0)},
                  [&](Value v, Value, ValueRange state) -> SmallVector<Value> {
                    return {s.add(state[0], v)};
                  }};
        Value sum = overWindow(n, s, x, *window, coords, pool)[0];
        Value count = countElements(n, s, x, *window, coords, includePad);
        return s.div(sum, s.toFloat(count, type));
      }));
  return success();
}

/// |x|^p, and its inverse.
static Value power(Scalars &s, Value x, int64_t p) {
  if (p == 1)
    return s.abs(x);
  if (p == 2)
    return s.mul(x, x);
  return s.pow(s.abs(x), s.like(x, p));
}
static Value root(Scalars &s, Value x, int64_t p) {
  if (p == 1)
    return x;
  if (p == 2)
    return s.sqrt(x);
  return s.pow(x, s.like(x, 1.0 / p));
}

static LogicalResult lowerLpPool(Node &n) {
  Tensor x = n.value(0);
  FailureOr<Window> window = poolWindow(n, x, n.shape());
  if (failed(window))
    return failure();
  int64_t p = n.op.getInt("p", 2);
  n.set(
      n.t.generate(n.shape(), n.element(), [&](Scalars &s, ValueRange coords) {
        Pool pool{{s.constant(getComputeType(x.element), 0)},
                  [&](Value v, Value, ValueRange state) -> SmallVector<Value> {
                    return {s.add(state[0], power(s, v, p))};
                  }};
        return root(s, overWindow(n, s, x, *window, coords, pool)[0], p);
      }));
  return success();
}

//===----------------------------------------------------------------------===//
// Global pools
//===----------------------------------------------------------------------===//

static SmallVector<int64_t> spatialAxes(const Tensor &x) {
  return llvm::to_vector(llvm::seq<int64_t>(2, x.rank()));
}

static LogicalResult lowerGlobalAverage(Node &n) {
  Tensor x = n.in(0);
  n.set(n.t.convert(n.stage.mean(x, spatialAxes(x)), n.element()));
  return success();
}

static LogicalResult lowerGlobalMax(Node &n) {
  Tensor x = n.in(0);
  Type type = getComputeType(x.element);
  Tensor top = n.t.reduce(
      x, spatialAxes(x), type,
      FloatAttr::get(type, -std::numeric_limits<double>::infinity()),
      [](Scalars &, Values v) { return v[0]; },
      [](Scalars &s, Value a, Value b) { return s.max(a, b); });
  n.set(n.t.convert(n.t.expandAxes(top, spatialAxes(x)), n.element()));
  return success();
}

static LogicalResult lowerGlobalLp(Node &n) {
  Tensor x = n.in(0);
  Type type = getComputeType(x.element);
  int64_t p = n.op.getInt("p", 2);
  Tensor sum = n.t.reduce(
      x, spatialAxes(x), type, FloatAttr::get(type, 0.0),
      [&](Scalars &s, Values v) { return power(s, v[0], p); },
      [](Scalars &s, Value a, Value b) { return s.add(a, b); });
  n.set(n.t.map(n.t.expandAxes(sum, spatialAxes(x)), n.element(),
                [&](Scalars &s, Values v) { return root(s, v[0], p); }));
  return success();
}

void lathe::addPooling(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"AveragePool", 1, lowerAveragePool},
      {"GlobalAveragePool", 1, lowerGlobalAverage},
      {"GlobalLpPool", 2, lowerGlobalLp},
      {"GlobalMaxPool", 1, lowerGlobalMax},
      {"LpPool", 2, lowerLpPool},
      {"MaxPool", 1, lowerMaxPool},
  };
  table.add("", rows);
}
