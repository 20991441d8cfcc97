//===- SymbolicShapes.cpp - shapes and closed forms of values -------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Raise/SymbolicShapes.h"
#include "Shapes/Engine.h"
#include "lathe/IndexExpr/Text.h"
#include "llvm/ADT/STLExtras.h"

using namespace lathe;
using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::StringRef;

bool lathe::isUnknownExtent(Poly extent) {
  return !extent || llvm::any_of(collectSymbols(extent), [](StringRef name) {
    return name.starts_with("?");
  });
}

bool ValueInfo::isIntegerValued() const {
  if (elementClass != ElementClass::Float)
    return elementClass != ElementClass::Other;
  auto isIntegral = [](IndexExpr e) {
    return e.isPoly() && e.poly().isIntegral();
  };
  return kind == FormKind::List ? llvm::all_of(list, isIntegral)
                                : isIntegral(form);
}

StringRef lathe::getName(DimCheck::Kind kind) {
  switch (kind) {
  case DimCheck::Kind::Equal:
    return "==";
  case DimCheck::Kind::LessEqual:
    return "<=";
  case DimCheck::Kind::Divides:
    return "divides";
  }
  llvm_unreachable("all kinds are handled");
}

std::string DimCheck::toString() const {
  return (lathe::toString(lhs) + " " + getName(kind) + " " +
          lathe::toString(rhs))
      .str();
}

class SymbolicShapes::Impl {
public:
  explicit Impl(func::FuncOp func) : engine(func) {
    engine.run();
    for (auto &[op, count] : engine.unknownOps)
      unknownOps.emplace_back(op.str(), count);
  }

  shapes::Engine engine;
  SmallVector<std::pair<std::string, unsigned>> unknownOps;
};

SymbolicShapes::SymbolicShapes(Operation *func)
    : impl(std::make_unique<Impl>(cast<func::FuncOp>(func))) {}

SymbolicShapes::~SymbolicShapes() = default;

IndexExprContext &SymbolicShapes::getContext() const {
  return impl->engine.context;
}

const ValueInfo *SymbolicShapes::lookup(Value value) const {
  return impl->engine.lookup(value);
}

std::optional<ArrayRef<Poly>> SymbolicShapes::shapeOf(Value value) const {
  const ValueInfo *info = lookup(value);
  if (!info || !info->shape)
    return std::nullopt;
  return ArrayRef<Poly>(*info->shape);
}

IndexExpr SymbolicShapes::formOf(Value value) const {
  const ValueInfo *info = lookup(value);
  return info ? impl->engine.formOf(*info) : IndexExpr();
}

IndexExpr SymbolicShapes::formAt(Value value, ArrayRef<Poly> coords,
                                 Extents extents) const {
  const ValueInfo *info = lookup(value);
  if (!info || !info->shape || coords.size() != info->rank())
    return {};
  // A coordinate of extent 1 does not occur in a form.
  return impl->engine.context.substitute(impl->engine.formOf(*info), coords,
                                         extents);
}

std::optional<SmallVector<IndexExpr>>
SymbolicShapes::listOf(Value value) const {
  const ValueInfo *info = lookup(value);
  return info ? impl->engine.listOf(*info) : std::nullopt;
}

std::optional<Number> SymbolicShapes::uniformConstant(Value value) const {
  const ValueInfo *info = lookup(value);
  return info ? impl->engine.uniformConstant(*info) : std::nullopt;
}

bool SymbolicShapes::isIndexy(Value value) const {
  const ValueInfo *info = lookup(value);
  return info && impl->engine.isIndexy(*info);
}

bool SymbolicShapes::isIndexy(IndexExpr form) const {
  return impl->engine.isIndexy(form);
}

Value SymbolicShapes::valueOfRead(unsigned id) const {
  return impl->engine.valueOfRead(id);
}

unsigned SymbolicShapes::readIdOf(Value value) const {
  return impl->engine.readIdOf(value);
}

ArrayRef<std::string> SymbolicShapes::freeDims() const {
  return impl->engine.freeDims;
}

ArrayRef<DimSubstitution> SymbolicShapes::substitutions() const {
  return impl->engine.substitutions;
}

ArrayRef<DimCheck> SymbolicShapes::checks() const {
  return impl->engine.checks;
}

ArrayRef<std::string> SymbolicShapes::assumptions() const {
  return impl->engine.assumptions;
}

unsigned SymbolicShapes::rounds() const { return impl->engine.rounds; }

ArrayRef<std::pair<std::string, unsigned>> SymbolicShapes::unknownOps() const {
  return impl->unknownOps;
}
