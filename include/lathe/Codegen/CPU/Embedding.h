//===- Embedding.h - the row lookup kernel ----------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_EMBEDDING_H
#define LATHE_CODEGEN_CPU_EMBEDDING_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace lathe {

struct EmbeddingSpec {
  /// Elements of a row.
  int64_t columns = 0;
  /// Element type of the table: f32 (also when null), f16 or bf16.
  mlir::Type tableType;
  /// The table is the weight of a linear, whose output columns are the rows
  /// here: panels [ceil(count / 64)][columns][64] of f32.
  bool inPanels = false;
  /// Those panels hold pairs of bf16, [ceil(count / 64)][ceil(columns/2)][64]
  /// of i32, which is the table's element type then.
  bool inPairs = false;
  /// i64 (also when null) or i32.
  mlir::Type idType;
};

/// Emits
///
///   func.func private @name(
///     %ctx: !llvm.ptr {lathe.ctx},
///     %ids: memref<?xI>, %idOffset: index,
///     %table: memref<?xT>, %tableOffset: index,
///     %y: memref<?xf32>, %yOffset: index,
///     %rows: index, %count: index)
///
/// y[m, :] = table[ids[m], :] for m in [0, rows), all row-major with `columns`
/// columns (but see EmbeddingSpec::inPanels); the table has `count` rows. An id
/// in [-count, -1] counts from the end, as in ONNX's Gather. Another id outside
/// the table reports LATHE_FAIL_INDEX through the context and reads the nearest
/// row.
mlir::func::FuncOp emitEmbeddingKernel(mlir::ModuleOp module,
                                       llvm::StringRef name,
                                       const EmbeddingSpec &spec,
                                       const CpuTarget &target);

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_EMBEDDING_H
