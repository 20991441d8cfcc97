//===- Walk.cpp - one round over the operations of an entry ---------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Engine.h"
#include "lathe/IndexExpr/Text.h"
#include "llvm/ADT/STLExtras.h"

using namespace lathe;
using namespace lathe::shapes;
using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::StringRef;

const TransferTable &TransferTable::get() {
  static const TransferTable table = [] {
    TransferTable table;
    registerConstants(table);
    registerMovement(table);
    registerReshape(table);
    registerIndexing(table);
    registerElementwise(table);
    registerPointwise(table);
    registerReductions(table);
    registerContractions(table);
    registerConvolutions(table);
    registerTransformer(table);
    registerContrib(table);
    registerResampling(table);
    registerSequences(table);
    return table;
  }();
  return table;
}

void Engine::walk() {
  ++rounds;
  storage.clear();
  infos.clear();
  equalities.clear();
  checks.clear();
  assumptions.clear();
  unknownOps.clear();
  if (func.isExternal())
    return;
  bindArguments();
  walkBlock(func.getBody().front());
  declareResults();
}

/// The texts of `lathe.dims` in a dictionary of argument or result attributes,
/// if there is one per dim of the type.
static SmallVector<StringRef> dimTexts(DictionaryAttr attrs, Type type) {
  SmallVector<StringRef> texts;
  auto tensor = dyn_cast<RankedTensorType>(type);
  if (!attrs || !tensor)
    return texts;
  auto list = attrs.getAs<ArrayAttr>(LatheDialect::kDimsAttr);
  if (!list || static_cast<int64_t>(list.size()) != tensor.getRank())
    return texts;
  for (Attribute attr : list) {
    auto text = dyn_cast<StringAttr>(attr);
    texts.push_back(text ? text.getValue() : StringRef());
  }
  return texts;
}

void Engine::bindArguments() {
  bool isFirst = rounds == 1;
  struct Composite {
    Poly poly;
    unsigned argument, dim;
  };
  SmallVector<Composite> composites;
  auto addSource = [&](StringRef name, unsigned argument, unsigned dim) {
    sources.try_emplace(
        name, DimSource{argument, dim, static_cast<unsigned>(sources.size())});
  };
  for (BlockArgument arg : func.getArguments()) {
    unsigned number = arg.getArgNumber();
    auto type = dyn_cast<RankedTensorType>(arg.getType());
    if (!type) {
      if (isa<TensorType>(arg.getType()))
        set(arg, makeLeaf(arg, std::nullopt));
      continue;
    }
    DictionaryAttr attrs = func.getArgAttrDict(number);
    SmallVector<StringRef> texts = dimTexts(attrs, type);
    std::string base = "arg" + std::to_string(number);
    if (attrs)
      if (auto name = attrs.getAs<StringAttr>(LatheDialect::kNameAttr))
        base = name.str();

    SymbolicShape shape;
    for (auto [k, extent] : llvm::enumerate(type.getShape())) {
      if (!ShapedType::isDynamic(extent)) {
        shape.push_back(dim(extent));
        continue;
      }
      std::string name = base + ".d" + std::to_string(k);
      if (!texts.empty() && !texts[k].empty())
        name = texts[k].str();
      llvm::Expected<Poly> parsed = parsePoly(context, name);
      bool isOfDims = parsed && !parsed->isConstant() && !parsed->usesReads() &&
                      parsed->coordMask() == 0;
      Poly written = isOfDims ? *parsed : context.symbol(name);
      if (!parsed)
        llvm::consumeError(parsed.takeError());
      if (isFirst && written.getAtom())
        addSource(written.getAtom().name(), number, k);
      else if (isFirst)
        composites.push_back({written, number, static_cast<unsigned>(k)});
      shape.push_back(context.substituteSymbols(written, replaced));
    }
    set(arg, makeLeaf(arg, std::move(shape)));
  }
  // A dim that never stands alone is found through the sum it is part of.
  for (const Composite &composite : composites)
    for (StringRef name : collectSymbols(composite.poly))
      addSource(name, composite.argument, composite.dim);
}

void Engine::walkBlock(Block &block) {
  for (Operation &op : block)
    visit(&op);
}

/// The arguments of a region that sees nothing of its surroundings: reads of
/// outer values would name what is not visible there.
static void bindIsolated(Engine &engine, Block &block, ValueRange operands) {
  for (auto [arg, operand] : llvm::zip(block.getArguments(), operands)) {
    const ValueInfo *info = engine.lookup(operand);
    if (!info)
      continue;
    ValueInfo leaf = engine.makeLeaf(arg, info->shape);
    bool closed = info->kind == ValueInfo::FormKind::List
                      ? llvm::none_of(info->list,
                                      [](IndexExpr e) { return e.usesReads(); })
                      : info->form && !info->form.usesReads();
    engine.set(arg, closed ? *info : leaf);
  }
}

