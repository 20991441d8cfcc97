//===- Attend.cpp - attention over whole tensors --------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Attend.h"

using namespace mlir;
using namespace lathe;
using Values = ArrayRef<Value>;
using Node = NodeLowering;

//===----------------------------------------------------------------------===//
// Heads and rows
//===----------------------------------------------------------------------===//

Tensor lathe::splitHeads(Node &n, const Tensor &input, int64_t heads, Poly size,
                         Poly offset) {
  Tensor x = n.t.wrap(n.t.valueOf(input), input.element, input.shape);
  SymbolicShape shape = {x.shape[0], n.t.poly(heads), x.shape[1], size};
  Value width = n.t.dim(size), start = n.t.dim(offset);
  return n.t.generate(shape, x.element, [&](Scalars &s, ValueRange at) {
    Value column = s.add(s.add(start, s.mul(at[1], width)), at[3]);
    return n.t.load(s, x, ValueRange{at[0], at[2], column});
  });
}

Tensor lathe::splitHeads(Node &n, const Tensor &x, int64_t heads) {
  if (x.rank() == 4)
    return n.t.wrap(n.t.valueOf(x), x.element, x.shape);
  Poly size = n.t.getTerms().fdiv(x.shape[2], n.t.poly(heads));
  return splitHeads(n, x, heads, size, n.t.poly(0));
}

Tensor lathe::mergeHeads(TensorBuilder &t, const Tensor &x) {
  return t.reshape(t.transpose(x, {0, 2, 1, 3}),
                   {x.shape[0], x.shape[2], x.shape[1] * x.shape[3]});
}

Tensor lathe::appendRows(Node &n, const Tensor &past, const Tensor &fresh) {
  if (!past)
    return fresh;
  SymbolicShape shape = fresh.shape;
  shape[2] = past.shape[2] + fresh.shape[2];
  Value rows = n.t.dim(past.shape[2]);
  Type compute = getComputeType(fresh.element);
  return n.t.generate(shape, fresh.element, [&](Scalars &s, ValueRange at) {
    return s.choose(
        s.lt(at[2], rows), compute, [&] { return n.t.load(s, past, at); },
        [&] {
          SmallVector<Value> position(at);
          position[2] = s.sub(at[2], rows);
          return n.t.load(s, fresh, position);
        });
  });
}

Value lathe::loadBroadcast(Node &n, Scalars &s, const Tensor &x,
                           ValueRange coords, ArrayRef<Poly> shape) {
  SmallVector<Value> position;
  size_t hidden = shape.size() - x.rank();
  for (auto [k, extent] : llvm::enumerate(x.shape)) {
    Value coord = coords[hidden + k];
    if (extent.isConstant(1))
      coord = s.index(0);
    else if (extent != shape[hidden + k])
      coord = s.select(s.eq(n.t.dim(extent), s.index(1)), s.index(0), coord);
    position.push_back(coord);
  }
  return n.t.load(s, x, position);
}

//===----------------------------------------------------------------------===//
// Scores, softmax, values
//===----------------------------------------------------------------------===//

static Tensor reduceRows(TensorBuilder &t, const Tensor &x, bool isMax) {
  double infinity = std::numeric_limits<double>::infinity();
  return t.reduce(
      x, int64_t(3), x.element,
      FloatAttr::get(x.element, isMax ? -infinity : 0.0),
      [](Scalars &, Values v) { return v[0]; },
      [&](Scalars &s, Value a, Value b) {
        return isMax ? s.max(a, b) : s.add(a, b);
      });
}

/// Softmax over keys. A row of minus infinity gives zeros.
static Tensor rowSoftmax(TensorBuilder &t, const Tensor &x,
                         const Tensor &sink) {
  Type f = x.element;
  double infinity = std::numeric_limits<double>::infinity();
  Tensor top = reduceRows(t, x, /*isMax=*/true);
  Tensor extra;
  if (sink) {
    extra = t.expandAxes(t.convert(sink, f), int64_t(1));
    top = t.mapTo(top.shape, {top, extra}, f,
                  [](Scalars &s, Values v) { return s.max(v[0], v[1]); });
  }
  // Minus infinity must not meet itself in a difference.
  Tensor shift = t.map(top, f, [&](Scalars &s, Values v) {
    return s.select(s.eq(v[0], s.like(v[0], -infinity)), s.like(v[0], 0), v[0]);
  });
  Tensor power =
      t.map({x, t.expandAxes(shift, int64_t(3))}, f,
            [](Scalars &s, Values v) { return s.exp(s.sub(v[0], v[1])); });
  Tensor sum = reduceRows(t, power, /*isMax=*/false);
  if (sink)
    sum = t.mapTo(sum.shape, {sum, shift, extra}, f, [](Scalars &s, Values v) {
      return s.add(v[0], s.exp(s.sub(v[2], v[1])));
    });
  return t.map({power, t.expandAxes(sum, int64_t(3))}, f,
               [](Scalars &s, Values v) {
                 Value zero = s.like(v[0], 0);
                 return s.select(s.eq(v[1], zero), zero, s.div(v[0], v[1]));
               });
}

