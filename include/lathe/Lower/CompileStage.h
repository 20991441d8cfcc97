//===- CompileStage.h - stages to object code -------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
///
/// \file
/// Compiles one stage of an entry: a function at the structure level.
///
//===----------------------------------------------------------------------===//

#ifndef LATHE_LOWER_COMPILESTAGE_H
#define LATHE_LOWER_COMPILESTAGE_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "lathe/Lower/WeightPacking.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/Support/MemoryBuffer.h"
#include <memory>
#include <string>

namespace lathe {

struct CompiledStage {
  /// A relocatable object that exports `functionName` with the stage ABI
  /// (lathe/Runtime/Abi.h) and `<functionName>_scratch`.
  std::unique_ptr<llvm::MemoryBuffer> object;
  std::string functionName;
  /// How each part argument is read, in order.
  llvm::SmallVector<PartLayout> layouts;
};

/// A stage in linalg on tensors and kernel calls.
struct LoweredStage {
  mlir::func::FuncOp function;
  llvm::SmallVector<PartLayout> layouts;
};

/// Lowers the one public function of `stage` in place:
///
/// * arguments, in order: activations (`tensor` with `lathe.dims`), KV handles,
///   parts (`!lathe.weight`, or `tensor` with `lathe.part`); results: tensors
///   with `lathe.dims`, and KV handles, which are dropped;
/// * attribute `lathe.stage_dims`: the named dims in the order of the ABI;
/// * body: typed operations, carrier operations, `lathe.index_expr` and
///   constants, in one block.
///
/// What becomes of it is described at `compileLoweredStage`; a KV handle is two
/// activation arguments, keys and values. Reports every operation that cannot
/// be lowered, then fails.
mlir::FailureOr<LoweredStage> lowerStage(mlir::ModuleOp stage,
                                         const CpuTarget &target);

/// Lowers and compiles a stage. Fails with diagnostics.
mlir::FailureOr<CompiledStage> compileStage(mlir::ModuleOp stage,
                                            const CpuTarget &target);

} // namespace lathe

#endif // LATHE_LOWER_COMPILESTAGE_H
