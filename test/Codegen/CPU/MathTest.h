//===- MathTest.h - error bounds of elementary functions --------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TEST_MATHTEST_H
#define LATHE_TEST_MATHTEST_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "mlir/IR/MLIRContext.h"

namespace lathe::test {

/// Compares the function `name`, or all with `all`, on f32 and f64 with the C
/// library's long double functions, prints the largest errors, and returns
/// false when one is above its bound.
bool checkMath(llvm::StringRef name, mlir::MLIRContext *context,
               const CpuTarget &target);

} // namespace lathe::test

#endif // LATHE_TEST_MATHTEST_H
