//===- OutlineSublayers.cpp - the residual stream and its branches --------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// A branch is what lies between a value of the stream and the sum that adds
// the branch to it: all operations that the other summand needs and that need
// the stream. Everything else that a branch reads is an operand of its
// sub-layer; constants and weights are taken in.
//
// Sums are looked at from the last to the first, so that a residual inside a
// branch stays inside; a sum over many others (a long skip) is left alone.
//
//===----------------------------------------------------------------------===//

#include "CarrierMatch.h"
#include "Sites.h"
#include "lathe/Raise/Passes.h"
#include "mlir/Analysis/TopologicalSortUtils.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SetVector.h"

namespace lathe {
#define GEN_PASS_DEF_OUTLINESUBLAYERS
#include "lathe/Raise/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

using OpSet = llvm::SetVector<Operation *>;

/// A residual sum and its parts.
struct Branch {
  OnnxOp sum;
  Value residual, source, delta;
  /// In the order of the block.
  OpSet ops;
  /// The norm behind a post-norm sum.
  NormOp post;
};

struct OutlineSublayers : lathe::impl::OutlineSublayersBase<OutlineSublayers> {
  void runOnOperation() override;
};

class Outliner {
public:
  explicit Outliner(Block &block) : block(block), raiser(block.getParentOp()) {
    number();
  }

  void run();

private:
  void number();
  unsigned positionOf(Value value) const {
    return value.getDefiningOp() ? order.lookup(value.getDefiningOp()) : 0;
  }
  OpSet between(Value source, Value target) const;
  std::optional<Branch> match(OnnxOp sum);
  std::optional<Branch> match(OnnxOp sum, Value residual, Value source,
                              Value delta);
  void reassociate(OnnxOp sum);
  bool beginsWithNorm(const Branch &branch) const;
  bool splitParallel(Branch &branch, Branch &second);
  void claim(OnnxOp sum);
  void accept(Branch branch);
  Value resolve(Value value) const;
  void build(Branch &branch);
  void group();
  void makeBlock(ArrayRef<SublayerOp> members, int64_t index);

  Block &block;
  Raiser raiser;
  DenseMap<Operation *, unsigned> order;
  /// From the last to the first.
  SmallVector<Branch> branches;
  DenseSet<Operation *> claimed;
  /// Results that sub-layers took the place of.
  DenseMap<Value, Value> replaced;
  /// Sums kept until the end, so that their results stay valid as keys.
  SmallVector<Operation *> removed;
  SmallVector<SublayerOp> sublayers;
};

} // namespace

//===----------------------------------------------------------------------===//
// Regions
//===----------------------------------------------------------------------===//

/// Operands of `op`, for a block those of the operations in it.
static SmallVector<Value> getReads(Operation *op) {
  SmallVector<Value> reads(op->getOperands());
  if (isa<BlockOp>(op))
    op->walk([&](Operation *inner) {
      llvm::append_range(reads, inner->getOperands());
    });
  return reads;
}

void Outliner::number() {
  order.clear();
  for (auto [i, op] : llvm::enumerate(block))
    order[&op] = i + 1;
}

/// All operations that depend on `source` and that `target` depends on, in the
/// order of the block. Empty if `target` does not depend on `source`.
OpSet Outliner::between(Value source, Value target) const {
  unsigned first = positionOf(source);
  SmallVector<Operation *> reached;
  DenseSet<Operation *> seen;
  SmallVector<Value> pending{target};
  while (!pending.empty()) {
    Value value = pending.pop_back_val();
    Operation *op = value.getDefiningOp();
    // What stands before the source cannot depend on it.
    if (!op || value == source || order.lookup(op) <= first ||
        !seen.insert(op).second)
      continue;
    reached.push_back(op);
    llvm::append_range(pending, getReads(op));
  }
  llvm::sort(reached, [&](Operation *a, Operation *b) {
    return order.lookup(a) < order.lookup(b);
  });
  OpSet result;
  for (Operation *op : reached)
    if (llvm::any_of(getReads(op), [&](Value operand) {
          return operand == source ||
                 (operand.getDefiningOp() &&
                  result.contains(operand.getDefiningOp()));
        }))
      result.insert(op);
  if (!target.getDefiningOp() || !result.contains(target.getDefiningOp()))
    return {};
  return result;
}

