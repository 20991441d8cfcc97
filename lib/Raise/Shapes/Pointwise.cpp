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

/// The scale or statistic per channel comes with the other results.
static void transferBatchNormalization(Node &n) {
  if (!n.ranked(0))
    return;
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
             "InstanceNormalization",
             "IsInf",
             "IsNaN",
             "LRN",
             "LeakyRelu",
             "LogSoftmax",
             "LpNormalization",
             "MeanVarianceNormalization",
             "Mish",
             "PRelu",
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
             "Swish",
             "Tan",
             "ThresholdedRelu"},
            transferSameShape);
  table.add(
      {"BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Mean", "Sum"},
      transferBroadcast);
  table.add("BatchNormalization", transferBatchNormalization);
  table.add("DynamicQuantizeLinear", transferDynamicQuantize);
}
