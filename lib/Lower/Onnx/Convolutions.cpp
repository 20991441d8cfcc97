//===- Convolutions.cpp - direct convolutions of any rank -----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Convolutions of one group with constant kernels are linears over patches
// before they come here. The rest (depthwise, grouped, kernels that are
// computed) run as loops whose innermost one goes along a row of the result, so
// that it is vectorised whatever the kernel is.
//
//===----------------------------------------------------------------------===//

#include "Convolution.h"

using namespace mlir;
using namespace lathe;
using Values = ArrayRef<Value>;
using Node = NodeLowering;

static Value dimOf(Scalars &s, Value buffer, int64_t k) {
  return memref::DimOp::create(s, buffer, k);
}

/// The same as a product of patches [N, groups, C / groups, kernel...,
/// spatial...] and filters [groups, M / groups, C / groups, kernel...].
static Tensor convolveInLinalg(Node &n, const Tensor &input,
                               const Tensor &weight, const Window &window,
                               int64_t groups, ArrayRef<Poly> shape,
                               Type accumulator) {
  TensorBuilder &t = n.t;
  unsigned rank = window.rank();
  Tensor x = t.wrap(t.valueOf(input), input.element, input.shape);
  SymbolicShape patches = {x.shape[0], x.shape[1]};
  for (int64_t extent : window.kernel)
    patches.push_back(t.poly(extent));
  llvm::append_range(patches, shape.drop_front(2));
  Type compute = getComputeType(x.element);
  Tensor gathered =
      t.generate(patches, x.element, [&](Scalars &s, ValueRange at) {
        SmallVector<Value> place(at.take_front(2));
        Value inside = s.constant(s.getI1Type(), 1);
        for (unsigned k = 0; k < rank; ++k) {
          Value from =
              s.sub(s.add(s.mul(at[2 + rank + k], s.index(window.strides[k])),
                          s.mul(at[2 + k], s.index(window.dilations[k]))),
                    t.dim(window.before[k]));
          inside = s.bitAnd(inside, s.ge(from, s.index(0)));
          inside = s.bitAnd(inside, s.lt(from, t.dim(x.shape[2 + k])));
          place.push_back(from);
        }
        return s.choose(
            inside, compute, [&] { return t.load(s, x, place); },
            [&] { return s.constant(compute, 0); });
      });

  Poly perGroup = weight.shape[1], count = t.poly(groups);
  Poly filters = t.getTerms().fdiv(weight.shape[0], count);
  SymbolicShape left = {x.shape[0], count, perGroup},
                right = {count, filters, perGroup},
                out = {x.shape[0], count, filters};
  // Loops: batch 0, group 1, filter 2, channel 3, then kernel and result.
  SmallVector<int64_t> leftLoops = {0, 1, 3}, rightLoops = {1, 2, 3},
                       outLoops = {0, 1, 2};
  for (unsigned k = 0; k < rank; ++k) {
    left.push_back(t.poly(window.kernel[k]));
    right.push_back(t.poly(window.kernel[k]));
    leftLoops.push_back(4 + k);
    rightLoops.push_back(4 + k);
  }
  for (unsigned k = 0; k < rank; ++k) {
    left.push_back(shape[2 + k]);
    out.push_back(shape[2 + k]);
    leftLoops.push_back(4 + rank + k);
    outLoops.push_back(4 + rank + k);
  }
  Tensor sum = t.einsum({t.reshape(gathered, left), t.reshape(weight, right)},
                        {leftLoops, rightLoops}, outLoops, accumulator);
  return t.reshape(sum, shape);
}

