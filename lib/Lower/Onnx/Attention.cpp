//===- Attention.cpp - attention nodes that were not raised ---------------===//
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

static constexpr double kInfinity = std::numeric_limits<double>::infinity();

static double scaleOf(Node &n, const Tensor &q) {
  // 0 means "not given" in every operator that has it.
  if (double scale = n.op.getFloat("scale", 0.0))
    return scale;
  return 1.0 / std::sqrt(double(q.shape[3].getConstantInt().value_or(1)));
}

/// The sizes that a scale, or the rows of a product, are made from.
static LogicalResult checkHeads(Node &n, const Tensor &q, const Tensor &k) {
  if (!q.shape[1].getConstantInt() || !k.shape[1].getConstantInt() ||
      !q.shape[3].getConstantInt())
    return n.refuse("the number of heads and their size must be constant");
  return success();
}

static void setConverted(Node &n, const Tensor &tensor, unsigned i) {
  if (n.hasResult(i))
    n.set(n.t.convert(tensor, n.element(i)), i);
}

//===----------------------------------------------------------------------===//
// Attention (ONNX)
//===----------------------------------------------------------------------===//

/// The key that stands right above row 0 counts as the last one before it:
/// rows of the past, or of a cache that `lengths` measures.
static Value rowOffset(Node &n, Scalars &s, const Tensor &past,
                       const Tensor &lengths, Poly rows, Value batch) {
  if (past)
    return n.t.dim(past.shape[2]);
  if (!lengths)
    return s.index(0);
  return s.sub(s.toIndex(n.t.load(s, lengths, batch)), n.t.dim(rows));
}

static LogicalResult lowerAttention(Node &n) {
  bool isMerged = n.in(0).rank() == 3;
  Tensor q = splitHeads(n, n.in(0), n.op.getInt("q_num_heads", 0));
  Tensor k = splitHeads(n, n.in(1), n.op.getInt("kv_num_heads", 0));
  Tensor v = splitHeads(n, n.in(2), n.op.getInt("kv_num_heads", 0));
  if (failed(checkHeads(n, q, k)))
    return failure();
  Tensor past = n.has(4) ? n.value(4) : Tensor();
  k = appendRows(n, past, k);
  v = appendRows(n, n.has(5) ? n.value(5) : Tensor(), v);
  Tensor mask = n.has(3) ? n.value(3) : Tensor();
  Tensor lengths = n.has(6) ? n.value(6) : Tensor();
  bool isCausal = n.op.getInt("is_causal", 0) != 0;
  int64_t left = n.op.getInt("left_window_size", -1);
  int64_t right = n.op.getInt("right_window_size", -1);
  Poly rows = q.shape[2], keys = k.shape[2];
  SymbolicShape shape = {q.shape[0], q.shape[1], rows, keys};
  // From opset 24 on keys that the mask does not reach are masked.
  bool isShort =
      mask && n.opset() >= 24 && mask.rank() > 0 && mask.shape.back() != keys;

  AttentionOperands operands{q, k, v, scaleOf(n, q),
                             n.op.getFloat("softcap", 0.0)};
  operands.mask = [&](Scalars &s, Value score, ValueRange at) {
    Value lowest = s.like(score, -kInfinity);
    if (mask) {
      auto masked = [&]() -> Value {
        Value m = loadBroadcast(n, s, mask, at, shape);
        if (mask.element.isInteger(1))
          return s.select(m, score, lowest);
        return s.add(score, s.cast(m, mask.element, score.getType()));
      };
      if (isShort)
        score = s.choose(s.lt(at[3], n.t.dim(mask.shape.back())),
                         score.getType(), masked, [&] { return lowest; });
      else
        score = masked();
    }
    Value keep = s.boolean(true);
    if (lengths)
      keep = s.lt(at[3], s.toIndex(n.t.load(s, lengths, at[0])));
    Value place = s.add(at[2], rowOffset(n, s, past, lengths, rows, at[0]));
    if (isCausal)
      keep = s.logicalAnd(keep, s.le(at[3], place));
    if (left >= 0)
      keep = s.logicalAnd(keep, s.le(s.sub(place, s.index(left)), at[3]));
    if (right >= 0)
      keep = s.logicalAnd(keep, s.le(at[3], s.add(place, s.index(right))));
    return s.select(keep, score, lowest);
  };
  AttentionResults results = attend(n.stage, operands);
  setConverted(n, isMerged ? mergeHeads(n.t, results.result) : results.result,
               0);
  setConverted(n, k, 1);
  setConverted(n, v, 2);
  const Tensor *outputs[] = {&results.scores, &results.capped, &results.masked,
                             &results.probabilities};
  int64_t mode = n.op.getInt("qk_matmul_output_mode", 0);
  if (n.hasResult(3) && (mode < 0 || mode > 3))
    return n.refuse("unknown qk_matmul_output_mode " + Twine(mode));
  if (n.hasResult(3))
    setConverted(n, *outputs[mode], 3);
  return success();
}

