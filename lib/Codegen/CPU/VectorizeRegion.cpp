//===- VectorizeRegion.cpp - scalar regions on vectors --------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/VectorizeRegion.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/IR/OpDefinition.h"

using namespace mlir;

/// The value that stands for `scalar`, in every lane of a vector.
static Value getVector(OpBuilder &builder, Location loc, Value scalar,
                       IRMapping &mapping, int64_t lanes) {
  Value value = mapping.lookupOrDefault(scalar);
  if (isa<VectorType>(value.getType()))
    return value;
  auto type = VectorType::get({lanes}, value.getType());
  Value vector = vector::BroadcastOp::create(builder, loc, type, value);
  mapping.map(scalar, vector);
  return vector;
}

static LogicalResult vectorizeOp(OpBuilder &builder, Operation &op,
                                 IRMapping &mapping, int64_t lanes) {
  if (op.hasTrait<OpTrait::ConstantLike>()) {
    builder.clone(op, mapping);
    return success();
  }
  if (!OpTrait::hasElementwiseMappableTraits(&op) || op.getNumRegions() != 0)
    return op.emitOpError("has no form on vectors");

  SmallVector<Value> operands;
  for (Value operand : op.getOperands())
    operands.push_back(
        getVector(builder, op.getLoc(), operand, mapping, lanes));
  SmallVector<Type> types;
  for (Type type : op.getResultTypes())
    types.push_back(VectorType::get({lanes}, type));
  Operation *clone = builder.create(op.getLoc(), op.getName().getIdentifier(),
                                    operands, types, op.getAttrs());
  mapping.map(op.getResults(), clone->getResults());
  return success();
}

FailureOr<SmallVector<Value>> lathe::vectorizeScalarRegion(OpBuilder &builder,
                                                           Region &region,
                                                           ValueRange arguments,
                                                           int64_t lanes) {
  assert(region.hasOneBlock() && "an elementwise region has one block");
  Block &block = region.front();
  assert(block.getNumArguments() == arguments.size());

  IRMapping mapping;
  mapping.map(block.getArguments(), arguments);
  for (Operation &op : block.without_terminator())
    if (failed(vectorizeOp(builder, op, mapping, lanes)))
      return failure();

  SmallVector<Value> results;
  Operation *end = block.getTerminator();
  for (Value value : end->getOperands())
    results.push_back(getVector(builder, end->getLoc(), value, mapping, lanes));
  return results;
}
