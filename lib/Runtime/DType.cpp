//===- DType.cpp - element types of tensors -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/DType.h"

#include <cstring>

using namespace lathe::rt;

namespace {
struct TypeInfo {
  const char *name;
  int64_t bytes;
};
} // namespace

// In the order of the enum.
static constexpr TypeInfo typeInfos[numDTypes] = {
    {"f32", 4},        {"f64", 8},       {"f16", 2},        {"bf16", 2},
    {"i8", 1},         {"i16", 2},       {"i32", 4},        {"i64", 8},
    {"ui8", 1},        {"ui16", 2},      {"ui32", 4},       {"ui64", 8},
    {"bool", 1},       {"f8E4M3FN", 1},  {"f8E4M3FNUZ", 1}, {"f8E5M2", 1},
    {"f8E5M2FNUZ", 1}, {"f8E8M0FNU", 1}, {"f4E2M1FN", 1},   {"i4", 1},
    {"ui4", 1},        {"i2", 1},        {"ui2", 1}};

int64_t lathe::rt::dtypeBytes(DType type) {
  return typeInfos[static_cast<unsigned>(type)].bytes;
}

const char *lathe::rt::dtypeName(DType type) {
  return typeInfos[static_cast<unsigned>(type)].name;
}

std::optional<DType> lathe::rt::parseDType(std::string_view name) {
  if (name == "i1")
    return DType::Bool;
  for (unsigned i = 0; i < numDTypes; ++i)
    if (name == typeInfos[i].name)
      return static_cast<DType>(i);
  return std::nullopt;
}

bool lathe::rt::isFloat(DType type) {
  switch (type) {
  case DType::F32:
  case DType::F64:
  case DType::F16:
  case DType::BF16:
  case DType::F8E4M3FN:
  case DType::F8E4M3FNUZ:
  case DType::F8E5M2:
  case DType::F8E5M2FNUZ:
  case DType::F8E8M0FNU:
  case DType::F4E2M1FN:
    return true;
  default:
    return false;
  }
}

std::optional<DType> lathe::rt::numpyCarrier(DType type) {
  if (type == DType::BF16)
    return DType::UI16;
  if (type >= DType::F8E4M3FN)
    return DType::UI8;
  return std::nullopt;
}

float lathe::rt::halfToFloat(uint16_t bits) {
  uint32_t sign = uint32_t(bits & 0x8000) << 16;
  uint32_t exponent = (bits >> 10) & 0x1f;
  uint32_t fraction = bits & 0x3ff;
  uint32_t wide;
  if (exponent == 0x1f) {
    wide = sign | 0x7f800000 | fraction << 13;
  } else if (exponent != 0) {
    wide = sign | (exponent + 112) << 23 | fraction << 13;
  } else {
    // A subnormal half is a normal float: fraction * 2^-24, exactly.
    float value = float(fraction) * 0x1p-24f;
    std::memcpy(&wide, &value, 4);
    wide |= sign;
  }
  float result;
  std::memcpy(&result, &wide, 4);
  return result;
}

float lathe::rt::bfloat16ToFloat(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float result;
  std::memcpy(&result, &wide, 4);
  return result;
}

float lathe::rt::loadFloat(DType type, const void *data, int64_t index) {
  switch (type) {
  case DType::F64:
    return static_cast<const double *>(data)[index];
  case DType::F16:
    return halfToFloat(static_cast<const uint16_t *>(data)[index]);
  case DType::BF16:
    return bfloat16ToFloat(static_cast<const uint16_t *>(data)[index]);
  default:
    return static_cast<const float *>(data)[index];
  }
}

int64_t lathe::rt::loadInteger(DType type, const void *data, int64_t index) {
  switch (type) {
  case DType::I8:
    return static_cast<const int8_t *>(data)[index];
  case DType::I16:
    return static_cast<const int16_t *>(data)[index];
  case DType::I32:
    return static_cast<const int32_t *>(data)[index];
  case DType::UI16:
    return static_cast<const uint16_t *>(data)[index];
  case DType::UI32:
    return static_cast<const uint32_t *>(data)[index];
  case DType::I64:
  case DType::UI64:
    return static_cast<const int64_t *>(data)[index];
  default:
    return static_cast<const uint8_t *>(data)[index];
  }
}

/// Bits of a small whole number as a half or bfloat16; used for masks and
/// counts, where float holds the value exactly.
static uint16_t narrowBits(float value, bool half) {
  uint32_t wide;
  std::memcpy(&wide, &value, 4);
  if (!half)
    return wide >> 16;
  if (value == 0)
    return 0;
  return (wide >> 16 & 0x8000) | ((wide >> 13) - (112u << 10) & 0x7fff);
}

void lathe::rt::storeNumber(DType type, void *data, int64_t index,
                            int64_t value) {
  switch (type) {
  case DType::F32:
    static_cast<float *>(data)[index] = value;
    return;
  case DType::F64:
    static_cast<double *>(data)[index] = value;
    return;
  case DType::F16:
  case DType::BF16:
    static_cast<uint16_t *>(data)[index] =
        narrowBits(value, type == DType::F16);
    return;
  case DType::I16:
  case DType::UI16:
    static_cast<int16_t *>(data)[index] = value;
    return;
  case DType::I32:
  case DType::UI32:
    static_cast<int32_t *>(data)[index] = value;
    return;
  case DType::I64:
  case DType::UI64:
    static_cast<int64_t *>(data)[index] = value;
    return;
  default:
    static_cast<int8_t *>(data)[index] = value;
    return;
  }
}
