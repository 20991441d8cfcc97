//===- Macs.cpp - multiply-adds of operations ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Driver/Macs.h"
#include "lathe/IndexExpr/Evaluate.h"
#include "lathe/IndexExpr/Text.h"

using namespace mlir;
using namespace lathe;

/// Elements of `value`; null when its shape is not known.
static Poly elements(Value value, SymbolicShapes &shapes) {
  auto shape = shapes.shapeOf(value);
  return shape ? shapes.getContext().product(*shape) : Poly();
}

static Poly extent(Value value, int64_t axis, SymbolicShapes &shapes) {
  auto shape = shapes.shapeOf(value);
  if (!shape || axis < 0 || axis >= static_cast<int64_t>(shape->size()))
    return {};
  return (*shape)[axis];
}

Poly lathe::countKeys(AttentionOp attention, SymbolicShapes &shapes) {
  Poly rows = extent(attention.getResult(), 1, shapes);
  if (attention.getKeys()) {
    auto keys = parsePoly(shapes.getContext(), *attention.getKeys());
    if (keys)
      return *keys;
    llvm::consumeError(keys.takeError());
  }
  if (!attention.getK())
    return rows;
  StringRef map = attention.getKMap()->getText().trim();
  map.consume_front("[");
  map.consume_back("]");
  SmallVector<StringRef> entries;
  map.split(entries, ',');
  for (auto [axis, entry] : llvm::enumerate(entries))
    if (entry.trim() == "i2")
      return extent(attention.getK(), axis, shapes);
  return rows;
}

static Poly countOne(Operation *op, SymbolicShapes &shapes) {
  if (auto linear = dyn_cast<LinearOp>(op)) {
    Poly rows = elements(linear.getX(), shapes);
    return rows * linear.getWeight().getType().getDim(1);
  }
  if (auto attention = dyn_cast<AttentionOp>(op)) {
    Poly rows = extent(attention.getResult(), 0, shapes) *
                extent(attention.getResult(), 1, shapes);
    return rows * countKeys(attention, shapes) *
           static_cast<int64_t>(
               attention.getHeads() *
               (attention.getHeadDim() + attention.getValueDim()));
  }
  auto node = dyn_cast<OnnxOp>(op);
  if (!node || !node.is("MatMul") || node.getInputs().size() != 2)
    return {};
  auto shape = shapes.shapeOf(node.getInputs()[0]);
  if (!shape || shape->empty())
    return {};
  return elements(node.getResult(0), shapes) * shape->back();
}

Poly lathe::countMacs(Operation *root, SymbolicShapes &shapes) {
  Poly sum = shapes.getContext().zero();
  root->walk([&](Operation *op) {
    if (Poly count = countOne(op, shapes))
      if (Poly next = sum + count)
        sum = next;
  });
  return sum;
}

int64_t lathe::valueAt(Poly poly, const llvm::StringMap<int64_t> &dims) {
  if (!poly)
    return 0;
  auto dimValue = [&](StringRef name) -> std::optional<int64_t> {
    auto found = dims.find(name);
    return found == dims.end() ? 1 : found->second;
  };
  std::optional<Number> value = Evaluator(dimValue)(poly);
  return value && value->isInteger() ? value->asInteger() : 0;
}
