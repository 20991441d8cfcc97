//===- EmitRope.cpp - the rotary embedding kernel -------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/Rope.h"
#include "lathe/Codegen/CPU/StridedView.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace lathe;

namespace {
class RopeEmitter {
public:
  RopeEmitter(func::FuncOp function, const RopeSpec &spec,
              const CpuTarget &target)
      : b(function, target), spec(spec) {
    ValueRange arguments = function.getArguments().drop_front();
    input = takeView(arguments, 4, spec.unitInput);
    cos = takeView(arguments, 3, spec.unitTables);
    sin = takeView(arguments, 3, spec.unitTables);
    output = takeView(arguments, 3, true);
    output.strides.push_back(b.index(1));
    batches = takeArgument(arguments);
    rows = takeArgument(arguments);
  }

  void emit();

private:
  /// Where the rows of one head, and of its angles, start.
  struct Row {
    Value input, cos, sin, output;
  };

  /// Calls `body(column, width)` for pieces of [0, count): whole vectors in a
  /// loop, then the rest in ever smaller ones.
  void forPieces(int64_t count, function_ref<void(Value, int64_t)> body);
  void rotateHalf(const Row &row, Value column, int64_t width);
  void rotateInterleaved(const Row &row, Value column, int64_t width);
  void copyRest(const Row &row);
  std::pair<Value, Value> rotate(const Row &row, Value column, int64_t width,
                                 Value first, Value second);
  void store(Value vector, const Row &row, Value column) {
    vector::StoreOp::create(b, vector, output.memory,
                            ValueRange{output.column(b, row.output, column)});
  }

  KernelBuilder b;
  const RopeSpec &spec;
  StridedView input, cos, sin, output;
  Value batches, rows;
};
} // namespace

func::FuncOp lathe::emitRopeKernel(ModuleOp module, StringRef name,
                                   const RopeSpec &spec,
                                   const CpuTarget &target) {
  assert(spec.rotaryDim % 2 == 0 && spec.rotaryDim <= spec.headDim);
  Type f32 = Float32Type::get(module.getContext());
  Type index = IndexType::get(module.getContext());
  SmallVector<Type> types;
  appendViewTypes(types, spec.inputType ? spec.inputType : f32, 4);
  appendViewTypes(types, f32, 3);
  appendViewTypes(types, f32, 3);
  appendViewTypes(types, f32, 3);
  types.append(2, index);
  auto function = createKernel(module, name, types, module.getLoc());
  RopeEmitter(function, spec, target).emit();
  return function;
}

void RopeEmitter::emit() {
  // A row of all heads is one unit: its angles are read once.
  constexpr int64_t grain = 4;
  b.forall({arith::MulIOp::create(b, batches, rows)}, grain,
           [&](ValueRange ids) {
             Value batch = arith::DivUIOp::create(b, ids[0], rows);
             Value number = arith::RemUIOp::create(b, ids[0], rows);
             Row row;
             row.cos = cos.row(b, {batch, number});
             row.sin = sin.row(b, {batch, number});
             b.forRange(b.index(0), b.index(spec.heads), 1, [&](Value head) {
               row.input = input.row(b, {batch, head, number});
               row.output = output.row(b, {batch, head, number});
               forPieces(spec.rotaryDim / 2, [&](Value column, int64_t width) {
                 if (spec.layout == RopePairs::Half)
                   rotateHalf(row, column, width);
                 else
                   rotateInterleaved(row, column, width);
               });
               copyRest(row);
             });
           });
  b.finish();
}

void RopeEmitter::forPieces(int64_t count,
                            function_ref<void(Value, int64_t)> body) {
  int64_t lanes = b.getLanes();
  int64_t done = count / lanes * lanes;
  b.forRange(b.index(0), b.index(done), lanes,
             [&](Value column) { body(column, lanes); });
  for (int64_t width = lanes / 2; width > 0; width /= 2) {
    if (count - done < width)
      continue;
    body(b.index(done), width);
    done += width;
  }
}

/// The column pair of both layouts. Both columns are loaded before one is
/// stored, so that y may be x.
std::pair<Value, Value> RopeEmitter::rotate(const Row &row, Value column,
                                            int64_t width, Value first,
                                            Value second) {
  Value c = cos.load(b, row.cos, column, width);
  Value s = sin.load(b, row.sin, column, width);
  auto multiply = [&](Value x, Value y) -> Value {
    return arith::MulFOp::create(b, x, y);
  };
  Value minus = arith::NegFOp::create(b, multiply(second, s));
  return {b.fma(first, c, minus), b.fma(second, c, multiply(first, s))};
}

void RopeEmitter::rotateHalf(const Row &row, Value column, int64_t width) {
  Value other = b.add(column, spec.rotaryDim / 2);
  auto [first, second] =
      rotate(row, column, width, input.load(b, row.input, column, width),
             input.load(b, row.input, other, width));
  store(first, row, column);
  store(second, row, other);
}

void RopeEmitter::rotateInterleaved(const Row &row, Value column,
                                    int64_t width) {
  Value start = b.mul(column, 2);
  Value pairs = input.load(b, row.input, start, 2 * width);
  SmallVector<int64_t> even, odd, join;
  for (int64_t lane = 0; lane < width; ++lane) {
    even.push_back(2 * lane);
    odd.push_back(2 * lane + 1);
    join.append({lane, width + lane});
  }
  auto shuffle = [&](Value x, Value y, ArrayRef<int64_t> mask) -> Value {
    return vector::ShuffleOp::create(b, x, y, mask);
  };
  auto [first, second] = rotate(row, column, width, shuffle(pairs, pairs, even),
                                shuffle(pairs, pairs, odd));
  store(shuffle(first, second, join), row, start);
}

void RopeEmitter::copyRest(const Row &row) {
  forPieces(spec.headDim - spec.rotaryDim, [&](Value piece, int64_t width) {
    Value column = b.add(piece, spec.rotaryDim);
    store(input.load(b, row.input, column, width), row, column);
  });
}
