//===- StageSupport.h - what compilers call on their own -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_RUNTIME_STAGESUPPORT_H
#define LATHE_RUNTIME_STAGESUPPORT_H

#include <cstddef>
#include <cstdint>

namespace lathe::rt {

/// An object file (ELF) with the functions that LLVM may call although no stage
/// asks for them, as hidden symbols: memcpy, memmove, memset, bzero, memcmp,
/// bcmp; conversions of f16 and bf16; rounding, fmod and fmaf for CPUs without
/// such instructions. It is linked into every model.so, which has no libc.
struct StageSupportObject {
  const uint8_t *data;
  size_t bytes;
};
StageSupportObject stageSupportObject();

} // namespace lathe::rt

#endif // LATHE_RUNTIME_STAGESUPPORT_H
