//===- Normalizations.cpp - layer, batch, group and other norms -----------===//
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

/// The type in which the statistics of `x` are computed.
static Type statisticsType(const Tensor &x) {
  return getComputeType(x.element);
}

static SmallVector<int64_t> range(int64_t begin, int64_t end) {
  return llvm::to_vector(llvm::seq<int64_t>(begin, end));
}

namespace {
/// The pieces of a norm over some axes, with extents of 1 where reduced.
struct Statistics {
  Tensor mean;    // none for RMS
  Tensor centred; // x - mean
  Tensor inverse; // 1 / sqrt(variance + epsilon)
};
} // namespace

static Statistics statisticsOf(Node &n, const Tensor &input,
                               ArrayRef<int64_t> axes, double epsilon,
                               bool isRms = false) {
  Type f = statisticsType(input);
  Statistics result;
  result.centred = n.t.convert(input, f);
  if (!isRms) {
    result.mean = n.stage.mean(result.centred, axes);
    result.centred =
        n.t.map({result.centred, result.mean}, f,
                [](Scalars &s, Values x) { return s.sub(x[0], x[1]); });
  }
  Tensor squares = n.t.map(result.centred, f, [](Scalars &s, Values x) {
    return s.mul(x[0], x[0]);
  });
  Tensor variance = n.stage.mean(squares, axes);
  result.inverse = n.t.map(variance, f, [&](Scalars &s, Values x) {
    return s.recip(s.sqrt(s.add(x[0], s.like(x[0], epsilon))));
  });
  return result;
}

/// centred * inverse * scale + bias, scale and bias broadcast.
static Tensor applyNorm(Node &n, const Statistics &statistics,
                        const Tensor &scale, const Tensor &bias,
                        ArrayRef<Poly> shape, Type element) {
  SmallVector<Tensor> operands = {statistics.centred, statistics.inverse};
  Type f = statistics.centred.element;
  for (const Tensor &factor : {scale, bias})
    if (factor)
      operands.push_back(n.t.convert(factor, f));
  return n.t.mapTo(shape, operands, element, [&](Scalars &s, Values x) {
    Value value = s.mul(x[0], x[1]);
    if (scale)
      value = s.mul(value, x[2]);
    if (bias)
      value = s.add(value, x.back());
    return value;
  });
}

static LogicalResult lowerLayerNorm(Node &n) {
  Tensor x = n.in(0);
  unsigned axis = n.axis(x.rank(), -1);
  SmallVector<int64_t> axes = range(axis, x.rank());
  Statistics statistics =
      statisticsOf(n, x, axes, n.op.getFloat("epsilon", 1e-5));
  Tensor scale = n.has(1) ? n.in(1) : Tensor();
  Tensor bias = n.has(2) ? n.in(2) : Tensor();
  if (n.hasResult(0))
    n.set(applyNorm(n, statistics, scale, bias, x.shape, n.element()));
  if (n.hasResult(1))
    n.set(n.t.convert(statistics.mean, n.element(1)), 1);
  if (n.hasResult(2))
    n.set(n.t.convert(statistics.inverse, n.element(2)), 2);
  return success();
}

static LogicalResult lowerRmsNorm(Node &n) {
  Tensor x = n.in(0);
  SmallVector<int64_t> axes = range(n.axis(x.rank(), -1), x.rank());
  Statistics statistics =
      statisticsOf(n, x, axes, n.op.getFloat("epsilon", 1e-5), /*isRms=*/true);
  n.set(applyNorm(n, statistics, n.in(1), {}, x.shape, n.element()));
  return success();
}

/// `[C]` as `[C, 1, ..., 1]`, which broadcasts along axis 1 of rank `rank`.
static Tensor alongChannels(Node &n, const Tensor &vector, unsigned rank) {
  return n.t.expandAxes(vector, range(1, rank - 1));
}

static LogicalResult lowerInstanceNorm(Node &n) {
  Tensor x = n.in(0);
  Statistics statistics =
      statisticsOf(n, x, range(2, x.rank()), n.op.getFloat("epsilon", 1e-5));
  n.set(applyNorm(n, statistics, alongChannels(n, n.in(1), x.rank()),
                  alongChannels(n, n.in(2), x.rank()), x.shape, n.element()));
  return success();
}