//===----------------------------------------------------------------------===//
// Attention and MultiHeadAttention (com.microsoft)
//===----------------------------------------------------------------------===//

/// Refuses what only buffers of another framework have.
static LogicalResult refuseOperand(Node &n, unsigned i, StringRef name) {
  if (n.has(i))
    return n.refuse("operand " + name + " is not supported");
  return success();
}

namespace {
/// Which keys of ONNX Runtime's attentions are padding.
struct KeyPadding {
  Tensor mask;
  /// Added to scores of padding.
  double filter;

  LogicalResult check(Node &n, Poly batch) const;
  Value apply(Node &n, Scalars &s, Value score, ValueRange at,
              Poly batch) const;
};
} // namespace

LogicalResult KeyPadding::check(Node &n, Poly batch) const {
  if (!mask || mask.rank() == 2 || mask.rank() == 3)
    return success();
  if (mask.rank() == 1 &&
      (mask.shape[0] == batch || mask.shape[0] == batch * 2))
    return success();
  return n.refuse("a mask of this shape is not supported");
}

Value KeyPadding::apply(Node &n, Scalars &s, Value score, ValueRange at,
                        Poly batch) const {
  if (!mask)
    return score;
  auto number = [&](ValueRange position) {
    return s.toIndex(n.t.load(s, mask, position));
  };
  Value keep;
  if (mask.rank() == 3) {
    keep = s.gt(number({at[0], at[2], at[3]}), s.index(0));
  } else if (mask.rank() == 2) {
    keep = s.gt(number({at[0], at[3]}), s.index(0));
  } else {
    // Ends; then, where the padding may stand in front, starts.
    keep = s.lt(at[3], number(at[0]));
    if (mask.shape[0] != batch)
      keep =
          s.logicalAnd(keep, s.ge(at[3], number(s.add(at[0], n.t.dim(batch)))));
  }
  return s.select(keep, score, s.add(score, s.like(score, filter)));
}

/// Masks that both nodes have: padding, an additive bias, later keys.
static MaskFn contribMask(Node &n, const KeyPadding &padding,
                          const Tensor &bias, const SymbolicShape &shape,
                          Poly past) {
  bool isCausal = n.op.getInt("unidirectional", 0) != 0;
  if (!padding.mask && !bias && !isCausal)
    return nullptr;
  return [=, &n](Scalars &s, Value score, ValueRange at) {
    score = padding.apply(n, s, score, at, shape[0]);
    if (bias)
      score = s.add(score, loadBroadcast(n, s, bias, at, shape));
    if (!isCausal)
      return score;
    Value keep = s.le(at[3], s.add(at[2], n.t.dim(past)));
    return s.select(keep, score, s.like(score, -kInfinity));
  };
}

/// Attention under the node's masks, its result set as output 0. Operand
/// `paddingAt` is the padding, operand 5 the bias; `past` keys come before the
/// queries' own.
static FailureOr<AttentionResults> attendPadded(Node &n, const Tensor &q,
                                                const Tensor &k,
                                                const Tensor &v,
                                                unsigned paddingAt, Poly past) {
  KeyPadding padding{n.has(paddingAt) ? n.value(paddingAt) : Tensor(),
                     n.op.getFloat("mask_filter_value", -10000.0)};
  if (failed(padding.check(n, q.shape[0])))
    return failure();
  AttentionOperands operands{q, k, v, scaleOf(n, q)};
  operands.mask =
      contribMask(n, padding, n.has(5) ? n.value(5) : Tensor(),
                  {q.shape[0], q.shape[1], q.shape[2], k.shape[2]}, past);
  AttentionResults results = attend(n.stage, operands);
  setConverted(n, mergeHeads(n.t, results.result), 0);
  return results;
}

