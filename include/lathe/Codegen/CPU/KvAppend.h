//===- KvAppend.h - writing new rows into a KV cache ------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_KVAPPEND_H
#define LATHE_CODEGEN_CPU_KVAPPEND_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace lathe {

struct KvAppendSpec {
  int64_t kvHeads = 1;
  int64_t headDim = 0;
  /// Element type of x: f32 (also when null), f16 or bf16. The cache is f32.
  mlir::Type inputType;
  /// Whether the columns of x are adjacent.
  bool unitInput = true;
};

/// Emits
///
///   func.func private @name(
///     %ctx: !llvm.ptr {lathe.ctx},
///     %x: memref<?xT>, %xOffset, %xBatch, %xHead, %xRow, %xColumn: index,
///     %cache: memref<?xf32>, %cacheOffset: index,
///     %batch: index, %rows: index, %past: index, %capacity: index)
///
/// which copies row i of x [batch, kv_heads, rows, d] to row past + i of the
/// cache [batch, kv_heads, capacity, d]. Rows behind the capacity are not
/// written: that a cache is full is for the runtime to say, before the call.
mlir::func::FuncOp emitKvAppendKernel(mlir::ModuleOp module,
                                      llvm::StringRef name,
                                      const KvAppendSpec &spec,
                                      const CpuTarget &target);

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_KVAPPEND_H
