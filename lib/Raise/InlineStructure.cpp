//===- InlineStructure.cpp - the structure level undone -------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Raise/InlineStructure.h"

using namespace mlir;
using namespace lathe;

void lathe::inlineBlocks(func::FuncOp function) {
  SmallVector<BlockOp> blocks(function.getOps<BlockOp>());
  for (BlockOp block : blocks) {
    Block &body = block.getBody().front();
    Operation *yield = body.getTerminator();
    block->replaceAllUsesWith(yield->getOperands());
    block->getBlock()->getOperations().splice(
        block->getIterator(), body.getOperations(), body.begin(),
        yield->getIterator());
    block.erase();
  }
}

/// `residual + branch` as the carrier op that the source model had.
static Value addResidual(OpBuilder &builder, Location loc, Value residual,
                         Value branch) {
  return OnnxOp::create(builder, loc, TypeRange(residual.getType()),
                        ValueRange{residual, branch}, "Add",
                        /*opset=*/int64_t(14), StringAttr())
      .getResult(0);
}

void lathe::cloneSublayer(OpBuilder &builder, SublayerOp sublayer,
                          IRMapping &map,
                          function_ref<void(Operation &)> cloneOp) {
  Block &body = sublayer.getBody().front();
  map.map(body.getArgument(0), map.lookupOrDefault(sublayer.getSource()));
  for (auto [arg, operand] :
       llvm::zip(body.getArguments().drop_front(), sublayer.getArgs()))
    map.map(arg, map.lookupOrDefault(operand));
  for (Operation &op : body.without_terminator())
    cloneOp(op);
  ValueRange yielded = body.getTerminator()->getOperands();
  Value result = addResidual(builder, sublayer.getLoc(),
                             map.lookupOrDefault(sublayer.getResidual()),
                             map.lookupOrDefault(yielded[0]));
  if (!sublayer.getPost().empty()) {
    Block &post = sublayer.getPost().front();
    map.map(post.getArgument(0), result);
    for (Operation &op : post.without_terminator())
      cloneOp(op);
    result = map.lookupOrDefault(post.getTerminator()->getOperand(0));
  }
  map.map(sublayer.getResult(), result);
  for (auto [extra, value] :
       llvm::zip(sublayer.getExtra(), yielded.drop_front()))
    map.map(extra, map.lookupOrDefault(value));
}

void lathe::inlineStructure(func::FuncOp function) {
  inlineBlocks(function);
  SmallVector<SublayerOp> sublayers(function.getOps<SublayerOp>());
  for (SublayerOp sublayer : sublayers) {
    OpBuilder builder(sublayer);
    IRMapping map;
    cloneSublayer(builder, sublayer, map,
                  [&](Operation &op) { builder.clone(op, map); });
    for (OpResult result : sublayer->getResults())
      result.replaceAllUsesWith(map.lookup(Value(result)));
    sublayer.erase();
  }
}
