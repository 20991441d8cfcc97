//===- Npz.cpp - numpy archives -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Npz.h"

#include "Zip.h"
#include "lathe/Runtime/Checked.h"

#include <algorithm>
#include <cstring>
#include <numeric>

using namespace lathe::rt;

//===----------------------------------------------------------------------===//
// The header of an array: a Python dict
//===----------------------------------------------------------------------===//

namespace {
struct NpyHeader {
  DType dtype = DType::F32;
  std::vector<int64_t> shape;
  bool fortranOrder = false;
  bool bigEndian = false;
};

/// Parses the literal {'descr': '<f4', 'fortran_order': False, 'shape': (3,)}.
class HeaderParser {
public:
  HeaderParser(const std::string &text, NpyHeader &header)
      : text(text), header(header) {}

  /// Fails on what is no array header. An array of a type that no tensor has
  /// (objects, strings, records) sets `unusable` instead.
  Status parse(std::string &unusable);

private:
  void skipSpace() {
    while (at < text.size() && std::isspace(static_cast<uint8_t>(text[at])))
      ++at;
  }
  bool take(char c) {
    skipSpace();
    if (at == text.size() || text[at] != c)
      return false;
    ++at;
    return true;
  }
  bool takeString(std::string &value);
  bool takeBool(bool &value);
  bool takeShape();

  const std::string &text;
  NpyHeader &header;
  size_t at = 0;
};
} // namespace

bool HeaderParser::takeString(std::string &value) {
  skipSpace();
  if (at == text.size() || (text[at] != '\'' && text[at] != '"'))
    return false;
  size_t end = text.find(text[at], at + 1);
  if (end == std::string::npos)
    return false;
  value = text.substr(at + 1, end - at - 1);
  at = end + 1;
  return true;
}

bool HeaderParser::takeBool(bool &value) {
  skipSpace();
  value = text.compare(at, 4, "True") == 0;
  if (!value && text.compare(at, 5, "False") != 0)
    return false;
  at += value ? 4 : 5;
  return true;
}

bool HeaderParser::takeShape() {
  if (!take('('))
    return false;
  while (!take(')')) {
    skipSpace();
    size_t first = at;
    int64_t value = 0;
    for (; at < text.size() && text[at] >= '0' && text[at] <= '9'; ++at)
      if (!checkedMul<int64_t>(value, 10, value) ||
          !checkedAdd<int64_t>(value, text[at] - '0', value))
        return false;
    if (at == first)
      return false;
    header.shape.push_back(value);
    if (!take(',') && (at == text.size() || text[at] != ')'))
      return false;
  }
  return true;
}

/// The type of "<f4" without its byte order.
static bool parseDescr(const std::string &code, DType &dtype) {
  static const std::pair<const char *, DType> types[] = {
      {"f4", DType::F32},
      {"f8", DType::F64},
      {"f2", DType::F16},
      {"i1", DType::I8},
      {"i2", DType::I16},
      {"i4", DType::I32},
      {"i8", DType::I64},
      {"u1", DType::UI8},
      {"u2", DType::UI16},
      {"u4", DType::UI32},
      {"u8", DType::UI64},
      {"b1", DType::Bool},
      // Raw bits, as extension types such as bfloat16 are written.
      {"V1", DType::UI8},
      {"V2", DType::UI16}};
  for (const auto &[name, type] : types)
    if (code == name) {
      dtype = type;
      return true;
    }
  return false;
}

