//===- StageSupport.c - what compilers call on their own ------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Stages have no libc and no libm, but LLVM turns loops into memcpy and, on
// CPUs without the instructions, conversions and rounding into calls. This file
// is compiled without the standard library, for the baseline of the target, and
// its object is linked into every model.so. All symbols are hidden, so they
// neither take part in nor disturb the symbols of the process.
//
//===----------------------------------------------------------------------===//

#include <stddef.h>
#include <stdint.h>

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

// A vector of 16 bytes at any address, which may alias anything.
typedef uint8_t Bytes16 __attribute__((vector_size(16), aligned(1), may_alias));

void *memcpy(void *restrict to, const void *restrict from, size_t count) {
  uint8_t *out = to;
  const uint8_t *in = from;
  for (; count >= 16; count -= 16, out += 16, in += 16)
    *(Bytes16 *)out = *(const Bytes16 *)in;
  for (; count > 0; --count)
    *out++ = *in++;
  return to;
}

void *memmove(void *to, const void *from, size_t count) {
  uint8_t *out = to;
  const uint8_t *in = from;
  // Forwards reads ahead of what it writes unless `to` lies inside the source;
  // each vector is read before it is written.
  if ((uintptr_t)out - (uintptr_t)in >= count) {
    for (; count >= 16; count -= 16, out += 16, in += 16)
      *(Bytes16 *)out = *(const Bytes16 *)in;
    for (; count > 0; --count)
      *out++ = *in++;
    return to;
  }
  for (; count >= 16; count -= 16)
    *(Bytes16 *)(out + count - 16) = *(const Bytes16 *)(in + count - 16);
  for (; count > 0; --count)
    out[count - 1] = in[count - 1];
  return to;
}

void *memset(void *to, int value, size_t count) {
  uint8_t *out = to;
  uint8_t byte = value;
  Bytes16 bytes = {byte, byte, byte, byte, byte, byte, byte, byte,
                   byte, byte, byte, byte, byte, byte, byte, byte};
  for (; count >= 16; count -= 16, out += 16)
    *(Bytes16 *)out = bytes;
  for (; count > 0; --count)
    *out++ = byte;
  return to;
}

void bzero(void *to, size_t count) { memset(to, 0, count); }

int memcmp(const void *left, const void *right, size_t count) {
  const uint8_t *a = left, *b = right;
  for (size_t i = 0; i < count; ++i)
    if (a[i] != b[i])
      return a[i] < b[i] ? -1 : 1;
  return 0;
}

int bcmp(const void *left, const void *right, size_t count) {
  return memcmp(left, right, count);
}

//===----------------------------------------------------------------------===//
// Bits of floats
//===----------------------------------------------------------------------===//

#define BIT_CAST(name, To, From)                                               \
  static To name(From value) {                                                 \
    union {                                                                    \
      From from;                                                               \
      To to;                                                                   \
    } both = {value};                                                          \
    return both.to;                                                            \
  }
BIT_CAST(bitsOfFloat, uint32_t, float)
BIT_CAST(floatOfBits, float, uint32_t)
BIT_CAST(bitsOfDouble, uint64_t, double)
BIT_CAST(doubleOfBits, double, uint64_t)

//===----------------------------------------------------------------------===//
// Half and bfloat16
//===----------------------------------------------------------------------===//

#if defined(__FLT16_MANT_DIG__)
BIT_CAST(halfOfBits, _Float16, uint16_t)
BIT_CAST(bitsOfHalf, uint16_t, _Float16)

/// value * 2^-shift rounded to an integer, ties to even.
static uint64_t shiftRounded(uint64_t value, unsigned shift) {
  if (shift > 62)
    return 0;
  uint64_t kept = value >> shift, rest = value & (((uint64_t)1 << shift) - 1);
  uint64_t half = shift > 0 ? (uint64_t)1 << (shift - 1) : 0;
  return kept + (rest > half || (shift > 0 && rest == half && (kept & 1)));
}

/// The half nearest to fraction * 2^(exponent - 52), where the fraction has its
/// top bit at 52.
static uint16_t halfFromParts(uint16_t sign, uint64_t fraction, int exponent) {
  if (exponent > 15)
    return sign | 0x7c00;
  if (exponent < -14) // subnormal: units of 2^-24
    return sign | (uint16_t)shiftRounded(fraction, 42 + (-14 - exponent));
  // A carry out of the fraction raises the exponent, up to infinity.
  return sign |
         (uint16_t)(((exponent + 14) << 10) + shiftRounded(fraction, 42));
}

_Float16 __truncdfhf2(double value) {
  uint64_t bits = bitsOfDouble(value);
  uint16_t sign = bits >> 48 & 0x8000;
  int exponent = (int)(bits >> 52 & 0x7ff);
  uint64_t fraction = bits & 0xfffffffffffff;
  if (exponent == 0x7ff)
    return halfOfBits(sign | 0x7c00 |
                      (fraction ? 0x200 | (uint16_t)(fraction >> 42) : 0));
  if (exponent == 0) // far below the smallest half
    return halfOfBits(sign);
  return halfOfBits(
      halfFromParts(sign, fraction | (uint64_t)1 << 52, exponent - 1023));
}

// A float is exactly a double, so one rounding happens.
_Float16 __truncsfhf2(float value) { return __truncdfhf2(value); }

