//===- EmitNorm.cpp - layer and RMS normalization -------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/EmitNorm.h"
#include "lathe/Codegen/CPU/RowLoops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;
using namespace lathe;

/// Bytes that are worth a thread of their own.
static constexpr int64_t kGrainBytes = 16 << 10;
static constexpr int64_t kUnroll = 4;

namespace {

class NormEmitter {
public:
  NormEmitter(func::FuncOp func, const NormSpec &spec, const CpuTarget &target);
  void emit();

private:
  void emitRow(Value row);
  Value sumRow(llvm::function_ref<Value(Value, Value)> value);
  Value load(Value memref, Value column, Value mask) {
    return b.load(memref, {row, column}, mask);
  }
  Value divide(Value sum);

  const NormSpec &spec;
  KernelBuilder b;
  Value x, addend, sum, gamma, beta, y;
  Value row;
};

} // namespace

NormEmitter::NormEmitter(func::FuncOp func, const NormSpec &spec,
                         const CpuTarget &target)
    : spec(spec), b(func, target) {
  auto arguments = ArrayRef<BlockArgument>(func.getArguments()).drop_front();
  auto next = [&] {
    Value value = arguments.front();
    arguments = arguments.drop_front();
    return value;
  };
  x = next();
  if (spec.residual) {
    addend = next();
    sum = next();
  }
  if (spec.gamma)
    gamma = next();
  if (spec.beta)
    beta = next();
  y = next();
}

/// The sum of `value(column, mask)` along the row.
Value NormEmitter::sumRow(llvm::function_ref<Value(Value, Value)> value) {
  auto addF = [&](Value l, Value r) -> Value {
    return arith::AddFOp::create(b, l, r);
  };
  Value lanes = reduceVectors(
      b, b.index(spec.columns), kUnroll, b.splat(0.0),
      [&](Value column, Value mask, Value sum) {
        return addF(sum, value(column, mask));
      },
      addF);
  return b.reduceAdd(lanes);
}

Value NormEmitter::divide(Value total) {
  return arith::DivFOp::create(b, total, b.scalar(spec.columns));
}

void NormEmitter::emit() {
  int64_t grain =
      std::max<int64_t>(1, kGrainBytes / (spec.columns * sizeof(float)));
  b.forall({b.dim(y, 0)}, grain, [&](ValueRange unit) { emitRow(unit[0]); });
  b.finish();
}

void NormEmitter::emitRow(Value number) {
  row = number;
  bool layer = spec.kind == NormSpec::Kind::Layer;
  // The first pass also writes the residual sum, which the others read.
  auto first = [&](Value column, Value mask) {
    Value value = load(x, column, mask);
    if (!spec.residual)
      return value;
    value = arith::AddFOp::create(b, value, load(addend, column, mask));
    b.store(value, sum, {row, column}, mask);
    return value;
  };
  Value input = spec.residual ? sum : x;
  auto square = [&](Value value) -> Value {
    return arith::MulFOp::create(b, value, value);
  };

  Value mean, meanSquare;
  if (layer) {
    mean = b.broadcast(divide(sumRow(first)));
    // Deviations from the mean: squares of the values would cancel.
    meanSquare = divide(sumRow([&](Value column, Value mask) {
      return square(arith::SubFOp::create(b, load(input, column, mask), mean));
    }));
  } else {
    meanSquare = divide(sumRow(
        [&](Value column, Value mask) { return square(first(column, mask)); }));
  }
  Value deviation = math::SqrtOp::create(
      b, arith::AddFOp::create(b, meanSquare, b.scalar(spec.epsilon)));
  Value scale = b.broadcast(arith::DivFOp::create(b, b.scalar(1.0), deviation));

  forEachVector(
      b, b.index(spec.columns), kUnroll, [&](Value column, Value mask) {
        Value value = load(input, column, mask);
        if (layer)
          value = arith::SubFOp::create(b, value, mean);
        value = arith::MulFOp::create(b, value, scale);
        // Packed vectors are padded: no mask.
        if (gamma)
          value = arith::MulFOp::create(b, value, b.load(gamma, {column}));
        if (beta)
          value = arith::AddFOp::create(b, value, b.load(beta, {column}));
        b.store(value, y, {row, column}, mask);
      });
}

func::FuncOp lathe::emitNormKernel(ModuleOp module, StringRef name,
                                   const NormSpec &spec,
                                   const CpuTarget &target) {
  auto f32 = Float32Type::get(module.getContext());
  auto rows = MemRefType::get({ShapedType::kDynamic, spec.columns}, f32);
  auto packed =
      MemRefType::get({int64_t(llvm::alignTo(spec.columns, 64))}, f32);
  SmallVector<Type> types = {rows};
  if (spec.residual)
    types.append(2, rows);
  if (spec.gamma)
    types.push_back(packed);
  if (spec.beta)
    types.push_back(packed);
  types.push_back(rows);
  func::FuncOp func = createKernel(module, name, types, module.getLoc());
  NormEmitter(func, spec, target).emit();
  return func;
}