/// Rows `part` (0: keys, 1: values) of a past [2, B, H, P, D].
static Tensor pastPart(Node &n, const Tensor &past, int64_t part) {
  SymbolicShape shape(ArrayRef<Poly>(past.shape).drop_front());
  return n.t.generate(shape, past.element, [&](Scalars &s, ValueRange at) {
    SmallVector<Value> position = {s.index(part)};
    llvm::append_range(position, at);
    return n.t.load(s, past, position);
  });
}

static LogicalResult lowerPackedAttention(Node &n) {
  if (n.op.getInt("do_rotary", 0) != 0 ||
      n.op.getInt("past_present_share_buffer", 0) != 0)
    return n.refuse("do_rotary and past_present_share_buffer are not "
                    "supported");
  if (failed(refuseOperand(n, 6, "past_sequence_length")))
    return failure();
  Tensor x = n.in(0), weights = n.in(1);
  int64_t heads = n.op.getInt("num_heads", 1);
  std::optional<int64_t> columns = weights.shape[1].getConstantInt();
  if (!columns)
    return n.refuse("the columns of its weights must be constant");
  SmallVector<int64_t> sizes(3, *columns / 3);
  if (auto written = n.op.getInts("qkv_hidden_sizes"))
    sizes = llvm::to_vector(*written);
  if (sizes.size() != 3 || sizes[0] + sizes[1] + sizes[2] != *columns ||
      llvm::any_of(sizes, [&](int64_t size) { return size % heads != 0; }))
    return n.refuse("its weights do not hold queries, keys and values of its "
                    "heads");
  SymbolicShape projectedShape = {x.shape[0], x.shape[1], weights.shape[1]};
  SmallVector<Tensor> terms = {
      n.t.reshape(n.stage.matmul(n.t.flatten(x, 2), weights), projectedShape)};
  if (n.has(2))
    terms.push_back(n.in(2));
  Tensor projected =
      n.t.mapTo(projectedShape, terms, getComputeType(x.element),
                [](Scalars &s, Values v) {
                  return v.size() == 1 ? v[0] : s.add(v[0], v[1]);
                });
  auto part = [&](unsigned k) {
    int64_t offset = k == 0 ? 0 : k == 1 ? sizes[0] : sizes[0] + sizes[1];
    return splitHeads(n, projected, heads, n.t.poly(sizes[k] / heads),
                      n.t.poly(offset));
  };
  Tensor q = part(0), k = part(1), v = part(2);
  Tensor past = n.has(4) ? n.value(4) : Tensor();
  if (past && past.rank() != 5)
    return n.refuse("its past must have rank 5");
  Poly pastRows = past ? past.shape[3] : n.t.poly(0);
  if (past) {
    k = appendRows(n, n.t.convert(pastPart(n, past, 0), k.element), k);
    v = appendRows(n, n.t.convert(pastPart(n, past, 1), v.element), v);
  }
  FailureOr<AttentionResults> results = attendPadded(n, q, k, v, 3, pastRows);
  if (failed(results))
    return failure();
  if (n.hasResult(1))
    n.set(n.t.generate(n.shape(1), n.element(1),
                       [&](Scalars &s, ValueRange at) {
                         ValueRange place = at.drop_front();
                         return s.select(s.eq(at[0], s.index(0)),
                                         n.t.load(s, k, place),
                                         n.t.load(s, v, place));
                       }),
          1);
  return success();
}

/// `part` of [B, S, H, parts, D] as [B, H, S, D].
static Tensor packedPart(Node &n, const Tensor &x, int64_t part) {
  SymbolicShape shape = {x.shape[0], x.shape[2], x.shape[1], x.shape[4]};
  return n.t.generate(shape, x.element, [&](Scalars &s, ValueRange at) {
    return n.t.load(s, x,
                    ValueRange{at[0], at[2], at[1], s.index(part), at[3]});
  });
}

/// `x` [B, H, S, D] plus the part of `bias` that starts at `offset`.
static Tensor addHeadBias(Node &n, const Tensor &x, const Tensor &bias,
                          Poly offset) {
  Value start = n.t.dim(offset), size = n.t.dim(x.shape[3]);
  return n.t.generate(x.shape, x.element, [&](Scalars &s, ValueRange at) {
    Value column = s.add(s.add(start, s.mul(at[1], size)), at[3]);
    return s.add(n.t.load(s, x, at), n.t.load(s, bias, column));
  });
}