static LogicalResult lowerGroupNorm(Node &n) {
  Tensor x = n.in(0);
  int64_t groups = n.op.getInt("num_groups", 1);
  std::optional<int64_t> channels = x.shape[1].getConstantInt();
  if (!channels || groups < 1 || *channels % groups)
    return n.refuse("the number of channels must be constant and a multiple "
                    "of num_groups");
  // [N, G, C/G, spatial].
  SymbolicShape grouped = {x.shape[0], n.t.poly(groups),
                           n.t.poly(*channels / groups)};
  grouped.append(x.shape.begin() + 2, x.shape.end());
  Tensor split = n.t.reshape(x, grouped);
  Statistics statistics = statisticsOf(n, split, range(2, grouped.size()),
                                       n.op.getFloat("epsilon", 1e-5));
  // Scale and bias are per group before opset 21, per channel from it on.
  bool perGroup = n.opset() < 21;
  auto parameter = [&](unsigned operand) {
    Tensor vector = n.in(operand);
    if (perGroup)
      return n.t.expandAxes(vector, range(1, grouped.size() - 1));
    Tensor matrix = n.t.reshape(vector, {grouped[1], grouped[2]});
    return n.t.expandAxes(matrix, range(2, grouped.size() - 1));
  };
  Tensor result = applyNorm(n, statistics, parameter(1), parameter(2), grouped,
                            n.element());
  n.set(n.t.reshape(result, x.shape));
  return success();
}

static LogicalResult lowerBatchNorm(Node &n) {
  if (n.op.getInt("training_mode", 0) != 0)
    return n.refuse("training mode is not supported");
  for (unsigned i = 1; i < n.op->getNumResults(); ++i)
    if (n.hasResult(i))
      return n.refuse("only its first result exists outside training");
  Tensor x = n.in(0);
  double epsilon = n.op.getFloat("epsilon", 1e-5);
  Type f = statisticsType(x);
  SmallVector<Tensor> operands = {x};
  for (unsigned i = 1; i < 5; ++i) {
    Tensor vector = n.t.convert(n.in(i), f);
    operands.push_back(x.rank() > 1 ? alongChannels(n, vector, x.rank())
                                    : vector);
  }
  n.set(n.t.mapTo(x.shape, operands, n.element(), [&](Scalars &s, Values v) {
    Value centred = s.sub(s.toFloat(v[0], f), v[3]);
    Value deviation = s.sqrt(s.add(v[4], s.like(v[4], epsilon)));
    return s.add(s.mul(s.div(centred, deviation), v[1]), v[2]);
  }));
  return success();
}

static LogicalResult lowerMeanVarianceNorm(Node &n) {
  Tensor x = n.in(0);
  auto axes = n.axes(/*operand=*/1, x.rank());
  if (failed(axes))
    return failure();
  SmallVector<int64_t> list = *axes ? **axes : SmallVector<int64_t>{0, 2, 3};
  Type f = statisticsType(x);
  Tensor wide = n.t.convert(x, f);
  Tensor mean = n.stage.mean(wide, list);
  Tensor centred = n.t.map(
      {wide, mean}, f, [](Scalars &s, Values v) { return s.sub(v[0], v[1]); });
  Tensor squares = n.t.map(
      centred, f, [](Scalars &s, Values v) { return s.mul(v[0], v[0]); });
  Tensor variance = n.stage.mean(squares, list);
  n.set(n.t.mapTo(x.shape, {centred, variance}, n.element(),
                  [](Scalars &s, Values v) {
                    Value deviation = s.add(s.sqrt(v[1]), s.like(v[1], 1e-9));
                    return s.div(v[0], deviation);
                  }));
  return success();
}