Tensor lathe::convolve(Node &n, const Tensor &x, const Tensor &weight,
                       const Window &window, int64_t groups,
                       ArrayRef<Poly> shape, Type accumulator) {
  if (!n.stage.usesKernels())
    return convolveInLinalg(n, x, weight, window, groups, shape, accumulator);
  unsigned rank = window.rank();
  Value rows = n.t.valueOf(x), kernel = n.t.valueOf(weight);
  SmallVector<Value> inputs = {rows, kernel};
  for (Poly before : window.before)
    inputs.push_back(n.t.dim(before));
  Type element = x.element, weightElement = weight.element;
  return n.stage.loopKernel(
      "conv", inputs, shape, accumulator, [&](Scalars &s, ValueRange in) {
        Value x = in[0], w = in[1], y = in.back();
        ValueRange before = in.slice(2, rank);
        Value zero = s.index(0);
        Value perGroup = dimOf(s, w, 1);
        Value filters = s.div(dimOf(s, y, 1), s.index(groups), true);
        unsigned last = rank - 1;
        Value columns = dimOf(s, y, last + 2);
        Value width = dimOf(s, x, last + 2);
        // One row of the result: batch, filter, all spatial dims but the last.
        SmallVector<Value> sizes;
        for (unsigned k = 0; k < last + 2; ++k)
          sizes.push_back(dimOf(s, y, k));
        s.forall(sizes, [&](ValueRange row) {
          auto resultAt = [&](Value column) {
            SmallVector<Value> position(row);
            position.push_back(column);
            return position;
          };
          s.loop(zero, columns, {},
                 [&](Value j, ValueRange) -> SmallVector<Value> {
                   memref::StoreOp::create(
                       s, s.integer(getStorageType(accumulator), 0), y,
                       resultAt(j));
                   return {};
                 });
          Value firstChannel = s.mul(s.div(row[1], filters, true), perGroup);
          SmallVector<Value> from = {row[0], Value()};
          SmallVector<Value> tap = {row[1], Value()};
          std::function<void(unsigned)> overKernel = [&](unsigned k) {
            if (k < last) {
              Value start = s.sub(s.mul(row[k + 2], s.index(window.strides[k])),
                                  before[k]);
              WindowRange range =
                  clipWindow(s, start, window.kernel[k], window.dilations[k],
                             dimOf(s, x, k + 2));
              s.loop(range.first, range.end, {},
                     [&](Value at, ValueRange) -> SmallVector<Value> {
                       tap.push_back(at);
                       from.push_back(s.add(
                           start, s.mul(at, s.index(window.dilations[k]))));
                       overKernel(k + 1);
                       tap.pop_back();
                       from.pop_back();
                       return {};
                     });
              return;
            }
            s.loop(
                zero, s.index(window.kernel[last]), {},
                [&](Value at, ValueRange) -> SmallVector<Value> {
                  tap.push_back(at);
                  Value factor = s.cast(
                      s.load(memref::LoadOp::create(s, w, tap), weightElement),
                      weightElement, accumulator);
                  tap.pop_back();
                  // Columns j for which j * stride + shift lies in the input.
                  int64_t stride = window.strides[last];
                  Value shift = s.sub(
                      s.mul(at, s.index(window.dilations[last])), before[last]);
                  Value first =
                      s.max(ceilDiv(s, s.sub(zero, shift), stride), zero);
                  Value end =
                      s.min(ceilDiv(s, s.sub(width, shift), stride), columns);
                  s.loop(first, end, {},
                         [&](Value j, ValueRange) -> SmallVector<Value> {
                           SmallVector<Value> position(from);
                           position.push_back(
                               s.add(s.mul(j, s.index(stride)), shift));
                           Value v = s.cast(
                               s.load(memref::LoadOp::create(s, x, position),
                                      element),
                               element, accumulator);
                           Value sum =
                               memref::LoadOp::create(s, y, resultAt(j));
                           memref::StoreOp::create(
                               s, s.add(sum, s.mul(v, factor)), y, resultAt(j));
                           return {};
                         });
                  return {};
                });
          };
          s.loop(zero, perGroup, {},
                 [&](Value channel, ValueRange) -> SmallVector<Value> {
                   from[1] = s.add(firstChannel, channel);
                   tap[1] = channel;
                   overKernel(0);
                   return {};
                 });
        });
      });
}

