//===- WeightTable.cpp - constants become weights -------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "WeightTable.h"
#include "llvm/ADT/bit.h"
#include "llvm/Support/xxhash.h"
#include <cstring>

using namespace mlir;
using namespace lathe;

//===----------------------------------------------------------------------===//
// WeightSource
//===----------------------------------------------------------------------===//

int64_t WeightSource::getNumElements() const {
  int64_t product = 1;
  for (int64_t extent : shape)
    product *= extent;
  return product;
}

bool WeightSource::dropLeadingOnes(unsigned rank) {
  while (shape.size() > rank && shape.front() == 1)
    shape.erase(shape.begin());
  return shape.size() == rank;
}

/// The last two dims change places, the others stay.
static bool isMatrixTranspose(OnnxOp op, int64_t rank) {
  std::optional<ArrayRef<int64_t>> perm = op.getInts("perm");
  if (rank < 2)
    return false;
  if (!perm)
    return rank == 2;
  if (static_cast<int64_t>(perm->size()) != rank)
    return false;
  for (int64_t i = 0; i < rank - 2; ++i)
    if ((*perm)[i] != i)
      return false;
  return (*perm)[rank - 2] == rank - 1 && (*perm)[rank - 1] == rank - 2;
}

/// `op` permutes dims of which at most one is larger than 1.
static bool isTrivialTranspose(ArrayRef<int64_t> shape) {
  return llvm::count_if(shape, [](int64_t d) { return d != 1; }) <= 1;
}

/// Only wider types hold every value of `from`.
static bool isWidening(FloatType from, FloatType to) {
  return from == to || from.getWidth() < to.getWidth();
}

std::optional<WeightSource> WeightTable::find(Value value) {
  // From the use down to the constant, then back up.
  SmallVector<OnnxOp> chain;
  Value source = value;
  while (OnnxOp op = getCarrier(source)) {
    bool known = op.is("Cast") || op.is("Identity") || op.is("Transpose") ||
                 op.is("Reshape") || op.is("Squeeze") || op.is("Unsqueeze") ||
                 op.is("Flatten");
    if (!known || !isFloatTensor(op.getInputs()[0]) || chain.size() > 16)
      return std::nullopt;
    chain.push_back(op);
    source = op.getInputs()[0];
  }
  auto type = dyn_cast<RankedTensorType>(source.getType());
  Operation *maker = source.getDefiningOp();
  if (!type || !maker || !type.hasStaticShape() || type.getNumElements() == 0)
    return std::nullopt;

  WeightSource result;
  result.storage = dyn_cast<FloatType>(type.getElementType());
  if (!result.storage || !(result.storage.isF32() || result.storage.isF16() ||
                           result.storage.isBF16() || result.storage.isF64()))
    return std::nullopt;
  result.element = result.storage;
  result.shape.assign(type.getShape().begin(), type.getShape().end());
  if (auto constant = dyn_cast<ConstantOp>(maker)) {
    result.bytes = constant.getValue();
    result.name = constant.getName().value_or("").str();
  } else if (auto constant = dyn_cast<arith::ConstantOp>(maker)) {
    result.bytes = dyn_cast<DenseElementsAttr>(constant.getValue());
    if (!result.bytes)
      return std::nullopt;
    if (auto from =
            maker->getAttrOfType<DictionaryAttr>(LatheDialect::kFromAttr))
      if (auto names = from.getAs<ArrayAttr>("outputs"))
        if (!names.empty() && isa<StringAttr>(names[0]))
          result.name = cast<StringAttr>(names[0]).str();
  } else {
    return std::nullopt;
  }

  for (OnnxOp op : llvm::reverse(chain)) {
    if (op.is("Identity"))
      continue;
    if (op.is("Cast")) {
      auto to = dyn_cast<FloatType>(getElement(op.getOutputs()[0]));
      if (!to || !isWidening(result.element, to))
        return std::nullopt;
      result.element = to;
      continue;
    }
    if (op.is("Transpose") && isMatrixTranspose(op, result.shape.size())) {
      std::swap(result.shape.back(), result.shape[result.shape.size() - 2]);
      // A vector has one order.
      result.transposed ^= !isTrivialTranspose(result.shape);
      continue;
    }
    bool keepsOrder = !op.is("Transpose") || isTrivialTranspose(result.shape);
    auto to = dyn_cast<RankedTensorType>(op.getOutputs()[0].getType());
    if (!to || !to.hasStaticShape() || !keepsOrder)
      return std::nullopt;
    // Reshaping a transposed matrix only adds or drops ones.
    if (result.transposed) {
      auto isOne = [](int64_t d) { return d == 1; };
      SmallVector<int64_t> before(llvm::make_filter_range(
          result.shape, [&](int64_t d) { return !isOne(d); }));
      SmallVector<int64_t> after(llvm::make_filter_range(
          to.getShape(), [&](int64_t d) { return !isOne(d); }));
      bool staysLast =
          to.getRank() >= 2 && to.getShape().take_back(2) ==
                                   ArrayRef<int64_t>(result.shape).take_back(2);
      if (before != after || !staysLast)
        return std::nullopt;
    }
    result.shape.assign(to.getShape().begin(), to.getShape().end());
  }
  return result;
}