static LogicalResult lowerMultiHeadAttention(Node &n) {
  if (failed(refuseOperand(n, 8, "past_sequence_length")) ||
      failed(refuseOperand(n, 9, "cache_indirection")))
    return failure();
  int64_t heads = n.op.getInt("num_heads", 1);
  Tensor query = n.value(0);
  Tensor q, k, v;
  bool isPacked = query.rank() == 5;
  q = isPacked ? packedPart(n, query, 0) : splitHeads(n, query, heads);
  if (isPacked) {
    k = packedPart(n, query, 1);
    v = packedPart(n, query, 2);
  } else if (n.has(1) && n.in(1).rank() == 5) {
    k = packedPart(n, n.value(1), 0);
    v = packedPart(n, n.value(1), 1);
  } else if (n.has(1) && n.has(2)) {
    k = splitHeads(n, n.in(1), heads);
    v = splitHeads(n, n.in(2), heads);
  } else {
    return n.refuse("keys and values are left out");
  }
  if (failed(checkHeads(n, q, k)))
    return failure();
  if (n.has(3)) {
    Tensor bias = n.value(3);
    Poly hidden = q.shape[1] * q.shape[3];
    q = addHeadBias(n, q, bias, n.t.poly(0));
    // Keys that come with heads of their own have been projected.
    if (isPacked || n.in(1).rank() == 3) {
      k = addHeadBias(n, k, bias, hidden);
      v = addHeadBias(n, v, bias, hidden * 2);
    }
  }
  Tensor past = n.has(6) ? n.value(6) : Tensor();
  Poly pastRows = past ? past.shape[2] : n.t.poly(0);
  k = appendRows(n, past, k);
  v = appendRows(n, n.has(7) ? n.value(7) : Tensor(), v);
  FailureOr<AttentionResults> results = attendPadded(n, q, k, v, 4, pastRows);
  if (failed(results))
    return failure();
  setConverted(n, k, 1);
  setConverted(n, v, 2);
  setConverted(n, results->scores, 3);
  return success();
}

//===----------------------------------------------------------------------===//
// GroupQueryAttention
//===----------------------------------------------------------------------===//

/// Every head divided by the root of its mean square, times `weight`.
static Tensor normalizeHeads(Node &n, const Tensor &x, const Tensor &weight,
                             double epsilon) {
  Type f = getComputeType(x.element);
  Tensor wide = n.t.convert(x, f);
  Tensor squares =
      n.t.map(wide, f, [](Scalars &s, Values v) { return s.mul(v[0], v[0]); });
  Tensor mean = n.stage.mean(squares, int64_t(3));
  return n.t.mapTo(x.shape, {wide, mean, n.t.convert(weight, f)}, x.element,
                   [&](Scalars &s, Values v) {
                     Value root = s.sqrt(s.add(v[1], s.like(v[1], epsilon)));
                     return s.mul(s.div(v[0], root), v[2]);
                   });
}

namespace {
/// One node while it is lowered.
class GroupQuery {
public:
  explicit GroupQuery(Node &n) : n(n) {}
  LogicalResult run();

private:
  LogicalResult refuseForms();
  LogicalResult readOperands();
  void normalize();
  void turn();
  Value totalRows(Scalars &s, Value batch);
  Value pastRows(Scalars &s, Value batch);
  Tensor present(const Tensor &past, const Tensor &fresh);
  Value mask(Scalars &s, Value score, ValueRange at);

  Node &n;
  Tensor q, k, v, pastKey, pastValue, lengths, total, bias;
  SymbolicShape scores;
};
} // namespace

LogicalResult GroupQuery::refuseForms() {
  const std::pair<unsigned, StringRef> operands[] = {
      {12, "k_scale"}, {13, "v_scale"}, {16, "query_seqlens"}};
  for (auto [i, name] : operands)
    if (failed(refuseOperand(n, i, name)))
      return failure();
  if (n.op.getInt("sliding_window_cache", 0) != 0)
    return n.refuse("sliding_window_cache is not supported");
  for (StringRef name : {"k_quant_type", "v_quant_type"})
    if (n.op.getString(name, "NONE") != "NONE")
      return n.refuse("a quantized cache is not supported");
  return success();
}