float __extendhfsf2(_Float16 value) {
  uint32_t half = bitsOfHalf(value);
  uint32_t sign = (half & 0x8000) << 16, exponent = half >> 10 & 0x1f,
           fraction = half & 0x3ff;
  if (exponent == 0x1f)
    return floatOfBits(sign | 0x7f800000 |
                       (fraction ? 0x400000 | fraction << 13 : 0));
  if (exponent == 0)
    return floatOfBits(sign | bitsOfFloat((float)fraction * 0x1p-24f));
  return floatOfBits(sign | (exponent + 112) << 23 | fraction << 13);
}

double __extendhfdf2(_Float16 value) { return __extendhfsf2(value); }
#endif

#if defined(__SSE2__) || defined(__ARM_NEON)
BIT_CAST(brainOfBits, __bf16, uint16_t)

__bf16 __truncsfbf2(float value) {
  uint32_t bits = bitsOfFloat(value);
  if ((bits & 0x7fffffff) > 0x7f800000)
    return brainOfBits(bits >> 16 | 0x40);
  return brainOfBits((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

__bf16 __truncdfbf2(double value) {
  // To float by rounding to odd, so that the second rounding sees what the
  // first one dropped.
  float narrow = (float)value;
  uint32_t bits = bitsOfFloat(narrow);
  double back = narrow;
  if (back != value && value == value && (bits & 1) == 0 &&
      (bits & 0x7f800000) != 0x7f800000)
    bits +=
        (back < value) == (narrow > 0 || (narrow == 0 && value > 0)) ? 1 : -1;
  return __truncsfbf2(floatOfBits(bits));
}
#endif

//===----------------------------------------------------------------------===//
// Rounding to integers
//===----------------------------------------------------------------------===//

#define ROUNDING(Float, suffix, Int, magic)                                    \
  static Float withSign##suffix(Float value, Float sign) {                     \
    return __builtin_copysign##suffix(value, sign);                            \
  }                                                                            \
  /* Beyond 2^mantissa all values are integers, and NaN stays NaN. */          \
  static int isSmall##suffix(Float value) {                                    \
    return __builtin_fabs##suffix(value) < magic;                              \
  }                                                                            \
  Float trunc##suffix(Float value) {                                           \
    return isSmall##suffix(value) ? withSign##suffix((Float)(Int)value, value) \
                                  : value;                                     \
  }                                                                            \
  Float floor##suffix(Float value) {                                           \
    Float whole = trunc##suffix(value);                                        \
    return whole > value ? whole - 1 : whole;                                  \
  }                                                                            \
  Float ceil##suffix(Float value) {                                            \
    Float whole = trunc##suffix(value);                                        \
    return whole < value ? withSign##suffix(whole + 1, value) : whole;         \
  }                                                                            \
  Float round##suffix(Float value) {                                           \
    Float whole = trunc##suffix(value);                                        \
    Float rest = __builtin_fabs##suffix(value - whole);                        \
    return isSmall##suffix(value) && rest >= (Float)0.5                        \
               ? whole + withSign##suffix(1, value)                            \
               : whole;                                                        \
  }                                                                            \
  Float roundeven##suffix(Float value) {                                       \
    if (!isSmall##suffix(value))                                               \
      return value;                                                            \
    Float whole = trunc##suffix(value);                                        \
    Float rest = __builtin_fabs##suffix(value - whole);                        \
    if (rest > (Float)0.5 || (rest == (Float)0.5 && ((Int)whole & 1)))         \
      whole += withSign##suffix(1, value);                                     \
    return withSign##suffix(whole, value);                                     \
  }                                                                            \
  Float rint##suffix(Float value) { return roundeven##suffix(value); }         \
  Float nearbyint##suffix(Float value) { return roundeven##suffix(value); }

ROUNDING(float, f, int32_t, 0x1p23f)
ROUNDING(double, , int64_t, 0x1p52)

//===----------------------------------------------------------------------===//
// Remainder and fused multiply-add
//===----------------------------------------------------------------------===//

double fmod(double x, double y) {
  double a = __builtin_fabs(x), b = __builtin_fabs(y);
  if (!(a < __builtin_inf()) || !(b > 0)) // also NaN
    return (x * y) / (x * y);
  if (!(b < __builtin_inf()))
    return x;
  // Subtracts the largest b * 2^k that fits, until none does; all steps are
  // exact.
  while (a >= b) {
    int64_t gap =
        (int64_t)(bitsOfDouble(a) >> 52) - (int64_t)(bitsOfDouble(b) >> 52) - 1;
    double multiple = b;
    for (; gap > 0; gap -= 1000)
      multiple *=
          doubleOfBits((uint64_t)(1023 + (gap < 1000 ? gap : 1000)) << 52);
    // The exponent of a subnormal says less than its size.
    while (a - multiple >= multiple)
      multiple += multiple;
    a -= multiple;
  }
  return __builtin_copysign(a, x);
}

float fmodf(float x, float y) { return (float)fmod(x, y); }

float fmaf(float x, float y, float z) {
  // The product is exact in double; the sum is rounded to odd, so that rounding
  // it to float once more gives what one rounding would.
  double product = (double)x * y, sum = product + z;
  uint64_t bits = bitsOfDouble(sum);
  double other = sum - product;
  double error = (product - (sum - other)) + (z - other);
  if (error != 0 && error == error && (bits & 1) == 0 &&
      (bits & 0x7ff0000000000000) != 0x7ff0000000000000)
    bits += (error > 0) == (sum > 0) ? 1 : -1;
  return (float)doubleOfBits(bits);
}
