//===- OnnxTensor.cpp - folders of ONNX test files -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Checked.h"
#include "lathe/Runtime/File.h"
#include "lathe/Runtime/Npz.h"

#include <algorithm>
#include <cstring>
#include <dirent.h>

using namespace lathe::rt;

//===----------------------------------------------------------------------===//
// Protobuf wire format, as much as a TensorProto needs
//===----------------------------------------------------------------------===//

namespace {
struct WireReader {
  const uint8_t *at, *end;

  bool done() const { return at == end; }

  bool varint(uint64_t &value) {
    value = 0;
    for (unsigned shift = 0; shift < 64 && at < end; shift += 7) {
      uint8_t byte = *at++;
      value |= uint64_t(byte & 0x7f) << shift;
      if (byte < 0x80)
        return true;
    }
    return false;
  }

  bool bytes(uint64_t count, WireReader &slice) {
    if (count > uint64_t(end - at))
      return false;
    slice = {at, at + count};
    at += count;
    return true;
  }

  /// Reads one field: its number and wire type, and its content as bytes
  /// (types 1, 2, 5) or number (type 0).
  bool field(uint64_t &number, unsigned &type, uint64_t &value,
             WireReader &content) {
    uint64_t key;
    if (!varint(key))
      return false;
    number = key >> 3;
    type = key & 7;
    if (type == 0)
      return varint(value);
    if (type == 1)
      return bytes(8, content);
    if (type == 5)
      return bytes(4, content);
    return type == 2 && varint(value) && bytes(value, content);
  }
};

/// The fields of a TensorProto.
struct Proto {
  std::vector<int64_t> dims;
  uint64_t dataType = 0;
  std::string name;
  bool hasRaw = false, external = false;
  WireReader raw = {nullptr, nullptr};
  std::vector<uint64_t> integers; ///< int32_data, int64_data, uint64_data
  std::vector<uint8_t> floats;    ///< bytes of float_data or double_data
  size_t floatSize = 0;
};
} // namespace

/// Appends a repeated number, packed or not.
static bool appendVarints(unsigned type, uint64_t value, WireReader content,
                          std::vector<uint64_t> &out) {
  if (type == 0) {
    out.push_back(value);
    return true;
  }
  if (type != 2)
    return false;
  while (!content.done()) {
    if (!content.varint(value))
      return false;
    out.push_back(value);
  }
  return true;
}

static bool readField(uint64_t number, unsigned type, uint64_t value,
                      WireReader content, Proto &proto) {
  std::vector<uint64_t> dims;
  switch (number) {
  case 1: // dims
    if (!appendVarints(type, value, content, dims))
      return false;
    proto.dims.insert(proto.dims.end(), dims.begin(), dims.end());
    return true;
  case 2: // data_type
    proto.dataType = value;
    return type == 0;
  case 4:  // float_data
  case 10: // double_data
    proto.floatSize = number == 4 ? 4 : 8;
    proto.floats.insert(proto.floats.end(), content.at, content.end);
    return type == 2 || type == (number == 4 ? 5 : 1);
  case 5:  // int32_data
  case 7:  // int64_data
  case 11: // uint64_data
    return appendVarints(type, value, content, proto.integers);
  case 8: // name
    proto.name.assign(content.at, content.end);
    return type == 2;
  case 9: // raw_data
    proto.hasRaw = true;
    proto.raw = content;
    return type == 2;
  case 14: // data_location
    proto.external = value != 0;
    return type == 0;
  default:
    return true;
  }
}

//===----------------------------------------------------------------------===//
// TensorProto to Tensor
//===----------------------------------------------------------------------===//

/// TensorProto.DataType by number.
static std::optional<DType> typeOf(uint64_t number) {
  switch (number) {
  case 1:
    return DType::F32;
  case 2:
    return DType::UI8;
  case 3:
    return DType::I8;
  case 4:
    return DType::UI16;
  case 5:
    return DType::I16;
  case 6:
    return DType::I32;
  case 7:
    return DType::I64;
  case 9:
    return DType::Bool;
  case 10:
    return DType::F16;
  case 11:
    return DType::F64;
  case 12:
    return DType::UI32;
  case 13:
    return DType::UI64;
  case 16:
    return DType::BF16;
  case 17:
    return DType::F8E4M3FN;
  case 18:
    return DType::F8E4M3FNUZ;
  case 19:
    return DType::F8E5M2;
  case 20:
    return DType::F8E5M2FNUZ;
  case 21:
    return DType::UI4;
  case 22:
    return DType::I4;
  case 23:
    return DType::F4E2M1FN;
  case 24:
    return DType::F8E8M0FNU;
  case 25:
    return DType::UI2;
  case 26:
    return DType::I2;
  default:
    return std::nullopt;
  }
}

/// Bits of one element in raw_data.
static unsigned storedBits(DType dtype) {
  switch (dtype) {
  case DType::F4E2M1FN:
  case DType::I4:
  case DType::UI4:
    return 4;
  case DType::I2:
  case DType::UI2:
    return 2;
  default:
    return 8 * dtypeBytes(dtype);
  }
}

/// Spreads packed elements, lowest bits first, to one byte each.
static void unpack(const uint8_t *from, unsigned bits, int64_t count,
                   uint8_t *to) {
  for (int64_t i = 0; i < count; ++i) {
    uint64_t bit = uint64_t(i) * bits;
    to[i] = from[bit / 8] >> (bit % 8) & ((1u << bits) - 1);
  }
}

