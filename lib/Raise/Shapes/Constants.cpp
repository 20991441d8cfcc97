//===- Constants.cpp - constants, shapes as values, ranges ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Engine.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/Endian.h"
#include <cmath>
#include <cstring>

using namespace lathe;
using namespace lathe::shapes;
using namespace mlir;
using llvm::ArrayRef;
using llvm::SmallVector;
using llvm::StringRef;

/// Lists of constants: shape vectors, axes, bounds.
static constexpr int64_t kMaxListLength = 16;
/// No larger payload of floats is looked at.
static constexpr int64_t kMaxFloats = 64 << 10;
/// Causal buffers of exporters have (maximal positions)^2 booleans.
static constexpr int64_t kMaxIntegers = 4 << 20;

namespace {
/// The elements of a constant tensor, decoded one by one.
class Elements {
public:
  Elements(RankedTensorType type, ArrayRef<char> bytes)
      : type(type), element(type.getElementType()), bytes(bytes) {
    width = element.isInteger(1) ? 1 : element.getIntOrFloatBitWidth() / 8;
  }

  /// False for element types that have no closed form (int4, float8, ...).
  static bool isSupported(Type element) {
    return element.isF16() || element.isBF16() || element.isF32() ||
           element.isF64() || element.isInteger(1) || element.isInteger(8) ||
           element.isInteger(16) || element.isInteger(32) ||
           element.isInteger(64);
  }

  int64_t size() const { return type.getNumElements(); }
  bool allEqual() const {
    return std::memcmp(bytes.data(), bytes.data() + width,
                       bytes.size() - width) == 0;
  }
  Number at(int64_t index) const {
    const char *data = bytes.data() + index * width;
    if (element.isF32())
      return Number::fromDouble(read<float>(data));
    if (element.isF64())
      return Number::fromDouble(read<double>(data));
    if (isa<FloatType>(element)) {
      llvm::APFloat value(cast<FloatType>(element).getFloatSemantics(),
                          llvm::APInt(16, read<uint16_t>(data)));
      bool losesInfo;
      value.convert(llvm::APFloat::IEEEdouble(),
                    llvm::APFloat::rmNearestTiesToEven, &losesInfo);
      return Number::fromDouble(value.convertToDouble());
    }
    bool isUnsigned = element.isUnsignedInteger() || element.isInteger(1);
    switch (width) {
    case 1:
      return isUnsigned ? int64_t(read<uint8_t>(data)) : read<int8_t>(data);
    case 2:
      return isUnsigned ? int64_t(read<uint16_t>(data)) : read<int16_t>(data);
    case 4:
      return isUnsigned ? int64_t(read<uint32_t>(data)) : read<int32_t>(data);
    default:
      return read<int64_t>(data);
    }
  }

private:
  template <typename T>
  static T read(const char *data) {
    T value;
    std::memcpy(&value, data, sizeof(T));
    return value;
  }

  RankedTensorType type;
  Type element;
  ArrayRef<char> bytes;
  unsigned width;
};

/// Looks for a closed form of a constant.
class ConstantForm {
public:
  ConstantForm(Engine &engine, RankedTensorType type, ArrayRef<char> bytes)
      : engine(engine), context(engine.context), type(type),
        elements(type, bytes),
        isBoolean(classOf(type) == ElementClass::Boolean) {}

  void analyse(ValueInfo &info);

private:
  IndexExpr term(Number value) {
    if (isBoolean)
      return context.boolean(!value.isZero());
    return context.constant(value);
  }
  Poly affine();
  IndexExpr triangular();

  Engine &engine;
  IndexExprContext &context;
  RankedTensorType type;
  Elements elements;
  bool isBoolean;
};
} // namespace

void ConstantForm::analyse(ValueInfo &info) {
  int64_t size = elements.size();
  if (type.getRank() <= 1 && size <= kMaxListLength) {
    info.kind = ValueInfo::FormKind::List;
    for (int64_t k = 0; k != size; ++k)
      info.list.push_back(term(elements.at(k)));
  }
  IndexExpr form;
  if (size == 1 || elements.allEqual())
    form = term(elements.at(0));
  else if (classOf(type) == ElementClass::Integer)
    form = affine();
  if (!form)
    form = triangular();
  if (!form)
    return;
  info.form = form;
  if (info.kind != ValueInfo::FormKind::List)
    info.kind =
        form.isPred() ? ValueInfo::FormKind::Pred : ValueInfo::FormKind::Poly;
}