/// Work that a branch must have: otherwise a sum is arithmetic inside an
/// activation or the like.
static bool isWork(Operation *op) {
  if (isa<LinearOp, AttentionOp>(op))
    return true;
  auto carrier = dyn_cast<OnnxOp>(op);
  return carrier &&
         (carrier.is("Conv") || carrier.is("MatMul") || carrier.is("Gemm") ||
          carrier.getOpType() == "MatMulNBits" ||
          carrier.getOpType() == "FusedMatMul");
}

/// What moves or scales the stream without being a branch.
static Value skipThin(Value value) {
  if (auto expr = value.getDefiningOp<IndexExprOp>())
    return expr.getInputs().size() == 1 ? expr.getInputs()[0] : Value();
  OnnxOp op = getCarrier(value);
  if (!op)
    return {};
  if (op.is("Reshape") || op.is("Transpose") || op.is("Squeeze") ||
      op.is("Unsqueeze") || op.is("Flatten") || op.is("Identity") ||
      op.is("Cast") || op.is("Dropout"))
    return op.getInputs()[0];
  if (op.is("Mul") || op.is("Div"))
    for (Value operand : op.getInputs())
      if (isConstant(operand) && !isConstant(getOther(op, operand)))
        return getOther(op, operand);
  return {};
}

//===----------------------------------------------------------------------===//
// Matching
//===----------------------------------------------------------------------===//

std::optional<Branch> Outliner::match(OnnxOp sum, Value residual, Value source,
                                      Value delta) {
  Type type = sum.getOutputs()[0].getType();
  if (residual.getType() != type || delta.getType() != type)
    return std::nullopt;
  OpSet ops = between(source, delta);
  if (ops.empty() || !llvm::any_of(ops, isWork))
    return std::nullopt;
  // A sum that its own branch needs is no sum of the stream.
  if (residual.getDefiningOp() && ops.contains(residual.getDefiningOp()))
    return std::nullopt;
  return Branch{sum, residual, source, delta, std::move(ops), {}};
}

std::optional<Branch> Outliner::match(OnnxOp sum) {
  Value a = sum.getInputs()[0], b = sum.getInputs()[1];
  auto type = dyn_cast<RankedTensorType>(sum.getOutputs()[0].getType());
  if (a == b || !type || !isa<FloatType>(type.getElementType()) ||
      isConstant(a) || isConstant(b))
    return std::nullopt;
  if (positionOf(a) > positionOf(b))
    std::swap(a, b);
  // The stream is older than its branch.
  if (std::optional<Branch> branch = match(sum, a, a, b))
    return branch;
  for (auto [residual, delta] : {std::pair(a, b), std::pair(b, a)})
    for (Value thin = skipThin(residual); thin; thin = skipThin(thin))
      if (std::optional<Branch> branch = match(sum, residual, thin, delta))
        return branch;
  return std::nullopt;
}

/// (residual + a) + b with b computed from what a is computed from becomes
/// residual + (a + b): two branches over one source.
void Outliner::reassociate(OnnxOp sum) {
  for (Value operand : sum.getInputs()) {
    OnnxOp inner = getCarrier(operand, "Add");
    Value other = getOther(sum, operand);
    if (!inner || !operand.hasOneUse() || operand == other ||
        inner->getBlock() != &block || isConstant(other))
      continue;
    std::optional<Branch> first = match(inner);
    if (!first || other.getType() != operand.getType() ||
        between(first->source, other).empty() ||
        !between(operand, other).empty())
      continue;
    raiser->setInsertionPoint(sum);
    OnnxOp joined = raiser.carrier(sum.getLoc(), "Add", operand.getType(),
                                   {first->delta, other});
    order[joined] = order.lookup(sum);
    sum->setOperands({first->residual, joined.getOutputs()[0]});
    order.erase(inner);
    raiser.eraseIfDead(inner);
    return;
  }
}

/// True if the source reaches a norm through movement alone.
bool Outliner::beginsWithNorm(const Branch &branch) const {
  SmallVector<Value> pending{branch.source};
  while (!pending.empty()) {
    Value value = pending.pop_back_val();
    for (Operation *user : value.getUsers()) {
      if (!branch.ops.contains(user))
        continue;
      if (isa<NormOp>(user))
        return true;
      if (user->getNumResults() == 1 && skipThin(user->getResult(0)) == value)
        pending.push_back(user->getResult(0));
    }
  }
  return false;
}

/// Attention, also where it could not be raised.
static bool hasAttention(const OpSet &ops) {
  return llvm::any_of(ops, [](Operation *op) {
    auto carrier = dyn_cast<OnnxOp>(op);
    return isa<AttentionOp>(op) ||
           (carrier && (carrier.is("Softmax") ||
                        carrier.getOpType().ends_with("Attention")));
  });
}

