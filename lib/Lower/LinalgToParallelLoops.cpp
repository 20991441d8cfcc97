//===- LinalgToParallelLoops.cpp - linalg on memrefs to loops ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Lower/LinalgToParallelLoops.h"
#include "mlir/Dialect/Affine/Utils.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Linalg/Transforms/Transforms.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/IR/IRMapping.h"

using namespace mlir;
using namespace lathe;

/// Elements that a chunk of a parallel loop should have at least, so that
/// handing it to another thread costs little beside it.
static constexpr int64_t kChunkElements = 16384;

namespace {

/// Writes the loops of one linalg operation.
class LoopBuilder {
public:
  LoopBuilder(OpBuilder &builder, linalg::LinalgOp op)
      : builder(builder), op(op), loc(op.getLoc()),
        ivs(op.getNumLoops(), Value()) {}

  LogicalResult build();

private:
  Value bound(unsigned loop);
  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(builder, loc, value);
  }
  SmallVector<Value> operandIndices(OpOperand &operand);
  void buildSequential(ArrayRef<unsigned> loops,
                       llvm::function_ref<void()> body);
  void buildElement();
  ValueRange buildReduction(ArrayRef<unsigned> loops, ValueRange sums);
  SmallVector<Value> buildBody(ValueRange sums);
  int64_t grain(ArrayRef<unsigned> inner);

  OpBuilder &builder;
  linalg::LinalgOp op;
  Location loc;
  SmallVector<Value> ivs, bounds;
  SmallVector<unsigned> parallel, reduced;
};

} // namespace

/// Extent of a loop: of the first operand dim that the loop indexes alone.
Value LoopBuilder::bound(unsigned loop) {
  for (OpOperand &operand : op->getOpOperands()) {
    AffineMap map = op.getMatchingIndexingMap(&operand);
    for (auto [dim, expr] : llvm::enumerate(map.getResults())) {
      auto position = dyn_cast<AffineDimExpr>(expr);
      if (!position || position.getPosition() != loop)
        continue;
      auto type = cast<MemRefType>(operand.get().getType());
      if (!type.isDynamicDim(dim))
        return index(type.getDimSize(dim));
      return memref::DimOp::create(builder, loc, operand.get(), dim);
    }
  }
  return {};
}

SmallVector<Value> LoopBuilder::operandIndices(OpOperand &operand) {
  AffineMap map = op.getMatchingIndexingMap(&operand);
  SmallVector<Value> indices;
  for (AffineExpr expr : map.getResults()) {
    if (auto dim = dyn_cast<AffineDimExpr>(expr)) {
      indices.push_back(ivs[dim.getPosition()]);
      continue;
    }
    indices.push_back(
        affine::expandAffineExpr(builder, loc, expr, ivs, /*symbols=*/{}));
  }
  return indices;
}

/// One element of every output at the current indices. `sums` are the running
/// values of the outputs, or empty to read them from memory.
SmallVector<Value> LoopBuilder::buildBody(ValueRange sums) {
  Block &block = op->getRegion(0).front();
  IRMapping map;
  unsigned inputs = op.getNumDpsInputs();
  for (OpOperand &operand : op->getOpOperands()) {
    BlockArgument arg = op.getMatchingBlockArgument(&operand);
    if (arg.use_empty())
      continue;
    unsigned number = operand.getOperandNumber();
    Value element = operand.get();
    if (number >= inputs && !sums.empty())
      element = sums[number - inputs];
    else if (isa<MemRefType>(element.getType())) // else a scalar (fill)
      element = memref::LoadOp::create(builder, loc, element,
                                       operandIndices(operand));
    map.map(arg, element);
  }
  auto flags = arith::FastMathFlags::contract;
  if (!reduced.empty())
    flags = flags | arith::FastMathFlags::reassoc;
  for (Operation &inner : block.without_terminator()) {
    if (auto position = dyn_cast<linalg::IndexOp>(inner)) {
      map.map(position.getResult(), ivs[position.getDim()]);
      continue;
    }
    Operation *clone = builder.clone(inner, map);
    if (isa<arith::AddFOp, arith::SubFOp, arith::MulFOp>(clone))
      clone->setAttr("fastmath", arith::FastMathFlagsAttr::get(
                                     builder.getContext(), flags));
  }
  SmallVector<Value> results;
  for (Value result : block.getTerminator()->getOperands())
    results.push_back(map.lookupOrDefault(result));
  return results;
}