LogicalResult GroupQuery::readOperands() {
  int64_t heads = n.op.getInt("num_heads", 1);
  int64_t kvHeads = n.op.getInt("kv_num_heads", 1);
  Tensor x = n.in(0);
  if (n.has(1) && n.has(2)) {
    q = splitHeads(n, x, heads);
    k = splitHeads(n, n.in(1), kvHeads);
    v = splitHeads(n, n.in(2), kvHeads);
  } else {
    Poly size = n.t.getTerms().fdiv(x.shape[2], n.t.poly(heads + 2 * kvHeads));
    q = splitHeads(n, x, heads, size, n.t.poly(0));
    k = splitHeads(n, x, kvHeads, size, size * heads);
    v = splitHeads(n, x, kvHeads, size, size * (heads + kvHeads));
  }
  if (failed(checkHeads(n, q, k)))
    return failure();
  pastKey = n.has(3) ? n.value(3) : Tensor();
  pastValue = n.has(4) ? n.value(4) : Tensor();
  lengths = n.value(5);
  total = n.value(6);
  bias = n.has(10) ? n.value(10) : Tensor();
  return success();
}

/// Keys of a sample, new ones included.
Value GroupQuery::totalRows(Scalars &s, Value batch) {
  SmallVector<Value> place;
  for (unsigned k = 0; k < lengths.rank(); ++k)
    place.push_back(k == 0 ? batch : s.index(0));
  return s.add(s.toIndex(n.t.load(s, lengths, place)), s.index(1));
}

/// Keys of a sample before its new ones. A first prompt has none, even where
/// samples are shorter than its rows.
Value GroupQuery::pastRows(Scalars &s, Value batch) {
  Value rows = n.t.dim(q.shape[2]);
  SmallVector<Value> first(total.rank(), s.index(0));
  Value isPrompt = s.eq(s.toIndex(n.t.load(s, total, first)), rows);
  Value before = s.sub(totalRows(s, batch), rows);
  return s.select(isPrompt, s.index(0), s.max(before, s.index(0)));
}

void GroupQuery::normalize() {
  if (!n.has(14) || !n.has(15))
    return;
  double common = n.op.getFloat("qk_norm_epsilon", 1e-6);
  q = normalizeHeads(n, q, n.in(14), n.op.getFloat("q_norm_epsilon", common));
  k = normalizeHeads(n, k, n.in(15), n.op.getFloat("k_norm_epsilon", common));
}

void GroupQuery::turn() {
  Tensor places = n.has(9) ? n.value(9) : Tensor();
  Rotation rotation;
  rotation.cos = n.value(7);
  rotation.sin = n.value(8);
  rotation.interleaved = n.op.getInt("rotary_interleaved", 0) != 0;
  if (auto half = rotation.cos.shape[1].getConstantInt())
    rotation.columns = 2 * *half;
  rotation.position = [=](Scalars &s, Value batch, Value row) {
    Value place = places ? s.toIndex(n.t.load(s, places, {batch, row}))
                         : s.add(pastRows(s, batch), row);
    return n.t.checkedIndex(s, place, n.t.dim(rotation.cos.shape[0]));
  };
  q = rotate(n.t, q, rotation);
  k = rotate(n.t, k, rotation);
}

/// The cache after the step: rows of the past, the new ones, then what the
/// past has behind, else zeros.
Tensor GroupQuery::present(const Tensor &past, const Tensor &fresh) {
  if (!past && scores[3] == fresh.shape[2])
    return fresh;
  SymbolicShape shape = fresh.shape;
  shape[2] = scores[3];
  Type compute = getComputeType(fresh.element);
  Value rows = n.t.dim(fresh.shape[2]);
  return n.t.generate(shape, fresh.element, [&](Scalars &s, ValueRange at) {
    Value before = pastRows(s, at[0]);
    Value place = s.sub(at[2], before);
    auto isNew = s.lt(place, rows, /*isUnsigned=*/true);
    return s.choose(
        isNew, compute,
        [&] {
          return n.t.load(s, fresh, ValueRange{at[0], at[1], place, at[3]});
        },
        [&]() -> Value {
          if (!past)
            return s.constant(compute, 0);
          Value inside = s.lt(at[2], n.t.dim(past.shape[2]));
          return s.choose(
              inside, compute, [&] { return n.t.load(s, past, at); },
              [&] { return s.constant(compute, 0); });
        });
  });
}

