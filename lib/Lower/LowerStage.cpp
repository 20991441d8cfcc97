//===- LowerStage.cpp - stages as linalg and kernel calls -----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StageLowering.h"
#include "lathe/IndexExpr/Text.h"
#include "lathe/Lower/CompileStage.h"
#include "lathe/Lower/StagePipeline.h"
#include "mlir/Dialect/Bufferization/IR/Bufferization.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;
using namespace lathe;

static constexpr StringLiteral kStageDimsAttr = "lathe.stage_dims";
/// The dim that is the capacity of the cache, and the one that is its content.
static constexpr StringLiteral kCapacityDim = "kv_capacity";
static constexpr StringLiteral kPastDim = "past";
/// Says which dim the latter is.
static constexpr StringLiteral kPastDimAttr = "lathe.past_dim";

namespace {

/// Makes the lowered function beside a stage.
class StageLowerer {
public:
  StageLowerer(func::FuncOp source, const CpuTarget &target)
      : source(source), shapes(source), target(target),
        module(source->getParentOfType<ModuleOp>()),
        builder(source.getContext()) {}

  FailureOr<LoweredStage> run();

private:
  struct Argument {
    Type type;
    SmallVector<NamedAttribute> attrs;
  };
  Argument activation(Type type, ArrayRef<Poly> shape);
  LogicalResult collectArguments();
  FailureOr<PartLayout> chooseLayout(BlockArgument part);
  MemRefType partType(Type type, PartLayout layout);
  Poly cacheBatch(Value handle);
  Poly cachedRows(Value handle);
  LogicalResult bindArguments(StageLowering &lowering, Block &entry);
  ArrayAttr texts(ArrayRef<Poly> shape);
  NamedAttribute number(StringRef name, int64_t value) {
    return builder.getNamedAttr(name, builder.getI64IntegerAttr(value));
  }

  func::FuncOp source;
  SymbolicShapes shapes;
  CpuTarget target;
  ModuleOp module;
  OpBuilder builder;
  SmallVector<StringRef> dims;
  SmallVector<Argument> arguments;
  SmallVector<PartLayout> layouts;
};

} // namespace

static bool isPart(BlockArgument argument) {
  auto func = cast<func::FuncOp>(argument.getOwner()->getParentOp());
  return isa<WeightType>(argument.getType()) ||
         func.getArgAttr(argument.getArgNumber(), kPartAttr);
}

ArrayAttr StageLowerer::texts(ArrayRef<Poly> shape) {
  SmallVector<Attribute> list;
  for (Poly extent : shape)
    list.push_back(builder.getStringAttr(toString(extent)));
  return builder.getArrayAttr(list);
}

static SmallVector<int64_t> staticShape(ArrayRef<Poly> shape) {
  SmallVector<int64_t> extents;
  for (Poly p : shape)
    extents.push_back(p.getConstantInt().value_or(ShapedType::kDynamic));
  return extents;
}

StageLowerer::Argument StageLowerer::activation(Type type,
                                                ArrayRef<Poly> shape) {
  return {type, {builder.getNamedAttr(LatheDialect::kDimsAttr, texts(shape))}};
}

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

/// How one use of a weight reads it.
static PartLayout layoutOf(OpOperand &use) {
  if (auto embedding = dyn_cast<EmbeddingOp>(use.getOwner())) {
    if (!embedding.getTransposed())
      return PartLayout::Rows;
    // The layout in which the linear of a tied head reads the table too.
    auto dense =
        dyn_cast<DenseAttr>(embedding.getTable().getType().getEncoding());
    return dense && dense.getElementType().isBF16() ? PartLayout::PairPanels
                                                    : PartLayout::Panels;
  }
  auto linear = dyn_cast<LinearOp>(use.getOwner());
  if (linear && use.get() == linear.getWeight()) {
    if (linear.getGated())
      return linear.getActs() ? PartLayout::GatedPairPanels
                              : PartLayout::GatedPanels;
    return linear.getActs() ? PartLayout::PairPanels : PartLayout::Panels;
  }
  return PartLayout::Vector;
}

FailureOr<PartLayout> StageLowerer::chooseLayout(BlockArgument part) {
  if (!isa<WeightType>(part.getType()))
    return PartLayout::Raw;
  std::optional<PartLayout> layout;
  for (OpOperand &use : part.getUses()) {
    PartLayout wanted = layoutOf(use);
    if (layout && *layout != wanted)
      return emitError(part.getLoc())
             << "weight " << part.getType()
             << " is read in two layouts; it must be two arguments";
    layout = wanted;
  }
  return layout.value_or(PartLayout::Vector);
}

