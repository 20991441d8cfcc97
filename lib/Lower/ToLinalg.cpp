//===- ToLinalg.cpp - a model in linalg on tensors ------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "StageLowering.h"
#include "lathe/Lower/Passes.h"
#include "lathe/Lower/StagePipeline.h"
#include "lathe/Raise/InlineStructure.h"

namespace lathe {
#define GEN_PASS_DEF_TOLINALG
#include "lathe/Lower/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

/// Makes the function beside an entry that computes the same in linalg.
class EntryToLinalg {
public:
  EntryToLinalg(func::FuncOp source, WeightForm weights)
      : source(source), weights(weights), shapes(source),
        builder(source.getContext()) {}

  LogicalResult run();

private:
  RankedTensorType inputType(BlockArgument argument);
  FailureOr<DenseElementsAttr> contentOf(Operation *op);
  RankedTensorType contentType(Operation *op);
  Value addConstant(Operation *op);
  Value addArgument(func::FuncOp function, UseWeightOp use);
  LogicalResult bindDims(StageLowering &lowering, Block &entry);
  LogicalResult bindContents(StageLowering &lowering, func::FuncOp function);
  LogicalResult buildReturn(StageLowering &lowering, func::FuncOp function);

  func::FuncOp source;
  std::string entryName;
  WeightForm weights;
  SymbolicShapes shapes;
  OpBuilder builder;
};

class ToLinalg : public lathe::impl::ToLinalgBase<ToLinalg> {
public:
  using Base::Base;

  void getDependentDialects(DialectRegistry &registry) const override {
    registerLoweringDialects(registry);
  }

  void runOnOperation() override;
};

} // namespace

static RankedTensorType storageTensor(ArrayRef<int64_t> shape, Type element) {
  return RankedTensorType::get(shape, getStorageType(element));
}

RankedTensorType EntryToLinalg::inputType(BlockArgument argument) {
  SmallVector<int64_t> extents;
  ArrayRef<Poly> shape = *shapes.shapeOf(argument);
  for (Poly extent : shape)
    extents.push_back(extent.getConstantInt().value_or(ShapedType::kDynamic));
  return storageTensor(extents, getElementTypeOrSelf(argument.getType()));
}

//===----------------------------------------------------------------------===//
// Weights and constants
//===----------------------------------------------------------------------===//

static WeightOp weightOf(UseWeightOp use) {
  return SymbolTable::lookupNearestSymbolFrom<WeightOp>(use,
                                                        use.getWeightAttr());
}

/// The tensor that a use of a weight or a `lathe.constant` becomes.
RankedTensorType EntryToLinalg::contentType(Operation *op) {
  if (auto use = dyn_cast<UseWeightOp>(op)) {
    WeightType type = weightOf(use).getWeightType();
    return RankedTensorType::get(type.getShape(), rowsElementType(type));
  }
  auto type = cast<RankedTensorType>(op->getResult(0).getType());
  return storageTensor(type.getShape(), type.getElementType());
}

FailureOr<DenseElementsAttr> EntryToLinalg::contentOf(Operation *op) {
  PartSource part;
  PartLayout layout = PartLayout::Raw;
  if (auto use = dyn_cast<UseWeightOp>(op)) {
    WeightOp weight = weightOf(use);
    part.type = weight.getWeightType();
    part.weightParts = weight.getParts();
    layout = PartLayout::Rows;
  } else {
    part.type = op->getResult(0).getType();
    part.constant = cast<lathe::ConstantOp>(op).getValue();
  }
  std::vector<char> bytes(packedBytes(part.type, layout));
  if (llvm::Error error = packPart(getPayloads(op), part, layout, bytes))
    return op->emitOpError(llvm::toString(std::move(error)));
  return DenseElementsAttr::getFromRawBuffer(contentType(op), bytes);
}

/// The constant that `op` becomes; null, after a diagnostic, if its bytes
/// cannot be read.
Value EntryToLinalg::addConstant(Operation *op) {
  FailureOr<DenseElementsAttr> content = contentOf(op);
  if (failed(content))
    return {};
  return arith::ConstantOp::create(builder, op->getLoc(), *content);
}

/// A further argument of `function` for a weight; null if it takes none.
Value EntryToLinalg::addArgument(func::FuncOp function, UseWeightOp use) {
  unsigned number = function.getNumArguments();
  if (failed(function.insertArgument(number, contentType(use), {},
                                     weightOf(use).getLoc())))
    return {};
  return function.getArgument(number);
}

/// Weights become constants or arguments, `lathe.constant` becomes a constant.
LogicalResult EntryToLinalg::bindContents(StageLowering &lowering,
                                          func::FuncOp function) {
  llvm::DenseMap<StringAttr, Value> known;
  for (Operation &op : source.front()) {
    if (auto use = dyn_cast<UseWeightOp>(op)) {
      Value &value = known[use.getWeightAttr().getAttr()];
      if (!value)
        value = weights == WeightForm::Arguments ? addArgument(function, use)
                                                 : addConstant(&op);
      if (!value)
        return failure();
      lowering.bindPart(use.getResult(), value);
    } else if (isa<lathe::ConstantOp>(op)) {
      Value result = op.getResult(0), value = addConstant(&op);
      if (!value)
        return failure();
      lowering.bind(
          result, lowering.t.wrap(value, getElementTypeOrSelf(result.getType()),
                                  SymbolicShape(*shapes.shapeOf(result))));
    }
  }
  return success();
}

