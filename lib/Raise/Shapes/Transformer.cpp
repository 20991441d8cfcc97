//===- Transformer.cpp - attention, rotary embedding, norms ---------------===//
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

/// Past rows, then new ones: the form of a cache after an append. `past` and
/// `rows` are [B, H, *, D].
static IndexExpr appended(Node &n, const ValueInfo &past, const ValueInfo &rows,
                          const SymbolicShape &shape) {
  IndexExprContext &context = n.context;
  SmallVector<Poly> index = n.engine.identityIndex(shape);
  IndexExpr before = n.engine.moved(past, index, shape);
  index[2] = context.coord(2) - (*past.shape)[2];
  IndexExpr after = n.engine.moved(rows, index, shape);
  Pred isPast = context.le(context.coord(2), (*past.shape)[2] - 1, shape);
  return n.engine.choose(isPast, before, after, shape);
}

/// ONNX Attention-23 with inputs [B, H, S, D], or [B, S, H * D] and head counts
/// as attributes. Results: y, present key, present value, scores.
static void transferAttention(Node &n) {
  for (unsigned k : {0, 1, 2})
    if (!n.ranked(k))
      return;
  const ValueInfo &q = n.in(0), &k = n.in(1), &v = n.in(2);
  if (q.rank() != k.rank() || q.rank() != v.rank() ||
      (q.rank() != 3 && q.rank() != 4))
    return;
  IndexExprContext &context = n.context;
  bool split = q.rank() == 4;
  unsigned rows = split ? 2 : 1;
  Poly batch = (*q.shape)[0], length = (*q.shape)[rows];
  Poly keys = (*k.shape)[rows];
  n.engine.equate(batch, (*k.shape)[0], n.op);
  n.engine.equate(batch, (*v.shape)[0], n.op);
  n.engine.equate(keys, (*v.shape)[rows], n.op);

  Poly heads, kvHeads, keySize, valueSize;
  if (split) {
    heads = (*q.shape)[1];
    kvHeads = (*k.shape)[1];
    keySize = (*k.shape)[3];
    valueSize = (*v.shape)[3];
    n.engine.equate((*q.shape)[3], keySize, n.op);
    n.setLeaf(SymbolicShape{batch, heads, length, valueSize});
  } else {
    int64_t queryCount = n.op.getInt("q_num_heads", 0);
    int64_t keyCount = n.op.getInt("kv_num_heads", 0);
    if (queryCount <= 0 || keyCount <= 0)
      return;
    heads = n.engine.dim(queryCount);
    kvHeads = n.engine.dim(keyCount);
    keySize = context.fdiv((*k.shape)[2], kvHeads);
    valueSize = context.fdiv((*v.shape)[2], kvHeads);
    n.setLeaf(SymbolicShape{batch, length, valueSize * heads});
  }

  bool hasPast = n.ranked(4) && n.in(4).rank() == 4;
  Poly past = hasPast ? n.shape(4)[2] : context.zero();
  Poly total = keys + past;
  if (n.ranked(3) && !n.shape(3).empty()) {
    SymbolicShape mask = n.shape(3);
    // A mask for fewer keys than there are hides the rest.
    if (mask.back().isConstant() && total.isConstant())
      mask.back() = total;
    n.engine.broadcast(SymbolicShape{batch, heads, length, total}, mask, n.op);
  }
  SymbolicShape presentKey = {batch, kvHeads, total, keySize};
  SymbolicShape presentValue = {batch, kvHeads, total, valueSize};
  if (split && hasPast && n.ranked(5) && n.in(5).rank() == 4) {
    n.setForm(presentKey, appended(n, n.in(4), k, presentKey), 1);
    n.setForm(presentValue, appended(n, n.in(5), v, presentValue), 2);
  } else if (split && !hasPast) {
    n.setForm(presentKey, n.engine.formOf(k), 1);
    n.setForm(presentValue, n.engine.formOf(v), 2);
  } else {
    n.setLeaf(presentKey, 1);
    n.setLeaf(presentValue, 2);
  }
  n.setLeaf(SymbolicShape{batch, heads, length, total}, 3);
}