MemRefType StageLowerer::partType(Type type, PartLayout layout) {
  Type f32 = builder.getF32Type();
  if (layout == PartLayout::Raw) {
    auto tensor = cast<RankedTensorType>(type);
    return MemRefType::get(tensor.getShape(),
                           getStorageType(tensor.getElementType()));
  }
  auto weight = cast<WeightType>(type);
  auto roundUp = [](int64_t n) { return llvm::divideCeil(n, kPanelColumns); };
  switch (layout) {
  case PartLayout::Panels:
  case PartLayout::GatedPanels:
    return MemRefType::get(
        {panelCount(weight, layout), weight.getDim(0), kPanelColumns}, f32);
  case PartLayout::PairPanels:
  case PartLayout::GatedPairPanels:
    return MemRefType::get({panelCount(weight, layout),
                            int64_t(llvm::divideCeil(weight.getDim(0), 2)),
                            kPanelColumns},
                           builder.getI32Type());
  case PartLayout::Vector:
    return MemRefType::get(
        {int64_t(roundUp(weight.getNumElements())) * kPanelColumns}, f32);
  case PartLayout::Rows:
    return MemRefType::get(weight.getShape(), rowsElementType(weight));
  case PartLayout::Raw:
    break;
  }
  llvm_unreachable("handled above");
}

//===----------------------------------------------------------------------===//
// Arguments
//===----------------------------------------------------------------------===//

/// The batch of the operations that use a cache.
Poly StageLowerer::cacheBatch(Value handle) {
  for (Operation *user : handle.getUsers()) {
    if (auto attention = dyn_cast<AttentionOp>(user))
      if (auto shape = shapes.shapeOf(attention.getResult()))
        return (*shape)[0];
    if (auto append = dyn_cast<KvAppendOp>(user)) {
      if (Poly batch = cacheBatch(append.getResult()))
        return batch;
      if (auto shape = shapes.shapeOf(append.getK()))
        return (*shape)[0];
    }
  }
  return {};
}

/// The rows that a cache holds at entry: what the attention that reads it
/// counts, less what is appended before.
Poly StageLowerer::cachedRows(Value handle) {
  IndexExprContext &terms = shapes.getContext();
  if (auto past = source->getAttrOfType<StringAttr>(kPastDimAttr))
    return terms.symbol(past.getValue());
  for (Operation *user : handle.getUsers()) {
    if (auto attention = dyn_cast<AttentionOp>(user))
      if (std::optional<StringRef> keys = attention.getKeys()) {
        auto parsed = parsePoly(terms, *keys);
        if (parsed)
          return *parsed;
        llvm::consumeError(parsed.takeError());
      }
    if (auto append = dyn_cast<KvAppendOp>(user)) {
      Poly all = cachedRows(append.getResult());
      Poly rows = appendedRows(shapes, append);
      if (all && rows)
        return all - rows;
    }
  }
  return terms.symbol(kPastDim);
}

LogicalResult StageLowerer::collectArguments() {
  IndexExprContext &terms = shapes.getContext();
  int64_t activations = 0, parts = 0;
  for (BlockArgument argument : source.getArguments()) {
    Type type = argument.getType();
    if (isPart(argument)) {
      FailureOr<PartLayout> layout = chooseLayout(argument);
      if (failed(layout))
        return failure();
      layouts.push_back(*layout);
      arguments.push_back(
          {partType(type, *layout), {number(kPartAttr, parts++)}});
      continue;
    }
    if (auto kv = dyn_cast<KvType>(type)) {
      Poly batch = cacheBatch(argument);
      if (!batch)
        batch = terms.one();
      for (int64_t columns : {kv.getKeyDim(), kv.getValueDim()}) {
        SmallVector<Poly> shape = {batch, terms.constant(kv.getHeads()),
                                   terms.symbol(kCapacityDim),
                                   terms.constant(columns)};
        arguments.push_back(activation(
            MemRefType::get(staticShape(shape), kv.getElementType()), shape));
        arguments.back().attrs.push_back(number(kArgAttr, activations++));
      }
      continue;
    }
    std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(argument);
    if (!shape)
      return emitError(argument.getLoc()) << "an argument of unknown rank";
    Type element = getStorageType(getElementTypeOrSelf(type));
    arguments.push_back(activation(
        RankedTensorType::get(staticShape(*shape), element), *shape));
    arguments.back().attrs.push_back(number(kArgAttr, activations++));
  }
  return success();
}