SmallVector<int64_t> lathe::kernelShape(const Tensor &weight) {
  SmallVector<int64_t> kernel;
  for (Poly extent : ArrayRef<Poly>(weight.shape).drop_front(2))
    kernel.push_back(extent.getConstantInt().value_or(-1));
  return kernel;
}

static LogicalResult lowerConv(Node &n) {
  Tensor x = n.in(0), weight = n.in(1);
  SymbolicShape shape = n.shape();
  SmallVector<int64_t> kernel = kernelShape(weight);
  if (llvm::is_contained(kernel, -1))
    return n.refuse("the extents of its kernel must be constant");
  FailureOr<Window> window = getWindow(n, x, kernel, shape);
  if (failed(window))
    return failure();
  Type accumulator = getComputeType(x.element);
  Tensor sum = convolve(n, x, weight, *window, n.op.getInt("group", 1), shape,
                        accumulator);
  if (n.has(2)) {
    SmallVector<int64_t> axes =
        llvm::to_vector(llvm::seq<int64_t>(1, x.rank() - 1));
    Tensor bias = n.t.expandAxes(n.t.convert(n.in(2), accumulator), axes);
    sum = n.t.mapTo(shape, {sum, bias}, n.element(),
                    [](Scalars &s, Values v) { return s.add(v[0], v[1]); });
  }
  n.set(n.t.convert(sum, n.element()));
  return success();
}

/// 32-bit sums of integers without their zero points.
static LogicalResult lowerConvInteger(Node &n) {
  Type i32 = n.t.getBuilder().getI32Type();
  auto shifted = [&](unsigned operand, unsigned zeroPoint) {
    Tensor x = n.t.convert(n.in(operand), i32);
    if (!n.has(zeroPoint))
      return x;
    Tensor zero = n.t.convert(n.in(zeroPoint), i32);
    // A zero point per filter.
    if (zero.rank() == 1 && !zero.shape[0].isConstant(1))
      zero = n.t.expandAxes(zero,
                            llvm::to_vector(llvm::seq<int64_t>(1, x.rank())));
    return n.t.mapTo(x.shape, {x, zero}, i32,
                     [](Scalars &s, Values v) { return s.sub(v[0], v[1]); });
  };
  Tensor x = shifted(0, 2), weight = shifted(1, 3);
  SymbolicShape shape = n.shape();
  SmallVector<int64_t> kernel = kernelShape(weight);
  if (llvm::is_contained(kernel, -1))
    return n.refuse("the extents of its kernel must be constant");
  FailureOr<Window> window = getWindow(n, x, kernel, shape);
  if (failed(window))
    return failure();
  n.set(convolve(n, x, weight, *window, n.op.getInt("group", 1), shape, i32));
  return success();
}

//===----------------------------------------------------------------------===//
// ConvTranspose
//===----------------------------------------------------------------------===//

/// What is cut off in front of each spatial dim.
static FailureOr<SmallVector<Poly>> transposePads(Node &n, const Tensor &x,
                                                  ArrayRef<int64_t> kernel,
                                                  ArrayRef<int64_t> strides,
                                                  ArrayRef<int64_t> dilations,
                                                  ArrayRef<Poly> result) {
  unsigned rank = kernel.size();
  IndexExprContext &terms = n.t.getTerms();
  StringRef automatic = n.op.getString("auto_pad", "NOTSET");
  auto extra = n.op.getInts("output_padding");
  bool hasShape = n.op.getInts("output_shape").has_value();
  SmallVector<Poly> pads;
  for (unsigned k = 0; k < rank; ++k) {
    if (automatic == "VALID" || (automatic == "NOTSET" && !hasShape)) {
      auto written = n.op.getInts("pads");
      pads.push_back(terms.constant(
          automatic == "NOTSET" && written ? (*written)[k] : int64_t(0)));
      continue;
    }
    Poly full =
        (x.shape[k + 2] - 1) * strides[k] +
        ((kernel[k] - 1) * dilations[k] + 1 + (extra ? (*extra)[k] : 0));
    Poly total = terms.max(full - result[k + 2], terms.zero());
    // The odd one is cut off behind with SAME_UPPER, else in front.
    bool upper = automatic == "SAME_UPPER";
    Poly before = terms.fdiv(upper ? total : total + 1, terms.constant(2));
    if (!before)
      return n.refuse("its pads depend on extents that are not known");
    pads.push_back(before);
  }
  return pads;
}

