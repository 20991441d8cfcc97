//===- CarrierMatch.cpp - looking at carrier operations -------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "CarrierMatch.h"
#include "llvm/ADT/STLExtras.h"
#include <cmath>

using namespace mlir;
using namespace lathe;

//===----------------------------------------------------------------------===//
// Structure
//===----------------------------------------------------------------------===//

OnnxOp lathe::getCarrier(Value value, StringRef type) {
  auto op = value ? value.getDefiningOp<OnnxOp>() : OnnxOp();
  return op && op.is(type) ? op : OnnxOp();
}

OnnxOp lathe::getCarrier(Value value) {
  return value ? value.getDefiningOp<OnnxOp>() : OnnxOp();
}

Value lathe::skipCasts(Value value) {
  while (OnnxOp op = getCarrier(value)) {
    bool isCast = (op.is("Cast") || op.is("CastLike")) &&
                  isFloatTensor(op.getInputs()[0]) &&
                  isFloatTensor(op.getOutputs()[0]);
    if (!isCast && !op.is("Identity") && !op.is("Dropout"))
      break;
    value = op.getInputs()[0];
  }
  return value;
}

/// Equal attributes but for where they come from.
static bool haveEqualAttributes(Operation *a, Operation *b) {
  auto isOwn = [](NamedAttribute attr) {
    return attr.getName() != LatheDialect::kFromAttr;
  };
  auto attrsA = llvm::make_filter_range(a->getDiscardableAttrs(), isOwn);
  auto attrsB = llvm::make_filter_range(b->getDiscardableAttrs(), isOwn);
  return llvm::equal(attrsA, attrsB) &&
         a->getPropertiesAsAttribute() == b->getPropertiesAsAttribute();
}

bool lathe::areEquivalent(Value a, Value b) {
  // Equal computations in a model are a few nodes deep; beyond that they
  // would have been one node.
  constexpr unsigned kDepth = 8;
  SmallVector<std::tuple<Value, Value, unsigned>> pending{{a, b, 0}};
  while (!pending.empty()) {
    auto [x, y, depth] = pending.pop_back_val();
    if (x == y)
      continue;
    Operation *p = x.getDefiningOp(), *q = y.getDefiningOp();
    if (!p || !q || depth > kDepth || p->getName() != q->getName() ||
        p->getNumOperands() != q->getNumOperands() || p->getNumRegions() ||
        x.getType() != y.getType() ||
        cast<OpResult>(x).getResultNumber() !=
            cast<OpResult>(y).getResultNumber() ||
        !haveEqualAttributes(p, q))
      return false;
    for (auto [l, r] : llvm::zip(p->getOperands(), q->getOperands()))
      pending.emplace_back(l, r, depth + 1);
  }
  return true;
}

Value lathe::getOther(OnnxOp op, Value operand) {
  return op.getInputs()[0] == operand ? op.getInputs()[1] : op.getInputs()[0];
}

Operation *lathe::getOnlyUser(Value value) {
  return value.hasOneUse() ? *value.user_begin() : nullptr;
}

OnnxOp lathe::getOnlyUser(Value value, StringRef type) {
  auto op = dyn_cast_or_null<OnnxOp>(getOnlyUser(value));
  return op && op.is(type) ? op : OnnxOp();
}

std::optional<int64_t> lathe::getRank(Value value) {
  if (auto type = dyn_cast<RankedTensorType>(value.getType()))
    return type.getRank();
  return std::nullopt;
}

std::optional<int64_t> lathe::getLastDim(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type || type.getRank() == 0 || type.isDynamicDim(type.getRank() - 1))
    return std::nullopt;
  return type.getShape().back();
}

Type lathe::getElement(Value value) {
  auto type = dyn_cast<ShapedType>(value.getType());
  return type ? type.getElementType() : Type();
}

bool lathe::isFloatTensor(Value value) {
  return isa_and_nonnull<FloatType>(getElement(value));
}

int64_t lathe::getOnnxElementType(Type type) {
  if (type.isF16())
    return 10;
  if (type.isF64())
    return 11;
  if (type.isBF16())
    return 16;
  return 1;
}

std::optional<int64_t> lathe::normalizeAxis(int64_t axis, int64_t rank) {
  if (axis < 0)
    axis += rank;
  if (axis < 0 || axis >= rank)
    return std::nullopt;
  return axis;
}

