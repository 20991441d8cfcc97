//===- StructureOps.cpp - weights and structure operations ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Dialect/Lathe.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;
using namespace lathe;

//===----------------------------------------------------------------------===//
// SkipAttr
//===----------------------------------------------------------------------===//

LogicalResult SkipAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                               SkipKind, FloatAttr threshold, int64_t count,
                               int64_t warmup, int64_t seed) {
  if (!(threshold.getValueAsDouble() > 0))
    return emitError() << "the threshold of a skip must be above 0";
  if (count < 1 || warmup < 0 || seed < 0)
    return emitError() << "a skip has a count of at least 1, and a warm-up and "
                          "a seed that are not negative";
  return success();
}

//===----------------------------------------------------------------------===//
// WeightOp, UseWeightOp
//===----------------------------------------------------------------------===//

LogicalResult WeightOp::verify() {
  WeightType type = getWeightType();
  return type.getEncodingInterface().verifyPayload(
      [&] { return emitOpError(); }, type.getShape(), getParts());
}

LogicalResult UseWeightOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto weight = symbols.lookupNearestSymbolFrom<WeightOp>(getOperation(),
                                                          getWeightAttr());
  if (!weight)
    return emitOpError("refers to the unknown weight ") << getWeightAttr();
  if (weight.getWeightType() != getType())
    return emitOpError("has another type than the weight, ")
           << weight.getWeightType();
  return success();
}

//===----------------------------------------------------------------------===//
// SublayerOp, BlockOp, StreamsOp
//===----------------------------------------------------------------------===//

/// The operands of the `lathe.yield` that ends `region`; null without one.
static YieldOp yieldOf(Region &region) {
  Block &block = region.front();
  if (block.empty())
    return {};
  return dyn_cast<YieldOp>(block.back());
}

LogicalResult SublayerOp::verify() {
  Type type = getResidual().getType();
  if (getResult().getType() != type)
    return emitOpError("the first result must have the residual's type ")
           << type;

  SmallVector<Type> expected{getSource().getType()};
  llvm::append_range(expected, getArgs().getTypes());
  if (!llvm::equal(getBody().getArgumentTypes(), expected))
    return emitOpError("the body's arguments must be the source and the args");

  YieldOp yield = yieldOf(getBody());
  SmallVector<Type> yielded{type};
  llvm::append_range(yielded, getExtra().getTypes());
  if (!yield || !llvm::equal(yield.getValues().getTypes(), yielded))
    return emitOpError("the body must yield the branch, of the residual's "
                       "type, then the further results");

  if (getSkip()) {
    auto entry = (*this)->getParentOfType<func::FuncOp>();
    if (getKind() != SublayerKind::Ffn || !getPost().empty() ||
        !getExtra().empty() || !entry || entry.getName() != "decode")
      return emitOpError("'skip' is only for an ffn without 'post' and further "
                         "results in the function 'decode'");
  }

  if (getPost().empty())
    return success();
  YieldOp post = yieldOf(getPost());
  if (getPost().getNumArguments() != 1 ||
      getPost().getArgument(0).getType() != type || !post ||
      !llvm::equal(post.getValues().getTypes(), ArrayRef<Type>(type)))
    return emitOpError("'post' must take and yield one value of the "
                       "residual's type");
  return success();
}

LogicalResult BlockOp::verify() {
  YieldOp yield = yieldOf(getBody());
  if (!yield || !llvm::equal(yield.getValues().getTypes(), getResultTypes()))
    return emitOpError("must yield the result types");
  return success();
}

LogicalResult StreamsOp::verify() {
  SmallVector<Type> joined;
  for (Region *branch : {&getLeft(), &getRight()}) {
    if (!llvm::equal(branch->getArgumentTypes(), getInputs().getTypes()))
      return emitOpError("the branches' arguments must be the operands");
    YieldOp yield = yieldOf(*branch);
    if (!yield)
      return emitOpError("a branch must end in lathe.yield");
    llvm::append_range(joined, yield.getValues().getTypes());
  }
  if (!llvm::equal(getCombine().getArgumentTypes(), joined))
    return emitOpError("the arguments of 'combine' must be what the branches "
                       "yield");
  YieldOp yield = yieldOf(getCombine());
  if (!yield || !llvm::equal(yield.getValues().getTypes(), getResultTypes()))
    return emitOpError("'combine' must yield the result types");
  return success();
}
