//===- Forms.cpp - from terms to attributes and operations ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Forms.h"
#include "lathe/IndexExpr/Text.h"

using namespace mlir;
using namespace lathe;

//===----------------------------------------------------------------------===//
// Texts
//===----------------------------------------------------------------------===//

void ReadOperands::add(IndexExpr form) {
  if (!form)
    return;
  for (unsigned id : collectReads(form))
    if (numbers.try_emplace(id, operands.size()).second)
      operands.push_back(shapes.valueOfRead(id));
}

std::string ReadOperands::print(IndexExpr form) const {
  return toString(form, [&](unsigned id) { return numbers.lookup(id); });
}

FormAttr lathe::getMap(MLIRContext *context, ArrayRef<Poly> index) {
  return FormAttr::get(context, toString(index));
}

ArrayAttr lathe::getShapeAttr(Builder &builder, ArrayRef<Poly> shape) {
  SmallVector<Attribute> texts;
  for (Poly extent : shape)
    texts.push_back(builder.getStringAttr(toString(extent)));
  return builder.getArrayAttr(texts);
}

RankedTensorType lathe::getTensorType(ArrayRef<Poly> shape, Type element) {
  SmallVector<int64_t> extents;
  for (Poly extent : shape)
    extents.push_back(extent.getConstantInt().value_or(ShapedType::kDynamic));
  return RankedTensorType::get(extents, element);
}

SmallVector<Poly, 4> lathe::getIdentity(IndexExprContext &context,
                                        ArrayRef<Poly> shape) {
  SmallVector<Poly, 4> coords;
  for (auto [k, extent] : llvm::enumerate(shape))
    coords.push_back(extent.isConstant(1) ? context.zero() : context.coord(k));
  return coords;
}

//===----------------------------------------------------------------------===//
// FormBuilder
//===----------------------------------------------------------------------===//

void lathe::setInsertionPointAfterAll(OpBuilder &builder, Block &block,
                                      ValueRange values) {
  Operation *last = nullptr;
  for (Value value : values)
    if (Operation *op = value.getDefiningOp())
      if (!last || last->isBeforeInBlock(op))
        last = op;
  if (last)
    builder.setInsertionPointAfter(last);
  else
    builder.setInsertionPointToStart(&block);
}

Value FormBuilder::get(Location loc, StringRef text, ValueRange operands,
                       ArrayRef<Poly> shape, Type element) {
  auto form = FormAttr::get(builder.getContext(), text);
  auto shapeAttr = getShapeAttr(builder, shape);
  RankedTensorType type = getTensorType(shape, element);
  for (IndexExprOp op : made[form])
    if (op.getShape() == shapeAttr && op.getType() == type &&
        llvm::equal(op.getInputs(), operands))
      return op;
  setInsertionPointAfterAll(builder, block, operands);
  auto op = IndexExprOp::create(builder, loc, type, form, operands, shapeAttr);
  made[form].push_back(op);
  return op;
}

Value FormBuilder::get(Location loc, IndexExpr form, ArrayRef<Poly> shape,
                       Type element) {
  ReadOperands operands(shapes);
  operands.add(form);
  return get(loc, operands.print(form), operands.values(), shape, element);
}

Value FormBuilder::getView(Location loc, const View &view,
                           ArrayRef<Poly> shape) {
  std::string text = "read(0, " + toString(view.index) + ")";
  auto element = cast<ShapedType>(view.base.getType()).getElementType();
  return get(loc, text, view.base, shape, element);
}
