//===- AttentionMatch.cpp - attention as a graph writes it ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AttentionMatch.h"
#include "lathe/Raise/MaskForm.h"
#include <cfloat>
#include <cmath>

using namespace mlir;
using namespace lathe;

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

namespace {

/// alpha * a * b over the last two dims, with either side transposed.
struct Product {
  Value a, b;
  bool transA = false, transB = false;
  double alpha = 1;
};

} // namespace

static std::optional<Product> getProduct(OnnxOp op) {
  if (!op || op.getInputs().size() < 2)
    return std::nullopt;
  Product product{op.getInputs()[0], op.getInputs()[1]};
  if (op.is("MatMul"))
    return product;
  bool isFused = op.getOpType() == "FusedMatMul" &&
                 op.getDomainOrDefault() == "com.microsoft";
  if (!isFused || op.getInt("transBatchA", 0) || op.getInt("transBatchB", 0))
    return std::nullopt;
  product.transA = op.getInt("transA", 0);
  product.transB = op.getInt("transB", 0);
  product.alpha = op.getFloat("alpha", 1.0);
  return product;
}

namespace {

/// Common ground of the matchers.
class Matcher {
public:
  Matcher(const SymbolicShapes &shapes)
      : shapes(shapes), context(shapes.getContext()) {}

protected:
  /// A trained value: neither constant nor made from integers alone.
  bool isActivation(Value value) const {
    return isFloatTensor(value) && !isConstant(value) &&
           !shapes.isIndexy(value);
  }

  std::nullopt_t fail(const Twine &why) {
    reason = why.str();
    return std::nullopt;
  }

  /// Says which node is in the way.
  std::nullopt_t failAt(Operation *op, const Twine &why);

  /// Takes what is added to the scores into `match`, times `factor`. False if
  /// a masking constant would not mask any more.
  bool addBias(AttentionMatch &match, Value tensor, ArrayRef<Poly> index,
               double factor, SmallVectorImpl<Number> &maskValues);

  /// The element of `value` that broadcasting puts at `index`.
  IndexExpr elementAt(Value value, ArrayRef<Poly> index, Extents extents);

  const SymbolicShapes &shapes;
  IndexExprContext &context;
  std::string reason;
};

} // namespace

std::nullopt_t Matcher::failAt(Operation *op, const Twine &why) {
  std::string name;
  auto from = op->getDiscardableAttr(LatheDialect::kFromAttr);
  if (auto dict = dyn_cast_or_null<DictionaryAttr>(from))
    if (auto node = dict.getAs<StringAttr>("node"))
      name = ("node '" + node.strref() + "' ").str();
  if (auto carrier = dyn_cast<OnnxOp>(op))
    name += ("(" + carrier.getOpType() + "): ").str();
  return fail(name + why);
}

IndexExpr Matcher::elementAt(Value value, ArrayRef<Poly> index,
                             Extents extents) {
  std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(value);
  if (!shape || shape->size() > index.size())
    return {};
  return shapes.formAt(value, index.take_back(shape->size()), extents);
}

/// A dense bias: the tensor as it is written.
static Poly readAsWritten(const SymbolicShapes &shapes, Value tensor,
                          ArrayRef<Poly> index) {
  ArrayRef<Poly> shape = *shapes.shapeOf(tensor);
  IndexExprContext &context = shapes.getContext();
  SmallVector<Poly, 4> position;
  for (auto [extent, coord] : llvm::zip(shape, index.take_back(shape.size())))
    position.push_back(extent.isConstant(1) ? context.zero() : coord);
  return context.read(shapes.readIdOf(tensor), position);
}

bool Matcher::addBias(AttentionMatch &match, Value tensor, ArrayRef<Poly> index,
                      double factor, SmallVectorImpl<Number> &maskValues) {
  SmallVector<Poly, 4> extents{match.batch, context.constant(match.heads),
                               match.rows, match.keys};
  IndexExpr form = elementAt(tensor, index, extents);
  if (!form || !form.isPoly())
    return false;
  MaskSplit split = splitMask(form.poly(), extents);
  for (Number value : split.maskValues)
    if (value.asDouble() * factor > kMaskedOut)
      return false;
  maskValues.append(split.maskValues.begin(), split.maskValues.end());
  Poly bias =
      split.isDense() ? readAsWritten(shapes, tensor, index) : split.bias;
  if (!split.isDense())
    match.keep = context.conj(match.keep, split.keep);
  match.bias = match.bias + context.scale(bias, Number::fromDouble(factor));
  return match.keep && match.bias;
}

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

