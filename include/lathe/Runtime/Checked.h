//===- Checked.h - arithmetic that notices overflow -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Sizes and offsets come from files that may lie. Every product and sum of them
// goes through these helpers, which return false instead of wrapping round.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_CHECKED_H
#define LATHE_RUNTIME_CHECKED_H

#include <cstdint>

namespace lathe::rt {

template <typename T>
[[nodiscard]] inline bool checkedAdd(T a, T b, T &result) {
  return !__builtin_add_overflow(a, b, &result);
}
template <typename T>
[[nodiscard]] inline bool checkedSub(T a, T b, T &result) {
  return !__builtin_sub_overflow(a, b, &result);
}
template <typename T>
[[nodiscard]] inline bool checkedMul(T a, T b, T &result) {
  return !__builtin_mul_overflow(a, b, &result);
}

/// Rounds `value` up to a multiple of `alignment`, a power of two.
[[nodiscard]] inline bool checkedAlign(int64_t value, int64_t alignment,
                                       int64_t &result) {
  if (!checkedAdd(value, alignment - 1, result))
    return false;
  result &= -alignment;
  return true;
}

} // namespace lathe::rt

#endif // LATHE_RUNTIME_CHECKED_H
