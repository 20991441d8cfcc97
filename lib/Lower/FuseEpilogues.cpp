//===- FuseEpilogues.cpp - elementwise operations behind a linear ---------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Scalars.h"
#include "lathe/Dialect/Lathe.h"
#include "lathe/Lower/Activation.h"
#include "lathe/Lower/Passes.h"
#include "lathe/Raise/SymbolicShapes.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/IR/IRMapping.h"
#include "llvm/ADT/SmallPtrSet.h"

namespace lathe {
#define GEN_PASS_DEF_FUSEEPILOGUES
#include "lathe/Lower/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {
/// An operation that can become the end of a linear.
struct Fusion {
  LinearOp linear;
  Operation *consumer = nullptr;
  /// The other operand of a sum or product; null for an activation.
  Value extra;
  /// What defines it, if an operation does.
  Operation *extraOwner = nullptr;
};

class FuseEpilogues : public lathe::impl::FuseEpiloguesBase<FuseEpilogues> {
public:
  void runOnOperation() override {
    for (auto func : getOperation().getOps<func::FuncOp>())
      if (!func.isPrivate() && !func.isExternal())
        fuse(func);
  }

private:
  void fuse(func::FuncOp func);
};
} // namespace

/// The linear whose result is `value`, if nothing else reads it and its sums
/// are what the epilogue would get.
static LinearOp fusableLinear(Value value) {
  auto linear = value.getDefiningOp<LinearOp>();
  if (!linear || !value.hasOneUse() ||
      !cast<ShapedType>(value.getType()).getElementType().isF32())
    return {};
  return linear;
}

static bool isSumOrProduct(OnnxOp op) {
  return (op.getOpType() == "Add" || op.getOpType() == "Mul") &&
         op.getDomainOrDefault().empty() && op->getNumOperands() == 2;
}

static std::optional<Fusion> matchFusion(Operation *op,
                                         const SymbolicShapes &shapes) {
  if (auto activation = dyn_cast<ActivationOp>(op)) {
    LinearOp linear = fusableLinear(activation.getX());
    return linear ? std::optional(Fusion{linear, op, {}, nullptr})
                  : std::nullopt;
  }
  auto node = dyn_cast<OnnxOp>(op);
  if (!node || !isSumOrProduct(node))
    return std::nullopt;
  Value left = op->getOperand(0), right = op->getOperand(1);
  std::optional<ArrayRef<Poly>> leftShape = shapes.shapeOf(left),
                                rightShape = shapes.shapeOf(right);
  if (left == right || !leftShape || !rightShape || *leftShape != *rightShape)
    return std::nullopt;
  LinearOp first = fusableLinear(left), second = fusableLinear(right);
  // The later of two: the other's result is there when it runs.
  if (second && (!first || first->isBeforeInBlock(second)))
    return Fusion{second, op, left, left.getDefiningOp()};
  if (first)
    return Fusion{first, op, right, right.getDefiningOp()};
  return std::nullopt;
}

/// A linear at the consumer's place with the consumer in its epilogue.
static void apply(const Fusion &fusion) {
  LinearOp linear = fusion.linear;
  Operation *consumer = fusion.consumer;
  OpBuilder builder(consumer);
  Location loc = consumer->getLoc();
  auto f32 = builder.getF32Type();
  SmallVector<Value> extras(linear.getEpilogueArgs());
  if (fusion.extra)
    extras.push_back(fusion.extra);

  // The result is the consumer's, so that what is known of it stays true.
  auto fused = LinearOp::create(
      builder, linear.getLoc(), consumer->getResult(0).getType(), linear.getX(),
      linear.getWeight(), linear.getBias(), linear.getSiteAttr());
  fused.getEpilogueArgsMutable().assign(extras);
  fused.setActsAttr(linear.getActsAttr());
  fused.setGated(linear.getGated());

  Region &region = fused.getEpilogue();
  Block *block = builder.createBlock(&region);
  for (size_t i = 0; i < linear.getSumCount() + extras.size(); ++i)
    block->addArgument(f32, loc);
  Value sum = block->getArgument(0);
  if (!linear.getEpilogue().empty()) {
    Block &old = linear.getEpilogue().front();
    IRMapping map;
    for (auto [from, to] : llvm::zip(old.getArguments(), block->getArguments()))
      map.map(from, to);
    for (Operation &op : old.without_terminator())
      builder.clone(op, map);
    sum = map.lookupOrDefault(old.getTerminator()->getOperand(0));
  }
  Scalars s(loc, builder);
  if (auto activation = dyn_cast<ActivationOp>(consumer))
    sum = emitActivation(s, activation.getKind(), sum);
  else if (cast<OnnxOp>(consumer).getOpType() == "Add")
    sum = s.add(sum, block->getArguments().back());
  else
    sum = s.mul(sum, block->getArguments().back());
  YieldOp::create(s, sum);

  consumer->getResult(0).replaceAllUsesWith(fused.getResult());
  consumer->erase();
  linear->erase();
}

/// Fuses what can be fused independently; false when there is nothing. The
/// analysis knows the operations as they are now, so all matches come first.
static bool fuseOnce(func::FuncOp func) {
  SymbolicShapes shapes(func);
  SmallVector<Fusion> fusions;
  for (Operation &op : func.front())
    if (std::optional<Fusion> fusion = matchFusion(&op, shapes))
      fusions.push_back(*fusion);
  llvm::SmallPtrSet<Operation *, 16> gone;
  for (const Fusion &fusion : fusions) {
    if (gone.contains(fusion.linear) || gone.contains(fusion.consumer) ||
        gone.contains(fusion.extraOwner))
      continue;
    gone.insert(fusion.linear);
    gone.insert(fusion.consumer);
    apply(fusion);
  }
  return !fusions.empty();
}

void FuseEpilogues::fuse(func::FuncOp func) {
  while (fuseOnce(func))
    ;
}