Value GroupQuery::mask(Scalars &s, Value score, ValueRange at) {
  Value lowest = s.like(score, -kInfinity);
  if (bias)
    score = s.add(score, loadBroadcast(n, s, bias, at, scores));
  Value keep = s.lt(at[3], totalRows(s, at[0]));
  if (n.op.getInt("causal", 1) == 0)
    return s.select(keep, score, lowest);
  Value place = s.add(pastRows(s, at[0]), at[2]);
  // Rows of padding see what a causal row sees.
  keep = s.le(at[3], place);
  int64_t window = n.op.getInt("local_window_size", -1);
  if (window >= 0)
    keep = s.logicalAnd(keep, s.lt(s.sub(place, at[3]), s.index(window)));
  return s.select(keep, score, lowest);
}

LogicalResult GroupQuery::run() {
  if (failed(refuseForms()) || failed(readOperands()))
    return failure();
  normalize();
  if (n.op.getInt("do_rotary", 0) != 0) {
    if (!n.has(7) || !n.has(8))
      return n.refuse("do_rotary needs cos_cache and sin_cache");
    turn();
  }
  Poly keys = k.shape[2];
  if (pastKey) {
    // Known where the number of all rows is.
    std::optional<SmallVector<IndexExpr>> list =
        n.stage.getShapes().listOf(n.op.getOptionalInput(6));
    if (!list || list->size() != 1 || !(*list)[0].isPoly())
      return n.refuse("total_sequence_length must follow from the model's dims "
                      "where there is a cache");
    keys = n.t.getTerms().max(pastKey.shape[2], (*list)[0].poly());
  }
  scores = {q.shape[0], q.shape[1], q.shape[2], keys};
  Tensor allKeys = present(pastKey, k), allValues = present(pastValue, v);

  AttentionOperands operands{q, allKeys, allValues, scaleOf(n, q),
                             n.op.getFloat("softcap", 0.0)};
  operands.mask = [&](Scalars &s, Value score, ValueRange at) {
    return mask(s, score, at);
  };
  if (n.has(11))
    operands.sink = n.in(11);
  else if (n.op.getInt("smooth_softmax", -1) > 0)
    operands.sink = n.t.splat({q.shape[1]}, q.element, 0);
  AttentionResults results = attend(n.stage, operands);
  setConverted(n, mergeHeads(n.t, results.result), 0);
  setConverted(n, allKeys, 1);
  setConverted(n, allValues, 2);
  int64_t output = n.op.getInt("qk_output", 0);
  setConverted(n, output == 2 ? results.probabilities : results.masked, 3);
  return success();
}

//===----------------------------------------------------------------------===//
// RotaryEmbedding
//===----------------------------------------------------------------------===//

/// Rotates operand 0, [B, S, H * D] or [B, H, S, D].
static LogicalResult lowerRotation(Node &n, Rotation rotation) {
  Tensor x = n.in(0);
  bool isMerged = x.rank() == 3;
  rotation.interleaved = n.op.getInt("interleaved", 0) != 0;
  rotation.columns = n.op.getInt("rotary_embedding_dim", 0);
  int64_t heads = n.op.getInt("num_heads", 0);
  if (isMerged && heads == 0) {
    // Then a head is what the tables fill.
    auto columns = x.shape[2].getConstantInt();
    auto pairs = rotation.cos.shape.back().getConstantInt();
    if (!columns || !pairs || *pairs < 1 || *columns % (2 * *pairs) != 0)
      return n.refuse("num_heads is not given and does not follow from its "
                      "tables");
    heads = *columns / (2 * *pairs);
  }
  Tensor split = isMerged ? splitHeads(n, x, heads) : n.value(0);
  Tensor result = rotate(n.t, split, rotation);
  n.set(isMerged ? mergeHeads(n.t, result) : result);
  return success();
}