/// q [B, T, H_q * d_k], k [B, T, H_kv * d_k], v [B, T, H_kv * d_v]: y and the
/// state [B, H_kv, d_k, d_v].
static void transferLinearAttention(Node &n) {
  int64_t heads = n.op.getInt("q_num_heads", 0);
  int64_t kvHeads = n.op.getInt("kv_num_heads", 0);
  if (heads <= 0 || kvHeads <= 0)
    return;
  for (unsigned k : {0, 1, 2})
    if (!n.ranked(k) || n.in(k).rank() != 3)
      return;
  const SymbolicShape &q = n.shape(0);
  Poly count = n.engine.dim(kvHeads);
  Poly keySize = n.context.fdiv(n.shape(1)[2], count);
  Poly valueSize = n.context.fdiv(n.shape(2)[2], count);
  n.setLeaf(SymbolicShape{q[0], q[1], valueSize * heads});
  n.setLeaf(SymbolicShape{q[0], count, keySize, valueSize}, 1);
}

/// x [B, C, L], w [C, 1, k]: y and the state [B, C, k - 1].
static void transferCausalConvolution(Node &n) {
  if (!n.ranked(0) || n.in(0).rank() != 3 || !n.ranked(1) ||
      n.in(1).rank() != 3)
    return;
  const SymbolicShape &x = n.shape(0);
  n.setLeaf(x);
  n.setLeaf(SymbolicShape{x[0], x[1], n.shape(1)[2] - 1}, 1);
}

static void transferSameShape(Node &n) {
  if (n.ranked(0))
    n.setLeaf(n.shape(0));
}

/// The shape of input 0 with 1 from `axis` on: per-row statistics.
static OptionalShape statisticsShape(Node &n, int64_t axis) {
  std::optional<unsigned> first = wrapAxis(axis, n.in(0).rank());
  if (!first)
    return std::nullopt;
  SymbolicShape shape = n.shape(0);
  for (unsigned k = *first; k != shape.size(); ++k)
    shape[k] = n.context.one();
  return shape;
}

/// y, mean, inverse standard deviation.
static void transferLayerNormalization(Node &n) {
  if (!n.ranked(0))
    return;
  // Scale and bias broadcast to the operand.
  for (unsigned k : {1, 2})
    if (n.ranked(k) && n.in(k).rank() <= n.in(0).rank())
      (void)n.engine.broadcast(n.shape(0), n.shape(k), n.op);
  n.setLeaf(n.shape(0));
  OptionalShape statistics = statisticsShape(n, n.op.getInt("axis", -1));
  n.setLeaf(statistics, 1);
  n.setLeaf(statistics, 2);
}

/// y, mean, inverse standard deviation, input + skip.
static void transferSkipNormalization(Node &n) {
  if (!n.ranked(0))
    return;
  n.setLeaf(n.shape(0));
  OptionalShape statistics = statisticsShape(n, -1);
  n.setLeaf(statistics, 1);
  n.setLeaf(statistics, 2);
  n.setLeaf(n.shape(0), 3);
}

void shapes::registerTransformer(TransferTable &table) {
  table.add("Attention", transferAttention);
  table.add("LinearAttention", transferLinearAttention);
  table.add("CausalConvWithState", transferCausalConvolution);
  table.add(
      {"RotaryEmbedding", "RMSNormalization", "com.microsoft.RotaryEmbedding"},
      transferSameShape);
  table.add({"LayerNormalization", "SimplifiedLayerNormalization",
             "com.microsoft.SimplifiedLayerNormalization"},
            transferLayerNormalization);
  table.add({"com.microsoft.SkipLayerNormalization",
             "com.microsoft.SkipSimplifiedLayerNormalization"},
            transferSkipNormalization);
}
