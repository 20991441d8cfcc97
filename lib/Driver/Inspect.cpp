//===- Inspect.cpp - what a model is made of ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/Inspect.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Driver/Macs.h"
#include "lathe/IndexExpr/Text.h"
#include "lathe/Lower/LoweringRegistry.h"
#include "lathe/Raise/SymbolicShapes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/SmallPtrSet.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/raw_ostream.h"
#include <map>

using namespace mlir;
using namespace lathe;

std::string lathe::roundedCount(int64_t number) {
  static constexpr std::pair<double, const char *> units[] = {
      {1e9, " G"}, {1e6, " M"}, {1e3, " k"}};
  for (auto [size, suffix] : units)
    if (number >= size)
      return llvm::formatv("{0:f1}{1}", number / size, suffix).str();
  return std::to_string(number);
}

static std::string elementName(Type type) {
  if (auto kv = dyn_cast<KvType>(type))
    type = kv.getElementType();
  std::string name;
  llvm::raw_string_ostream out(name);
  out << getElementTypeOrSelf(type);
  return name == "i1" ? "bool" : name;
}

static TensorSummary summarizeTensor(Type type, DictionaryAttr attrs,
                                     SymbolicShapes &shapes, Value value) {
  TensorSummary tensor;
  tensor.type = elementName(type);
  if (attrs)
    if (auto name = attrs.getAs<StringAttr>(LatheDialect::kNameAttr))
      tensor.name = name.getValue().str();
  if (const ValueInfo *info = shapes.lookup(value); info && info->shape)
    for (Poly extent : *info->shape)
      tensor.dims.push_back(toString(extent));
  return tensor;
}

static EntrySummary summarizeEntry(func::FuncOp function,
                                   SymbolicShapes &shapes) {
  EntrySummary entry;
  entry.name = function.getName().str();
  for (StringRef dim : shapes.freeDims())
    entry.dims.push_back(dim.str());
  for (BlockArgument arg : function.getArguments()) {
    if (isa<KvType>(arg.getType())) {
      ++entry.caches;
      continue;
    }
    entry.inputs.push_back(summarizeTensor(
        arg.getType(), function.getArgAttrDict(arg.getArgNumber()), shapes,
        arg));
  }
  Operation *end = function.front().getTerminator();
  for (OpOperand &operand : end->getOpOperands())
    if (!isa<KvType>(operand.get().getType()))
      entry.outputs.push_back(summarizeTensor(
          operand.get().getType(),
          function.getResultAttrDict(operand.getOperandNumber()), shapes,
          operand.get()));
  return entry;
}

static int64_t weightBytes(WeightOp weight) {
  WeightType type = weight.getWeightType();
  return type.getEncodingInterface().storageBits(type.getShape()) / 8;
}

static SublayerSummary summarizeSublayer(SublayerOp sublayer,
                                         SymbolTable &symbols) {
  SublayerSummary summary;
  summary.site = sublayer.getSite().getPath().str();
  summary.kind = stringifySublayerKind(sublayer.getKind()).str();
  summary.postNorm = !sublayer.getPost().empty();
  llvm::SmallPtrSet<Operation *, 8> seen;
  sublayer->walk([&](UseWeightOp use) {
    auto weight = symbols.lookup<WeightOp>(use.getWeight());
    if (!weight || !seen.insert(weight).second)
      return;
    summary.params += weight.getWeightType().getNumElements();
    summary.bytes += weightBytes(weight);
  });
  return summary;
}

/// Node name that an operation was imported from.
static std::string nodeName(Operation *op) {
  if (auto name = dyn_cast<NameLoc>(op->getLoc()))
    return name.getName().getValue().str();
  return "";
}

ModelSummary lathe::inspectModel(ModuleOp model,
                                 const llvm::StringMap<int64_t> &dims) {
  ModelSummary summary;
  SymbolTable symbols(model);
  for (auto weight : model.getOps<WeightOp>()) {
    summary.params += weight.getWeightType().getNumElements();
    summary.bytes += weightBytes(weight);
  }
  std::map<std::tuple<std::string, std::string, int64_t>, UnsupportedSummary>
      unsupported;
  for (auto function : model.getOps<func::FuncOp>()) {
    SymbolicShapes shapes(function);
    summary.entries.push_back(summarizeEntry(function, shapes));
    bool isFirst = summary.entries.size() == 1;
    if (isFirst) {
      summary.macs = valueAt(countMacs(function, shapes), dims);
      for (const std::string &dim : summary.entries[0].dims)
        if (!dims.count(dim))
          summary.openDims.push_back(dim);
    }
    function->walk([&](Operation *op) {
      if (auto sublayer = dyn_cast<SublayerOp>(op); sublayer && isFirst) {
        summary.sublayers.push_back(summarizeSublayer(sublayer, symbols));
        summary.sublayers.back().macs =
            valueAt(countMacs(sublayer, shapes), dims);
      }
      auto node = dyn_cast<OnnxOp>(op);
      if (!node)
        return;
      if (auto reason = op->getAttrOfType<StringAttr>("lathe.unraised");
          reason && isFirst)
        summary.unraised.push_back(
            {nodeName(op), node.getOpType().str(), reason.getValue().str()});
      if (hasLowering(node.getDomainOrDefault(), node.getOpType(),
                      node.getOpset()))
        return;
      auto &entry =
          unsupported[{node.getDomainOrDefault().str(), node.getOpType().str(),
                       int64_t(node.getOpset())}];
      if (entry.count++ == 0) {
        entry.op = node.getOpType().str();
        entry.domain = node.getDomainOrDefault().str();
        entry.opset = node.getOpset();
        entry.firstNode = nodeName(op);
      }
    });
  }
  for (auto &[key, entry] : unsupported)
    summary.unsupported.push_back(entry);
  // Constants that no weight holds are parameters too: positions, class
  // tokens, tables.
  llvm::SmallSetVector<Attribute, 16> payloads;
  model->walk([&](ConstantOp constant) {
    if (isa<FloatType>(constant.getType().getElementType()) &&
        payloads.insert(constant.getValue())) {
      summary.params += constant.getType().getNumElements();
      summary.bytes += constant.getValue().getBytes();
    }
  });
  return summary;
}
