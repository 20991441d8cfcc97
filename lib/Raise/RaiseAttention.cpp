//===- RaiseAttention.cpp - attention in all spellings --------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "AttentionMatch.h"
#include "CarrierMatch.h"
#include "Forms.h"
#include "lathe/IndexExpr/Text.h"
#include "lathe/Raise/MaskForm.h"
#include "lathe/Raise/Passes.h"
#include "lathe/Raise/SymbolicShapes.h"

namespace lathe {
#define GEN_PASS_DEF_RAISEATTENTION
#include "lathe/Raise/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

struct RaiseAttention : lathe::impl::RaiseAttentionBase<RaiseAttention> {
  void runOnOperation() override;
};

/// How an operand is read.
struct Operand {
  Value value;
  FormAttr map;
  double factor = 1;
};

class AttentionRaiser {
public:
  AttentionRaiser(func::FuncOp entry, const SymbolicShapes &shapes)
      : block(entry.getBody().front()), shapes(shapes),
        context(shapes.getContext()), raiser(entry), forms(block, shapes) {}

  void run();

private:
  std::optional<int64_t> findGroup(const AttentionMatch &match, Poly &k,
                                   Poly &v);
  Poly dropHeads(Poly form, int64_t group, Poly batch, Poly rows, int64_t heads,
                 int64_t size);
  Operand makeOperand(Location loc, Poly form, ArrayRef<Poly> extents,
                      Type element);
  bool raise(AttentionMatch &match, std::string &reason);
  void raisePresent(OnnxOp op);

  Block &block;
  const SymbolicShapes &shapes;
  IndexExprContext &context;
  Raiser raiser;
  FormBuilder forms;
};

} // namespace

//===----------------------------------------------------------------------===//
// Groups of heads
//===----------------------------------------------------------------------===//

/// Divisors of the head coordinate that occur in `form`.
static void collectGroups(Poly form, int64_t heads,
                          SmallVectorImpl<int64_t> &groups) {
  walkAtoms(form, [&](Atom atom) {
    if (atom.kind() != AtomKind::FloorDiv || !atom.operands()[0].usesCoord(1))
      return;
    std::optional<int64_t> divisor = atom.operands()[1].getConstantInt();
    if (divisor && *divisor > 1 && heads % *divisor == 0 &&
        !llvm::is_contained(groups, *divisor))
      groups.push_back(*divisor);
  });
}

/// `form` over (b, head, row, c) as one over (b, key head, row, c): heads of a
/// group of `group` read the same. Null if they do not.
Poly AttentionRaiser::dropHeads(Poly form, int64_t group, Poly batch, Poly rows,
                                int64_t heads, int64_t size) {
  if (group == 1)
    return form;
  SmallVector<Poly, 5> extents{batch, context.constant(heads / group), rows,
                               context.constant(size), context.constant(group)};
  Poly keyHead = heads == group ? context.zero() : context.coord(1) * group;
  SmallVector<Poly, 4> coords{Poly(), keyHead + context.coord(4)};
  Poly result = context.substitute(form, coords, extents);
  return result && !result.usesCoord(4) ? result : Poly();
}