/// delta = attention branch + other branch, which share at most norms and
/// movement: `branch` keeps the attention, `second` gets the other. False if
/// it is not so.
bool Outliner::splitParallel(Branch &branch, Branch &second) {
  OnnxOp inner = getCarrier(branch.delta, "Add");
  if (!inner || !branch.delta.hasOneUse() || !branch.ops.contains(inner))
    return false;
  Value parts[] = {inner.getInputs()[0], inner.getInputs()[1]};
  OpSet ops[] = {between(branch.source, parts[0]),
                 between(branch.source, parts[1])};
  if (hasAttention(ops[1]))
    std::swap(parts[0], parts[1]), std::swap(ops[0], ops[1]);
  bool bothWork = llvm::all_of(
      ops, [](const OpSet &part) { return llvm::any_of(part, isWork); });
  bool sameTypes = llvm::all_of(parts, [&](Value part) {
    return part.getType() == branch.residual.getType();
  });
  if (!hasAttention(ops[0]) || hasAttention(ops[1]) || !bothWork || !sameTypes)
    return false;
  SmallVector<Operation *> shared;
  for (Operation *op : ops[0])
    if (ops[1].contains(op))
      shared.push_back(op);
  for (Operation *op : shared)
    if (!isa<NormOp>(op) &&
        !(op->getNumResults() == 1 && skipThin(op->getResult(0))))
      return false;

  // Each gets its own copy of what they share.
  IRMapping copies;
  SmallVector<Operation *> cloned;
  for (Operation *op : shared) {
    OpBuilder builder(op->getContext());
    builder.setInsertionPointAfter(op);
    Operation *copy = builder.clone(*op, copies);
    order[copy] = order.lookup(op);
    cloned.push_back(copy);
  }
  second = branch;
  second.ops.clear();
  for (Operation *copy : cloned)
    second.ops.insert(copy);
  for (Operation *op : ops[1]) {
    if (llvm::is_contained(shared, op))
      continue;
    for (OpOperand &operand : op->getOpOperands())
      if (Value copy = copies.lookupOrNull(operand.get()))
        operand.set(copy);
    second.ops.insert(op);
  }
  second.delta = copies.lookupOrDefault(parts[1]);
  branch.ops = ops[0];
  branch.delta = parts[0];

  // residual + (a + b) as (residual + a) + b.
  raiser->setInsertionPoint(branch.sum);
  OnnxOp partial =
      raiser.carrier(branch.sum.getLoc(), "Add", branch.residual.getType(),
                     {branch.residual, branch.delta});
  order[partial] = order.lookup(branch.sum);
  branch.sum->setOperands({partial.getOutputs()[0], second.delta});
  raiser.eraseIfDead(inner);
  branch.sum = partial;
  second.residual = partial.getOutputs()[0];
  return true;
}

void Outliner::accept(Branch branch) {
  claimed.insert(branch.ops.begin(), branch.ops.end());
  claimed.insert(branch.sum);
  if (branch.post)
    claimed.insert(branch.post);
  branches.push_back(std::move(branch));
}

void Outliner::claim(OnnxOp sum) {
  if (claimed.contains(sum))
    return;
  reassociate(sum);
  std::optional<Branch> branch = match(sum);
  if (!branch || llvm::any_of(branch->ops, [&](Operation *op) {
        return claimed.contains(op);
      }))
    return;
  // A sum over several others is a skip over sub-layers, not one itself.
  constexpr unsigned kMaxInner = 2;
  unsigned inner = 0;
  for (Operation *op : branch->ops)
    if (auto add = dyn_cast<OnnxOp>(op); add && add.is("Add") && match(add))
      ++inner;
  if (inner > kMaxInner)
    return;
  Branch second;
  if (splitParallel(*branch, second)) {
    accept(std::move(second));
    accept(std::move(*branch));
    return;
  }
  Value result = sum.getOutputs()[0];
  if (auto norm = dyn_cast_or_null<NormOp>(getOnlyUser(result)))
    if (norm.getType() == result.getType() && !beginsWithNorm(*branch))
      branch->post = norm;
  accept(std::move(*branch));
}

//===----------------------------------------------------------------------===//
// Building sub-layers
//===----------------------------------------------------------------------===//