namespace {

class SoftmaxMatcher : public Matcher {
public:
  SoftmaxMatcher(const SymbolicShapes &shapes, OnnxOp softmax)
      : Matcher(shapes) {
    match.anchor = softmax;
  }

  AttentionAttempt run();

private:
  bool reachesScores(Value value);
  bool isScoreProduct(OnnxOp op);
  bool setUp();
  bool walkUp();
  std::optional<Value> step(OnnxOp op);
  std::optional<Value> stepScale(OnnxOp op);
  std::optional<Value> stepAdd(OnnxOp op);
  std::optional<Value> stepWhere(OnnxOp op);
  std::optional<Value> stepClamp(OnnxOp op);
  std::optional<Value> stepReshape(OnnxOp op);
  bool readScores(const Product &product);
  bool walkDown();
  bool readValues(OnnxOp product, Value probabilities);
  SmallVector<Poly, 4> extents() {
    return {match.batch, context.constant(match.heads), match.rows, match.keys};
  }

  AttentionMatch match;
  /// Index of each dim of the current tensor, over (b, h, i, j).
  SmallVector<Poly, 4> view;
  /// Where the queries' and keys' product is.
  OnnxOp scores;
  SmallVector<Number, 2> maskValues;
  bool hasGuard = false;
  /// The leading coordinates of the softmax, in those of the tensor that the
  /// walk down stands at, and the other way round.
  HeadSplit split;
};

} // namespace

bool SoftmaxMatcher::isScoreProduct(OnnxOp op) {
  std::optional<Product> product = getProduct(op);
  return product && isActivation(product->a) && isActivation(product->b);
}

/// True if `value` leads to a product of two activations through what may
/// stand between scores and Softmax.
bool SoftmaxMatcher::reachesScores(Value value) {
  constexpr unsigned kDepth = 14;
  SmallVector<std::pair<Value, unsigned>> pending{{value, 0}};
  DenseSet<Value> seen;
  while (!pending.empty()) {
    Value current = pending.back().first;
    unsigned depth = pending.pop_back_val().second;
    if (depth > kDepth || !seen.insert(current).second)
      continue;
    auto push = [&, depth](Value next) {
      pending.emplace_back(next, depth + 1);
    };
    if (auto tanh = current.getDefiningOp<ActivationOp>()) {
      if (tanh.getKind() == ActivationKind::Tanh)
        push(tanh.getX());
      continue;
    }
    if (auto linear = current.getDefiningOp<LinearOp>()) {
      push(linear.getX());
      continue;
    }
    OnnxOp op = getCarrier(current);
    if (!op)
      continue;
    if (isScoreProduct(op))
      return true;
    if (op.is("Cast") || op.is("Identity") || op.is("Reshape") ||
        op.is("Tanh") || op.is("Dropout") || op.is("Clip") ||
        op.is("Transpose") || op.is("Squeeze") || op.is("Unsqueeze"))
      push(op.getInputs()[0]);
    else if (op.is("Add") || op.is("Mul") || op.is("Div") || op.is("Sub") ||
             op.is("Max") || op.is("MatMul")) {
      for (Value input : op.getInputs())
        if (isActivation(input))
          push(input);
    } else if (op.is("Where")) {
      push(op.getInputs()[1]);
      push(op.getInputs()[2]);
    }
  }
  return false;
}

/// Reads batch and heads off the shape of the softmax.
bool SoftmaxMatcher::setUp() {
  Value input = match.anchor.getInputs()[0];
  std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(input);
  if (!shape || shape->size() < 2)
    return false;
  int64_t axis = match.anchor.getInt(
      "axis", static_cast<int64_t>(match.anchor.getOpset()) >= 13 ? -1 : 1);
  if (normalizeAxis(axis, shape->size()) !=
      static_cast<int64_t>(shape->size()) - 1)
    return false;
  if (!reachesScores(input))
    return false;
  std::optional<HeadSplit> heads = splitHeads(context, shape->drop_back(2));
  if (!heads) {
    reason = "the number of heads is not static";
    return false;
  }
  split = *heads;
  match.batch = split.batch;
  match.heads = split.heads;
  match.rows = (*shape)[shape->size() - 2];
  match.keys = shape->back();
  match.keep = context.getTrue();
  match.bias = context.zero();
  view.assign(split.leading.begin(), split.leading.end());
  view.push_back(match.rows.isConstant(1) ? context.zero() : context.coord(2));
  view.push_back(match.keys.isConstant(1) ? context.zero() : context.coord(3));
  return true;
}

