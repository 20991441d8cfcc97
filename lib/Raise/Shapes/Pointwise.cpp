//===- Pointwise.cpp - operations on single elements without a closed form ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Engine.h"
#include "llvm/ADT/STLExtras.h"

using namespace lathe;
using namespace lathe::shapes;
using namespace mlir;
using llvm::SmallVector;

/// Every result has the shape of the first input.
static void transferSameShape(Node &n) {
  if (n.ranked(0))
    n.setLeaf(n.shape(0));
}

/// All inputs broadcast.
static void transferBroadcast(Node &n) {
  SmallVector<const ValueInfo *> inputs;
  for (unsigned k = 0; k != n.numInputs(); ++k)
    inputs.push_back(n.input(k));
  n.setLeaf(n.engine.broadcast(inputs, n.op));
}

/// Vectors with an entry per channel.
static void equateChannels(Node &n) {
  if (!n.ranked(0) || n.in(0).rank() < 2)
    return;
  for (unsigned k = 1; k != n.numInputs(); ++k)
    if (n.ranked(k) && n.in(k).rank() == 1)
      n.engine.equate(n.shape(k)[0], n.shape(0)[1], n.op);
}

static void transferInstanceNormalization(Node &n) {
  equateChannels(n);
  transferSameShape(n);
}

/// The slope broadcasts to the operand.
static void transferPRelu(Node &n) {
  if (n.ranked(0) && n.ranked(1) && n.in(1).rank() <= n.in(0).rank())
    (void)n.engine.broadcast(n.shape(0), n.shape(1), n.op);
  transferSameShape(n);
}

/// The scale or statistic per channel comes with the other results.
static void transferBatchNormalization(Node &n) {
  if (!n.ranked(0))
    return;
  equateChannels(n);
  n.setLeaf(n.shape(0));
  for (unsigned k = 1; k < n.numResults(); ++k)
    if (n.ranked(3))
      n.setLeaf(n.shape(3), k);
}

/// y, scale, zero point.
static void transferDynamicQuantize(Node &n) {
  if (n.ranked(0))
    n.setLeaf(n.shape(0));
  n.setLeaf(SymbolicShape(), 1);
  n.setLeaf(SymbolicShape(), 2);
}

void shapes::registerPointwise(TransferTable &table) {
  table.add({"Acos",
             "Acosh",
             "Asin",
             "Asinh",
             "Atan",
             "Atanh",
             "Bernoulli",
             "BitCast",
             "BitwiseNot",
             "Celu",
             "Cosh",
             "CumProd",
             "DequantizeLinear",
             "Elu",
             "Erf",
             "Gelu",
             "GroupNormalization",
             "HardSigmoid",
             "HardSwish",
             "Hardmax",
             "IsInf",
             "IsNaN",
             "LRN",
             "LeakyRelu",
             "LogSoftmax",
             "LpNormalization",
             "MeanVarianceNormalization",
             "Mish",
             "QuantizeLinear",
             "RandomNormalLike",
             "RandomUniformLike",
             "Relu",
             "Round",
             "Selu",
             "Shrink",
             "Sign",
             "Sinh",
             "Softmax",
             "Softplus",
             "Softsign",
             "SwiGLU",
             "Swish",
             "Tan",
             "ThresholdedRelu"},
            transferSameShape);
  table.add(
      {"BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Mean", "Sum"},
      transferBroadcast);
  table.add("BatchNormalization", transferBatchNormalization);
  table.add("InstanceNormalization", transferInstanceNormalization);
  table.add("PRelu", transferPRelu);
  table.add("DynamicQuantizeLinear", transferDynamicQuantize);
}