/// A vector of norm 0 stays as it is.
static LogicalResult lowerLpNorm(Node &n) {
  Tensor x = n.in(0);
  int64_t axis = n.axis(x.rank(), -1);
  bool isL1 = n.op.getInt("p", 2) == 1;
  Type f = statisticsType(x);
  Tensor sum = n.t.reduce(
      x, axis, f, FloatAttr::get(f, 0.0),
      [&](Scalars &s, Values v) {
        Value wide = s.toFloat(v[0], f);
        return isL1 ? s.abs(wide) : s.mul(wide, wide);
      },
      [](Scalars &s, Value a, Value b) { return s.add(a, b); });
  sum = n.t.expandAxes(sum, axis);
  n.set(n.t.mapTo(x.shape, {x, sum}, n.element(), [&](Scalars &s, Values v) {
    Value norm = isL1 ? v[1] : s.sqrt(v[1]);
    norm = s.select(s.eq(norm, s.like(norm, 0)), s.like(norm, 1), norm);
    return s.div(s.toFloat(v[0], f), norm);
  }));
  return success();
}

//===----------------------------------------------------------------------===//
// LRN
//===----------------------------------------------------------------------===//

/// Divided by a power of the mean square of the channels around.
static LogicalResult lowerLrn(Node &n) {
  Tensor x = n.value(0);
  if (x.rank() < 2)
    return n.refuse("its operand has no channels");
  int64_t size = n.op.getInt("size", 1);
  double alpha = n.op.getFloat("alpha", 1e-4) / double(size);
  double beta = n.op.getFloat("beta", 0.75), bias = n.op.getFloat("bias", 1.0);
  int64_t before = (size - 1) / 2, after = size - 1 - before;
  Type f = statisticsType(x);
  Value channels = n.t.dim(x.shape[1]);
  n.set(n.t.generate(x.shape, n.element(), [&](Scalars &s, ValueRange at) {
    Value first = s.max(s.sub(at[1], s.index(before)), s.index(0));
    Value end = s.min(s.add(at[1], s.index(after + 1)), channels);
    Value sum = s.loop(first, end, s.constant(f, 0),
                       [&](Value k, ValueRange state) -> SmallVector<Value> {
                         SmallVector<Value> position(at);
                         position[1] = k;
                         Value v = n.t.load(s, x, position);
                         return {s.add(state[0], s.mul(v, v))};
                       })[0];
    Value base = s.add(s.mul(sum, s.like(sum, alpha)), s.like(sum, bias));
    return s.div(n.t.load(s, x, at), s.pow(base, s.like(base, beta)));
  }));
  return success();
}

//===----------------------------------------------------------------------===//
// Norms of ONNX Runtime
//===----------------------------------------------------------------------===//

static Tensor optionalOperand(Node &n, unsigned i) {
  return n.has(i) ? n.in(i) : Tensor();
}

static LogicalResult lowerSimplifiedNorm(Node &n) {
  Tensor x = n.in(0);
  SmallVector<int64_t> axes = range(n.axis(x.rank(), -1), x.rank());
  Statistics statistics =
      statisticsOf(n, x, axes, n.op.getFloat("epsilon", 1e-5), /*isRms=*/true);
  if (n.hasResult(0))
    n.set(applyNorm(n, statistics, n.in(1), {}, x.shape, n.element()));
  if (n.hasResult(1))
    n.set(n.t.convert(statistics.inverse, n.element(1)), 1);
  return success();
}

/// A residual sum and its norm; the sum is result 3.
static LogicalResult lowerSkipNorm(Node &n, bool isRms) {
  Tensor x = n.in(0);
  Tensor bias = optionalOperand(n, isRms ? 3 : 4);
  SmallVector<Tensor> terms = {x, n.in(1)};
  if (bias)
    terms.push_back(bias);
  Type f = statisticsType(x);
  Tensor sum = n.t.mapTo(x.shape, terms, f, [](Scalars &s, Values v) {
    Value total = s.add(v[0], v[1]);
    return v.size() > 2 ? s.add(total, v[2]) : total;
  });
  if (n.hasResult(3))
    n.set(n.t.convert(sum, n.element(3)), 3);
  Statistics statistics = statisticsOf(n, sum, int64_t(x.rank() - 1),
                                       n.op.getFloat("epsilon", 1e-12), isRms);
  if (n.hasResult(0))
    n.set(applyNorm(n, statistics, n.in(2),
                    isRms ? Tensor() : optionalOperand(n, 3), x.shape,
                    n.element()));
  if (n.hasResult(1) && isRms)
    return n.refuse("it has no mean");
  if (n.hasResult(1))
    n.set(n.t.convert(statistics.mean, n.element(1)), 1);
  if (n.hasResult(2))
    n.set(n.t.convert(statistics.inverse, n.element(2)), 2);
  return success();
}

