//===- Attention.h - the attention kernel -----------------------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_ATTENTION_H
#define LATHE_CODEGEN_CPU_ATTENTION_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include <functional>

namespace lathe {

/// What a query row gives whose keys are all masked.
enum class AttentionRows {
  /// 0.
  Zero,
  /// The mean of all values, masked ones included: what a written
  /// `finfo.min` gives.
  Mean,
  /// NaN: what a written -inf gives.
  NaN,
  /// The mask adds `negative` to the score, in f32, instead of dropping the
  /// key; such a row is the softmax of its rounded scores.
  Soft
};

/// Where a mask or a bias is asked for. All values are of type index;
/// coordinates that the question does not have are null.
struct AttentionPoint {
  /// The kernel's trailing arguments (`AttentionSpec::maskTypes`).
  mlir::ValueRange arguments;
  /// The numbers of query rows and keys (S and T).
  mlir::Value rows, keys;
  /// Batch, query head, query row, key.
  mlir::Value batch, head, row, key;
};

/// Builds the answer at the builder's position, one operation after the other
/// or with `scf` regions; it may load from the mask arguments.
using AttentionFn = std::function<mlir::Value(mlir::OpBuilder &, mlir::Location,
                                              const AttentionPoint &)>;
using AttentionRangeFn = std::function<std::pair<mlir::Value, mlir::Value>(
    mlir::OpBuilder &, mlir::Location, const AttentionPoint &)>;

/// o[b, i, h*value_dim + c] = sum over j of softmax_j(score) * v[b, g, j, c],
/// score = capped(scale * q[b, h, i, :] . k[b, g, j, :]) + bias, masked,
/// g = h / (heads / kv_heads), capped(s) = softcap * tanh(s / softcap).
struct AttentionSpec {
  int64_t heads = 1;
  /// Divides `heads`.
  int64_t kvHeads = 1;
  int64_t headDim = 0;
  int64_t valueDim = 0;
  double scale = 1.0;
  /// 0: none.
  double softcap = 0.0;
  AttentionRows emptyRows = AttentionRows::Zero;
  /// What a masked key adds in mode `Soft`.
  double negative = -1e4;

  /// Element types: f32 (also when null), f16 or bf16.
  mlir::Type queryType, keyType, valueType;
  /// Whether columns are adjacent. If not, keys and values are packed for any
  /// number of rows, one element at a time.
  bool unitQuery = true, unitKey = true, unitValue = true;

  /// Types of the arguments that the functions below read: memrefs and scalars.
  llvm::SmallVector<mlir::Type> maskTypes;
  /// (batch, head, row) -> [first, last) of the keys that the row may see;
  /// values outside [0, keys] are clamped. Null: all keys. Blocks of keys
  /// outside the range cost nothing.
  AttentionRangeFn range;
  /// (batch, key) -> i1: keys that every row may see (padding). Evaluated once
  /// per batch and key.
  AttentionFn keyPredicate;
  /// (batch, head, row, key) -> i1, false where the key is masked; evaluated
  /// per score, inside the range.
  AttentionFn predicate;
  /// (batch, head, row, key) -> f32, added to the score.
  AttentionFn bias;
  /// (batch, head) -> f32, a factor beside `scale`.
  AttentionFn headScale;
};

/// Emits
///
///   func.func private @name(
///     %ctx: !llvm.ptr {lathe.ctx},
///     %q: memref<?xT>, %qOffset, %qBatch, %qHead, %qRow, %qColumn: index,
///     %k: memref<?xT>, %kOffset, %kBatch, %kHead, %kRow, %kColumn: index,
///     %v: memref<?xT>, %vOffset, %vBatch, %vHead, %vRow, %vColumn: index,
///     %o: memref<?xf32>, %oOffset: index,
///     %scratch: memref<?xf32>,
///     %batch: index, %rows: index, %keys: index,
///     maskTypes…)
///
/// Offsets and strides count elements; the head stride of k and v is that of
/// kv heads, so that a cache [B, kv_heads, capacity, d] is the view
/// (0, kv_heads*capacity*d, capacity*d, d, 1). A column stride that the spec
/// calls adjacent is ignored. o is row-major [batch, rows, heads*value_dim] and
/// must not overlap the other buffers. Reads stay inside the elements that the
/// views name. `scratch` holds `emitAttentionScratchSize` elements and is
/// aligned to 64 bytes.
///
/// From a fixed number of query rows per kv head on, keys and values are packed
/// once and scores are computed by register tiles; below it (decode) both are
/// streamed from where they stand, with long caches split over the pool.
/// Results do not depend on the number of threads. A body uses less than
/// 128 KiB of stack plus 200 bytes per column of a head.
mlir::func::FuncOp emitAttentionKernel(mlir::ModuleOp module,
                                       llvm::StringRef name,
                                       const AttentionSpec &spec,
                                       const CpuTarget &target);

/// The number of f32 elements of scratch for a call, as index arithmetic; not
/// decreasing in any of the three sizes.
mlir::Value emitAttentionScratchSize(mlir::OpBuilder &builder,
                                     mlir::Location loc,
                                     const AttentionSpec &spec,
                                     const CpuTarget &target, mlir::Value batch,
                                     mlir::Value rows, mlir::Value keys);

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_ATTENTION_H