/// start + sum of step_k * i_k, if that is every element: position buffers.
Poly ConstantForm::affine() {
  ArrayRef<int64_t> shape = type.getShape();
  Number start = elements.at(0);
  SmallVector<int64_t> steps(shape.size(), 0);
  Poly form = context.constant(start);
  int64_t stride = elements.size();
  for (auto [k, extent] : llvm::enumerate(shape)) {
    stride /= extent;
    if (extent == 1)
      continue;
    // Positions and offsets are small; larger steps could overflow below.
    int64_t step;
    if (llvm::SubOverflow(elements.at(stride).asInteger(), start.asInteger(),
                          step) ||
        std::abs(step) > (int64_t(1) << 32))
      return {};
    steps[k] = step;
    form = form + context.coord(k) * step;
  }
  SmallVector<int64_t> index(shape.size(), 0);
  for (int64_t flat = 0, size = elements.size(); flat != size; ++flat) {
    int64_t offset = 0;
    for (auto [i, step] : llvm::zip_equal(index, steps))
      offset += i * step;
    int64_t expected;
    if (llvm::AddOverflow(start.asInteger(), offset, expected) ||
        elements.at(flat).asInteger() != expected)
      return {};
    for (int64_t k = shape.size() - 1; k >= 0; --k) {
      if (++index[k] != shape[k])
        break;
      index[k] = 0;
    }
  }
  return form;
}

/// One value on and below the diagonal of the last two dims, another above.
IndexExpr ConstantForm::triangular() {
  ArrayRef<int64_t> shape = type.getShape();
  unsigned rank = shape.size();
  if (rank < 2 || shape[rank - 1] < 2 || shape[rank - 2] < 2 ||
      llvm::any_of(shape.drop_back(2), [](int64_t d) { return d != 1; }))
    return {};
  int64_t rows = shape[rank - 2], columns = shape[rank - 1];
  Number low = elements.at(0), high = elements.at(1);
  if (low == high)
    return {};
  for (int64_t i = 0; i != rows; ++i)
    for (int64_t j = 0; j != columns; ++j)
      if (elements.at(i * columns + j) != (j <= i ? low : high))
        return {};
  Pred below = context.le(context.coord(rank - 1), context.coord(rank - 2));
  return engine.choose(below, term(low), term(high));
}

/// The bytes of a constant in payload layout; empty if they cannot be had.
static SmallVector<char> inlineBytes(arith::ConstantOp op) {
  SmallVector<char> bytes;
  auto dense = dyn_cast<DenseElementsAttr>(op.getValue());
  if (!dense)
    return bytes;
  ArrayRef<char> raw = dense.getRawData();
  auto type = cast<ShapedType>(dense.getType());
  if (!type.getElementType().isInteger(1)) {
    int64_t copies = dense.isSplat() ? type.getNumElements() : 1;
    for (int64_t k = 0; k != copies; ++k)
      bytes.append(raw.begin(), raw.end());
    return bytes;
  }
  // Booleans are packed here and bytes in payloads.
  for (bool value : dense.getValues<bool>())
    bytes.push_back(value);
  return bytes;
}

ValueInfo shapes::analyseConstant(Engine &engine, Operation *op) {
  Value value = op->getResult(0);
  auto type = dyn_cast<RankedTensorType>(value.getType());
  if (!type || !type.hasStaticShape())
    return engine.makeLeaf(value, std::nullopt);
  ValueInfo info = engine.makeLeaf(value, engine.shapeOfType(value));
  int64_t size = type.getNumElements();
  if (size == 0) {
    if (type.getRank() == 1)
      info.kind = ValueInfo::FormKind::List;
    return info;
  }
  bool isFloat = info.elementClass == ElementClass::Float;
  if (size > (isFloat ? kMaxFloats : kMaxIntegers) ||
      !Elements::isSupported(type.getElementType()))
    return info;
  if (auto constant = dyn_cast<ConstantOp>(op)) {
    auto bytes = getPayloads(op).read(constant.getValue());
    // A missing file is reported by whoever needs the numbers.
    if (!bytes)
      llvm::consumeError(bytes.takeError());
    else
      ConstantForm(engine, type, *bytes).analyse(info);
    return info;
  }
  SmallVector<char> bytes = inlineBytes(cast<arith::ConstantOp>(op));
  if (!bytes.empty())
    ConstantForm(engine, type, bytes).analyse(info);
  return info;
}

//===----------------------------------------------------------------------===//
// Transfer functions
//===----------------------------------------------------------------------===//

static void transferShape(Node &n) {
  if (!n.ranked(0))
    return;
  int64_t rank = n.in(0).rank();
  auto clamp = [&](int64_t bound) {
    return std::clamp<int64_t>(bound < 0 ? bound + rank : bound, 0, rank);
  };
  int64_t start = clamp(n.op.getInt("start", 0));
  int64_t end = std::max(start, clamp(n.op.getInt("end", rank)));
  SmallVector<IndexExpr> dims;
  for (int64_t k = start; k != end; ++k)
    dims.push_back(n.shape(0)[k]);
  n.setList({n.engine.dim(end - start)}, dims);
}

static void transferSize(Node &n) {
  if (n.ranked(0))
    n.setList({}, IndexExpr(n.engine.product(n.shape(0))));
}

