//===- EmitSoftmax.cpp - softmax over the last axis -----------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/EmitSoftmax.h"
#include "lathe/Codegen/CPU/RowLoops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace lathe;

/// Bytes that are worth a thread of their own; and the length that a row whose
/// length is not known is taken for.
static constexpr int64_t kGrainBytes = 4 << 10;
static constexpr int64_t kUsualColumns = 128;
static constexpr int64_t kUnroll = 4;

static void emitRow(KernelBuilder &b, Value x, Value y, Value row) {
  Value columns = b.dim(y, 1);
  double infinity = std::numeric_limits<double>::infinity();
  auto max = [&](Value l, Value r) { return b.max(l, r); };
  auto addF = [&](Value l, Value r) -> Value {
    return arith::AddFOp::create(b, l, r);
  };
  auto at = [&](Value column) { return SmallVector<Value>{row, column}; };

  // NaN loses against every number here and shows in the sum.
  Value largest = b.broadcast(b.reduceMax(reduceVectors(
      b, columns, kUnroll, b.splat(-infinity),
      [&](Value column, Value mask, Value sum) {
        return b.max(b.load(x, at(column), mask, b.splat(-infinity)), sum);
      },
      max)));
  Value sum = b.reduceAdd(reduceVectors(
      b, columns, kUnroll, b.splat(0.0),
      [&](Value column, Value mask, Value sum) {
        Value value = b.load(x, at(column), mask);
        value =
            math::ExpOp::create(b, arith::SubFOp::create(b, value, largest));
        b.store(value, y, at(column), mask);
        return addF(sum, value);
      },
      addF));
  Value scale = b.broadcast(arith::DivFOp::create(b, b.scalar(1.0), sum));
  forEachVector(b, columns, kUnroll, [&](Value column, Value mask) {
    Value value = b.load(y, at(column), mask);
    b.store(arith::MulFOp::create(b, value, scale), y, at(column), mask);
  });
}

func::FuncOp lathe::emitSoftmaxKernel(ModuleOp module, StringRef name,
                                      int64_t columns,
                                      const CpuTarget &target) {
  auto rows = MemRefType::get({ShapedType::kDynamic, columns},
                              Float32Type::get(module.getContext()));
  func::FuncOp func = createKernel(module, name, {rows, rows}, module.getLoc());
  KernelBuilder b(func, target);
  Value x = func.getArgument(1), y = func.getArgument(2);
  int64_t length = ShapedType::isDynamic(columns) ? kUsualColumns : columns;
  int64_t grain =
      std::max<int64_t>(1, kGrainBytes / int64_t(length * sizeof(float)));
  b.forall({b.dim(y, 0)}, grain,
           [&](ValueRange unit) { emitRow(b, x, y, unit[0]); });
  b.finish();
  return func;
}