std::optional<SmallVector<int64_t>> lathe::getAxes(OnnxOp op, unsigned input,
                                                   int64_t rank) {
  SmallVector<int64_t> axes;
  if (std::optional<ArrayRef<int64_t>> attr = op.getInts("axes")) {
    axes.assign(attr->begin(), attr->end());
  } else {
    Value operand = op.getOptionalInput(input);
    std::optional<SmallVector<int64_t>> values =
        operand ? getIntegers(operand) : std::nullopt;
    if (!values)
      return std::nullopt;
    axes = *values;
  }
  for (int64_t &axis : axes) {
    std::optional<int64_t> normal = normalizeAxis(axis, rank);
    if (!normal)
      return std::nullopt;
    axis = *normal;
  }
  return axes;
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

bool lathe::isConstant(Value value) {
  constexpr unsigned kMaxOps = 32;
  SmallVector<Value> pending{value};
  for (unsigned seen = 0; !pending.empty(); ++seen) {
    Operation *op = pending.pop_back_val().getDefiningOp();
    if (!op || seen > kMaxOps)
      return false;
    if (isa<arith::ConstantOp, ConstantOp, NoneOp>(op))
      continue;
    if (!isa<OnnxOp>(op))
      return false;
    llvm::append_range(pending, op->getOperands());
  }
  return true;
}

bool FloatConstant::isUniform() const { return llvm::all_equal(values); }

/// Elements of a float, integer or boolean attribute as floats.
static std::optional<std::vector<float>> toFloats(DenseElementsAttr attr) {
  std::vector<float> values;
  values.reserve(attr.getNumElements());
  Type element = attr.getElementType();
  if (isa<FloatType>(element)) {
    for (APFloat value : attr.getValues<APFloat>()) {
      bool losesInfo;
      value.convert(APFloat::IEEEsingle(), APFloat::rmNearestTiesToEven,
                    &losesInfo);
      values.push_back(value.convertToFloat());
    }
    return values;
  }
  auto integer = dyn_cast<IntegerType>(element);
  if (!integer)
    return std::nullopt;
  bool isUnsigned = integer.isUnsigned() || integer.getWidth() == 1;
  for (const APInt &value : attr.getValues<APInt>())
    values.push_back(isUnsigned ? static_cast<float>(value.getZExtValue())
                                : static_cast<float>(value.getSExtValue()));
  return values;
}

static std::optional<FloatConstant> readConstant(Operation *op, int64_t limit) {
  auto type = dyn_cast<RankedTensorType>(op->getResult(0).getType());
  if (!type || !type.hasStaticShape() || type.getNumElements() > limit)
    return std::nullopt;
  FloatConstant result{SmallVector<int64_t>(type.getShape()), {}};
  if (auto constant = dyn_cast<arith::ConstantOp>(op)) {
    auto attr = dyn_cast<DenseElementsAttr>(constant.getValue());
    std::optional<std::vector<float>> values =
        attr ? toFloats(attr) : std::nullopt;
    if (!values)
      return std::nullopt;
    result.values = std::move(*values);
    return result;
  }
  if (!isa<FloatType>(type.getElementType()))
    return std::nullopt;
  auto encoding = DenseAttr::getChecked(
      [&] { return mlir::emitError(op->getLoc()); }, op->getContext(),
      type.getElementType(), /*transposed=*/false);
  if (!encoding)
    return std::nullopt;
  Builder builder(op->getContext());
  result.values.resize(type.getNumElements());
  llvm::Error error =
      encoding.decode(getPayloads(op), type.getShape(),
                      builder.getDictionaryAttr(builder.getNamedAttr(
                          "data", cast<ConstantOp>(op).getValue())),
                      result.values);
  if (!error)
    return result;
  // A payload that cannot be read is reported by whoever needs it; here it is
  // a constant that nobody knows.
  llvm::consumeError(std::move(error));
  return std::nullopt;
}

using BinaryFn = float (*)(float, float);
static BinaryFn getBinary(OnnxOp op) {
  if (op.is("Add"))
    return [](float a, float b) { return a + b; };
  if (op.is("Sub"))
    return [](float a, float b) { return a - b; };
  if (op.is("Mul"))
    return [](float a, float b) { return a * b; };
  if (op.is("Div"))
    return [](float a, float b) { return a / b; };
  if (op.is("Pow"))
    return [](float a, float b) { return std::pow(a, b); };
  return nullptr;
}

using UnaryFn = float (*)(float);
static UnaryFn getUnary(OnnxOp op) {
  if (op.is("Neg"))
    return [](float a) { return -a; };
  if (op.is("Sqrt"))
    return [](float a) { return std::sqrt(a); };
  if (op.is("Reciprocal"))
    return [](float a) { return 1 / a; };
  if (op.is("Exp"))
    return [](float a) { return std::exp(a); };
  return nullptr;
}

/// `a op b` where one is a single element or the shapes are equal.
static std::optional<FloatConstant> applyBinary(BinaryFn fn, FloatConstant a,
                                                FloatConstant b) {
  if (a.values.size() == 1 && b.values.size() >= 1) {
    SmallVector<int64_t> shape =
        a.shape.size() > b.shape.size() ? a.shape : b.shape;
    if (b.values.size() > 1 && a.shape.size() > b.shape.size())
      return std::nullopt;
    for (float &value : b.values)
      value = fn(a.values[0], value);
    return FloatConstant{shape, std::move(b.values)};
  }
  bool isScalar = b.values.size() == 1 && b.shape.size() <= a.shape.size();
  if (!isScalar && a.shape != b.shape)
    return std::nullopt;
  for (size_t i = 0; i < a.values.size(); ++i)
    a.values[i] = fn(a.values[i], isScalar ? b.values[0] : b.values[i]);
  return a;
}

/// What keeps the order of the elements.
static bool isReshape(OnnxOp op) {
  return op.is("Reshape") || op.is("Squeeze") || op.is("Unsqueeze") ||
         op.is("Flatten") || op.is("Identity") || op.is("Dropout");
}

static std::optional<FloatConstant> evaluate(Value value, int64_t limit,
                                             unsigned depth) {
  constexpr unsigned kDepth = 16;
  Operation *op = value.getDefiningOp();
  if (!op || depth > kDepth)
    return std::nullopt;
  if (isa<arith::ConstantOp, ConstantOp>(op))
    return readConstant(op, limit);
  auto carrier = dyn_cast<OnnxOp>(op);
  if (!carrier || carrier.getInputs().empty())
    return std::nullopt;

  auto input = [&](unsigned i) {
    return evaluate(carrier.getInputs()[i], limit, depth + 1);
  };
  if (BinaryFn fn = getBinary(carrier)) {
    std::optional<FloatConstant> a = input(0);
    std::optional<FloatConstant> b = a ? input(1) : std::nullopt;
    if (!b)
      return std::nullopt;
    return applyBinary(fn, std::move(*a), std::move(*b));
  }
  if (UnaryFn fn = getUnary(carrier)) {
    std::optional<FloatConstant> a = input(0);
    if (a)
      for (float &x : a->values)
        x = fn(x);
    return a;
  }
  if (carrier.is("Cast") || carrier.is("CastLike")) {
    // Rounding to a narrower type would have to be done here.
    auto to = dyn_cast<FloatType>(getElement(value));
    if (!to || to.getWidth() < 32)
      return std::nullopt;
    return input(0);
  }
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type || !type.hasStaticShape() || type.getNumElements() > limit)
    return std::nullopt;
  if (isReshape(carrier)) {
    std::optional<FloatConstant> a = input(0);
    if (a)
      a->shape.assign(type.getShape().begin(), type.getShape().end());
    return a;
  }
  if (carrier.is("Expand")) {
    std::optional<FloatConstant> a = input(0);
    if (!a || a->values.size() != 1)
      return std::nullopt;
    return FloatConstant{
        SmallVector<int64_t>(type.getShape()),
        std::vector<float>(type.getNumElements(), a->values[0])};
  }
  if (carrier.is("ConstantOfShape")) {
    auto attr = carrier->getAttrOfType<DenseElementsAttr>("value");
    std::optional<std::vector<float>> fill =
        attr ? toFloats(attr) : std::vector<float>{0.0f};
    if (!fill || fill->size() != 1)
      return std::nullopt;
    return FloatConstant{
        SmallVector<int64_t>(type.getShape()),
        std::vector<float>(type.getNumElements(), fill->at(0))};
  }
  return std::nullopt;
}

