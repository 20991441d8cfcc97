//===- HoistRowOps.cpp - row by row, however rows are counted -------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CarrierMatch.h"
#include "Forms.h"
#include "lathe/Raise/MaskForm.h"
#include "lathe/Raise/Passes.h"
#include "lathe/Raise/SymbolicShapes.h"

namespace lathe {
#define GEN_PASS_DEF_HOISTROWOPS
#include "lathe/Raise/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

struct HoistRowOps : lathe::impl::HoistRowOpsBase<HoistRowOps> {
  void runOnOperation() override;
};

/// A tensor, and the same rows counted in another way.
struct Rows {
  Value base;
  SmallVector<Poly, 4> shape;
};

class RowHoister {
public:
  RowHoister(func::FuncOp entry, const SymbolicShapes &shapes)
      : block(entry.getBody().front()), shapes(shapes),
        context(shapes.getContext()), raiser(entry), forms(block, shapes) {}

  void run();

private:
  std::optional<Rows> findRows(Value value);
  bool isRegrouped(ArrayRef<Poly> from, ArrayRef<Poly> to);
  void hoist(Operation *op, const Rows &rows, ArrayRef<Value> operands);
  void visit(Operation *op);
  void visitPointwise(OnnxOp op);

  Block &block;
  const SymbolicShapes &shapes;
  IndexExprContext &context;
  Raiser raiser;
  FormBuilder forms;
  /// Results that were computed on other rows.
  DenseMap<Value, Rows> hoisted;
};

} // namespace

/// True if the leading dims of `from` count the rows of `to` in the same order,
/// and the last dim is the same.
bool RowHoister::isRegrouped(ArrayRef<Poly> from, ArrayRef<Poly> to) {
  if (from.size() < 2 || to.size() < 2 || from.back() != to.back())
    return false;
  std::optional<SmallVector<Poly>> map = reshapeIndexMap(context, from, to);
  return map && (map->back() == context.coord(to.size() - 1) ||
                 to.back().isConstant(1));
}

std::optional<Rows> RowHoister::findRows(Value value) {
  auto done = hoisted.find(value);
  if (done != hoisted.end())
    return done->second;
  std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(value);
  IndexExpr form = shapes.formOf(value);
  if (!shape || shape->size() < 2 || !form || !form.isPoly())
    return std::nullopt;
  std::optional<SmallVector<ReadBranch>> branches = readBranches(form.poly());
  if (!branches || branches->size() != 1 || !branches->front().coef.isOne())
    return std::nullopt;
  Value base = shapes.valueOfRead(branches->front().id);
  std::optional<ArrayRef<Poly>> baseShape = shapes.shapeOf(base);
  if (base == value || isConstant(base) || !baseShape ||
      getElement(base) != getElement(value) || !isRegrouped(*baseShape, *shape))
    return std::nullopt;
  std::optional<SmallVector<Poly>> map =
      reshapeIndexMap(context, *baseShape, *shape);
  if (ArrayRef<Poly>(*map) != ArrayRef<Poly>(branches->front().index))
    return std::nullopt;
  auto before = hoisted.find(base);
  if (before != hoisted.end())
    return before->second;
  return Rows{base, SmallVector<Poly, 4>(*baseShape)};
}

/// Computes `op` on `operands`, rows of `rows`, and shows the result in the
/// old way.
void RowHoister::hoist(Operation *op, const Rows &rows,
                       ArrayRef<Value> operands) {
  Value old = op->getResult(0);
  ArrayRef<Poly> shape = *shapes.shapeOf(old);
  SmallVector<Poly, 4> newShape(rows.shape);
  newShape.back() = shape.back();
  std::optional<SmallVector<Poly>> map =
      reshapeIndexMap(context, newShape, shape);
  if (!map)
    return;
  raiser->setInsertionPoint(op);
  Operation *copy = raiser->clone(*op);
  copy->setOperands(operands);
  // Norms and activations promise the type of their operand.
  Type type = isa<NormOp, ActivationOp>(op)
                  ? operands.front().getType()
                  : getTensorType(newShape, getElement(old));
  copy->getResult(0).setType(type);
  Value view = forms.getView(
      op->getLoc(),
      {copy->getResult(0), SmallVector<Poly, 4>(ArrayRef<Poly>(*map))}, shape);
  hoisted[old] = {copy->getResult(0), newShape};
  raiser.replaceUses(old, view);
  // Later operands are looked up by what they were.
  hoisted[view] = hoisted[old];
}

static bool isPointwise(OnnxOp op) {
  return op.is("Add") || op.is("Sub") || op.is("Mul") || op.is("Div");
}

void RowHoister::visitPointwise(OnnxOp op) {
  Value result = op.getOutputs()[0];
  std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(result);
  if (!shape || !isFloatTensor(result))
    return;
  std::optional<Rows> rows;
  SmallVector<Value> operands;
  for (Value input : op.getInputs()) {
    std::optional<Rows> own = findRows(input);
    std::optional<ArrayRef<Poly>> inputShape = shapes.shapeOf(input);
    if (!own && isConstant(input) && inputShape && inputShape->size() <= 1) {
      operands.push_back(input);
      continue;
    }
    if (!own || (rows && rows->shape != own->shape))
      return;
    rows = own;
    operands.push_back(own->base);
  }
  if (rows && rows->shape.back() == shape->back())
    hoist(op, *rows, operands);
}

void RowHoister::visit(Operation *op) {
  if (auto carrier = dyn_cast<OnnxOp>(op)) {
    if (isPointwise(carrier))
      visitPointwise(carrier);
    return;
  }
  if (!isa<LinearOp, NormOp, ActivationOp>(op) ||
      !shapes.shapeOf(op->getResult(0)))
    return;
  if (auto linear = dyn_cast<LinearOp>(op))
    if (!linear.getEpilogueArgs().empty())
      return;
  std::optional<Rows> rows = findRows(op->getOperand(0));
  if (!rows)
    return;
  SmallVector<Value> operands(op->getOperands());
  operands.front() = rows->base;
  hoist(op, *rows, operands);
}

void RowHoister::run() {
  // What is made on the way needs no visit.
  SmallVector<Operation *> ops;
  for (Operation &op : block)
    ops.push_back(&op);
  for (Operation *op : ops)
    visit(op);
}

void HoistRowOps::runOnOperation() {
  for (func::FuncOp entry : getEntries(getOperation())) {
    auto &shapes = getChildAnalysis<SymbolicShapes>(entry);
    RowHoister(entry, shapes).run();
    eraseDeadOps(entry);
  }
}
