//===- LaneShuffles.cpp - transposes and sums across lanes ----------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM
// Exceptions. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//
//
// The masks follow x86's grain: shuffles inside 128-bit parts first, whole
// parts last. Each is one instruction there.
//
//===----------------------------------------------------------------------===//

#include "LaneShuffles.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace lathe;

/// f32 lanes of a 128-bit part.
static constexpr int64_t kPart = 4;

static int64_t lanesOf(Value vector) {
  return cast<VectorType>(vector.getType()).getNumElements();
}

/// The same choice in every 128-bit part: `pick` holds lanes of a part of
/// `lhs` (0 to 3) or of `rhs` (4 to 7).
static Value shuffleParts(KernelBuilder &b, Value lhs, Value rhs,
                          ArrayRef<int64_t> pick) {
  int64_t lanes = lanesOf(lhs);
  SmallVector<int64_t> mask;
  for (int64_t part = 0; part < lanes; part += kPart)
    for (int64_t lane : pick)
      mask.push_back(lane < kPart ? part + lane : lanes + part + lane - kPart);
  return vector::ShuffleOp::create(b, lhs, rhs, mask);
}

SmallVector<Value>
lathe::transposeFourColumns(KernelBuilder &b,
                            function_ref<Value(int64_t)> load) {
  int64_t lanes = b.getLanes();
  // x[r] holds row r in its first part, row r + 4 in its second, and so on:
  // then transposing every part gives whole columns.
  SmallVector<Value> x;
  for (int64_t r = 0; r < kPart; ++r) {
    SmallVector<Value> parts;
    for (int64_t row = r; row < lanes; row += kPart)
      parts.push_back(load(row));
    while (parts.size() > 1) {
      SmallVector<Value> joined;
      for (size_t i = 0; i < parts.size(); i += 2) {
        auto mask =
            llvm::to_vector(llvm::seq<int64_t>(0, 2 * lanesOf(parts[i])));
        joined.push_back(
            vector::ShuffleOp::create(b, parts[i], parts[i + 1], mask));
      }
      parts = joined;
    }
    x.push_back(parts.front());
  }
  Value low01 = shuffleParts(b, x[0], x[1], {0, 4, 1, 5});
  Value low23 = shuffleParts(b, x[2], x[3], {0, 4, 1, 5});
  Value high01 = shuffleParts(b, x[0], x[1], {2, 6, 3, 7});
  Value high23 = shuffleParts(b, x[2], x[3], {2, 6, 3, 7});
  return {shuffleParts(b, low01, low23, {0, 1, 4, 5}),
          shuffleParts(b, low01, low23, {2, 3, 6, 7}),
          shuffleParts(b, high01, high23, {0, 1, 4, 5}),
          shuffleParts(b, high01, high23, {2, 3, 6, 7})};
}

/// The upper half of `vector` added to the lower.
static Value foldHalves(KernelBuilder &b, Value vector) {
  int64_t half = lanesOf(vector) / 2;
  auto low = llvm::to_vector(llvm::seq<int64_t>(0, half));
  auto high = llvm::to_vector(llvm::seq<int64_t>(half, 2 * half));
  return arith::AddFOp::create(
      b, vector::ShuffleOp::create(b, vector, vector, low),
      vector::ShuffleOp::create(b, vector, vector, high));
}

Value lathe::sumLanesOfEach(KernelBuilder &b, SmallVector<Value> vectors) {
  int64_t count = vectors.size();
  assert((count == 4 || count == 8) && lanesOf(vectors[0]) >= count);
  for (Value &vector : vectors)
    while (lanesOf(vector) > count)
      vector = foldHalves(b, vector);

  // Two horizontal additions: part p of the i-th result holds the sums over
  // part p of vectors 4i to 4i+3.
  for (int step = 0; step < 2; ++step) {
    SmallVector<Value> sums;
    for (size_t i = 0; i < vectors.size(); i += 2)
      sums.push_back(arith::AddFOp::create(
          b, shuffleParts(b, vectors[i], vectors[i + 1], {0, 2, 4, 6}),
          shuffleParts(b, vectors[i], vectors[i + 1], {1, 3, 5, 7})));
    vectors = sums;
  }
  if (count == 4)
    return vectors[0];
  return arith::AddFOp::create(
      b,
      vector::ShuffleOp::create(b, vectors[0], vectors[1],
                                ArrayRef<int64_t>{0, 1, 2, 3, 8, 9, 10, 11}),
      vector::ShuffleOp::create(b, vectors[0], vectors[1],
                                ArrayRef<int64_t>{4, 5, 6, 7, 12, 13, 14, 15}));
}