/// The largest number of heads that share keys and values; the forms are
/// rewritten to the key head.
std::optional<int64_t> AttentionRaiser::findGroup(const AttentionMatch &match,
                                                  Poly &k, Poly &v) {
  SmallVector<int64_t> groups;
  collectGroups(match.k, match.heads, groups);
  collectGroups(match.v, match.heads, groups);
  if (match.heads > 1 && !match.k.usesCoord(1) && !match.v.usesCoord(1))
    groups.push_back(match.heads);
  llvm::sort(groups, std::greater<int64_t>());
  groups.push_back(1);
  for (int64_t group : groups) {
    k = dropHeads(match.k, group, match.batch, match.keys, match.heads,
                  match.headDim);
    v = k ? dropHeads(match.v, group, match.batch, match.keys, match.heads,
                      match.valueDim)
          : Poly();
    if (v)
      return group;
  }
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

/// Rows and columns stand in the index with factors of their own: what an
/// address computation can do.
static bool isAffine(Poly index) {
  Poly rest = index;
  for (unsigned k : {2u, 3u}) {
    Poly factor = rest.coefficientOf(k, &rest);
    if (!factor || factor.coordMask() || factor.usesReads())
      return false;
  }
  return !rest.usesReads();
}

/// A tree of selections of reads without the factor that all of them have.
static Poly dropFactor(Poly form, Extents extents) {
  IndexExprContext &context = form.getContext();
  Atom atom = form.terms()[0].atoms[0];
  if (atom.kind() == AtomKind::Read)
    return context.read(atom.index(), atom.operands());
  return context.select(atom.cond(), dropFactor(atom.operands()[0], extents),
                        dropFactor(atom.operands()[1], extents), extents);
}

Operand AttentionRaiser::makeOperand(Location loc, Poly form,
                                     ArrayRef<Poly> extents, Type element) {
  std::optional<SmallVector<ReadBranch>> branches = readBranches(form);
  double factor = 1;
  if (branches && branches->size() == 1 &&
      llvm::all_of(branches->front().index, isAffine)) {
    const ReadBranch &branch = branches->front();
    Value base = shapes.valueOfRead(branch.id);
    if (getElement(base) == element)
      return {base, getMap(raiser->getContext(), branch.index),
              branch.coef.asDouble()};
  }
  // Without a common factor, rows that are also a result are one tensor.
  if (branches && !branches->front().coef.isOne()) {
    factor = branches->front().coef.asDouble();
    form = dropFactor(form, extents);
  }
  Value value = forms.get(loc, form, extents, element);
  SmallVector<Poly, 4> index = getIdentity(context, extents);
  return {value, getMap(raiser->getContext(), index), factor};
}

//===----------------------------------------------------------------------===//
// Building
//===----------------------------------------------------------------------===//

bool AttentionRaiser::raise(AttentionMatch &match, std::string &reason) {
  Location loc = match.anchor.getLoc();
  Poly k, v, q = match.q;
  std::optional<int64_t> group = findGroup(match, k, v);
  if (!group) {
    reason = "keys and values depend on the head in an unknown way";
    return false;
  }
  int64_t keyHeads = match.heads / *group;
  if (match.headScale)
    q = context.mul(q, match.headScale);
  std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(match.result);
  Type element = getElement(match.result);
  if (!q || !shape) {
    reason = "the queries have no closed form";
    return false;
  }

  Poly heads = context.constant(match.heads),
       kvHeads = context.constant(keyHeads);
  Poly dim = context.constant(match.headDim),
       valueDim = context.constant(match.valueDim);
  Operand qs =
      makeOperand(loc, q, {match.batch, heads, match.rows, dim}, element);
  Operand ks =
      makeOperand(loc, k, {match.batch, kvHeads, match.keys, dim}, element);
  Operand vs = makeOperand(loc, v, {match.batch, kvHeads, match.keys, valueDim},
                           element);
  // A factor on the values would have to scale the result.
  if (vs.factor != 1) {
    vs.value = forms.get(loc, v, {match.batch, kvHeads, match.keys, valueDim},
                         element);
    SmallVector<Poly, 4> index =
        getIdentity(context, {match.batch, kvHeads, match.keys, valueDim});
    vs.map = getMap(raiser->getContext(), index);
  }

  ReadOperands reads(shapes);
  FormAttr mask, bias;
  MLIRContext *mlirContext = raiser->getContext();
  if (!match.keep.isTrue()) {
    reads.add(match.keep);
    mask = FormAttr::get(mlirContext, reads.print(match.keep));
  }
  if (!match.bias.isConstant(0)) {
    reads.add(match.bias);
    bias = FormAttr::get(mlirContext, reads.print(match.bias));
  }

  Operation *at = match.result.getDefiningOp();
  OpBuilder &builder = raiser;
  builder.setInsertionPoint(at);
  Poly columns = context.constant(match.heads * match.valueDim);
  RankedTensorType type =
      getTensorType({match.batch, match.rows, columns}, element);
  double scale = match.scale * qs.factor * ks.factor;
  auto attention = AttentionOp::create(
      builder, loc, type, qs.value, ks.value, vs.value, Value(), reads.values(),
      builder.getI64IntegerAttr(match.heads),
      builder.getI64IntegerAttr(keyHeads),
      builder.getI64IntegerAttr(match.headDim),
      builder.getI64IntegerAttr(match.valueDim), builder.getF32FloatAttr(scale),
      match.softcap ? builder.getF32FloatAttr(*match.softcap) : FloatAttr(),
      qs.map, ks.map, vs.map, builder.getStringAttr(toString(match.keys)), mask,
      bias,
      match.maskValue ? builder.getF32FloatAttr(*match.maskValue) : FloatAttr(),
      MaskedRowsAttr::get(mlirContext, match.fullyMasked), SiteAttr());
  copyProvenance(match.anchor, attention);

  SmallVector<Poly, 4> identity = getIdentity(context, *shape);
  Value result = attention;
  bool isSame = shape->size() == 3 &&
                ArrayRef<Poly>(identity) == ArrayRef<Poly>(match.resultIndex);
  if (!isSame)
    result = forms.getView(loc, {result, match.resultIndex}, *shape);
  // Later matches may still name what this one leaves unused.
  raiser.replaceUses(match.result, result);
  return true;
}

/// The present keys and values of an attention node: the past ones and the new
/// ones behind them.
void AttentionRaiser::raisePresent(OnnxOp op) {
  bool isMicrosoft = !op.getDomainOrDefault().empty();
  for (unsigned i : {1u, 2u}) {
    if (op.getOutputs().size() <= i || op.getOutputs()[i].use_empty())
      continue;
    Value fresh = op.getInputs()[i];
    Value past = op.getOptionalInput((isMicrosoft ? 5 : 3) + i);
    std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(fresh);
    if (!shape)
      continue;
    raiser->setInsertionPoint(op);
    Type element = getElement(fresh);
    Poly batch = (*shape)[0];
    Poly newRows = (*shape)[shape->size() == 3 ? 1 : 2];
    std::optional<int64_t> columns = shape->back().getConstantInt();
    int64_t heads = isMicrosoft ? op.getInt("num_heads", 0)
                    : shape->size() == 3
                        ? op.getInt("kv_num_heads", 0)
                        : (*shape)[1].getConstantInt().value_or(0);
    if (!columns || heads <= 0)
      continue;
    int64_t size = shape->size() == 3 ? *columns / heads : *columns;
    std::optional<ArrayRef<Poly>> old =
        past ? shapes.shapeOf(past) : std::nullopt;
    if (past && (!old || old->size() != 4))
      continue;
    Poly pastRows = old ? (*old)[2] : context.zero();
    SmallVector<Poly, 4> extents{batch, context.constant(heads),
                                 pastRows + newRows, context.constant(size)};
    SmallVector<Poly, 4> coords = getIdentity(context, extents);
    Poly row = coords[2] - pastRows;
    SmallVector<Poly, 4> index{coords[0]};
    if (shape->size() == 3)
      index.append({row, coords[1] * size + coords[3]});
    else
      index.append({coords[1], row, coords[3]});
    Poly form = shapes.formAt(fresh, index, extents).poly();
    if (past && form) {
      Poly before = shapes.formAt(past, coords, extents).poly();
      form = before
                 ? context.select(context.le(coords[2], pastRows - 1, extents),
                                  before, form, extents)
                 : Poly();
    }
    if (form)
      op.getOutputs()[i].replaceAllUsesWith(
          forms.get(op.getLoc(), form, extents, element));
  }
}

void AttentionRaiser::run() {
  // The analysis is of the function as it is now: all is matched before
  // anything changes.
  SmallVector<std::pair<OnnxOp, AttentionAttempt>> attempts;
  for (auto op : block.getOps<OnnxOp>()) {
    if (op.is("Softmax"))
      attempts.emplace_back(op, matchSoftmax(shapes, op));
    else if (isAttentionNode(op))
      attempts.emplace_back(op, matchAttentionNode(shapes, op));
  }
  // From the last to the first: what a match reads is then still there, and
  // becomes the new attention when its turn comes.
  for (auto &[op, attempt] : llvm::reverse(attempts)) {
    if (attempt.match && isAttentionNode(op))
      raisePresent(op);
    if (attempt.match && raise(*attempt.match, attempt.reason))
      continue;
    if (!attempt.reason.empty())
      op->setDiscardableAttr("lathe.unraised",
                             raiser->getStringAttr(attempt.reason));
  }
}

void RaiseAttention::runOnOperation() {
  for (func::FuncOp entry : getEntries(getOperation())) {
    auto &shapes = getChildAnalysis<SymbolicShapes>(entry);
    AttentionRaiser(entry, shapes).run();
    eraseDeadOps(entry);
  }
}
