//===- Activations.cpp - elementwise functions of neural networks ---------===//
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

static Value zeroLike(Scalars &s, Value x) { return s.like(x, 0.0); }

static Value relu(Node &, Scalars &s, Value x) {
  return s.max(x, zeroLike(s, x));
}

static Value leakyRelu(Node &n, Scalars &s, Value x) {
  Value scaled = s.mul(x, s.like(x, n.op.getFloat("alpha", 0.01)));
  return s.select(s.lt(x, zeroLike(s, x)), scaled, x);
}

static Value elu(Node &n, Scalars &s, Value x) {
  Value curve = s.mul(s.expm1(x), s.like(x, n.op.getFloat("alpha", 1.0)));
  return s.select(s.lt(x, zeroLike(s, x)), curve, x);
}

static Value selu(Node &n, Scalars &s, Value x) {
  Value alpha = s.like(x, n.op.getFloat("alpha", 1.67326319217681884765625));
  Value gamma = s.like(x, n.op.getFloat("gamma", 1.05070102214813232421875));
  Value curve = s.mul(alpha, s.expm1(x));
  return s.mul(gamma, s.select(s.gt(x, zeroLike(s, x)), x, curve));
}

static Value celu(Node &n, Scalars &s, Value x) {
  Value alpha = s.like(x, n.op.getFloat("alpha", 1.0));
  Value curve = s.mul(alpha, s.expm1(s.div(x, alpha)));
  return s.add(s.max(x, zeroLike(s, x)), s.min(curve, zeroLike(s, x)));
}

/// log(1 + e^x) without overflow.
static Value softplusOf(Scalars &s, Value x) {
  Value tail = s.log1p(s.exp(s.neg(s.abs(x))));
  return s.add(s.max(x, zeroLike(s, x)), tail);
}

static Value softplus(Node &, Scalars &s, Value x) { return softplusOf(s, x); }

static Value mish(Node &, Scalars &s, Value x) {
  return s.mul(x, s.tanh(softplusOf(s, x)));
}

static Value softsign(Node &, Scalars &s, Value x) {
  return s.div(x, s.add(s.like(x, 1.0), s.abs(x)));
}

static Value sigmoid(Node &, Scalars &s, Value x) { return s.sigmoid(x); }

static Value hardSigmoid(Node &n, Scalars &s, Value x) {
  Value line = s.add(s.mul(x, s.like(x, n.op.getFloat("alpha", 0.2))),
                     s.like(x, n.op.getFloat("beta", 0.5)));
  return s.clamp(line, 0.0, 1.0);
}

static Value hardSwish(Node &, Scalars &s, Value x) {
  // HardSigmoid with alpha = 1/6, an f32 attribute.
  Value line = s.add(s.mul(x, s.like(x, 1.0f / 6)), s.like(x, 0.5));
  return s.mul(x, s.clamp(line, 0.0, 1.0));
}

static Value swishOf(Scalars &s, Value x, double alpha) {
  Value inner = alpha == 1.0 ? x : s.mul(x, s.like(x, alpha));
  return s.mul(x, s.sigmoid(inner));
}

static Value swish(Node &n, Scalars &s, Value x) {
  return swishOf(s, x, n.op.getFloat("alpha", 1.0));
}

static Value thresholdedRelu(Node &n, Scalars &s, Value x) {
  Value above = s.gt(x, s.like(x, n.op.getFloat("alpha", 1.0)));
  return s.select(above, x, zeroLike(s, x));
}

static Value shrink(Node &n, Scalars &s, Value x) {
  double lambda = n.op.getFloat("lambd", 0.5), bias = n.op.getFloat("bias", 0);
  Value below = s.lt(x, s.constant(x.getType(), -lambda));
  Value above = s.gt(x, s.constant(x.getType(), lambda));
  Value result = s.select(above, s.sub(x, s.like(x, bias)), zeroLike(s, x));
  return s.select(below, s.add(x, s.like(x, bias)), result);
}

static LogicalResult lowerGelu(Node &n) {
  bool isTanh = n.op.getString("approximate", "none") == "tanh";
  n.set(n.stage.activation(
      isTanh ? ActivationKind::GeluTanh : ActivationKind::Gelu, n.in(0)));
  return success();
}

void lathe::addActivations(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"Celu", 12, unary(celu)},
      {"Elu", 6, unary(elu)},
      {"Gelu", 20, lowerGelu},
      {"HardSigmoid", 6, unary(hardSigmoid)},
      {"HardSwish", 14, unary(hardSwish)},
      {"LeakyRelu", 6, unary(leakyRelu)},
      {"Mish", 18, unary(mish)},
      {"PRelu", 7, nary([](Node &, Scalars &s, Values x) {
         return s.select(s.lt(x[0], s.like(x[0], 0)), s.mul(x[0], x[1]), x[0]);
       })},
      {"Relu", 6, unary(relu)},
      {"Selu", 6, unary(selu)},
      {"Shrink", 9, unary(shrink)},
      {"Sigmoid", 6, unary(sigmoid)},
      {"Softplus", 1, unary(softplus)},
      {"Softsign", 1, unary(softsign)},
      {"SwiGLU", 28, nary([](Node &n, Scalars &s, Values x) {
         return s.mul(swishOf(s, x[0], n.op.getFloat("alpha", 1.0)), x[1]);
       })},
      {"Swish", 24, unary(swish)},
      {"ThresholdedRelu", 10, unary(thresholdedRelu)},
  };
  table.add("", rows);
}