static LogicalResult lowerConvTranspose(Node &n) {
  if (failed(n.needKernels()))
    return failure();
  Tensor x = n.in(0), weight = n.in(1);
  SymbolicShape shape = n.shape();
  SmallVector<int64_t> kernel = kernelShape(weight);
  unsigned rank = kernel.size();
  if (llvm::is_contained(kernel, -1) || rank == 0)
    return n.refuse("the extents of its kernel must be constant");
  auto listOr = [&](StringRef name) {
    auto written = n.op.getInts(name);
    return written ? llvm::to_vector(*written) : SmallVector<int64_t>(rank, 1);
  };
  SmallVector<int64_t> strides = listOr("strides");
  SmallVector<int64_t> dilations = listOr("dilations");
  FailureOr<SmallVector<Poly>> pads =
      transposePads(n, x, kernel, strides, dilations, shape);
  if (failed(pads))
    return failure();
  int64_t groups = n.op.getInt("group", 1);
  Type accumulator = getComputeType(x.element);
  Type element = x.element, weightElement = weight.element;

  SmallVector<Value> inputs = {n.t.valueOf(x), n.t.valueOf(weight)};
  for (Poly pad : *pads)
    inputs.push_back(n.t.dim(pad));
  Tensor sum = n.stage.loopKernel(
      "convtranspose", inputs, shape, accumulator,
      [&](Scalars &s, ValueRange in) {
        Value x = in[0], w = in[1], y = in.back();
        ValueRange pads = in.slice(2, rank);
        Value zero = s.index(0);
        Value filters = dimOf(s, w, 1);
        Value channels = s.div(dimOf(s, x, 1), s.index(groups), true);
        SmallVector<Value> planes = {dimOf(s, y, 0), dimOf(s, y, 1)};
        SmallVector<Value> area;
        for (unsigned k = 0; k < rank; ++k)
          area.push_back(dimOf(s, y, k + 2));
        // One plane of the result: every input element adds a window to it.
        s.forall(planes, [&](ValueRange plane) {
          s.nest(area, [&](ValueRange at) {
            SmallVector<Value> position(plane);
            llvm::append_range(position, at);
            memref::StoreOp::create(
                s, s.integer(getStorageType(accumulator), 0), y, position);
          });
          Value group = s.div(plane[1], filters, true);
          Value filter = s.rem(plane[1], filters, true);
          SmallVector<Value> taps;
          for (int64_t extent : kernel)
            taps.push_back(s.index(extent));
          SmallVector<Value> outer = {channels};
          llvm::append_range(outer, taps);
          s.nest(outer, [&](ValueRange loops) {
            Value channel = s.add(s.mul(group, channels), loops[0]);
            SmallVector<Value> tap = {channel, filter};
            llvm::append_range(tap, loops.drop_front());
            Value factor =
                s.cast(s.load(memref::LoadOp::create(s, w, tap), weightElement),
                       weightElement, accumulator);
            // Input positions whose target i * stride + shift is inside.
            SmallVector<Value> from = {plane[0], channel}, to(plane);
            std::function<void(unsigned)> level = [&](unsigned k) {
              Value shift =
                  s.sub(s.mul(loops[k + 1], s.index(dilations[k])), pads[k]);
              Value first =
                  s.max(ceilDiv(s, s.sub(zero, shift), strides[k]), zero);
              Value end = s.min(ceilDiv(s, s.sub(area[k], shift), strides[k]),
                                dimOf(s, x, k + 2));
              s.loop(
                  first, end, {},
                  [&](Value i, ValueRange) -> SmallVector<Value> {
                    from.push_back(i);
                    to.push_back(s.add(s.mul(i, s.index(strides[k])), shift));
                    if (k + 1 < rank) {
                      level(k + 1);
                    } else {
                      Value v = s.cast(
                          s.load(memref::LoadOp::create(s, x, from), element),
                          element, accumulator);
                      Value sum = memref::LoadOp::create(s, y, to);
                      memref::StoreOp::create(s, s.add(sum, s.mul(v, factor)),
                                              y, to);
                    }
                    from.pop_back();
                    to.pop_back();
                    return {};
                  });
            };
            level(0);
          });
        });
      });
  if (n.has(2)) {
    Tensor bias =
        n.t.expandAxes(n.t.convert(n.in(2), accumulator),
                       llvm::to_vector(llvm::seq<int64_t>(1, x.rank() - 1)));
    sum = n.t.mapTo(shape, {sum, bias}, n.element(),
                    [](Scalars &s, Values v) { return s.add(v[0], v[1]); });
  }
  n.set(n.t.convert(sum, n.element()));
  return success();
}