std::optional<Value> SoftmaxMatcher::stepScale(OnnxOp op) {
  unsigned side =
      isActivation(op.getInputs()[0]) && reachesScores(op.getInputs()[0]) ? 0
                                                                          : 1;
  Value score = op.getInputs()[side], factor = op.getInputs()[1 - side];
  bool isDiv = op.is("Div");
  if (isDiv && side != 0)
    return failAt(op, "the scores are a divisor");
  if (std::optional<Number> number = shapes.uniformConstant(factor)) {
    double value = number->asDouble();
    match.scale *= isDiv ? 1.0 / value : value;
    return score;
  }
  IndexExpr form = elementAt(factor, view, extents());
  if (!form || !form.isPoly() || !shapes.isIndexy(form) ||
      form.poly().usesCoord(2) || form.poly().usesCoord(3) || match.headScale)
    return failAt(op, "scores scaled by a tensor");
  match.headScale = isDiv ? context.fn(Func::Recip, form.poly()) : form.poly();
  if (!match.headScale)
    return failAt(op, "scores scaled by a tensor");
  return score;
}

std::optional<Value> SoftmaxMatcher::stepAdd(OnnxOp op) {
  bool isLeft =
      isActivation(op.getInputs()[0]) && reachesScores(op.getInputs()[0]);
  if (op.is("Sub") && !isLeft)
    return failAt(op, "the scores are subtracted");
  Value score = op.getInputs()[isLeft ? 0 : 1];
  Value bias = op.getInputs()[isLeft ? 1 : 0];
  if (match.scale <= 0 || match.headScale)
    return failAt(op, "a mask or bias below a scale that is not a positive "
                      "number");
  if (match.softcap)
    return failAt(op, "a mask or bias inside the softcap");
  double factor = op.is("Sub") ? -match.scale : match.scale;
  if (!addBias(match, bias, view, factor, maskValues))
    return failAt(op, "a masking constant is too weak below the scale");
  return score;
}

std::optional<Value> SoftmaxMatcher::stepWhere(OnnxOp op) {
  bool keepsTrue = reachesScores(op.getInputs()[1]);
  Value score = op.getInputs()[keepsTrue ? 1 : 2];
  Value other = op.getInputs()[keepsTrue ? 2 : 1];
  if (match.scale <= 0 || match.headScale)
    return failAt(op, "a mask below a scale that is not a positive number");
  if (match.softcap)
    return failAt(op, "a mask inside the softcap");
  std::optional<Number> number = shapes.uniformConstant(other);
  if (!number || number->asDouble() > kMaskedOut ||
      number->asDouble() * match.scale > kMaskedOut)
    return failAt(op, "scores replaced by something that does not mask");
  // Replaced scores are all equal, whatever the number is.
  maskValues.push_back(number->isInfinite() ? *number
                                            : Number::fromDouble(-FLT_MAX));
  IndexExpr condition = elementAt(op.getInputs()[0], view, extents());
  if (!condition || !condition.isPred())
    return failAt(op, "the condition has no closed form");
  Pred keep = keepsTrue ? condition.pred() : context.negate(condition.pred());
  match.keep = context.conj(match.keep, keep);
  if (!match.keep)
    return failAt(op, "the mask is too large");
  return score;
}

/// Max(score, NEG), or Clip from below: two masks may have added to -inf.
std::optional<Value> SoftmaxMatcher::stepClamp(OnnxOp op) {
  bool isClip = op.is("Clip");
  Value score = op.getInputs()[0];
  if (!isClip && !reachesScores(score))
    score = op.getInputs()[1];
  Value bound = isClip ? op.getOptionalInput(1) : getOther(op, score);
  bool isTwoSided =
      isClip ? bool(op.getOptionalInput(2)) : op.getInputs().size() != 2;
  std::optional<Number> number =
      bound ? shapes.uniformConstant(bound) : std::nullopt;
  if (!number || number->asDouble() > kMaskedOut || isTwoSided)
    return failAt(op, "scores are clamped");
  return score;
}

