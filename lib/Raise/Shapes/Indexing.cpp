//===- Indexing.cpp - gathers, scatters and other indexing ----------------===//
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
using llvm::ArrayRef;
using llvm::SmallVector;

/// An index as ONNX reads it into a dim: a negative number counts from the end,
/// which a `read` at a negative index means, too. Records the condition that
/// an index into a static dim stays below it.
static Poly wrapIndex(Node &n, Poly index, Poly extent, Extents extents) {
  std::optional<int64_t> value = index.getConstantInt();
  std::optional<int64_t> size = extent.getConstantInt();
  if (value) {
    Poly least = n.engine.dim(*value < 0 ? -*value : *value + 1);
    if (!size)
      n.engine.require(DimCheck::Kind::LessEqual, least, extent, n.op);
    return *value < 0 ? index + extent : index;
  }
  Poly upper = n.context.upperBound(index, extents);
  if (size && upper && !n.context.isNonNegative(extent - 1 - upper, extents))
    n.engine.require(DimCheck::Kind::LessEqual, upper + 1, extent, n.op);
  return index;
}

static void transferGather(Node &n) {
  if (!n.ranked(0) || !n.ranked(1))
    return;
  const ValueInfo &x = n.in(0), &indices = n.in(1);
  std::optional<unsigned> axis = n.axis("axis", 0, x.rank());
  if (!axis)
    return;
  if (x.kind == ValueInfo::FormKind::List && x.rank() == 1 &&
      indices.rank() <= 1) {
    if (auto ints = n.engine.intsOf(indices)) {
      SmallVector<IndexExpr> list;
      for (int64_t k : *ints)
        if (auto place = wrapAxis(k, x.list.size()))
          list.push_back(x.list[*place]);
      if (list.size() == ints->size())
        return n.setList(*indices.shape, list);
    }
  }
  IndexExprContext &context = n.context;
  ArrayRef<Poly> dims(*x.shape);
  SymbolicShape shape(dims.take_front(*axis));
  llvm::append_range(shape, *indices.shape);
  llvm::append_range(shape, dims.drop_front(*axis + 1));

  SmallVector<Poly> shifted;
  for (auto [k, extent] : llvm::enumerate(*indices.shape))
    shifted.push_back(extent.isConstant(1) ? context.zero()
                                           : context.coord(*axis + k));
  Poly place =
      context.substitute(n.engine.formOf(indices), shifted, shape).poly();
  if (!place)
    return n.setLeaf(shape);
  SmallVector<Poly> index;
  for (unsigned k = 0; k != x.rank(); ++k) {
    unsigned coord = k < *axis ? k : k + indices.rank() - 1;
    index.push_back(k == *axis ? wrapIndex(n, place, dims[k], shape)
                               : context.coord(coord));
  }
  n.setMoved(x, index, shape);
}

static void transferGatherElements(Node &n) {
  if (!n.ranked(0) || !n.ranked(1))
    return;
  const ValueInfo &x = n.in(0), &indices = n.in(1);
  std::optional<unsigned> axis = n.axis("axis", 0, x.rank());
  if (!axis || indices.rank() != x.rank())
    return;
  const SymbolicShape &shape = *indices.shape;
  Poly place = n.engine.formOf(indices).poly();
  if (!place)
    return n.setLeaf(shape);
  SmallVector<Poly> index;
  for (unsigned k = 0; k != x.rank(); ++k)
    index.push_back(k == *axis ? wrapIndex(n, place, (*x.shape)[k], shape)
                               : n.context.coord(k));
  n.setMoved(x, index, shape);
}

static void transferGatherND(Node &n) {
  if (!n.ranked(0) || !n.ranked(1))
    return;
  const ValueInfo &x = n.in(0), &indices = n.in(1);
  int64_t batch = n.op.getInt("batch_dims", 0);
  unsigned q = indices.rank();
  if (q == 0 || batch < 0 || batch >= q || batch > x.rank())
    return;
  std::optional<int64_t> depth = indices.shape->back().getConstantInt();
  if (!depth || *depth < 0 || batch + *depth > x.rank())
    return;
  IndexExprContext &context = n.context;
  SymbolicShape shape(ArrayRef<Poly>(*indices.shape).drop_back());
  llvm::append_range(shape,
                     ArrayRef<Poly>(*x.shape).drop_front(batch + *depth));
  IndexExpr places = n.engine.formOf(indices);
  SmallVector<Poly> index;
  for (unsigned k = 0; k != x.rank(); ++k) {
    if (k < batch) {
      index.push_back(context.coord(k));
      continue;
    }
    if (k >= batch + *depth) {
      index.push_back(context.coord(q - 1 + k - batch - *depth));
      continue;
    }
    SmallVector<Poly> at(q);
    at[q - 1] = n.engine.dim(k - batch);
    Poly place = context.substitute(places, at, shape).poly();
    if (!place)
      return n.setLeaf(shape);
    index.push_back(wrapIndex(n, place, (*x.shape)[k], shape));
  }
  n.setMoved(x, index, shape);
}