//===----------------------------------------------------------------------===//
// CausalConvWithState
//===----------------------------------------------------------------------===//

/// A depthwise convolution along time behind the state of earlier steps.
static LogicalResult lowerCausalConv(Node &n) {
  Tensor x = n.value(0), weight = n.value(1);
  Tensor bias = n.has(2) ? n.value(2) : Tensor();
  Tensor past = n.has(3) ? n.value(3) : Tensor();
  std::optional<int64_t> k = weight.shape[2].getConstantInt();
  if (!k)
    return n.refuse("the extent of its kernel must be constant");
  StringRef activation = n.op.getString("activation", "none");
  Type f = getComputeType(x.element);
  // Element `time` of [past, x].
  auto joined = [&](Scalars &s, Value batch, Value channel, Value time) {
    Value inside = s.sub(time, s.index(*k - 1));
    return s.choose(
        s.ge(inside, s.index(0)), f,
        [&] { return n.t.load(s, x, ValueRange{batch, channel, inside}); },
        [&]() -> Value {
          if (!past)
            return s.constant(f, 0);
          return n.t.load(s, past, ValueRange{batch, channel, time});
        });
  };
  if (n.hasResult(0))
    n.set(
        n.t.generate(n.shape(0), n.element(0), [&](Scalars &s, ValueRange at) {
          Value start = bias ? n.t.load(s, bias, at[1]) : s.constant(f, 0);
          Value sum =
              s.loop(s.index(0), s.index(*k), start,
                     [&](Value tap, ValueRange state) -> SmallVector<Value> {
                       Value w = n.t.load(s, weight,
                                          ValueRange{at[1], s.index(0), tap});
                       Value v = joined(s, at[0], at[1], s.add(at[2], tap));
                       return {s.add(state[0], s.mul(w, v))};
                     })[0];
          if (activation == "none")
            return sum;
          sum = s.round(sum, n.element(0));
          return s.mul(sum, s.sigmoid(sum));
        }));
  if (n.hasResult(1)) {
    Value length = n.t.dim(x.shape[2]);
    n.set(n.t.generate(n.shape(1), n.element(1),
                       [&](Scalars &s, ValueRange at) {
                         return joined(s, at[0], at[1], s.add(at[2], length));
                       }),
          1);
  }
  return success();
}

void lathe::addConvolutions(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"CausalConvWithState", 27, lowerCausalConv},
      {"Conv", 1, lowerConv},
      {"ConvInteger", 10, lowerConvInteger},
      {"ConvTranspose", 1, lowerConvTranspose},
  };
  table.add("", rows);
}