/// Rows of the tables of words, positions and segments, summed and normalized.
static LogicalResult lowerEmbedNorm(Node &n) {
  Tensor ids = n.value(0), words = n.value(2), positions = n.value(3);
  bool hasSegments = n.has(1) && n.has(4);
  Tensor segmentIds = hasSegments ? n.value(1) : Tensor();
  Tensor segments = hasSegments ? n.value(4) : Tensor();
  Tensor places = n.has(8) ? n.value(8) : Tensor();
  SymbolicShape shape = {ids.shape[0], ids.shape[1], words.shape[1]};
  Type f = statisticsType(words);
  auto row = [&](Scalars &s, const Tensor &table, Value index, Value column) {
    Value place = n.t.checkedIndex(s, index, n.t.dim(table.shape[0]));
    return n.t.load(s, table, ValueRange{place, column});
  };
  Tensor sum = n.t.generate(shape, f, [&](Scalars &s, ValueRange at) {
    ValueRange token = at.drop_back();
    Value place = at[1];
    if (places) {
      Value batch = places.shape[0].isConstant(1) ? s.index(0) : at[0];
      place = s.toIndex(n.t.load(s, places, ValueRange{batch, at[1]}));
    }
    Value total =
        s.add(row(s, words, s.toIndex(n.t.load(s, ids, token)), at[2]),
              row(s, positions, place, at[2]));
    if (!hasSegments)
      return total;
    Value segment = s.toIndex(n.t.load(s, segmentIds, token));
    return s.add(total, row(s, segments, segment, at[2]));
  });
  if (n.hasResult(2))
    n.set(n.t.convert(sum, n.element(2)), 2);
  Statistics statistics =
      statisticsOf(n, sum, int64_t(2), n.op.getFloat("epsilon", 1e-12));
  n.set(applyNorm(n, statistics, n.in(5), n.in(6), shape, n.element()));
  if (!n.hasResult(1))
    return success();
  // Words of each sample; without a mask nothing is counted.
  Type i32 = n.t.getBuilder().getI32Type();
  if (!n.has(7)) {
    n.set(n.t.splat({ids.shape[0]}, i32, 0), 1);
    return success();
  }
  n.set(n.t.reduce(
            n.in(7), int64_t(1), i32, IntegerAttr::get(i32, 0),
            [](Scalars &s, Values v) {
              return s.select(s.eq(v[0], s.like(v[0], 1)), s.like(v[0], 1),
                              s.like(v[0], 0));
            },
            [](Scalars &s, Value a, Value b) { return s.add(a, b); }),
        1);
  return success();
}

void lathe::addNormalizations(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"BatchNormalization", 7, lowerBatchNorm},
      {"GroupNormalization", 18, lowerGroupNorm},
      {"InstanceNormalization", 6, lowerInstanceNorm},
      {"LRN", 1, lowerLrn},
      {"LayerNormalization", 17, lowerLayerNorm},
      {"LpNormalization", 1, lowerLpNorm},
      {"MeanVarianceNormalization", 9, lowerMeanVarianceNorm},
      {"RMSNormalization", 23, lowerRmsNorm},
      {"SimplifiedLayerNormalization", 1, lowerSimplifiedNorm},
  };
  table.add("", rows);
  const LoweringRow contrib[] = {
      {"EmbedLayerNormalization", 1, lowerEmbedNorm},
      {"SimplifiedLayerNormalization", 1, lowerSimplifiedNorm},
      {"SkipLayerNormalization", 1,
       [](Node &n) { return lowerSkipNorm(n, /*isRms=*/false); }},
      {"SkipSimplifiedLayerNormalization", 1,
       [](Node &n) { return lowerSkipNorm(n, /*isRms=*/true); }},
  };
  table.add("com.microsoft", contrib);
}
