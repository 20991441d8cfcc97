//===- SublayerSurgery.cpp - removing sub-layers --------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Compress/Skip/SublayerSurgery.h"
#include "lathe/Dialect/ModuleRecord.h"
#include "mlir/Analysis/SliceAnalysis.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/BitVector.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace lathe;

std::vector<SublayerOp> lathe::sublayersOf(ModuleOp model, StringRef name) {
  std::vector<SublayerOp> sublayers;
  if (auto entry = model.lookupSymbol<func::FuncOp>(name))
    entry.walk<WalkOrder::PreOrder>(
        [&](SublayerOp sublayer) { sublayers.push_back(sublayer); });
  return sublayers;
}

std::vector<SublayerOp> lathe::plainSublayers(ModuleOp model) {
  return sublayersOf(model, "plain");
}

/// Names of the weights that `root` reads.
static llvm::SetVector<StringAttr> weightsOf(Operation *root) {
  llvm::SetVector<StringAttr> names;
  root->walk(
      [&](UseWeightOp use) { names.insert(use.getWeightAttr().getAttr()); });
  return names;
}

int64_t lathe::weightBytes(SublayerOp sublayer) {
  int64_t bytes = 0;
  auto model = sublayer->getParentOfType<ModuleOp>();
  for (StringAttr name : weightsOf(sublayer))
    if (auto weight = model.lookupSymbol<WeightOp>(name)) {
      WeightType type = weight.getWeightType();
      bytes += type.getEncodingInterface().storageBits(type.getShape()) / 8;
    }
  return bytes;
}

//===----------------------------------------------------------------------===//
// What may be removed
//===----------------------------------------------------------------------===//

/// Follows `value` through the yields of blocks to results of the function,
/// which are set in `results`. Anything else that reads it is returned.
static Operation *traceToResults(Value value, llvm::BitVector &results) {
  for (OpOperand &use : value.getUses()) {
    Operation *user = use.getOwner();
    if (isa<func::ReturnOp>(user)) {
      results.set(use.getOperandNumber());
      continue;
    }
    if (!isa<YieldOp>(user) || !isa<BlockOp>(user->getParentOp()))
      return user;
    if (Operation *reader = traceToResults(
            user->getParentOp()->getResult(use.getOperandNumber()), results))
      return reader;
  }
  return nullptr;
}

static std::string describe(Operation *op) {
  std::string text;
  llvm::raw_string_ostream out(text);
  if (auto name = dyn_cast<NameLoc>(op->getLoc()))
    out << "node '" << name.getName().getValue() << "'";
  else
    out << op->getName();
  return text;
}

static LogicalResult checkSites(ModuleOp model, ArrayRef<std::string> sites,
                                ArrayRef<SublayerOp> sublayers) {
  llvm::StringSet<> known, named;
  for (SublayerOp sublayer : sublayers)
    known.insert(sublayer.getSite().getPath());
  std::vector<std::string> removed = removedSites(model);
  for (const std::string &site : sites) {
    if (!named.insert(site).second)
      return model.emitError() << "sub-layer '" << site << "' is named twice";
    if (known.contains(site))
      continue;
    if (llvm::is_contained(removed, site))
      return model.emitError()
             << "sub-layer '" << site << "' has been removed already";
    auto diag = model.emitError()
                << "'" << site << "' is no sub-layer with a residual; ";
    if (sublayers.empty())
      return diag << "the model has none";
    return diag << "the model has " << sublayers.size() << ", from '"
                << SublayerOp(sublayers.front()).getSite().getPath() << "' to '"
                << SublayerOp(sublayers.back()).getSite().getPath() << "'";
  }
  if (sites.size() == known.size() && !sites.empty())
    return model.emitError() << "all " << known.size()
                             << " sub-layers would be removed; keep at least "
                                "one";
  return success();
}

//===----------------------------------------------------------------------===//
// Surgery on one entry
//===----------------------------------------------------------------------===//

