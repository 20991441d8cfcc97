//===- StageSupport.cpp - what compilers call on their own -===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Runtime/StageSupport.h"

using namespace lathe::rt;

static const uint8_t bytes[] = {
#include "StageSupport.inc"
};

StageSupportObject lathe::rt::stageSupportObject() {
  return {bytes, sizeof(bytes)};
}
