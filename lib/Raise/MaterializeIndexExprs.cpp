//===- MaterializeIndexExprs.cpp - closed forms become operations ---------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CarrierMatch.h"
#include "Forms.h"
#include "lathe/IndexExpr/Evaluate.h"
#include "lathe/Raise/MaskForm.h"
#include "lathe/Raise/Passes.h"
#include "lathe/Raise/SymbolicShapes.h"

namespace lathe {
#define GEN_PASS_DEF_MATERIALIZEINDEXEXPRS
#include "lathe/Raise/Passes.h.inc"
} // namespace lathe

using namespace mlir;
using namespace lathe;

namespace {

struct MaterializeIndexExprs
    : lathe::impl::MaterializeIndexExprsBase<MaterializeIndexExprs> {
  void runOnOperation() override;
};

class Materializer {
public:
  Materializer(func::FuncOp entry, const SymbolicShapes &shapes)
      : entry(entry), block(entry.getBody().front()), shapes(shapes),
        context(shapes.getContext()), raiser(entry), forms(block, shapes) {}

  void run();

private:
  Value materialize(Value value);
  Value make(Value value);
  Value fold(Location loc, IndexExpr form, ArrayRef<Poly> shape, Type element);
  Value reshapeConstant(Location loc, Value base, ArrayRef<Poly> index,
                        ArrayRef<Poly> shape);
  std::optional<Value> findIdentity(IndexExpr form, ArrayRef<Poly> shape);
  void settleTypes();

  func::FuncOp entry;
  Block &block;
  const SymbolicShapes &shapes;
  IndexExprContext &context;
  Raiser raiser;
  FormBuilder forms;
  DenseMap<Value, Value> memo;
};

} // namespace

//===----------------------------------------------------------------------===//
// Forms
//===----------------------------------------------------------------------===//

/// Elements of other tensors, or numbers, chosen by position: nothing is
/// computed on them.
static bool isMovement(Poly form) {
  SmallVector<Poly> pending{form};
  while (!pending.empty()) {
    Poly p = pending.pop_back_val();
    if (p.isConstant())
      continue;
    Atom atom = p.getAtom();
    if (!atom)
      return false;
    if (atom.kind() == AtomKind::Read)
      continue;
    if (atom.kind() != AtomKind::Select)
      return false;
    pending.append({atom.operands()[0], atom.operands()[1]});
  }
  return true;
}

