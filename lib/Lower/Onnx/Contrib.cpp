//===- Contrib.cpp - fused operators of ONNX Runtime ----------------------===//
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

//===----------------------------------------------------------------------===//
// Activations
//===----------------------------------------------------------------------===//

/// Sum of all operands, then an activation.
static NodeFn biasedActivation(ActivationKind kind) {
  return [kind](Node &n) {
    Tensor sum = n.in(0);
    if (n.has(1))
      sum =
          n.t.mapTo(n.shape(), {n.in(0), n.in(1)}, getComputeType(sum.element),
                    [](Scalars &s, Values x) { return s.add(x[0], x[1]); });
    n.set(n.t.convert(n.stage.activation(kind, sum), n.element()));
    return success();
  };
}

static Value quickGelu(Node &n, Scalars &s, Value x) {
  Value alpha = s.like(x, n.op.getFloat("alpha", 1.702));
  return s.mul(x, s.sigmoid(s.mul(x, alpha)));
}

static Value addAll(Node &, Scalars &s, Values x) {
  Value sum = x[0];
  for (Value more : x.drop_front())
    sum = s.add(sum, more);
  return sum;
}

//===----------------------------------------------------------------------===//
// FusedMatMul
//===----------------------------------------------------------------------===//

/// With its first dim behind the other leading ones.
static Tensor moveBatch(Node &n, const Tensor &x) {
  SmallVector<int64_t> permutation =
      llvm::to_vector(llvm::seq<int64_t>(1, x.rank() - 1));
  permutation.append({0, x.rank() - 1});
  return n.t.transpose(x, permutation);
}

static LogicalResult lowerFusedMatMul(Node &n) {
  auto operand = [&](unsigned i, StringRef transposed, StringRef batch) {
    Tensor x = n.in(i);
    // Vectors have nothing to swap.
    bool swaps = x.rank() > 1 && n.op.getInt(transposed, 0) != 0;
    if (x.rank() > 2 && n.op.getInt(batch, 0) != 0)
      x = moveBatch(n, x);
    if (x.rank() == 1)
      x = n.t.expandAxes(x, int64_t(i));
    return std::pair(x, swaps);
  };
  auto [a, transA] = operand(0, "transA", "transBatchA");
  auto [b, transB] = operand(1, "transB", "transBatchB");
  Tensor product = n.t.reshape(n.stage.matmul(a, b, transA, transB), n.shape());
  double alpha = n.op.getFloat("alpha", 1.0);
  n.set(n.t.map(product, n.element(), [&](Scalars &s, Values x) {
    return alpha == 1.0 ? x[0] : s.mul(x[0], s.like(x[0], alpha));
  }));
  return success();
}

void lathe::addContrib(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"BiasAdd", 1, nary(addAll)},
      {"BiasGelu", 1, biasedActivation(ActivationKind::Gelu)},
      {"FastGelu", 1, biasedActivation(ActivationKind::GeluTanh)},
      {"FusedMatMul", 1, lowerFusedMatMul},
      {"Gelu", 1, biasedActivation(ActivationKind::Gelu)},
      {"QuickGelu", 1, unary(quickGelu)},
      {"TransposeMatMul", 1, lowerFusedMatMul},
  };
  table.add("com.microsoft", rows);
}
