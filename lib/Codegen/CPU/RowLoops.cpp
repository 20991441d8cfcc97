//===- RowLoops.cpp - vector loops along one row --------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "lathe/Codegen/CPU/RowLoops.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;
using namespace lathe;

namespace {
/// [0, blocks) in blocks of vectors, [blocks, vectors) in vectors, and the
/// rest.
struct Ranges {
  Value blocks, vectors, rest;

  Ranges(KernelBuilder &b, Value columns, int64_t unroll) {
    int64_t lanes = b.getLanes();
    rest = b.rem(columns, lanes);
    vectors = b.sub(columns, rest);
    blocks = b.sub(columns, b.rem(columns, unroll * lanes));
  }

  Value hasRest(KernelBuilder &b) const {
    return arith::CmpIOp::create(b, arith::CmpIPredicate::ne, rest, b.index(0));
  }
};
} // namespace

void lathe::forEachVector(KernelBuilder &b, Value columns, int64_t unroll,
                          function_ref<void(Value, Value)> body) {
  Ranges ranges(b, columns, unroll);
  int64_t lanes = b.getLanes();
  b.forRange(b.index(0), ranges.blocks, unroll * lanes, [&](Value column) {
    for (int64_t i = 0; i < unroll; ++i)
      body(b.add(column, i * lanes), {});
  });
  b.forRange(ranges.blocks, ranges.vectors, lanes,
             [&](Value column) { body(column, {}); });
  b.ifThen(ranges.hasRest(b),
           [&] { body(ranges.vectors, b.firstLanes(ranges.rest)); });
}

Value lathe::reduceVectors(KernelBuilder &b, Value columns, int64_t unroll,
                           Value init,
                           function_ref<Value(Value, Value, Value)> body,
                           function_ref<Value(Value, Value)> combine) {
  Ranges ranges(b, columns, unroll);
  int64_t lanes = b.getLanes();
  SmallVector<Value> sums(unroll, init);
  sums = b.forRange(b.index(0), ranges.blocks, unroll * lanes, sums,
                    [&](Value column, ValueRange carried) {
                      SmallVector<Value> next;
                      for (int64_t i = 0; i < unroll; ++i)
                        next.push_back(
                            body(b.add(column, i * lanes), {}, carried[i]));
                      return next;
                    });
  // As a tree, which depends on nothing but `unroll`.
  while (sums.size() > 1) {
    SmallVector<Value> pairs;
    for (size_t i = 0; i + 1 < sums.size(); i += 2)
      pairs.push_back(combine(sums[i], sums[i + 1]));
    if (sums.size() % 2)
      pairs.push_back(sums.back());
    sums = pairs;
  }
  sums = b.forRange(ranges.blocks, ranges.vectors, lanes, sums,
                    [&](Value column, ValueRange carried) {
                      return SmallVector<Value>{body(column, {}, carried[0])};
                    });
  auto branch = scf::IfOp::create(b, TypeRange(init.getType()),
                                  ranges.hasRest(b), true, true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(&branch.getThenRegion().front());
  Value mask = b.firstLanes(ranges.rest);
  Value last = body(ranges.vectors, mask, sums[0]);
  scf::YieldOp::create(b,
                       Value(arith::SelectOp::create(b, mask, last, sums[0])));
  b.setInsertionPointToStart(&branch.getElseRegion().front());
  scf::YieldOp::create(b, sums[0]);
  return branch.getResult(0);
}
