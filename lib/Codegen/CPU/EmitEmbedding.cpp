//===- EmitEmbedding.cpp - the row lookup kernel --------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/Embedding.h"
#include "lathe/Codegen/CPU/EmitLinear.h"
#include "lathe/Codegen/CPU/StridedView.h"
#include "lathe/Runtime/Abi.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include <cstddef>

using namespace mlir;
using namespace lathe;

/// ctx->fail(ctx, code, detail).
static void emitFail(KernelBuilder &b, Value ctx, int64_t code, Value detail) {
  Type ptr = ctx.getType();
  Type i64 = b.getI64Type();
  int32_t place = offsetof(lathe_ctx, fail);
  Value field = LLVM::GEPOp::create(b, ptr, b.getI8Type(), ctx,
                                    ArrayRef<LLVM::GEPArg>{place});
  Value function = LLVM::LoadOp::create(b, ptr, field);
  auto type = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(b.getContext()), {ptr, i64, i64});
  Value reason = LLVM::ConstantOp::create(b, i64, b.getI64IntegerAttr(code));
  LLVM::CallOp::create(b, type, ValueRange{function, ctx, reason, detail});
}

/// The row of the table that `id` means, inside [0, count) whatever it is.
static Value resolve(KernelBuilder &b, Value ctx, Value id, Value count) {
  Value zero = b.index(0);
  Value number = arith::IndexCastOp::create(b, b.getIndexType(), id);
  auto compare = [&](arith::CmpIPredicate predicate, Value x, Value y) {
    return arith::CmpIOp::create(b, predicate, x, y);
  };
  Value isNegative = compare(arith::CmpIPredicate::slt, number, zero);
  Value fromEnd = arith::SelectOp::create(b, isNegative, count, zero);
  number = b.add(number, fromEnd);
  Value isOutside = compare(arith::CmpIPredicate::uge, number, count);
  b.ifThen(isOutside, [&] {
    Value detail = id;
    if (!detail.getType().isInteger(64))
      detail = arith::ExtSIOp::create(b, b.getI64Type(), id);
    emitFail(b, ctx, LATHE_FAIL_INDEX, detail);
  });
  Value last = b.add(count, -1);
  number = arith::MinSIOp::create(b, number, last);
  return arith::MaxSIOp::create(b, number, zero);
}

/// Where the first element of row `number` stands.
static Value rowStart(KernelBuilder &b, const EmbeddingSpec &spec,
                      const StridedView &table, Value number) {
  if (!spec.inPanels)
    return b.add(table.offset, b.mul(number, spec.columns));
  Value width = b.index(kPanelColumns);
  Value panel = arith::DivUIOp::create(b, number, width);
  Value lane = arith::RemUIOp::create(b, number, width);
  Value start = b.add(table.offset, b.mul(panel, spec.columns * kPanelColumns));
  return b.add(start, lane);
}

/// Copies the row `number` of a table of bf16 pairs, a pair at a time: its
/// elements lie a line apart.
static void copyPairs(KernelBuilder &b, const EmbeddingSpec &spec,
                      const StridedView &table, Value number, Value output,
                      Value row) {
  int64_t pairs = llvm::divideCeil(spec.columns, 2);
  Value panel = b.divFloor(number, kPanelColumns);
  Value lane = b.rem(number, kPanelColumns);
  Value start =
      b.add(b.add(table.offset, b.mul(panel, pairs * kPanelColumns)), lane);
  Value sixteen = arith::ConstantOp::create(b, b.getI32IntegerAttr(16));
  Value high = arith::ConstantOp::create(b, b.getI32IntegerAttr(-65536));
  auto store = [&](Value bits, Value column) {
    Value value = arith::BitcastOp::create(b, b.getF32Type(), bits);
    b.storeScalar(value, output, b.add(row, column));
  };
  auto load = [&](Value pair) {
    return b.loadScalar(table.memory, b.add(start, b.mul(pair, kPanelColumns)));
  };
  b.forRange(b.index(0), b.index(spec.columns / 2), 1, [&](Value pair) {
    Value bits = load(pair);
    Value column = b.mul(pair, 2);
    store(arith::ShLIOp::create(b, bits, sixteen), column);
    store(arith::AndIOp::create(b, bits, high), b.add(column, 1));
  });
  if (spec.columns % 2 != 0)
    store(arith::ShLIOp::create(b, load(b.index(pairs - 1)), sixteen),
          b.index(spec.columns - 1));
}

func::FuncOp lathe::emitEmbeddingKernel(ModuleOp module, StringRef name,
                                        const EmbeddingSpec &spec,
                                        const CpuTarget &target) {
  MLIRContext *context = module.getContext();
  Type f32 = Float32Type::get(context);
  Type index = IndexType::get(context);
  SmallVector<Type> types;
  appendViewTypes(types,
                  spec.idType ? spec.idType : IntegerType::get(context, 64), 0);
  appendViewTypes(types, spec.tableType ? spec.tableType : f32, 0);
  appendViewTypes(types, f32, 0);
  types.append(2, index);
  auto function = createKernel(module, name, types, module.getLoc());

  KernelBuilder b(function, target);
  Value ctx = function.getArgument(0);
  ValueRange arguments = function.getArguments().drop_front();
  Value ids = takeArgument(arguments), idOffset = takeArgument(arguments);
  StridedView table = takeView(arguments, 0, !spec.inPanels);
  Value output = takeArgument(arguments), offset = takeArgument(arguments);
  Value rows = takeArgument(arguments), count = takeArgument(arguments);

  if (spec.inPanels)
    table.strides = {b.index(kPanelColumns)};

  int64_t lanes = b.getLanes();
  int64_t whole = spec.columns / lanes * lanes;
  constexpr int64_t grain = 16;
  b.forall({rows}, grain, [&](ValueRange units) {
    Value id = b.loadScalar(ids, b.add(idOffset, units[0]));
    Value number = resolve(b, ctx, id, count);
    Value row = b.add(offset, b.mul(units[0], spec.columns));
    if (spec.inPairs)
      return copyPairs(b, spec, table, number, output, row);
    Value source = rowStart(b, spec, table, number);
    b.forRange(b.index(0), b.index(whole), lanes, [&](Value column) {
      b.store(table.load(b, source, column, lanes), output, b.add(row, column));
    });
    if (whole < spec.columns) {
      int64_t rest = spec.columns - whole;
      b.store(table.loadPadded(b, source, b.index(whole), rest), output,
              b.add(row, whole), b.firstLanes(rest));
    }
  });
  b.finish();
  return function;
}