Status HeaderParser::parse(std::string &unusable) {
  Status bad = Status::error("its array header is damaged");
  bool haveType = false, haveOrder = false, haveShape = false;
  if (!take('{'))
    return bad;
  while (!take('}')) {
    std::string key, descr;
    if (!takeString(key) || !take(':'))
      return bad;
    if (key == "descr") {
      if (!takeString(descr)) {
        unusable = "is an array of records";
        return Status::ok();
      }
      haveType = true;
      bool ordered = !descr.empty() && std::strchr("<>|=", descr[0]);
      header.bigEndian = descr[0] == '>';
      if (!parseDescr(descr.substr(ordered), header.dtype))
        unusable = "has the numpy type '" + descr + "', which no tensor has";
    } else if (key == "fortran_order") {
      if (!takeBool(header.fortranOrder))
        return bad;
      haveOrder = true;
    } else if (key == "shape") {
      if (!takeShape())
        return bad;
      haveShape = true;
    } else {
      return bad;
    }
    if (!take(',') && (at == text.size() || text[at] != '}'))
      return bad;
  }
  return haveType && haveOrder && haveShape ? Status::ok() : bad;
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

static Status readHeader(ZipStream &stream, NpyHeader &header,
                         uint64_t &headerBytes, std::string &unusable) {
  uint8_t start[8];
  if (Status status = stream.read(start, 8); status.failed())
    return status;
  if (std::memcmp(start, "\x93NUMPY", 6) != 0)
    return Status::error("is not a numpy array");
  unsigned lengthBytes = start[6] == 1 ? 2 : 4;
  if (start[6] < 1 || start[6] > 3)
    return Status::error("numpy format " + std::to_string(start[6]) +
                         " is unknown");
  uint8_t digits[4] = {};
  if (Status status = stream.read(digits, lengthBytes); status.failed())
    return status;
  uint32_t length;
  std::memcpy(&length, digits, 4);
  // Far above what numpy writes for any array that could be a tensor.
  if (length > (1 << 20))
    return Status::error("its array header is damaged");
  std::string text(length, '\0');
  if (Status status = stream.read(text.data(), length); status.failed())
    return status;
  headerBytes = 8 + lengthBytes + length;
  return HeaderParser(text, header).parse(unusable);
}

static void swapBytes(const Tensor &tensor) {
  int64_t size = dtypeBytes(tensor.dtype());
  uint8_t *bytes = tensor.as<uint8_t>();
  for (int64_t i = 0, n = tensor.elements(); i < n; ++i)
    std::reverse(bytes + i * size, bytes + (i + 1) * size);
}

/// Copies `from`, whose first axis is the fastest, into row-major order.
static void reorder(const Tensor &from, const Tensor &to) {
  const std::vector<int64_t> &shape = to.shape();
  int64_t size = dtypeBytes(to.dtype());
  std::vector<int64_t> strides(shape.size()), index(shape.size());
  int64_t stride = size;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    strides[axis] = stride;
    stride *= shape[axis];
  }
  const uint8_t *source = from.as<uint8_t>();
  uint8_t *target = to.as<uint8_t>();
  for (int64_t i = 0, n = to.elements(); i < n; ++i, target += size) {
    std::memcpy(target, source, size);
    for (size_t axis = shape.size(); axis-- > 0;) {
      source += strides[axis];
      if (++index[axis] < shape[axis])
        break;
      source -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
}

static Status readArray(const ZipMember &member, TensorMap &result) {
  std::string name = member.name;
  if (name.size() > 4 && name.compare(name.size() - 4, 4, ".npy") == 0)
    name.resize(name.size() - 4);
  ZipStream stream(member);
  NpyHeader header;
  uint64_t headerBytes;
  std::string unusable;
  if (Status status = readHeader(stream, header, headerBytes, unusable);
      status.failed())
    return status;
  if (!unusable.empty()) {
    result.unusable.emplace(name, unusable);
    return Status::ok();
  }
  Result<int64_t> bytes =
      tensorBytes(header.dtype, header.shape.data(), header.shape.size());
  if (bytes.failed())
    return bytes.takeStatus();
  if (uint64_t(*bytes) != member.bytes - headerBytes)
    return Status::error("has " + std::to_string(member.bytes - headerBytes) +
                         " bytes, but its shape needs " +
                         std::to_string(*bytes));
  Result<Tensor> tensor = Tensor::zeros(header.dtype, header.shape);
  if (tensor.failed())
    return tensor.takeStatus();
  if (Status status = stream.read(tensor->data(), *bytes); status.failed())
    return status;
  if (Status status = stream.finish(); status.failed())
    return status;
  if (header.bigEndian)
    swapBytes(*tensor);
  if (header.fortranOrder && header.shape.size() > 1) {
    Result<Tensor> ordered = Tensor::zeros(header.dtype, header.shape);
    if (ordered.failed())
      return ordered.takeStatus();
    reorder(*tensor, *ordered);
    tensor = std::move(ordered);
  }
  if (!result.tensors.emplace(name, std::move(*tensor)).second)
    return Status::error("is there twice");
  return Status::ok();
}

Result<TensorMap> lathe::rt::readNpz(const std::string &path) {
  Result<std::shared_ptr<const MappedFile>> file = MappedFile::open(path);
  if (file.failed())
    return file.takeStatus();
  Result<std::vector<ZipMember>> members = readZipDirectory(**file);
  if (members.failed())
    return members.takeStatus().prefixed(path + ": ");
  TensorMap result;
  for (const ZipMember &member : *members)
    if (Status status = readArray(member, result); status.failed())
      return std::move(status).prefixed(path + ": array '" + member.name +
                                        "': ");
  return result;
}

Result<TensorMap> lathe::rt::readTensors(const std::string &path) {
  return isFolder(path) ? readOnnxTestFolder(path) : readNpz(path);
}

//===----------------------------------------------------------------------===//
// Writing
//===----------------------------------------------------------------------===//

static const char *descrOf(DType dtype) {
  switch (numpyCarrier(dtype).value_or(dtype)) {
  case DType::F32:
    return "<f4";
  case DType::F64:
    return "<f8";
  case DType::F16:
    return "<f2";
  case DType::I8:
    return "|i1";
  case DType::I16:
    return "<i2";
  case DType::I32:
    return "<i4";
  case DType::I64:
    return "<i8";
  case DType::UI16:
    return "<u2";
  case DType::UI32:
    return "<u4";
  case DType::UI64:
    return "<u8";
  case DType::Bool:
    return "|b1";
  default:
    return "|u1";
  }
}

/// Magic, version, length and dict, padded to a multiple of 64 bytes.
static std::string npyHeader(const TensorView &tensor) {
  std::string dict = std::string("{'descr': '") + descrOf(tensor.dtype) +
                     "', 'fortran_order': False, 'shape': (";
  for (unsigned i = 0; i < tensor.rank; ++i)
    dict += std::to_string(tensor.shape[i]) + (tensor.rank == 1 ? "," : "") +
            (i + 1 < tensor.rank ? ", " : "");
  dict += "), }";
  size_t total = (10 + dict.size() + 1 + 63) / 64 * 64;
  dict.append(total - 10 - dict.size() - 1, ' ');
  dict += '\n';
  uint16_t length = dict.size();
  std::string head("\x93NUMPY\x01\x00", 8);
  head += char(length & 0xff);
  head += char(length >> 8);
  return head + dict;
}

Status lathe::rt::writeNpz(
    const std::string &path,
    const std::vector<std::pair<std::string, TensorView>> &arrays) {
  Result<std::unique_ptr<ZipWriter>> writer = ZipWriter::create(path);
  if (writer.failed())
    return writer.takeStatus();
  for (const auto &[name, tensor] : arrays)
    if (Status status = (*writer)->add(name + ".npy", npyHeader(tensor),
                                       tensor.data, tensor.bytes());
        status.failed())
      return status;
  return (*writer)->finish();
}
