//===- KernelBuilder.h - short forms for kernel emitters --------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// Every kernel of the CPU emitter is a function
//
//   func.func private @name(%ctx: !llvm.ptr {lathe.ctx}, memrefs and scalars…)
//
// whose parallel work stands in `scf.forall`; `lathe-lower-forall` turns that
// into a call of the context's thread pool. Its unit of work must not depend
// on the number of threads, so that neither do the results.
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_KERNELBUILDER_H
#define LATHE_CODEGEN_CPU_KERNELBUILDER_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/DenseMap.h"

namespace lathe {

/// The argument attribute (unit) that marks the context pointer of a function.
inline constexpr llvm::StringLiteral kCtxAttr = "lathe.ctx";

/// An i64 attribute of `scf.forall`: the smallest number of work units that is
/// worth a thread of its own. Absent means 1.
inline constexpr llvm::StringLiteral kGrainAttr = "lathe.grain";

/// Makes `func.func private @name(%ctx: !llvm.ptr {lathe.ctx}, arguments…)`
/// with an entry block and internal linkage at the end of `module`. The
/// terminator is the caller's.
mlir::func::FuncOp createKernel(mlir::ModuleOp module, llvm::StringRef name,
                                mlir::TypeRange arguments, mlir::Location loc);

/// `ptr` as a memref of type `type`. `sizes` holds one value of type index per
/// dynamic dim, `strides` one per dynamic stride (none for an identity layout,
/// where they follow from the sizes), `offset` is the dynamic offset if the
/// type has one. The result is an unrealized cast of a descriptor, which the
/// lowering to LLVM folds away.
mlir::Value buildMemRef(mlir::OpBuilder &builder, mlir::Location loc,
                        mlir::Value ptr, mlir::MemRefType type,
                        mlir::ValueRange sizes, mlir::ValueRange strides = {},
                        mlir::Value offset = {});

/// The address of element 0 of `memref` (its offset included) as `!llvm.ptr`.
mlir::Value getPointer(mlir::OpBuilder &builder, mlir::Location loc,
                       mlir::Value memref);

/// A builder inside one kernel: a location, a target, and constants that are
/// made once, at the start of the function.
class KernelBuilder : public mlir::ImplicitLocOpBuilder {
public:
  using Body = llvm::function_ref<void(mlir::Value)>;
  using ReduceBody = llvm::function_ref<llvm::SmallVector<mlir::Value>(
      mlir::Value, mlir::ValueRange)>;

  /// Inserts at the end of the entry block of `function`.
  KernelBuilder(mlir::func::FuncOp function, const CpuTarget &target);

  const CpuTarget &getTarget() const { return target; }
  int64_t getLanes() const { return target.lanes; }
  /// `vector<lanes x f32>`.
  mlir::VectorType getVectorType() const;

  // Constants.
  mlir::Value index(int64_t value);
  mlir::Value scalar(double value);
  /// `value` in every lane.
  mlir::Value splat(double value);

  // Index arithmetic; a constant zero summand adds no operation.
  mlir::Value add(mlir::Value lhs, mlir::Value rhs);
  mlir::Value add(mlir::Value lhs, int64_t rhs);
  mlir::Value sub(mlir::Value lhs, mlir::Value rhs);
  mlir::Value mul(mlir::Value lhs, int64_t rhs);
  mlir::Value mul(mlir::Value lhs, mlir::Value rhs);
  mlir::Value divFloor(mlir::Value lhs, int64_t rhs);
  mlir::Value divCeil(mlir::Value lhs, int64_t rhs);
  mlir::Value rem(mlir::Value lhs, int64_t rhs);
  mlir::Value minIndex(mlir::Value lhs, mlir::Value rhs);
  mlir::Value dim(mlir::Value memref, int64_t axis);

  // Floats: scalars or vectors alike.
  mlir::Value broadcast(mlir::Value scalar);
  /// a * b + c; fused where the target can.
  mlir::Value fma(mlir::Value a, mlir::Value b, mlir::Value c);
  /// One instruction each: when a lane of `lhs` is NaN the result is `rhs`.
  mlir::Value max(mlir::Value lhs, mlir::Value rhs);
  mlir::Value min(mlir::Value lhs, mlir::Value rhs);
  /// The sum or the largest lane. Sums are taken as a tree of fixed shape;
  /// the maximum of a vector that holds NaN is unspecified.
  mlir::Value reduceAdd(mlir::Value vector);
  mlir::Value reduceMax(mlir::Value vector);

  // Memory. Vectors need the alignment of one element only.
  mlir::Value load(mlir::Value memref, mlir::ValueRange indices);
  void store(mlir::Value vector, mlir::Value memref, mlir::ValueRange indices);
  /// With a mask (`firstLanes`): lanes that it excludes are not touched, and
  /// are 0 (or `padding`) in what is loaded. A null mask means all lanes.
  mlir::Value load(mlir::Value memref, mlir::ValueRange indices,
                   mlir::Value mask, mlir::Value padding = {});
  void store(mlir::Value vector, mlir::Value memref, mlir::ValueRange indices,
             mlir::Value mask);
  mlir::Value loadScalar(mlir::Value memref, mlir::ValueRange indices);
  void storeScalar(mlir::Value value, mlir::Value memref,
                   mlir::ValueRange indices);
  /// `vector<lanes x i1>` with the first `count` lanes set.
  mlir::Value firstLanes(int64_t count);
  mlir::Value firstLanes(mlir::Value count);
  /// An f32 buffer on the stack, 64-byte aligned. It is made where the builder
  /// stands; inside a `scf.forall` every call of the body has its own.
  mlir::Value stack(llvm::ArrayRef<int64_t> shape);
  /// Asks for the line at `ptr` + `bytes`; the address may lie outside every
  /// buffer. `locality` is 3 (all levels) to 1 (last level).
  void prefetch(mlir::Value ptr, mlir::Value bytes, bool write = false,
                int locality = 3);

  // Control flow: the body is built with the insertion point inside, and the
  // builder stands behind the loop afterwards.
  void forRange(mlir::Value lower, mlir::Value upper, int64_t step, Body body);
  llvm::SmallVector<mlir::Value> forRange(mlir::Value lower, mlir::Value upper,
                                          int64_t step, mlir::ValueRange inits,
                                          ReduceBody body);
  void forall(llvm::ArrayRef<mlir::Value> counts, int64_t grain,
              llvm::function_ref<void(mlir::ValueRange)> body);
  void ifThen(mlir::Value condition, llvm::function_ref<void()> body);
  void ifElse(mlir::Value condition, llvm::function_ref<void()> body,
              llvm::function_ref<void()> otherwise);
  /// Runs `body(i)` for the case `i` in [first, last] that `value` has, and
  /// `body(last)` for every other value.
  void switchOf(mlir::Value value, int64_t first, int64_t last,
                llvm::function_ref<void(int64_t)> body);
  /// Ends the function.
  void finish();

private:
  mlir::Value constant(mlir::TypedAttr value);

  mlir::func::FuncOp function;
  CpuTarget target;
  llvm::DenseMap<mlir::Attribute, mlir::Value> constants;
};

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_KERNELBUILDER_H
