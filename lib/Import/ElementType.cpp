//===- ElementType.cpp - Element types of ONNX tensors --------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Import/ElementType.h"
#include "llvm/Support/CheckedArithmetic.h"

using namespace lathe;

namespace {
struct TypeInfo {
  const char *name;
  unsigned bits;
  bool supported;
};
} // namespace

static constexpr TypeInfo kTypes[kNumElementTypes] = {
    {"undefined", 0, false},
    {"f32", 32, true},
    {"ui8", 8, true},
    {"i8", 8, true},
    {"ui16", 16, true},
    {"i16", 16, true},
    {"i32", 32, true},
    {"i64", 64, true},
    {"string", 0, false},
    {"i1", 8, true},
    {"f16", 16, true},
    {"f64", 64, true},
    {"ui32", 32, true},
    {"ui64", 64, true},
    {"complex<f32>", 64, false},
    {"complex<f64>", 128, false},
    {"bf16", 16, true},
    {"f8E4M3FN", 8, true},
    {"f8E4M3FNUZ", 8, true},
    {"f8E5M2", 8, true},
    {"f8E5M2FNUZ", 8, true},
    {"ui4", 4, true},
    {"i4", 4, true},
    {"f4E2M1FN", 4, true},
    {"f8E8M0FNU", 8, true},
    {"ui2", 2, true},
    {"i2", 2, true},
    {"f6E2M3FN", 8, false},
    {"f6E3M2FN", 8, false}};

std::optional<ElementType> lathe::elementTypeFromOnnx(int64_t code) {
  if (code <= 0 || code >= kNumElementTypes)
    return std::nullopt;
  return static_cast<ElementType>(code);
}

llvm::StringRef lathe::getName(ElementType type) {
  return kTypes[static_cast<unsigned>(type)].name;
}

unsigned lathe::getStorageBits(ElementType type) {
  return kTypes[static_cast<unsigned>(type)].bits;
}

bool lathe::isSupported(ElementType type) {
  return kTypes[static_cast<unsigned>(type)].supported;
}

std::optional<uint64_t> lathe::checkedMul(uint64_t a, uint64_t b) {
  return llvm::checkedMulUnsigned(a, b);
}

std::optional<uint64_t> lathe::checkedAdd(uint64_t a, uint64_t b) {
  return llvm::checkedAddUnsigned(a, b);
}

std::optional<uint64_t> lathe::getStorageBytes(ElementType type,
                                               uint64_t elements) {
  std::optional<uint64_t> bits = checkedMul(elements, getStorageBits(type));
  if (!bits)
    return std::nullopt;
  return *bits / 8 + (*bits % 8 != 0);
}