std::optional<Value> SoftmaxMatcher::stepReshape(OnnxOp op) {
  std::optional<ArrayRef<Poly>> from = shapes.shapeOf(op.getInputs()[0]);
  std::optional<ArrayRef<Poly>> to = shapes.shapeOf(op.getOutputs()[0]);
  std::optional<SmallVector<Poly>> map =
      from && to ? reshapeIndexMap(context, *from, *to) : std::nullopt;
  if (!map)
    return failAt(op, "scores are reshaped across dims");
  SmallVector<Poly, 4> bounds = extents();
  SmallVector<Poly, 4> next;
  for (Poly index : *map)
    next.push_back(context.substitute(index, view, bounds));
  if (llvm::any_of(next, [](Poly p) { return !p; }))
    return failAt(op, "scores are reshaped across dims");
  view = std::move(next);
  return op.getInputs()[0];
}

/// What comes before `op` on the way up; nothing with a reason if this is the
/// end.
std::optional<Value> SoftmaxMatcher::step(OnnxOp op) {
  if (op.is("Cast") || op.is("Identity") || op.is("Dropout"))
    return op.getInputs()[0];
  if (op.is("Mul") || op.is("Div"))
    return stepScale(op);
  if (op.is("Add") || op.is("Sub"))
    return stepAdd(op);
  if (op.is("Where"))
    return stepWhere(op);
  if (op.is("Max") || op.is("Clip"))
    return stepClamp(op);
  if (op.is("Reshape") || op.is("Squeeze") || op.is("Unsqueeze"))
    return stepReshape(op);
  if (op.is("Transpose") || getProduct(op))
    return failAt(op, "head mixing");
  return failAt(op, "not part of an attention");
}

bool SoftmaxMatcher::walkUp() {
  Value current = match.anchor.getInputs()[0];
  while (true) {
    Operation *op = current.getDefiningOp();
    if (!op)
      return false;
    OnnxOp carrier = dyn_cast<OnnxOp>(op);
    bool isTanh = carrier && carrier.is("Tanh");
    if (auto activation = dyn_cast<ActivationOp>(op))
      isTanh = activation.getKind() == ActivationKind::Tanh;
    if (isTanh) {
      if (match.softcap || match.scale <= 0) {
        failAt(op, "two softcaps");
        return false;
      }
      match.softcap = match.scale;
      match.scale = 1;
      current = op->getOperand(0);
      continue;
    }
    if (isa<LinearOp>(op)) {
      failAt(op, "head mixing");
      return false;
    }
    if (!carrier) {
      failAt(op, "not part of an attention");
      return false;
    }
    if (isScoreProduct(carrier)) {
      scores = carrier;
      return readScores(*getProduct(carrier));
    }
    std::optional<Value> next = step(carrier);
    if (!next)
      return false;
    current = *next;
  }
}

bool SoftmaxMatcher::readScores(const Product &product) {
  match.scale *= product.alpha;
  if (match.softcap)
    match.scale *= *match.softcap;
  std::optional<ArrayRef<Poly>> a = shapes.shapeOf(product.a);
  std::optional<ArrayRef<Poly>> b = shapes.shapeOf(product.b);
  if (!a || !b || a->size() < 2 || b->size() < 2 || view.size() < 2) {
    failAt(scores, "queries or keys have no known shape");
    return false;
  }
  std::optional<int64_t> dim =
      (*a)[a->size() - (product.transA ? 2 : 1)].getConstantInt();
  bool isAligned =
      (view[view.size() - 2] == context.coord(2) || match.rows.isConstant(1)) &&
      (view.back() == context.coord(3) || match.keys.isConstant(1));
  if (!dim || !isAligned) {
    failAt(scores, "the head size is not static, or rows are mixed");
    return false;
  }
  match.headDim = *dim;
  ArrayRef<Poly> leading = ArrayRef<Poly>(view).drop_back(2);
  if (llvm::any_of(leading,
                   [](Poly p) { return p.usesCoord(2) || p.usesCoord(3); })) {
    failAt(scores, "rows are mixed with heads");
    return false;
  }
  auto read = [&](Value value, Poly rows, bool columnsLast) -> Poly {
    SmallVector<Poly, 4> index(leading.begin(), leading.end());
    index.push_back(columnsLast ? context.coord(2) : context.coord(3));
    index.push_back(columnsLast ? context.coord(3) : context.coord(2));
    SmallVector<Poly, 4> bounds{match.batch, context.constant(match.heads),
                                rows, context.constant(*dim)};
    return elementAt(value, index, bounds).poly();
  };
  match.q = read(product.a, match.rows, !product.transA);
  match.k = read(product.b, match.keys, product.transB);
  if (match.q && match.k)
    return true;
  failAt(scores, "queries or keys have no closed form");
  return false;
}