/// What a body takes in instead of reading it from outside.
static bool isTakenIn(Operation *op) {
  return isa<arith::ConstantOp, ConstantOp, UseWeightOp, NoneOp>(op);
}

static SublayerKind getKind(const OpSet &ops) {
  return hasAttention(ops) ? SublayerKind::Attn : SublayerKind::Ffn;
}

/// Uses of `value` by operations outside `ops` and other than `sum`.
static bool isUsedOutside(Value value, const OpSet &ops, Operation *sum) {
  return llvm::any_of(value.getUsers(), [&](Operation *user) {
    return user != sum && !ops.contains(user);
  });
}

/// Moves `ops` into `body`, and takes constants in.
static void moveInto(Block *body, const OpSet &ops, IRMapping &mapping) {
  OpBuilder builder = OpBuilder::atBlockEnd(body);
  for (Operation *op : ops) {
    op->moveBefore(body, body->end());
    for (OpOperand &operand : op->getOpOperands()) {
      Value value = operand.get();
      Operation *maker = value.getDefiningOp();
      if (maker && isTakenIn(maker) && maker->getBlock() != body &&
          !mapping.contains(value)) {
        builder.setInsertionPoint(op);
        Operation *copy = builder.clone(*maker);
        for (auto [from, to] :
             llvm::zip(maker->getResults(), copy->getResults()))
          mapping.map(from, to);
      }
      if (Value inside = mapping.lookupOrNull(value))
        operand.set(inside);
    }
  }
}

Value Outliner::resolve(Value value) const {
  while (Value next = replaced.lookup(value))
    value = next;
  return value;
}

void Outliner::build(Branch &branch) {
  OpBuilder &builder = raiser;
  branch.residual = resolve(branch.residual);
  branch.source = resolve(branch.source);
  branch.delta = resolve(branch.delta);
  Location loc = branch.sum.getLoc();
  OpSet inside = branch.ops;
  // Operands and further results, in the order of the block.
  llvm::SetVector<Value> args;
  SmallVector<Value> extras;
  for (Operation *op : inside) {
    for (Value operand : op->getOperands()) {
      Operation *maker = operand.getDefiningOp();
      if (operand != branch.source && !(maker && inside.contains(maker)) &&
          !(maker && isTakenIn(maker)))
        args.insert(operand);
    }
    for (Value result : op->getResults())
      if (isUsedOutside(result, inside, branch.sum))
        extras.push_back(result);
  }

  Operation *last = branch.post ? branch.post.getOperation() : branch.sum;
  builder.setInsertionPoint(last);
  SmallVector<Type> types{branch.residual.getType()};
  for (Value extra : extras)
    types.push_back(extra.getType());
  auto sublayer = SublayerOp::create(
      builder, loc, types, getKind(branch.ops),
      SiteAttr::get(builder.getContext(), "blocks.0"), branch.residual,
      branch.source, args.getArrayRef(), SkipAttr());
  order[sublayer] = order.lookup(last);

  Block *body = &sublayer.getBody().emplaceBlock();
  IRMapping mapping;
  mapping.map(branch.source, body->addArgument(branch.source.getType(), loc));
  for (Value arg : args)
    mapping.map(arg, body->addArgument(arg.getType(), loc));
  moveInto(body, inside, mapping);
  SmallVector<Value> yields{mapping.lookupOrDefault(branch.delta)};
  llvm::append_range(yields, extras);
  builder.setInsertionPointToEnd(body);
  YieldOp yield = YieldOp::create(builder, loc, yields);
  for (auto [extra, result] : llvm::zip(extras, sublayer.getExtra())) {
    extra.replaceUsesWithIf(result, [&](OpOperand &use) {
      return use.getOwner() != yield && use.getOwner() != branch.sum &&
             use.getOwner()->getBlock() != body;
    });
    replaced[extra] = result;
  }

  Value result = branch.sum.getOutputs()[0];
  if (NormOp post = branch.post) {
    Block *tail = &sublayer.getPost().emplaceBlock();
    IRMapping tailMapping;
    tailMapping.map(result, tail->addArgument(result.getType(), loc));
    post.getResult().replaceAllUsesWith(sublayer.getResult());
    replaced[post.getResult()] = sublayer.getResult();
    OpSet ops;
    ops.insert(post);
    moveInto(tail, ops, tailMapping);
    builder.setInsertionPointToEnd(tail);
    YieldOp::create(builder, loc, post.getResult());
  } else {
    result.replaceAllUsesWith(sublayer.getResult());
    replaced[result] = sublayer.getResult();
  }
  copyProvenance(branch.sum, sublayer);
  branch.sum->dropAllReferences();
  branch.sum->remove();
  removed.push_back(branch.sum);
  sublayers.push_back(sublayer);
}

