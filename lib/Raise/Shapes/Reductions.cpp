//===- Reductions.cpp - reductions and selections along an axis -----------===//
//
// Part of the Lathe project, under the Apache License v2.0 with LLVM Exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "Engine.h"
#include "llvm/ADT/STLExtras.h"

using namespace lathe;
using namespace lathe::shapes;
using namespace mlir;
using llvm::SmallVector;

/// The shape of input 0 without the dims in `isReduced`, or with 1 there.
static SymbolicShape reducedShape(Node &n, llvm::ArrayRef<bool> isReduced,
                                  bool keepDims) {
  SymbolicShape shape;
  for (auto [extent, gone] : llvm::zip_equal(n.shape(0), isReduced)) {
    if (!gone)
      shape.push_back(extent);
    else if (keepDims)
      shape.push_back(n.context.one());
  }
  return shape;
}

/// The axes from an operand or an attribute; all of them if none are given.
static std::optional<SmallVector<bool>> reducedAxes(Node &n) {
  bool known;
  auto axes = n.intsFrom(1, "axes", known);
  if (!known)
    return std::nullopt;
  unsigned rank = n.in(0).rank();
  bool all = !axes || axes->empty();
  bool keepAll = all && n.op.getInt("noop_with_empty_axes", 0) != 0;
  SmallVector<bool> isReduced(rank, all && !keepAll);
  if (all)
    return isReduced;
  for (int64_t axis : *axes) {
    std::optional<unsigned> k = wrapAxis(axis, rank);
    if (!k)
      return std::nullopt;
    isReduced[*k] = true;
  }
  return isReduced;
}

static void transferReduce(Node &n) {
  if (!n.ranked(0))
    return;
  bool keepDims = n.op.getInt("keepdims", 1) != 0;
  if (auto isReduced = reducedAxes(n))
    return n.setLeaf(reducedShape(n, *isReduced, keepDims));
  // Which axes go is not known, but how many dims are left may be.
}

/// Sum and product of a shape vector stay in closed form.
template <bool isProduct>
static void transferReduceList(Node &n) {
  transferReduce(n);
  if (!n.ranked(0) || n.in(0).rank() != 1 ||
      n.in(0).elementClass != ElementClass::Integer)
    return;
  auto list = n.engine.listOf(n.in(0));
  auto isReduced = reducedAxes(n);
  if (!list || !isReduced || !(*isReduced)[0])
    return;
  Poly result = isProduct ? n.context.one() : n.context.zero();
  for (IndexExpr e : *list)
    result = isProduct ? result * e.poly() : result + e.poly();
  if (!result)
    return;
  bool keepDims = n.op.getInt("keepdims", 1) != 0;
  n.setList(reducedShape(n, true, keepDims), IndexExpr(result));
}

static void transferArg(Node &n) {
  if (!n.ranked(0))
    return;
  std::optional<unsigned> axis = n.axis("axis", 0, n.in(0).rank());
  if (!axis)
    return;
  SmallVector<bool> isReduced(n.in(0).rank(), false);
  isReduced[*axis] = true;
  n.setLeaf(reducedShape(n, isReduced, n.op.getInt("keepdims", 1) != 0));
}

static void transferTopK(Node &n) {
  if (!n.ranked(0))
    return;
  std::optional<unsigned> axis = n.axis("axis", -1, n.in(0).rank());
  if (!axis)
    return;
  Poly k;
  if (n.has(1)) {
    auto list = n.engine.listOf(n.in(1));
    if (list && list->size() == 1)
      k = (*list)[0].poly();
  } else if (int64_t written = n.op.getInt("k", -1); written >= 0) {
    k = n.engine.dim(written);
  }
  if (!k)
    k = n.engine.unknownDim(n.op->getResult(0), *axis);
  SymbolicShape shape = n.shape(0);
  if (k && !n.context.isNonNegative(shape[*axis] - k))
    n.engine.require(DimCheck::Kind::LessEqual, k, shape[*axis], n.op);
  shape[*axis] = k;
  n.setLeaf(shape, 0);
  n.setLeaf(shape, 1);
}

void shapes::registerReductions(TransferTable &table) {
  table.add({"ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp",
             "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSumSquare"},
            transferReduce);
  table.add("ReduceSum", transferReduceList<false>);
  table.add("ReduceProd", transferReduceList<true>);
  table.add({"ArgMax", "ArgMin"}, transferArg);
  table.add("TopK", transferTopK);
}