/// Users that look at more than the shape.
static SmallVector<Operation *> getReaders(Value value) {
  SmallVector<Operation *> readers;
  for (Operation *user : value.getUsers()) {
    auto op = dyn_cast<OnnxOp>(user);
    if (!op || !(op.is("Shape") || op.is("Size")))
      readers.push_back(user);
  }
  return readers;
}

bool SoftmaxMatcher::walkDown() {
  Value current = match.anchor.getOutputs()[0];
  constexpr unsigned kMaxSteps = 16;
  for (unsigned steps = 0; steps < kMaxSteps; ++steps) {
    SmallVector<Operation *> readers = getReaders(current);
    // IsNaN and the Where that puts 0 in.
    auto find = [&](StringRef type) -> OnnxOp {
      for (Operation *reader : readers)
        if (auto op = dyn_cast<OnnxOp>(reader); op && op.is(type))
          return op;
      return {};
    };
    if (readers.size() == 2 && find("IsNaN") && find("Where")) {
      OnnxOp where = find("Where");
      std::optional<Number> zero = shapes.uniformConstant(where.getInputs()[1]);
      if (where.getInputs()[0] != find("IsNaN").getOutputs()[0] ||
          where.getInputs()[2] != current || !zero || !zero->isZero()) {
        failAt(where, "not a guard against NaN");
        return false;
      }
      hasGuard = true;
      current = where.getOutputs()[0];
      continue;
    }
    if (readers.size() != 1) {
      failAt(match.anchor,
             "the probabilities have " + Twine(readers.size()) + " users");
      return false;
    }
    auto op = dyn_cast<OnnxOp>(readers.front());
    if (!op) {
      failAt(readers.front(), "the probabilities are used by it");
      return false;
    }
    if (op.is("Cast") || op.is("Identity") || op.is("Dropout") ||
        op.is("Reshape") || op.is("Expand") || op.is("Squeeze") ||
        op.is("Unsqueeze")) {
      current = op.getOutputs()[0];
      continue;
    }
    std::optional<Product> product = getProduct(op);
    if (product && product->a == current && product->b != current &&
        !product->transA && product->alpha == 1)
      return readValues(op, current);
    failAt(op, product ? "head mixing" : "the probabilities are used by it");
    return false;
  }
  return false;
}

