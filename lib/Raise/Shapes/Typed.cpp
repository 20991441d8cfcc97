//===- Typed.cpp - operations of the raised level -------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Engine.h"
#include "lathe/IndexExpr/Text.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace lathe;
using namespace lathe::shapes;
using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::StringRef;

static void setLeaf(Engine &engine, Value value, OptionalShape shape) {
  engine.set(value, engine.makeLeaf(value, std::move(shape)));
}

static OptionalShape shapeOf(Engine &engine, Value value) {
  const ValueInfo *info = engine.lookup(value);
  return info ? info->shape : std::nullopt;
}

/// The extent that coordinate k of a map runs over, if one dim of the operand
/// is indexed by it alone.
static Poly extentOf(Engine &engine, Value operand, FormAttr map, unsigned k) {
  OptionalShape shape = shapeOf(engine, operand);
  auto indices = parseIndexExprList(engine.context, map.getText());
  if (!indices) {
    llvm::consumeError(indices.takeError());
    return {};
  }
  if (!shape || indices->size() != shape->size())
    return {};
  for (auto [index, extent] : llvm::zip_equal(*indices, *shape))
    if (index.poly() == engine.context.coord(k))
      return extent;
  return {};
}

/// [B, S, columns] of an operand read through a map over (b, h, i, c).
static OptionalShape rowsShape(Engine &engine, Operation *op, Value operand,
                               FormAttr map, int64_t columns) {
  SymbolicShape shape;
  for (unsigned k : {0, 2}) {
    Poly extent = extentOf(engine, operand, map, k);
    // A batch of 1 may be left out of the map.
    if (!extent)
      extent = engine.unknownDim(op->getResult(0), shape.size());
    auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
    if (type && type.getRank() == 3 && !type.isDynamicDim(shape.size()))
      extent = engine.dim(type.getDimSize(shape.size()));
    shape.push_back(extent);
  }
  shape.push_back(engine.dim(columns));
  return shape;
}

/// The operation's own form over its operands, with closed operands put in.
static void visitIndexExpr(Engine &engine, IndexExprOp op) {
  SymbolicShape shape;
  for (Attribute attr : op.getShape()) {
    Poly extent = engine.parseDim(cast<StringAttr>(attr).getValue());
    if (!extent)
      return;
    shape.push_back(extent);
  }
  SmallVector<unsigned> ids;
  for (Value input : op.getInputs())
    ids.push_back(engine.readIdOf(input));
  ParseOptions options;
  options.extents = shape;
  options.readIds = ids;
  auto parsed = parseIndexExpr(engine.context, op.getForm().getText(), options);
  if (!parsed) {
    llvm::consumeError(parsed.takeError());
    return setLeaf(engine, op.getResult(), shape);
  }

  IndexExprContext &context = engine.context;
  auto readOperand = [&](unsigned id, ArrayRef<Poly> position) -> Poly {
    const ValueInfo *info = engine.lookup(engine.valueOfRead(id));
    Poly direct = context.read(id, position);
    if (!info || !info->shape || info->rank() != position.size())
      return direct;
    IndexExpr form = context.substitute(engine.formOf(*info), position, shape);
    if (form.isPred())
      form = context.toNumber(form.pred());
    return form ? form.poly() : direct;
  };
  Substituter flatten(context, engine.identityIndex(shape), shape);
  IndexExpr own = flatten(*parsed);
  IndexExpr form = Substituter(context, {}, shape).setReads(readOperand)(own);
  if (!form)
    form = own;
  bool isBoolean = classOf(op.getResult().getType()) == ElementClass::Boolean;
  if (!form || form.isPred() != isBoolean)
    return setLeaf(engine, op.getResult(), shape);
  ValueInfo info;
  info.elementClass = classOf(op.getResult().getType());
  info.kind =
      form.isPred() ? ValueInfo::FormKind::Pred : ValueInfo::FormKind::Poly;
  info.form = form;
  info.shape = std::move(shape);
  engine.set(op.getResult(), std::move(info));
}

bool shapes::visitTyped(Engine &engine, Operation *op) {
  return llvm::TypeSwitch<Operation *, bool>(op)
      .Case([&](LinearOp linear) {
        OptionalShape shape = shapeOf(engine, linear.getX());
        ArrayRef<int64_t> weight =
            cast<WeightType>(linear.getWeight().getType()).getShape();
        if (shape && !shape->empty() && weight.size() == 2) {
          engine.equate(shape->back(), engine.dim(weight[0]), op);
          shape->back() = engine.dim(linear.getColumns());
          setLeaf(engine, linear.getResult(), shape);
        }
        return true;
      })
      .Case([&](EmbeddingOp embedding) {
        OptionalShape shape = shapeOf(engine, embedding.getIds());
        if (shape) {
          shape->push_back(engine.dim(embedding.getColumns()));
          setLeaf(engine, embedding.getResult(), shape);
        }
        return true;
      })
      .Case<NormOp, ActivationOp, SoftmaxOp>([&](auto pointwise) {
        setLeaf(engine, pointwise.getResult(),
                shapeOf(engine, pointwise.getX()));
        return true;
      })
      .Case([&](RopeOp rope) {
        setLeaf(engine, rope.getResult(),
                rowsShape(engine, op, rope.getX(), rope.getXMap(),
                          rope.getHeads() * rope.getHeadDim()));
        return true;
      })
      .Case([&](AttentionOp attention) {
        setLeaf(engine, attention.getResult(),
                rowsShape(engine, op, attention.getQ(), attention.getQMap(),
                          attention.getHeads() * attention.getValueDim()));
        return true;
      })
      .Case([&](IndexExprOp indexExpr) {
        visitIndexExpr(engine, indexExpr);
        return true;
      })
      .Case<KvAppendOp, UseWeightOp, NoneOp, YieldOp, func::ReturnOp>(
          [](auto) { return true; })
      .Default([](Operation *) { return false; });
}