/// Function arguments whose data flow into the further results of `sublayer`.
static void cacheArguments(SublayerOp sublayer,
                           llvm::SetVector<BlockArgument> &arguments) {
  Block &body = sublayer.getBody().front();
  llvm::SetVector<Operation *> slice;
  BackwardSliceOptions options;
  options.inclusive = true;
  options.filter = [&](Operation *op) { return op->getBlock() == &body; };
  auto consider = [&](Value value) {
    auto argument = dyn_cast<BlockArgument>(value);
    if (!argument || argument.getOwner() != &body ||
        argument.getArgNumber() == 0)
      return;
    auto outer = dyn_cast<BlockArgument>(
        sublayer.getArgs()[argument.getArgNumber() - 1]);
    if (outer && isa<func::FuncOp>(outer.getOwner()->getParentOp()) &&
        (isa<KvType>(outer.getType()) ||
         isa<FloatType>(getElementTypeOrSelf(outer.getType()))))
      arguments.insert(outer);
  };
  for (Value extra : body.getTerminator()->getOperands().drop_front()) {
    consider(extra);
    if (extra.getDefiningOp())
      (void)getBackwardSlice(extra, &slice, options);
  }
  for (Operation *op : slice)
    for (Value operand : op->getOperands())
      consider(operand);
}

/// Drops results of `block` that nobody reads; the block goes when it holds
/// nothing.
static void simplifyBlock(BlockOp block) {
  Block &body = block.getBody().front();
  Operation *yield = body.getTerminator();
  if (&body.front() == yield) {
    block->replaceAllUsesWith(yield->getOperands());
    block.erase();
    return;
  }
  SmallVector<Value> kept, old;
  for (auto [result, value] :
       llvm::zip(block->getResults(), yield->getOperands()))
    if (!result.use_empty()) {
      kept.push_back(value);
      old.push_back(result);
    }
  if (kept.size() == block->getNumResults())
    return;
  OpBuilder builder(block);
  auto slim = BlockOp::create(builder, block.getLoc(),
                              TypeRange(ValueRange(kept)), block.getSite());
  slim->setDiscardableAttrs(block->getDiscardableAttrDictionary());
  slim.getBody().takeBody(block.getBody());
  slim.getBody().front().getTerminator()->setOperands(kept);
  for (auto [before, after] : llvm::zip(old, slim->getResults()))
    before.replaceAllUsesWith(after);
  block.erase();
}

/// Clones `post` of the sub-layer for `value`; its result.
static Value clonePost(OpBuilder &builder, SublayerOp sublayer, Value value) {
  Block &post = sublayer.getPost().front();
  IRMapping map;
  map.map(post.getArgument(0), value);
  for (Operation &op : post.without_terminator())
    builder.clone(op, map);
  return map.lookupOrDefault(post.getTerminator()->getOperand(0));
}

/// Replaces the sub-layer by its residual, normed where it is post-norm.
static void removeSublayer(SublayerOp sublayer) {
  OpBuilder builder(sublayer);
  Value result = sublayer.getResidual();
  if (!sublayer.getPost().empty())
    result = clonePost(builder, sublayer, result);
  sublayer.getResult().replaceAllUsesWith(result);
  sublayer.erase();
}

/// Drops results of the function, as far as the return and what led there.
static void dropResults(func::FuncOp function, const llvm::BitVector &results) {
  if (results.none())
    return;
  function.front().getTerminator()->eraseOperands(results);
  // MLIR checks the function's type against the return only when it verifies.
  (void)function.eraseResults(results);
}

/// Erases what has no use among the operations `candidates` and what only they
/// read.
static void eraseDead(llvm::SetVector<Operation *> candidates) {
  while (!candidates.empty()) {
    Operation *op = candidates.pop_back_val();
    if (!isOpTriviallyDead(op))
      continue;
    for (Value operand : op->getOperands())
      if (Operation *source = operand.getDefiningOp())
        candidates.insert(source);
    op->erase();
  }
}

static void simplifyBlocks(func::FuncOp function) {
  SmallVector<BlockOp> blocks(function.getOps<BlockOp>());
  for (BlockOp block : blocks)
    simplifyBlock(block);
}

/// Removes `sublayers` of one function; their further results are read by
/// nobody but the function's `results`.
static void cutInFunction(func::FuncOp function, ArrayRef<SublayerOp> sublayers,
                          const llvm::BitVector &results) {
  llvm::SetVector<BlockArgument> caches;
  llvm::SetVector<Operation *> inputs;
  for (SublayerOp sublayer : sublayers) {
    cacheArguments(sublayer, caches);
    for (Value operand : sublayer->getOperands())
      if (Operation *source = operand.getDefiningOp())
        if (!isa<SublayerOp, BlockOp>(source))
          inputs.insert(source);
  }
  dropResults(function, results);
  simplifyBlocks(function);
  for (SublayerOp sublayer : sublayers)
    removeSublayer(sublayer);
  simplifyBlocks(function);
  eraseDead(inputs);
  llvm::BitVector unused(function.getNumArguments());
  for (BlockArgument argument : caches)
    if (argument.use_empty())
      unused.set(argument.getArgNumber());
  (void)function.eraseArguments(unused);
}