std::optional<FloatConstant> lathe::evaluateConstant(Value value,
                                                     int64_t limit) {
  return evaluate(value, limit, 0);
}

std::optional<double> lathe::getUniform(Value value) {
  std::optional<FloatConstant> constant = evaluateConstant(value);
  if (!constant || constant->values.empty() || !constant->isUniform())
    return std::nullopt;
  return constant->values.front();
}

bool lathe::isNear(double number, double expected) {
  return std::abs(number - expected) <= 1e-4 * std::abs(expected);
}

bool lathe::isNumber(Value value, double expected) {
  std::optional<double> number = getUniform(value);
  return number && isNear(*number, expected);
}

std::optional<SmallVector<int64_t>> lathe::getIntegers(Value value) {
  constexpr int64_t kLimit = 1024;
  while (OnnxOp op = getCarrier(value)) {
    if (!isReshape(op))
      break;
    value = op.getInputs()[0];
  }
  auto constant = value.getDefiningOp<arith::ConstantOp>();
  auto attr = constant ? dyn_cast<DenseIntElementsAttr>(constant.getValue())
                       : DenseIntElementsAttr();
  if (!attr || attr.getNumElements() > kLimit)
    return std::nullopt;
  bool isUnsigned = attr.getElementType().isUnsignedInteger();
  SmallVector<int64_t> values;
  for (const APInt &element : attr.getValues<APInt>())
    values.push_back(isUnsigned ? element.getZExtValue()
                                : element.getSExtValue());
  return values;
}