LogicalResult StageLowerer::bindArguments(StageLowering &lowering,
                                          Block &entry) {
  IndexExprContext &terms = shapes.getContext();
  for (auto [n, name] : llvm::enumerate(dims))
    lowering.t.setDim(name, entry.getArgument(1 + n));
  unsigned next = 1 + dims.size();
  for (BlockArgument argument : source.getArguments()) {
    Value value = entry.getArgument(next++);
    Type type = argument.getType();
    if (isPart(argument)) {
      lowering.bindPart(argument, value);
      if (auto tensor = dyn_cast<RankedTensorType>(type)) {
        Type element = tensor.getElementType();
        auto content = bufferization::ToTensorOp::create(
            lowering.t.getBuilder(),
            RankedTensorType::get(tensor.getShape(), getStorageType(element)),
            value, /*restrict=*/true, /*writable=*/false);
        SymbolicShape shape;
        for (int64_t extent : tensor.getShape())
          shape.push_back(terms.constant(extent));
        lowering.bind(argument, lowering.t.wrap(content, element, shape));
      }
      continue;
    }
    if (isa<KvType>(type)) {
      Value values = entry.getArgument(next++);
      lowering.bindCache(argument, {value, values, cachedRows(argument)});
      continue;
    }
    lowering.bind(argument,
                  lowering.t.wrap(value, getElementTypeOrSelf(type),
                                  SymbolicShape(*shapes.shapeOf(argument))));
  }
  return success();
}

//===----------------------------------------------------------------------===//
// The function
//===----------------------------------------------------------------------===//

FailureOr<LoweredStage> StageLowerer::run() {
  auto listed = source->getAttrOfType<ArrayAttr>(kStageDimsAttr);
  if (!listed)
    return source.emitError("a stage must have the attribute '")
           << kStageDimsAttr << "'";
  for (auto name : listed.getAsRange<StringAttr>())
    dims.push_back(name.getValue());
  if (failed(collectArguments()))
    return failure();

  SmallVector<Type> types = {LLVM::LLVMPointerType::get(source.getContext())};
  SmallVector<DictionaryAttr> attrs = {builder.getDictionaryAttr(
      builder.getNamedAttr(kCtxAttr, builder.getUnitAttr()))};
  for (StringRef name : dims) {
    types.push_back(builder.getIndexType());
    attrs.push_back(builder.getDictionaryAttr(
        builder.getNamedAttr(kDimAttr, builder.getStringAttr(name))));
  }
  for (Argument &argument : arguments) {
    types.push_back(argument.type);
    attrs.push_back(builder.getDictionaryAttr(argument.attrs));
  }

  std::string name = source.getName().str();
  source.setName(name + "_source");
  builder.setInsertionPoint(source);
  auto function = func::FuncOp::create(builder, source.getLoc(), name,
                                       builder.getFunctionType(types, {}));
  function.setAllArgAttrs(attrs);
  Block *entry = function.addEntryBlock();
  builder.setInsertionPointToStart(entry);

  StageLowering lowering(builder, source, shapes, module, target);
  lowering.t.setContext(entry->getArgument(0));
  if (failed(bindArguments(lowering, *entry)) || failed(lowering.run()))
    return failure();

  SmallVector<Value> results;
  SmallVector<Attribute> resultDims;
  Operation *end = source.front().getTerminator();
  lowering.t.getBuilder().setLoc(end->getLoc());
  for (Value operand : end->getOperands()) {
    if (isa<KvType>(operand.getType()))
      continue;
    Tensor tensor = lowering.get(operand);
    if (!tensor)
      return end->emitError("a result has not been lowered");
    results.push_back(lowering.t.valueOf(tensor));
    resultDims.push_back(texts(tensor.shape));
  }
  func::ReturnOp::create(lowering.t.getBuilder(), results);
  function.setFunctionType(
      builder.getFunctionType(types, ValueRange(results).getTypes()));
  for (auto [n, dims] : llvm::enumerate(resultDims))
    function.setResultAttr(n, LatheDialect::kDimsAttr, dims);
  if (!lowering.t.getMissing().empty())
    return source.emitError("an extent depends on '")
           << lowering.t.getMissing() << "', which is no dim of the entry";
  source.erase();
  return LoweredStage{function, std::move(layouts)};
}

FailureOr<LoweredStage> lathe::lowerStage(ModuleOp stage,
                                          const CpuTarget &target) {
  for (auto func : stage.getOps<func::FuncOp>())
    if (!func.isPrivate() && !func.isExternal())
      return StageLowerer(func, target).run();
  return stage.emitError("a stage must hold a public function");
}