bool SoftmaxMatcher::readValues(OnnxOp op, Value probabilities) {
  Product product = *getProduct(op);
  std::optional<ArrayRef<Poly>> own =
      shapes.shapeOf(match.anchor.getInputs()[0]);
  std::optional<ArrayRef<Poly>> p = shapes.shapeOf(probabilities);
  std::optional<ArrayRef<Poly>> v = shapes.shapeOf(product.b);
  std::optional<ArrayRef<Poly>> out = shapes.shapeOf(op.getOutputs()[0]);
  auto failHere = [&](const Twine &why) {
    failAt(op, why);
    return false;
  };
  if (!p || !v || !out || v->size() < 2 || out->size() < 2 ||
      isConstant(product.b))
    return failHere("no product with values");
  std::optional<int64_t> dim =
      (*v)[v->size() - (product.transB ? 2 : 1)].getConstantInt();
  if (!dim)
    return failHere("the size of the values is not static");
  match.valueDim = *dim;

  // Leading coordinates of the probabilities in terms of (b, h), and (b, h) in
  // terms of the result's coordinates.
  SmallVector<Poly, 4> leading(split.leading.begin(), split.leading.end());
  SmallVector<Poly, 4> bounds{match.batch, context.constant(match.heads),
                              match.keys, context.constant(*dim)};
  Poly batch = split.batchIndex, head = split.headIndex;
  if (ArrayRef<Poly>(*p) != ArrayRef<Poly>(*own)) {
    std::optional<SmallVector<Poly>> inOwn = reshapeIndexMap(context, *p, *own);
    std::optional<SmallVector<Poly>> inNew = reshapeIndexMap(context, *own, *p);
    if (!inOwn || !inNew)
      return failHere("the probabilities are reshaped across dims");
    // Rows and keys must stay what they are.
    unsigned ownRank = own->size(), rank = p->size();
    auto isCoord = [&](Poly index, unsigned k, Poly extent) {
      return index == context.coord(k) || extent.isConstant(1);
    };
    if (rank < 2 || !isCoord((*inOwn)[rank - 2], ownRank - 2, match.rows) ||
        !isCoord((*inOwn)[rank - 1], ownRank - 1, match.keys))
      return failHere("the probabilities are reshaped across dims");
    SmallVector<Poly, 4> next;
    for (unsigned k = 0; k + 2 < rank; ++k)
      next.push_back(context.substitute((*inOwn)[k], leading, bounds));
    leading = std::move(next);
    batch = context.substitute(batch, *inNew, *p);
    head = context.substitute(head, *inNew, *p);
  }
  if (out->size() < p->size() || !batch || !head)
    return failHere("no product with values");
  // Broadcasting may put dims of 1 in front.
  unsigned shift = out->size() - p->size();
  if (shift)
    return failHere("the values have more dims than the probabilities");

  SmallVector<Poly, 4> index(leading.begin(), leading.end());
  index.push_back(product.transB ? context.coord(3) : context.coord(2));
  index.push_back(product.transB ? context.coord(2) : context.coord(3));
  match.v = elementAt(product.b, index, bounds).poly();
  if (!match.v)
    return failHere("the values have no closed form");

  match.result = op.getOutputs()[0];
  unsigned rank = out->size();
  Poly row =
      match.rows.isConstant(1) ? context.zero() : context.coord(rank - 2);
  Poly column = *dim == 1 ? context.zero() : context.coord(rank - 1);
  match.resultIndex = {batch, row, head * *dim + column};
  return true;
}

AttentionAttempt SoftmaxMatcher::run() {
  if (!setUp() || !walkUp() || !walkDown())
    return {std::nullopt, reason};
  match.fullyMasked = maskedRows(maskValues, hasGuard);
  if (match.fullyMasked == MaskedRows::Soft)
    match.maskValue =
        std::max_element(maskValues.begin(), maskValues.end())->asDouble();
  return {match, {}};
}

AttentionAttempt lathe::matchSoftmax(const SymbolicShapes &shapes,
                                     OnnxOp softmax) {
  return SoftmaxMatcher(shapes, softmax).run();
}

//===----------------------------------------------------------------------===//
// Attention nodes
//===----------------------------------------------------------------------===//

namespace {

class NodeMatcher : public Matcher {
public:
  NodeMatcher(const SymbolicShapes &shapes, OnnxOp op)
      : Matcher(shapes), op(op), isMicrosoft(!op.getDomainOrDefault().empty()) {
    match.anchor = op;
  }

  AttentionAttempt run();

private:
  std::optional<AttentionMatch> matchNode();
  bool readOperands();
  bool readMask();
  Poly readHeads(Value value, int64_t heads, Poly rows, Poly head,
                 int64_t &size);
  Poly withPast(Value past, Poly current, int64_t size);

  OnnxOp op;
  bool isMicrosoft;
  AttentionMatch match;
  int64_t keyHeads = 0;
  Poly past;
};

} // namespace

bool lathe::isAttentionNode(OnnxOp op) {
  return op.is("Attention") || (op.getDomainOrDefault() == "com.microsoft" &&
                                op.getOpType() == "MultiHeadAttention");
}

