//===- EmitKvAppend.cpp - writing new rows into a KV cache ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/KvAppend.h"
#include "lathe/Codegen/CPU/StridedView.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;
using namespace lathe;

func::FuncOp lathe::emitKvAppendKernel(ModuleOp module, StringRef name,
                                       const KvAppendSpec &spec,
                                       const CpuTarget &target) {
  Type f32 = Float32Type::get(module.getContext());
  Type index = IndexType::get(module.getContext());
  SmallVector<Type> types;
  appendViewTypes(types, spec.inputType ? spec.inputType : f32, 4);
  appendViewTypes(types, f32, 0);
  types.append(4, index);
  auto function = createKernel(module, name, types, module.getLoc());

  KernelBuilder b(function, target);
  ValueRange arguments = function.getArguments().drop_front();
  StridedView input = takeView(arguments, 4, spec.unitInput);
  Value cache = takeArgument(arguments), offset = takeArgument(arguments);
  Value batches = takeArgument(arguments), rows = takeArgument(arguments);
  Value past = takeArgument(arguments), capacity = takeArgument(arguments);

  // A full cache leaves no room, and must not make the count wrap around.
  Value room = arith::MaxSIOp::create(b, b.sub(capacity, past), b.index(0));
  Value count = b.minIndex(rows, room);
  Value pairs = b.mul(batches, spec.kvHeads);
  int64_t lanes = b.getLanes();
  int64_t whole = spec.headDim / lanes * lanes;
  constexpr int64_t grain = 64;
  b.forall({arith::MulIOp::create(b, pairs, count)}, grain,
           [&](ValueRange ids) {
             Value pair = arith::DivUIOp::create(b, ids[0], count);
             Value number = arith::RemUIOp::create(b, ids[0], count);
             Value source = input.row(b, {b.divFloor(pair, spec.kvHeads),
                                          b.rem(pair, spec.kvHeads), number});
             Value slot = b.add(b.add(b.mul(pair, capacity), past), number);
             Value row = b.add(offset, b.mul(slot, spec.headDim));
             b.forRange(b.index(0), b.index(whole), lanes, [&](Value column) {
               b.store(input.load(b, source, column, lanes), cache,
                       b.add(row, column));
             });
             if (whole < spec.headDim) {
               int64_t rest = spec.headDim - whole;
               b.store(input.loadPadded(b, source, b.index(whole), rest), cache,
                       b.add(row, whole), b.firstLanes(rest));
             }
           });
  b.finish();
  return function;
}
