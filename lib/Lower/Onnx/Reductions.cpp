//===- Reductions.cpp - Reduce*, ArgMax and scans -------------------------===//
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

namespace {

enum class Combiner { Add, Mul, Max, Min };

/// A reduction: combine(pre(x)...), then post.
struct Reduction {
  Combiner combiner;
  Value (*pre)(Scalars &, Value) = nullptr;
  Value (*post)(Scalars &, Value) = nullptr;
  bool isMean = false;
};

} // namespace

static Value square(Scalars &s, Value x) { return s.mul(x, x); }
static Value absolute(Scalars &s, Value x) { return s.abs(x); }

/// A function of reals on an integer: there and back.
template <Value (Scalars::*Method)(Value)>
static Value real(Scalars &s, Value x) {
  Type type = x.getType();
  if (isa<FloatType>(type))
    return (s.*Method)(x);
  return s.toInteger((s.*Method)(s.toFloat(x, s.getF64Type())), type);
}

/// The element that changes nothing.
static Attribute neutral(Combiner combiner, Type onnx) {
  Type type = getComputeType(onnx);
  bool isMax = combiner == Combiner::Max, isMin = combiner == Combiner::Min;
  if (isa<FloatType>(type)) {
    double infinity = std::numeric_limits<double>::infinity();
    return FloatAttr::get(type, combiner == Combiner::Mul ? 1.0
                                : isMax                   ? -infinity
                                : isMin                   ? infinity
                                                          : 0.0);
  }
  unsigned width = type.getIntOrFloatBitWidth();
  if (isUnsigned(onnx))
    return IntegerAttr::get(type,
                            isMin ? APInt::getMaxValue(width)
                                  : APInt(width, combiner == Combiner::Mul));
  return IntegerAttr::get(type, isMax ? APInt::getSignedMinValue(width)
                                : isMin
                                    ? APInt::getSignedMaxValue(width)
                                    : APInt(width, combiner == Combiner::Mul));
}

static Value combine(Scalars &s, Combiner combiner, Value a, Value b,
                     bool isUnsigned) {
  switch (combiner) {
  case Combiner::Add:
    return s.add(a, b);
  case Combiner::Mul:
    return s.mul(a, b);
  case Combiner::Max:
    return s.max(a, b, isUnsigned);
  case Combiner::Min:
    return s.min(a, b, isUnsigned);
  }
  llvm_unreachable("all combiners are handled");
}

/// The ONNX type in which elements of `element` are combined.
static Type accumulatorOf(Type element) {
  return isa<FloatType>(element) ? getComputeType(element) : element;
}

/// The axes that a Reduce* node names; none: all.
static FailureOr<SmallVector<int64_t>> reducedAxes(Node &n, bool &isNoop) {
  unsigned rank = n.in(0).rank();
  auto axes = n.axes(1, rank);
  if (failed(axes))
    return failure();
  isNoop = false;
  if (*axes && !(*axes)->empty())
    return **axes;
  isNoop = n.op.getInt("noop_with_empty_axes", 0) != 0;
  return llvm::to_vector(llvm::seq<int64_t>(0, rank));
}

static Tensor keepAxes(Node &n, const Tensor &reduced, ArrayRef<int64_t> axes) {
  return n.op.getInt("keepdims", 1) ? n.t.expandAxes(reduced, axes) : reduced;
}

static LogicalResult lowerReduction(Node &n, const Reduction &reduction) {
  Tensor x = n.in(0);
  bool isNoop;
  FailureOr<SmallVector<int64_t>> axes = reducedAxes(n, isNoop);
  if (failed(axes))
    return failure();
  Type accumulator = accumulatorOf(x.element);
  if (isNoop) {
    // No axis is reduced, each element alone is.
    n.set(n.t.convert(
        n.t.map(n.t.convert(x, accumulator), accumulator,
                [&](Scalars &s, Values v) {
                  Value one = reduction.pre ? reduction.pre(s, v[0]) : v[0];
                  return reduction.post ? reduction.post(s, one) : one;
                }),
        n.element()));
    return success();
  }
  bool isUnsigned = lathe::isUnsigned(x.element);
  Tensor sum = n.t.reduce(
      x, *axes, accumulator, neutral(reduction.combiner, x.element),
      [&](Scalars &s, Values v) {
        return reduction.pre ? reduction.pre(s, v[0]) : v[0];
      },
      [&](Scalars &s, Value a, Value b) {
        return combine(s, reduction.combiner, a, b, isUnsigned);
      });
  Poly count = n.t.poly(1);
  for (int64_t axis : *axes)
    count = n.t.getTerms().mul(count, x.shape[axis]);
  Value size = reduction.isMean ? n.t.dim(count) : Value();
  if (reduction.isMean || reduction.post)
    sum = n.t.map(sum, accumulator, [&](Scalars &s, Values v) {
      if (reduction.isMean) {
        Type type = v[0].getType();
        return s.div(v[0], s.fromIndex(size, type), isUnsigned);
      }
      return reduction.post(s, v[0]);
    });
  n.set(n.t.convert(keepAxes(n, sum, *axes), n.element()));
  return success();
}

