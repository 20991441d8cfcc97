//===- NarrowFloat.h - rounding to 16-bit floats ----------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Bits of f32 values as bf16 and f16, rounded to nearest, ties to even.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_DIALECT_NARROWFLOAT_H
#define LATHE_DIALECT_NARROWFLOAT_H

#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/bit.h"
#include <cstdint>

namespace lathe {

/// A NaN stays one.
inline uint16_t bfloatBits(float value) {
  uint32_t bits = llvm::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return (bits >> 16) | 0x40;
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

inline float bfloatValue(uint16_t bits) {
  return llvm::bit_cast<float>(uint32_t(bits) << 16);
}

/// What is too large becomes infinite.
inline uint16_t halfBits(float value) {
  llvm::APFloat number(value);
  bool lost;
  number.convert(llvm::APFloat::IEEEhalf(), llvm::APFloat::rmNearestTiesToEven,
                 &lost);
  return number.bitcastToAPInt().getZExtValue();
}

inline float halfValue(uint16_t bits) {
  llvm::APFloat number(llvm::APFloat::IEEEhalf(), llvm::APInt(16, bits));
  bool lost;
  number.convert(llvm::APFloat::IEEEsingle(),
                 llvm::APFloat::rmNearestTiesToEven, &lost);
  return number.convertToFloat();
}

} // namespace lathe

#endif // LATHE_DIALECT_NARROWFLOAT_H