AttentionResults lathe::attend(StageLowering &stage,
                               const AttentionOperands &operands) {
  Type f = getComputeType(operands.q.element);
  Tensor q = stage.t.convert(operands.q, f), k = stage.t.convert(operands.k, f);
  Tensor v = stage.t.convert(operands.v, f);
  Poly batch = q.shape[0], heads = q.shape[1], rows = q.shape[2];
  Poly kvHeads = k.shape[1], keys = k.shape[2];
  // The heads of a group stand one after the other: their rows are rows of one
  // product.
  Poly groupRows = stage.t.getTerms().fdiv(heads, kvHeads) * rows;
  SymbolicShape shape = {batch, heads, rows, keys};
  Tensor grouped = stage.t.reshape(q, {batch, kvHeads, groupRows, q.shape[3]});
  Tensor products = stage.t.reshape(
      stage.matmul(grouped, k, /*transA=*/false, /*transB=*/true), shape);

  AttentionResults results;
  results.scores = stage.t.map(products, f, [&](Scalars &s, Values x) {
    return s.mul(x[0], s.like(x[0], operands.scale));
  });
  results.capped = results.scores;
  if (double cap = operands.softcap; cap != 0)
    results.capped = stage.t.map(results.scores, f, [&](Scalars &s, Values x) {
      return s.mul(s.tanh(s.div(x[0], s.like(x[0], cap))), s.like(x[0], cap));
    });
  results.masked = results.capped;
  if (operands.mask)
    results.masked = stage.t.generate(shape, f, [&](Scalars &s, ValueRange at) {
      return operands.mask(s, stage.t.load(s, results.capped, at), at);
    });
  results.probabilities = rowSoftmax(stage.t, results.masked, operands.sink);
  Tensor flat =
      stage.t.reshape(results.probabilities, {batch, kvHeads, groupRows, keys});
  results.result =
      stage.t.reshape(stage.matmul(flat, v), {batch, heads, rows, v.shape[3]});
  return results;
}

//===----------------------------------------------------------------------===//
// Rotation
//===----------------------------------------------------------------------===//

Tensor lathe::rotate(TensorBuilder &t, const Tensor &x,
                     const Rotation &rotation) {
  Type compute = getComputeType(x.element);
  std::optional<int64_t> size = x.shape[3].getConstantInt();
  // The tables know the rotated columns where the attribute does not.
  Poly pairs = rotation.columns ? t.poly(rotation.columns / 2)
                                : rotation.cos.shape.back();
  bool isPartial = rotation.columns && size != rotation.columns;
  Value half = t.dim(pairs);
  return t.generate(x.shape, x.element, [&](Scalars &s, ValueRange at) {
    auto rotated = [&]() -> Value {
      Value column = at[3], one = s.index(1), two = s.index(2);
      Value isFirst, pair, partner;
      if (rotation.interleaved) {
        Value odd = s.rem(column, two, /*isUnsigned=*/true);
        isFirst = s.eq(odd, s.index(0));
        pair = s.div(column, two, /*isUnsigned=*/true);
        partner = s.select(isFirst, s.add(column, one), s.sub(column, one));
      } else {
        isFirst = s.lt(column, half);
        pair = s.select(isFirst, column, s.sub(column, half));
        partner = s.select(isFirst, s.add(column, half), s.sub(column, half));
      }
      SmallVector<Value> place;
      if (rotation.position)
        place = {rotation.position(s, at[0], at[2]), pair};
      else
        place = {rotation.cos.shape[0].isConstant(1) ? s.index(0) : at[0],
                 at[2], pair};
      Value cos =
          s.cast(t.load(s, rotation.cos, place), rotation.cos.element, compute);
      Value sin =
          s.cast(t.load(s, rotation.sin, place), rotation.sin.element, compute);
      SmallVector<Value> other(at);
      other[3] = partner;
      Value turned = s.mul(t.load(s, x, other), sin);
      return s.add(s.mul(t.load(s, x, at), cos),
                   s.select(isFirst, s.neg(turned), turned));
    };
    if (!isPartial)
      return rotated();
    return s.choose(s.lt(at[3], s.index(rotation.columns)), compute, rotated,
                    [&] { return t.load(s, x, at); });
  });
}