/// Leaves with the shapes of what the region yields.
static void takeYielded(Engine &engine, Block &block, ResultRange results) {
  for (auto [result, value] :
       llvm::zip(results, block.getTerminator()->getOperands()))
    if (const ValueInfo *info = engine.lookup(value))
      engine.set(result, engine.makeLeaf(result, info->shape));
}

void Engine::visit(Operation *op) {
  if (isa<ConstantOp, arith::ConstantOp>(op)) {
    Value value = op->getResult(0);
    auto [it, inserted] = constants.try_emplace(value);
    if (inserted)
      it->second = analyseConstant(*this, op);
    return set(value, it->second);
  }
  if (auto onnx = dyn_cast<OnnxOp>(op))
    return visitOnnx(onnx);
  if (auto block = dyn_cast<BlockOp>(op)) {
    walkBlock(block.getBody().front());
    for (auto [result, value] :
         llvm::zip(op->getResults(),
                   block.getBody().front().getTerminator()->getOperands()))
      if (const ValueInfo *info = lookup(value))
        set(result, *info);
    return setUnset(op);
  }
  if (auto sublayer = dyn_cast<SublayerOp>(op)) {
    Block &body = sublayer.getBody().front();
    bindIsolated(*this, body, op->getOperands().drop_front());
    walkBlock(body);
    takeYielded(*this, body, op->getResults());
    if (const ValueInfo *residual = lookup(sublayer.getResidual()))
      set(sublayer.getResult(),
          makeLeaf(sublayer.getResult(), residual->shape));
    if (!sublayer.getPost().empty()) {
      Block &post = sublayer.getPost().front();
      bindIsolated(*this, post, sublayer.getResidual());
      walkBlock(post);
    }
    return setUnset(op);
  }
  if (auto streams = dyn_cast<StreamsOp>(op)) {
    SmallVector<Value> yielded;
    for (Region *region : {&streams.getLeft(), &streams.getRight()}) {
      Block &block = region->front();
      bindIsolated(*this, block, op->getOperands());
      walkBlock(block);
      llvm::append_range(yielded, block.getTerminator()->getOperands());
    }
    Block &combine = streams.getCombine().front();
    bindIsolated(*this, combine, yielded);
    walkBlock(combine);
    takeYielded(*this, combine, op->getResults());
    return setUnset(op);
  }
  if (!visitTyped(*this, op))
    for (Region &region : op->getRegions())
      for (Block &block : region)
        walkBlock(block);
  setUnset(op);
}

void Engine::visitOnnx(OnnxOp op) {
  std::string name = op.getOpType().str();
  StringRef domain = op.getDomainOrDefault();
  if (!domain.empty() && domain != "ai.onnx")
    name = (domain + "." + name).str();
  TransferFn fn = TransferTable::get().lookup(name);
  if (!fn) {
    ++unknownOps[op.getOpType()];
    return setUnset(op);
  }
  Node node(*this, op);
  fn(node);
  setUnset(op);
}

void Engine::setUnset(Operation *op) {
  for (Value result : op->getResults()) {
    if (!isa<TensorType>(result.getType()))
      continue;
    const ValueInfo *info = lookup(result);
    if (info && (info->shape || info->kind == ValueInfo::FormKind::Sequence))
      continue;
    set(result, makeLeaf(result, shapeOfType(result)));
  }
}

void Engine::declareResults() {
  Operation *terminator = func.getBody().front().getTerminator();
  for (auto [k, value] : llvm::enumerate(terminator->getOperands())) {
    const ValueInfo *info = lookup(value);
    if (!info || !info->shape)
      continue;
    SmallVector<StringRef> texts =
        dimTexts(func.getResultAttrDict(k), value.getType());
    for (auto [extent, text] : llvm::zip(*info->shape, texts)) {
      llvm::Expected<Poly> parsed = parsePoly(context, text);
      if (!parsed) {
        llvm::consumeError(parsed.takeError());
        continue;
      }
      // Only names that an argument has, too, say anything.
      bool isEvidence =
          parsed->isShape() && !parsed->isConstant() &&
          llvm::all_of(collectSymbols(*parsed),
                       [&](StringRef name) { return sources.contains(name); });
      if (isEvidence)
        equate(context.substituteSymbols(*parsed, replaced), extent,
               terminator);
    }
  }
}