//===----------------------------------------------------------------------===//
// Blocks
//===----------------------------------------------------------------------===//

/// True for an attention whose keys do not come from the stream.
static bool isCrossAttention(SublayerOp sublayer) {
  Block &body = sublayer.getBody().front();
  DenseSet<Value> fromSource{body.getArgument(0)};
  for (Operation &op : body) {
    if (auto attention = dyn_cast<AttentionOp>(op))
      return attention.getK() && !fromSource.contains(attention.getK());
    if (llvm::any_of(op.getOperands(),
                     [&](Value v) { return fromSource.contains(v); }))
      fromSource.insert(op.result_begin(), op.result_end());
  }
  return false;
}

void Outliner::group() {
  SmallVector<SublayerOp> current;
  int64_t index = 0;
  auto flush = [&] {
    if (!current.empty())
      makeBlock(current, index++);
    current.clear();
  };
  for (SublayerOp sublayer : sublayers) {
    auto has = [&](SublayerKind kind) {
      return llvm::any_of(current,
                          [&](SublayerOp op) { return op.getKind() == kind; });
    };
    bool isAttn = sublayer.getKind() == SublayerKind::Attn;
    bool isParallel =
        !current.empty() && current.back().getSource() == sublayer.getSource();
    bool joins = isAttn ? has(SublayerKind::Attn) && !has(SublayerKind::Ffn) &&
                              isCrossAttention(sublayer)
                        : has(SublayerKind::Attn);
    if (!joins && !isParallel)
      flush();
    current.push_back(sublayer);
  }
  flush();
}

void Outliner::makeBlock(ArrayRef<SublayerOp> members, int64_t index) {
  MLIRContext *context = block.getParentOp()->getContext();
  nameSublayers(members, index);
  OpSet ops;
  for (SublayerOp member : members)
    ops.insert(member);
  // Movement between the sub-layers goes with them.
  for (auto [i, member] : llvm::enumerate(members))
    for (Value result : SublayerOp(member)->getResults())
      for (SublayerOp later : members.drop_front(i + 1))
        for (Operation *op : between(result, later.getResult()))
          ops.insert(op);
  SmallVector<Operation *> sorted(ops.getArrayRef());
  llvm::sort(sorted, [&](Operation *a, Operation *b) {
    return order.lookup(a) < order.lookup(b);
  });

  SmallVector<Value> results;
  for (Operation *op : sorted)
    for (Value result : op->getResults())
      if (isUsedOutside(result, ops, nullptr))
        results.push_back(result);
  OpBuilder builder(context);
  Operation *last = sorted.back();
  builder.setInsertionPoint(last);
  auto blockOp = BlockOp::create(
      builder, last->getLoc(), TypeRange(ValueRange(results)),
      SiteAttr::get(context, "blocks." + std::to_string(index)));
  order[blockOp] = order.lookup(last);
  Block *body = &blockOp.getBody().emplaceBlock();
  for (auto [value, result] : llvm::zip(results, blockOp.getOutputs()))
    value.replaceUsesWithIf(
        result, [&](OpOperand &use) { return !ops.contains(use.getOwner()); });
  for (Operation *op : sorted)
    op->moveBefore(body, body->end());
  builder.setInsertionPointToEnd(body);
  YieldOp::create(builder, blockOp.getLoc(), results);
  sortTopologically(body);
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

void Outliner::run() {
  SmallVector<OnnxOp> sums;
  for (auto op : block.getOps<OnnxOp>())
    if (op.is("Add"))
      sums.push_back(op);
  for (OnnxOp sum : llvm::reverse(sums))
    if (!raiser.isErased(sum))
      claim(sum);
  for (Branch &branch : llvm::reverse(branches))
    build(branch);
  for (Operation *op : removed)
    op->destroy();
  // What used a value inside a branch now comes after its sub-layer.
  sortTopologically(&block);
  number();
  group();
  sortTopologically(&block);
  nameRest(block);
}

void OutlineSublayers::runOnOperation() {
  ModuleOp module = getOperation();
  for (func::FuncOp entry : getEntries(module)) {
    Outliner(entry.getBody().front()).run();
    eraseDeadOps(entry);
  }
  renameWeights(module);
}
