//===- Rope.h - the rotary embedding kernel ---------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_ROPE_H
#define LATHE_CODEGEN_CPU_ROPE_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"

namespace lathe {

/// Which columns turn together: c and c + r/2, or 2c and 2c + 1.
enum class RopePairs { Half, Interleaved };

/// With r = rotaryDim, c in [0, r/2) and a pair (x0, x1) of columns:
/// y0 = x0 * cos[c] - x1 * sin[c], y1 = x1 * cos[c] + x0 * sin[c]. Columns from
/// r on are copied.
struct RopeSpec {
  int64_t heads = 1;
  int64_t headDim = 0;
  /// Even, at most `headDim`.
  int64_t rotaryDim = 0;
  RopePairs layout = RopePairs::Half;
  /// Element type of x: f32 (also when null), f16 or bf16.
  mlir::Type inputType;
  /// Whether the columns of x and of the tables are adjacent.
  bool unitInput = true, unitTables = true;
};

/// Emits
///
///   func.func private @name(
///     %ctx: !llvm.ptr {lathe.ctx},
///     %x: memref<?xT>, %xOffset, %xBatch, %xHead, %xRow, %xColumn: index,
///     %cos: memref<?xf32>, %cosOffset, %cosBatch, %cosRow, %cosColumn: index,
///     %sin: memref<?xf32>, %sinOffset, %sinBatch, %sinRow, %sinColumn: index,
///     %y: memref<?xf32>, %yOffset, %yBatch, %yHead, %yRow: index,
///     %batch: index, %rows: index)
///
/// Offsets and strides count elements. Tables [1, rows, r/2] have the batch
/// stride 0. The result [batch, rows, heads*d] has the strides
/// (rows*heads*d, d, heads*d); a KV cache [batch, heads, capacity, d] is
/// written at position p with the offset p*d and the strides
/// (heads*capacity*d, capacity*d, d). y may be x itself, with the same strides;
/// a partial overlap is not allowed.
mlir::func::FuncOp emitRopeKernel(mlir::ModuleOp module, llvm::StringRef name,
                                  const RopeSpec &spec,
                                  const CpuTarget &target);

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_ROPE_H