//===----------------------------------------------------------------------===//
// WeightTable
//===----------------------------------------------------------------------===//

WeightTable::WeightTable(ModuleOp module) : module(module), symbols(module) {
  for (auto weight : module.getOps<WeightOp>()) {
    auto blob = weight.getParts().getAs<PayloadAttr>("data");
    if (!blob || weight.getParts().size() != 1)
      continue;
    known[{blob, weight.getWeightType()}] = weight;
    payloads.try_emplace(blob.getHash(), blob);
  }
}

PayloadAttr WeightTable::spill(Location loc, ArrayRef<char> bytes) {
  llvm::Expected<PayloadAttr> blob =
      getPayloads(module).add(module.getContext(), bytes);
  if (blob)
    return *blob;
  mlir::emitError(loc) << "cannot store a weight: "
                       << llvm::toString(blob.takeError());
  return {};
}

PayloadAttr WeightTable::getPayload(Location loc, const WeightSource &source) {
  auto blob = dyn_cast<PayloadAttr>(source.bytes);
  if (!blob) {
    auto dense = cast<DenseElementsAttr>(source.bytes);
    ArrayRef<char> raw = dense.getRawData();
    std::vector<char> bytes;
    if (dense.isSplat())
      for (int64_t i = 0, e = dense.getNumElements(); i < e; ++i)
        bytes.insert(bytes.end(), raw.begin(), raw.end());
    blob = spill(loc, dense.isSplat() ? ArrayRef<char>(bytes) : raw);
    if (!blob)
      return {};
  }
  return payloads.try_emplace(blob.getHash(), blob).first->second;
}

/// True if `b` [rows, columns] holds `a` [columns, rows] transposed.
template <typename T>
static bool isTransposition(ArrayRef<char> a, ArrayRef<char> b, int64_t rows,
                            int64_t columns) {
  const T *x = reinterpret_cast<const T *>(a.data());
  const T *y = reinterpret_cast<const T *>(b.data());
  auto differs = [&](int64_t r, int64_t c) {
    return std::memcmp(&x[c * rows + r], &y[r * columns + c], sizeof(T)) != 0;
  };
  // A few elements tell almost always; only then all are compared.
  for (int64_t k = 0; k < 64; ++k)
    if (differs((k * 7919) % rows, (k * 104729) % columns))
      return false;
  constexpr int64_t kTile = 64;
  for (int64_t r0 = 0; r0 < rows; r0 += kTile)
    for (int64_t c0 = 0; c0 < columns; c0 += kTile)
      for (int64_t r = r0, re = std::min(rows, r0 + kTile); r < re; ++r)
        for (int64_t c = c0, ce = std::min(columns, c0 + kTile); c < ce; ++c)
          if (differs(r, c))
            return false;
  return true;
}

PayloadAttr WeightTable::findTransposed(PayloadAttr payload,
                                        const WeightSource &source) {
  // Rows and columns as the bytes lie.
  int64_t rows = source.shape[source.transposed ? 1 : 0];
  int64_t columns = source.shape[source.transposed ? 0 : 1];
  auto &candidates = matrices[rows * columns];
  auto isSame = [&](const Matrix &m) { return m.payload == payload; };
  if (llvm::any_of(candidates, isSame))
    return {};
  for (const Matrix &other : candidates) {
    if (other.rows != columns || other.columns != rows ||
        other.storage != source.storage || rows == columns)
      continue;
    auto own = getPayloads(module).read(payload);
    auto theirs = getPayloads(module).read(other.payload);
    if (!own || !theirs) {
      llvm::consumeError(own.takeError());
      llvm::consumeError(theirs.takeError());
      continue;
    }
    unsigned width = source.storage.getIntOrFloatBitWidth();
    bool equal =
        width == 32   ? isTransposition<uint32_t>(*theirs, *own, rows, columns)
        : width == 16 ? isTransposition<uint16_t>(*theirs, *own, rows, columns)
                      : isTransposition<uint64_t>(*theirs, *own, rows, columns);
    if (equal)
      return other.payload;
  }
  candidates.push_back({payload, source.storage, rows, columns});
  return {};
}

void WeightTable::note(const WeightSource &source) {
  if (source.shape.size() != 2)
    return;
  if (PayloadAttr payload = getPayload(module.getLoc(), source))
    (void)findTransposed(payload, source);
}

/// What a symbol may be called.
static std::string toSymbol(StringRef name) {
  return name.empty() ? "weight" : name.str();
}

Value WeightTable::use(OpBuilder &builder, Location loc, PayloadAttr payload,
                       WeightType type, StringRef name) {
  WeightOp &weight = known[{payload, type}];
  if (!weight) {
    OpBuilder top = OpBuilder::atBlockBegin(module.getBody());
    // Weights stand in the order of their first use, before the functions.
    for (Operation &op : *module.getBody())
      if (isa<WeightOp>(op))
        top.setInsertionPointAfter(&op);
      else
        break;
    auto parts =
        builder.getDictionaryAttr(builder.getNamedAttr("data", payload));
    weight = WeightOp::create(top, loc, toSymbol(name), parts, type);
    auto position = top.getInsertionPoint();
    symbols.insert(weight, position);
  }
  return UseWeightOp::create(
      builder, loc, type,
      FlatSymbolRefAttr::get(builder.getContext(), weight.getSymName()));
}

