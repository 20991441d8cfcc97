//===- EmitRoundPairs.cpp - rows of f32 as pairs of bf16 ------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/EmitRoundPairs.h"
#include "lathe/Codegen/CPU/KernelBuilder.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace lathe;

/// Bytes that are worth a thread of their own.
static constexpr int64_t kGrainBytes = 32 << 10;

/// The bits of `x` as bf16, in the low half of 32 bits.
static Value roundLanes(KernelBuilder &b, Value x) {
  auto type = VectorType::get({b.getLanes()}, b.getI32Type());
  auto splat = [&](int32_t value) -> Value {
    return arith::ConstantOp::create(b, DenseElementsAttr::get(type, value));
  };
  Value sixteen = splat(16);
  Value bits = vector::BitCastOp::create(b, type, x);
  Value high = arith::ShRUIOp::create(b, bits, sixteen);
  Value odd = arith::AndIOp::create(b, high, splat(1));
  Value sum = arith::AddIOp::create(
      b, bits, arith::AddIOp::create(b, odd, splat(0x7fff)));
  Value rounded = arith::ShRUIOp::create(b, sum, sixteen);
  // The carry of a NaN's bits could make it a number.
  Value quiet = arith::OrIOp::create(b, high, splat(0x40));
  Value isNaN = arith::CmpFOp::create(b, arith::CmpFPredicate::UNO, x, x);
  return arith::SelectOp::create(b, isNaN, quiet, rounded);
}

/// `lanes` pairs from two vectors of neighbours.
static Value makePairs(KernelBuilder &b, Value first, Value second) {
  int64_t lanes = b.getLanes();
  auto type = VectorType::get({lanes}, b.getI32Type());
  if (b.getTarget().level == CpuLevel::Avx512Bf16) {
    auto halves =
        VectorType::get({2 * lanes}, BFloat16Type::get(b.getContext()));
    Value packed =
        LLVM::CallIntrinsicOp::create(
            b, halves, b.getStringAttr("llvm.x86.avx512bf16.cvtne2ps2bf16.512"),
            ValueRange{second, first})
            .getResult(0);
    return vector::BitCastOp::create(b, type, packed);
  }
  SmallVector<int64_t> even, odd;
  for (int64_t lane = 0; lane < lanes; ++lane) {
    even.push_back(2 * lane);
    odd.push_back(2 * lane + 1);
  }
  first = roundLanes(b, first);
  second = roundLanes(b, second);
  Value low = vector::ShuffleOp::create(b, first, second, even);
  Value high = vector::ShuffleOp::create(b, first, second, odd);
  Value sixteen =
      arith::ConstantOp::create(b, DenseElementsAttr::get(type, int32_t(16)));
  return arith::OrIOp::create(b, low, arith::ShLIOp::create(b, high, sixteen));
}

func::FuncOp lathe::emitRoundPairsKernel(ModuleOp module, StringRef name,
                                         int64_t columns,
                                         const CpuTarget &target) {
  MLIRContext *context = module.getContext();
  int64_t pairs = llvm::divideCeil(columns, 2);
  SmallVector<Type> types = {MemRefType::get({ShapedType::kDynamic, columns},
                                             Float32Type::get(context)),
                             MemRefType::get({ShapedType::kDynamic, pairs},
                                             IntegerType::get(context, 32))};
  func::FuncOp func = createKernel(module, name, types, module.getLoc());
  KernelBuilder b(func, target);
  Value x = func.getArgument(1), y = func.getArgument(2);
  int64_t lanes = b.getLanes();
  int64_t whole = columns / (2 * lanes) * lanes;
  int64_t grain =
      std::max<int64_t>(1, kGrainBytes / (columns * int64_t(sizeof(float))));
  b.forall({b.dim(y, 0)}, grain, [&](ValueRange unit) {
    Value row = unit[0];
    b.forRange(b.index(0), b.index(whole), lanes, [&](Value pair) {
      Value column = b.mul(pair, 2);
      b.store(makePairs(b, b.load(x, {row, column}),
                        b.load(x, {row, b.add(column, lanes)})),
              y, {row, pair});
    });
    if (whole == pairs)
      return;
    int64_t column = 2 * whole;
    auto load = [&](int64_t from) {
      if (from >= columns)
        return b.splat(0.0);
      return b.load(x, {row, b.index(from)}, b.firstLanes(columns - from));
    };
    b.store(makePairs(b, load(column), load(column + lanes)), y,
            {row, b.index(whole)}, b.firstLanes(pairs - whole));
  });
  b.finish();
  return func;
}