//===----------------------------------------------------------------------===//
// Surgery on the model
//===----------------------------------------------------------------------===//

namespace {
/// What is to happen to one entry.
struct EntryCut {
  func::FuncOp function;
  SmallVector<SublayerOp> sublayers;
  llvm::BitVector results;
};
} // namespace

static LogicalResult planEntry(EntryCut &cut, const llvm::StringSet<> &sites) {
  cut.results.resize(cut.function.getNumResults());
  cut.function.walk([&](SublayerOp sublayer) {
    if (sites.contains(sublayer.getSite().getPath()))
      cut.sublayers.push_back(sublayer);
  });
  for (SublayerOp sublayer : cut.sublayers)
    for (Value extra : sublayer.getExtra())
      if (Operation *reader = traceToResults(extra, cut.results))
        return sublayer.emitError()
               << "sub-layer '" << sublayer.getSite().getPath()
               << "' cannot be removed: " << describe(reader)
               << " reads more of it than the residual stream";
  return success();
}

/// Erases those of `names` that no entry reads any more.
static void eraseUnusedWeights(ModuleOp model,
                               const llvm::SetVector<StringAttr> &names) {
  llvm::SetVector<StringAttr> used = weightsOf(model);
  for (StringAttr name : names)
    if (!used.contains(name))
      if (auto weight = model.lookupSymbol<WeightOp>(name))
        weight.erase();
}

/// The pass that does the same, for the record.
static std::string cutText(ArrayRef<std::string> sites) {
  return "lathe-cut-sublayers{sites=" + llvm::join(sites, ",") + "}";
}

LogicalResult lathe::cutSublayers(ModuleOp model, ArrayRef<std::string> sites,
                                  StringRef pass, const AnnotateRow &annotate) {
  std::vector<SublayerOp> sublayers = plainSublayers(model);
  if (failed(checkSites(model, sites, sublayers)))
    return failure();
  if (sites.empty())
    return success();
  llvm::StringSet<> named;
  for (const std::string &site : sites)
    named.insert(site);
  SmallVector<EntryCut> cuts;
  for (auto function : model.getOps<func::FuncOp>())
    cuts.push_back({function, {}, {}});
  for (EntryCut &cut : cuts)
    if (failed(planEntry(cut, named)))
      return failure();

  recordPass(model, cutText(sites));
  llvm::SetVector<StringAttr> weights;
  for (SublayerOp sublayer : sublayers)
    if (named.contains(sublayer.getSite().getPath()))
      weights.insert_range(weightsOf(sublayer));
  for (EntryCut &cut : cuts)
    cutInFunction(cut.function, cut.sublayers, cut.results);
  eraseUnusedWeights(model, weights);
  recordRemoved(model, sites);
  for (auto [step, site] : llvm::enumerate(sites)) {
    ReportRow row;
    row.site = site;
    row.pass = pass;
    row.action = ReportAction::Removed;
    row.step = step + 1;
    if (annotate)
      annotate(row);
    addReportRow(model, row);
  }
  return success();
}

/// Drops further results that nobody reads and moves `post` behind it.
static void separate(SublayerOp sublayer) {
  bool isRead = llvm::any_of(sublayer.getExtra(),
                             [](Value extra) { return !extra.use_empty(); });
  if (isRead || (sublayer.getExtra().empty() && sublayer.getPost().empty()))
    return;
  OpBuilder builder(sublayer);
  auto slim = SublayerOp::create(
      builder, sublayer.getLoc(), sublayer.getResult().getType(), TypeRange(),
      sublayer.getKind(), sublayer.getSite(), sublayer.getResidual(),
      sublayer.getSource(), sublayer.getArgs(), sublayer.getSkipAttr());
  slim.getBody().takeBody(sublayer.getBody());
  Operation *yield = slim.getBody().front().getTerminator();
  yield->setOperands(yield->getOperand(0));
  Value result = slim.getResult();
  if (!sublayer.getPost().empty())
    result = clonePost(builder, sublayer, result);
  sublayer.getResult().replaceAllUsesWith(result);
  sublayer.erase();
}

void lathe::separateSublayers(func::FuncOp function) {
  llvm::BitVector results(function.getNumResults());
  SmallVector<SublayerOp> sublayers;
  function.walk([&](SublayerOp sublayer) {
    sublayers.push_back(sublayer);
    for (Value extra : sublayer.getExtra())
      (void)traceToResults(extra, results);
  });
  dropResults(function, results);
  simplifyBlocks(function);
  for (SublayerOp sublayer : sublayers)
    separate(sublayer);
}
