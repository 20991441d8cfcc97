//===- ModuleRecord.cpp - what a module says of its own history -----------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Dialect/ModuleRecord.h"
#include "lathe/Dialect/Lathe.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/Support/raw_ostream.h"
#include <set>

using namespace mlir;
using namespace lathe;

//===----------------------------------------------------------------------===//
// Identity
//===----------------------------------------------------------------------===//

/// Type and content hashes of the weights and constants, sorted: names and
/// order are no part of a model's identity.
static std::set<std::string> payloadTexts(ModuleOp model) {
  std::set<std::string> texts;
  auto add = [&](Type type, ArrayRef<NamedAttribute> parts) {
    std::string text;
    llvm::raw_string_ostream out(text);
    out << type;
    for (NamedAttribute part : parts)
      if (auto blob = dyn_cast<PayloadAttr>(part.getValue()))
        out << " " << part.getName().getValue() << "=" << blob.getBytes() << ":"
            << blob.getHash();
      else
        out << " " << part.getName().getValue() << "=" << part.getValue();
    texts.insert(text);
  };
  model.walk([&](Operation *op) {
    if (auto weight = dyn_cast<WeightOp>(op))
      add(weight.getWeightType(), weight.getParts().getValue());
    else if (auto constant = dyn_cast<ConstantOp>(op))
      add(constant.getType(),
          NamedAttribute(StringAttr::get(op->getContext(), "value"),
                         constant.getValue()));
  });
  return texts;
}

std::string lathe::sourceHash(ModuleOp model) {
  if (auto known = model->getAttrOfType<StringAttr>(kSourceHashAttr))
    return known.getValue().str();
  std::string text;
  llvm::raw_string_ostream out(text);
  for (const std::string &payload : payloadTexts(model))
    out << payload << "\n";
  for (auto function : model.getOps<FunctionOpInterface>()) {
    if (function.getName() != "plain")
      continue;
    out << function.getFunctionType() << "\n";
    function.walk([&](SublayerOp sublayer) {
      out << stringifySublayerKind(sublayer.getKind()) << " "
          << sublayer.getSite().getPath() << "\n";
    });
  }
  return PayloadStore::hash(ArrayRef(text.data(), text.size()));
}

//===----------------------------------------------------------------------===//
// History
//===----------------------------------------------------------------------===//

static std::vector<std::string> strings(ModuleOp model, StringRef name) {
  std::vector<std::string> result;
  if (auto list = model->getAttrOfType<ArrayAttr>(name))
    for (Attribute element : list)
      if (auto text = dyn_cast<StringAttr>(element))
        result.push_back(text.getValue().str());
  return result;
}

static void append(ModuleOp model, StringRef name,
                   ArrayRef<Attribute> elements) {
  SmallVector<Attribute> list;
  if (auto known = model->getAttrOfType<ArrayAttr>(name))
    llvm::append_range(list, known);
  llvm::append_range(list, elements);
  model->setAttr(name, ArrayAttr::get(model.getContext(), list));
}

std::vector<std::string> lathe::appliedPasses(ModuleOp model) {
  return strings(model, kPassesAttr);
}

void lathe::recordPass(ModuleOp model, StringRef text) {
  MLIRContext *context = model.getContext();
  model->setAttr(kSourceHashAttr, StringAttr::get(context, sourceHash(model)));
  append(model, kPassesAttr, StringAttr::get(context, text));
}

std::vector<std::string> lathe::removedSites(ModuleOp model) {
  std::vector<std::string> result;
  if (auto list = model->getAttrOfType<ArrayAttr>(kRemovedAttr))
    for (Attribute element : list)
      if (auto site = dyn_cast<SiteAttr>(element))
        result.push_back(site.getPath().str());
  return result;
}

void lathe::recordRemoved(ModuleOp model, ArrayRef<std::string> sites) {
  SmallVector<Attribute> added;
  for (const std::string &site : sites)
    added.push_back(SiteAttr::get(model.getContext(), site));
  append(model, kRemovedAttr, added);
}
