//===- ElementType.h - Element types of ONNX tensors ------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// The element types that ONNX tensors may have, with ONNX's own numbers, their
/// widths and their names in messages (those of MLIR where MLIR has them).
//===----------------------------------------------------------------------===//

#ifndef LATHE_IMPORT_ELEMENTTYPE_H
#define LATHE_IMPORT_ELEMENTTYPE_H

#include "llvm/ADT/StringRef.h"
#include <cstdint>
#include <optional>

namespace lathe {

/// `TensorProto.DataType`. Values that are not named here (newer than this
/// list) are never cast to this type: see `elementTypeFromOnnx`.
enum class ElementType : uint8_t {
  Undefined = 0,
  F32 = 1,
  U8 = 2,
  I8 = 3,
  U16 = 4,
  I16 = 5,
  I32 = 6,
  I64 = 7,
  String = 8,
  Bool = 9,
  F16 = 10,
  F64 = 11,
  U32 = 12,
  U64 = 13,
  Complex64 = 14,
  Complex128 = 15,
  BF16 = 16,
  F8E4M3FN = 17,
  F8E4M3FNUZ = 18,
  F8E5M2 = 19,
  F8E5M2FNUZ = 20,
  U4 = 21,
  I4 = 22,
  F4E2M1 = 23,
  F8E8M0 = 24,
  U2 = 25,
  I2 = 26,
  F6E2M3 = 27,
  F6E3M2 = 28,
};

/// One past the largest number of `ElementType`.
constexpr unsigned kNumElementTypes = 29;

/// A set of element types, one bit each.
using ElementTypeSet = uint32_t;

constexpr ElementTypeSet setOf(ElementType type) {
  return ElementTypeSet(1) << static_cast<unsigned>(type);
}

/// The type of ONNX's number `code`, or nothing if Lathe does not know it
/// (0 and numbers beyond the list).
std::optional<ElementType> elementTypeFromOnnx(int64_t code);

/// "f32", "i64", "ui8", "i1", "string", …
llvm::StringRef getName(ElementType type);

/// Bits that one element takes in ONNX's raw layout (4 for i4, 8 for bool and
/// for the 6-bit floats' own byte); 0 for strings.
unsigned getStorageBits(ElementType type);

/// The element types that Lathe can compute with: all but strings, complex
/// numbers and 6-bit floats.
bool isSupported(ElementType type);

/// Multiplies and adds without wrapping around: nothing on overflow. All sizes
/// that come from a file go through these.
std::optional<uint64_t> checkedMul(uint64_t a, uint64_t b);
std::optional<uint64_t> checkedAdd(uint64_t a, uint64_t b);

/// Bytes of `elements` elements in ONNX's raw layout (sub-byte types are packed
/// over the whole tensor), or nothing on overflow.
std::optional<uint64_t> getStorageBytes(ElementType type, uint64_t elements);

} // namespace lathe

#endif // LATHE_IMPORT_ELEMENTTYPE_H
