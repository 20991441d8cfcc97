//===- EmitLinear.h - matrix products with their epilogue -------*- C++ -*-===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#ifndef LATHE_CODEGEN_CPU_EMITLINEAR_H
#define LATHE_CODEGEN_CPU_EMITLINEAR_H

#include "lathe/Codegen/CPU/CpuTarget.h"
#include "lathe/Codegen/CPU/KernelBuilder.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include <functional>

namespace lathe {

/// Columns of one panel of packed weights: `[ceil(N/64)][K][64]`, the columns
/// that N does not have are zero.
inline constexpr int64_t kPanelColumns = 64;

/// How an extra operand of an epilogue is read for the element (row, column).
enum class ExtraKind {
  /// memref<?xNxf32>: element [row, column]; a residual, or a gate's output.
  Tensor,
  /// memref<Nxf32>: element [column].
  Row,
  /// f32.
  Scalar
};

/// The elementwise end of a kernel, on vectors of the target's width: gets the
/// sum (bias included; two of a gated linear) and one vector per extra, gives
/// what is stored. Called several times. Failure must have been reported.
using EpilogueFn = std::function<mlir::FailureOr<mlir::Value>(
    KernelBuilder &, mlir::ValueRange sumsAndExtras)>;

/// The epilogue that `region` describes on scalars: block arguments are the
/// sums and then the extras, the terminator has one operand. See
/// vectorizeScalarRegion. The region must outlive the result.
EpilogueFn getRegionEpilogue(mlir::Region &region);

struct LinearSpec {
  /// K and N.
  int64_t inputs = 0;
  int64_t outputs = 0;
  /// Elements between two rows of x: K, another number, or
  /// ShapedType::kDynamic where only the memref knows.
  int64_t xStride = 0;
  bool bias = false;
  /// x and the weights are pairs of bf16 along K instead of f32.
  bool pairs = false;
  /// Two sums make one element of y: of W's columns n and N + n, half a panel
  /// of each in a panel. Needs an epilogue.
  bool gated = false;
  llvm::SmallVector<ExtraKind> extras;
  /// Null: the sum is the result.
  EpilogueFn epilogue;

  /// Rows of a panel, and columns of x as they lie in memory.
  int64_t getSteps() const { return pairs ? (inputs + 1) / 2 : inputs; }
  /// Columns of y that one panel makes.
  int64_t getPanelOutputs() const {
    return gated ? kPanelColumns / 2 : kPanelColumns;
  }
  int64_t getPanels() const {
    return (outputs + getPanelOutputs() - 1) / getPanelOutputs();
  }
};

/// Adds to `module`
///
///   func.func private @name(%ctx: !llvm.ptr {lathe.ctx},
///       %x: memref<?xKxf32>,       // strided<[xStride, 1]> if xStride != K
///       %w: memref<Px Kx64xf32>,   // P = ceil(N/64) panels, gated ceil(N/32)
///       %bias: memref<Bxf32>,      // only with a bias; zeros from N (2*N) to
///                                  // B, a multiple of 64
///       extras…,                   // see ExtraKind
///       %y: memref<?xNxf32>)
///
/// or, with `pairs`, %x: memref<?xHxi32> (see emitRoundPairsKernel) and
/// %w: memref<PxHx64xi32>, H = ceil(K/2), two rows of K in each element;
///
/// which computes y[m, n] = epilogue(sum over k of x[m, k] * W[k, n] +
/// bias[n]), and with `gated` epilogue(that sum, the same of column N + n),
/// where panel p has the columns [32*p, 32*p + 32) of both halves. M is the
/// first dim of y. y may be the same buffer as a Tensor extra, and must not
/// overlap anything else.
///
/// Sums run over k in ascending order in f32 with fused multiply-adds (between
/// blocks they go through memory unrounded), so a row's result depends neither
/// on M nor on the number of threads nor on the LinearPlan. Pairs are
/// multiplied and summed by `vdpbf16ps` where the target has it, else one after
/// the other as f32.
mlir::FailureOr<mlir::func::FuncOp> emitLinearKernel(mlir::ModuleOp module,
                                                     llvm::StringRef name,
                                                     const LinearSpec &spec,
                                                     const CpuTarget &target);

} // namespace lathe

#endif // LATHE_CODEGEN_CPU_EMITLINEAR_H
