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

/// A view that shows every element of `base` once.
struct Rows {
  Value base;
  SmallVector<Poly, 4> shape;
  /// Index into the base, over the coordinates of the view.
  SmallVector<Poly, 4> index;
  /// Extents of the view.
  SmallVector<Poly, 4> shown;

  bool countsLike(const Rows &other) const {
    return shape == other.shape && index == other.index && shown == other.shown;
  }
};

class RowHoister {
public:
  RowHoister(func::FuncOp entry, const SymbolicShapes &shapes)
      : block(entry.getBody().front()), shapes(shapes),
        context(shapes.getContext()), raiser(entry), forms(block, shapes) {}

  void run();

private:
  std::optional<Rows> findRows(Value value);
  bool isBijection(const Rows &rows);
  bool keepsColumns(const Rows &rows);
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

//===----------------------------------------------------------------------===//
// Views
//===----------------------------------------------------------------------===//

namespace {
/// `(i_coord / stride) mod extent`.
struct Digit {
  unsigned coord;
  Poly stride, extent;
};
} // namespace

/// `index` as a digit of one coordinate; it runs over `extent`.
static std::optional<Digit> getDigit(IndexExprContext &context, Poly index,
                                     Poly extent) {
  Atom atom = index.getAtom();
  if (atom && atom.kind() == AtomKind::Mod) {
    if (atom.operands()[1] != extent)
      return std::nullopt;
    atom = atom.operands()[0].getAtom();
  }
  Poly stride = context.one();
  if (atom && atom.kind() == AtomKind::FloorDiv) {
    stride = atom.operands()[1];
    atom = atom.operands()[0].getAtom();
  }
  if (!atom || atom.kind() != AtomKind::Coord)
    return std::nullopt;
  return Digit{atom.index(), stride, extent};
}

/// True if the view counts through its base in another order, or groups dims in
/// another way: each coordinate is taken apart into digits, all of which are
/// used once. Windows, slices and the like are not of this kind.
bool RowHoister::isBijection(const Rows &rows) {
  ArrayRef<Poly> shape = rows.shown;
  std::optional<SmallVector<Poly>> regrouped =
      reshapeIndexMap(context, rows.shape, shape);
  if (regrouped && ArrayRef<Poly>(*regrouped) == ArrayRef<Poly>(rows.index))
    return true;
  SmallVector<Digit> digits;
  for (auto [index, extent] : llvm::zip(rows.index, rows.shape)) {
    if (extent.isConstant(1))
      continue;
    std::optional<Digit> digit = getDigit(context, index, extent);
    if (!digit)
      return false;
    digits.push_back(*digit);
  }
  for (unsigned k = 0; k < shape.size(); ++k) {
    Poly stride = context.one();
    while (stride != shape[k]) {
      auto next = llvm::find_if(digits, [&](const Digit &digit) {
        return digit.coord == k && digit.stride == stride;
      });
      if (next == digits.end())
        return false;
      stride = stride * next->extent;
      digits.erase(next);
      if (!stride)
        return false;
    }
  }
  return digits.empty();
}

/// True if the last dim is that of the base.
bool RowHoister::keepsColumns(const Rows &rows) {
  ArrayRef<Poly> shape = rows.shown;
  if (rows.shape.empty() || rows.shape.back() != shape.back())
    return false;
  unsigned last = shape.size() - 1;
  if (!shape.back().isConstant(1) && rows.index.back() != context.coord(last))
    return false;
  return llvm::none_of(ArrayRef<Poly>(rows.index).drop_back(),
                       [&](Poly index) { return index.usesCoord(last); });
}

std::optional<Rows> RowHoister::findRows(Value value) {
  auto done = hoisted.find(value);
  if (done != hoisted.end())
    return done->second;
  std::optional<ArrayRef<Poly>> shape = shapes.shapeOf(value);
  IndexExpr form = shapes.formOf(value);
  if (!shape || shape->empty() || !form || !form.isPoly())
    return std::nullopt;
  std::optional<SmallVector<ReadBranch>> branches = readBranches(form.poly());
  if (!branches || branches->size() != 1 || !branches->front().coef.isOne())
    return std::nullopt;
  Value base = shapes.valueOfRead(branches->front().id);
  std::optional<ArrayRef<Poly>> baseShape = shapes.shapeOf(base);
  if (base == value || isConstant(base) || !baseShape ||
      getElement(base) != getElement(value))
    return std::nullopt;
  Rows rows{base, SmallVector<Poly, 4>(*baseShape), branches->front().index,
            SmallVector<Poly, 4>(*shape)};
  auto before = hoisted.find(base);
  if (before != hoisted.end()) {
    // A view of what is itself a view by now.
    Rows outer = before->second;
    for (Poly &index : outer.index)
      index = context.substitute(index, rows.index, *shape);
    if (llvm::any_of(outer.index, [](Poly index) { return !index; }))
      return std::nullopt;
    rows = std::move(outer);
    rows.shown.assign(shape->begin(), shape->end());
  }
  if (!isBijection(rows))
    return std::nullopt;
  return rows;
}

//===----------------------------------------------------------------------===//
// Rewriting
//===----------------------------------------------------------------------===//

/// Computes `op` on `operands`, which are shown as `rows`, and shows the result
/// in the old way.
void RowHoister::hoist(Operation *op, const Rows &rows,
                       ArrayRef<Value> operands) {
  Value old = op->getResult(0);
  ArrayRef<Poly> shape = *shapes.shapeOf(old);
  Rows result = rows;
  // A linear has other columns.
  if (isa<LinearOp>(op))
    result.shape.back() = shape.back();
  result.shown.assign(shape.begin(), shape.end());
  raiser->setInsertionPoint(op);
  Operation *copy = raiser->clone(*op);
  copy->setOperands(operands);
  result.base = copy->getResult(0);
  // Norms and activations promise the type of their operand.
  Type type = isa<NormOp, ActivationOp>(op)
                  ? operands.front().getType()
                  : getTensorType(result.shape, getElement(old));
  copy->getResult(0).setType(type);
  Value view = forms.getView(op->getLoc(), {result.base, result.index}, shape);
  // Later operands are looked up by what they were, or are now.
  hoisted[old] = result;
  hoisted[view] = std::move(result);
  raiser.replaceUses(old, view);
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
  bool hasVector = false;
  for (Value input : op.getInputs()) {
    std::optional<ArrayRef<Poly>> inputShape = shapes.shapeOf(input);
    if (isConstant(input) && inputShape && inputShape->size() <= 1) {
      hasVector |=
          inputShape->size() == 1 && !inputShape->front().isConstant(1);
      operands.push_back(input);
      continue;
    }
    std::optional<Rows> own = findRows(input);
    if (!own || ArrayRef<Poly>(own->shown) != *shape ||
        (rows && !rows->countsLike(*own)))
      return;
    rows = own;
    operands.push_back(own->base);
  }
  if (rows && (!hasVector || keepsColumns(*rows)))
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
  // An activation does not care what the columns are.
  if (!rows || (!isa<ActivationOp>(op) && !keepsColumns(*rows)))
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