static LogicalResult lowerRotaryEmbedding(Node &n) {
  Rotation rotation;
  rotation.cos = n.value(1);
  rotation.sin = n.value(2);
  if (n.has(3)) {
    Tensor places = n.value(3);
    Value extent = n.t.dim(rotation.cos.shape[0]);
    rotation.position = [=, &n](Scalars &s, Value batch, Value row) {
      if (places.shape[0].isConstant(1))
        batch = s.index(0);
      Value place = s.toIndex(n.t.load(s, places, {batch, row}));
      return n.t.checkedIndex(s, place, extent);
    };
  }
  return lowerRotation(n, rotation);
}

static LogicalResult lowerContribRotary(Node &n) {
  if (n.op.getInt("is_packed_batching", 0) != 0)
    return n.refuse("packed batching is not supported");
  if (n.op.getFloat("scale", 1.0) != 1.0)
    return n.refuse("a scale other than 1 is not supported");
  Tensor places = n.value(1);
  Rotation rotation;
  rotation.cos = n.value(2);
  rotation.sin = n.value(3);
  Value extent = n.t.dim(rotation.cos.shape[0]);
  rotation.position = [=, &n](Scalars &s, Value batch, Value row) {
    // One number is the place of row 0.
    Value place = places.rank() == 1
                      ? s.add(s.toIndex(n.t.load(s, places, s.index(0))), row)
                      : s.toIndex(n.t.load(s, places, {batch, row}));
    return n.t.checkedIndex(s, place, extent);
  };
  return lowerRotation(n, rotation);
}

//===----------------------------------------------------------------------===//
// LinearAttention
//===----------------------------------------------------------------------===//