/// Heads side by side in the columns, or as a dim of their own. `size` gets the
/// columns of one head.
Poly NodeMatcher::readHeads(Value value, int64_t heads, Poly rows, Poly head,
                            int64_t &size) {
  std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(value);
  if (!shape || (shape->size() != 3 && shape->size() != 4))
    return {};
  std::optional<int64_t> columns = shape->back().getConstantInt();
  if (!columns)
    return {};
  bool isMerged = shape->size() == 3;
  if (isMerged && *columns % heads != 0)
    return {};
  size = isMerged ? *columns / heads : *columns;
  SmallVector<Poly, 4> bounds{match.batch, context.constant(match.heads), rows,
                              context.constant(size)};
  SmallVector<Poly, 4> index{context.coord(0)};
  if (isMerged) {
    index.push_back(context.coord(2));
    index.push_back(head * size + context.coord(3));
  } else {
    index.append({head, context.coord(2), context.coord(3)});
  }
  return shapes.formAt(value, index, bounds).poly();
}

/// Rows of `past` [B, heads, past, size] before those of `current`, which is
/// over (b, h, new row, c).
Poly NodeMatcher::withPast(Value pastValue, Poly current, int64_t size) {
  if (!pastValue || !current)
    return current;
  Poly group = context.constant(match.heads / keyHeads);
  SmallVector<Poly, 4> bounds{match.batch, context.constant(match.heads),
                              match.keys, context.constant(size)};
  SmallVector<Poly, 4> pastIndex{context.coord(0),
                                 context.fdiv(context.coord(1), group, bounds),
                                 context.coord(2), context.coord(3)};
  Poly old = shapes.formAt(pastValue, pastIndex, bounds).poly();
  SmallVector<Poly, 4> shifted{context.coord(0), context.coord(1),
                               context.coord(2) - past, context.coord(3)};
  Poly fresh = context.substitute(current, shifted, bounds);
  if (!old || !fresh)
    return {};
  return context.select(context.le(context.coord(2), past - 1, bounds), old,
                        fresh, bounds);
}

bool NodeMatcher::readOperands() {
  Value q = op.getInputs()[0], k = op.getOptionalInput(1),
        v = op.getOptionalInput(2);
  if (!k || !v)
    return false;
  std::optional<ArrayRef<Poly>> qs = shapes.shapeOf(q), ks = shapes.shapeOf(k),
                                vs = shapes.shapeOf(v);
  if (!qs || !ks || !vs)
    return false;
  bool isMerged = qs->size() == 3;
  if (isMicrosoft) {
    match.heads = keyHeads = op.getInt("num_heads", 0);
  } else if (isMerged) {
    match.heads = op.getInt("q_num_heads", 0);
    keyHeads = op.getInt("kv_num_heads", 0);
  } else if (qs->size() == 4 && ks->size() == 4) {
    match.heads = (*qs)[1].getConstantInt().value_or(0);
    keyHeads = (*ks)[1].getConstantInt().value_or(0);
  }
  if (match.heads <= 0 || keyHeads <= 0 || match.heads % keyHeads != 0)
    return false;
  match.batch = (*qs)[0];
  match.rows = (*qs)[isMerged ? 1 : 2];
  Poly newKeys = (*ks)[ks->size() == 3 ? 1 : 2];
  Value pastKey = op.getOptionalInput(isMicrosoft ? 6 : 4);
  Value pastValue = op.getOptionalInput(isMicrosoft ? 7 : 5);
  past = context.zero();
  if (pastKey) {
    std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(pastKey);
    if (!shape || shape->size() != 4 || !pastValue)
      return false;
    past = (*shape)[2];
  }
  match.keys = newKeys + past;

  SmallVector<Poly, 4> bounds{match.batch, context.constant(match.heads)};
  Poly kvHead = context.fdiv(context.coord(1),
                             context.constant(match.heads / keyHeads), bounds);
  match.q =
      readHeads(q, match.heads, match.rows, context.coord(1), match.headDim);
  int64_t keySize = 0;
  match.k = withPast(pastKey, readHeads(k, keyHeads, newKeys, kvHead, keySize),
                     keySize);
  match.v = withPast(pastValue,
                     readHeads(v, keyHeads, newKeys, kvHead, match.valueDim),
                     match.valueDim);
  return match.q && match.k && match.v && keySize == match.headDim;
}