//===----------------------------------------------------------------------===//
// The function
//===----------------------------------------------------------------------===//

/// Reads every named dim off the first argument that has it as an extent.
LogicalResult EntryToLinalg::bindDims(StageLowering &lowering, Block &entry) {
  IndexExprContext &terms = shapes.getContext();
  for (StringRef name : shapes.freeDims()) {
    Poly symbol = terms.symbol(name);
    Value extent;
    for (auto [argument, value] :
         llvm::zip_equal(source.getArguments(), entry.getArguments())) {
      ArrayRef<Poly> shape = *shapes.shapeOf(argument);
      auto found = llvm::find(shape, symbol);
      if (extent || found == shape.end())
        continue;
      int64_t axis = found - shape.begin();
      extent = tensor::DimOp::create(builder, source.getLoc(), value, axis);
    }
    if (!extent)
      return source.emitError("entry '") << entryName << "': dim '" << name
                                         << "' is no extent of an input alone";
    lowering.t.setDim(name, extent);
  }
  return success();
}

LogicalResult EntryToLinalg::buildReturn(StageLowering &lowering,
                                         func::FuncOp function) {
  Operation *end = source.front().getTerminator();
  lowering.t.getBuilder().setLoc(end->getLoc());
  SmallVector<Value> results;
  for (Value operand : end->getOperands()) {
    Tensor tensor = lowering.get(operand);
    if (!tensor)
      return end->emitError("a result has not been lowered");
    results.push_back(lowering.t.valueOf(tensor));
  }
  func::ReturnOp::create(lowering.t.getBuilder(), results);
  if (!lowering.t.getMissing().empty())
    return source.emitError("an extent depends on '")
           << lowering.t.getMissing() << "', which is no dim of the entry";
  function.setFunctionType(builder.getFunctionType(
      function.getArgumentTypes(), ValueRange(results).getTypes()));
  return success();
}

LogicalResult EntryToLinalg::run() {
  SmallVector<Type> types;
  for (BlockArgument argument : source.getArguments()) {
    if (!shapes.shapeOf(argument))
      return source.emitError("an argument of unknown rank");
    types.push_back(inputType(argument));
  }
  entryName = source.getName().str();
  source.setName(entryName + "_source");
  builder.setInsertionPoint(source);
  auto function = func::FuncOp::create(builder, source.getLoc(), entryName,
                                       builder.getFunctionType(types, {}));
  Block *entry = function.addEntryBlock();
  for (auto [from, to] :
       llvm::zip_equal(source.getArguments(), entry->getArguments()))
    to.setLoc(from.getLoc());
  builder.setInsertionPointToStart(entry);

  llvm::Expected<CpuTarget> scalar = CpuTarget::parse("scalar");
  if (!scalar)
    return source.emitError(llvm::toString(scalar.takeError()));
  StageLowering lowering(builder, source, shapes, /*kernels=*/ModuleOp(),
                         *scalar);
  for (auto [from, to] :
       llvm::zip_equal(source.getArguments(), entry->getArguments()))
    lowering.bind(from,
                  lowering.t.wrap(to, getElementTypeOrSelf(from.getType()),
                                  SymbolicShape(*shapes.shapeOf(from))));
  if (failed(bindDims(lowering, *entry)) ||
      failed(bindContents(lowering, function)))
    return failure();
  lowering.t.getBuilder().setInsertionPointToEnd(entry);
  if (failed(lowering.run()) || failed(buildReturn(lowering, function)))
    return failure();
  source.erase();
  return success();
}

//===----------------------------------------------------------------------===//
// The pass
//===----------------------------------------------------------------------===//

static bool hasCache(func::FuncOp function) {
  return llvm::any_of(function.getArgumentTypes(), llvm::IsaPred<KvType>);
}

/// Attributes of the dialect say nothing to others.
static void dropLatheAttrs(Operation *op) {
  for (NamedAttribute attr : llvm::to_vector(op->getDiscardableAttrs()))
    if (isa_and_nonnull<LatheDialect>(attr.getNameDialect()) ||
        attr.getName() == LatheDialect::kFromAttr)
      op->removeDiscardableAttr(attr.getName());
}

void ToLinalg::runOnOperation() {
  ModuleOp module = getOperation();
  auto functions = llvm::to_vector(module.getOps<func::FuncOp>());
  if (!functions.empty() && llvm::all_of(functions, hasCache)) {
    module.emitError("every entry has a cache, which tensors cannot say");
    return signalPassFailure();
  }
  for (func::FuncOp function : functions) {
    if (hasCache(function)) {
      function.erase();
      continue;
    }
    inlineStructure(function);
    if (failed(EntryToLinalg(function, weights).run()))
      return signalPassFailure();
  }
  for (auto weight : llvm::make_early_inc_range(module.getOps<WeightOp>()))
    weight.erase();
  dropLatheAttrs(module);
}
