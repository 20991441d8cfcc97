//===- support.c - exports what StageSupport.c hides ----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include <stddef.h>
#include <stdint.h>

void *memcpy(void *, const void *, size_t);
void *memmove(void *, const void *, size_t);
void *memset(void *, int, size_t);
int memcmp(const void *, const void *, size_t);
void probe_memcpy(void *a, const void *b, size_t n) { memcpy(a, b, n); }
void probe_memmove(void *a, const void *b, size_t n) { memmove(a, b, n); }
void probe_memset(void *a, int v, size_t n) { memset(a, v, n); }
int probe_memcmp(const void *a, const void *b, size_t n) {
  return memcmp(a, b, n);
}

#define ROUNDING(name)                                                         \
  double name(double);                                                         \
  float name##f(float);                                                        \
  double probe_##name(double value) { return name(value); }                    \
  float probe_##name##f(float value) { return name##f(value); }
ROUNDING(trunc)
ROUNDING(floor)
ROUNDING(ceil)
ROUNDING(round)
ROUNDING(roundeven)
ROUNDING(rint)
ROUNDING(nearbyint)

double fmod(double, double);
float fmodf(float, float);
float fmaf(float, float, float);
double probe_fmod(double x, double y) { return fmod(x, y); }
float probe_fmodf(float x, float y) { return fmodf(x, y); }
float probe_fmaf(float x, float y, float z) { return fmaf(x, y, z); }

// The compiler itself calls these for the baseline of the target.
union Bits {
  _Float16 half;
  __bf16 brain;
  uint16_t bits;
};
uint16_t probe_truncsfhf2(float value) {
  return ((union Bits){.half = (_Float16)value}).bits;
}
uint16_t probe_truncdfhf2(double value) {
  return ((union Bits){.half = (_Float16)value}).bits;
}
uint16_t probe_truncsfbf2(float value) {
  return ((union Bits){.brain = (__bf16)value}).bits;
}
uint16_t probe_truncdfbf2(double value) {
  return ((union Bits){.brain = (__bf16)value}).bits;
}
float probe_extendhfsf2(uint16_t bits) {
  return (float)((union Bits){.bits = bits}).half;
}
