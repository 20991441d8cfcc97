//===- Convolutions.cpp - Conv and ConvTranspose as they are ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A convolution with one group and a constant weight is a linear on patches
// before it comes here (RaiseConv); what is here are depthwise and grouped
// ones, and weights that are computed.
//
//===----------------------------------------------------------------------===//

#include "SpatialWindow.h"

using namespace mlir;
using namespace lathe;
using Node = NodeLowering;

/// The static extents of dims `from` on; fails where one is not static.
static FailureOr<SmallVector<int64_t>> staticDims(Node &n, const Tensor &x,
                                                  unsigned from) {
  SmallVector<int64_t> extents;
  for (Poly extent : ArrayRef<Poly>(x.shape).drop_front(from)) {
    std::optional<int64_t> number = extent.getConstantInt();
    if (!number)
      return n.refuse("the shape of its weight is not constant");
    extents.push_back(*number);
  }
  return extents;
}

/// Channels of one group of the output and of the input.
static FailureOr<std::pair<int64_t, int64_t>>
channelsPerGroup(Node &n, const Tensor &x, int64_t outputs) {
  int64_t groups = n.op.getInt("group", 1);
  std::optional<int64_t> inputs = x.shape[1].getConstantInt();
  if (groups < 1 || !inputs || outputs % groups || *inputs % groups)
    return n.refuse("the channels do not divide into its groups");
  return std::make_pair(outputs / groups, *inputs / groups);
}

static LogicalResult lowerConv(Node &n) {
  Tensor x = n.in(0), weight = n.in(1);
  if (x.rank() < 3 || weight.rank() != x.rank())
    return n.refuse("input and weight must have the same rank, 3 or more");
  auto extents = staticDims(n, weight, 0);
  if (failed(extents))
    return failure();
  auto channels = channelsPerGroup(n, x, (*extents)[0]);
  if (failed(channels))
    return failure();
  auto window = SpatialWindow::get(n, x.shape, n.shape(),
                                   ArrayRef(*extents).drop_front(2));
  if (failed(window))
    return failure();
  int64_t outputs = channels->first, inputs = channels->second;
  Tensor bias = n.has(2) ? n.in(2) : Tensor();
  ArrayRef<Poly> spatial = ArrayRef<Poly>(x.shape).drop_front(2);
  for (Poly extent : spatial)
    (void)n.t.dim(extent);
  for (Poly pad : window->padBefore)
    (void)n.t.dim(pad);
  Type compute = getComputeType(x.element);
  n.set(n.t.generate(n.shape(), n.element(), [&](Scalars &s,
                                                 ValueRange coords) -> Value {
    Value output = coords[1];
    Value base = s.mul(s.div(output, s.index(outputs)), s.index(inputs));
    Value start = bias ? n.t.load(s, bias, output) : s.constant(compute, 0);
    return s.loop(
        s.index(0), s.index(inputs), start,
        [&](Value channel, ValueRange sums) {
          return window->loop(
              s, n, spatial, coords.drop_front(2), sums,
              [&](ValueRange input, ValueRange tap,
                  ValueRange carried) -> SmallVector<Value> {
                SmallVector<Value> at{coords[0], s.add(base, channel)};
                llvm::append_range(at, input);
                SmallVector<Value> weightAt{output, channel};
                llvm::append_range(weightAt, tap);
                return {s.add(carried[0],
                              s.mul(n.t.load(s, x, at),
                                    n.t.load(s, weight, weightAt)))};
              });
        })[0];
  }));
  return success();
}

/// Elements cut in front of each spatial dim of a transposed convolution.
static FailureOr<SmallVector<Poly>> transposedPads(Node &n, const Tensor &x,
                                                   ArrayRef<int64_t> kernel,
                                                   ArrayRef<int64_t> strides,
                                                   ArrayRef<int64_t> dilations) {
  unsigned rank = kernel.size();
  StringRef automatic = n.op.getString("auto_pad", "NOTSET");
  auto pads = n.op.getInts("pads");
  auto padding = n.op.getInts("output_padding");
  if ((pads && pads->size() != 2 * rank) ||
      (padding && padding->size() != rank))
    return n.refuse("'pads' or 'output_padding' has a wrong length");
  bool isFixed = !automatic.starts_with("SAME") &&
                 !n.op.getInts("output_shape");
  SmallVector<Poly> before;
  SymbolicShape out = n.shape();
  IndexExprContext &terms = n.t.getTerms();
  for (unsigned k = 0; k < rank; ++k) {
    if (isFixed) {
      before.push_back(
          n.t.poly(pads && automatic == "NOTSET" ? (*pads)[k] : 0));
      continue;
    }
    Poly full = (x.shape[2 + k] - 1) * strides[k] +
                ((kernel[k] - 1) * dilations[k] + 1 +
                 (padding ? (*padding)[k] : 0));
    Poly total = terms.max(full - out[2 + k], n.t.poly(0));
    Poly half = terms.fdiv(total, n.t.poly(2));
    before.push_back(automatic == "SAME_UPPER" ? half : total - half);
  }
  return before;
}

