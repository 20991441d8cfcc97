//===- RefineShapes.cpp - static extents and names of dims ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/IndexExpr/Text.h"
#include "lathe/Raise/Passes.h"
#include "lathe/Raise/SymbolicShapes.h"
#include "llvm/ADT/STLExtras.h"

namespace lathe {
#define GEN_PASS_DEF_REFINESHAPES
#include "lathe/Raise/Passes.h.inc"
} // namespace lathe

using namespace lathe;
using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;

/// The type with every extent static that is known to be a number; the type
/// itself if nothing is gained or the extents contradict it.
static Type refinedType(Type type, ArrayRef<Poly> shape) {
  auto tensor = dyn_cast<TensorType>(type);
  if (!tensor)
    return type;
  auto ranked = dyn_cast<RankedTensorType>(type);
  if (ranked && ranked.getRank() != static_cast<int64_t>(shape.size()))
    return type;
  SmallVector<int64_t> extents;
  for (auto [k, extent] : llvm::enumerate(shape)) {
    if (ranked && !ranked.isDynamicDim(k)) {
      extents.push_back(ranked.getDimSize(k));
      continue;
    }
    std::optional<int64_t> value = extent.getConstantInt();
    extents.push_back(value && *value >= 0 ? *value : ShapedType::kDynamic);
  }
  return RankedTensorType::get(extents, tensor.getElementType());
}

/// Polynomial texts; null if a dim is not over the named dims of the entry.
static ArrayAttr dimsAttr(Builder &builder, ArrayRef<Poly> shape,
                          ArrayRef<std::string> freeDims) {
  SmallVector<Attribute> texts;
  for (Poly extent : shape) {
    bool isNamed =
        extent && !extent.usesReads() &&
        llvm::all_of(collectSymbols(extent), [&](llvm::StringRef name) {
          return llvm::is_contained(freeDims, name);
        });
    if (!isNamed)
      return {};
    texts.push_back(builder.getStringAttr(toString(extent)));
  }
  return builder.getArrayAttr(texts);
}

namespace {
struct RefineShapes : public lathe::impl::RefineShapesBase<RefineShapes> {
  void runOnOperation() override;

private:
  void refineTypes(const SymbolicShapes &shapes);
  void nameDims(const SymbolicShapes &shapes);
  void noteChecks(const SymbolicShapes &shapes);
};
} // namespace

void RefineShapes::refineTypes(const SymbolicShapes &shapes) {
  auto refine = [&](Value value) {
    if (std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(value))
      value.setType(refinedType(value.getType(), *shape));
  };
  Block &body = getOperation().getBody().front();
  for (Value arg : body.getArguments())
    refine(arg);
  for (Operation &op : body)
    for (Value result : op.getResults())
      refine(result);
  getOperation().setType(
      FunctionType::get(&getContext(), body.getArgumentTypes(),
                        body.getTerminator()->getOperandTypes()));
}

void RefineShapes::nameDims(const SymbolicShapes &shapes) {
  func::FuncOp func = getOperation();
  Builder builder(func);
  for (BlockArgument arg : func.getArguments())
    if (std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(arg))
      if (ArrayAttr dims = dimsAttr(builder, *shape, shapes.freeDims()))
        func.setArgAttr(arg.getArgNumber(), LatheDialect::kDimsAttr, dims);
  Operation *terminator = func.getBody().front().getTerminator();
  for (auto [k, value] : llvm::enumerate(terminator->getOperands()))
    if (std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(value))
      if (ArrayAttr dims = dimsAttr(builder, *shape, shapes.freeDims()))
        func.setResultAttr(k, LatheDialect::kDimsAttr, dims);
}

void RefineShapes::noteChecks(const SymbolicShapes &shapes) {
  Builder builder(getOperation());
  SmallVector<Attribute> checks;
  for (const DimCheck &check : shapes.checks())
    checks.push_back(builder.getStrArrayAttr(
        {toString(check.lhs), lathe::getName(check.kind), toString(check.rhs),
         check.where}));
  if (!checks.empty())
    getOperation()->setAttr(LatheDialect::kChecksAttr,
                            builder.getArrayAttr(checks));
}

void RefineShapes::runOnOperation() {
  func::FuncOp func = getOperation();
  if (func.isExternal())
    return markAllAnalysesPreserved();
  const auto &shapes = getAnalysis<SymbolicShapes>();
  // The verifiers of structure operations tie types together that the analysis
  // may know to different degrees.
  bool hasRegions = llvm::any_of(func.getBody().front(), [](Operation &op) {
    return op.getNumRegions() != 0;
  });
  if (!hasRegions)
    refineTypes(shapes);
  nameDims(shapes);
  noteChecks(shapes);
}
