//===- Search.cpp - TopK --------------------------------------------------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "NodeLowering.h"

using namespace mlir;
using namespace lathe;
using Node = NodeLowering;

/// Keeps the best K elements seen so far in order, in the result's own memory:
/// an element that is better than the worst of them is moved up to its place.
/// Equal elements stay in the order of their indices.
static LogicalResult lowerTopK(Node &n) {
  if (failed(n.needKernels()))
    return failure();
  Tensor x = n.in(0);
  unsigned rank = x.rank();
  unsigned axis = n.axis(rank, -1);
  bool largest = n.op.getInt("largest", 1) != 0;
  bool isUnsigned = lathe::isUnsigned(x.element);
  SymbolicShape shape = n.shape(0);
  auto lanes = [&](ArrayRef<Poly> dims) {
    return SymbolicShape{n.t.product(dims.take_front(axis)), dims[axis],
                         n.t.product(dims.drop_front(axis + 1))};
  };
  Tensor source = n.t.reshape(x, lanes(x.shape));
  Type i64 = n.t.getBuilder().getI64Type();
  SmallVector<Value> outputs = {n.t.empty(lanes(shape), x.element),
                                n.t.empty(lanes(shape), i64)};
  auto body = [&](Scalars &s, Value, ValueRange buffers) {
    Value in = buffers[0], values = buffers[1], places = buffers[2];
    auto dim = [&](Value buffer, int64_t k) -> Value {
      return memref::DimOp::create(s, buffer, k);
    };
    auto at = [&](Value buffer, ValueRange lane, Value k) -> Value {
      return memref::LoadOp::create(s, buffer, ValueRange{lane[0], k, lane[1]});
    };
    auto put = [&](Value value, Value buffer, ValueRange lane, Value k) {
      memref::StoreOp::create(s, value, buffer,
                              ValueRange{lane[0], k, lane[1]});
    };
    Value count = dim(values, 1);
    SmallVector<Value> sizes = {dim(in, 0), dim(in, 2)};
    s.forall(sizes, [&](ValueRange lane) {
      s.loop(s.index(0), dim(in, 1), {},
             [&](Value k, ValueRange) -> SmallVector<Value> {
               Value stored = at(in, lane, k);
               Value number = s.load(stored, x.element);
               Value filled = s.min(k, count);
               auto worse = [&](Value place) {
                 Value other = s.load(at(values, lane, place), x.element);
                 return largest ? s.lt(other, number, isUnsigned)
                                : s.gt(other, number, isUnsigned);
               };
               // Most elements are no better than the worst that is kept.
               Value enters = s.choose(
                   s.lt(k, count), s.getI1Type(),
                   [&] { return s.boolean(true); },
                   [&] {
                     // Nothing is kept where count is 0.
                     Value last = s.max(s.sub(count, s.index(1)), s.index(0));
                     return s.logicalAnd(s.gt(count, s.index(0)), worse(last));
                   });
               s.ifThen(enters, [&] {
                 // Behind all that are not worse.
                 Value place =
                     s.loop(s.index(0), filled, s.index(0),
                            [&](Value j, ValueRange sum) -> SmallVector<Value> {
                              Value step =
                                  s.select(worse(j), s.index(0), s.index(1));
                              return {s.add(sum[0], step)};
                            })[0];
                 // From the end: element j - 1 goes to j.
                 Value last = s.min(k, s.sub(count, s.index(1)));
                 s.loop(place, last, {},
                        [&](Value j, ValueRange) -> SmallVector<Value> {
                          Value to = s.add(place, s.sub(last, j));
                          Value from = s.sub(to, s.index(1));
                          put(at(values, lane, from), values, lane, to);
                          put(at(places, lane, from), places, lane, to);
                          return {};
                        });
                 put(stored, values, lane, place);
                 put(s.fromIndex(k, i64), places, lane, place);
               });
               return {};
             });
    });
  };
  SmallVector<Value> results = n.stage.callOwnKernel(
      "topk", source.value, outputs, /*updates=*/false, body);
  n.set(n.t.reshape(n.t.wrap(results[0], x.element, lanes(shape)), shape));
  if (n.op->getNumResults() > 1)
    n.set(n.t.reshape(n.t.wrap(results[1], i64, lanes(shape)), shape), 1);
  return success();
}

void lathe::addSearch(LoweringTable &table) {
  const LoweringRow rows[] = {
      {"TopK", 1, lowerTopK},
  };
  table.add("", rows);
}