static LogicalResult lowerConvTranspose(Node &n) {
  Tensor x = n.in(0), weight = n.in(1);
  if (x.rank() < 3 || weight.rank() != x.rank())
    return n.refuse("input and weight must have the same rank, 3 or more");
  auto extents = staticDims(n, weight, 0);
  if (failed(extents))
    return failure();
  int64_t groups = n.op.getInt("group", 1);
  auto channels = channelsPerGroup(n, x, (*extents)[1] * groups);
  auto window = SpatialWindow::get(n, x.shape, n.shape(),
                                   ArrayRef(*extents).drop_front(2));
  if (failed(channels) || failed(window))
    return failure();
  auto before = transposedPads(n, x, window->kernel, window->strides,
                               window->dilations);
  if (failed(before))
    return failure();
  int64_t outputs = channels->first, inputs = channels->second;
  Tensor bias = n.has(2) ? n.in(2) : Tensor();
  unsigned rank = window->rank();
  for (unsigned k = 0; k < rank; ++k) {
    (void)n.t.dim(x.shape[2 + k]);
    (void)n.t.dim((*before)[k]);
  }
  Type compute = getComputeType(x.element);
  n.set(n.t.generate(n.shape(), n.element(), [&](Scalars &s,
                                                 ValueRange coords) -> Value {
    Value group = s.div(coords[1], s.index(outputs));
    Value output = s.rem(coords[1], s.index(outputs));
    Value base = s.mul(group, s.index(inputs));
    SmallVector<Value> input, tap;
    // Every tap of the kernel reads at most one input element: where the
    // distance is a multiple of the stride.
    std::function<Value(unsigned, Value, Value)> nest =
        [&](unsigned k, Value channel, Value sum) -> Value {
      if (k == rank) {
        SmallVector<Value> at{coords[0], s.add(base, channel)};
        llvm::append_range(at, input);
        SmallVector<Value> weightAt{s.add(base, channel), output};
        llvm::append_range(weightAt, tap);
        return s.add(sum, s.mul(n.t.load(s, x, at),
                                n.t.load(s, weight, weightAt)));
      }
      auto step = [&](Value i, ValueRange carried) -> SmallVector<Value> {
        Value distance =
            s.sub(s.add(coords[2 + k], n.t.dim((*before)[k])),
                  s.mul(i, s.index(window->dilations[k])));
        Value stride = s.index(window->strides[k]);
        Value at = s.div(distance, stride);
        Value inside = s.logicalAnd(
            s.logicalAnd(s.ge(distance, s.index(0)),
                         s.eq(s.rem(distance, stride), s.index(0))),
            s.lt(at, n.t.dim(x.shape[2 + k])));
        return {s.choose(
            inside, compute,
            [&] {
              input.push_back(at);
              tap.push_back(i);
              Value next = nest(k + 1, channel, carried[0]);
              input.pop_back();
              tap.pop_back();
              return next;
            },
            [&] { return Value(carried[0]); })};
      };
      return s.loop(s.index(0), s.index(window->kernel[k]), sum, step)[0];
    };
    Value start =
        bias ? n.t.load(s, bias, coords[1]) : s.constant(compute, 0);
    return s.loop(s.index(0), s.index(inputs), start,
                  [&](Value channel, ValueRange sums) -> SmallVector<Value> {
                    return {nest(0, channel, sums[0])};
                  })[0];
  }));
  return success();
}

void lathe::addConvolutions(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"Conv", 1, lowerConv},
      {"ConvTranspose", 1, lowerConvTranspose},
  };
  table.add("", rows);
}