/// The tensor that `form` shows unchanged.
std::optional<Value> Materializer::findIdentity(IndexExpr form,
                                                ArrayRef<Poly> shape) {
  Poly poly = form.poly();
  // A boolean is `read != 0`.
  if (form.isPred() && form.pred().kind() == PredKind::Not)
    poly = form.pred().operands()[0].poly();
  Atom atom = poly ? poly.getAtom() : Atom();
  if (!atom || atom.kind() != AtomKind::Read)
    return std::nullopt;
  Value base = shapes.valueOfRead(atom.index());
  if (form.isPred() && !getElement(base).isInteger(1))
    return std::nullopt;
  std::optional<ArrayRef<Poly>> baseShape = shapes.shapeOf(base);
  if (!baseShape || *baseShape != shape ||
      atom.operands() != ArrayRef<Poly>(getIdentity(context, shape)))
    return std::nullopt;
  return base;
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

/// Elements of constants that lie in the IR.
static std::optional<Number> readElement(Value base, ArrayRef<int64_t> index) {
  auto constant = base.getDefiningOp<arith::ConstantOp>();
  auto attr = constant ? dyn_cast<DenseElementsAttr>(constant.getValue())
                       : DenseElementsAttr();
  if (!attr || attr.getType().getRank() != static_cast<int64_t>(index.size()))
    return std::nullopt;
  int64_t flat = 0;
  for (auto [extent, i] : llvm::zip(attr.getType().getShape(), index)) {
    int64_t own = i < 0 ? i + extent : i;
    if (own < 0 || own >= extent)
      return std::nullopt;
    flat = flat * extent + own;
  }
  if (isa<FloatType>(attr.getElementType()))
    return Number::fromDouble(
        (*(attr.getValues<APFloat>().begin() + flat)).convertToDouble());
  APInt value = *(attr.getValues<APInt>().begin() + flat);
  bool isUnsigned = attr.getElementType().isUnsignedInteger() ||
                    attr.getElementType().isInteger(1);
  return Number(isUnsigned ? static_cast<int64_t>(value.getZExtValue())
                           : value.getSExtValue());
}

static Attribute makeElement(Type element, double real, int64_t integer) {
  if (isa<FloatType>(element))
    return FloatAttr::get(element, real);
  return IntegerAttr::get(element, integer);
}

/// The constant with this form, if it is one and is small.
Value Materializer::fold(Location loc, IndexExpr form, ArrayRef<Poly> shape,
                         Type element) {
  constexpr int64_t kLimit = 256;
  RankedTensorType type = getTensorType(shape, element);
  if (!type.hasStaticShape() || type.getNumElements() > kLimit ||
      !element.isIntOrFloat())
    return {};
  auto noDims = [](StringRef) -> std::optional<int64_t> {
    return std::nullopt;
  };
  auto reads = [&](unsigned id, ArrayRef<int64_t> index) {
    return readElement(shapes.valueOfRead(id), index);
  };
  SmallVector<Attribute> elements;
  SmallVector<int64_t> coords(shape.size(), 0);
  for (int64_t n = 0, e = type.getNumElements(); n < e; ++n) {
    Evaluator evaluate(noDims, coords, reads);
    if (form.isPred()) {
      std::optional<bool> value = evaluate(form.pred());
      if (!value)
        return {};
      elements.push_back(makeElement(element, *value, *value));
    } else {
      std::optional<Number> value = evaluate(form.poly());
      if (!value || (!isa<FloatType>(element) && !value->isInteger()))
        return {};
      elements.push_back(
          makeElement(element, value->asDouble(),
                      value->isInteger() ? value->asInteger() : 0));
    }
    for (unsigned k = coords.size(); k-- > 0;) {
      if (++coords[k] < type.getDimSize(k))
        break;
      coords[k] = 0;
    }
  }
  raiser->setInsertionPointToStart(&block);
  return arith::ConstantOp::create(raiser, loc,
                                   DenseElementsAttr::get(type, elements));
}

/// A constant in a file, its dims grouped in another way.
Value Materializer::reshapeConstant(Location loc, Value base,
                                    ArrayRef<Poly> index,
                                    ArrayRef<Poly> shape) {
  auto constant = base.getDefiningOp<ConstantOp>();
  std::optional<ArrayRef<Poly>> from = shapes.shapeOf(base);
  if (!constant || !from)
    return {};
  RankedTensorType type = getTensorType(shape, getElement(base));
  std::optional<SmallVector<Poly>> map = reshapeIndexMap(context, *from, shape);
  if (!type.hasStaticShape() || !map || ArrayRef<Poly>(*map) != index)
    return {};
  raiser->setInsertionPointAfter(constant);
  return ConstantOp::create(raiser, loc, type, constant.getValueAttr(),
                            constant.getNameAttr());
}

//===----------------------------------------------------------------------===//
// Values
//===----------------------------------------------------------------------===//

/// `made` comes from the node of `value`. Equal values are one operation, which
/// comes from the first of them.
static void setProvenance(OpResult value, IndexExprOp made) {
  auto from = dyn_cast_or_null<DictionaryAttr>(
      value.getOwner()->getDiscardableAttr(LatheDialect::kFromAttr));
  auto outputs = from ? from.getAs<ArrayAttr>("outputs") : ArrayAttr();
  unsigned number = value.getResultNumber();
  if (!outputs || number >= outputs.size() ||
      made->hasAttr(LatheDialect::kFromAttr))
    return;
  NamedAttrList entries(from);
  entries.set("outputs", ArrayAttr::get(made.getContext(), outputs[number]));
  made->setDiscardableAttr(LatheDialect::kFromAttr,
                           entries.getDictionary(made.getContext()));
}

Value Materializer::make(Value value) {
  Operation *maker = value.getDefiningOp();
  const ValueInfo *info = shapes.lookup(value);
  if (!maker || !info || !info->shape || info->isLeaf() ||
      isa<arith::ConstantOp, ConstantOp, UseWeightOp, NoneOp>(maker))
    return value;
  ArrayRef<Poly> shape = *info->shape;
  IndexExpr form = shapes.formOf(value);
  if (!form)
    return value;
  bool isClosed = shapes.isIndexy(form);
  if (!isClosed && !(form.isPoly() && isMovement(form.poly())))
    return value;
  // Whoever computes it says that its shape depends on data.
  if (llvm::any_of(shape, isUnknownExtent))
    return value;
  std::optional<Value> same = findIdentity(form, shape);
  if (same && getElement(*same) == getElement(value))
    return *same;
  Location loc = value.getLoc();
  Type element = getElement(value);
  if (Value constant = fold(loc, form, shape, element))
    return constant;

  // Movement does not change the type of the elements; a cast does.
  Type moved = element;
  if (same) {
    moved = getElement(*same);
  } else if (!isClosed || isa<FloatType>(element)) {
    for (unsigned id : collectReads(form)) {
      Type own = getElement(shapes.valueOfRead(id));
      if (!isa<FloatType>(own))
        continue;
      if (moved != element && own != moved)
        return value;
      moved = own;
    }
    if (isClosed && !(form.isPoly() && isMovement(form.poly())))
      moved = element;
  }
  Value result;
  if (same) {
    result = *same;
  } else {
    Atom atom = form.isPoly() ? form.poly().getAtom() : Atom();
    if (atom && atom.kind() == AtomKind::Read)
      result = reshapeConstant(loc, shapes.valueOfRead(atom.index()),
                               atom.operands(), shape);
    if (!result)
      result = forms.get(loc, form, shape, moved);
    if (auto made = result.getDefiningOp<IndexExprOp>())
      setProvenance(cast<OpResult>(value), made);
  }
  if (moved == element)
    return result;
  raiser->setInsertionPointAfterValue(result);
  auto to = raiser->getNamedAttr(
      "to", raiser->getI64IntegerAttr(getOnnxElementType(element)));
  return raiser.carrier(loc, "Cast", getTensorType(shape, element), result, to)
      .getOutputs()[0];
}

Value Materializer::materialize(Value value) {
  auto [slot, isNew] = memo.try_emplace(value);
  if (!isNew)
    return slot->second;
  Value result = make(value);
  memo[value] = result;
  // What was made is what it should be.
  memo[result] = result;
  return result;
}

/// Operands may now say more of their extents than they did.
void Materializer::settleTypes() {
  for (Operation &op : block)
    if (isa<NormOp, ActivationOp, SoftmaxOp>(op))
      op.getResult(0).setType(op.getOperand(0).getType());
  Operation *end = block.getTerminator();
  FunctionType type = entry.getFunctionType();
  entry.setType(FunctionType::get(entry.getContext(), type.getInputs(),
                                  end->getOperandTypes()));
}

void Materializer::run() {
  // Users come before what they use, so that movement is dead when it is
  // reached. It is erased at the end: until then its results are keys.
  SmallVector<Operation *> dead;
  for (Operation *op = &block.back(); op; op = op->getPrevNode()) {
    if (isOpTriviallyDead(op)) {
      op->dropAllReferences();
      dead.push_back(op);
      continue;
    }
    for (OpOperand &operand : op->getOpOperands())
      operand.set(materialize(operand.get()));
  }
  for (Operation *op : dead)
    op->erase();
  settleTypes();
}

void MaterializeIndexExprs::runOnOperation() {
  for (func::FuncOp entry : getEntries(getOperation())) {
    auto &shapes = getChildAnalysis<SymbolicShapes>(entry);
    Materializer(entry, shapes).run();
    eraseDeadOps(entry);
  }
}
