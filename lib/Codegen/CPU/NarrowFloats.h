//===- NarrowFloats.h - conversions to 16-bit floats ------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// LLVM has library calls for these where the processor has no instruction.
// All take and give scalars or vectors, round to nearest even, and keep
// infinities and NaN.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_LIB_CODEGEN_CPU_NARROWFLOATS_H
#define LATHE_LIB_CODEGEN_CPU_NARROWFLOATS_H

#include "mlir/IR/Builders.h"

namespace lathe {

/// f32 to bf16.
mlir::Value truncateToBFloat(mlir::ImplicitLocOpBuilder &b, mlir::Value x);

/// f32 to f16.
mlir::Value truncateToHalf(mlir::ImplicitLocOpBuilder &b, mlir::Value x);

/// f16 to f32.
mlir::Value extendHalf(mlir::ImplicitLocOpBuilder &b, mlir::Value x);

/// f64 to f32 for a second rounding to fewer bits: an inexact result has an odd
/// last bit, so that it never looks like a tie.
mlir::Value truncateToOdd(mlir::ImplicitLocOpBuilder &b, mlir::Value x);

} // namespace lathe

#endif // LATHE_LIB_CODEGEN_CPU_NARROWFLOATS_H
