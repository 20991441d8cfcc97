//===- TensorReader.cpp - Checked reading of TensorProto ------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "TensorReader.h"
#include "lathe/Import/Onnx.pb.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringSwitch.h"

using namespace lathe;
using llvm::StringRef;
using llvm::Twine;

static llvm::Error failed(const Twine &what) {
  return llvm::createStringError(what);
}

static std::string shapeText(const TensorData &data) {
  std::string text;
  for (int64_t extent : data.dims)
    text += std::to_string(extent) + "x";
  return text + getName(data.element).str();
}

static llvm::Error readDims(const onnx::TensorProto &tensor, TensorData &data) {
  if (tensor.dims_size() > static_cast<int>(kMaxRank))
    return failed("has rank " + Twine(tensor.dims_size()) + ", at most " +
                  Twine(kMaxRank) + " is read");
  uint64_t elements = 1;
  for (int64_t extent : tensor.dims()) {
    if (extent < 0)
      return failed("has a negative extent " + Twine(extent));
    auto product = checkedMul(elements, extent);
    if (extent > kMaxExtent || !product)
      return failed("has an impossible number of elements");
    elements = *product;
    data.dims.push_back(extent);
  }
  data.numElements = elements;
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Typed fields
//===----------------------------------------------------------------------===//

namespace {
/// The repeated field in which ONNX writes elements of a type.
enum class TypedField { Float, Double, Int32, Int64, UInt64 };
} // namespace

static TypedField fieldOf(ElementType type) {
  switch (type) {
  case ElementType::F32:
    return TypedField::Float;
  case ElementType::F64:
    return TypedField::Double;
  case ElementType::I64:
    return TypedField::Int64;
  case ElementType::U32:
  case ElementType::U64:
    return TypedField::UInt64;
  default:
    return TypedField::Int32;
  }
}

static int sizeOf(const onnx::TensorProto &tensor, TypedField field) {
  switch (field) {
  case TypedField::Float:
    return tensor.float_data_size();
  case TypedField::Double:
    return tensor.double_data_size();
  case TypedField::Int32:
    return tensor.int32_data_size();
  case TypedField::Int64:
    return tensor.int64_data_size();
  case TypedField::UInt64:
    return tensor.uint64_data_size();
  }
  llvm_unreachable("all fields are handled");
}

static constexpr TypedField kTypedFields[] = {
    TypedField::Float, TypedField::Double, TypedField::Int32, TypedField::Int64,
    TypedField::UInt64};

static bool hasTypedData(const onnx::TensorProto &tensor) {
  return llvm::any_of(kTypedFields, [&](TypedField field) {
    return sizeOf(tensor, field) != 0;
  });
}

template <typename Field>
static void appendBytes(const Field &field, std::vector<uint8_t> &out) {
  const auto *begin = reinterpret_cast<const uint8_t *>(field.data());
  out.assign(begin, begin + field.size() * sizeof(*field.data()));
}

/// Smallest and largest number that int32_data may hold for `type`.
static std::pair<int64_t, int64_t> int32Range(ElementType type) {
  switch (type) {
  case ElementType::I32:
    return {INT32_MIN, INT32_MAX};
  case ElementType::I8:
    return {INT8_MIN, INT8_MAX};
  case ElementType::I16:
    return {INT16_MIN, INT16_MAX};
  case ElementType::Bool:
    return {0, 1};
  default:
    // Unsigned numbers, bits of narrow floats, and packed bytes.
    return {0, getStorageBits(type) == 16 ? UINT16_MAX : UINT8_MAX};
  }
}

static llvm::Error readInt32(const onnx::TensorProto &tensor, ElementType type,
                             std::vector<uint8_t> &out) {
  auto [least, most] = int32Range(type);
  unsigned bytes = std::max(1u, getStorageBits(type) / 8);
  out.reserve(static_cast<size_t>(tensor.int32_data_size()) * bytes);
  for (int32_t value : tensor.int32_data()) {
    if (value < least || value > most)
      return failed("has the value " + Twine(value) + " in int32_data, which " +
                    getName(type) + " cannot hold");
    for (unsigned i = 0; i < bytes; ++i)
      out.push_back(
          static_cast<uint8_t>(static_cast<uint32_t>(value) >> 8 * i));
  }
  return llvm::Error::success();
}

static llvm::Error readUInt64(const onnx::TensorProto &tensor, ElementType type,
                              std::vector<uint8_t> &out) {
  if (type == ElementType::U64) {
    appendBytes(tensor.uint64_data(), out);
    return llvm::Error::success();
  }
  for (uint64_t value : tensor.uint64_data()) {
    if (value > UINT32_MAX)
      return failed("has the value " + Twine(value) +
                    " in uint64_data, which ui32 cannot hold");
    for (unsigned i = 0; i < 4; ++i)
      out.push_back(static_cast<uint8_t>(value >> 8 * i));
  }
  return llvm::Error::success();
}

/// Converts the typed field of `tensor` to the raw layout.
static llvm::Error readTyped(const onnx::TensorProto &tensor, uint64_t size,
                             TensorData &data, std::vector<uint8_t> &owned) {
  TypedField field = fieldOf(data.element);
  for (TypedField other : kTypedFields)
    if (other != field && sizeOf(tensor, other) != 0)
      return failed("has its data in a field that is not the one of " +
                    getName(data.element));
  uint64_t present = sizeOf(tensor, field);
  uint64_t wanted = getStorageBits(data.element) < 8 ? size : data.numElements;
  if (present != wanted)
    return failed("has " + Twine(present) + " values, " + shapeText(data) +
                  " needs " + Twine(wanted));
  switch (field) {
  case TypedField::Float:
    appendBytes(tensor.float_data(), owned);
    break;
  case TypedField::Double:
    appendBytes(tensor.double_data(), owned);
    break;
  case TypedField::Int64:
    appendBytes(tensor.int64_data(), owned);
    break;
  case TypedField::Int32:
    if (llvm::Error error = readInt32(tensor, data.element, owned))
      return error;
    break;
  case TypedField::UInt64:
    if (llvm::Error error = readUInt64(tensor, data.element, owned))
      return error;
    break;
  }
  data.bytes = owned;
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// Bytes in files
//===----------------------------------------------------------------------===//

llvm::Error TensorReader::readRaw(const onnx::TensorProto &tensor,
                                  uint64_t size, TensorData &data) {
  uint64_t length = tensor.lathe_raw_length();
  if (length != size)
    return failed("has " + Twine(length) + " bytes, " + shapeText(data) +
                  " needs " + Twine(size));
  data.file = &model;
  data.offset = tensor.lathe_raw_offset();
  data.bytes = model.getBytes().slice(data.offset, length);
  return llvm::Error::success();
}

namespace {
/// The record of external data, as text.
struct ExternalRecord {
  std::optional<StringRef> location, offset, length, checksum, basepath;
};
} // namespace

static llvm::Error readRecord(const onnx::TensorProto &tensor,
                              ExternalRecord &record) {
  for (const onnx::StringStringEntryProto &entry : tensor.external_data()) {
    std::optional<StringRef> *slot =
        llvm::StringSwitch<std::optional<StringRef> *>(entry.key())
            .Case("location", &record.location)
            .Case("offset", &record.offset)
            .Case("length", &record.length)
            .Case("checksum", &record.checksum)
            .Case("basepath", &record.basepath)
            .Default(nullptr);
    if (!slot)
      return failed("has external data with the unknown key " +
                    quoteName(entry.key()));
    if (*slot)
      return failed("has external data with the key '" + entry.key() +
                    "' twice");
    *slot = StringRef(entry.value());
  }
  if (!record.location)
    return failed("has external data without a location");
  return llvm::Error::success();
}

/// Decimal digits only: no sign, no space, no other base.
static llvm::Error readNumber(std::optional<StringRef> text, StringRef key,
                              uint64_t &value) {
  if (!text)
    return llvm::Error::success();
  bool isDigits = !text->empty() && llvm::all_of(*text, llvm::isDigit);
  if (!isDigits || text->getAsInteger(10, value))
    return failed("has external data with " + key + " " + quoteName(*text) +
                  ", which is not a number of bytes");
  return llvm::Error::success();
}

llvm::Error TensorReader::readExternal(const onnx::TensorProto &tensor,
                                       uint64_t size, TensorData &data) {
  ExternalRecord record;
  if (llvm::Error error = readRecord(tensor, record))
    return error;
  uint64_t offset = 0, length = size;
  if (llvm::Error error = readNumber(record.offset, "offset", offset))
    return error;
  if (llvm::Error error = readNumber(record.length, "length", length))
    return error;
  if (length != size)
    return failed("has external data of " + Twine(length) + " bytes, " +
                  shapeText(data) + " needs " + Twine(size));
  auto file = externalFiles.open(*record.location);
  if (!file)
    return failed("the " + llvm::toString(file.takeError()));
  llvm::ArrayRef<uint8_t> bytes = (*file)->getBytes();
  std::optional<uint64_t> end = checkedAdd(offset, length);
  if (!end || *end > bytes.size())
    return failed("needs bytes " + Twine(offset) + " to " + Twine(offset) +
                  "+" + Twine(length) + " of external data file " +
                  quoteName(*record.location) + ", which has " +
                  Twine(bytes.size()));
  data.file = *file;
  data.offset = offset;
  data.bytes = bytes.slice(offset, length);
  return llvm::Error::success();
}

//===----------------------------------------------------------------------===//
// The whole tensor
//===----------------------------------------------------------------------===//

/// What the bytes of narrow types must be.
static llvm::Error checkContent(const TensorData &data) {
  if (data.element == ElementType::Bool) {
    for (uint8_t byte : data.bytes)
      if (byte > 1)
        return failed("has a boolean byte " + Twine(unsigned(byte)) +
                      ", only 0 and 1 are booleans");
    return llvm::Error::success();
  }
  unsigned bits = getStorageBits(data.element);
  if (bits >= 8 || data.bytes.empty())
    return llvm::Error::success();
  unsigned used = data.numElements * bits % 8;
  if (used != 0 && data.bytes.back() >> used != 0)
    return failed("has padding bits that are not zero");
  return llvm::Error::success();
}

llvm::Expected<TensorData> TensorReader::read(const onnx::TensorProto &tensor,
                                              std::vector<uint8_t> &owned) {
  TensorData data;
  data.name = tensor.name();
  auto type = elementTypeFromOnnx(tensor.data_type());
  if (!type)
    return failed("has the unknown element type " + Twine(tensor.data_type()));
  if (!isSupported(*type))
    return failed("has element type " + getName(*type) +
                  ", which Lathe cannot compute with");
  data.element = *type;
  if (llvm::Error error = readDims(tensor, data))
    return std::move(error);
  if (tensor.has_segment())
    return failed("is split into segments, which is not supported");
  std::optional<uint64_t> size =
      getStorageBytes(data.element, data.numElements);
  if (!size)
    return failed("has an impossible number of bytes");

  bool isExternal = tensor.data_location() == onnx::TensorProto::EXTERNAL;
  bool hasRaw = tensor.has_lathe_raw_offset();
  bool hasTyped = hasTypedData(tensor);
  if (tensor.string_data_size())
    return failed("has strings as its data");
  if (!isExternal && tensor.external_data_size())
    return failed("names external data, but its data_location is not EXTERNAL");
  // An empty raw_data beside another kind of data says nothing.
  if (hasRaw && tensor.lathe_raw_length() == 0 && (isExternal || hasTyped))
    hasRaw = false;
  if (isExternal + hasRaw + hasTyped > 1)
    return failed("has more than one kind of data");

  if (llvm::Error error = isExternal ? readExternal(tensor, *size, data)
                          : hasRaw   ? readRaw(tensor, *size, data)
                                     : readTyped(tensor, *size, data, owned))
    return std::move(error);
  if (llvm::Error content = checkContent(data))
    return std::move(content);
  return data;
}