/// log(sum(exp(x))), shifted by the largest element against overflow.
static LogicalResult lowerLogSumExp(Node &n) {
  Tensor x = n.in(0);
  bool isNoop;
  FailureOr<SmallVector<int64_t>> axes = reducedAxes(n, isNoop);
  if (failed(axes))
    return failure();
  if (isNoop) {
    n.set(n.t.wrap(n.t.valueOf(x), x.element, x.shape));
    return success();
  }
  Type f = isa<FloatType>(x.element) ? accumulatorOf(x.element)
                                     : Type(n.t.getBuilder().getF64Type());
  Tensor wide = n.t.convert(x, f);
  auto same = [](Scalars &, Values v) { return v[0]; };
  Tensor top =
      n.t.reduce(wide, *axes, f, neutral(Combiner::Max, f), same,
                 [](Scalars &s, Value a, Value b) { return s.max(a, b); });
  // An infinite maximum must not meet itself in a difference.
  Tensor shift = n.t.map(top, f, [](Scalars &s, Values v) {
    return s.select(s.isInf(v[0]), s.like(v[0], 0), v[0]);
  });
  Tensor power =
      n.t.map({wide, n.t.expandAxes(shift, *axes)}, f,
              [](Scalars &s, Values v) { return s.exp(s.sub(v[0], v[1])); });
  Tensor sum =
      n.t.reduce(power, *axes, f, neutral(Combiner::Add, f), same,
                 [](Scalars &s, Value a, Value b) { return s.add(a, b); });
  Type element = n.element();
  Tensor result = n.t.map({sum, shift}, f, [](Scalars &s, Values v) {
    return s.add(s.log(v[0]), v[1]);
  });
  n.set(n.t.convert(keepAxes(n, result, *axes), element));
  return success();
}

//===----------------------------------------------------------------------===//
// ArgMax, ArgMin
//===----------------------------------------------------------------------===//

/// The first (or last) position of the extremum along an axis.
static Tensor argExtremum(Node &n, const Tensor &x, unsigned axis, bool isMax,
                          bool last, Type element) {
  bool isUnsigned = lathe::isUnsigned(x.element);
  Tensor source = n.t.wrap(n.t.valueOf(x), x.element, x.shape);
  SymbolicShape shape = x.shape;
  shape.erase(shape.begin() + axis);
  Value extent = n.t.dim(x.shape[axis]);
  return n.t.generate(shape, element, [&](Scalars &s, ValueRange coords) {
    auto at = [&](Value k) {
      SmallVector<Value> position(coords);
      position.insert(position.begin() + axis, k);
      return n.t.load(s, source, position);
    };
    SmallVector<Value> best = s.loop(
        s.index(1), extent, {at(s.index(0)), s.index(0)},
        [&](Value k, ValueRange state) -> SmallVector<Value> {
          Value x = at(k);
          Value better = isMax ? s.gt(x, state[0], isUnsigned)
                               : s.lt(x, state[0], isUnsigned);
          if (last)
            better = s.logicalOr(better, s.eq(x, state[0]));
          return {s.select(better, x, state[0]), s.select(better, k, state[1])};
        });
    return s.fromIndex(best[1], getComputeType(element));
  });
}

static LogicalResult lowerArg(Node &n, bool isMax) {
  Tensor x = n.in(0);
  unsigned axis = n.axis(x.rank(), 0);
  bool last = n.op.getInt("select_last_index", 0) != 0;
  Tensor position = argExtremum(n, x, axis, isMax, last, n.element());
  n.set(keepAxes(n, position, {int64_t(axis)}));
  return success();
}

/// 1 at the first maximum along the axis, 0 elsewhere.
static LogicalResult lowerHardmax(Node &n) {
  Tensor x = n.in(0);
  SymbolicShape shape = x.shape;
  unsigned axis = n.axis(x.rank(), n.opset() < 13 ? 1 : -1);
  if (n.opset() < 13) {
    x = n.t.flatten(x, axis);
    axis = 1;
  }
  Type i64 = n.t.getBuilder().getI64Type();
  Tensor best = argExtremum(n, x, axis, /*isMax=*/true, /*last=*/false, i64);
  best = n.t.wrap(n.t.valueOf(best), best.element, best.shape);
  Tensor result =
      n.t.generate(x.shape, n.element(), [&](Scalars &s, ValueRange coords) {
        SmallVector<Value> position(coords);
        position.erase(position.begin() + axis);
        Value hit = s.eq(s.toIndex(n.t.load(s, best, position)), coords[axis]);
        Type type = getComputeType(n.element());
        return s.select(hit, s.constant(type, 1), s.constant(type, 0));
      });
  n.set(n.t.reshape(result, shape));
  return success();
}