/// The result has the shape of the first input.
static void transferSameShape(Node &n) {
  if (n.ranked(0))
    n.setLeaf(n.shape(0));
}

static void transferOneHot(Node &n) {
  if (!n.ranked(0) || !n.has(1))
    return;
  const ValueInfo &indices = n.in(0);
  auto depth = n.engine.listOf(n.in(1));
  std::optional<unsigned> axis = n.axis("axis", -1, indices.rank() + 1);
  if (!axis || !depth || depth->size() != 1 || !(*depth)[0].isPoly())
    return;
  SymbolicShape shape = *indices.shape;
  shape.insert(shape.begin() + *axis, (*depth)[0].poly());
  std::optional<SmallVector<IndexExpr>> values;
  if (n.has(2))
    values = n.engine.listOf(n.in(2));
  if (!values || values->size() != 2 || !n.engine.isIndexy(indices))
    return n.setLeaf(shape);
  IndexExprContext &context = n.context;
  SmallVector<Poly> index;
  for (unsigned k = 0; k != indices.rank(); ++k)
    index.push_back(context.coord(k < *axis ? k : k + 1));
  Poly place = n.engine.moved(indices, index, shape).poly();
  if (!place || !context.isNonNegative(place, shape))
    return n.setLeaf(shape);
  Pred hit = context.equal(context.coord(*axis), place, shape);
  n.setForm(shape, n.engine.choose(hit, (*values)[1], (*values)[0], shape));
}

/// [rank, number of hits].
static void transferNonZero(Node &n) {
  if (!n.ranked(0))
    return;
  n.setLeaf(SymbolicShape{n.engine.dim(n.in(0).rank()),
                          n.engine.unknownDim(n.op->getResult(0), 1)});
}

static void transferCompress(Node &n) {
  if (!n.ranked(0))
    return;
  Poly unknown = n.engine.unknownDim(n.op->getResult(0), 0);
  if (!n.op->getAttr("axis"))
    return n.setLeaf(SymbolicShape{unknown});
  std::optional<unsigned> axis = n.axis("axis", 0, n.in(0).rank());
  if (!axis)
    return;
  SymbolicShape shape = n.shape(0);
  shape[*axis] = unknown;
  n.setLeaf(shape);
}

static void transferUnique(Node &n) {
  if (!n.ranked(0))
    return;
  Poly unknown = n.engine.unknownDim(n.op->getResult(0), 0);
  SymbolicShape shape = {unknown};
  if (n.op->getAttr("axis")) {
    std::optional<unsigned> axis = n.axis("axis", 0, n.in(0).rank());
    if (!axis)
      return;
    shape = n.shape(0);
    shape[*axis] = unknown;
  }
  n.setLeaf(shape);
  n.setLeaf(SymbolicShape{unknown}, 1);
  n.setLeaf(SymbolicShape{n.op->getAttr("axis")
                              ? n.shape(0)[*n.axis("axis", 0, n.in(0).rank())]
                              : n.engine.product(n.shape(0))},
            2);
  n.setLeaf(SymbolicShape{unknown}, 3);
}

static void transferNonMaxSuppression(Node &n) {
  n.setLeaf(SymbolicShape{n.engine.unknownDim(n.op->getResult(0), 0),
                          n.engine.dim(3)});
}

void shapes::registerIndexing(TransferTable &table) {
  table.add("Gather", transferGather);
  table.add("GatherElements", transferGatherElements);
  table.add("GatherND", transferGatherND);
  table.add({"ScatterElements", "ScatterND", "Scatter", "TensorScatter",
             "ReverseSequence"},
            transferSameShape);
  table.add("OneHot", transferOneHot);
  table.add("NonZero", transferNonZero);
  table.add("Compress", transferCompress);
  table.add("Unique", transferUnique);
  table.add("NonMaxSuppression", transferNonMaxSuppression);
}
