//===- Encodings.cpp - how weights are written ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Dialect/Lathe.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/APFloat.h"
#include "llvm/Support/Endian.h"

using namespace mlir;
using namespace lathe;

/// The blob `name` of `parts`, of exactly `bytes` bytes.
static LogicalResult verifyPart(function_ref<InFlightDiagnostic()> emitError,
                                DictionaryAttr parts, StringRef name,
                                int64_t bytes) {
  auto blob = parts.getAs<PayloadAttr>(name);
  if (!blob)
    return emitError() << "needs the payload part '" << name << "'";
  if (blob.getBytes() != bytes)
    return emitError() << "part '" << name << "' has " << blob.getBytes()
                       << " bytes, its shape and encoding want " << bytes;
  return success();
}

//===----------------------------------------------------------------------===//
// DenseAttr
//===----------------------------------------------------------------------===//

Attribute DenseAttr::parse(AsmParser &parser, Type) {
  Type elementType;
  bool transposed = false;
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseLess() || parser.parseType(elementType))
    return {};
  if (succeeded(parser.parseOptionalComma())) {
    if (parser.parseKeyword("transposed"))
      return {};
    transposed = true;
  }
  if (parser.parseGreater())
    return {};
  return getChecked([&] { return parser.emitError(loc); }, parser.getContext(),
                    elementType, transposed);
}

void DenseAttr::print(AsmPrinter &printer) const {
  printer << "<" << getElementType();
  if (getTransposed())
    printer << ", transposed";
  printer << ">";
}

LogicalResult DenseAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                Type elementType, bool) {
  if (elementType.isF64() || elementType.isF32() || elementType.isF16() ||
      elementType.isBF16())
    return success();
  return emitError() << "a dense encoding holds f64, f32, f16 or bf16, not "
                     << elementType;
}

int64_t DenseAttr::storageBits(ArrayRef<int64_t> shape) const {
  return *checkedNumElements(shape) * getElementType().getIntOrFloatBitWidth();
}

LogicalResult
DenseAttr::verifyPayload(function_ref<InFlightDiagnostic()> emitError,
                         ArrayRef<int64_t> shape, DictionaryAttr parts) const {
  if (parts.size() != 1)
    return emitError() << "a dense weight has the one payload part 'data'";
  return verifyPart(emitError, parts, "data", storageBits(shape) / 8);
}

static float halfToFloat(uint16_t bits, const llvm::fltSemantics &semantics) {
  llvm::APFloat value(semantics, llvm::APInt(16, bits));
  bool losesInfo;
  value.convert(llvm::APFloat::IEEEsingle(), llvm::APFloat::rmNearestTiesToEven,
                &losesInfo);
  return value.convertToFloat();
}

/// Every half as a float: decoding a weight is then one load per element.
static ArrayRef<float> halfTable() {
  static const std::vector<float> table = [] {
    std::vector<float> values(1 << 16);
    for (uint32_t bits = 0; bits < values.size(); ++bits)
      values[bits] = halfToFloat(bits, llvm::APFloat::IEEEhalf());
    return values;
  }();
  return table;
}

static float readElement(const char *data, Type type, int64_t i) {
  using namespace llvm::support;
  if (type.isF32())
    return llvm::bit_cast<float>(endian::read32le(data + 4 * i));
  if (type.isF16())
    return halfTable()[endian::read16le(data + 2 * i)];
  if (type.isBF16())
    return llvm::bit_cast<float>(uint32_t(endian::read16le(data + 2 * i))
                                 << 16);
  return static_cast<float>(
      llvm::bit_cast<double>(endian::read64le(data + 8 * i)));
}