//===----------------------------------------------------------------------===//
// CumSum, CumProd
//===----------------------------------------------------------------------===//

static LogicalResult lowerScan(Node &n, bool isProduct) {
  if (failed(n.needKernels()))
    return failure();
  std::optional<SmallVector<int64_t>> axes = n.ints(1);
  if (!axes || axes->size() != 1)
    return n.refuse("its axis is not constant");
  Tensor x = n.in(0);
  int64_t rank = x.rank();
  int64_t axis = (*axes)[0] < 0 ? (*axes)[0] + rank : (*axes)[0];
  if (axis < 0 || axis >= rank)
    return n.refuse("its axis is out of range");
  bool exclusive = n.op.getInt("exclusive", 0) != 0;
  bool reverse = n.op.getInt("reverse", 0) != 0;

  // [outer, axis, inner]: every (outer, inner) is a scan of its own.
  ArrayRef<Poly> shape = x.shape;
  SymbolicShape flat = {n.t.product(shape.take_front(axis)), shape[axis],
                        n.t.product(shape.drop_front(axis + 1))};
  Tensor source = n.t.reshape(x, flat);
  Type element = x.element;
  Type compute = getComputeType(element);
  Tensor result = n.stage.loopKernel(
      isProduct ? "cumprod" : "cumsum", {source.value}, flat, element,
      [&](Scalars &s, ValueRange buffers) {
        Value in = buffers[0], out = buffers[1];
        Value extent = memref::DimOp::create(s, in, 1);
        SmallVector<Value> sizes = {memref::DimOp::create(s, in, 0),
                                    memref::DimOp::create(s, in, 2)};
        s.forall(sizes, [&](ValueRange lane) {
          s.loop(s.index(0), extent, s.constant(compute, isProduct),
                 [&](Value k, ValueRange sum) -> SmallVector<Value> {
                   Value at = k;
                   if (reverse)
                     at = s.sub(s.sub(extent, s.index(1)), k);
                   SmallVector<Value> position = {lane[0], at, lane[1]};
                   Value v =
                       s.load(memref::LoadOp::create(s, in, position), element);
                   Value next = isProduct ? s.mul(sum[0], v) : s.add(sum[0], v);
                   Value written = exclusive ? sum[0] : next;
                   memref::StoreOp::create(s, s.store(written, element), out,
                                           position);
                   return {next};
                 });
        });
      });
  n.set(n.t.reshape(result, x.shape));
  return success();
}

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

static LogicalResult lowerSoftmax(Node &n, bool isLog) {
  Tensor x = n.in(0);
  SymbolicShape shape = x.shape;
  unsigned axis = n.axis(x.rank(), n.opset() < 13 ? 1 : -1);
  // Before opset 13 all dims from the axis on are one.
  if (n.opset() < 13) {
    x = n.t.flatten(x, axis);
    axis = 1;
  }
  Tensor result =
      isLog ? n.stage.logSoftmax(x, axis) : n.stage.softmax(x, axis);
  n.set(n.t.reshape(result, shape));
  return success();
}

//===----------------------------------------------------------------------===//
// Table
//===----------------------------------------------------------------------===//

static NodeFn reduction(Reduction description) {
  return [description](Node &n) { return lowerReduction(n, description); };
}

void lathe::addReductions(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"ArgMax", 1, [](Node &n) { return lowerArg(n, /*isMax=*/true); }},
      {"ArgMin", 1, [](Node &n) { return lowerArg(n, /*isMax=*/false); }},
      {"CumProd", 26, [](Node &n) { return lowerScan(n, true); }},
      {"CumSum", 11, [](Node &n) { return lowerScan(n, false); }},
      {"Hardmax", 1, lowerHardmax},
      {"LogSoftmax", 1, [](Node &n) { return lowerSoftmax(n, true); }},
      {"ReduceL1", 1, reduction({Combiner::Add, absolute})},
      {"ReduceL2", 1, reduction({Combiner::Add, square, real<&Scalars::sqrt>})},
      {"ReduceLogSum", 1,
       reduction({Combiner::Add, nullptr, real<&Scalars::log>})},
      {"ReduceLogSumExp", 1, lowerLogSumExp},
      {"ReduceMax", 1, reduction({Combiner::Max})},
      {"ReduceMean", 1, reduction({Combiner::Add, nullptr, nullptr, true})},
      {"ReduceMin", 1, reduction({Combiner::Min})},
      {"ReduceProd", 1, reduction({Combiner::Mul})},
      {"ReduceSum", 1, reduction({Combiner::Add})},
      {"ReduceSumSquare", 1, reduction({Combiner::Add, square})},
      {"Softmax", 1, [](Node &n) { return lowerSoftmax(n, false); }},
  };
  table.add("", rows);
}
