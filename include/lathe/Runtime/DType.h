//===- DType.h - element types of tensors -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_DTYPE_H
#define LATHE_RUNTIME_DTYPE_H

#include <cstdint>
#include <optional>
#include <string_view>

namespace lathe::rt {

/// Element types, named as MLIR prints them; a bool takes one byte. Types
/// narrower than a byte take one byte per element, value in the low bits and
/// zeros above. The numbers are those of `lathe_dtype` in lathe.h and never
/// change.
enum class DType : uint8_t {
  F32 = 0,
  F64 = 1,
  F16 = 2,
  BF16 = 3,
  I8 = 4,
  I16 = 5,
  I32 = 6,
  I64 = 7,
  UI8 = 8,
  UI16 = 9,
  UI32 = 10,
  UI64 = 11,
  Bool = 12,
  F8E4M3FN = 13,
  F8E4M3FNUZ = 14,
  F8E5M2 = 15,
  F8E5M2FNUZ = 16,
  F8E8M0FNU = 17,
  F4E2M1FN = 18,
  I4 = 19,
  UI4 = 20,
  I2 = 21,
  UI2 = 22,
};
constexpr unsigned numDTypes = 23;

/// Bytes of one element in memory.
int64_t dtypeBytes(DType type);

/// The name in manifests and messages: "f32", "ui8", "bool", "f8E4M3FN", ….
const char *dtypeName(DType type);

/// The type of that name; "i1" is accepted for "bool".
std::optional<DType> parseDType(std::string_view name);

/// Floating point of any width.
bool isFloat(DType type);

/// The unsigned integer type of the same size, by which numpy files carry
/// element types that numpy lacks; nothing for types that numpy has.
std::optional<DType> numpyCarrier(DType type);

/// Bits of an IEEE half or a bfloat16, widened.
float halfToFloat(uint16_t bits);
float bfloat16ToFloat(uint16_t bits);

/// Element `index` of an array of f32, f64, f16 or bf16, as float.
float loadFloat(DType type, const void *data, int64_t index);

/// Element `index` of an array of integers or bools.
int64_t loadInteger(DType type, const void *data, int64_t index);

/// Writes `value` to element `index`, converted to `type` (any type of full
/// bytes but the 8-bit floats); saturates nothing, so callers pass what fits.
void storeNumber(DType type, void *data, int64_t index, int64_t value);

} // namespace lathe::rt

#endif // LATHE_RUNTIME_DTYPE_H