llvm::Error DenseAttr::decode(PayloadStore &store, ArrayRef<int64_t> shape,
                              DictionaryAttr parts,
                              MutableArrayRef<float> out) const {
  auto bytes = store.read(parts.getAs<PayloadAttr>("data"));
  if (!bytes)
    return bytes.takeError();
  Type type = getElementType();
  const char *data = bytes->data();
  if (!getTransposed()) {
    for (int64_t i = 0, e = out.size(); i < e; ++i)
      out[i] = readElement(data, type, i);
    return llvm::Error::success();
  }
  // Square tiles keep both the reads and the writes in cache.
  constexpr int64_t tile = 64;
  int64_t rows = shape[0], cols = shape[1];
  for (int64_t r0 = 0; r0 < rows; r0 += tile)
    for (int64_t c0 = 0; c0 < cols; c0 += tile)
      for (int64_t r = r0, re = std::min(rows, r0 + tile); r < re; ++r)
        for (int64_t c = c0, ce = std::min(cols, c0 + tile); c < ce; ++c)
          out[r * cols + c] = readElement(data, type, c * rows + r);
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// ConcatAttr
//===----------------------------------------------------------------------===//

LogicalResult ConcatAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 int64_t axis, ArrayRef<Attribute> encodings,
                                 ArrayRef<int64_t> sizes) {
  if (axis < 0)
    return emitError() << "the axis of a concat must not be negative";
  if (encodings.empty() || encodings.size() != sizes.size())
    return emitError() << "a concat has one size per encoding";
  if (!llvm::all_of(encodings, llvm::IsaPred<EncodingAttrInterface>))
    return emitError() << "a concat is made of encodings";
  if (llvm::any_of(sizes, [](int64_t size) { return size <= 0; }))
    return emitError() << "the sizes of a concat must be positive";
  return success();
}

/// Calls `visit` for every operand of `concat` with its encoding, its shape
/// and its parts (their prefix removed), until one fails.
static LogicalResult
visitOperands(ConcatAttr concat, ArrayRef<int64_t> shape, DictionaryAttr parts,
              function_ref<LogicalResult(unsigned, EncodingAttrInterface,
                                         ArrayRef<int64_t>, DictionaryAttr)>
                  visit) {
  for (auto [n, encoding] : llvm::enumerate(concat.getEncodings())) {
    SmallVector<int64_t> operandShape(shape);
    operandShape[concat.getAxis()] = concat.getSizes()[n];
    std::string prefix = std::to_string(n) + ".";
    SmallVector<NamedAttribute> own;
    for (NamedAttribute part : parts) {
      StringRef name = part.getName();
      if (name.consume_front(prefix))
        own.emplace_back(StringAttr::get(concat.getContext(), name),
                         part.getValue());
    }
    if (failed(visit(n, cast<EncodingAttrInterface>(encoding), operandShape,
                     DictionaryAttr::get(concat.getContext(), own))))
      return failure();
  }
  return success();
}

int64_t ConcatAttr::storageBits(ArrayRef<int64_t> shape) const {
  int64_t bits = 0;
  (void)visitOperands(*this, shape, DictionaryAttr::get(getContext()),
                      [&](unsigned, EncodingAttrInterface encoding,
                          ArrayRef<int64_t> operand, DictionaryAttr) {
                        bits += encoding.storageBits(operand);
                        return success();
                      });
  return bits;
}

LogicalResult
ConcatAttr::verifyPayload(function_ref<InFlightDiagnostic()> emitError,
                          ArrayRef<int64_t> shape, DictionaryAttr parts) const {
  size_t seen = 0;
  if (failed(visitOperands(*this, shape, parts,
                           [&](unsigned, EncodingAttrInterface encoding,
                               ArrayRef<int64_t> operand, DictionaryAttr own) {
                             seen += own.size();
                             return encoding.verifyPayload(emitError, operand,
                                                           own);
                           })))
    return failure();
  if (seen != parts.size())
    return emitError() << "has payload parts that no operand of the concat "
                          "names";
  return success();
}

llvm::Error ConcatAttr::decode(PayloadStore &store, ArrayRef<int64_t> shape,
                               DictionaryAttr parts,
                               MutableArrayRef<float> out) const {
  int64_t axis = getAxis();
  int64_t outer = *checkedNumElements(shape.take_front(axis));
  int64_t inner = *checkedNumElements(shape.drop_front(axis + 1));
  int64_t start = 0;
  llvm::Error error = llvm::Error::success();
  (void)visitOperands(
      *this, shape, parts,
      [&](unsigned n, EncodingAttrInterface encoding, ArrayRef<int64_t> operand,
          DictionaryAttr own) -> LogicalResult {
        std::vector<float> values(*checkedNumElements(operand));
        if (llvm::Error failed = encoding.decode(store, operand, own, values)) {
          error = llvm::joinErrors(std::move(error), std::move(failed));
          return failure();
        }
        int64_t row = getSizes()[n] * inner;
        for (int64_t o = 0; o < outer; ++o)
          std::copy_n(values.begin() + o * row, row,
                      out.begin() + (o * shape[axis] + start) * inner);
        start += getSizes()[n];
        return success();
      });
  return error;
}