static Status fill(const Proto &proto, const Tensor &tensor) {
  int64_t count = tensor.elements();
  unsigned bits = storedBits(tensor.dtype());
  // At most 2^46 elements, so no overflow.
  int64_t stored = (count * bits + 7) / 8;
  auto wrongSize = [&](size_t have, int64_t need) {
    return Status::error("has " + std::to_string(have) +
                         " elements or bytes of data where its shape needs " +
                         std::to_string(need));
  };
  const uint8_t *bytes = nullptr;
  std::vector<uint8_t> packed;
  if (proto.hasRaw) {
    if (proto.raw.end - proto.raw.at != stored)
      return wrongSize(proto.raw.end - proto.raw.at, stored);
    bytes = proto.raw.at;
  } else if (tensor.dtype() == DType::F32 || tensor.dtype() == DType::F64) {
    if (proto.floats.size() != uint64_t(stored) ||
        (stored > 0 && proto.floatSize * 8 != bits))
      return wrongSize(proto.floats.size(), stored);
    bytes = proto.floats.data();
  } else {
    // One number per element, or per byte of packed ones.
    int64_t size = dtypeBytes(tensor.dtype());
    int64_t numbers = bits < 8 ? stored : count;
    if (proto.integers.size() != uint64_t(numbers))
      return wrongSize(proto.integers.size(), numbers);
    packed.resize(numbers * size);
    for (int64_t i = 0; i < numbers; ++i)
      std::memcpy(&packed[i * size], &proto.integers[i], size);
    bytes = packed.data();
  }
  if (bits < 8)
    unpack(bytes, bits, count, tensor.as<uint8_t>());
  else if (stored > 0)
    std::memcpy(tensor.data(), bytes, stored);
  return Status::ok();
}

Result<std::pair<std::string, Tensor>>
lathe::rt::parseTensorProto(const uint8_t *data, size_t bytes,
                            const std::string &where) {
  auto bad = [&](const std::string &reason) {
    return Status::error(where + ": " + reason);
  };
  Proto proto;
  WireReader reader{data, data + bytes};
  while (!reader.done()) {
    uint64_t number, value = 0;
    unsigned type;
    WireReader content{nullptr, nullptr};
    if (!reader.field(number, type, value, content) ||
        !readField(number, type, value, content, proto))
      return bad("is not a serialized TensorProto, or is cut off");
  }
  std::optional<DType> dtype = typeOf(proto.dataType);
  if (!dtype)
    return bad("has the element type " + std::to_string(proto.dataType) +
               ", which no tensor here has");
  if (proto.external)
    return bad("keeps its data in another file, which is not supported here");
  Result<int64_t> size =
      tensorBytes(*dtype, proto.dims.data(), proto.dims.size());
  if (size.failed())
    return bad(size.message());
  // An element takes at least two bits of the file, whatever its field.
  if (uint64_t(*size) / dtypeBytes(*dtype) / 4 > bytes)
    return bad("its shape " + shapeText(proto.dims.data(), proto.dims.size()) +
               " needs more data than the file has");
  Result<Tensor> tensor = Tensor::zeros(*dtype, proto.dims);
  if (tensor.failed())
    return bad(tensor.message());
  if (Status status = fill(proto, *tensor); status.failed())
    return bad(status.message());
  return std::make_pair(proto.name, std::move(*tensor));
}

/// "input_3.pb" and "output_0.pb" give their stem, other names nothing.
static std::string testFileStem(const std::string &name) {
  for (const char *prefix : {"input_", "output_"}) {
    size_t start = std::strlen(prefix);
    if (name.compare(0, start, prefix) != 0 || name.size() < start + 4 ||
        name.compare(name.size() - 3, 3, ".pb") != 0)
      continue;
    std::string stem = name.substr(0, name.size() - 3);
    if (std::all_of(stem.begin() + start, stem.end(),
                    [](char c) { return c >= '0' && c <= '9'; }))
      return stem;
  }
  return "";
}

Result<TensorMap> lathe::rt::readOnnxTestFolder(const std::string &folder) {
  DIR *dir = opendir(folder.c_str());
  if (!dir)
    return Status::error(folder + ": " + std::strerror(errno));
  std::vector<std::string> stems;
  while (const dirent *item = readdir(dir))
    if (std::string stem = testFileStem(item->d_name); !stem.empty())
      stems.push_back(stem);
  closedir(dir);
  std::sort(stems.begin(), stems.end());
  if (stems.empty())
    return Status::error(folder + ": has no files input_0.pb, input_1.pb, ...");
  TensorMap result;
  for (const std::string &stem : stems) {
    std::string path = folder + "/" + stem + ".pb";
    Result<std::shared_ptr<const MappedFile>> file = MappedFile::open(path);
    if (file.failed())
      return file.takeStatus();
    auto parsed = parseTensorProto((*file)->data(), (*file)->size(), path);
    if (parsed.failed())
      return parsed.takeStatus();
    // An output may have the name of an input, hence the prefix.
    if (!parsed->first.empty())
      result.tensors.emplace((stem[0] == 'i' ? "in." : "out.") + parsed->first,
                             parsed->second);
    result.tensors.emplace(stem, std::move(parsed->second));
  }
  return result;
}