/// Nested loops over the reduced dims; the outputs travel as iteration values.
ValueRange LoopBuilder::buildReduction(ArrayRef<unsigned> loops,
                                       ValueRange sums) {
  Value zero = index(0), one = index(1);
  auto loop =
      scf::ForOp::create(builder, loc, zero, bounds[loops[0]], one, sums);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  ivs[loops[0]] = loop.getInductionVar();
  SmallVector<Value> results;
  if (loops.size() == 1)
    results = buildBody(loop.getRegionIterArgs());
  else
    llvm::append_range(
        results, buildReduction(loops.drop_front(), loop.getRegionIterArgs()));
  scf::YieldOp::create(builder, loc, results);
  return loop.getResults();
}

/// What is done at one point of the parallel dims.
void LoopBuilder::buildElement() {
  SmallVector<Value> results;
  if (reduced.empty()) {
    results = buildBody({});
  } else {
    SmallVector<Value> sums;
    for (OpOperand &output : op.getDpsInitsMutable())
      sums.push_back(memref::LoadOp::create(builder, loc, output.get(),
                                            operandIndices(output)));
    llvm::append_range(results, buildReduction(reduced, sums));
  }
  for (auto [output, result] : llvm::zip(op.getDpsInitsMutable(), results))
    memref::StoreOp::create(builder, loc, result, output.get(),
                            operandIndices(output));
}

void LoopBuilder::buildSequential(ArrayRef<unsigned> loops,
                                  llvm::function_ref<void()> body) {
  if (loops.empty()) {
    body();
    return;
  }
  Value zero = index(0), one = index(1);
  auto loop = scf::ForOp::create(builder, loc, zero, bounds[loops[0]], one);
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(loop.getBody());
  ivs[loops[0]] = loop.getInductionVar();
  buildSequential(loops.drop_front(), body);
}

/// Units of the outer loop that make a chunk, by the static extents of the
/// loops inside one unit.
int64_t LoopBuilder::grain(ArrayRef<unsigned> inner) {
  int64_t elements = 1;
  for (unsigned loop : inner)
    if (auto extent = bounds[loop].getDefiningOp<arith::ConstantIndexOp>())
      elements *= std::max<int64_t>(1, extent.value());
  return std::max<int64_t>(1, kChunkElements / elements);
}

LogicalResult LoopBuilder::build() {
  for (auto [n, kind] : llvm::enumerate(op.getIteratorTypesArray()))
    (linalg::isParallelIterator(kind) ? parallel : reduced).push_back(n);
  for (unsigned n = 0; n < ivs.size(); ++n) {
    bounds.push_back(bound(n));
    if (!bounds.back())
      return op.emitError("has a loop whose extent no operand gives");
  }
  if (parallel.size() < 2) {
    buildSequential(parallel, [&] { buildElement(); });
    return success();
  }
  SmallVector<unsigned> inner{parallel.back()};
  llvm::append_range(inner, reduced);
  SmallVector<OpFoldResult> outerBounds;
  for (unsigned loop : ArrayRef(parallel).drop_back())
    outerBounds.push_back(bounds[loop]);
  auto forall = scf::ForallOp::create(builder, loc, outerBounds, ValueRange(),
                                      std::nullopt);
  forall->setAttr("lathe.grain", builder.getI64IntegerAttr(grain(inner)));
  OpBuilder::InsertionGuard guard(builder);
  builder.setInsertionPointToStart(forall.getBody());
  for (auto [n, loop] : llvm::enumerate(ArrayRef(parallel).drop_back()))
    ivs[loop] = forall.getInductionVar(n);
  buildSequential(parallel.back(), [&] { buildElement(); });
  return success();
}

LogicalResult lathe::linalgToParallelLoops(func::FuncOp function) {
  IRRewriter rewriter(function.getContext());
  SmallVector<linalg::LinalgOp> named, ops;
  function.walk([&](linalg::LinalgOp op) { named.push_back(op); });
  for (linalg::LinalgOp op : named) {
    if (isa<linalg::GenericOp>(op)) {
      ops.push_back(op);
      continue;
    }
    rewriter.setInsertionPoint(op);
    FailureOr<linalg::GenericOp> generic =
        linalg::generalizeNamedOp(rewriter, op);
    if (failed(generic))
      return op.emitError("cannot be turned into loops");
    ops.push_back(*generic);
  }
  for (linalg::LinalgOp op : ops) {
    rewriter.setInsertionPoint(op);
    if (failed(LoopBuilder(rewriter, op).build()))
      return failure();
    rewriter.eraseOp(op);
  }
  return success();
}
