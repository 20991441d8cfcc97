//===- Contrib.cpp - operations of com.microsoft --------------------------===//
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
using llvm::ArrayRef;
using llvm::SmallVector;

static void transferSameShape(Node &n) {
  if (n.ranked(0))
    n.setLeaf(n.shape(0));
}

static void transferBroadcast(Node &n) {
  SmallVector<const ValueInfo *> inputs;
  for (unsigned k = 0; k != n.numInputs(); ++k)
    if (n.has(k))
      inputs.push_back(n.input(k));
  n.setLeaf(n.engine.broadcast(inputs, n.op));
}

/// a, its scale and zero point, then b.
static void transferQLinearBinary(Node &n) {
  if (n.ranked(0) && n.ranked(3))
    n.setLeaf(n.engine.broadcast({n.input(0), n.input(3)}, n.op));
}

/// x [B, S, C] times W [C, Q + K + V]: y [B, S, V], present [2, B, H, T, D].
static void transferPackedAttention(Node &n) {
  if (!n.ranked(0) || n.in(0).rank() != 3 || !n.ranked(1) ||
      n.in(1).rank() != 2)
    return;
  IndexExprContext &context = n.context;
  const SymbolicShape &x = n.shape(0);
  Poly values;
  if (auto sizes = n.op.getInts("qkv_hidden_sizes");
      sizes && sizes->size() == 3)
    values = n.engine.dim((*sizes)[2]);
  else
    values = context.fdiv(n.shape(1)[1], n.engine.dim(3));
  n.setLeaf(SymbolicShape{x[0], x[1], values});
  int64_t heads = n.op.getInt("num_heads", 0);
  if (heads <= 0)
    return;
  Poly total = x[1];
  if (n.ranked(4) && n.in(4).rank() == 5)
    total = total + n.shape(4)[3];
  n.setLeaf(SymbolicShape{n.engine.dim(2), x[0], n.engine.dim(heads), total,
                          context.fdiv(values, n.engine.dim(heads))},
            1);
}

/// Inputs q, k, v, bias, key_padding_mask, attention_bias, past_key,
/// past_value; q may hold all three as [B, S, H, 3, D], k as [B, T, H, 2, D],
/// and k and v may be [B, H, T, D].
static void transferMultiHeadAttention(Node &n) {
  int64_t heads = n.op.getInt("num_heads", 0);
  if (!n.ranked(0) || heads <= 0)
    return;
  IndexExprContext &context = n.context;
  const SymbolicShape &q = n.shape(0);
  Poly count = n.engine.dim(heads);
  Poly hidden, keys, keySize, valueSize;
  if (q.size() == 5) {
    keys = q[1];
    keySize = valueSize = q[4];
  } else if (q.size() != 3) {
    return;
  } else {
    keySize = context.fdiv(q[2], count);
    keys = q[1];
    valueSize = keySize;
    for (unsigned k : {1, 2})
      if (n.ranked(k) && n.in(k).rank() < 3)
        return;
    if (n.ranked(1))
      keys = n.shape(1)[n.in(1).rank() == 4 ? 2 : 1];
    if (n.ranked(2))
      valueSize = n.in(2).rank() == 4 ? n.shape(2)[3]
                                      : context.fdiv(n.shape(2).back(), count);
  }
  hidden = valueSize * count;
  n.setLeaf(SymbolicShape{q[0], q[1], hidden});
  Poly total = keys;
  if (n.ranked(6) && n.in(6).rank() == 4)
    total = total + n.shape(6)[2];
  n.setLeaf(SymbolicShape{q[0], count, total, keySize}, 1);
  n.setLeaf(SymbolicShape{q[0], count, total, valueSize}, 2);
}

/// Inputs q, k, v, past_key, past_value, ...; q may hold all three packed.
/// The length of `present` depends on a value at run time when there is a past.
static void transferGroupQueryAttention(Node &n) {
  int64_t heads = n.op.getInt("num_heads", 0);
  int64_t kvHeads = n.op.getInt("kv_num_heads", 0);
  if (!n.ranked(0) || n.in(0).rank() != 3 || heads <= 0 || kvHeads <= 0)
    return;
  IndexExprContext &context = n.context;
  const SymbolicShape &q = n.shape(0);
  int64_t packed = n.has(1) ? heads : heads + 2 * kvHeads;
  Poly size = context.fdiv(q[2], n.engine.dim(packed));
  n.setLeaf(SymbolicShape{q[0], q[1], size * heads});
  // The cache grows to all rows where it is not larger from the start.
  for (unsigned k : {1, 2}) {
    Poly total = q[1];
    if (n.ranked(k + 2) && n.in(k + 2).rank() == 4) {
      auto all = n.has(6) ? n.engine.listOf(n.in(6)) : std::nullopt;
      if (!all || all->size() != 1 || !(*all)[0].isPoly())
        return;
      total = context.max(n.shape(k + 2)[2], (*all)[0].poly());
    }
    n.setLeaf(SymbolicShape{q[0], n.engine.dim(kvHeads), total, size}, k);
  }
}

/// Sums of embeddings, normalised: y [B, S, C], mask index [B], the sum.
static void transferEmbedLayerNormalization(Node &n) {
  if (!n.ranked(0) || n.in(0).rank() != 2 || !n.ranked(2) ||
      n.in(2).rank() != 2)
    return;
  const SymbolicShape &ids = n.shape(0);
  SymbolicShape shape = {ids[0], ids[1], n.shape(2)[1]};
  n.setLeaf(shape, 0);
  n.setLeaf(SymbolicShape{ids[0]}, 1);
  n.setLeaf(shape, 2);
}

void shapes::registerContrib(TransferTable &table) {
  table.add({"com.microsoft.BiasGelu", "com.microsoft.DequantizeLinear",
             "com.microsoft.FastGelu", "com.microsoft.Gelu",
             "com.microsoft.QLinearLeakyRelu", "com.microsoft.QLinearSigmoid",
             "com.microsoft.QLinearSoftmax", "com.microsoft.QuantizeLinear",
             "com.microsoft.QuickGelu"},
            transferSameShape);
  table.add("com.microsoft.BiasAdd", transferBroadcast);
  table.add({"com.microsoft.QLinearAdd", "com.microsoft.QLinearMul"},
            transferQLinearBinary);
  table.add("com.microsoft.Attention", transferPackedAttention);
  table.add("com.microsoft.MultiHeadAttention", transferMultiHeadAttention);
  table.add("com.microsoft.GroupQueryAttention", transferGroupQueryAttention);
  table.add("com.microsoft.EmbedLayerNormalization",
            transferEmbedLayerNormalization);
}
