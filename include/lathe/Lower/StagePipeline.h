//===- StagePipeline.h - lowered stages to objects -----------*- C++ -* ===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// From a stage in linalg on tensors and kernel calls to an object file.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LOWER_STAGEPIPELINE_H
#define LATHE_LOWER_STAGEPIPELINE_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "lathe/Codegen/CPU/KernelBuilder.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/MemoryBuffer.h"
#include <memory>

namespace lathe {

/// Attributes of a lowered stage's arguments, beside `kCtxAttr`.
/// @{
/// An index argument that is the named dim.
inline constexpr llvm::StringLiteral kDimAttr = "lathe.dim";
/// Number of an activation argument, as the ABI counts.
inline constexpr llvm::StringLiteral kArgAttr = "lathe.arg";
/// Number of a part.
inline constexpr llvm::StringLiteral kPartAttr = "lathe.part";
/// @}

/// Registers the dialects of lowered stages and their bufferization.
void registerLoweringDialects(mlir::DialectRegistry &registry);

/// Compiles a lowered stage, the exported function of its module:
///
/// ```mlir
/// func.func @NAME(%ctx: !llvm.ptr {lathe.ctx},
///     %batch: index {lathe.dim = "batch"},           // every dim, in order
///     %x: tensor<?x65x128xf32> {lathe.arg = 0, lathe.dims = ["batch", ...]},
///     %k: memref<?x3x?x32xf32> {lathe.arg = 1, lathe.dims = [...]},
///     %w: memref<8x128x64xf32> {lathe.part = 0})
///     -> (tensor<?x65x512xf32> {lathe.dims = [...]})
/// ```
///
/// The body is linalg, tensor, arith, math and scf on tensors and
/// `lathe.kernel` calls of private functions of the module. The object exports
/// `NAME` with the stage ABI (lathe/Runtime/Abi.h), whose activation arguments
/// are `lathe.arg` in order, then the results, and `NAME_scratch`.
/// Fails with diagnostics.
mlir::FailureOr<std::unique_ptr<llvm::MemoryBuffer>>
compileLoweredStage(mlir::func::FuncOp stage, const CpuTarget &target);

} // namespace lathe

#endif // LATHE_LOWER_STAGEPIPELINE_H
