//===- lathe-manifest-fuzzer.cpp - any bytes as a manifest ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// A manifest that is read can be written and read again.
///
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/Manifest.h"
#include <cstdint>
#include <cstdlib>

using namespace lathe::rt;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string text(reinterpret_cast<const char *>(data), size);
  Result<Manifest> manifest = parseManifest(text, "input");
  if (!manifest.failed() &&
      parseManifest(manifestToJson(*manifest), "input").failed())
    std::abort();
  return 0;
}