/// The number in an attribute of any element type.
static std::optional<Number> scalarOf(Attribute attr) {
  auto dense = dyn_cast_or_null<DenseElementsAttr>(attr);
  if (!dense || dense.empty())
    return std::nullopt;
  if (isa<FloatType>(dense.getElementType())) {
    llvm::APFloat value = *dense.value_begin<llvm::APFloat>();
    bool losesInfo;
    value.convert(llvm::APFloat::IEEEdouble(),
                  llvm::APFloat::rmNearestTiesToEven, &losesInfo);
    return Number::fromDouble(value.convertToDouble());
  }
  if (!isa<IntegerType>(dense.getElementType()))
    return std::nullopt;
  llvm::APInt value = *dense.value_begin<llvm::APInt>();
  bool isUnsigned = dense.getElementType().isUnsignedInteger() ||
                    dense.getElementType().isInteger(1);
  return Number(isUnsigned ? static_cast<int64_t>(value.getZExtValue())
                           : value.getSExtValue());
}

/// A shape given as a value. A dim that is not known to be one stays unknown.
static OptionalShape shapeFromInput(Node &n, unsigned k) {
  if (!n.has(k))
    return std::nullopt;
  std::optional<SmallVector<IndexExpr>> list = n.engine.listOf(n.in(k));
  if (!list)
    return std::nullopt;
  SymbolicShape shape;
  for (IndexExpr e : *list)
    shape.push_back(e.poly());
  return shape;
}

static void transferConstantOfShape(Node &n) {
  OptionalShape shape = shapeFromInput(n, 0);
  if (!shape)
    return;
  std::optional<Number> value = Number(0);
  if (Attribute attr = n.op->getAttr("value"))
    value = scalarOf(attr);
  if (!value)
    return n.setLeaf(shape);
  if (n.resultClass() == ElementClass::Boolean)
    return n.setForm(*shape, n.context.boolean(!value->isZero()));
  n.setForm(*shape, n.context.constant(*value));
}

/// max(ceil((limit - start) / delta), 0) for numbers that need not be integers.
static std::optional<int64_t> rangeLength(ArrayRef<Poly> bounds) {
  double values[3];
  for (auto [bound, value] : llvm::zip_equal(bounds, values)) {
    std::optional<Number> number = bound.getConstant();
    if (!number)
      return std::nullopt;
    value = number->asDouble();
  }
  double length = std::ceil((values[1] - values[0]) / values[2]);
  constexpr double kMost = double(int64_t(1) << 40);
  if (!(length <= kMost))
    return std::nullopt;
  return static_cast<int64_t>(std::max(length, 0.0));
}

static void transferRange(Node &n) {
  SmallVector<Poly, 3> bounds;
  for (unsigned k : {0, 1, 2}) {
    std::optional<SmallVector<IndexExpr>> list;
    if (n.has(k))
      list = n.engine.listOf(n.in(k));
    if (!list || list->size() != 1 || !(*list)[0].isPoly())
      return;
    bounds.push_back((*list)[0].poly());
  }
  std::optional<int64_t> fixed = rangeLength(bounds);
  std::optional<int64_t> delta = bounds[2].getConstantInt();
  if (!delta || *delta == 0 || !bounds[0].isIntegral() ||
      !bounds[1].isIntegral()) {
    if (fixed)
      n.setLeaf(SymbolicShape{n.engine.dim(*fixed)});
    return;
  }
  if (fixed && *fixed == 0)
    return n.setList({n.engine.dim(0)}, {});
  Poly length = bounds[1] - bounds[0];
  if (*delta < 0)
    length = -length;
  int64_t step = std::abs(*delta);
  if (step != 1)
    length = n.context.fdiv(length + (step - 1), n.engine.dim(step));
  if (!length)
    return;
  Poly form = bounds[0];
  if (!length.isConstant(1))
    form = form + n.context.coord(0) * *delta;
  n.setForm({length}, form);
}

static void transferEyeLike(Node &n) {
  if (!n.ranked(0) || n.in(0).rank() != 2)
    return;
  const SymbolicShape &shape = n.shape(0);
  SmallVector<Poly> index = n.engine.identityIndex(shape);
  Pred diagonal =
      n.context.equal(index[1], index[0] + n.op.getInt("k", 0), shape);
  if (n.resultClass() == ElementClass::Boolean)
    return n.setForm(shape, diagonal);
  n.setForm(shape, diagonal ? n.context.toNumber(diagonal) : Poly());
}

/// Shape attribute `shape`.
static void transferShapeAttribute(Node &n) {
  std::optional<ArrayRef<int64_t>> dims = n.op.getInts("shape");
  if (!dims)
    return;
  SymbolicShape shape;
  for (int64_t extent : *dims)
    shape.push_back(n.engine.dim(extent));
  n.setLeaf(shape);
}

void shapes::registerConstants(TransferTable &table) {
  table.add("Shape", transferShape);
  table.add("Size", transferSize);
  table.add("ConstantOfShape", transferConstantOfShape);
  table.add("Range", transferRange);
  table.add("EyeLike", transferEyeLike);
  table.add({"RandomNormal", "RandomUniform"}, transferShapeAttribute);
}
