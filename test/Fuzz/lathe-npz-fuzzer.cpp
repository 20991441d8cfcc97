//===- lathe-npz-fuzzer.cpp - any bytes as an .npz file -------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// An archive is refused or read, in memory that fits its size.
///
//===----------------------------------------------------------------------===//

#include "InputFile.h"
#include "lathe/Runtime/Npz.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  InputFile file(data, size);
  (void)lathe::rt::readNpz(file.path());
  return 0;
}