//===----------------------------------------------------------------------===//
// Replacing
//===----------------------------------------------------------------------===//

Raiser::Raiser(Operation *root) : builder(root->getContext()), opset(17) {
  auto module = dyn_cast<ModuleOp>(root);
  if (!module)
    module = root->getParentOfType<ModuleOp>();
  if (auto attr =
          module ? module->getAttrOfType<IntegerAttr>(LatheDialect::kOpsetAttr)
                 : IntegerAttr())
    opset = attr.getInt();
}

void Raiser::replaceUses(Value old, Value value) {
  if (old.getType() == value.getType()) {
    old.replaceAllUsesWith(value);
  } else {
    // Only a terminator insists on what its function promises.
    auto isTerminator = [](OpOperand &use) {
      return use.getOwner()->hasTrait<OpTrait::IsTerminator>();
    };
    old.replaceUsesWithIf(value,
                          [&](OpOperand &use) { return !isTerminator(use); });
    if (!old.use_empty()) {
      OpBuilder::InsertionGuard guard(builder);
      builder.setInsertionPointAfterValue(value);
      Value typed = carrier(old.getLoc(), "Identity", old.getType(), value)
                        .getOutputs()[0];
      old.replaceAllUsesWith(typed);
    }
  }
}

void Raiser::replace(Value old, Value value) {
  replaceUses(old, value);
  if (Operation *maker = old.getDefiningOp())
    eraseIfDead(maker);
}

void Raiser::eraseIfDead(Operation *op) {
  SmallVector<Operation *> pending{op};
  while (!pending.empty()) {
    Operation *dead = pending.pop_back_val();
    if (erased.contains(dead) || !isOpTriviallyDead(dead))
      continue;
    SmallVector<Value> operands(dead->getOperands());
    // The builder may stand on it.
    if (builder.getInsertionBlock() == dead->getBlock() &&
        builder.getInsertionPoint() == dead->getIterator())
      builder.setInsertionPointAfter(dead);
    erased.insert(dead);
    dead->erase();
    for (Value operand : operands)
      if (Operation *maker = operand.getDefiningOp())
        pending.push_back(maker);
  }
}

OnnxOp Raiser::carrier(Location loc, StringRef type, Type result,
                       ValueRange inputs, ArrayRef<NamedAttribute> attrs) {
  OnnxOp op = OnnxOp::create(builder, loc, result, inputs, type,
                             static_cast<uint64_t>(opset), StringAttr());
  for (NamedAttribute attr : attrs)
    op->setDiscardableAttr(attr.getName(), attr.getValue());
  return op;
}

Value Raiser::integers(Location loc, ArrayRef<int64_t> values) {
  auto type = RankedTensorType::get({static_cast<int64_t>(values.size())},
                                    builder.getI64Type());
  return arith::ConstantOp::create(builder, loc,
                                   DenseIntElementsAttr::get(type, values));
}

void lathe::copyProvenance(Operation *from, Operation *to) {
  if (Attribute attr = from->getDiscardableAttr(LatheDialect::kFromAttr))
    to->setDiscardableAttr(LatheDialect::kFromAttr, attr);
}

SmallVector<func::FuncOp> lathe::getEntries(ModuleOp module) {
  SmallVector<func::FuncOp> entries;
  for (auto function : module.getOps<func::FuncOp>())
    if (!function.isExternal())
      entries.push_back(function);
  return entries;
}

void lathe::eraseDeadOps(func::FuncOp function) {
  for (Block &block : function.getBody())
    for (Operation &op : llvm::make_early_inc_range(llvm::reverse(block)))
      if (isOpTriviallyDead(&op))
        op.erase();
}
