//===- LoweringRegistry.h - which ONNX operators can be lowered -*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LOWER_LOWERINGREGISTRY_H
#define LATHE_LOWER_LOWERINGREGISTRY_H

#include "llvm/ADT/StringRef.h"

namespace lathe {

/// Whether operator `op` of `domain` (empty: ONNX's own) can be compiled as it
/// is at `opset`.
bool hasLowering(llvm::StringRef domain, llvm::StringRef op, unsigned opset);

} // namespace lathe

#endif // LATHE_LOWER_LOWERINGREGISTRY_H