PayloadAttr WeightTable::sharePayload(Location loc, const WeightSource &source,
                                      bool &transposed) {
  transposed = source.transposed;
  PayloadAttr payload = getPayload(loc, source);
  if (!payload || source.shape.size() != 2)
    return payload;
  PayloadAttr other = findTransposed(payload, source);
  if (!other)
    return payload;
  transposed = !transposed;
  return other;
}

Value WeightTable::useTransposed(OpBuilder &builder, Location loc,
                                 const WeightSource &source) {
  bool transposed;
  PayloadAttr payload = sharePayload(loc, source, transposed);
  auto encoding =
      DenseAttr::get(builder.getContext(), source.storage, !transposed);
  for (auto weight : module.getOps<WeightOp>()) {
    WeightType type = weight.getWeightType();
    if (weight.getParts().get("data") == payload &&
        type.getEncoding() == encoding &&
        llvm::equal(type.getShape(), llvm::reverse(source.shape)))
      return use(builder, loc, payload, type, weight.getSymName());
  }
  return {};
}

Value WeightTable::use(OpBuilder &builder, Location loc,
                       const WeightSource &source) {
  bool transposed;
  PayloadAttr payload = sharePayload(loc, source, transposed);
  if (!payload)
    return {};
  auto encoding =
      DenseAttr::get(builder.getContext(), source.storage, transposed);
  auto type = WeightType::get(builder.getContext(), source.shape,
                              source.element, encoding);
  return use(builder, loc, payload, type, source.name);
}

Value WeightTable::useVector(OpBuilder &builder, Location loc, Value value,
                             int64_t size) {
  if (std::optional<WeightSource> source = find(value)) {
    if (source->getNumElements() == size && source->shape.size() >= 1 &&
        source->shape.back() == size) {
      source->shape.assign(1, size);
      source->transposed = false;
      return use(builder, loc, *source);
    }
  }
  auto element = dyn_cast<FloatType>(getElement(value));
  std::optional<FloatConstant> constant = evaluateConstant(value);
  if (!constant || !element)
    return {};
  if (constant->values.size() == 1)
    constant->values.resize(size, constant->values.front());
  else if (static_cast<int64_t>(constant->values.size()) != size ||
           constant->shape.back() != size)
    return {};
  int64_t shape[] = {size};
  return use(builder, loc, constant->values, shape, element, "vector");
}

/// Rounds to `element` and appends the bytes.
static void appendElement(std::vector<char> &bytes, float value,
                          FloatType element) {
  APFloat number(value);
  bool losesInfo;
  number.convert(element.getFloatSemantics(), APFloat::rmNearestTiesToEven,
                 &losesInfo);
  uint64_t bits = number.bitcastToAPInt().getZExtValue();
  for (unsigned i = 0; i < element.getWidth() / 8; ++i)
    bytes.push_back(static_cast<char>(bits >> (8 * i)));
}

static std::vector<char> toBytes(ArrayRef<float> values, FloatType element) {
  std::vector<char> bytes;
  bytes.reserve(values.size() * element.getWidth() / 8);
  for (float value : values)
    appendElement(bytes, value, element);
  return bytes;
}

Value WeightTable::use(OpBuilder &builder, Location loc, ArrayRef<float> values,
                       ArrayRef<int64_t> shape, FloatType element,
                       StringRef name) {
  PayloadAttr payload = spill(loc, toBytes(values, element));
  if (!payload)
    return {};
  payload = payloads.try_emplace(payload.getHash(), payload).first->second;
  auto encoding = DenseAttr::get(builder.getContext(), element, false);
  auto type = WeightType::get(builder.getContext(), shape, element, encoding);
  return use(builder, loc, payload, type, name);
}

std::optional<WeightSource> WeightTable::scale(const WeightSource &source,
                                               double factor) {
  Builder builder(module.getContext());
  Location loc = module.getLoc();
  PayloadAttr payload = getPayload(loc, source);
  if (!payload)
    return std::nullopt;
  std::vector<float> values(source.getNumElements());
  int64_t flat[] = {source.getNumElements()};
  auto encoding = DenseAttr::get(module.getContext(), source.storage, false);
  auto parts = builder.getDictionaryAttr(builder.getNamedAttr("data", payload));
  if (llvm::Error error =
          encoding.decode(getPayloads(module), flat, parts, values)) {
    mlir::emitError(loc) << llvm::toString(std::move(error));
    return std::nullopt;
  }
  for (float &value : values)
    value = static_cast<float>(value * factor);
  WeightSource result = source;
  result.storage = result.element;
  result.bytes = spill(loc, toBytes(values, result.storage));
  if (!result.bytes)
    return std::nullopt;
  return result;
}
