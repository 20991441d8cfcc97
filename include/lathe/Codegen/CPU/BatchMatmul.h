//===- BatchMatmul.h - products of two activations --------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_BATCHMATMUL_H
#define LATHE_CODEGEN_CPU_BATCHMATMUL_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

namespace lathe {

struct BatchMatmulSpec {
  /// Element types: f32 (also when null), f16 or bf16.
  mlir::Type leftType, rightType;
  /// Whether the columns of the operands are adjacent. For the left operand it
  /// makes no difference in speed; right columns that are not adjacent are
  /// packed one element at a time.
  bool unitLeft = true, unitRight = true;
};

/// Emits c[x, y] = a[x, y] * b[x, y] for the batches x in [0, outer) and
/// y in [0, inner), a of [rows, depth], b of [depth, columns]:
///
///   func.func private @name(
///     %ctx: !llvm.ptr {lathe.ctx},
///     %a: memref<?xT>, %aOffset, %aOuter, %aInner, %aRow, %aColumn: index,
///     %b: memref<?xT>, %bOffset, %bOuter, %bInner, %bRow, %bColumn: index,
///     %c: memref<?xf32>, %cOffset, %cOuter, %cInner, %cRow: index,
///     %scratch: memref<?xf32>,
///     %outer, %inner, %rows, %columns, %depth: index)
///
/// Offsets and strides count elements; a batch stride of 0 broadcasts. The
/// columns of c are adjacent and c must not overlap the other buffers. depth 0
/// gives zeros. `scratch` holds `emitBatchMatmulScratchSize` elements and is
/// aligned to 64 bytes. Results do not depend on the number of threads.
mlir::func::FuncOp emitBatchMatmulKernel(mlir::ModuleOp module,
                                         llvm::StringRef name,
                                         const BatchMatmulSpec &spec,
                                         const CpuTarget &target);

/// The number of f32 elements of scratch for a call with `batches` = outer *
/// inner products, as index arithmetic; not decreasing in any size.
mlir::Value emitBatchMatmulScratchSize(mlir::OpBuilder &builder,
                                       mlir::Location loc,
                                       const CpuTarget &target,
                                       mlir::Value batches, mlir::Value columns,
                                       mlir::Value depth);

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_BATCHMATMUL_H
