//===- NormTest.h - norms and softmax against f64 ---------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_TEST_NORMTEST_H
#define LATHE_TEST_NORMTEST_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "mlir/IR/MLIRContext.h"

namespace lathe::test {

/// Checks the norm and softmax kernels for many shapes; prints what is wrong
/// and returns false then.
bool checkNorms(mlir::MLIRContext *context, const CpuTarget &target);
bool checkSoftmax(mlir::MLIRContext *context, const CpuTarget &target);
/// The same of the kernel that rounds rows to pairs of bf16.
bool checkRoundPairs(mlir::MLIRContext *context, const CpuTarget &target);

/// Prints the time of a residual norm and a softmax of `rows` x `columns`.
void timeNorms(mlir::MLIRContext *context, const CpuTarget &target,
               int64_t rows, int64_t columns);

} // namespace lathe::test

#endif // LATHE_TEST_NORMTEST_H