/// A state [keys, values] per head that every row reads and changes. Columns of
/// the state do not depend on each other: each is a loop over rows of its own.
static LogicalResult lowerLinearAttention(Node &n) {
  if (failed(n.needKernels()))
    return failure();
  int64_t heads = n.op.getInt("q_num_heads", 1);
  int64_t kvHeads = n.op.getInt("kv_num_heads", 1);
  StringRef rule = n.op.getString("update_rule", "gated_delta");
  bool isGated = rule == "gated" || rule == "gated_delta";
  bool isDelta = rule == "delta" || rule == "gated_delta";
  if (!isGated && !isDelta && rule != "linear")
    return n.refuse("unknown update_rule '" + rule + "'");
  if (isGated != n.has(4) || isDelta != n.has(5))
    return n.refuse("decay and beta do not match update_rule '" + rule + "'");
  Type f = n.t.getBuilder().getF32Type();
  auto operand = [&](unsigned i) {
    Tensor x = n.t.convert(n.in(i), f);
    return n.t.wrap(n.t.valueOf(x), f, x.shape);
  };
  Tensor q = operand(0), k = operand(1), v = operand(2);
  IndexExprContext &terms = n.t.getTerms();
  Poly keySize = terms.fdiv(q.shape[2], n.t.poly(heads));
  Poly valueSize = terms.fdiv(v.shape[2], n.t.poly(kvHeads));
  SymbolicShape stateShape = {q.shape[0], n.t.poly(kvHeads), keySize,
                              valueSize};
  SymbolicShape resultShape = {q.shape[0], q.shape[1], valueSize * heads};
  SmallVector<Value> inputs = {q.value, k.value, v.value};
  Tensor decay = isGated ? operand(4) : Tensor();
  Tensor beta = isDelta ? operand(5) : Tensor();
  for (const Tensor &extra : {decay, beta})
    if (extra)
      inputs.push_back(extra.value);
  Value start = n.has(3) ? operand(3).value : n.t.splat(stateShape, f, 0).value;
  inputs.push_back(start);
  inputs.append({n.t.dim(keySize), n.t.dim(valueSize)});
  for (const Tensor &extra : {decay, beta})
    if (extra && !extra.shape[2].getConstantInt())
      return n.refuse("the columns of decay and beta must be constant");
  bool perColumn = decay && decay.shape[2] != n.t.poly(kvHeads);
  bool sharedBeta = beta && beta.shape[2].isConstant(1) && kvHeads != 1;
  double scale = n.op.getFloat("scale", 0.0);

  auto body = [&](Scalars &s, Value, ValueRange arguments) {
    auto take = [&] {
      Value first = arguments.front();
      arguments = arguments.drop_front();
      return first;
    };
    Value q = take(), k = take(), v = take();
    Value decay = isGated ? take() : Value(), beta = isDelta ? take() : Value();
    Value start = take(), keySize = take(), valueSize = take();
    Value result = take(), state = take();
    Value zero = s.index(0), group = s.index(heads / kvHeads);
    auto at = [&](Value buffer, ValueRange position) -> Value {
      return memref::LoadOp::create(s, buffer, position);
    };
    auto put = [&](Value x, Value buffer, ValueRange position) {
      memref::StoreOp::create(s, x, buffer, position);
    };
    Value factor = scale != 0 ? s.constant(f, scale)
                              : s.recip(s.sqrt(s.toFloat(keySize, f)));
    SmallVector<Value> sizes = {memref::DimOp::create(s, q, 0),
                                s.index(kvHeads), valueSize};
    s.forall(sizes, [&](ValueRange lane) {
      Value batch = lane[0], head = lane[1], column = lane[2];
      auto cell = [&](Value d) {
        return SmallVector<Value>{batch, head, d, column};
      };
      auto eachKey = [&](function_ref<void(Value)> fn) {
        s.loop(zero, keySize, {}, [&](Value d, ValueRange) {
          fn(d);
          return SmallVector<Value>();
        });
      };
      auto sumOverKeys = [&](function_ref<Value(Value)> fn) {
        return s.loop(zero, keySize, s.constant(f, 0),
                      [&](Value d, ValueRange sum) -> SmallVector<Value> {
                        return {s.add(sum[0], fn(d))};
                      })[0];
      };
      eachKey([&](Value d) { put(at(start, cell(d)), state, cell(d)); });
      Value first = s.mul(head, keySize);
      s.loop(zero, memref::DimOp::create(s, q, 1), {},
             [&](Value row, ValueRange) -> SmallVector<Value> {
               auto key = [&](Value d) {
                 return at(k, {batch, row, s.add(first, d)});
               };
               if (decay)
                 eachKey([&](Value d) {
                   Value gate = perColumn ? s.add(first, d) : head;
                   Value kept = s.exp(at(decay, {batch, row, gate}));
                   put(s.mul(at(state, cell(d)), kept), state, cell(d));
                 });
               Value value =
                   at(v, {batch, row, s.add(s.mul(head, valueSize), column)});
               if (beta) {
                 Value seen = sumOverKeys([&](Value d) {
                   return s.mul(at(state, cell(d)), key(d));
                 });
                 Value rate = at(beta, {batch, row, sharedBeta ? zero : head});
                 value = s.mul(rate, s.sub(value, seen));
               }
               eachKey([&](Value d) {
                 Value more = s.mul(key(d), value);
                 put(s.add(at(state, cell(d)), more), state, cell(d));
               });
               // Every query head of the group reads the state.
               s.loop(zero, group, {},
                      [&](Value member, ValueRange) -> SmallVector<Value> {
                        Value asking = s.add(s.mul(head, group), member);
                        Value from = s.mul(asking, keySize);
                        Value sum = sumOverKeys([&](Value d) {
                          Value x = at(q, {batch, row, s.add(from, d)});
                          return s.mul(x, at(state, cell(d)));
                        });
                        Value to = s.add(s.mul(asking, valueSize), column);
                        put(s.mul(sum, factor), result, {batch, row, to});
                        return {};
                      });
               return {};
             });
    });
  };
  SmallVector<Value> outputs = {n.t.empty(resultShape, f),
                                n.t.empty(stateShape, f)};
  SmallVector<Value> results = n.stage.callOwnKernel(
      "linearattention", inputs, outputs, /*updates=*/false, body);
  setConverted(n, n.t.wrap(results[0], f, resultShape), 0);
  setConverted(n, n.t.wrap(results[1], f, stateShape), 1);
  return success();
}

void lathe::addAttention(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"Attention", 23, lowerAttention},
      {"LinearAttention", 27, lowerLinearAttention},
      {"RotaryEmbedding", 23, lowerRotaryEmbedding},
  };
  table.add("", rows);
  const LoweringRow contrib[] = {
      {"Attention", 1, lowerPackedAttention},
      {"GroupQueryAttention", 1, [](Node &n) { return GroupQuery(n).run(); }},
      {"MultiHeadAttention", 1, lowerMultiHeadAttention},
      {"RotaryEmbedding", 1, lowerContribRotary},
  };
  table.add("com.microsoft", contrib);
}