bool NodeMatcher::readMask() {
  match.keep = context.getTrue();
  match.bias = context.zero();
  SmallVector<Poly, 4> bounds{match.batch, context.constant(match.heads),
                              match.rows, match.keys};
  SmallVector<Poly, 4> coords = {context.coord(0), context.coord(1),
                                 context.coord(2), context.coord(3)};
  SmallVector<Number, 2> maskValues;
  if (Value mask = op.getOptionalInput(isMicrosoft ? 5 : 3)) {
    if (getElement(mask).isInteger(1)) {
      IndexExpr keep = elementAt(mask, coords, bounds);
      if (!keep || !keep.isPred())
        return false;
      match.keep = keep.pred();
    } else if (!addBias(match, mask, coords, 1.0, maskValues)) {
      return false;
    }
  }
  // [B, T] of ones and zeros; lengths and other forms are left alone.
  if (Value padding = isMicrosoft ? op.getOptionalInput(4) : Value()) {
    std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(padding);
    if (!shape || shape->size() != 2)
      return false;
    Poly index[] = {context.coord(0), context.coord(3)};
    IndexExpr form = shapes.formAt(padding, index, bounds);
    if (!form || !form.isPoly())
      return false;
    match.keep =
        context.conj(match.keep, context.toBoolean(form.poly(), bounds));
    maskValues.push_back(
        Number::fromDouble(op.getFloat("mask_filter_value", -10000.0)));
  }
  // The last key that stands before row 0 ends the past, or a cache that
  // lengths measure.
  Poly place = context.coord(2) + past;
  if (Value lengths = isMicrosoft ? Value() : op.getOptionalInput(6)) {
    Poly index[] = {context.coord(0)};
    IndexExpr form = shapes.formAt(lengths, index, bounds);
    if (!form || !form.isPoly())
      return false;
    match.keep = context.conj(
        match.keep, context.lt(context.coord(3), form.poly(), bounds));
    if (!op.getOptionalInput(4))
      place = context.coord(2) + form.poly() - match.rows;
  }
  auto restrictTo = [&](Pred keep) {
    match.keep = context.conj(match.keep, keep);
  };
  if (op.getInt(isMicrosoft ? "unidirectional" : "is_causal", 0))
    restrictTo(context.le(context.coord(3), place, bounds));
  if (int64_t left = op.getInt("left_window_size", -1); left >= 0)
    restrictTo(context.le(place - left, context.coord(3), bounds));
  if (int64_t right = op.getInt("right_window_size", -1); right >= 0)
    restrictTo(context.le(context.coord(3), place + right, bounds));
  match.fullyMasked = maskedRows(maskValues, /*hasNaNGuard=*/true);
  if (match.fullyMasked == MaskedRows::Soft)
    match.maskValue =
        std::max_element(maskValues.begin(), maskValues.end())->asDouble();
  return match.keep && match.bias;
}

std::optional<AttentionMatch> NodeMatcher::matchNode() {
  if (isMicrosoft && op.getOptionalInput(3))
    return failAt(op, "a bias of the projections");
  if (op.getOutputs().size() > 3 && !op.getOutputs()[3].use_empty())
    return failAt(op, "the scores are a result");
  if (!readOperands())
    return failAt(op, "operands of another form");
  double scale = op.getFloat("scale", 0.0);
  match.scale =
      scale != 0 ? scale : 1.0 / std::sqrt(static_cast<double>(match.headDim));
  double softcap = op.getFloat("softcap", 0.0);
  if (softcap != 0)
    match.softcap = softcap;
  if (!readMask())
    return failAt(op, "the mask has no closed form");
  match.result = op.getOutputs()[0];
  std::optional<ArrayRef<Poly>> out = shapes.shapeOf(match.result);
  if (!out)
    return failAt(op, "the result has no known shape");
  Poly batch = match.batch.isConstant(1) ? context.zero() : context.coord(0);
  if (out->size() == 3) {
    match.resultIndex = {batch, context.coord(1), context.coord(2)};
    return match;
  }
  match.resultIndex = {batch, context.coord(2),
                       context.coord(1) * match.valueDim + context.coord(3)};
  return match;
}

AttentionAttempt NodeMatcher::run() {
  std::optional<AttentionMatch> found = matchNode();
  return {found, reason};
}

AttentionAttempt lathe::matchAttentionNode(const SymbolicShapes &shapes,
                                           OnnxOp op) {
  return NodeMatcher(shapes, op).run();
}
